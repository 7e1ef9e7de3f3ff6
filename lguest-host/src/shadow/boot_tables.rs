//! Page tables the Host makes for kernels up to 3.0 (3.5): all RAM twice, at 0 and from PAGE_OFFSET on, below the initial RAM
//! disk at the top of it. The kernel is told where they are, runs on them until it loads its own, and may hang a table of its own
//! into them meanwhile.
//!
//! Whether it has PAE nobody knows yet. So the top-level table is right for both kinds where they look, in the half of the kernel:
//! a kernel without PAE at entry 768 and up, one with PAE in the first 32 bytes. The first thing it does to its tables tells.
//! Until then the Host does not need them, knowing what is in them.

use super::format::{Format, NON_PAE, PAE, bits};
use crate::abi::PAGE;
use crate::death::{Category, Outcome, require};
use crate::mutant::broken;
use crate::ram::GuestRam;

const FLAGS: u32 = bits::PRESENT | bits::WRITABLE | bits::USER;
/// What a page directory of PAE maps at most, in its half: 1 GiB.
const PAE_TABLES: u32 = 512;
/// Top-level entries of a kernel without PAE, which hold the pointers of one with PAE until it is known.
const SHARED: u32 = 8;

/// Tables of both kinds.
#[derive(Clone, Copy, Debug)]
pub struct BootTables {
    /// Guest-physical address of the top-level table.
    pub top: u32,
    /// Of the leaf tables without PAE.
    narrow: u32,
    /// Number of those.
    count: u32,
    /// Where RAM is mapped the second time.
    kernel_address: u32,
}

impl BootTables {
    /// Make them for `ram_size` bytes of RAM, below the address `end`.
    ///
    /// # Errors
    /// BAD_GUEST_PAGE: no room for them.
    pub fn build(ram: &GuestRam, ram_size: u32, end: u32, kernel_address: u32) -> Outcome<BootTables> {
        let span = |format: &Format| ram_size.div_ceil(1 << format.upper[format.upper.len() - 1].shift);
        let (narrow_count, wide_count) = (span(&NON_PAE), span(&PAE).min(PAE_TABLES));
        let pages = 2 + narrow_count + wide_count;
        let start = (end & !(PAGE - 1)).checked_sub(pages * PAGE);
        require(start.is_some(), Category::BadGuestPage, end)?;
        let directory = start.unwrap_or(0);
        let wide = directory + PAGE;
        let narrow = wide + wide_count * PAGE;
        let top = narrow + narrow_count * PAGE;
        for page in 0..ram_size.div_ceil(PAGE) {
            let leaf = (page * PAGE) | FLAGS;
            ram.write(narrow + 4 * page, leaf)?;
            if page / 512 < wide_count {
                ram.write(wide + 8 * page, leaf as u64)?;
            }
        }
        for n in 0..wide_count {
            ram.write(directory + 8 * n, ((wide + n * PAGE) | FLAGS) as u64)?;
        }
        ram.write(top, [0u8; PAGE as usize])?;
        let tables = BootTables { top, narrow, count: narrow_count, kernel_address };
        for n in 0..narrow_count {
            tables.write_directory_entry(ram, n, n)?;
            tables.write_directory_entry(ram, (kernel_address >> 22) + n, n)?;
        }
        for n in [0, kernel_address >> 30] {
            ram.write(top + 8 * n, (directory | bits::PRESENT) as u64)?;
        }
        Ok(tables)
    }

    /// Without PAE: entry `index` leads to leaf table `n`.
    fn write_directory_entry(&self, ram: &GuestRam, index: u32, n: u32) -> Outcome<()> {
        if index < NON_PAE.top_entries {
            ram.write(self.top + 4 * index, (self.narrow + n * PAGE) | FLAGS)
        } else {
            Ok(())
        }
    }

    /// Now it is known: what was of the other kind goes away.
    pub fn settle(&self, ram: &GuestRam, format: &Format) -> Outcome<()> {
        if format.entry_bytes != 8 {
            for n in 0..SHARED {
                ram.write(self.top + 4 * n, 0u32)?;
                if n < self.count {
                    self.write_directory_entry(ram, n, n)?;
                }
            }
        }
        Ok(())
    }

    /// What they map `address` to.
    pub fn physical(&self, address: u32) -> u32 {
        let upper = address >= self.kernel_address && !broken("boot-tables-once");
        if upper { address - self.kernel_address } else { address }
    }
}
