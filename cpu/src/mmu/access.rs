//! Reading and writing memory: segmented (checked against the hidden part), linear, and physical.
//!
//! The fast path is one compare against a fast view. Everything unusual (a walk, a page crossing, a device, a page
//! with code, an alignment check, a watchpoint) ends in `*_slow`, which gives the same result at leisure.

use super::Access;
use super::TlbEntry;
use super::tlb::{Rights, View};
use crate::Cpu;
use crate::fault::Fault;
use crate::mem::{PageKind, RegionKind};
use crate::seg::SegReg;
use crate::word::Word;

/// Bytes of the longest access that compiled code makes.
#[cfg(jit)]
const LONGEST: u32 = 16;

/// A place in memory that was checked for reading and writing and is about to be written.
#[derive(Clone, Copy, Debug)]
pub struct Checked {
    linear: u32,
}

impl Cpu {
    /// Read `W` at `seg:offset`.
    ///
    /// # Errors
    /// #GP(0) or #SS(0) for the segment, #AC(0), #PF.
    #[inline(always)]
    pub fn load<W: Word>(&mut self, seg: SegReg, offset: u32) -> Result<W, Fault> {
        let s = &self.regs.seg[seg as usize];
        if !s.allows_read(offset, W::BYTES) {
            return Err(segment_fault(seg));
        }
        let linear = s.base.wrapping_add(offset);
        self.load_linear(linear)
    }

    /// Write `W` at `seg:offset`. Nothing is written unless everything is permitted.
    ///
    /// # Errors
    /// As [`Self::load`].
    #[inline(always)]
    pub fn store<W: Word>(&mut self, seg: SegReg, offset: u32, value: W) -> Result<(), Fault> {
        let s = &self.regs.seg[seg as usize];
        if !s.allows_write(offset, W::BYTES) {
            return Err(segment_fault(seg));
        }
        let linear = s.base.wrapping_add(offset);
        self.store_linear(linear, value)
    }

    /// Read for a read-modify-write: the access counts as a write from the start (SDM vol. 3, 4.7 W/R), so the
    /// following [`Self::commit`] cannot fault.
    ///
    /// # Errors
    /// As [`Self::load`].
    #[inline(always)]
    pub fn load_to_modify<W: Word>(&mut self, seg: SegReg, offset: u32) -> Result<(W, Checked), Fault> {
        let s = &self.regs.seg[seg as usize];
        if !s.allows_write(offset, W::BYTES) || !s.allows_read(offset, W::BYTES) {
            return Err(segment_fault(seg));
        }
        let linear = s.base.wrapping_add(offset);
        let fast = self.tlb.fast(self.view, linear);
        if fast.write == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES {
            return Ok((self.mem.read_at(linear.wrapping_add(fast.delta)), Checked { linear }));
        }
        self.prepare_write::<W>(linear, self.regs.cpl == 3)?;
        Ok((self.load_linear(linear)?, Checked { linear }))
    }

    /// Second half of a read-modify-write.
    #[inline(always)]
    pub fn commit<W: Word>(&mut self, place: Checked, value: W) -> Result<(), Fault> {
        self.store_linear(place.linear, value)
    }

    /// Check that `W` could be written at `seg:offset` without writing it (ENTER, INS, far calls).
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn probe_write<W: Word>(&mut self, seg: SegReg, offset: u32) -> Result<(), Fault> {
        let s = &self.regs.seg[seg as usize];
        if !s.allows_write(offset, W::BYTES) {
            return Err(segment_fault(seg));
        }
        let linear = s.base.wrapping_add(offset);
        self.prepare_write::<W>(linear, self.regs.cpl == 3)
    }

    /// Read at a linear address with the rights of the current privilege level.
    #[inline(always)]
    pub fn load_linear<W: Word>(&mut self, linear: u32) -> Result<W, Fault> {
        let fast = self.tlb.fast(self.view, linear);
        if fast.read == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES {
            return Ok(self.mem.read_at(linear.wrapping_add(fast.delta)));
        }
        self.load_slow(linear, self.regs.cpl == 3)
    }

    /// Write at a linear address with the rights of the current privilege level.
    #[inline(always)]
    pub fn store_linear<W: Word>(&mut self, linear: u32, value: W) -> Result<(), Fault> {
        let fast = self.tlb.fast(self.view, linear);
        if fast.write == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES {
            self.mem.write_at(linear.wrapping_add(fast.delta), value);
            return Ok(());
        }
        self.store_slow(linear, value, self.regs.cpl == 3)
    }

    /// Read as the processor does for itself (descriptor tables, TSS): supervisor rights whatever the CPL.
    ///
    /// # Errors
    /// #PF.
    pub(crate) fn load_system<W: Word>(&mut self, linear: u32) -> Result<W, Fault> {
        let fast = self.tlb.fast(View::Supervisor, linear);
        if fast.read == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES {
            return Ok(self.mem.read_at(linear.wrapping_add(fast.delta)));
        }
        self.unchecked_alignment(|cpu| cpu.load_slow(linear, false))
    }

    /// Write as the processor does for itself (accessed and busy bits, TSS, stack frames of inner rings).
    ///
    /// # Errors
    /// #PF.
    pub(crate) fn store_system<W: Word>(&mut self, linear: u32, value: W) -> Result<(), Fault> {
        let fast = self.tlb.fast(View::Supervisor, linear);
        if fast.write == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES {
            self.mem.write_at(linear.wrapping_add(fast.delta), value);
            return Ok(());
        }
        self.unchecked_alignment(|cpu| cpu.store_slow(linear, value, false))
    }

    /// Check that a system write of `W` at `linear` would succeed.
    ///
    /// # Errors
    /// #PF.
    pub(crate) fn probe_system_write<W: Word>(&mut self, linear: u32) -> Result<(), Fault> {
        self.unchecked_alignment(|cpu| cpu.prepare_write::<W>(linear, false))
    }

    /// The alignment check applies to the program's accesses at CPL 3 only.
    fn unchecked_alignment<R>(&mut self, f: impl FnOnce(&mut Cpu) -> R) -> R {
        let view = std::mem::replace(&mut self.view, View::Supervisor);
        let result = f(self);
        self.view = view;
        result
    }

    #[cold]
    #[inline(never)]
    fn load_slow<W: Word>(&mut self, linear: u32, user: bool) -> Result<W, Fault> {
        self.check_alignment::<W>(linear)?;
        let first = self.translate(linear, Access::Read, user)?;
        let in_page = 0x1000 - (linear & 0xFFF);
        let value = if in_page >= W::BYTES {
            self.remember_fast(linear, first, Access::Read, user);
            self.phys_read(first)
        } else {
            let second = self.translate(linear.wrapping_add(in_page), Access::Read, user)?;
            let mut value = 0u64;
            for i in 0..W::BYTES {
                let at = if i < in_page { first + i as u64 } else { second + (i - in_page) as u64 };
                value |= (self.phys_read::<u8>(at) as u64) << (8 * i);
            }
            W::from_u64(value)
        };
        self.note_watchpoint(linear, W::BYTES, Access::Read);
        Ok(value)
    }

    #[cold]
    #[inline(never)]
    fn store_slow<W: Word>(&mut self, linear: u32, value: W, user: bool) -> Result<(), Fault> {
        self.check_alignment::<W>(linear)?;
        let first = self.translate(linear, Access::Write, user)?;
        let in_page = 0x1000 - (linear & 0xFFF);
        if in_page >= W::BYTES {
            self.phys_write(first, value);
            self.remember_fast(linear, first, Access::Write, user);
        } else {
            let second = self.translate(linear.wrapping_add(in_page), Access::Write, user)?;
            for i in 0..W::BYTES {
                let at = if i < in_page { first + i as u64 } else { second + (i - in_page) as u64 };
                self.phys_write(at, (value.to_u64() >> (8 * i)) as u8);
            }
        }
        self.note_watchpoint(linear, W::BYTES, Access::Write);
        Ok(())
    }

    fn prepare_write<W: Word>(&mut self, linear: u32, user: bool) -> Result<(), Fault> {
        self.check_alignment::<W>(linear)?;
        self.translate(linear, Access::Write, user)?;
        let in_page = 0x1000 - (linear & 0xFFF);
        if in_page < W::BYTES {
            self.translate(linear.wrapping_add(in_page), Access::Write, user)?;
        }
        Ok(())
    }

    fn check_alignment<W: Word>(&self, linear: u32) -> Result<(), Fault> {
        if self.view == View::Checked && linear & (W::BYTES - 1) != 0 { Err(Fault::AC) } else { Ok(()) }
    }

    /// Make the next access to this page fast if it is plain RAM and nobody watches it.
    fn remember_fast(&mut self, linear: u32, phys: u64, access: Access, user: bool) {
        let view = if user { View::User } else { View::Supervisor };
        if self.view == View::Checked || self.watches_page(linear) {
            return;
        }
        if access == Access::Write && self.is_known_code(view, linear) {
            return;
        }
        let entry = self.paging().then(|| self.tlb.lookup(linear));
        if let Some((offset, rights)) = self.fast_rights(view, phys, entry) {
            self.tlb.fill_fast(view, linear, offset, access, rights);
        }
    }

    /// The place in the backing store of the page at `phys`, translated by `entry` if there is paging, and what may be fast there;
    /// `None` for a device.
    #[inline(always)]
    fn fast_rights(&self, view: View, phys: u64, entry: Option<TlbEntry>) -> Option<(u32, Rights)> {
        let (offset, ram) = match self.mem.page_kind(self.gate_a20(phys)) {
            PageKind::Ram(offset) => (offset, true),
            PageKind::Rom(offset) => (offset, false),
            PageKind::Bus => return None,
        };
        let write = ram && self.mem.allows_fast_writes(offset);
        let user = view == View::User;
        let rights = match entry {
            Some(entry) => Rights {
                write: write && entry.is_dirty() && self.permits(entry, Access::Write, user),
                fetch: self.permits(entry, Access::Fetch, user),
                join: false,
            },
            None => Rights { write, fetch: true, join: true },
        };
        Some((offset, rights))
    }

    /// Reads of the page at `linear` are fast, and it has code: no need to find out again that writes are not.
    fn is_known_code(&self, view: View, linear: u32) -> bool {
        let fast = self.tlb.fast(view, linear);
        fast.read == linear & !0xFFF && self.mem.has_code(linear.wrapping_add(fast.delta))
    }

    /// Compiled code found nothing in its flat view for a byte at `linear` that an instruction is about to read or write. Whether
    /// there is something now; if not, nothing has changed, and the instruction's handler knows why.
    ///
    /// It does what the handler's access would begin with, so it is exact as long as nothing comes before that access.
    #[cfg(jit)]
    pub(crate) fn refill(&mut self, linear: u32, access: Access) -> bool {
        let view = self.view;
        let (Some(flat), Some(jit)) = (&self.tlb.flat, &self.jit) else { return false };
        // Beyond the end of its segment an access does not get as far as a translation.
        if jit.ceiling() != 0 && linear.saturating_add(LONGEST - 1) >> 12 >= jit.ceiling() {
            return false;
        }
        if view == View::Checked || flat.permits(view as usize, linear, access) || self.watches_page(linear) {
            return false;
        }
        if access == Access::Write && self.is_known_code(view, linear) {
            return false;
        }
        let (phys, entry) = if self.paging() {
            match self.translate_quietly(linear, access, view == View::User) {
                Some((phys, entry)) => (phys, Some(entry)),
                None => return false,
            }
        } else {
            (linear as u64, None)
        };
        let Some((offset, rights)) = self.fast_rights(view, phys, entry) else { return false };
        let Some(flat) = &mut self.tlb.flat else { return false };
        flat.fill(view, linear, offset, access, rights);
        !self.attention && flat.permits(view as usize, linear, access)
    }

    /// Backing-store offset of the code byte at linear address `linear`, or `None` if it is not in RAM or ROM.
    ///
    /// # Errors
    /// #PF.
    #[inline(always)]
    pub(crate) fn fetch_offset(&mut self, linear: u32) -> Result<Option<u32>, Fault> {
        // Alignment checks do not apply to fetches, so the privilege level alone picks the view.
        let view = if self.regs.cpl == 3 { View::User } else { View::Supervisor };
        let fast = self.tlb.fast(view, linear);
        if fast.fetch == linear & !0xFFF {
            return Ok(Some(linear.wrapping_add(fast.delta)));
        }
        self.fetch_offset_slow(linear)
    }

    #[cold]
    #[inline(never)]
    fn fetch_offset_slow(&mut self, linear: u32) -> Result<Option<u32>, Fault> {
        let user = self.regs.cpl == 3;
        let phys = self.translate(linear, Access::Fetch, user)?;
        self.remember_fast(linear, phys, Access::Fetch, user);
        Ok(match self.mem.page_kind(self.gate_a20(phys)) {
            PageKind::Ram(offset) | PageKind::Rom(offset) => Some(offset | phys as u32 & 0xFFF),
            PageKind::Bus => None,
        })
    }

    #[inline]
    pub(crate) fn gate_a20(&self, phys: u64) -> u64 {
        if self.lines.a20 { phys } else { phys & !(1 << 20) }
    }

    /// Read from a physical address; within one page.
    #[inline]
    pub(crate) fn phys_read<W: Word>(&mut self, addr: u64) -> W {
        let addr = self.gate_a20(addr);
        match self.mem.page_kind(addr) {
            PageKind::Ram(offset) | PageKind::Rom(offset) => self.mem.read_at(offset | addr as u32 & 0xFFF),
            PageKind::Bus => self.bus_read(addr),
        }
    }

    /// Write to a physical address; within one page.
    pub(crate) fn phys_write<W: Word>(&mut self, addr: u64, value: W) {
        let addr = self.gate_a20(addr);
        match self.mem.page_kind(addr) {
            PageKind::Ram(offset) => {
                self.mem.write_ram(offset | addr as u32 & 0xFFF, value);
                if self.mem.has_code_writes() {
                    self.invalidate_written_code();
                }
            }
            PageKind::Rom(_) => {}
            PageKind::Bus => self.bus_write(addr, value),
        }
    }

    /// Declare a region of the physical address space and forget views of what was there.
    pub fn map_region(&mut self, start: u64, len: u64, kind: RegionKind) {
        self.mem.map(start, len, kind);
        self.tlb.drop_fast();
    }
}

/// #SS(0) through SS, #GP(0) through any other segment register.
pub(crate) const fn segment_fault(seg: SegReg) -> Fault {
    match seg {
        SegReg::Ss => Fault::SS0,
        _ => Fault::GP0,
    }
}
