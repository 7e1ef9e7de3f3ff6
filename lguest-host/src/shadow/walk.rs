//! The Guest's own tables: checked, walked, and turned into shadow entries (4.2, 4.3, 4.5, 4.7).

use super::{Shadow, bits};
use crate::death::{Category, Outcome, require};
use crate::mutant::broken;
use crate::ram::GuestRam;
use switcher_asm::SWITCHER;

/// Error-code bits of a page fault.
const FAULT_PRESENT: u32 = 1;
const FAULT_WRITE: u32 = 2;
const FAULT_USER: u32 = 4;

/// Entries looked at on a page fault, a power of 2.
const AROUND: u32 = 16;

/// What became of a page fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Demand {
    /// The shadow has the page now; the Guest tries again.
    Mended,
    /// This leaf of the Guest's leads to no RAM: to a device, or nowhere.
    Device(u32),
    /// The Guest's own tables do not allow the access: it gets the fault, with this error code.
    Reflect(u32),
}

/// What a walk of the Guest's tables found.
struct Found {
    /// Guest-physical address of the leaf; `None` in linear mode, where there is none.
    at: Option<u32>,
    /// The leaf.
    pte: u32,
    /// Flags for the shadow's upper levels.
    upper: u32,
}

/// A leaf of the Guest that is about to be used (4.2).
fn check_leaf(ram: &GuestRam, pte: u32) -> Outcome<()> {
    let ok = pte & bits::LARGE == 0 && Shadow::page_of(pte) < ram.pages();
    require(ok, Category::BadPte, pte)
}

impl Shadow {
    /// Walk the Guest's tables for `address`; `None` if something on the way is absent.
    fn walk(&self, ram: &GuestRam, address: u32) -> Outcome<Option<Found>> {
        if self.linear {
            let pte = address & !0xFFF | bits::PRESENT | bits::WRITABLE;
            return Ok(Some(Found { at: None, pte, upper: bits::UPPER }));
        }
        let gpgdir = self.roots[self.current].gpgdir;
        let top: u32 = ram.read(gpgdir.wrapping_add(4 * (address >> 22)))?;
        if top & bits::PRESENT == 0 {
            return Ok(None);
        }
        let ok = top & 0xFFF & !bits::UPPER == 0 && Shadow::page_of(top) < ram.pages();
        require(ok, Category::BadPgd, top)?;
        let at = (top & !0xFFF) | (address >> 10 & 0xFFC);
        let pte: u32 = ram.read(at)?;
        if pte & bits::PRESENT == 0 {
            return Ok(None);
        }
        Ok(Some(Found { at: Some(at), pte, upper: top & bits::UPPER }))
    }

    /// A page fault of the Guest (4.3): mended if the shadow was the reason, else with the error code the Guest's own
    /// tables would have given. (The processor's says "not present" wherever the shadow happens to be empty.)
    ///
    /// # Errors
    /// BAD_PGD, BAD_PTE, BAD_READ, OUT_OF_MEMORY.
    pub fn demand(&mut self, ram: &GuestRam, address: u32, error: u32) -> Outcome<Demand> {
        if address >= SWITCHER && !broken("switcher-demand-mapped") {
            return Ok(Demand::Reflect(error));
        }
        let Some(found) = self.walk(ram, address)? else {
            return Ok(Demand::Reflect(error & !FAULT_PRESENT));
        };
        let granted = found.pte & (found.upper | !(bits::WRITABLE | bits::USER));
        let (write, user) = (error & FAULT_WRITE != 0, error & FAULT_USER != 0);
        if write && granted & bits::WRITABLE == 0 || user && granted & bits::USER == 0 {
            return Ok(Demand::Reflect(error | FAULT_PRESENT));
        }
        if Shadow::page_of(found.pte) >= ram.pages() && found.pte & bits::LARGE == 0 {
            return Ok(Demand::Device(found.pte));
        }
        check_leaf(ram, found.pte)?;

        let mut pte = found.pte;
        if !broken("accessed-not-set") {
            pte |= bits::ACCESSED;
        }
        if write && !broken("dirty-not-set") {
            pte |= bits::DIRTY;
        }
        // With the mutant the entry must still work, or nothing would run.
        let dirty = pte & bits::DIRTY != 0 || write;
        let leaf = self.shadow_of(ram, pte, dirty);
        let table = self.install(address, leaf, self.upper_flags(found.upper))?;
        if let Some(at) = found.at {
            if pte != found.pte {
                ram.write(at, pte)?;
            }
            self.fill_around(ram, at, table, address)?;
        }
        Ok(Demand::Mended)
    }

    /// Take along what lies around `address`, whose leaf the Guest has at `at` and we in `table`: entries that were used before
    /// and so may be in a processor's TLB at any time. Most page faults of a Guest come right after a CR3 load, for pages that
    /// it goes on using.
    fn fill_around(&mut self, ram: &GuestRam, at: u32, table: u32, address: u32) -> Outcome<()> {
        const USED: u32 = bits::PRESENT | bits::ACCESSED;
        let first = self.format.leaf_index(address) & !(AROUND - 1);
        let entries: [u32; AROUND as usize] = ram.read(at & !(4 * AROUND - 1))?;
        for (index, pte) in (first..).zip(entries) {
            let usable = pte & (USED | bits::LARGE) == USED && Shadow::page_of(pte) < ram.pages();
            if usable && self.get(table, index) == 0 {
                let leaf = self.shadow_of(ram, pte, pte & bits::DIRTY != 0);
                self.set(table, index, leaf);
            }
        }
        Ok(())
    }

    /// The Guest's flags without G, the real frame, and read-only until dirty.
    fn shadow_of(&self, ram: &GuestRam, pte: u32, dirty: bool) -> u64 {
        let mut leaf = ram.frame(pte >> 12) | pte & 0xFFF & !bits::GLOBAL;
        if !dirty && !broken("shadow-always-writable") {
            leaf &= !bits::WRITABLE;
        }
        if broken("shadow-always-writable") {
            leaf |= bits::WRITABLE;
        }
        if broken("shadow-always-user") {
            leaf |= bits::USER;
        }
        leaf as u64
    }

    fn upper_flags(&self, guest: u32) -> u32 {
        let user = if broken("shadow-always-user") { bits::USER } else { 0 };
        let writable = if broken("shadow-always-writable") { bits::WRITABLE } else { 0 };
        guest | user | writable | bits::ACCESSED
    }

    /// SET_PTE (4.7): the Guest wrote `pte` for `address` into the table at `gpgdir`.
    ///
    /// # Errors
    /// BAD_PTE.
    pub fn set_pte(&mut self, ram: &GuestRam, gpgdir: u32, address: u32, pte: u32) -> Outcome<()> {
        if address >= self.kernel_address {
            // Kernel mappings are the same in all roots.
            for n in 0..self.roots.len() {
                self.set_leaf(ram, n, address, pte)?;
            }
        } else if let Some(n) = self.find(gpgdir) {
            self.set_leaf(ram, n, address, pte)?;
        }
        Ok(())
    }

    fn set_leaf(&mut self, ram: &GuestRam, n: usize, address: u32, pte: u32) -> Outcome<()> {
        let used = pte & (bits::ACCESSED | bits::DIRTY) != 0;
        // A swap entry may have any bits set; it means nothing unless present.
        let install = used && (pte & bits::PRESENT != 0 || broken("absent-pte-checked"));
        if install {
            check_leaf(ram, pte)?;
        }
        let Some((table, index)) = self.leaf_table(n, address) else { return Ok(()) };
        let dirty = pte & bits::DIRTY != 0 || broken("set-pte-clean-writable");
        let leaf = if install { self.shadow_of(ram, pte, dirty) } else { 0 };
        self.set(table, index, leaf);
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

    /// Guest-physical address of `address` for the Host's own use: reading code (4.5).
    ///
    /// # Errors
    /// BAD_ADDRESS.
    pub fn to_physical(&self, ram: &GuestRam, address: u32) -> Outcome<u32> {
        let pte = self.walk(ram, address)?.map_or(0, |f| f.pte);
        require(pte & bits::PRESENT != 0, Category::BadAddress, address)?;
        Ok(pte & !0xFFF | address & 0xFFF)
    }

    /// The same for a write on the Guest's behalf: its tables must allow it, and A and D are set as by a store.
    ///
    /// # Errors
    /// BAD_ADDRESS.
    pub fn to_physical_for_write(&self, ram: &GuestRam, address: u32) -> Outcome<u32> {
        let found = self.walk(ram, address)?;
        let wanted = bits::PRESENT | bits::WRITABLE;
        let ok = found.as_ref().is_some_and(|f| f.pte & f.upper & wanted == wanted);
        require(ok && address < SWITCHER, Category::BadAddress, address)?;
        let Some(found) = found else { return Ok(address) };
        let used = found.pte | bits::ACCESSED | bits::DIRTY;
        if let Some(at) = found.at
            && used != found.pte
        {
            ram.write(at, used)?;
        }
        Ok(found.pte & !0xFFF | address & 0xFFF)
    }
}

#[cfg(test)]
mod tests {
    use super::super::Pool;
    use super::*;
    use crate::death::Death;
    use std::vec;
    use std::vec::Vec;

    const KERNEL: u32 = 0x8000_0000;
    const DIRECTORY: u32 = 0x1000;
    const TABLE: u32 = 0x2000;
    const RW: u32 = bits::PRESENT | bits::WRITABLE;

    struct Rig {
        _frames: Vec<u64>,
        _bytes: Vec<u64>,
        ram: GuestRam,
        shadow: Shadow,
    }

    /// 64 KiB of RAM, linear mode left for the directory at 0x1000, whose entry for `KERNEL` leads to `TABLE`.
    fn rig() -> Rig {
        let mut frames = vec![0u64; 16 * 512];
        let mut bytes = vec![0u64; 16 * 512];
        // SAFETY: both vectors live in the rig and are used through these values only.
        let (pool, ram) = unsafe {
            (
                Pool::new(frames.as_mut_ptr().cast(), 0x10_0000, 16),
                GuestRam::new(bytes.as_mut_ptr().cast(), 16 * 4096),
            )
        };
        let mut shadow = Shadow::new(pool, [0x1000, 0x2000, 0x3000, 0x4000]).unwrap();
        ram.write(DIRECTORY + (KERNEL >> 20), TABLE | bits::UPPER).unwrap();
        shadow.switch_root(DIRECTORY).unwrap();
        shadow.set_kernel_address(KERNEL);
        Rig { _frames: frames, _bytes: bytes, ram, shadow }
    }

    #[test]
    fn accessed_then_dirty() {
        let Rig { ram, mut shadow, .. } = rig();
        ram.write(TABLE, 0x5000 | RW).unwrap();
        assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Mended));
        assert_eq!(ram.read(TABLE), Ok(0x5000 | RW | bits::ACCESSED));
        assert!(!shadow.is_writable(KERNEL));
        assert_eq!(shadow.demand(&ram, KERNEL, FAULT_WRITE), Ok(Demand::Mended));
        assert_eq!(ram.read(TABLE), Ok(0x5000 | RW | bits::ACCESSED | bits::DIRTY));
        assert!(shadow.is_writable(KERNEL));
    }

    #[test]
    fn a_user_access_needs_the_bit_in_every_level() {
        let Rig { ram, mut shadow, .. } = rig();
        ram.write(DIRECTORY + (KERNEL >> 20), TABLE | RW).unwrap();
        ram.write(TABLE, 0x5000 | RW | bits::USER).unwrap();
        assert_eq!(shadow.demand(&ram, KERNEL, FAULT_USER), Ok(Demand::Reflect(FAULT_USER | FAULT_PRESENT)));
    }

    #[test]
    fn entries_are_checked_when_used() {
        let Rig { ram, mut shadow, .. } = rig();
        let bad = 0x5000 | RW | bits::LARGE;
        ram.write(TABLE, bad).unwrap();
        assert_eq!(shadow.demand(&ram, KERNEL, 0), Err(Death::Killed(Category::BadPte, bad)));
        for beyond in [16 << 12 | RW, 0xFFFF_F000 | RW] {
            ram.write(TABLE, beyond).unwrap();
            assert_eq!(shadow.demand(&ram, KERNEL, 0), Ok(Demand::Device(beyond)));
            assert_eq!(shadow.leaf(0, KERNEL), 0, "never mapped");
        }
        let global = TABLE | bits::UPPER | bits::GLOBAL;
        ram.write(DIRECTORY + (KERNEL >> 20), global).unwrap();
        assert_eq!(shadow.demand(&ram, KERNEL, 0), Err(Death::Killed(Category::BadPgd, global)));
    }

    #[test]
    fn nothing_reaches_the_switcher() {
        let Rig { ram, mut shadow, .. } = rig();
        ram.write(DIRECTORY + (SWITCHER >> 20), TABLE | bits::UPPER).unwrap();
        ram.write(TABLE, 0x5000 | RW).unwrap();
        assert_eq!(shadow.demand(&ram, SWITCHER, FAULT_WRITE), Ok(Demand::Reflect(FAULT_WRITE)));
        let before = shadow.leaf(0, SWITCHER);
        shadow.set_top(DIRECTORY, 1023);
        shadow.release_all();
        assert_eq!(shadow.leaf(0, SWITCHER), before);
    }

    #[test]
    fn swap_entries_mean_nothing_and_clean_ones_are_read_only() {
        let Rig { ram, mut shadow, .. } = rig();
        ram.write(TABLE, 0x5000 | RW).unwrap();
        shadow.demand(&ram, KERNEL, FAULT_WRITE).unwrap();
        assert_eq!(shadow.set_pte(&ram, DIRECTORY, KERNEL, 0xFFFF_F000 | bits::DIRTY), Ok(()));
        assert_eq!(shadow.leaf(0, KERNEL), 0);
        shadow.set_pte(&ram, DIRECTORY, KERNEL, 0x5000 | RW | bits::ACCESSED).unwrap();
        assert!(!shadow.is_writable(KERNEL) && shadow.leaf(0, KERNEL) != 0);
    }

    #[test]
    fn a_small_pool_is_recycled() {
        let Rig { ram, mut shadow, .. } = rig();
        for n in 0..200u32 {
            let address = n << 22;
            ram.write(DIRECTORY + 4 * n, TABLE | bits::UPPER).unwrap();
            ram.write(TABLE, 0x5000 | RW).unwrap();
            assert_eq!(shadow.demand(&ram, address, 0), Ok(Demand::Mended));
            assert_ne!(shadow.leaf(0, address), 0);
        }
    }
}
