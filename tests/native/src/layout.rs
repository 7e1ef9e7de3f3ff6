//! Where things are, the same for the host processor and for ours.
//!
//! | linear | what | ring 3 may |
//! |---|---|---|
//! | 0 - 0xFFFF | tables, handlers and stack of ring 0 (ours only) | nothing |
//! | [`CODE`] | one page | execute, read |
//! | [`DATA`] | two pages, then one that is read-only, then none | read, write |
//! | [`STACK`] | two pages, none beside them | read, write |

/// Size of a page.
pub const PAGE: usize = 0x1000;
/// The page of code.
pub const CODE: u32 = 0x10_0000;
/// Three pages of data, the last one read-only.
pub const DATA: u32 = 0x20_0000;
/// Two pages of stack.
pub const STACK: u32 = 0x30_0000;
/// Addresses below are ring 0's.
pub const SYSTEM_END: u32 = 0x1_0000;

/// Flat 32-bit code of the host's kernel.
pub const FLAT_CODE: u16 = 0x23;
/// Flat data of the host's kernel.
pub const FLAT_DATA: u16 = 0x2B;

/// One entry of the LDT, as `modify_ldt` takes it.
pub struct Entry {
    pub base: u32,
    /// In bytes, or in pages if `pages`.
    pub limit: u32,
    pub pages: bool,
    pub big: bool,
    /// 0 data, 1 expand-down data, 2 code.
    pub contents: u32,
    pub read_only: bool,
    pub absent: bool,
}

const fn entry(base: u32, limit: u32, contents: u32) -> Entry {
    Entry { base, limit, pages: false, big: true, contents, read_only: false, absent: false }
}

/// The LDT. The numbers of valid data, stack and code entries are in the lists below.
pub const LDT: [Entry; 14] = [
    Entry { pages: true, ..entry(0, 0xF_FFFF, 0) },
    entry(DATA, 0xFFF, 0),
    entry(DATA, 0x1FFF, 0),
    Entry { read_only: true, ..entry(DATA, 0xFFF, 0) },
    entry(DATA, 0x7FF, 1),
    Entry { big: false, ..entry(DATA, 0x7FF, 1) },
    Entry { absent: true, ..entry(DATA, 0xFFF, 0) },
    Entry { big: false, ..entry(STACK, 0x1FFF, 0) },
    entry(STACK, 0x1FFF, 0),
    Entry { pages: true, ..entry(0, 0xF_FFFF, 2) },
    Entry { big: false, ..entry(CODE, 0xFFF, 2) },
    Entry { read_only: true, ..entry(CODE, 0xFFF, 2) },
    entry(CODE, 0x7FF, 2),
    Entry { absent: true, ..entry(CODE, 0xFFF, 2) },
];

/// The selector of LDT entry `n`.
pub const fn selector(n: u16) -> u16 {
    n << 3 | 7
}

/// Entries that DS, ES, FS and GS can hold.
pub const DATA_ENTRIES: [u16; 8] = [0, 1, 2, 3, 4, 5, 7, 8];
