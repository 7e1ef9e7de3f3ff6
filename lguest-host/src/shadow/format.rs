//! Page-table formats as data: two levels of 4-byte entries, or three of 8-byte entries (PAE).

/// Bits of an entry, the same in both formats.
#[allow(missing_docs)]
pub mod bits {
    pub const PRESENT: u32 = 1;
    pub const WRITABLE: u32 = 2;
    pub const USER: u32 = 4;
    pub const ACCESSED: u32 = 0x20;
    pub const DIRTY: u32 = 0x40;
    /// PS in a directory, PAT in a leaf: a Guest may use neither (4.2).
    pub const LARGE: u32 = 0x80;
    pub const GLOBAL: u32 = 0x100;
    /// What an upper entry of a Guest may have: P RW US A D.
    pub const UPPER: u32 = 0x67;
}

/// One level of tables.
#[derive(Clone, Copy, Debug)]
pub struct Level {
    /// Bits below the index.
    pub shift: u32,
    /// Bits of the index.
    pub bits: u32,
}

impl Level {
    /// Entries of a table.
    pub const fn entries(self) -> u32 {
        1 << self.bits
    }
    /// Index of `address`.
    pub const fn index(self, address: u32) -> u32 {
        address >> self.shift & (self.entries() - 1)
    }
}

/// A format.
#[derive(Debug)]
pub struct Format {
    /// Bytes of an entry: 4 or 8.
    pub entry_bytes: u32,
    /// From the top down; the last holds the leaves.
    pub levels: &'static [Level],
}

impl Format {
    /// Index of `address` in its leaf table.
    pub const fn leaf_index(&self, address: u32) -> u32 {
        self.levels[self.levels.len() - 1].index(address)
    }
}

/// Page directory and page tables.
pub const NON_PAE: Format =
    Format { entry_bytes: 4, levels: &[Level { shift: 22, bits: 10 }, Level { shift: 12, bits: 10 }] };

/// Page-directory-pointer table, page directories, page tables.
pub const PAE: Format = Format {
    entry_bytes: 8,
    levels: &[Level { shift: 30, bits: 2 }, Level { shift: 21, bits: 9 }, Level { shift: 12, bits: 9 }],
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_bit_is_used_once() {
        for format in [&NON_PAE, &PAE] {
            let mut shift = 32;
            for level in format.levels {
                assert_eq!(level.shift + level.bits, shift);
                assert!(level.entries() * format.entry_bytes <= 4096);
                shift = level.shift;
            }
            assert_eq!(shift, 12);
        }
    }
}
