//! SIMD floating-point exceptions (SDM vol. 1, 11.5): what an instruction collects over its lanes, and what becomes
//! of it at the end.
//!
//! Invariant: the destination is written only after [`Env::deliver`] succeeded. An unmasked exception leaves all
//! registers as they were, except for its flags in MXCSR.

use super::state::mxcsr;
use crate::Cpu;
use crate::fault::Fault;
use crate::regs::cr4;
use crate::softfloat::{Binary, Number, Rounding};

/// Exception flags, as in MXCSR.
pub(super) mod flag {
    pub const INVALID: u32 = 1 << 0;
    pub const DENORMAL: u32 = 1 << 1;
    pub const DIVIDE: u32 = 1 << 2;
    pub const OVERFLOW: u32 = 1 << 3;
    pub const UNDERFLOW: u32 = 1 << 4;
    pub const INEXACT: u32 = 1 << 5;
    /// Those found in the operands, before anything is computed.
    pub const BEFORE: u32 = INVALID | DENORMAL | DIVIDE;
}

/// The floating-point environment of one instruction.
pub(super) struct Env {
    mxcsr: u32,
    flags: u32,
}

impl Env {
    pub fn new(cpu: &Cpu) -> Env {
        Env { mxcsr: cpu.simd.mxcsr, flags: 0 }
    }

    /// An operand as the instruction sees it: denormals may be zeros.
    #[inline(always)]
    pub fn operand<L: Binary>(&self, x: L) -> L {
        if self.mxcsr & mxcsr::DAZ != 0 && x.is_denormal() { L::zero(x.is_negative()) } else { x }
    }

    /// Record exceptions.
    #[inline(always)]
    pub fn raise(&mut self, flags: u32) {
        self.flags |= flags;
    }

    /// Record #D for operands after [`Self::operand`].
    #[inline(always)]
    pub fn note_denormal(&mut self, denormal: bool) {
        self.flags |= if denormal { flag::DENORMAL } else { 0 };
    }

    /// Rounding control.
    pub fn rounding(&self) -> Rounding {
        Rounding::from_bits(self.mxcsr >> mxcsr::RC_SHIFT)
    }

    /// A result: rounded into its format, with the masked responses to overflow and underflow.
    pub fn round<L: Binary>(&mut self, exact: Number) -> L {
        let rounded = exact.round(L::FORMAT, self.rounding());
        if rounded.inexact {
            self.raise(flag::INEXACT);
        }
        if rounded.overflow {
            self.raise(flag::OVERFLOW | flag::INEXACT);
            return match self.rounding().overflows_to_infinity(exact.negative) {
                true => L::infinity(exact.negative),
                false => L::largest(exact.negative),
            };
        }
        if rounded.tiny {
            let masked = self.mxcsr >> mxcsr::MASKS_SHIFT & flag::UNDERFLOW != 0;
            if masked && self.mxcsr & mxcsr::FZ != 0 {
                self.raise(flag::UNDERFLOW | flag::INEXACT);
                return L::zero(exact.negative);
            }
            // A masked underflow is only one if something was lost.
            if rounded.inexact || !masked {
                self.raise(flag::UNDERFLOW);
            }
        }
        L::pack(exact.negative, rounded)
    }

    /// Store the flags and, if an exception is unmasked, fault. Exceptions of the results count only if none of the
    /// operands' is unmasked, since then nothing was computed.
    ///
    /// # Errors
    /// #XM, or #UD if the operating system does not handle that (CR4.OSXMMEXCPT).
    pub fn deliver(self, cpu: &mut Cpu) -> Result<(), Fault> {
        let unmasked = !(self.mxcsr >> mxcsr::MASKS_SHIFT);
        let before = self.flags & flag::BEFORE;
        let flags = if before & unmasked != 0 { before } else { self.flags };
        cpu.simd.mxcsr |= flags;
        if flags & unmasked & mxcsr::FLAGS == 0 {
            Ok(())
        } else if cpu.regs.cr4 & cr4::OSXMMEXCPT != 0 {
            Err(Fault::XM)
        } else {
            Err(Fault::UD)
        }
    }
}
