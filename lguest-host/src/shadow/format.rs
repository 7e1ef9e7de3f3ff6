//! Formats of page tables (SDM vol. 3, 4.3 and 4.4): what a Guest's own tables may look like, and bits of entries.
//!
//! A Guest has two levels of 4-byte entries, or three of 8-byte entries (PAE). The shadow always has the second form (see
//! [`super::root`]), which can say everything the first one can.

use crate::death::Category;

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

/// One level of tables above the leaves.
#[derive(Debug)]
pub struct Level {
    /// Bits below the index.
    pub shift: u32,
    /// Flags an entry may have (4.2).
    pub flags: u32,
    /// Flags of its own that every entry grants.
    pub grants: u32,
    /// The Guest's end if it has others.
    pub category: Category,
}

/// A format.
#[derive(Debug)]
pub struct Format {
    /// Bytes of an entry: 4 or 8.
    pub entry_bytes: u32,
    /// Levels above the leaves, from the top down.
    pub upper: &'static [Level],
    /// Entries of a top-level table.
    pub top_entries: u32,
    /// Bits of the address of a top-level table.
    pub top_mask: u32,
}

/// Page directory and page tables.
pub const NON_PAE: Format = Format {
    entry_bytes: 4,
    upper: &[Level { shift: 22, flags: bits::UPPER, grants: 0, category: Category::BadPgd }],
    top_entries: 1024,
    top_mask: !0xFFF,
};

/// Page-directory-pointer table, page directories, page tables. The first has no rights to give or take.
pub const PAE: Format = Format {
    entry_bytes: 8,
    upper: &[
        Level { shift: 30, flags: bits::PRESENT, grants: bits::UPPER, category: Category::BadPgd },
        Level { shift: 21, flags: bits::UPPER, grants: 0, category: Category::BadPmd },
    ],
    top_entries: 4,
    top_mask: !0x1F,
};

impl Format {
    /// Index of `address` in a table of this level, whose entries span `1 << shift` bytes.
    pub const fn index(&self, shift: u32, address: u32) -> u32 {
        // In a whole page of entries, or in the four of a page-directory-pointer table.
        let bits = if shift == 30 {
            2
        } else if self.entry_bytes == 8 {
            9
        } else {
            10
        };
        address >> shift & ((1 << bits) - 1)
    }

    /// Whether these are the words of a page-directory pointer (3.5): no other top-level entry has the flag "present" alone.
    pub const fn is_pointer([low, high]: [u32; 2]) -> bool {
        low & 0xFFF == bits::PRESENT && high == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_address_bit_is_used_once() {
        for format in [&NON_PAE, &PAE] {
            let spans = || format.upper.iter().map(|level| level.shift).chain([12]);
            assert_eq!(format.top_entries << (format.upper[0].shift - 12), 1 << 20);
            let mut seen = 0xFFF;
            for shift in spans() {
                let field = format.index(shift, u32::MAX) << shift;
                assert_eq!(seen & field, 0);
                seen |= field;
            }
            assert_eq!(seen, u32::MAX);
        }
    }

    #[test]
    fn pointers_are_told_from_directory_entries() {
        for (words, pae) in [
            ([0x2001, 0], true),
            ([0x2067, 0x3067], false),
            ([0x2063, 0], false),
            ([0x2001, 1], false),
            ([0, 0], false),
        ] {
            assert_eq!(Format::is_pointer(words), pae, "{words:x?}");
        }
    }
}
