//! Flat views: the fast views in the form compiled code reads them, one entry a page of the linear address space.
//!
//! A view has five tables of 2^20 entries of eight bytes, in address space that costs memory only where it is used.
//! For data (read, write) an entry is what to add to a linear address to get the host address, a multiple of 4096, or
//! 0 if the access must take the slow path. For fetches its upper half is the page number in the backing store plus one, or 0.
//!
//! Two more tables, of reads and of writes, have those entries whose next page is the next one in host memory too: an access
//! may go on into it without a look at where it ends. They are kept up while paging is off, when it is nearly always so.
//!
//! Each page has marks besides, a byte for reads and one for writes: not 0 if there is an entry, and it is the usual distance (see
//! [`super::usual`]); and the same of accesses that go on.
//!
//! Beside each privilege class's view there is a *lower* one: what the first has of data below a ceiling, and all its fetches.
//! Segments that begin at 0 and end at the ceiling need no look at their limit there: an access beyond it finds no entry,
//! and takes the slow path. Only pages that lie below it whole are in, so the exact end is the slow path's business.
//!
//! So a hit needs no tag, no compare and no flag: index, load, and a jump if the result is zero. As the fast views,
//! flat views only cache; every entry mirrors one that [`super::Tlb`] made fast.

use super::tlb::Rights;
use super::usual::{Usual, Vote};
use super::{Access, View};
use memmap2::MmapMut;
use std::io;

const PAGES: usize = 1 << 20;
const TABLE: usize = PAGES * 8;

/// Compiled code holds the address of a view's first table plus this. The low six bits of that address are then 44, and the low
/// five 12, which makes it the shift count that compiled code needs, without another register.
pub(crate) const BIAS: i32 = 44;
/// Displacement of the read table from a biased view address.
pub(crate) const READ: i32 = -BIAS;
/// Displacement of the write table.
pub(crate) const WRITE: i32 = (PLACES[WRITES] * TABLE) as i32 - BIAS;
/// Displacement of the fetch table, and of the upper half of its first entry.
pub(crate) const FETCH: i32 = (PLACES[FETCHES] * TABLE) as i32 - BIAS;
pub(crate) const FETCH_FRAME: i32 = FETCH + 4;

/// The fetch table's entry for page `frame` of the backing store.
pub(crate) const fn fetch_entry(frame: u32) -> u64 {
    (frame as u64 + 1) << 32
}
/// From the read or write table to the one that says the same of accesses that may go on in the next page.
pub(crate) const ONWARD: i32 = (PLACES[READS + GOES_ON] * TABLE) as i32;
/// Displacements of the marks of pages that are at the usual distance, for reads and for writes: bytes, two a page, each 0 or
/// [`IS_USUAL`].
pub(crate) const USUAL_READ: i32 = (ROOM * TABLE) as i32 - BIAS;
pub(crate) const USUAL_WRITE: i32 = USUAL_READ + 1;
/// From there to the marks of pages whose next one is at the usual distance, too.
pub(crate) const USUAL_ONWARD: i32 = (4 * MARKS) as i32;
/// Displacement of the usual distance: short, for every access reads it.
pub(crate) const DISTANCE: i32 = -16 - BIAS;
/// Such that shifts by 57 or more make 0 of it.
const IS_USUAL: u8 = 0x80;

/// Tables of a view.
const READS: usize = 0;
const WRITES: usize = 1;
const FETCHES: usize = 2;
/// From [`READS`] or [`WRITES`] to its table of accesses that may go on in the next page.
const GOES_ON: usize = 3;
/// Where each table is, in tables. Behind those of reads and of writes is room for three more in which nothing is ever written: a
/// double word's entry is looked for at its page number plus 2^20 times the low two bits of its address, so that there is none if it
/// is not aligned.
const PLACES: [usize; 5] = [0, 4, 9, 8, 12];
/// Tables there is room for.
const ROOM: usize = 13;
/// Bytes of the marks of all pages, behind which is the same room, and then the marks of those that go on.
const MARKS: usize = 2 * PAGES;
/// Bytes before the first table.
const HEADER: usize = 4096;
/// Bytes of a view.
const BYTES: usize = HEADER + ROOM * TABLE + 5 * MARKS;

/// Pages with an entry in some tables, each once: what a flush has to clear.
struct Used {
    pages: Vec<u32>,
    listed: Vec<u64>,
}

impl Used {
    fn new() -> Used {
        Used { pages: Vec::new(), listed: vec![0; PAGES / 64] }
    }

    /// Whether it is new.
    #[inline(always)]
    fn insert(&mut self, page: u32) -> bool {
        let Some(word) = self.listed.get_mut(page as usize / 64) else { return false };
        let bit = 1 << (page % 64);
        let new = *word & bit == 0;
        if new {
            *word |= bit;
            self.pages.push(page);
        }
        new
    }

    #[inline(always)]
    fn contains(&self, page: u32) -> bool {
        self.listed.get(page as usize / 64).is_some_and(|word| word & 1 << (page % 64) != 0)
    }

    fn pop(&mut self) -> Option<u32> {
        let page = self.pages.pop()?;
        if let Some(word) = self.listed.get_mut(page as usize / 64) {
            *word &= !(1 << (page % 64));
        }
        Some(page)
    }
}

/// One view.
pub(crate) struct FlatView {
    tables: MmapMut,
    /// Pages that may be in the read and write tables, and in the fetch table.
    data: Used,
    code: Used,
    /// Whether the tables of accesses that go on may have entries.
    joined: bool,
    usual: Usual,
}

impl FlatView {
    fn new() -> io::Result<FlatView> {
        Ok(FlatView {
            tables: MmapMut::map_anon(BYTES)?,
            data: Used::new(),
            code: Used::new(),
            joined: false,
            usual: Usual::default(),
        })
    }

    /// What compiled code keeps in a register.
    pub fn biased_address(&self) -> u64 {
        self.tables.as_ptr() as u64 + HEADER as u64 + BIAS as u64
    }

    /// The page at `linear` may be fetched from.
    pub fn fetches(&self, linear: u32) -> bool {
        self.get(FETCHES, linear >> 12) != 0
    }

    #[inline(always)]
    fn set(&mut self, table: usize, page: u32, value: u64) {
        let at = HEADER + PLACES[table] * TABLE + page as usize * 8;
        if let Some(entry) = self.tables.get_mut(at..at + 8) {
            entry.copy_from_slice(&value.to_ne_bytes());
        }
    }

    #[inline(always)]
    fn get(&self, table: usize, page: u32) -> u64 {
        let at = HEADER + PLACES[table] * TABLE + page as usize * 8;
        self.tables.get(at..at + 8).and_then(|b| b.first_chunk()).map_or(0, |b| u64::from_ne_bytes(*b))
    }

    /// Most pages are at the usual distance: compiled code may count on it.
    pub fn is_regular(&self) -> bool {
        self.usual.is_common()
    }

    /// Whether `page` is at the usual distance, for reads and for writes.
    #[inline(always)]
    fn mark(&mut self, page: u32, usual: [bool; 2]) {
        self.mark_at(HEADER + ROOM * TABLE, page, usual);
    }

    /// Whether the page after it is, too.
    fn mark_onward(&mut self, page: u32, usual: [bool; 2]) {
        self.mark_at(HEADER + ROOM * TABLE + 4 * MARKS, page, usual);
    }

    #[inline(always)]
    fn mark_at(&mut self, marks: usize, page: u32, usual: [bool; 2]) {
        let at = marks + page as usize * 2;
        if let Some(marks) = self.tables.get_mut(at..at + 2) {
            marks.copy_from_slice(&usual.map(|usual| if usual { IS_USUAL } else { 0 }));
        }
    }

    /// Whether what the read and the write table have for `page` is the usual distance; with [`GOES_ON`], those of accesses that go on.
    fn is_usual(&self, onward: usize, page: u32) -> [bool; 2] {
        let distance = self.usual.distance;
        [READS, WRITES].map(|table| distance != 0 && self.get(table + onward, page) == distance)
    }

    /// Another distance is the usual one.
    #[cold]
    fn mark_all(&mut self) {
        let at = HEADER - 16;
        if let Some(place) = self.tables.get_mut(at..at + 8) {
            place.copy_from_slice(&self.usual.distance.to_ne_bytes());
        }
        for n in 0..self.data.pages.len() {
            let page = self.data.pages[n];
            self.mark(page, self.is_usual(0, page));
            if self.joined {
                self.mark_onward(page, self.is_usual(GOES_ON, page));
            }
        }
    }

    fn copy(&mut self, from: &FlatView, table: usize, page: u32) {
        let value = from.get(table, page);
        if value != 0 {
            self.set(table, page, value);
        }
    }

    #[inline(always)]
    fn fill_data(&mut self, page: u32, delta: u64, write: bool, join: bool) {
        let new = self.data.insert(page);
        self.set(READS, page, delta);
        if write {
            self.set(WRITES, page, delta);
        } else if !new {
            self.clear(WRITES, page);
        }
        match self.usual.vote(delta, self.data.pages.len()) {
            Vote::Agrees => self.mark(page, [true, write]),
            Vote::Differs if new => {}
            Vote::Differs => self.mark(page, [false; 2]),
            Vote::Wins => self.mark_all(),
        }
        self.part(page);
        if join {
            self.join(READS, page);
            self.join(WRITES, page);
        }
    }

    fn fill_fetch(&mut self, page: u32, value: u64) {
        self.code.insert(page);
        self.set(FETCHES, page, value);
    }

    fn drop_all(&mut self) {
        while let Some(page) = self.data.pop() {
            self.set(READS, page, 0);
            self.clear(WRITES, page);
            self.mark(page, [false; 2]);
            if self.joined {
                self.clear(READS + GOES_ON, page);
                self.clear(WRITES + GOES_ON, page);
                self.mark_onward(page, [false; 2]);
            }
        }
        self.joined = false;
        while let Some(page) = self.code.pop() {
            self.set(FETCHES, page, 0);
        }
    }

    /// The entry of `page` has changed: an access that begins there may go on in the next page if that is the next in the host's
    /// memory too, and so may one that begins in the page before.
    fn join(&mut self, table: usize, page: u32) {
        self.joined = true;
        let pages = [page.checked_sub(1), Some(page)].into_iter().flatten();
        for page in pages.filter(|&page| page + 1 < PAGES as u32) {
            let here = self.get(table, page);
            let onward = if self.get(table, page + 1) == here { here } else { 0 };
            if self.get(table + GOES_ON, page) != onward {
                self.set(table + GOES_ON, page, onward);
                self.mark_onward(page, self.is_usual(GOES_ON, page));
            }
        }
    }

    /// Forget that accesses go on from `page`, and into it.
    fn part(&mut self, page: u32) {
        if self.joined {
            for page in [page.wrapping_sub(1) % PAGES as u32, page] {
                self.clear(READS + GOES_ON, page);
                self.clear(WRITES + GOES_ON, page);
                self.mark_onward(page, [false; 2]);
            }
        }
    }

    /// Forget `page`. Tables are far apart and large, lists are not: look there first.
    fn drop_page(&mut self, page: u32) {
        if self.data.contains(page) {
            self.clear(READS, page);
            self.clear(WRITES, page);
            self.mark(page, [false; 2]);
        }
        if self.code.contains(page) {
            self.clear(FETCHES, page);
        }
        self.part(page);
    }

    /// Most pages are not written to: do not touch the table for those.
    fn clear(&mut self, table: usize, page: u32) {
        if self.get(table, page) != 0 {
            self.set(table, page, 0);
        }
    }
}

/// Number of the view that is always empty.
const CHECKED: usize = 2;
/// Number of the lower view of privilege class 0; 1 is that plus 1.
const LOWER: usize = 3;

/// The views of an address space, by privilege class, one that is always empty, and the lower ones.
pub(crate) struct FlatViews {
    views: [FlatView; 5],
    /// The first page that is not in the lower view of each privilege class; 0 if there is nothing in that view.
    ceilings: [u32; 2],
    ram: u64,
    fills: u64,
    flushes: u64,
}

impl FlatViews {
    /// Empty views of memory whose backing store begins at host address `ram`.
    pub fn new(ram: *const u8) -> io::Result<FlatViews> {
        Ok(FlatViews {
            views: [FlatView::new()?, FlatView::new()?, FlatView::new()?, FlatView::new()?, FlatView::new()?],
            ceilings: [0; 2],
            ram: ram as u64,
            fills: 0,
            flushes: 0,
        })
    }

    /// The view with the number of a [`super::View`].
    pub fn view(&self, n: usize) -> &FlatView {
        &self.views[n]
    }

    /// Whether accesses to the page of `linear` find an entry.
    #[inline]
    pub fn permits(&self, view: usize, linear: u32, access: Access) -> bool {
        let table = match access {
            Access::Read => READS,
            Access::Write => WRITES,
            Access::Fetch => FETCHES,
        };
        self.views[view].get(table, linear >> 12) != 0
    }

    /// The lower view of privilege class `n`, if its ceiling is `ceiling`.
    pub fn lower(&self, n: usize, ceiling: u32) -> Option<&FlatView> {
        (self.ceilings[n] == ceiling).then(|| &self.views[LOWER + n])
    }

    /// Let the ceiling of privilege class `n` be page `ceiling` from now on. How many pages were looked at.
    pub fn set_ceiling(&mut self, n: usize, ceiling: u32) -> usize {
        self.ceilings[n] = ceiling;
        let (views, lower) = self.views.split_at_mut(LOWER);
        let (view, lower) = (&views[n], &mut lower[n]);
        lower.drop_all();
        lower.joined = view.joined;
        for &page in view.data.pages.iter().filter(|&&page| page < ceiling) {
            lower.data.insert(page);
            for table in [READS, WRITES] {
                lower.copy(view, table, page);
                if page + 1 < ceiling {
                    lower.copy(view, table + GOES_ON, page);
                }
            }
        }
        lower.usual = view.usual;
        lower.mark_all();
        for &page in &view.code.pages {
            lower.code.insert(page);
            lower.copy(view, FETCHES, page);
        }
        view.data.pages.len() + view.code.pages.len()
    }

    /// Entries made so far.
    pub fn fills(&self) -> u64 {
        self.fills
    }

    /// The TLB is flushed.
    pub fn count_flush(&mut self) {
        self.flushes += 1;
    }

    /// Flushes so far.
    pub fn flushes(&self) -> u64 {
        self.flushes
    }

    /// Mirror of `Tlb::fill_fast`.
    #[inline(always)]
    pub fn fill(&mut self, view: View, linear: u32, offset: u32, access: Access, rights: Rights) {
        match access {
            Access::Read | Access::Write => {
                self.fill_data(view as usize, linear, offset, rights.write, rights.join);
            }
            Access::Fetch if rights.fetch => self.fill_fetch(view as usize, linear, offset),
            Access::Fetch => {}
        }
    }

    /// For reads, and writes if `write`. With `join`, accesses may go on into the neighbours.
    #[inline(always)]
    fn fill_data(&mut self, view: usize, linear: u32, offset: u32, write: bool, join: bool) {
        self.fills += 1;
        let page = linear >> 12;
        let delta = self.ram.wrapping_add((offset & !0xFFF) as u64).wrapping_sub((linear & !0xFFF) as u64);
        self.views[view].fill_data(page, delta, write, join);
        if page < self.ceilings[view] {
            self.views[LOWER + view].fill_data(page, delta, write, join);
        }
    }

    #[inline]
    fn fill_fetch(&mut self, view: usize, linear: u32, offset: u32) {
        self.fills += 1;
        let (page, value) = (linear >> 12, fetch_entry(offset >> 12));
        self.views[view].fill_fetch(page, value);
        if self.ceilings[view] != 0 {
            self.views[LOWER + view].fill_fetch(page, value);
        }
    }

    /// Forget everything.
    pub fn drop_all(&mut self) {
        self.views.iter_mut().for_each(FlatView::drop_all);
    }

    /// Forget that writes are fast.
    pub fn drop_writes(&mut self) {
        for view in &mut self.views {
            for n in 0..view.data.pages.len() {
                let page = view.data.pages[n];
                view.clear(WRITES, page);
                view.mark(page, view.is_usual(0, page));
                if view.joined {
                    view.clear(WRITES + GOES_ON, page);
                    view.mark_onward(page, view.is_usual(GOES_ON, page));
                }
            }
        }
    }

    /// Forget one page.
    pub fn drop_page(&mut self, linear: u32) {
        let unused = self.ceilings.map(|ceiling| ceiling == 0);
        for (n, view) in self.views.iter_mut().enumerate() {
            if n == CHECKED || n >= LOWER && unused[n - LOWER] {
                continue;
            }
            view.drop_page(linear >> 12);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Event {
        /// Page, how far from the usual place, writable, joined to its neighbours.
        Fill(u32, u32, bool, bool),
        DropPage(u32),
        DropWrites,
        DropAll,
        Ceiling(u32),
    }

    fn event() -> impl Strategy<Value = Event> {
        let far = prop_oneof![4 => Just(0u32), 1 => 1..3u32];
        prop_oneof![
            12 => (0..8u32, far, any::<bool>(), any::<bool>()).prop_map(|(p, far, w, j)| Event::Fill(p, far, w, j)),
            2 => (0..8u32).prop_map(Event::DropPage),
            1 => Just(Event::DropWrites),
            1 => Just(Event::DropAll),
            1 => (0..8u32).prop_map(Event::Ceiling),
        ]
    }

    fn marks(view: &FlatView, table: usize, page: u32) -> [bool; 2] {
        let at = HEADER + ROOM * TABLE + table * MARKS + page as usize * 2;
        [view.tables[at], view.tables[at + 1]].map(|mark| mark == IS_USUAL)
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

        /// Whatever happens, a page is marked if what its tables say is the usual distance, and only then.
        #[test]
        fn marks_say_what_the_tables_say(events in prop::collection::vec(event(), 1..60)) {
            let mut views = FlatViews::new(std::ptr::without_provenance(1 << 40)).unwrap();
            for event in events {
                match event {
                    Event::Fill(page, far, write, join) => {
                        let offset = (page + 16 * far) << 12;
                        let rights = Rights { write, fetch: false, join };
                        views.fill(View::Supervisor, page << 12, offset, Access::Read, rights);
                    }
                    Event::DropPage(page) => views.drop_page(page << 12),
                    Event::DropWrites => views.drop_writes(),
                    Event::DropAll => views.drop_all(),
                    Event::Ceiling(page) => {
                        views.set_ceiling(View::Supervisor as usize, page);
                    }
                }
                for view in &views.views {
                    for page in 0..9 {
                        prop_assert_eq!(marks(view, 0, page), view.is_usual(0, page), "{:?} page {}", event, page);
                        prop_assert_eq!(marks(view, 4, page), view.is_usual(GOES_ON, page), "{:?} page {}", event, page);
                    }
                }
            }
        }
    }
}
