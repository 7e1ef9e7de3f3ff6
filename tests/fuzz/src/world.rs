//! RAM of a case: one image with tables of every kind, and a few random patches to them.
//!
//! | physical | what |
//! |---|---|
//! | 0x0000 | real-mode vectors |
//! | 0x1000 | GDT: codes and data of each ring, gates, TSSs, an LDT, oddities; then random descriptors |
//! | 0x2000 | IDT: gates of all kinds |
//! | 0x3000 | LDT: random descriptors |
//! | 0x4000 | TSSs, a page for the I/O permission bitmap |
//! | 0x6000 | handlers: HLT, IRET, a loop, or what a patch makes of them |
//! | 0x8000 | page directory and tables, then the PAE ones at 0xC000 |
//! | 0x10000 | code, 0x20000 data, 0x30000 stacks |

use crate::code::Places;
use crate::entropy::Entropy;

/// Bytes of RAM.
pub const RAM: usize = 0x40000;
/// Global descriptor table: 64 entries.
pub const GDT: u32 = 0x1000;
/// Interrupt descriptor table: 256 entries.
pub const IDT: u32 = 0x2000;
/// Local descriptor table: 64 entries.
pub const LDT: u32 = 0x3000;
/// Four task-state segments, 0x200 bytes apart: two 32-bit ones, two 16-bit ones.
pub const TSS: u32 = 0x4000;
/// Handler of vector `n`, 16 bytes each.
pub const HANDLERS: u32 = 0x6000;
/// Page directory, then its two page tables.
pub const DIRECTORY: u32 = 0x8000;
/// PAE: page-directory pointers, directory, two page tables.
pub const POINTERS: u32 = 0xC000;
/// Code.
pub const CODE: u32 = 0x10000;
/// Data.
pub const DATA: u32 = 0x20000;
/// Stacks.
pub const STACKS: u32 = 0x30000;
/// Linear address of 64 pages with random entries, in both paging modes.
pub const WINDOW: u32 = 0x40_0000;

const JUMP_TO_ITSELF: u64 = 0xFEEB;
const IRET: u64 = 0x90CF;
const HLT: u64 = 0x90F4;

/// Numbers of GDT entries.
pub mod entry {
    #![allow(missing_docs)]
    /// + ring.
    pub const CODE32: u32 = 1;
    pub const DATA32: u32 = 5;
    pub const CODE16: u32 = 9;
    pub const CONFORMING: u32 = 13;
    pub const LDT: u32 = 17;
    pub const TSS32: u32 = 18;
    pub const TSS16: u32 = 20;
    pub const GATES: u32 = 22;
    pub const ODD_DATA: u32 = 38;
    pub const RANDOM: u32 = 48;
    /// Entries of the table.
    pub const COUNT: u32 = 64;
}

/// The two halves of a descriptor; `kind` is bits 8-15 of the high one.
fn descriptor(base: u32, limit: u32, kind: u32, big: bool) -> u64 {
    let (raw, granular) = if limit > 0xF_FFFF { (limit >> 12, 0x80_0000) } else { (limit, 0) };
    let lo = base << 16 | raw & 0xFFFF;
    let hi = base & 0xFF00_0000 | base >> 16 & 0xFF | granular | raw & 0xF_0000 | kind << 8;
    ((hi | (big as u32) << 22) as u64) << 32 | lo as u64
}

fn gate(selector: u32, offset: u32, kind: u32, parameters: u32) -> u64 {
    let hi = offset & 0xFFFF_0000 | kind << 8 | parameters;
    (hi as u64) << 32 | (selector << 16 | offset & 0xFFFF) as u64
}

/// Address of the handler for `n`.
fn handler(n: u32) -> u32 {
    HANDLERS + 16 * (n & 0xFF)
}

/// A descriptor of any type, seldom absent, with a base and limit that often suit this RAM.
pub fn random_descriptor(e: &mut Entropy<'_>) -> u64 {
    if e.one_in(8) {
        return e.bits();
    }
    let kind = e.below(256) | if e.one_in(8) { 0 } else { 0x80 };
    if kind & 0x10 == 0 && kind & 0xF > 3 && !e.one_in(4) {
        let selector = Selectors.value(e);
        let target = if e.one_in(2) { handler(e.word()) } else { CODE + e.below(0x10000) };
        return gate(selector, target, kind, e.below(32));
    }
    let base = e.pick(&[0, 0, CODE, DATA, STACKS, TSS, LDT, DATA + 0xFFC, 0xFFFF_F000]);
    let limit = match e.below(4) {
        0 => u32::MAX,
        1 => 0xFFFF,
        2 => e.below(0x2000),
        _ => e.word(),
    };
    descriptor(base, limit, kind, e.one_in(2))
}

/// Selectors that mean something, most of the time.
pub struct Selectors;

impl Places for Selectors {
    fn value(&self, e: &mut Entropy<'_>) -> u32 {
        match e.below(16) {
            0 => e.word() & 0xFFFF,
            1 => e.below(4),
            2..=4 => e.below(64) << 3 | 4 | e.below(4),
            _ => e.below(entry::COUNT) << 3 | e.below(4),
        }
    }
}

/// Addresses in this world for a program with segments at 0 (`flat`) or at its three areas.
pub struct Addresses {
    /// Segment bases are 0.
    pub flat: bool,
}

impl Places for Addresses {
    fn value(&self, e: &mut Entropy<'_>) -> u32 {
        let near_page_end = if e.one_in(3) { 0xFF0 | e.below(16) } else { e.below(0x1000) };
        let area = e.pick(&[DATA, DATA, DATA, STACKS, CODE, WINDOW, WINDOW, 0x80_0000 + DATA, 0]);
        let page = e.below(16) << 12;
        match e.below(12) {
            0 => e.word(),
            1 => e.pick(&[0, 1, 0x7F, 0x80, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, u32::MAX]),
            2 => Selectors.value(e),
            3 => e.below(64),
            _ if self.flat => area + page + near_page_end,
            _ => page + near_page_end,
        }
    }
}

/// The image all cases start from.
pub fn image() -> Vec<u8> {
    let mut ram = vec![0; RAM];
    let e = &mut Entropy::from_seed(0x5EA7);
    e.fill(&mut ram[DATA as usize..]);
    e.fill(&mut ram[CODE as usize..DATA as usize]);
    for n in 0..256 {
        put(&mut ram, 4 * n, (((CODE >> 4) << 16) + 0x100 + 16 * n) as u64, 4);
        // HLT in an outer ring is #GP, so that has a handler which works in any ring.
        let code = match n {
            13 => JUMP_TO_ITSELF,
            n if n % 4 == 0 => IRET,
            _ => HLT,
        };
        put(&mut ram, CODE + 0x100 + 16 * n, code, 2);
        put(&mut ram, handler(n), code, 2);
    }
    global_table(&mut ram, e);
    for n in 0..256 {
        let kind = e.pick(&[0x8E, 0x8E, 0x8E, 0x8F, 0xEE, 0xEF, 0x86, 0xE7]);
        let code = e.pick(&[entry::CODE32, entry::CODE32, entry::CODE32 + 1, entry::CONFORMING + 1]) << 3;
        let entry = if n >= 32 && n % 16 == 0 {
            gate((entry::TSS32 + 1) << 3, 0, 0xE5, 0)
        } else {
            gate(code, handler(n), kind, 0)
        };
        put(&mut ram, IDT + 8 * n, entry, 8);
    }
    for n in 0..64 {
        put(&mut ram, LDT + 8 * n, random_descriptor(e), 8);
    }
    task_segments(&mut ram);
    page_tables(&mut ram, e);
    ram
}

fn put(ram: &mut [u8], at: u32, value: u64, len: usize) {
    ram[at as usize..at as usize + len].copy_from_slice(&value.to_le_bytes()[..len]);
}

fn global_table(ram: &mut [u8], e: &mut Entropy<'_>) {
    let mut set = |n: u32, value: u64| put(ram, GDT + 8 * n, value, 8);
    for ring in 0..4 {
        set(entry::CODE32 + ring, descriptor(0, u32::MAX, 0x9B | ring << 5, true));
        set(entry::DATA32 + ring, descriptor(0, u32::MAX, 0x93 | ring << 5, true));
        set(entry::CODE16 + ring, descriptor(CODE, 0xFFFF, 0x9B | ring << 5, false));
        set(entry::CONFORMING + ring, descriptor(0, u32::MAX, 0x9F | ring << 5, true));
    }
    set(entry::LDT, descriptor(LDT, 0x1FF, 0x82, false));
    set(entry::TSS32, descriptor(TSS, 0x20FF, 0x8B, false));
    set(entry::TSS32 + 1, descriptor(TSS + 0x200, 103, 0xE9, false));
    set(entry::TSS16, descriptor(TSS + 0x400, 43, 0xE1, false));
    set(entry::TSS16 + 1, descriptor(TSS + 0x600, 43, 0xE3, false));
    for n in 0..16 {
        let selector = e.pick(&[entry::CODE32, entry::CODE32 + 1, entry::CODE16, entry::CONFORMING]) << 3;
        let value = match n {
            0 | 1 => gate((entry::TSS32 + 1 + n) << 3, 0, 0xE5, 0),
            _ => gate(selector, handler(4 * n), if n % 3 == 0 { 0xE4 } else { 0xEC }, n & 3),
        };
        set(entry::GATES + n, value);
    }
    let odd = [
        (DATA, 0xFFF, 0xF7, true),
        (DATA, 0xFFF, 0xF7, false),
        (DATA, 0x7FFF, 0xF1, true),
        (DATA, 0x7FFF, 0xF3, false),
        (STACKS, 0xFFFF, 0xF3, false),
        (STACKS, 0xFFFF, 0x93, false),
        (DATA, 0xFFFF, 0x73, true),
        (CODE, 0xFFFF, 0xF9, true),
        (CODE, 0xFFFF, 0xFB, false),
        (0xFFFF_F000, u32::MAX, 0xF3, true),
    ];
    for (n, (base, limit, kind, big)) in odd.into_iter().enumerate() {
        set(entry::ODD_DATA + n as u32, descriptor(base, limit, kind, big));
    }
    for n in entry::RANDOM..entry::COUNT {
        set(n, random_descriptor(e));
    }
}

/// Stacks and a whole context for each TSS, and an I/O permission bitmap in the first one.
fn task_segments(ram: &mut [u8]) {
    for n in 0..2 {
        let at = TSS + 0x200 * n;
        for ring in 0..3 {
            put(ram, at + 4 + 8 * ring, (STACKS + 0x4000 * (ring + 1)) as u64, 4);
            put(ram, at + 8 + 8 * ring, ((entry::DATA32 + ring) << 3 | ring) as u64, 4);
        }
        put(ram, at + 0x1C, DIRECTORY as u64, 4);
        put(ram, at + 0x20, handler(4) as u64, 4);
        put(ram, at + 0x24, 0x0002, 4);
        put(ram, at + 0x38, (STACKS + 0x8000) as u64, 4);
        for (k, n) in [5, 1, 5, 5, 5, 5].into_iter().enumerate() {
            put(ram, at + 0x48 + 4 * k as u32, n << 3, 4);
        }
        put(ram, at + 0x60, (entry::LDT << 3) as u64, 4);
        put(ram, at + 0x64, 0x0068_0000, 4);
    }
    put(ram, TSS + 0x66, 0x800, 2);
    for n in 0..2 {
        let at = TSS + 0x400 + 0x200 * n;
        for ring in 0..3 {
            put(ram, at + 2 + 4 * ring, 0x8000 + 0x1000 * ring as u64, 2);
            put(ram, at + 4 + 4 * ring, ((entry::DATA32 + ring) << 3 | ring) as u64, 2);
        }
        put(ram, at + 14, handler(8) as u64, 2);
        put(ram, at + 16, 2, 2);
        put(ram, at + 26, 0x9000, 2);
        for (k, n) in [5, 1, 5, 5].into_iter().enumerate() {
            put(ram, at + 34 + 2 * k as u32, n << 3, 2);
        }
    }
}

/// Identity up to RAM's end, the window, a large page; for both formats.
fn page_tables(ram: &mut [u8], e: &mut Entropy<'_>) {
    let table = DIRECTORY + 0x1000;
    put(ram, DIRECTORY, (table | 7) as u64, 4);
    put(ram, DIRECTORY + 4, (table + 0x1007) as u64, 4);
    put(ram, DIRECTORY + 8, 0x87, 4);
    put(ram, DIRECTORY + 0xFFC, (DIRECTORY | 3) as u64, 4);
    let (pae_directory, pae_table) = (POINTERS + 0x1000, POINTERS + 0x2000);
    put(ram, POINTERS, (pae_directory | 1) as u64, 8);
    put(ram, POINTERS + 24, (pae_directory | 1) as u64, 8);
    put(ram, pae_directory, (pae_table | 7) as u64, 8);
    put(ram, pae_directory + 16, (pae_table + 0x1007) as u64, 8);
    put(ram, pae_directory + 32, 0x87, 8);
    put(ram, pae_directory + 0xFF8, (pae_directory | 3) as u64, 8);
    for n in 0..64 {
        put(ram, table + 4 * n, (n << 12 | 7) as u64, 4);
        put(ram, pae_table + 8 * n, (n << 12 | 7) as u64, 8);
        put(ram, table + 0x1000 + 4 * n, page_entry(e, false), 4);
        put(ram, pae_table + 0x1000 + 8 * n, page_entry(e, true), 8);
    }
}

/// A page-table entry, mostly present and within RAM.
fn page_entry(e: &mut Entropy<'_>, wide: bool) -> u64 {
    let frame = if e.one_in(8) { e.word() & !0xFFF } else { (0x20 + e.below(0x20)) << 12 };
    let bits = e.word() & 0x1FE | if e.one_in(6) { 0 } else { 1 };
    let high = match e.below(16) {
        0 if wide => 1 << 63,
        1 if wide => 1 << (32 + e.below(31)),
        _ => 0,
    };
    (frame | bits) as u64 | high
}

/// Random changes to the tables, as (address, bytes).
pub fn patches(e: &mut Entropy<'_>) -> Vec<(u32, Vec<u8>)> {
    let mut out = Vec::new();
    let mut patch = |at: u32, value: u64, len: usize| out.push((at, value.to_le_bytes()[..len].to_vec()));
    while !e.one_in(3) {
        match e.below(8) {
            0 | 1 => patch(GDT + 8 * e.below(entry::COUNT), random_descriptor(e), 8),
            2 => patch(LDT + 8 * e.below(64), random_descriptor(e), 8),
            3 => patch(IDT + 8 * e.below(64), random_descriptor(e), 8),
            4 => patch(DIRECTORY + 0x1000 + 4 * e.below(0x440), page_entry(e, false), 4),
            5 => patch(POINTERS + 0x2000 + 8 * e.below(0x240), page_entry(e, true), 8),
            6 => patch(TSS + e.below(0x680), e.bits(), 1 + e.below(4) as usize),
            _ => patch(HANDLERS + 16 * e.below(32), e.bits(), 8),
        }
    }
    out
}
