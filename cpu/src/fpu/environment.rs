//! Exceptions and control of one instruction (SDM vol. 1, 8.1.5, 8.5).
//!
//! Operations record exceptions here and return the masked response; [`super::Fpu::settle`] decides at the end whether
//! it may be delivered.

use super::extended::{Class, EXTENDED, Extended, Operand};
use super::wide::Wide;
use crate::softfloat::{Format, Number, Rounding};

/// Exception flags, as in the status word.
pub(super) mod flag {
    pub const INVALID: u16 = 1 << 0;
    pub const DENORMAL: u16 = 1 << 1;
    pub const DIVIDE: u16 = 1 << 2;
    pub const OVERFLOW: u16 = 1 << 3;
    pub const UNDERFLOW: u16 = 1 << 4;
    pub const INEXACT: u16 = 1 << 5;
    /// Stack fault; always with [`INVALID`], and not an exception by itself.
    pub const STACK: u16 = 1 << 6;
    /// Those found in the operands: unmasked, they leave the destination alone.
    pub const BEFORE: u16 = INVALID | DENORMAL | DIVIDE;
}

/// Added to the exponent of a register result on unmasked underflow, subtracted on unmasked overflow.
const EXPONENT_ADJUSTMENT: i32 = 24576;

/// The control word, and the exceptions recorded so far.
#[derive(Clone, Copy, Debug)]
pub(super) struct Env {
    control: u16,
    pub flags: u16,
    /// Becomes C1: the result was rounded up, or the stack overflowed.
    pub c1: bool,
}

impl Env {
    pub fn new(control: u16) -> Env {
        Env { control, flags: 0, c1: false }
    }

    pub fn raise(&mut self, flags: u16) {
        self.flags |= flags;
    }

    /// Whether one of these exceptions would be delivered.
    pub fn unmasked(&self, flags: u16) -> bool {
        flags & !self.control != 0
    }

    /// Whether an exception of the operands is unmasked, so that no result may be delivered.
    pub fn stopped(&self) -> bool {
        self.unmasked(self.flags & flag::BEFORE)
    }

    /// Rounding control.
    pub fn rounding(&self) -> Rounding {
        Rounding::from_bits(self.control as u32 >> 10)
    }

    /// The format that precision control asks for. It narrows the significand, not the exponent.
    pub fn format(&self) -> Format {
        let precision = match self.control >> 8 & 3 {
            0 => 24,
            2 => 53,
            _ => 64,
        };
        Format { precision, ..EXTENDED }
    }

    /// An invalid operation.
    pub fn invalid(&mut self) -> Extended {
        self.raise(flag::INVALID);
        Extended::INDEFINITE
    }

    /// An operand register is empty.
    pub fn stack_underflow(&mut self) -> Extended {
        self.raise(flag::STACK);
        self.c1 = false;
        self.invalid()
    }

    /// The register to push to is not empty.
    pub fn stack_overflow(&mut self) -> Extended {
        self.raise(flag::STACK);
        self.c1 = true;
        self.invalid()
    }

    /// The operand of an operation, if it is a number; else the result. Records invalid and denormal operands.
    pub fn one(&mut self, a: Operand) -> Result<Class, Extended> {
        let class = a.value.class();
        match class {
            Class::Unsupported => return Err(self.invalid()),
            Class::Nan => return Err(self.propagate(a.value, a.value)),
            _ => self.note_denormal(a.denormal),
        }
        Ok(class)
    }

    /// The same for two operands.
    pub fn two(&mut self, a: Operand, b: Operand) -> Result<(Class, Class), Extended> {
        let classes = self.two_before_denormals(a, b)?;
        self.note_denormal(a.denormal || b.denormal);
        Ok(classes)
    }

    /// As [`Self::two`] for an operation that has exceptions of higher priority than denormal operands.
    pub fn two_before_denormals(&mut self, a: Operand, b: Operand) -> Result<(Class, Class), Extended> {
        let classes = (a.value.class(), b.value.class());
        match classes {
            (Class::Unsupported, _) | (_, Class::Unsupported) => Err(self.invalid()),
            (Class::Nan, _) | (_, Class::Nan) => Err(self.propagate(a.value, b.value)),
            _ => Ok(classes),
        }
    }

    pub fn note_denormal(&mut self, denormal: bool) {
        self.raise(if denormal { flag::DENORMAL } else { 0 });
    }

    /// The NaN that two operands give, at least one of them being a NaN (SDM vol. 1, table 4-7): a quiet one before a
    /// signaling one, then the one with the larger significand, then the positive one.
    fn propagate(&mut self, a: Extended, b: Extended) -> Extended {
        let (a_signals, b_signals) = (a.is_signaling(), b.is_signaling());
        if a_signals || b_signals {
            self.raise(flag::INVALID);
        }
        let a_wins = match (a.class() == Class::Nan, b.class() == Class::Nan) {
            (true, true) if a_signals != b_signals => b_signals,
            (true, true) => {
                let key = |x: Extended| (x.quieted().significand, !x.is_negative());
                key(a) >= key(b)
            }
            (a_is_nan, _) => a_is_nan,
        };
        if a_wins { a.quieted() } else { b.quieted() }
    }

    /// A register result, rounded under precision control.
    pub fn round(&mut self, exact: Number) -> Extended {
        self.round_to(exact, self.format())
    }

    /// A register result in full precision.
    pub fn round_full(&mut self, exact: Number) -> Extended {
        self.round_to(exact, EXTENDED)
    }

    /// A transcendental result: never exact.
    pub fn round_wide(&mut self, result: Wide) -> Extended {
        match result.inexact() {
            Some(number) => self.round_full(number),
            None => Extended::zero(result.is_negative()),
        }
    }

    fn round_to(&mut self, exact: Number, format: Format) -> Extended {
        let mut rounded = exact.round(format, self.rounding());
        if rounded.overflow {
            self.raise(flag::OVERFLOW);
            if self.unmasked(flag::OVERFLOW) {
                rounded.exponent -= EXPONENT_ADJUSTMENT;
                if rounded.exponent > format.max_exponent {
                    // Only FSCALE goes so far (SDM vol. 1, 8.5.4): infinity, whatever the rounding.
                    self.raise(flag::INEXACT);
                    self.c1 = true;
                    return Extended::infinity(exact.negative);
                }
            } else {
                return self.overflowed(exact.negative, format);
            }
        } else if rounded.tiny && self.unmasked(flag::UNDERFLOW) {
            self.raise(flag::UNDERFLOW);
            let scaled = Number { exponent: exact.exponent.saturating_add(EXPONENT_ADJUSTMENT), ..exact };
            rounded = scaled.round(format, self.rounding());
            if rounded.tiny {
                // As above (SDM vol. 1, 8.5.5): zero.
                self.raise(flag::INEXACT);
                return Extended::zero(exact.negative);
            }
        } else if rounded.tiny && rounded.inexact {
            self.raise(flag::UNDERFLOW);
        }
        if rounded.inexact {
            self.raise(flag::INEXACT);
            self.c1 = rounded.up;
        }
        Extended::pack(exact.negative, format.precision, rounded)
    }

    fn overflowed(&mut self, negative: bool, format: Format) -> Extended {
        self.raise(flag::INEXACT);
        self.c1 = self.rounding().overflows_to_infinity(negative);
        if self.c1 { Extended::infinity(negative) } else { Extended::largest(negative, format.precision) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TINY: Number = Number { negative: false, exponent: -17000, significand: 3 };
    const HUGE: Number = Number { negative: true, exponent: 17000, significand: 1 };

    #[test]
    fn masked_results_stay_in_range() {
        let mut env = Env::new(0x037F);
        assert_eq!(env.round(TINY), Extended::zero(false));
        assert_eq!(env.flags, flag::UNDERFLOW | flag::INEXACT);
        let mut env = Env::new(0x037F);
        assert_eq!(env.round(HUGE), Extended::infinity(true));
        assert_eq!((env.flags, env.c1), (flag::OVERFLOW | flag::INEXACT, true));
        // Toward zero, in single precision.
        let mut env = Env::new(0x0C7F);
        assert_eq!(env.round(HUGE), Extended { significand: 0xFFFF_FF00_0000_0000, sign_exponent: 0xFFFE });
        assert!(!env.c1);
    }

    #[test]
    fn unmasked_results_are_scaled() {
        let mut env = Env::new(0x0340);
        assert_eq!(env.round(TINY).field() as i32, -17000 + 1 + 0x3FFF + EXPONENT_ADJUSTMENT);
        assert_eq!(env.flags, flag::UNDERFLOW);
        let mut env = Env::new(0x0340);
        assert_eq!(env.round(HUGE).field() as i32, 17000 + 0x3FFF - EXPONENT_ADJUSTMENT);
        assert_eq!(env.flags, flag::OVERFLOW);
    }

    /// Rounding that would give the least and the largest number is not asked.
    #[test]
    fn beyond_scaling_are_zero_and_infinity() {
        let mut env = Env::new(0x0F77);
        let most = Number { negative: true, exponent: 70_000, significand: 1 };
        assert_eq!(env.round_full(most), Extended::infinity(true));
        assert_eq!((env.flags, env.c1), (flag::OVERFLOW | flag::INEXACT, true));
        let mut env = Env::new(0x076F);
        let least = Number { negative: true, exponent: -70_000, significand: 1 };
        assert_eq!(env.round_full(least), Extended::zero(true));
        assert_eq!((env.flags, env.c1), (flag::UNDERFLOW | flag::INEXACT, false));
    }

    #[test]
    fn of_two_nans_the_larger_quiet_one_is_kept() {
        let nan = |sign_exponent, significand| Extended { significand, sign_exponent };
        let (small, large) = (nan(0x7FFF, 0xC000_0000_0000_0001), nan(0xFFFF, 0xC000_0000_0000_0002));
        let signaling = nan(0x7FFF, 0xBFFF_FFFF_FFFF_FFFF);
        let mut env = Env::new(0x037F);
        assert_eq!(env.two(small.into(), large.into()), Err(large));
        assert_eq!(env.flags, 0);
        assert_eq!(env.two(signaling.into(), small.into()), Err(small));
        assert_eq!(env.flags, flag::INVALID);
        assert_eq!(env.two(large.negated().into(), large.into()), Err(large.negated()));
    }
}
