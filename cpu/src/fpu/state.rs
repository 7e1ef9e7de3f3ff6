//! The x87 registers (SDM vol. 1, 8.1), which are the MMX registers too (9.2).

use super::extended::Extended;
use serde::{Deserialize, Serialize};

/// Bits of the status word.
pub mod status {
    /// The six exception flags IE DE ZE OE UE PE.
    pub const FLAGS: u16 = 0x3F;
    /// Stack fault.
    pub const SF: u16 = 1 << 6;
    /// Error summary: an unmasked exception is pending.
    pub const ES: u16 = 1 << 7;
    /// Condition code 0: less, or unordered.
    pub const C0: u16 = 1 << 8;
    /// Condition code 1: rounded up, or stack overflow.
    pub const C1: u16 = 1 << 9;
    /// Condition code 2: unordered, or reduction not complete.
    pub const C2: u16 = 1 << 10;
    /// Bits 11 to 13 number the register that is the top of the stack.
    pub const TOP_SHIFT: u32 = 11;
    /// Condition code 3: equal, or unordered.
    pub const C3: u16 = 1 << 14;
    /// Busy: a copy of ES.
    pub const B: u16 = 1 << 15;
}

/// Where the last x87 instruction that was not a control instruction was, and its memory operand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pointers {
    /// Offset of the instruction in its segment.
    pub instruction: u32,
    /// Its code segment.
    pub code_segment: u16,
    /// Low eleven bits of its first two bytes.
    pub opcode: u16,
    /// Offset of the memory operand in its segment.
    pub data: u32,
    /// Its segment.
    pub data_segment: u16,
}

/// The state of the x87.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fpu {
    /// R0 to R7; ST(i) is R((TOP + i) mod 8).
    pub regs: [Extended; 8],
    /// Control word.
    pub control: u16,
    /// Status word with TOP; ES and B always agree with flags and masks.
    pub status: u16,
    /// Bit n: Rn is not empty. The finer tags follow from the contents.
    pub in_use: u8,
    /// The last instruction.
    pub pointers: Pointers,
}

impl Default for Fpu {
    /// State after RESET (SDM vol. 3, table 9-1).
    fn default() -> Fpu {
        Fpu {
            regs: [Extended::default(); 8],
            control: 0x0040,
            status: 0,
            in_use: 0xFF,
            pointers: Pointers::default(),
        }
    }
}

impl Fpu {
    /// FNINIT: all exceptions masked, full precision, round to nearest, registers empty but unchanged.
    pub fn initialize(&mut self) {
        *self = Fpu { control: 0x037F, in_use: 0, regs: self.regs, ..Fpu::default() };
    }

    /// Number of the register that is ST(0).
    pub fn top(&self) -> usize {
        (self.status >> status::TOP_SHIFT) as usize & 7
    }

    /// Make register `n` modulo 8 the top of the stack.
    pub fn set_top(&mut self, n: usize) {
        self.status = self.status & !(7 << status::TOP_SHIFT) | (n as u16 & 7) << status::TOP_SHIFT;
    }

    /// Number of the register that is ST(i).
    pub fn st(&self, i: usize) -> usize {
        (self.top() + i) & 7
    }

    /// An unmasked exception waits for the next x87 or MMX instruction.
    pub fn error_pending(&self) -> bool {
        self.status & status::ES != 0
    }

    /// No exception is unmasked, so none is pending, and precision control has a value with a meaning.
    #[cfg(jit)]
    pub(crate) fn runs_masked(&self) -> bool {
        self.control & status::FLAGS == status::FLAGS && self.control & 0x300 != 0x100
    }

    /// Load the control word. Bits that do not exist read as bit 6 set, the others clear.
    pub fn set_control(&mut self, value: u16) {
        self.control = value & 0x1F3F | 0x0040;
        self.update_summary();
    }

    /// Make ES and B agree with flags and masks.
    pub fn update_summary(&mut self) {
        let pending = self.status & !self.control & status::FLAGS != 0;
        self.status &= !(status::ES | status::B);
        if pending {
            self.status |= status::ES | status::B;
        }
    }
}
