//! Segment and system descriptors as they stand in GDT and LDT (SDM vol. 3, 3.4.5 and 3.5).

/// Whether a selector is one of the four null selectors (GDT index 0, any RPL).
pub const fn is_null(selector: u16) -> bool {
    selector & !3 == 0
}

/// The selector without its RPL: what error codes carry.
pub const fn selector_index_bits(selector: u16) -> u16 {
    selector & !3
}

/// Types of descriptors with S = 0 (SDM vol. 3, table 3-2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SystemType {
    /// 16-bit TSS; busy or available.
    Tss16 {
        /// The busy bit.
        busy: bool,
    },
    /// 32-bit TSS; busy or available.
    Tss32 {
        /// The busy bit.
        busy: bool,
    },
    /// Local descriptor table.
    Ldt,
    /// 16-bit call gate.
    CallGate16,
    /// 32-bit call gate.
    CallGate32,
    /// Task gate.
    TaskGate,
    /// 16-bit interrupt gate.
    InterruptGate16,
    /// 16-bit trap gate.
    TrapGate16,
    /// 32-bit interrupt gate.
    InterruptGate32,
    /// 32-bit trap gate.
    TrapGate32,
    /// Types 0, 8, 0xA and 0xD.
    Reserved,
}

/// An eight-byte descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// Bytes 0 to 3.
    pub lo: u32,
    /// Bytes 4 to 7.
    pub hi: u32,
}

impl Descriptor {
    /// Base address of a segment, TSS or LDT.
    pub const fn base(self) -> u32 {
        self.lo >> 16 | (self.hi & 0xFF) << 16 | self.hi & 0xFF00_0000
    }
    /// Limit in bytes: the last valid offset of an expand-up segment.
    pub const fn limit(self) -> u32 {
        let raw = self.lo & 0xFFFF | self.hi & 0xF_0000;
        if self.hi & 1 << 23 != 0 { raw << 12 | 0xFFF } else { raw }
    }
    /// The four type bits.
    pub const fn type_bits(self) -> u8 {
        (self.hi >> 8) as u8 & 0xF
    }
    /// S: code or data (true), or system (false).
    pub const fn is_segment(self) -> bool {
        self.hi & 1 << 12 != 0
    }
    /// Descriptor privilege level.
    pub const fn dpl(self) -> u8 {
        (self.hi >> 13) as u8 & 3
    }
    /// P: present.
    pub const fn present(self) -> bool {
        self.hi & 1 << 15 != 0
    }
    /// D/B: 32-bit code or stack.
    pub const fn big(self) -> bool {
        self.hi & 1 << 22 != 0
    }
    /// A code segment.
    pub const fn is_code(self) -> bool {
        self.hi & 0x1800 == 0x1800
    }
    /// A data segment.
    pub const fn is_data(self) -> bool {
        self.hi & 0x1800 == 0x1000
    }
    /// A data segment that may be written.
    pub const fn is_writable_data(self) -> bool {
        self.hi & 0x1A00 == 0x1200
    }
    /// A data segment, or a code segment that may be read.
    pub const fn is_readable(self) -> bool {
        self.is_data() || self.is_code() && self.hi & 1 << 9 != 0
    }
    /// A conforming code segment.
    pub const fn is_conforming(self) -> bool {
        self.hi & 0x1C00 == 0x1C00
    }
    /// The accessed bit of a code or data segment.
    pub const fn accessed(self) -> bool {
        self.hi & 1 << 8 != 0
    }
    /// Meaning of the type bits when S = 0.
    pub const fn system_type(self) -> SystemType {
        match self.type_bits() {
            1 => SystemType::Tss16 { busy: false },
            2 => SystemType::Ldt,
            3 => SystemType::Tss16 { busy: true },
            4 => SystemType::CallGate16,
            5 => SystemType::TaskGate,
            6 => SystemType::InterruptGate16,
            7 => SystemType::TrapGate16,
            9 => SystemType::Tss32 { busy: false },
            0xB => SystemType::Tss32 { busy: true },
            0xC => SystemType::CallGate32,
            0xE => SystemType::InterruptGate32,
            0xF => SystemType::TrapGate32,
            _ => SystemType::Reserved,
        }
    }
    /// Target offset of a 32-bit gate.
    pub const fn gate_offset(self) -> u32 {
        self.lo & 0xFFFF | self.hi & 0xFFFF_0000
    }
    /// Target selector of a gate.
    pub const fn gate_selector(self) -> u16 {
        (self.lo >> 16) as u16
    }
    /// Parameter count of a call gate.
    pub const fn gate_parameters(self) -> u8 {
        self.hi as u8 & 0x1F
    }
}
