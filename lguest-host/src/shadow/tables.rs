//! The Guest's own tables: read entry by entry, checked, walked (4.2, 4.5).

use super::{Format, Shadow, bits};
use crate::abi::PAGE;
use crate::death::{Category, Outcome, require};
use crate::mutant::broken;
use crate::ram::GuestRam;
use switcher_asm::SWITCHER;

/// What a walk of the Guest's tables found.
pub struct Found {
    /// Guest-physical address of the leaf; `None` in linear mode, where there is none.
    pub at: Option<u32>,
    /// The leaf.
    pub leaf: u64,
    /// What the levels above it grant.
    pub upper: u32,
}

impl Found {
    /// Guest-physical address of what the leaf maps `address` to.
    fn physical(&self, address: u32) -> u32 {
        self.leaf as u32 & !(PAGE - 1) | address & (PAGE - 1)
    }
}

/// Page number in an entry. Whatever is above 4 GiB, NX included, makes it one that no Guest has.
pub fn page_of(entry: u64) -> u32 {
    u32::try_from(entry >> 12).unwrap_or(u32::MAX)
}

/// A leaf of the Guest that is about to be used (4.2).
pub fn check_leaf(ram: &GuestRam, leaf: u64) -> Outcome<()> {
    let ok = leaf as u32 & bits::LARGE == 0 && page_of(leaf) < ram.pages();
    require(ok, Category::BadPte, leaf as u32)
}

impl Format {
    /// The entry at `at`.
    pub fn read(&self, ram: &GuestRam, at: u32) -> Outcome<u64> {
        if self.entry_bytes == 8 { ram.read(at) } else { ram.read::<u32>(at).map(u64::from) }
    }

    /// Guest-physical address of the leaf for `address` in the tables at `gpgdir`, and what the levels above it grant; `None` if
    /// something on the way is absent.
    ///
    /// # Errors
    /// BAD_PGD, BAD_PMD, BAD_READ.
    pub fn leaf(&self, ram: &GuestRam, gpgdir: u32, address: u32) -> Outcome<Option<(u32, u32)>> {
        let mut table = gpgdir & self.top_mask;
        let mut upper = bits::UPPER;
        for level in self.upper {
            let at = table.wrapping_add(self.entry_bytes * self.index(level.shift, address));
            let entry = self.read(ram, at)?;
            if entry as u32 & bits::PRESENT == 0 {
                return Ok(None);
            }
            let ok = entry as u32 & (PAGE - 1) & !level.flags == 0 && page_of(entry) < ram.pages();
            require(ok, level.category, entry as u32)?;
            if !broken("upper-rights-ignored") {
                upper &= entry as u32 | level.grants;
            }
            table = entry as u32 & !(PAGE - 1);
        }
        Ok(Some((table.wrapping_add(self.entry_bytes * self.index(12, address)), upper)))
    }

    /// Set the flags of the entry at `at`: its low word.
    pub fn write_flags(ram: &GuestRam, at: u32, entry: u64) -> Outcome<()> {
        ram.write(at, entry as u32)
    }
}

impl Shadow {
    /// Walk the Guest's tables for `address`; `None` if something on the way is absent.
    pub(super) fn walk(&self, ram: &GuestRam, address: u32) -> Outcome<Option<Found>> {
        let (Some(format), Some(gpgdir)) = (self.format, self.roots[self.current].gpgdir) else {
            let physical = self.boot.map_or(address, |tables| tables.physical(address));
            let leaf = physical & !(PAGE - 1) | bits::PRESENT | bits::WRITABLE;
            return Ok(Some(Found { at: None, leaf: leaf as u64, upper: bits::UPPER }));
        };
        let Some((at, upper)) = format.leaf(ram, gpgdir, address)? else { return Ok(None) };
        let leaf = format.read(ram, at)?;
        Ok((leaf as u32 & bits::PRESENT != 0).then_some(Found { at: Some(at), leaf, upper }))
    }

    /// Guest-physical address of `address` for the Host's own use: reading code (4.5).
    ///
    /// # Errors
    /// BAD_ADDRESS.
    pub fn to_physical(&self, ram: &GuestRam, address: u32) -> Outcome<u32> {
        let found = self.walk(ram, address)?;
        require(found.is_some(), Category::BadAddress, address)?;
        Ok(found.map_or(0, |f| f.physical(address)))
    }

    /// The same for a write on the Guest's behalf: its tables must allow it, and A and D are set as by a store.
    ///
    /// # Errors
    /// BAD_ADDRESS.
    pub fn to_physical_for_write(&self, ram: &GuestRam, address: u32) -> Outcome<u32> {
        let found = self.walk(ram, address)?;
        let wanted = bits::PRESENT | bits::WRITABLE;
        let ok = found.as_ref().is_some_and(|f| f.leaf as u32 & f.upper & wanted == wanted);
        require(ok && address < SWITCHER, Category::BadAddress, address)?;
        let Some(found) = found else { return Ok(address) };
        let used = found.leaf | (bits::ACCESSED | bits::DIRTY) as u64;
        if let Some(at) = found.at
            && used != found.leaf
        {
            Format::write_flags(ram, at, used)?;
        }
        Ok(found.physical(address))
    }
}
