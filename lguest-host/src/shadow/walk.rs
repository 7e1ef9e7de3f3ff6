//! Page faults and SET_PTE: entries of the Guest's tables become entries of the shadow (4.3, 4.7).

use super::root::{GROUP, SPAN_SHIFT, leaf_index};
use super::tables::{check_leaf, page_of};
use super::{Format, Shadow, bits};
use crate::abi::PAGE;
use crate::death::{Category, Outcome, require};
use crate::mutant::broken;
use crate::ram::GuestRam;
use switcher_asm::SWITCHER;

/// Error-code bits of a page fault.
const FAULT_PRESENT: u32 = 1;
const FAULT_WRITE: u32 = 2;
const FAULT_USER: u32 = 4;

/// What became of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The shadow has the page now; the Guest tries again.
    Mended,
    /// This leaf of the Guest's leads to no RAM: to a device, or nowhere.
    Device(u64),
    /// The Guest's own tables do not allow the access: it gets the fault, with this error code.
    Reflect(u32),
}

impl Shadow {
    /// A page fault of the Guest (4.3): mended if the shadow was the reason, else with the error code the Guest's own
    /// tables would have given. (The processor's says "not present" wherever the shadow happens to be empty.)
    ///
    /// # Errors
    /// BAD_PGD, BAD_PMD, BAD_PTE, BAD_READ, OUT_OF_MEMORY.
    pub fn demand(&mut self, ram: &GuestRam, address: u32, error: u32) -> Outcome<Demand> {
        if address >= SWITCHER && !broken("switcher-demand-mapped") {
            return Ok(Demand::Reflect(error));
        }
        let Some(found) = self.walk(ram, address)? else {
            return Ok(Demand::Reflect(error & !FAULT_PRESENT));
        };
        let granted = found.leaf as u32 & (found.upper | !(bits::WRITABLE | bits::USER));
        let (mut write, user) = (error & FAULT_WRITE != 0, error & FAULT_USER != 0);
        if broken("device-write-unchecked") && page_of(found.leaf) >= ram.pages() {
            write = false;
        }
        if write && granted & bits::WRITABLE == 0 || user && granted & bits::USER == 0 {
            return Ok(Demand::Reflect(error | FAULT_PRESENT));
        }
        if page_of(found.leaf) >= ram.pages() && found.leaf as u32 & bits::LARGE == 0 {
            return Ok(Demand::Device(found.leaf));
        }
        check_leaf(ram, found.leaf)?;

        let mut leaf = found.leaf as u32;
        if !broken("accessed-not-set") {
            leaf |= bits::ACCESSED;
        }
        if write && !broken("dirty-not-set") {
            leaf |= bits::DIRTY;
        }
        // With the mutant the entry must still work, or nothing would run.
        let dirty = leaf & bits::DIRTY != 0 || write;
        let shadow = shadow_of(ram, leaf, dirty);
        let table = self.install(address, shadow, self.upper_flags(found.upper))?;
        if let Some(at) = found.at {
            if leaf != found.leaf as u32 {
                Format::write_flags(ram, at, leaf as u64)?;
            }
            self.fill_around(ram, at, table, address)?;
        }
        Ok(Demand::Mended)
    }

    /// Take along what lies around `address`, whose leaf the Guest has at `at` and we in `table`: entries that were used before
    /// and so may be in a processor's TLB at any time. Most page faults of a Guest come right after a CR3 load, for pages that
    /// it goes on using.
    fn fill_around(&mut self, ram: &GuestRam, at: u32, table: u32, address: u32) -> Outcome<()> {
        let first = leaf_index(address) & !(GROUP - 1);
        self.fill_group(ram, at, table, first, |entry, shadow| {
            if *entry == 0 {
                *entry = (shadow & !bits::ACCESSED) as u64;
            }
        })
    }

    /// For each of the group of `table` from leaf `first` on: what is there, and what may be there without being asked, for the
    /// leaves around the Guest's at `at`.
    fn fill_group(
        &mut self,
        ram: &GuestRam,
        at: u32,
        table: u32,
        first: u32,
        mut put: impl FnMut(&mut u64, u32),
    ) -> Outcome<()> {
        const USED: u32 = bits::PRESENT | bits::ACCESSED;
        let pages = ram.pages();
        let mut put = |entry: &mut u64, low: u32, high: u32| {
            let usable = low & (USED | bits::LARGE) == USED && high == 0 && low >> 12 < pages;
            put(entry, if usable { shadow_of(ram, low, low & bits::DIRTY != 0) } else { 0 });
        };
        let pae = self.is_pae();
        let Some(entries) = self.pool.entries::<{ GROUP as usize }>(table, first) else { return Ok(()) };
        if pae {
            let leaves: [[u32; 2]; GROUP as usize] = ram.read(at & !(8 * GROUP - 1))?;
            entries.iter_mut().zip(leaves).for_each(|(entry, [low, high])| put(entry, low, high));
        } else {
            let leaves: [u32; GROUP as usize] = ram.read(at & !(4 * GROUP - 1))?;
            entries.iter_mut().zip(leaves).for_each(|(entry, low)| put(entry, low, 0));
        }
        Ok(())
    }

    /// Everything the current root has below entry `end` is made anew from the Guest's tables, as far as it was used since the last
    /// time: the processor says so by A in the shadow, whose A are nobody else's. What that leaves out comes by a page fault, as
    /// after a flush; what it brings, a processor might have fetched again at once.
    pub(super) fn look_again(&mut self, ram: &GuestRam, end: u32) {
        let n = self.current;
        let mut next = 0;
        while let Some(index) = self.roots[n].next_used(next, end) {
            next = index + 1;
            if !self.look_again_at(ram, index) {
                self.release(n, index, next);
            }
        }
    }

    /// The same for entry `index`. False if nothing is left of it, or nobody knows what there is.
    fn look_again_at(&mut self, ram: &GuestRam, index: u32) -> bool {
        let root = &self.roots[self.current];
        let (Some(format), Some(gpgdir), Some(groups)) = (self.format, root.gpgdir, root.noted(index)) else {
            return false;
        };
        let before = root.entry(&self.pool, index);
        let table = before & !(PAGE - 1);
        // What is wrong with the Guest's tables will be its end when it uses them.
        let Ok(Some((at, upper))) = format.leaf(ram, gpgdir, index << SPAN_SHIFT) else { return false };
        let (mut rest, mut left) = (groups, 0);
        while rest != 0 {
            let group = rest.trailing_zeros();
            rest &= rest - 1;
            let (mut any, mut used) = (0, 0);
            let filled = self.fill_group(
                ram,
                at + format.entry_bytes * GROUP * group,
                table,
                GROUP * group,
                |entry, shadow| {
                    used |= *entry as u32;
                    *entry = (shadow & !bits::ACCESSED) as u64;
                    any |= shadow;
                },
            );
            if filled.is_err() {
                return false;
            }
            if used & bits::ACCESSED == 0 {
                // Nobody came here since the last time: nobody will miss it.
                if let Some(entries) = self.pool.entries::<{ GROUP as usize }>(table, GROUP * group) {
                    entries.fill(0);
                }
                any = 0;
            }
            left |= ((any != 0) as u32) << group;
        }
        let entry = table | bits::PRESENT | self.upper_flags(upper) & 0xFFF;
        let root = &mut self.roots[self.current];
        if entry != before {
            root.set_used(&mut self.pool, index, entry);
        }
        root.set_noted(index, left);
        left != 0
    }

    fn upper_flags(&self, guest: u32) -> u32 {
        let user = if broken("shadow-always-user") { bits::USER } else { 0 };
        let writable = if broken("shadow-always-writable") { bits::WRITABLE } else { 0 };
        guest | user | writable | bits::ACCESSED
    }

    /// SET_PTE (4.7): the Guest wrote `leaf` for `address` into the table at `gpgdir`.
    ///
    /// # Errors
    /// BAD_PTE.
    pub fn set_pte(&mut self, ram: &GuestRam, gpgdir: u32, address: u32, leaf: u64) -> Outcome<()> {
        if address >= self.kernel_address {
            // Kernel mappings are the same in all roots.
            for n in 0..self.roots.len() {
                self.set_leaf(ram, n, address, leaf)?;
            }
        } else if let Some(n) = self.find(gpgdir).or(broken("roots-alike").then_some(self.current)) {
            self.set_leaf(ram, n, address, leaf)?;
        }
        Ok(())
    }

    fn set_leaf(&mut self, ram: &GuestRam, n: usize, address: u32, leaf: u64) -> Outcome<()> {
        let flags = leaf as u32;
        let used = flags & (bits::ACCESSED | bits::DIRTY) != 0;
        // A swap entry may have any bits set; it means nothing unless present.
        let install = used && (flags & bits::PRESENT != 0 || broken("absent-pte-checked"));
        if install {
            check_leaf(ram, leaf)?;
        }
        let Some(table) = self.leaf_table(n, address) else { return Ok(()) };
        let dirty = flags & bits::DIRTY != 0 || broken("set-pte-clean-writable");
        let shadow = if install { shadow_of(ram, flags, dirty) } else { 0 };
        if install {
            self.roots[n].note(address);
        }
        self.pool.write(table, leaf_index(address), shadow as u64);
        Ok(())
    }

    /// Make sure a page of the ring-1 stack can be written without a fault (4.10).
    ///
    /// # Errors
    /// BAD_STACK_PAGE.
    pub fn pin(&mut self, ram: &GuestRam, address: u32) -> Outcome<()> {
        if self.is_writable(address) {
            return Ok(());
        }
        let mended = self.demand(ram, address, FAULT_WRITE)?;
        require(mended == Demand::Mended, Category::BadStackPage, address)
    }
}

/// The Guest's flags without G, the real frame, and read-only until dirty. The leaf is checked: all of it is in the low word.
fn shadow_of(ram: &GuestRam, leaf: u32, dirty: bool) -> u32 {
    let mut shadow = ram.frame(leaf >> 12) | leaf & 0xFFF & !bits::GLOBAL;
    if !dirty && !broken("shadow-always-writable") {
        shadow &= !bits::WRITABLE;
    }
    if broken("shadow-always-writable") {
        shadow |= bits::WRITABLE;
    }
    if broken("shadow-always-user") {
        shadow |= bits::USER;
    }
    shadow
}
