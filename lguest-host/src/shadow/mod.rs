//! Shadow page tables (4): what the processor really walks while a Guest runs.
//!
//! A Guest's own tables are never given to the processor: they hold guest-physical addresses and whatever the Guest
//! likes. The Host keeps up to four *roots*, each mirroring one top-level table of the Guest, filled on demand by
//! page faults, and emptied when the Guest says that its tables changed.
//!
//! Invariants:
//! * A leaf maps a frame of this Guest's RAM and grants no more than the Guest's own entries do.
//! * A leaf is writable only if the Guest's entry is dirty already: so the first write faults and D can be set.
//! * Addresses from the Switcher up are the Switcher's, in every root, whatever the Guest's tables say.

mod format;
mod pool;
mod walk;

pub use format::{Format, NON_PAE, PAE, bits};
pub use pool::Pool;
pub use walk::Demand;

use crate::abi::PAGE;
use crate::death::{Category, Death, Outcome};
use crate::mutant::broken;
use switcher_asm::SWITCHER;

/// Roots kept per Guest.
const ROOTS: usize = 4;
/// Leaves of the Switcher: two of text, registers, state.
const SWITCHER_LEAVES: usize = 4;

#[derive(Clone, Copy, Default)]
struct Root {
    /// Guest-physical address of the table it mirrors.
    gpgdir: u32,
    /// Physical address of its top-level page; 0 if it was never used.
    table: u32,
    /// Its entries that lead somewhere, but for the Switcher's, a bit each: a CR3 load looks at a few of them, not at a thousand.
    used: [u32; 32],
}

impl Root {
    fn mark(&mut self, index: u32) {
        self.used[(index / 32) as usize % 32] |= 1 << (index % 32);
    }

    /// The first entry in use from `from` on and below `end`, no longer marked.
    fn take_used(&mut self, from: u32, end: u32) -> Option<u32> {
        let mut index = from;
        while index < end {
            let word = &mut self.used[(index / 32) as usize % 32];
            let rest = *word >> (index % 32);
            if rest == 0 {
                index = (index / 32 + 1) * 32;
                continue;
            }
            index += rest.trailing_zeros();
            if index >= end {
                return None;
            }
            *word &= !(1 << (index % 32));
            return Some(index);
        }
        None
    }
}

/// All shadow state of one Guest.
pub struct Shadow {
    format: &'static Format,
    pool: Pool,
    roots: [Root; ROOTS],
    current: usize,
    /// Next root to reuse.
    victim: usize,
    /// The leaf table of the Switcher's window, shared by all roots.
    switcher_table: u32,
    /// The Guest has no tables yet: every address is its own physical address (3.5).
    linear: bool,
    /// From here on addresses are the kernel's, the same in all roots.
    kernel_address: u32,
}

impl Shadow {
    /// Shadow tables in linear mode. `switcher` are the physical pages of text, registers and state.
    ///
    /// # Errors
    /// OUT_OF_MEMORY if the pool is absurdly small.
    pub fn new(mut pool: Pool, switcher: [u32; SWITCHER_LEAVES]) -> Outcome<Shadow> {
        let format = &NON_PAE;
        let mut take = || pool.take().ok_or(Death::Killed(Category::OutOfMemory, 0));
        let switcher_table = take()?;
        let root = take()?;
        let mut shadow = Shadow {
            format,
            pool,
            roots: [Root::default(); ROOTS],
            current: 0,
            victim: 1,
            switcher_table,
            linear: true,
            kernel_address: SWITCHER,
        };
        shadow.roots[0].table = root;
        let user = if broken("switcher-user") { bits::USER } else { 0 };
        let state = if broken("switcher-state-writable") { bits::WRITABLE } else { 0 };
        let text = bits::PRESENT | bits::ACCESSED | user;
        let flags = [text, text, text | bits::WRITABLE | bits::DIRTY, text | state | bits::DIRTY];
        for (n, (page, flags)) in switcher.into_iter().zip(flags).enumerate() {
            shadow.set(switcher_table, n as u32, (page | flags) as u64);
        }
        shadow.map_switcher(0);
        Ok(shadow)
    }

    /// The root the processor must use.
    pub fn cr3(&self) -> u32 {
        self.roots[self.current].table
    }

    /// Whether the Guest still has no tables.
    pub fn is_linear(&self) -> bool {
        self.linear
    }

    /// The Guest told where its kernel lives.
    pub fn set_kernel_address(&mut self, address: u32) {
        self.kernel_address = address;
    }

    fn get(&self, table: u32, index: u32) -> u64 {
        self.pool.read(table, index, self.format.entry_bytes)
    }

    fn set(&mut self, table: u32, index: u32, entry: u64) {
        self.pool.write(table, index, self.format.entry_bytes, entry);
    }

    /// Put the Switcher into root `n`.
    fn map_switcher(&mut self, n: usize) {
        let index = self.format.levels[0].index(SWITCHER);
        // A PDPT-style top level has no place for the flags; two levels do.
        let entry = self.switcher_table | bits::PRESENT | bits::WRITABLE | bits::ACCESSED;
        let user = if broken("switcher-user") { bits::USER } else { 0 };
        self.set(self.roots[n].table, index, (entry | user) as u64);
    }

    /// The root that mirrors `gpgdir`, among those in use.
    fn find(&self, gpgdir: u32) -> Option<usize> {
        let in_use = |r: &Root| r.table != 0 || broken("unused-root-matches");
        self.roots.iter().position(|r| in_use(r) && r.gpgdir == gpgdir && !self.linear)
    }

    /// NEW_PGTABLE (4.6): mirror another top-level table. True if the root was brand new, so the stack must be pinned.
    ///
    /// # Errors
    /// OUT_OF_MEMORY.
    pub fn switch_root(&mut self, gpgdir: u32) -> Outcome<bool> {
        if self.linear {
            self.release_all();
            self.linear = false;
            self.roots[self.current].gpgdir = gpgdir;
            return Ok(true);
        }
        if let Some(n) = self.find(gpgdir) {
            self.current = n;
            return Ok(false);
        }
        let n = self.victim;
        self.victim = (self.victim + 1) % ROOTS;
        let fresh = self.roots[n].table == 0;
        if fresh {
            self.roots[n].table = self.allocate()?;
            self.map_switcher(n);
        }
        self.roots[n].gpgdir = gpgdir;
        self.current = n;
        if !broken("new-pgtable-keeps-user") {
            self.release_user(n);
        }
        Ok(fresh)
    }

    /// CR3, of a Guest that programs it itself (6.1): mirror the table at `gpgdir`, which is what it is whenever it is looked at.
    /// Everything is forgotten, as a processor's translations are; with `keep_kernel` not what is the kernel's.
    pub fn load_root(&mut self, gpgdir: u32, keep_kernel: bool) {
        if self.linear || !keep_kernel {
            self.release_all();
            self.linear = false;
        } else {
            self.release_user(self.current);
        }
        self.roots[self.current].gpgdir = gpgdir;
    }

    /// INVLPG: forget the page of `address`.
    pub fn invalidate(&mut self, address: u32) {
        if address < SWITCHER
            && let Some((table, index)) = self.leaf_table(self.current, address)
        {
            self.set(table, index, 0);
        }
    }

    /// A page for a table, zeroed. When there is none, everything is released first: it all comes back on demand.
    fn allocate(&mut self) -> Outcome<u32> {
        if let Some(page) = self.pool.take() {
            return Ok(page);
        }
        if !broken("shadow-not-recycled") {
            self.release_all();
        }
        self.pool.take().ok_or(Death::Killed(Category::OutOfMemory, 0))
    }

    /// Release the subtree at top-level `index` of root `n`, unless it is the Switcher's.
    fn release_index(&mut self, n: usize, index: u32) {
        let table = self.roots[n].table;
        if table == 0 {
            return;
        }
        let entry = self.get(table, index);
        if index == self.format.levels[0].index(SWITCHER) {
            if broken("switcher-slot-dropped") {
                self.set(table, index, 0);
            }
            return;
        }
        if entry & bits::PRESENT as u64 != 0 {
            self.release_tree(entry as u32 & !0xFFF, 1);
            self.set(table, index, 0);
        }
    }

    fn release_tree(&mut self, table: u32, level: usize) {
        if level + 1 < self.format.levels.len() {
            for index in 0..self.format.levels[level].entries() {
                let entry = self.get(table, index);
                if entry & bits::PRESENT as u64 != 0 {
                    self.release_tree(entry as u32 & !0xFFF, level + 1);
                }
            }
        }
        self.pool.give(table);
    }

    /// Release the entries of root `n` below `end`.
    fn release_below(&mut self, n: usize, end: u32) {
        let mut from = 0;
        while let Some(index) = self.roots[n].take_used(from, end) {
            self.release_index(n, index);
            from = index + 1;
        }
    }

    /// Release the part of root `n` below the kernel.
    fn release_user(&mut self, n: usize) {
        self.release_below(n, self.format.levels[0].index(self.kernel_address));
    }

    /// FLUSH_TLB 0.
    pub fn flush_user(&mut self) {
        self.release_user(self.current);
    }

    /// FLUSH_TLB 1 and everything as drastic: release everything in all roots. The stack must be pinned afterwards.
    pub fn release_all(&mut self) {
        for n in 0..ROOTS {
            self.release_below(n, self.format.levels[0].entries());
            if broken("switcher-slot-dropped") && self.roots[n].table != 0 {
                self.release_index(n, self.format.levels[0].index(SWITCHER));
            }
        }
    }

    /// SET_PGD (4.8): the Guest changed entry `index` of the table at `gpgdir`.
    pub fn set_top(&mut self, gpgdir: u32, index: u32) {
        if let Some(n) = self.find(gpgdir) {
            self.release_index(n, index);
        }
    }

    /// Entries of a top-level table.
    pub fn top_entries(&self) -> u32 {
        self.format.levels[0].entries()
    }

    /// The leaf for `address` in root `n`; 0 if it or a table above it is absent.
    fn leaf(&self, n: usize, address: u32) -> u64 {
        match self.leaf_table(n, address) {
            Some((table, index)) => self.get(table, index),
            None => 0,
        }
    }

    /// The leaf table of `address` in root `n`, if there is one, and the index in it.
    fn leaf_table(&self, n: usize, address: u32) -> Option<(u32, u32)> {
        let mut table = self.roots[n].table;
        let (_, upper) = self.format.levels.split_last()?;
        for level in upper {
            let entry = if table == 0 { 0 } else { self.get(table, level.index(address)) };
            if entry & bits::PRESENT as u64 == 0 {
                return None;
            }
            table = entry as u32 & !0xFFF;
        }
        Some((table, self.format.leaf_index(address)))
    }

    /// Install a leaf in the current root, making the tables above it with `upper_flags`. The leaf's table.
    fn install(&mut self, address: u32, leaf: u64, upper_flags: u32) -> Outcome<u32> {
        let levels = self.format.levels.len();
        'again: loop {
            let mut table = self.roots[self.current].table;
            self.roots[self.current].mark(self.format.levels[0].index(address));
            for level in 0..levels - 1 {
                let index = self.format.levels[level].index(address);
                let mut entry = self.get(table, index);
                if entry & bits::PRESENT as u64 == 0 {
                    let before = self.pool.released();
                    let page = self.allocate()?;
                    if self.pool.released() != before {
                        // Making room took the path away from under us.
                        self.pool.give(page);
                        continue 'again;
                    }
                    entry = (page | upper_flags) as u64;
                } else {
                    // The Guest may have widened its upper entry meanwhile.
                    entry |= (upper_flags & 0xFFF) as u64;
                }
                self.set(table, index, entry);
                table = entry as u32 & !0xFFF;
            }
            self.set(table, self.format.leaf_index(address), leaf);
            return Ok(table);
        }
    }

    /// Whether `address` can be written right now without a fault.
    pub fn is_writable(&self, address: u32) -> bool {
        let wanted = (bits::PRESENT | bits::WRITABLE) as u64;
        self.leaf(self.current, address) & wanted == wanted
    }

    /// Bytes of address space behind one top-level entry... of which `address` is part: its index.
    pub fn top_index(&self, address: u32) -> u32 {
        self.format.levels[0].index(address)
    }

    /// Page number of an address.
    const fn page_of(entry: u32) -> u32 {
        entry / PAGE
    }
}
