//! Translation lookaside buffer (SDM vol. 3, 4.10), as *architectural* state.
//!
//! An entry is made by a page walk and stays until an architectural invalidation (INVLPG, a load of CR3, a change of
//! CR0.PG, CR4.PAE/PSE/PGE, a task switch). Capacity is unlimited: there is one possible entry for each of the 2^20
//! pages, so that whether a stale translation is seen never depends on a replacement accident, and both engines and
//! every host agree. Entries are part of snapshots and of the state hash.
//!
//! In front of the entries sit *fast views*, small direct-mapped tables that answer "RAM, right permitted, nothing to
//! check" with one compare. They only cache: dropping them at any moment changes nothing but speed.

use super::Access;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

const L1: usize = 1024;
const FAST: usize = 1024;
/// A tag that no page-aligned address equals.
const NO_PAGE: u32 = 1;

/// One cached translation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TlbEntry(u64);

impl TlbEntry {
    const VALID: u64 = 1;
    const WRITABLE: u64 = 2;
    const USER: u64 = 4;
    const DIRTY: u64 = 8;
    const GLOBAL: u64 = 16;
    const NO_EXECUTE: u64 = 32;
    const LARGE: u64 = 64;
    /// Bookkeeping, not part of the entry: the page is in the list of live pages.
    const LISTED: u64 = 128;
    const FRAME: u64 = 0x000F_FFFF_FFFF_F000;

    /// A translation to the 4 KiB frame at physical address `frame`.
    pub const fn new(frame: u64) -> TlbEntry {
        TlbEntry(frame & Self::FRAME | Self::VALID)
    }
    const fn with(self, bit: u64, on: bool) -> TlbEntry {
        TlbEntry(if on { self.0 | bit } else { self.0 & !bit })
    }
    /// R/W of all levels combined.
    pub const fn writable(self, on: bool) -> TlbEntry {
        self.with(Self::WRITABLE, on)
    }
    /// U/S of all levels combined.
    pub const fn user(self, on: bool) -> TlbEntry {
        self.with(Self::USER, on)
    }
    /// The dirty bit in memory is set.
    pub const fn dirty(self, on: bool) -> TlbEntry {
        self.with(Self::DIRTY, on)
    }
    /// Survives a load of CR3.
    pub const fn global(self, on: bool) -> TlbEntry {
        self.with(Self::GLOBAL, on)
    }
    /// Instruction fetch is refused.
    pub const fn no_execute(self, on: bool) -> TlbEntry {
        self.with(Self::NO_EXECUTE, on)
    }
    /// Part of a 2 or 4 MiB page: INVLPG drops the whole large page.
    pub const fn large(self, on: bool) -> TlbEntry {
        self.with(Self::LARGE, on)
    }
    /// There is a translation.
    pub const fn is_valid(self) -> bool {
        self.0 & Self::VALID != 0
    }
    /// See [`Self::writable`].
    pub const fn is_writable(self) -> bool {
        self.0 & Self::WRITABLE != 0
    }
    /// See [`Self::user`].
    pub const fn is_user(self) -> bool {
        self.0 & Self::USER != 0
    }
    /// See [`Self::dirty`].
    pub const fn is_dirty(self) -> bool {
        self.0 & Self::DIRTY != 0
    }
    /// See [`Self::global`].
    pub const fn is_global(self) -> bool {
        self.0 & Self::GLOBAL != 0
    }
    /// See [`Self::no_execute`].
    pub const fn is_no_execute(self) -> bool {
        self.0 & Self::NO_EXECUTE != 0
    }
    /// See [`Self::large`].
    pub const fn is_large(self) -> bool {
        self.0 & Self::LARGE != 0
    }
    /// The same frame, and fetches allowed wherever `old` allowed them.
    pub(crate) const fn permits_all_of(self, old: TlbEntry) -> bool {
        let lost = old.0 & Self::USER & !self.0 | self.0 & Self::NO_EXECUTE & !old.0;
        self.0 & Self::FRAME == old.0 & Self::FRAME && lost == 0
    }
    /// Physical address of the 4 KiB frame.
    pub const fn frame(self) -> u64 {
        self.0 & Self::FRAME
    }
}

/// Which fast view an access uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum View {
    /// CPL 0 to 2, and the processor's own accesses to descriptor tables and TSS.
    Supervisor,
    /// CPL 3.
    User,
    /// Always empty: everything takes the slow path (alignment checks are on).
    Checked,
}

/// What else may be fast in a page of which an access is made fast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rights {
    pub write: bool,
    pub fetch: bool,
    /// Compiled code's accesses may go on into neighbours that are neighbours in RAM.
    #[cfg_attr(not(jit), expect(dead_code, reason = "only compiled code goes on into the next page"))]
    pub join: bool,
}

/// One line of a fast view. A tag is the linear address of the page, or [`NO_PAGE`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct FastEntry {
    pub read: u32,
    pub write: u32,
    pub fetch: u32,
    /// Added to a linear address in the page, gives the offset in the backing store.
    pub delta: u32,
}

const EMPTY: FastEntry = FastEntry { read: NO_PAGE, write: NO_PAGE, fetch: NO_PAGE, delta: 0 };

/// The TLB: architectural entries and the fast views over them.
pub struct Tlb {
    entries: Vec<Option<Box<[TlbEntry; L1]>>>,
    /// Page numbers that may have a valid entry, each once, in the order they were first made.
    live: Vec<u32>,
    /// Elements of `entries` with a valid entry of a large page. Derived.
    large: Lines,
    /// A global entry was made since everything was flushed. Derived.
    globals: bool,
    /// Pages of entries that a flush forgets while others stay; empty between flushes.
    forgotten: Vec<u32>,
    fast: [Box<[FastEntry; FAST]>; 3],
    /// Lines in use, per view: what a flush has to clear.
    used: [Lines; 2],
    /// The same for compiled code.
    #[cfg(jit)]
    pub(crate) flat: Option<super::flat::FlatViews>,
}

/// A set of lines of a fast view, or of elements of `entries`. Bounded, however often lines are filled.
#[derive(Clone)]
struct Lines([u64; FAST / 64]);

const _: () = assert!(L1 == FAST);

impl Lines {
    const NONE: Lines = Lines([0; FAST / 64]);

    fn insert(&mut self, line: usize) {
        self.0[line / 64] |= 1 << (line % 64);
    }

    fn remove(&mut self, line: usize) {
        self.0[line / 64] &= !(1 << (line % 64));
    }

    fn contains(&self, line: usize) -> bool {
        self.0[line / 64] & 1 << (line % 64) != 0
    }

    fn for_each(&self, mut f: impl FnMut(usize)) {
        for (n, &word) in self.0.iter().enumerate() {
            let mut rest = word;
            while rest != 0 {
                f(64 * n + rest.trailing_zeros() as usize);
                rest &= rest - 1;
            }
        }
    }
}

impl Default for Tlb {
    fn default() -> Self {
        Tlb {
            entries: vec![None; L1],
            live: Vec::new(),
            large: Lines::NONE,
            globals: false,
            forgotten: Vec::new(),
            fast: std::array::from_fn(|_| Box::new([EMPTY; FAST])),
            used: [Lines::NONE; 2],
            #[cfg(jit)]
            flat: None,
        }
    }
}

impl Tlb {
    /// The entry for the page of `linear`, invalid if there is none.
    #[inline]
    pub fn lookup(&self, linear: u32) -> TlbEntry {
        match &self.entries[(linear >> 22) as usize] {
            Some(table) => table[(linear >> 12) as usize % L1].with(TlbEntry::LISTED, false),
            None => TlbEntry::default(),
        }
    }

    /// Put `entry` in for the page of `linear`.
    pub fn insert(&mut self, linear: u32, entry: TlbEntry) {
        let table =
            self.entries[(linear >> 22) as usize].get_or_insert_with(|| Box::new([TlbEntry::default(); L1]));
        let slot = &mut table[(linear >> 12) as usize % L1];
        let old = std::mem::replace(slot, entry.with(TlbEntry::LISTED, true));
        if old.0 & TlbEntry::LISTED == 0 {
            self.live.push(linear >> 12);
        }
        if old.is_valid() {
            // While there was no entry no line could be fast.
            self.drop_fast_page(linear);
        }
        if entry.is_large() {
            self.large.insert((linear >> 22) as usize);
        }
        self.globals |= entry.is_global();
    }

    /// INVLPG: forget the page of `linear`, and all of a large page around it, whichever of its parts are cached
    /// (SDM vol. 3, 4.10.4.1).
    pub fn invalidate_page(&mut self, linear: u32, large_page_size: u32) {
        let region = (linear >> 22) as usize;
        if self.large.contains(region)
            && let Some(table) = &mut self.entries[region]
        {
            let pages = large_page_size as usize / 0x1000;
            let named = (linear >> 12) as usize % L1;
            let first = named / pages * pages;
            for (slot, n) in table[first..].iter_mut().zip(first..first + pages) {
                if slot.is_valid() && (slot.is_large() || n == named) {
                    *slot = TlbEntry(TlbEntry::LISTED);
                    self.forgotten.push((region * L1 + n) as u32);
                }
            }
            if !table.iter().any(|entry| entry.is_large()) {
                self.large.remove(region);
            }
            self.drop_fast_forgotten();
        } else if self.lookup(linear).is_valid()
            && let Some(table) = &mut self.entries[(linear >> 22) as usize]
        {
            // It stays listed: the list is tidied by the next flush.
            table[(linear >> 12) as usize % L1] = TlbEntry(TlbEntry::LISTED);
            self.drop_fast_page(linear);
        }
    }

    /// Forget everything (true) or everything not global (false).
    pub fn flush(&mut self, global_too: bool) {
        #[cfg(jit)]
        if let Some(flat) = &mut self.flat {
            flat.count_flush();
        }
        if global_too || !self.globals {
            for page in self.live.drain(..) {
                if let Some(table) = &mut self.entries[page as usize / L1] {
                    table[page as usize % L1] = TlbEntry::default();
                }
            }
            (self.large, self.globals) = (Lines::NONE, false);
            return self.drop_fast();
        }
        self.keep_globals();
        if self.live.is_empty() {
            self.globals = false;
            self.drop_fast();
            self.forgotten.clear();
        } else {
            // What is fast in global pages, the kernel's mostly, stays fast.
            self.drop_fast_forgotten();
        }
    }

    fn drop_fast_forgotten(&mut self) {
        let mut forgotten = std::mem::take(&mut self.forgotten);
        forgotten.drain(..).for_each(|page| self.drop_fast_page(page << 12));
        self.forgotten = forgotten;
    }

    /// Forget entries that are not global; their pages are `forgotten`. The caller drops what is fast in them.
    fn keep_globals(&mut self) {
        let (entries, forgotten) = (&mut self.entries, &mut self.forgotten);
        let mut large = Lines::NONE;
        forgotten.clear();
        self.live.retain(|&page| {
            let Some(table) = &mut entries[page as usize / L1] else { return false };
            let slot = &mut table[page as usize % L1];
            let kept = slot.is_valid() && slot.is_global();
            if !kept {
                if slot.is_valid() {
                    forgotten.push(page);
                }
                *slot = TlbEntry::default();
            } else if slot.is_large() {
                large.insert(page as usize / L1);
            }
            kept
        });
        self.large = large;
    }

    /// Take over the entries of `other` (restoring a snapshot). What caches them stays where it is, empty.
    pub fn replace(&mut self, other: Tlb) {
        self.drop_fast();
        (self.entries, self.live) = (other.entries, other.live);
        (self.large, self.globals) = (other.large, other.globals);
    }

    /// The fast line for `linear` in `view`.
    #[inline(always)]
    pub(crate) fn fast(&self, view: View, linear: u32) -> &FastEntry {
        &self.fast[view as usize][(linear >> 12) as usize % FAST]
    }

    /// Make accesses like `access` to the page of `linear` fast, data or fetches, as far as `rights` go. `offset` is the page's
    /// place in RAM.
    ///
    /// Each kind is made fast by an access of that kind, so that what is fast here is fast for compiled code.
    pub(crate) fn fill_fast(&mut self, view: View, linear: u32, offset: u32, access: Access, rights: Rights) {
        if view == View::Checked {
            return;
        }
        let page = linear & !0xFFF;
        let index = (linear >> 12) as usize % FAST;
        let tag = |on: bool| if on { page } else { NO_PAGE };
        let entry = &mut self.fast[view as usize][index];
        if ![entry.read, entry.fetch].contains(&page) {
            *entry = FastEntry { delta: (offset & !0xFFF).wrapping_sub(page), ..EMPTY };
        }
        match access {
            Access::Read | Access::Write => (entry.read, entry.write) = (page, tag(rights.write)),
            Access::Fetch => entry.fetch = tag(rights.fetch),
        }
        self.used[view as usize].insert(index);
        #[cfg(jit)]
        if let Some(flat) = &mut self.flat {
            flat.fill(view, linear, offset, access, rights);
        }
    }

    /// Forget every fast line: after a change of CR0.WP, A20, the memory map, breakpoints.
    pub fn drop_fast(&mut self) {
        for (view, used) in self.fast.iter_mut().zip(&mut self.used) {
            used.for_each(|line| view[line] = EMPTY);
            *used = Lines::NONE;
        }
        #[cfg(jit)]
        if let Some(flat) = &mut self.flat {
            flat.drop_all();
        }
    }

    /// Forget that writes are fast: after dirty bits were collected or a page got its first decoded code.
    pub(crate) fn drop_fast_writes(&mut self) {
        for (view, used) in self.fast.iter_mut().zip(&self.used) {
            used.for_each(|line| view[line].write = NO_PAGE);
        }
        #[cfg(jit)]
        if let Some(flat) = &mut self.flat {
            flat.drop_writes();
        }
    }

    fn drop_fast_page(&mut self, linear: u32) {
        for view in &mut self.fast[..2] {
            view[(linear >> 12) as usize % FAST] = EMPTY;
        }
        #[cfg(jit)]
        if let Some(flat) = &mut self.flat {
            flat.drop_page(linear);
        }
    }

    /// Valid entries as (page number, entry), ascending by page.
    pub fn entries(&self) -> Vec<(u32, TlbEntry)> {
        let mut pages = self.live.clone();
        pages.sort_unstable();
        pages.into_iter().map(|page| (page, self.lookup(page << 12))).filter(|(_, e)| e.is_valid()).collect()
    }
}

impl Serialize for Tlb {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.entries().serialize(s)
    }
}

impl<'de> Deserialize<'de> for Tlb {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Tlb, D::Error> {
        let mut tlb = Tlb::default();
        for (page, entry) in Vec::<(u32, TlbEntry)>::deserialize(d)? {
            tlb.insert(page << 12, entry);
        }
        Ok(tlb)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whichever page of a large one INVLPG names, cached or not, all of it goes, and nothing else.
    #[test]
    fn a_large_page_is_dropped_whole() {
        const SIZE: u32 = 2 << 20;
        for named in [SIZE, SIZE + 0x1000, 2 * SIZE - 1] {
            let mut tlb = Tlb::default();
            let pages =
                [(SIZE, true), (2 * SIZE - 0x1000, true), (0, true), (2 * SIZE, true), (0x1000, false)];
            for (linear, large) in pages {
                tlb.insert(linear, TlbEntry::new(0x5000).large(large));
            }
            tlb.invalidate_page(named, SIZE);
            let left: Vec<u32> = tlb.entries().iter().map(|&(page, _)| page << 12).collect();
            assert_eq!(left, [0, 0x1000, 2 * SIZE], "{named:#x}");
        }
    }
}
