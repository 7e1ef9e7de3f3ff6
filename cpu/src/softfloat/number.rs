//! Exact arithmetic on non-zero finite numbers.

use std::cmp::Ordering;

/// `significand * 2^exponent`, negated if `negative`; never zero.
///
/// Operands are exact and have significands of at most 64 bits. Results may be *sticky*: the last bit then only says
/// that something non-zero lies at or below it, at least 66 bits below the first bit, too deep to be rounded to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Number {
    pub negative: bool,
    pub exponent: i32,
    pub significand: u128,
}

impl Number {
    /// An integer, unless it is zero.
    pub fn from_integer(value: i64) -> Option<Number> {
        Number::nonzero(value < 0, 0, value.unsigned_abs() as u128)
    }

    fn nonzero(negative: bool, exponent: i32, significand: u128) -> Option<Number> {
        (significand != 0).then_some(Number { negative, exponent, significand })
    }

    /// The same number with the significand's first bit at `bit`. Bits must not get lost.
    fn with_first_bit_at(self, bit: u32) -> Number {
        let shift = self.significand.leading_zeros() as i32 - (127 - bit as i32);
        debug_assert!(shift >= 0);
        Number { exponent: self.exponent - shift, significand: self.significand << shift, ..self }
    }

    /// `self + other`; `None` is zero, exactly.
    pub fn add(self, other: Number) -> Option<Number> {
        let (a, b) = (self.with_first_bit_at(125), other.with_first_bit_at(125));
        let (big, small) = if a.exponent >= b.exponent { (a, b) } else { (b, a) };
        let small_significand = shift_right_sticky(small.significand, big.exponent.abs_diff(small.exponent));
        if big.negative == small.negative {
            return Number::nonzero(big.negative, big.exponent, big.significand + small_significand);
        }
        let (negative, difference) = match big.significand.cmp(&small_significand) {
            Ordering::Less => (small.negative, small_significand - big.significand),
            _ => (big.negative, big.significand - small_significand),
        };
        Number::nonzero(negative, big.exponent, difference)
    }

    /// `-self`.
    pub fn negate(self) -> Number {
        Number { negative: !self.negative, ..self }
    }

    /// `self * other`.
    pub fn multiply(self, other: Number) -> Number {
        Number {
            negative: self.negative != other.negative,
            exponent: self.exponent + other.exponent,
            significand: self.significand * other.significand,
        }
    }

    /// `self / other`.
    pub fn divide(self, other: Number) -> Number {
        let (a, b) = (self.with_first_bit_at(127), other.with_first_bit_at(63));
        let (quotient, rest) = (a.significand / b.significand, a.significand % b.significand);
        // Two more bits, so that there is one to round by and one that sticks, however the first bits fell.
        let more = rest << 2;
        let sticky = more % b.significand != 0;
        Number {
            negative: a.negative != b.negative,
            exponent: a.exponent - b.exponent - 3,
            significand: (quotient << 2 | (more / b.significand)) << 1 | sticky as u128,
        }
    }

    /// The square root of the magnitude.
    pub fn square_root(self) -> Number {
        let a = self.with_first_bit_at(126);
        // An even exponent can be halved.
        let odd = a.exponent & 1;
        let (radicand, exponent) = (a.significand << odd, (a.exponent - odd) / 2);
        let root = radicand.isqrt();
        let rest = radicand - root * root;
        // Two more bits: the largest digit d with (4 root + d)^2 <= 16 radicand.
        let taken = |d: u128| 8 * root * d + d * d;
        let digit = (1..4).rev().find(|d| taken(*d) <= 16 * rest).unwrap_or(0);
        let sticky = taken(digit) != 16 * rest;
        Number {
            negative: false,
            exponent: exponent - 3,
            significand: (root << 2 | digit) << 1 | sticky as u128,
        }
    }
}

/// Shift right; ones that fall out leave the last bit set.
fn shift_right_sticky(x: u128, n: u32) -> u128 {
    match n {
        0 => x,
        1..128 => x >> n | (x << (128 - n) != 0) as u128,
        _ => (x != 0) as u128,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Number {
        Number::from_integer(value).unwrap()
    }

    /// The value, if it is an integer.
    fn value(n: Number) -> Option<i64> {
        let zeros = n.significand.trailing_zeros() as i32;
        let shift = u32::try_from(n.exponent + zeros).ok()?;
        let magnitude = ((n.significand >> zeros) as i64) << shift;
        Some(if n.negative { -magnitude } else { magnitude })
    }

    #[test]
    fn small_integers_are_exact() {
        for a in [1, 2, 3, 7, 144, 1 << 40] {
            for b in [1, -1, 5, -144, 1 << 20] {
                assert_eq!(int(a).add(int(b)).map_or(Some(0), value), Some(a + b));
                assert_eq!(int(a).add(int(b).negate()).map_or(Some(0), value), Some(a - b));
                assert_eq!(value(int(a).multiply(int(b))), Some(a * b));
                assert_eq!(value(int(a * 5).divide(int(5))), Some(a));
            }
        }
        assert_eq!(value(int(144).square_root()), Some(12));
        assert_eq!(value(int(1 << 40).square_root()), Some(1 << 20));
    }

    #[test]
    fn what_is_not_exact_sticks() {
        assert_eq!(int(1).divide(int(3)).significand & 1, 1);
        assert_eq!(int(2).square_root().significand & 1, 1);
        let tiny = Number { negative: true, exponent: -4000, significand: 1 };
        let below_one = int(1).add(tiny).unwrap();
        assert_eq!((below_one.significand & 1, below_one.significand.leading_zeros()), (1, 3));
    }

    #[test]
    fn cancellation_is_exact() {
        assert_eq!(int(5).add(int(-5)), None);
        let a = Number { negative: false, exponent: 0, significand: 1 << 63 };
        let b = Number { negative: true, exponent: -1, significand: u64::MAX as u128 };
        let difference = a.add(b).unwrap();
        let zeros = difference.significand.trailing_zeros();
        assert_eq!((difference.significand >> zeros, difference.exponent + zeros as i32), (1, -1));
    }
}
