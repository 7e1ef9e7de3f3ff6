//! Physical address space: which pages are RAM, ROM or devices, and what has been written since somebody asked.
//!
//! Physical RAM address and index into the backing store are the same number, so a map entry is only needed where
//! the address space is *not* RAM: the legacy hole, ROM, device windows. ROM contents live in the backing store too.
//!
//! Invariants:
//! * Every write to RAM from whatever side passes through here or through a TLB fast entry, and a fast write entry
//!   exists only for pages that are already marked dirty for every consumer and hold no decoded code.
//! * Writes to a page that holds decoded code are queued in [`PhysMem::take_code_writes`].

use super::Ram;
use crate::word::Word;

/// Size of a page of the smallest kind, in bytes.
pub const PAGE_SIZE: usize = 4096;
const PAGE_SHIFT: u32 = 12;

/// What an explicitly mapped region of physical addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// Read-only memory; writes vanish.
    Rom,
    /// Accesses go to the bus.
    Mmio,
}

/// What one page of physical addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageKind {
    /// Backed by RAM at this offset of the backing store.
    Ram(u32),
    /// Backed by ROM at this offset of the backing store.
    Rom(u32),
    /// A device (or nothing at all): goes to the bus.
    Bus,
}

/// One store into a page that holds decoded instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodeWrite {
    /// Physical address of the first byte written.
    pub addr: u32,
    /// Number of bytes written.
    pub len: u32,
}

#[derive(Clone, Copy, Debug)]
struct Region {
    first_page: u32,
    last_page: u32,
    kind: RegionKind,
}

/// Page holds decoded instructions: writes must be reported.
const HAS_CODE: u8 = 0x80;
/// One bit for each consumer of dirty information.
const DIRTY_ALL: u8 = 0x7F;

/// The physical address space of the machine.
pub struct PhysMem {
    ram: Ram,
    ram_size: u64,
    regions: Vec<Region>,
    flags: Vec<u8>,
    code_writes: Vec<CodeWrite>,
}

impl PhysMem {
    /// Address space whose RAM starts at address 0 and fills `ram`. A length that is no multiple of the page size
    /// is rounded down.
    pub fn new(ram: Ram) -> PhysMem {
        let pages = ram.len().min(1 << 32) / PAGE_SIZE;
        PhysMem {
            ram,
            ram_size: (pages * PAGE_SIZE) as u64,
            regions: Vec::new(),
            flags: vec![DIRTY_ALL; pages],
            code_writes: Vec::new(),
        }
    }

    /// Bytes of RAM (holes included).
    pub fn ram_size(&self) -> u64 {
        self.ram_size
    }

    /// Declare that the pages of `[start, start + len)` are not plain RAM. A later call overrides an earlier one.
    /// The caller must flush the TLB's cached views afterwards.
    pub fn map(&mut self, start: u64, len: u64, kind: RegionKind) {
        if len == 0 {
            return;
        }
        let first_page = (start >> PAGE_SHIFT) as u32;
        let last_page = ((start + len - 1) >> PAGE_SHIFT) as u32;
        self.regions.insert(0, Region { first_page, last_page, kind });
    }

    /// What lives at the page of physical address `addr`.
    pub fn page_kind(&self, addr: u64) -> PageKind {
        let Ok(page) = u32::try_from(addr >> PAGE_SHIFT) else { return PageKind::Bus };
        let region = self.regions.iter().find(|r| (r.first_page..=r.last_page).contains(&page));
        match region.map(|r| r.kind) {
            Some(RegionKind::Mmio) => PageKind::Bus,
            _ if addr >= self.ram_size => PageKind::Bus,
            Some(RegionKind::Rom) => PageKind::Rom(page << PAGE_SHIFT),
            None => PageKind::Ram(page << PAGE_SHIFT),
        }
    }

    /// Read from the backing store at a RAM or ROM offset that a TLB entry vouches for; zero out of range.
    #[inline(always)]
    pub fn read_at<W: Word>(&self, offset: u32) -> W {
        W::read_le(&self.ram, offset as usize)
    }

    /// Write to the backing store at an offset that a *write* TLB entry vouches for; nothing out of range.
    #[inline(always)]
    pub(crate) fn write_at<W: Word>(&mut self, offset: u32, value: W) {
        value.write_le(&mut self.ram, offset as usize);
    }

    /// Write `value` `count` times from an offset on; as [`Self::write_at`].
    pub(crate) fn fill_at<W: Word>(&mut self, offset: u32, value: W, count: u32) {
        let start = offset as usize;
        let Some(bytes) = self.ram.get_mut(start..start + (count * W::BYTES) as usize) else { return };
        for element in bytes.chunks_exact_mut(W::BYTES as usize) {
            value.write_le(element, 0);
        }
    }

    /// Copy `len` bytes; both ends as in [`Self::read_at`] and [`Self::write_at`].
    pub(crate) fn copy_at(&mut self, from: u32, to: u32, len: u32) {
        let (from, to, len) = (from as usize, to as usize, len as usize);
        if from.max(to) + len <= self.ram.len() {
            self.ram.copy_within(from..from + len, to);
        }
    }

    /// Write to RAM from anywhere: marks the page dirty and reports writes to code. `offset..+size` is in one page.
    pub fn write_ram<W: Word>(&mut self, offset: u32, value: W) {
        self.touch(offset, W::BYTES);
        value.write_le(&mut self.ram, offset as usize);
    }

    /// Borrow `len` bytes at physical address `addr` if they are all RAM or ROM.
    pub fn slice(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let end = addr.checked_add(len as u64)?;
        let mut page = addr & !(PAGE_SIZE as u64 - 1);
        while page < end {
            if self.page_kind(page) == PageKind::Bus {
                return None;
            }
            page += PAGE_SIZE as u64;
        }
        self.ram.get(addr as usize..end as usize)
    }

    /// Copy `bytes` to physical address `addr` as a device's DMA or a loader does. False (and nothing written) if
    /// any of it is not RAM.
    pub fn write_bytes(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let Some(end) = addr.checked_add(bytes.len() as u64) else { return false };
        let mut page = addr & !(PAGE_SIZE as u64 - 1);
        while page < end {
            if !matches!(self.page_kind(page), PageKind::Ram(_)) {
                return false;
            }
            page += PAGE_SIZE as u64;
        }
        self.store_backing(addr as usize, bytes)
    }

    /// Install ROM contents: like [`Self::write_bytes`] but also into ROM pages.
    pub fn write_rom(&mut self, addr: u64, bytes: &[u8]) -> bool {
        addr.checked_add(bytes.len() as u64).is_some_and(|end| end <= self.ram_size)
            && self.store_backing(addr as usize, bytes)
    }

    fn store_backing(&mut self, start: usize, bytes: &[u8]) -> bool {
        let mut at = start;
        let mut rest = bytes;
        while !rest.is_empty() {
            let n = rest.len().min(PAGE_SIZE - at % PAGE_SIZE);
            let (chunk, tail) = rest.split_at(n);
            let Some(dst) = self.ram.get_mut(at..at + n) else { return false };
            dst.copy_from_slice(chunk);
            self.touch(at as u32, n as u32);
            at += n;
            rest = tail;
        }
        true
    }

    /// Mark a write of `len` bytes (within one page) that is about to happen at RAM offset `offset`.
    pub(crate) fn touch(&mut self, offset: u32, len: u32) {
        if let Some(flags) = self.flags.get_mut(offset as usize >> PAGE_SHIFT) {
            *flags |= DIRTY_ALL;
            if *flags & HAS_CODE != 0 {
                self.code_writes.push(CodeWrite { addr: offset, len });
            }
        }
    }

    /// Whether stores to the page at RAM `offset` may bypass [`Self::write_ram`].
    pub(crate) fn allows_fast_writes(&self, offset: u32) -> bool {
        self.flags.get(offset as usize >> PAGE_SHIFT) == Some(&DIRTY_ALL)
    }

    /// Note that the page at `offset` now holds (or no longer holds) decoded code. Returns true when that changed;
    /// the caller must then drop fast write entries.
    pub(crate) fn set_has_code(&mut self, offset: u32, has: bool) -> bool {
        let Some(flags) = self.flags.get_mut(offset as usize >> PAGE_SHIFT) else { return false };
        let old = *flags;
        *flags = if has { old | HAS_CODE } else { old & !HAS_CODE };
        *flags != old
    }

    /// Whether stores into decoded code are waiting to be handled.
    #[inline(always)]
    pub fn has_code_writes(&self) -> bool {
        !self.code_writes.is_empty()
    }

    /// Stores into pages with decoded code since the last call, in order.
    pub(crate) fn take_code_writes(&mut self) -> Vec<CodeWrite> {
        std::mem::take(&mut self.code_writes)
    }

    /// Number of RAM pages.
    pub fn page_count(&self) -> usize {
        self.flags.len()
    }

    /// The bytes of RAM page `page`, if there is such a page.
    pub fn page(&self, page: usize) -> Option<&[u8]> {
        self.ram.get(page.checked_mul(PAGE_SIZE)?..page.checked_add(1)? * PAGE_SIZE)
    }

    /// Take the pages written since the last call with the same `consumer` (0 to 6), ascending. The first call
    /// returns every page. The caller must drop the TLB's fast write entries afterwards
    /// (see `Cpu::take_dirty_pages`, which does both).
    pub(crate) fn take_dirty(&mut self, consumer: u8) -> Vec<u32> {
        let bit = 1u8 << (consumer % 7);
        let mut pages = Vec::new();
        for (page, flags) in self.flags.iter_mut().enumerate() {
            if *flags & bit != 0 {
                *flags &= !bit;
                pages.push(page as u32);
            }
        }
        pages
    }
}
