//! The x87 registers (SDM vol. 1, 8.1), which are the MMX registers too (9.2).

use serde::{Deserialize, Serialize};

/// Bits of the status word.
pub mod status {
    /// The six exception flags IE DE ZE OE UE PE.
    pub const FLAGS: u16 = 0x3F;
    /// Error summary: an unmasked exception is pending.
    pub const ES: u16 = 1 << 7;
    /// Bits 11 to 13 number the register that is the top of the stack.
    pub const TOP_SHIFT: u32 = 11;
    /// Busy: a copy of ES.
    pub const B: u16 = 1 << 15;
}

/// An 80-bit register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// The significand with its explicit first bit; an MMX register.
    pub significand: u64,
    /// Sign in bit 15, biased exponent below.
    pub sign_exponent: u16,
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
}

impl Default for Fpu {
    /// State after RESET (SDM vol. 3, table 9-1).
    fn default() -> Fpu {
        Fpu { regs: [Extended::default(); 8], control: 0x0040, status: 0, in_use: 0xFF }
    }
}

impl Fpu {
    /// Number of the register that is ST(0).
    pub fn top(&self) -> usize {
        (self.status >> status::TOP_SHIFT) as usize & 7
    }

    /// Number of the register that is ST(i).
    pub fn st(&self, i: usize) -> usize {
        (self.top() + i) & 7
    }

    /// An unmasked exception waits for the next x87 or MMX instruction.
    pub fn error_pending(&self) -> bool {
        self.status & status::ES != 0
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
