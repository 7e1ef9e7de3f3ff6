//! Segment descriptors and gates as the two words a hypercall takes, and the selectors of the lguest layout.

/// Selectors, with the RPL they are used with.
#[allow(missing_docs)]
pub mod selector {
    pub const HOST_CS: u16 = 0x50;
    pub const HOST_DS: u16 = 0x58;
    pub const RING1_CS: u16 = 0x61;
    pub const RING1_DS: u16 = 0x69;
    pub const RING3_CS: u16 = 0x73;
    pub const RING3_DS: u16 = 0x7b;
    /// The first of the three TLS segments, for ring 3.
    pub const TLS: u16 = 6 << 3 | 3;
    pub const TSS: u16 = 0x80;
}

/// Entries of the GDT with a meaning.
#[allow(missing_docs)]
pub mod entry {
    pub const TLS: u32 = 6;
    pub const RING1_CODE: u32 = 12;
    pub const RING1_DATA: u32 = 13;
    pub const RING3_CODE: u32 = 14;
    pub const RING3_DATA: u32 = 15;
    /// Free for experiments (per-CPU data in Linux).
    pub const FREE: u32 = 27;
}

/// Type field of code and data segments, S bit included.
#[allow(missing_docs)]
pub mod kind {
    pub const DATA: u32 = 0x12;
    pub const CODE: u32 = 0x1a;
    pub const CONFORMING_CODE: u32 = 0x1e;
}

/// The low and the high word of a descriptor.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Descriptor {
    /// Bits 0-31.
    pub low: u32,
    /// Bits 32-63.
    pub high: u32,
}

impl Descriptor {
    /// A present 32-bit segment or system descriptor with a byte-granular limit.
    pub const fn segment(base: u32, limit: u32, kind: u32, dpl: u32) -> Self {
        Self {
            low: base << 16 | limit & 0xffff,
            high: base & 0xff00_0000
                | 0x0040_8000
                | limit & 0x000f_0000
                | dpl << 13
                | kind << 8
                | base >> 16 & 0xff,
        }
    }

    /// A present segment of 4 GiB.
    pub const fn flat(kind: u32, dpl: u32) -> Self {
        let segment = Self::segment(0, 0xfffff, kind, dpl);
        Self { low: segment.low, high: segment.high | 0x0080_0000 }
    }

    /// A present gate.
    pub const fn gate(kind: u32, selector: u16, offset: u32, dpl: u32) -> Self {
        Self {
            low: (selector as u32) << 16 | offset & 0xffff,
            high: offset & 0xffff_0000 | 0x8000 | dpl << 13 | kind << 8,
        }
    }
}

/// Types of gates.
#[allow(missing_docs)]
pub mod gate {
    pub const CALL16: u32 = 0x4;
    pub const TASK: u32 = 0x5;
    pub const TSS: u32 = 0x9;
    pub const CALL: u32 = 0xc;
    pub const INTERRUPT: u32 = 0xe;
    pub const TRAP: u32 = 0xf;
}
