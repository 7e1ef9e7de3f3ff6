//! Numbers with 128-bit significands, for the transcendental functions: enough bits beyond the 64 of a result that it
//! is nearly always rounded as if it were exact, by integer operations that are the same on every host.
//!
//! Results are truncated to 128 bits, except that a part too small to be seen still pulls a sum off the value it is
//! added to, so that directed rounding goes the right way.

use crate::softfloat::Number;
use std::cmp::Ordering;

/// `significand * 2^exponent` with the first bit of the significand at bit 127; or zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wide {
    negative: bool,
    exponent: i32,
    significand: u128,
}

impl Wide {
    pub const ZERO: Wide = Wide { negative: false, exponent: 0, significand: 0 };
    pub const ONE: Wide = Wide::constant(-127, 1 << 127);

    /// A positive constant.
    pub const fn constant(exponent: i32, significand: u128) -> Wide {
        Wide { negative: false, exponent, significand }
    }

    fn normalized(negative: bool, exponent: i32, significand: u128) -> Wide {
        if significand == 0 {
            return Wide::ZERO;
        }
        let shift = significand.leading_zeros();
        Wide { negative, exponent: exponent - shift as i32, significand: significand << shift }
    }

    pub fn from_integer(value: i32) -> Wide {
        Wide::normalized(value < 0, 0, value.unsigned_abs() as u128)
    }

    /// The number, to be rounded. It is taken to be inexact, as transcendental results are.
    pub fn inexact(self) -> Option<Number> {
        let Wide { negative, exponent, significand } = self;
        (significand != 0).then_some(Number { negative, exponent, significand: significand | 1 })
    }

    /// Exponent of the first bit.
    pub fn first_bit(self) -> i32 {
        self.exponent + 127
    }

    pub fn is_negative(self) -> bool {
        self.negative
    }

    pub fn negate(self) -> Wide {
        Wide { negative: !self.negative, ..self }
    }

    pub fn negate_if(self, condition: bool) -> Wide {
        if condition { self.negate() } else { self }
    }

    pub fn magnitude(self) -> Wide {
        Wide { negative: false, ..self }
    }

    /// `self * 2^n`.
    pub fn scale(self, n: i32) -> Wide {
        Wide { exponent: self.exponent + n, ..self }
    }

    pub fn add(self, other: Wide) -> Wide {
        if self.significand == 0 || other.significand == 0 {
            return if self.significand == 0 { other } else { self };
        }
        let order = (self.exponent, self.significand).cmp(&(other.exponent, other.significand));
        let (big, small) = if order == Ordering::Less { (other, self) } else { (self, other) };
        let shift = big.exponent.abs_diff(small.exponent);
        let lost = shift > 127 || small.significand << (127 - shift) << 1 != 0 && shift != 0;
        let aligned = small.significand.checked_shr(shift).unwrap_or(0);
        if big.negative == small.negative {
            let (sum, carry) = big.significand.overflowing_add(aligned);
            return match carry {
                false => Wide { significand: sum | lost as u128, ..big },
                true => Wide { significand: sum >> 1 | 1 << 127, exponent: big.exponent + 1, ..big },
            };
        }
        Wide::normalized(big.negative, big.exponent, big.significand - aligned - lost as u128)
    }

    pub fn subtract(self, other: Wide) -> Wide {
        self.add(other.negate())
    }

    pub fn multiply(self, other: Wide) -> Wide {
        let split = |x: u128| (x >> 64, x & u64::MAX as u128);
        let ((a1, a0), (b1, b0)) = (split(self.significand), split(other.significand));
        let ((cross1, low1), (cross2, low2)) = (split(a1 * b0), split(a0 * b1));
        let carry = (split(a0 * b0).0 + low1 + low2) >> 64;
        let high = a1 * b1 + cross1 + cross2 + carry;
        Wide::normalized(self.negative != other.negative, self.exponent + other.exponent + 128, high)
    }

    /// `self / other`; `other` is not zero.
    pub fn divide(self, other: Wide) -> Wide {
        // Long division, one bit a step: the remainder stays below the divisor.
        let (mut rest, mut quotient) = (0u128, 0u128);
        let mut exponent = self.exponent - other.exponent - 127;
        if self.significand >= other.significand {
            rest = self.significand - other.significand;
            quotient = 1;
        } else if self.significand != 0 {
            rest = self.significand;
        }
        while quotient >> 127 == 0 && self.significand != 0 {
            let carry = rest >> 127 != 0;
            rest <<= 1;
            quotient <<= 1;
            if carry || rest >= other.significand {
                rest = rest.wrapping_sub(other.significand);
                quotient |= 1;
            }
            exponent -= 1;
        }
        Wide { negative: self.negative != other.negative, exponent: exponent + 127, significand: quotient }
    }

    /// `self / n`; `n` is not zero.
    pub fn divide_by(self, n: u32) -> Wide {
        let n = n as u128;
        let (quotient, rest) = (self.significand / n, self.significand % n);
        // Bring down 32 more bits, so that none is missing at the end.
        let shift = quotient.leading_zeros().min(32);
        let significand = quotient << shift | ((rest << shift) / n);
        Wide::normalized(self.negative, self.exponent - shift as i32, significand)
    }

    /// Magnitudes compared.
    pub fn exceeds(self, other: Wide) -> bool {
        (self.exponent, self.significand) > (other.exponent, other.significand) && self.significand != 0
    }
}

impl From<Number> for Wide {
    fn from(n: Number) -> Wide {
        Wide::normalized(n.negative, n.exponent, n.significand)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i32) -> Wide {
        Wide::from_integer(value)
    }

    #[test]
    fn small_integers_are_exact() {
        for a in [0, 1, -3, 7, 1000] {
            for b in [1, -1, 5, 64, -999] {
                assert_eq!(int(a).add(int(b)), int(a + b));
                assert_eq!(int(a).subtract(int(b)), int(a - b));
                assert_eq!(int(a).multiply(int(b)).significand, int(a * b).significand);
                let product = Wide::from_integer(a * b);
                assert_eq!(product.divide(int(b)).significand, int(a).significand);
                assert_eq!(product.divide_by(b.unsigned_abs()).significand, int(a).significand);
            }
        }
        assert_eq!(int(35).divide(int(-7)), int(-5));
        assert_eq!(int(35).divide_by(7), int(5));
        assert_eq!(int(3).multiply(int(-4)), int(-12));
    }

    #[test]
    fn thirds() {
        let third = Wide::ONE.divide(int(3));
        assert_eq!(third.significand, u128::MAX / 3 * 2);
        assert_eq!(Wide::ONE.divide_by(3).exponent, third.exponent);
        assert!(Wide::ONE.divide_by(3).significand.abs_diff(third.significand) <= 1);
    }

    #[test]
    fn tiny_parts_are_not_forgotten() {
        let tiny = Wide::ONE.scale(-5000);
        assert_eq!(Wide::ONE.subtract(tiny).significand, u128::MAX - 1);
        assert_eq!(Wide::ONE.add(tiny).significand, 1 << 127 | 1);
    }
}
