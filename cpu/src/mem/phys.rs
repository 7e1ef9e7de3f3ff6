//! Physical address space: which pages are RAM, ROM or devices, and what has been written since somebody asked.
//!
//! Physical RAM address and index into the backing store are the same number, so a map entry is only needed where
//! the address space is *not* plain RAM: the legacy hole, ROM, device windows. What backs ROM and device memory lies
//! in the store after RAM, so that one address can show ROM now and the RAM under it later.
//!
//! Invariants:
//! * Every write to RAM from whatever side passes through here or through a TLB fast entry, and a fast write entry
//!   exists only for pages that are already marked dirty for every consumer and hold no decoded code.
//! * Writes to a page that holds decoded code are queued in [`PhysMem::take_code_writes`].

use super::Ram;
use super::copy::copy;
use crate::word::Word;

/// Size of a page of the smallest kind, in bytes.
pub const PAGE_SIZE: usize = 4096;
const PAGE_SHIFT: u32 = 12;

/// What an explicitly mapped region of physical addresses is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RegionKind {
    /// Memory, from this offset of the backing store on (a multiple of the page size).
    Ram(u32),
    /// The same read-only; writes vanish.
    Rom(u32),
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

impl Region {
    fn contains(&self, page: u32) -> bool {
        (self.first_page..=self.last_page).contains(&page)
    }
}

/// Page holds decoded instructions: writes must be reported.
const HAS_CODE: u8 = 0x80;
/// One bit for each consumer of dirty information.
const DIRTY_ALL: u8 = 0x7F;

/// The physical address space of the machine.
pub struct PhysMem {
    ram: Ram,
    ram_size: u64,
    /// Latest first.
    regions: Vec<Region>,
    /// First and one past the last page of a range that no region touches: most of RAM.
    plain: (u32, u32),
    remapped: bool,
    flags: Vec<u8>,
    code_writes: Vec<CodeWrite>,
}

impl PhysMem {
    /// Address space whose RAM starts at address 0 and fills `ram`. A length that is no multiple of the page size
    /// is rounded down.
    pub fn new(ram: Ram) -> PhysMem {
        let all = ram.len() as u64;
        PhysMem::with_backing(ram, all)
    }

    /// Address space with `ram_size` bytes of RAM from address 0 on. What `store` has beyond that shows only where
    /// [`Self::map`] puts it.
    pub fn with_backing(store: Ram, ram_size: u64) -> PhysMem {
        let pages = store.len().min(1 << 32) / PAGE_SIZE;
        let ram_pages = (ram_size / PAGE_SIZE as u64).min(pages as u64);
        PhysMem {
            ram: store,
            ram_size: ram_pages * PAGE_SIZE as u64,
            regions: Vec::new(),
            plain: (0, 0),
            remapped: false,
            flags: vec![DIRTY_ALL; pages],
            code_writes: Vec::new(),
        }
    }

    /// Where the backing store begins.
    #[cfg(jit)]
    pub(crate) fn backing(&self) -> *const u8 {
        self.ram.as_ptr()
    }

    /// Bytes of RAM (holes included).
    pub fn ram_size(&self) -> u64 {
        self.ram_size
    }

    /// Declare what the pages of `[start, start + len)` are from now on; elsewhere, addresses up to the RAM size are
    /// RAM. A later call overrides an earlier one. Outside a bus call the caller must drop the TLB's fast views
    /// afterwards (see `Cpu::map_region`, which does both).
    pub fn map(&mut self, start: u64, len: u64, kind: RegionKind) {
        if len == 0 {
            return;
        }
        let first_page = (start >> PAGE_SHIFT) as u32;
        let last_page = ((start + len - 1) >> PAGE_SHIFT) as u32;
        // A window that is switched to and fro takes no more room than one that is not.
        self.regions.retain(|r| r.first_page < first_page || r.last_page > last_page);
        self.regions.insert(0, Region { first_page, last_page, kind });
        self.remapped = true;
        self.plain = self.longest_plain();
    }

    /// The longest range of RAM pages without regions.
    fn longest_plain(&self) -> (u32, u32) {
        let pages = (self.ram_size >> PAGE_SHIFT) as u32;
        let starts = std::iter::once(0).chain(self.regions.iter().map(|r| r.last_page.saturating_add(1)));
        let end = |start: u32| {
            let after = self.regions.iter().filter(|r| r.last_page >= start).map(|r| r.first_page);
            after.min().unwrap_or(pages).min(pages)
        };
        let ranges = starts.map(|start| (start, end(start))).filter(|(start, end)| start < end);
        ranges.max_by_key(|(start, end)| end - start).unwrap_or((0, 0))
    }

    /// Whether the map has changed since the last call.
    pub(crate) fn take_remapped(&mut self) -> bool {
        std::mem::take(&mut self.remapped)
    }

    /// What lives at the page of physical address `addr`.
    #[inline(always)]
    pub fn page_kind(&self, addr: u64) -> PageKind {
        let Ok(page) = u32::try_from(addr >> PAGE_SHIFT) else { return PageKind::Bus };
        if (self.plain.0..self.plain.1).contains(&page) {
            return PageKind::Ram(page << PAGE_SHIFT);
        }
        self.mapped_kind(addr, page)
    }

    /// The same where regions are.
    #[cold]
    fn mapped_kind(&self, addr: u64, page: u32) -> PageKind {
        let Some(region) = self.regions.iter().find(|r| r.contains(page)) else {
            return if addr < self.ram_size { PageKind::Ram(page << PAGE_SHIFT) } else { PageKind::Bus };
        };
        let (base, kind): (u32, fn(u32) -> PageKind) = match region.kind {
            RegionKind::Ram(base) => (base, PageKind::Ram),
            RegionKind::Rom(base) => (base, PageKind::Rom),
            RegionKind::Mmio => return PageKind::Bus,
        };
        let offset = u64::from(base) + (u64::from(page - region.first_page) << PAGE_SHIFT);
        if offset >> PAGE_SHIFT < self.flags.len() as u64 { kind(offset as u32) } else { PageKind::Bus }
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

    /// `len` bytes of the backing store; as [`Self::read_at`], but nothing out of range.
    pub(crate) fn bytes_at(&self, offset: u32, len: u32) -> Option<&[u8]> {
        self.ram.get(offset as usize..)?.get(..len as usize)
    }

    /// `N` bytes of the backing store; as [`Self::read_at`], but nothing out of range.
    #[cfg(jit)]
    #[inline(always)]
    pub(crate) fn array_at<const N: usize>(&self, offset: u32) -> Option<&[u8; N]> {
        self.ram.get(offset as usize..)?.first_chunk()
    }

    /// The same to be written; as [`Self::write_at`].
    #[cfg(jit)]
    #[inline(always)]
    pub(crate) fn array_at_mut<const N: usize>(&mut self, offset: u32) -> Option<&mut [u8; N]> {
        self.ram.get_mut(offset as usize..)?.first_chunk_mut()
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
            copy(&mut self.ram, from, to, len);
        }
    }

    /// Write to RAM from anywhere: marks the page dirty and reports writes to code. `offset..+size` is in one page.
    pub fn write_ram<W: Word>(&mut self, offset: u32, value: W) {
        self.touch(offset, W::BYTES);
        value.write_le(&mut self.ram, offset as usize);
    }

    /// Offset in the backing store of the `len` bytes at physical address `addr`, if each of their pages is one that
    /// `accept` takes and they lie there in one piece.
    fn contiguous(&self, addr: u64, len: usize, accept: fn(PageKind) -> Option<u32>) -> Option<usize> {
        let end = addr.checked_add(len as u64)?;
        let first_page = addr & !(PAGE_SIZE as u64 - 1);
        let start = accept(self.page_kind(first_page))?;
        let in_one_piece = (first_page..end).step_by(PAGE_SIZE).all(|page| {
            accept(self.page_kind(page))
                .is_some_and(|at| u64::from(at) == u64::from(start) + (page - first_page))
        });
        in_one_piece.then(|| start as usize + (addr - first_page) as usize)
    }

    /// Borrow `len` bytes at physical address `addr` if they are all RAM or ROM.
    pub fn slice(&self, addr: u64, len: usize) -> Option<&[u8]> {
        let start = self.contiguous(addr, len, |kind| match kind {
            PageKind::Ram(offset) | PageKind::Rom(offset) => Some(offset),
            PageKind::Bus => None,
        })?;
        self.ram.get(start..start.checked_add(len)?)
    }

    /// Copy `bytes` to physical address `addr` as a device's DMA or a loader does. False (and nothing written) if
    /// any of it is not RAM.
    pub fn write_bytes(&mut self, addr: u64, bytes: &[u8]) -> bool {
        let start = self.contiguous(addr, bytes.len(), |kind| match kind {
            PageKind::Ram(offset) => Some(offset),
            PageKind::Rom(_) | PageKind::Bus => None,
        });
        start.is_some_and(|start| self.write_backing(start, bytes))
    }

    /// Copy `bytes` into the backing store from offset `start` on, whatever it backs. False (and nothing written) if
    /// they do not fit.
    pub fn write_backing(&mut self, start: usize, bytes: &[u8]) -> bool {
        if start.checked_add(bytes.len()).is_none_or(|end| end > self.flags.len() * PAGE_SIZE) {
            return false;
        }
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

    /// Whether the page at `offset` holds decoded code.
    pub(crate) fn has_code(&self, offset: u32) -> bool {
        self.flags.get(offset as usize >> PAGE_SHIFT).is_some_and(|flags| flags & HAS_CODE != 0)
    }

    /// Whether stores into decoded code are waiting to be handled.
    #[inline(always)]
    pub fn has_code_writes(&self) -> bool {
        !self.code_writes.is_empty()
    }

    /// Stores into pages with decoded code since the last call, in order. Give the room back with [`Self::put_code_writes`].
    pub(crate) fn take_code_writes(&mut self) -> Vec<CodeWrite> {
        std::mem::take(&mut self.code_writes)
    }

    /// Room for the next stores into code.
    pub(crate) fn put_code_writes(&mut self, mut room: Vec<CodeWrite>) {
        room.clear();
        self.code_writes = room;
    }

    /// Number of pages of the backing store.
    pub fn page_count(&self) -> usize {
        self.flags.len()
    }

    /// The bytes of page `page` of the backing store, if there is such a page.
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

#[cfg(test)]
mod tests {
    use super::*;

    /// Four pages of RAM and two more of backing store.
    fn memory() -> PhysMem {
        PhysMem::with_backing(Ram::zeroed(6 * PAGE_SIZE), 4 * PAGE_SIZE as u64)
    }

    #[test]
    fn the_store_behind_ram_shows_only_where_it_is_mapped() {
        let mut mem = memory();
        assert_eq!(mem.page_kind(0x4000), PageKind::Bus);
        mem.map(0x1000, 0x2000, RegionKind::Rom(0x4000));
        mem.map(0xFFFF_F000, 0x1000, RegionKind::Ram(0x5000));
        assert_eq!(mem.page_kind(0x2FFF), PageKind::Rom(0x5000));
        assert_eq!(mem.page_kind(0xFFFF_F123), PageKind::Ram(0x5000));
        assert!(mem.write_bytes(0xFFFF_FFFF, b"x") && !mem.write_bytes(0xFFFF_FFFF, b"xy"));
        assert_eq!(mem.slice(0x2FFF, 1), Some(&b"x"[..]));
        assert!(!mem.write_bytes(0x1000, b"x"), "ROM");
        // The regions are no more contiguous in the store than they are of one kind.
        assert!(mem.slice(0x2FFF, 2).is_none() && mem.slice(0x0FFF, 2).is_none());
        assert!(mem.slice(0x1FFF, 2).is_some() && mem.slice(0x2FFF, usize::MAX).is_none());
    }

    #[test]
    fn switching_a_window_replaces_it() {
        let mut mem = memory();
        for n in 0..1000 {
            let kind = if n % 2 == 0 { RegionKind::Mmio } else { RegionKind::Ram(0x1000) };
            mem.map(0x1000, 0x2000, kind);
        }
        assert_eq!((mem.regions.len(), mem.page_kind(0x1000)), (1, PageKind::Ram(0x1000)));
        assert!(mem.take_remapped() && !mem.take_remapped());
        mem.map(0x2000, 0x1000, RegionKind::Mmio);
        assert_eq!((mem.page_kind(0x1000), mem.page_kind(0x2000)), (PageKind::Ram(0x1000), PageKind::Bus));
    }

    #[test]
    fn a_region_beyond_the_store_is_the_bus() {
        let mut mem = memory();
        mem.map(0x1000, 0x3000, RegionKind::Ram(0x5000));
        assert_eq!((mem.page_kind(0x1000), mem.page_kind(0x2000)), (PageKind::Ram(0x5000), PageKind::Bus));
        assert!(!mem.write_backing(6 * PAGE_SIZE - 1, b"xy") && mem.write_backing(6 * PAGE_SIZE - 1, b"x"));
    }
}
