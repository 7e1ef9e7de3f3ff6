//! One walk over all state of the machine: what a snapshot holds and what the state hash covers.
//!
//! Invariants:
//! * What is not in the walk or in RAM has no influence on what the guest will see, and differs at will between
//!   hosts, engines and ways to cut a run into slices.
//! * Inputs that have not entered yet are part of a snapshot but not of the hash: to the guest they do not exist.

use crate::chipset::Devices;
use crate::hash::{self, is_zero};
use crate::inputs::TimedInput;
use crate::machine::Machine;
use crate::media::{Medium, Overlay, Summary};
use cpu::bus::Lines;
use cpu::fpu::Fpu;
use cpu::mem::PAGE_SIZE;
use cpu::mmu::Tlb;
use cpu::regs::Registers;
use cpu::simd::Simd;
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::Arc;

/// Consumers of dirty-page information (see `Cpu::take_dirty_pages`).
const DIRTY_FOR_HASH: u8 = 0;
const DIRTY_FOR_SNAPSHOT: u8 = 1;

/// The walk, written. Field for field the same as [`Walked`].
#[derive(Serialize)]
struct Walk<'a> {
    insns: u64,
    idle: u64,
    regs: &'a Registers,
    fpu: &'a Fpu,
    simd: &'a Simd,
    tlb: &'a Tlb,
    lines: Lines,
    ram_size: u64,
    devices: &'a Devices,
    media: Vec<Summary>,
}

/// The walk, read back.
#[derive(Deserialize)]
struct Walked {
    insns: u64,
    idle: u64,
    regs: Registers,
    fpu: Fpu,
    simd: Simd,
    tlb: Tlb,
    lines: Lines,
    ram_size: u64,
    devices: Devices,
    media: Vec<Summary>,
}

type Page = [u8; PAGE_SIZE];
/// Contents of RAM; `None` is a page of zeros.
type Pages = Vec<Option<Arc<Page>>>;

/// The whole state of a machine at one moment. Pages are shared between snapshots of the same machine.
#[derive(Clone)]
pub struct Snapshot {
    walk: Vec<u8>,
    pending_inputs: VecDeque<TimedInput>,
    pages: Arc<Pages>,
    overlays: Vec<Overlay>,
}

/// A snapshot does not fit the machine.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// It was taken from a machine with other RAM.
    #[error("the snapshot has {snapshot} bytes of RAM, the machine has {machine}")]
    RamSize {
        /// Bytes in the snapshot.
        snapshot: u64,
        /// Bytes in the machine.
        machine: u64,
    },
    /// It was taken from a machine with other disks.
    #[error("the snapshot has other disks than the machine")]
    Disks,
    /// It was not written by this version.
    #[error("the snapshot cannot be read: {0}")]
    Format(#[from] postcard::Error),
}

impl Machine {
    pub(crate) fn walk(&self) -> Vec<u8> {
        let walk = Walk {
            insns: self.cpu.insns(),
            idle: self.cpu.idle_ticks(),
            regs: &self.cpu.regs,
            fpu: &self.cpu.fpu,
            simd: &self.cpu.simd,
            tlb: &self.cpu.tlb,
            // The deadline follows from the event queue and from where the current run ends.
            lines: Lines { deadline: 0, ..self.cpu.lines.clone() },
            ram_size: self.cpu.mem.ram_size(),
            devices: &self.chipset().devices,
            media: self.chipset().media.iter().map(Medium::summary).collect(),
        };
        // Writing plain data into a vector has no way to fail.
        postcard::to_stdvec(&walk).unwrap_or_default()
    }

    /// Hash of everything the guest's future depends on. Costs in proportion to the pages written since last time.
    pub fn state_hash(&mut self) -> u64 {
        let dirty = self.cpu.take_dirty_pages(DIRTY_FOR_HASH);
        let ram = self.ram_hash.update(&self.cpu.mem, &dirty);
        hash::combine(&self.walk(), ram)
    }

    /// The state now. Costs in proportion to the pages written since the last snapshot or restore.
    pub fn snapshot(&mut self) -> Snapshot {
        let dirty = self.cpu.take_dirty_pages(DIRTY_FOR_SNAPSHOT);
        let mut pages = self.baseline.take().unwrap_or_default();
        if !dirty.is_empty() || pages.is_empty() {
            let list = Arc::make_mut(&mut pages);
            list.resize(self.cpu.mem.page_count(), None);
            for page in dirty {
                let bytes = self.cpu.mem.page(page as usize).and_then(|bytes| <&Page>::try_from(bytes).ok());
                if let Some(slot) = list.get_mut(page as usize) {
                    *slot = bytes.filter(|bytes| !is_zero(&bytes[..])).map(|bytes| Arc::new(*bytes));
                }
            }
        }
        self.baseline = Some(Arc::clone(&pages));
        let overlays = self.chipset().media.iter().map(Medium::overlay).collect();
        Snapshot { walk: self.walk(), pending_inputs: self.inputs.timed.clone(), pages, overlays }
    }

    /// Go back (or forth) to `snapshot`. Costs in proportion to the pages that differ.
    ///
    /// # Errors
    /// The snapshot is of another kind of machine; nothing has changed then.
    pub fn restore(&mut self, snapshot: &Snapshot) -> Result<(), RestoreError> {
        let walked: Walked = postcard::from_bytes(&snapshot.walk)?;
        let machine = self.cpu.mem.ram_size();
        if walked.ram_size != machine {
            return Err(RestoreError::RamSize { snapshot: walked.ram_size, machine });
        }
        let media = &self.chipset().media;
        let fits = |(medium, summary): (&Medium, &Summary)| medium.sectors() == summary.sectors();
        if media.len() != walked.media.len() || !media.iter().zip(&walked.media).all(fits) {
            return Err(RestoreError::Disks);
        }
        self.restore_pages(&snapshot.pages);
        self.cpu.regs = walked.regs;
        self.cpu.fpu = walked.fpu;
        self.cpu.simd = walked.simd;
        self.cpu.tlb.replace(walked.tlb);
        self.cpu.lines = walked.lines;
        self.cpu.set_clocks(walked.insns, walked.idle);
        self.cpu.state_changed();
        self.inputs.timed = snapshot.pending_inputs.clone();
        self.with_chipset(|chipset, cx| {
            chipset.devices = walked.devices;
            chipset.follow_pci();
            chipset.map_memory(cx.mem);
            chipset
                .media
                .iter_mut()
                .zip(&snapshot.overlays)
                .for_each(|(medium, overlay)| medium.restore(overlay));
            chipset.update_lines(cx.lines);
        });
        Ok(())
    }

    fn restore_pages(&mut self, wanted: &Arc<Pages>) {
        let mut stale = self.cpu.take_dirty_pages(DIRTY_FOR_SNAPSHOT);
        match &self.baseline {
            Some(now) if Arc::ptr_eq(now, wanted) => {}
            Some(now) => {
                let differ = |page: &usize| match (&now[*page], &wanted[*page]) {
                    (Some(a), Some(b)) => !Arc::ptr_eq(a, b),
                    (a, b) => a.is_some() != b.is_some(),
                };
                stale.extend((0..wanted.len()).filter(differ).map(|page| page as u32));
                stale.sort_unstable();
                stale.dedup();
            }
            None => stale = (0..wanted.len() as u32).collect(),
        }
        self.with_chipset(|_, cx| {
            for page in stale {
                let bytes: Cow<'_, [u8]> = match &wanted[page as usize] {
                    Some(bytes) => Cow::Borrowed(&bytes[..]),
                    None => Cow::Owned(vec![0; PAGE_SIZE]),
                };
                // Not writing what is there already spares a fresh mapping its page faults, and decoded code.
                if cx.mem.page(page as usize) != Some(&bytes[..]) {
                    cx.mem.write_backing(page as usize * PAGE_SIZE, &bytes);
                }
            }
        });
        self.cpu.take_dirty_pages(DIRTY_FOR_SNAPSHOT);
        self.baseline = Some(Arc::clone(wanted));
    }
}

pub(crate) type Baseline = Option<Arc<Pages>>;

#[cfg(test)]
mod tests;
