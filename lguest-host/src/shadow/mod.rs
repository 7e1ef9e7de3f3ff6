//! Shadow page tables (4): what the processor really walks while a Guest runs.
//!
//! A Guest's own tables are never given to the processor: they hold guest-physical addresses and whatever the Guest
//! likes. The Host keeps up to four *roots*, each mirroring one top-level table of the Guest, filled on demand by
//! page faults, and emptied when the Guest says that its tables changed. Guests with and without PAE run side by side: the
//! shadow has one form ([`root`]), the Guest's tables have two ([`format`](Format)).
//!
//! Invariants:
//! * A leaf maps a frame of this Guest's RAM and grants no more than the Guest's own entries do.
//! * A leaf is writable only if the Guest's entry is dirty already: so the first write faults and D can be set.
//! * Addresses from the Switcher up are the Switcher's, in every root, whatever the Guest's tables say.

mod boot_tables;
mod format;
mod pool;
mod root;
mod tables;
#[cfg(test)]
mod tests;
mod walk;

pub use format::{Format, NON_PAE, PAE, bits};
pub use pool::Pool;
pub use walk::Demand;

use crate::abi::PAGE;
use crate::death::{Category, Death, Outcome};
use crate::mutant::broken;
use crate::ram::GuestRam;
use boot_tables::BootTables;
use root::{ENTRIES, Root, index, leaf_index};
use switcher_asm::SWITCHER;

/// Roots kept per Guest.
const ROOTS: usize = 4;
/// Leaves of the Switcher: two of text, registers, state.
const SWITCHER_LEAVES: usize = 4;

/// All shadow state of one Guest.
pub struct Shadow {
    pool: Pool,
    roots: [Root; ROOTS],
    current: usize,
    /// Next root to reuse.
    victim: usize,
    /// Of the Guest's tables. `None`: it has none yet, and every address is its own physical address (3.5).
    format: Option<&'static Format>,
    /// Tables the Host made for it, as long as it is not known of which format it takes them to be.
    boot: Option<BootTables>,
    /// From here on addresses are the kernel's, the same in all roots.
    kernel_address: u32,
}

impl Shadow {
    /// Shadow tables in linear mode. `switcher` are the physical pages of text, registers and state.
    ///
    /// # Errors
    /// OUT_OF_MEMORY if the pool is absurdly small.
    pub fn new(mut pool: Pool, switcher: [u32; SWITCHER_LEAVES]) -> Outcome<Shadow> {
        let none = Death::Killed(Category::OutOfMemory, 0);
        let switcher_table = pool.take().ok_or(none)?;
        let pointers = pool.take().ok_or(none)?;
        let mut root = |n| Root::new(&mut pool, pointers, n).ok_or(none);
        let roots = [root(0)?, root(1)?, root(2)?, root(3)?];
        let mut shadow =
            Shadow { pool, roots, current: 0, victim: 1, format: None, boot: None, kernel_address: SWITCHER };
        let user = if broken("switcher-user") { bits::USER } else { 0 };
        let state = if broken("switcher-state-writable") { bits::WRITABLE } else { 0 };
        let text = bits::PRESENT | bits::ACCESSED | user;
        let flags = [text, text, text | bits::WRITABLE | bits::DIRTY, text | state | bits::DIRTY];
        for (n, (page, flags)) in (0..).zip(switcher.into_iter().zip(flags)) {
            shadow.pool.write(switcher_table, n, (page | flags) as u64);
        }
        let window = switcher_table | bits::PRESENT | bits::WRITABLE | bits::ACCESSED | user;
        for root in &roots {
            root.set(&mut shadow.pool, index(SWITCHER), window);
        }
        Ok(shadow)
    }

    /// The CR3 the processor must use.
    pub fn cr3(&self) -> u32 {
        self.roots[self.current].cr3
    }

    /// Whether the Guest still has no tables.
    pub fn is_linear(&self) -> bool {
        self.format.is_none()
    }

    /// The Guest told where its kernel lives.
    pub fn set_kernel_address(&mut self, address: u32) {
        self.kernel_address = address;
    }

    /// The root that mirrors `gpgdir`, among those in use.
    fn find(&self, gpgdir: u32) -> Option<usize> {
        let unused = if broken("unused-root-matches") { 0 } else { u32::MAX };
        self.roots.iter().position(|r| r.gpgdir.unwrap_or(unused) == gpgdir && !self.is_linear())
    }

    /// Kernels up to 3.0 want tables made by the Host: below `end`, for `ram_size` bytes (3.5). Their address.
    ///
    /// # Errors
    /// BAD_GUEST_PAGE: no room.
    pub fn make_boot_tables(&mut self, ram: &GuestRam, ram_size: u32, end: u32) -> Outcome<u32> {
        let tables = BootTables::build(ram, ram_size, end, self.kernel_address)?;
        self.boot = Some(tables);
        Ok(tables.top)
    }

    /// The Guest changed one of the tables made for it, and so told that they are of `format`.
    ///
    /// # Errors
    /// BAD_WRITE only if they are not in RAM, which they are.
    pub fn settle(&mut self, ram: &GuestRam, format: &'static Format) -> Outcome<()> {
        if let Some(tables) = self.boot {
            tables.settle(ram, format)?;
            self.leave_linear_mode(tables.top, format);
        }
        Ok(())
    }

    /// The format of the first table the Guest loads, by what is in it.
    fn format_of(&self, ram: &GuestRam, gpgdir: u32) -> Outcome<&'static Format> {
        if broken("pae-not-seen") {
            return Ok(&NON_PAE);
        }
        // The first entry, and that of the kernel for those whose first is empty.
        for slot in [0, self.kernel_address >> 30] {
            let words = ram.read((gpgdir & PAE.top_mask).wrapping_add(8 * slot))?;
            if Format::is_pointer(words) {
                return Ok(&PAE);
            }
        }
        Ok(&NON_PAE)
    }

    /// NEW_PGTABLE (4.6): mirror another top-level table. The first one tells the format of all. True if the root was brand new,
    /// so the stack must be pinned.
    ///
    /// # Errors
    /// BAD_READ: the first table is not in RAM.
    pub fn switch_root(&mut self, ram: &GuestRam, gpgdir: u32) -> Outcome<bool> {
        if self.is_linear() {
            let format = self.format_of(ram, gpgdir)?;
            self.leave_linear_mode(gpgdir, format);
            return Ok(true);
        }
        if let Some(n) = self.find(gpgdir) {
            self.current = n;
            return Ok(false);
        }
        let n = self.victim;
        self.victim = (self.victim + 1) % ROOTS;
        let fresh = self.roots[n].gpgdir.is_none();
        self.roots[n].gpgdir = Some(gpgdir);
        self.current = n;
        if !broken("new-pgtable-keeps-user") {
            self.release_user(n);
        }
        if broken("switcher-slot-evicted") && !fresh {
            self.drop_switcher();
        }
        Ok(fresh)
    }

    /// The Guest has tables of this format from now on; the first is at `gpgdir`.
    pub fn leave_linear_mode(&mut self, gpgdir: u32, format: &'static Format) {
        self.release_all();
        self.format = Some(format);
        self.boot = None;
        self.roots[self.current].gpgdir = Some(gpgdir);
    }

    /// CR3, of a Guest that programs it itself (6.1): mirror the table at `gpgdir`, which is what it is whenever it is looked at.
    /// Everything is forgotten, as a processor's translations are; with `keep_kernel` not what is the kernel's.
    pub fn load_root(&mut self, ram: &GuestRam, gpgdir: u32, keep_kernel: bool) {
        if self.is_linear() {
            return self.leave_linear_mode(gpgdir, &NON_PAE);
        }
        if !keep_kernel {
            self.release_all();
        }
        if let Some(n) = self.find(gpgdir) {
            self.current = n;
            return self.flush_user(ram);
        }
        self.current = self.victim;
        self.victim = (self.victim + 1) % ROOTS;
        self.release_user(self.current);
        self.roots[self.current].gpgdir = Some(gpgdir);
    }

    /// INVLPG: forget the page of `address`, the kernel's in all roots.
    pub fn invalidate(&mut self, address: u32) {
        let roots = if address < self.kernel_address { self.current..self.current + 1 } else { 0..ROOTS };
        for n in roots {
            if address < SWITCHER
                && let Some(table) = self.leaf_table(n, address)
            {
                self.pool.write(table, leaf_index(address), 0);
            }
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

    /// What a Host does that releases a root's entries one and all: the Switcher's, too, in the current root.
    pub fn drop_switcher(&mut self) {
        self.roots[self.current].set(&mut self.pool, index(SWITCHER), 0);
    }

    /// Entries `from..end` of root `n` are the Guest's to change.
    fn release_changed(&mut self, n: usize, from: u32, end: u32) {
        self.release(n, from, end);
        if broken("switcher-slot-dropped") && (from..end).contains(&index(SWITCHER)) {
            self.roots[n].set(&mut self.pool, index(SWITCHER), 0);
        }
    }

    /// Release entries `from..end` of root `n`. The Switcher's are never among those in use.
    fn release(&mut self, n: usize, from: u32, end: u32) {
        let mut next = from;
        while let Some(index) = self.roots[n].take_used(next, end) {
            let table = self.roots[n].entry(&self.pool, index) & !(PAGE - 1);
            self.pool.give(table);
            self.roots[n].set(&mut self.pool, index, 0);
            next = index + 1;
        }
    }

    /// Release the part of root `n` below the kernel.
    fn release_user(&mut self, n: usize) {
        self.release(n, 0, index(self.kernel_address));
    }

    /// FLUSH_TLB 0.
    pub fn flush_user(&mut self, ram: &GuestRam) {
        self.look_again(ram, index(self.kernel_address));
    }

    /// FLUSH_TLB 1 and everything as drastic: release everything in all roots. The stack must be pinned afterwards.
    pub fn release_all(&mut self) {
        for n in 0..ROOTS {
            self.release(n, 0, ENTRIES);
        }
    }

    /// SET_PGD (4.8): the Guest changed entry `at` of the table at `gpgdir`.
    pub fn set_top(&mut self, gpgdir: u32, at: u32) {
        let span = ENTRIES / self.top_entries();
        if let Some(n) = self.find(gpgdir) {
            self.release_changed(n, at * span, (at + 1) * span);
        }
    }

    /// SET_PMD (4.8): the Guest changed entry `at` of the page directory at `directory`, in whichever roots it is. Only with PAE.
    pub fn set_middle(&mut self, ram: &GuestRam, directory: u32, at: u32) {
        let span = ENTRIES / PAE.top_entries;
        for n in 0..ROOTS {
            let Some(gpgdir) = self.roots[n].gpgdir else { continue };
            for slot in 0..PAE.top_entries {
                let pointer: Outcome<u32> = ram.read((gpgdir & PAE.top_mask).wrapping_add(8 * slot));
                if pointer.is_ok_and(|p| p & !(PAGE - 1) == directory & !(PAGE - 1)) {
                    let entry = slot * span + at % span;
                    self.release_changed(n, entry, entry + 1);
                }
            }
        }
    }

    /// Whether the Guest's tables have three levels.
    pub fn is_pae(&self) -> bool {
        self.format.is_some_and(|format| format.entry_bytes == 8)
    }

    /// Whether they have, as far as anybody knows.
    pub fn may_be_pae(&self) -> bool {
        self.is_pae() || self.boot.is_some()
    }

    /// Entries of one of the Guest's top-level tables.
    pub fn top_entries(&self) -> u32 {
        self.format.unwrap_or(&NON_PAE).top_entries
    }

    /// The leaf for `address` in root `n`; 0 if it or the table above it is absent.
    fn leaf(&self, n: usize, address: u32) -> u32 {
        self.leaf_table(n, address).map_or(0, |table| self.pool.read(table, leaf_index(address)) as u32)
    }

    /// The leaf table of `address` in root `n`, if there is one.
    fn leaf_table(&self, n: usize, address: u32) -> Option<u32> {
        self.roots[n].leaf_table(&self.pool, address)
    }

    /// Install a leaf in the current root, making the table above it with `upper_flags`. That table.
    fn install(&mut self, address: u32, leaf: u32, upper_flags: u32) -> Outcome<u32> {
        let index = index(address);
        let before = self.roots[self.current].entry(&self.pool, index);
        // The Guest may have widened its upper entry meanwhile.
        let entry = if before & bits::PRESENT != 0 { before } else { self.allocate()? } | upper_flags & 0xFFF;
        let root = &mut self.roots[self.current];
        if entry != before {
            root.set_used(&mut self.pool, index, entry);
        }
        if before & bits::PRESENT == 0 {
            root.begin_note(index);
        }
        root.note(address);
        let table = entry & !(PAGE - 1);
        self.pool.write(table, leaf_index(address), leaf as u64);
        Ok(table)
    }

    /// Whether `address` can be written right now without a fault.
    pub fn is_writable(&self, address: u32) -> bool {
        let wanted = bits::PRESENT | bits::WRITABLE;
        self.leaf(self.current, address) & wanted == wanted
    }
}
