//! The formats binary32 and binary64 (SDM vol. 1, 4.2.2, 4.8.3): classes, order, unpacking and packing of bit patterns.

use super::{Format, Number, Rounded};
use crate::word::Word;
use std::cmp::Ordering;

/// A floating-point value of a format with a hidden first bit, as bits.
pub(crate) trait Binary: Word {
    /// Bits of the fraction field.
    const FRACTION_BITS: u32;
    /// The sign bit.
    const SIGN: u64 = 1 << (Self::BITS - 1);
    /// The exponent field: the pattern of infinity.
    const INFINITY: u64 = Self::SIGN - (1 << Self::FRACTION_BITS);
    /// The quiet bit of a NaN, the highest of the fraction.
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);
    /// The format of its numbers.
    const FORMAT: Format = {
        let max_exponent = (Self::INFINITY >> (Self::FRACTION_BITS + 1)) as i32;
        Format { precision: Self::FRACTION_BITS + 1, min_exponent: 1 - max_exponent, max_exponent }
    };

    fn is_negative(self) -> bool {
        self.to_u64() & Self::SIGN != 0
    }
    fn is_nan(self) -> bool {
        self.to_u64() & !Self::SIGN > Self::INFINITY
    }
    fn is_signaling(self) -> bool {
        self.is_nan() && self.to_u64() & Self::QUIET == 0
    }
    fn is_infinite(self) -> bool {
        self.to_u64() & !Self::SIGN == Self::INFINITY
    }
    fn is_zero(self) -> bool {
        self.to_u64() & !Self::SIGN == 0
    }
    fn is_denormal(self) -> bool {
        self.to_u64() & Self::INFINITY == 0 && !self.is_zero()
    }

    /// A NaN made quiet.
    fn quieted(self) -> Self {
        Self::from_u64(self.to_u64() | Self::QUIET)
    }
    /// The NaN that invalid operations give.
    fn indefinite() -> Self {
        Self::from_u64(Self::SIGN | Self::INFINITY | Self::QUIET)
    }
    fn zero(negative: bool) -> Self {
        Self::from_u64(if negative { Self::SIGN } else { 0 })
    }
    fn infinity(negative: bool) -> Self {
        Self::from_u64(if negative { Self::SIGN | Self::INFINITY } else { Self::INFINITY })
    }
    /// The largest finite number.
    fn largest(negative: bool) -> Self {
        Self::from_u64(Self::infinity(negative).to_u64() - 1)
    }

    /// The number, if it is finite and not zero.
    fn unpack(self) -> Option<Number> {
        let fraction = self.to_u64() & ((1 << Self::FRACTION_BITS) - 1);
        let field = ((self.to_u64() & Self::INFINITY) >> Self::FRACTION_BITS) as i32;
        if self.is_zero() || self.is_infinite() || self.is_nan() {
            return None;
        }
        let first_bit = if field == 0 { 0 } else { 1 << Self::FRACTION_BITS };
        Some(Number {
            negative: self.is_negative(),
            exponent: field.max(1) - Self::FORMAT.max_exponent - Self::FRACTION_BITS as i32,
            significand: (fraction | first_bit) as u128,
        })
    }

    /// The bits of a number rounded to [`Self::FORMAT`] that did not overflow.
    fn pack(negative: bool, rounded: Rounded) -> Self {
        // A significand without its first bit is denormal: the exponent field becomes one less by itself, zero.
        let field = (rounded.exponent - Self::FORMAT.min_exponent) as u64;
        let magnitude = (field << Self::FRACTION_BITS) + rounded.significand;
        Self::from_u64(Self::zero(negative).to_u64() | magnitude)
    }

    /// The order of the numbers, none if either is a NaN.
    fn order(self, other: Self) -> Option<Ordering> {
        if self.is_nan() || other.is_nan() {
            return None;
        }
        // Sign and magnitude, as numbers that order the same way; both zeros are 0.
        let key = |x: Self| {
            let magnitude = (x.to_u64() & !Self::SIGN) as i64;
            if x.is_negative() { -magnitude } else { magnitude }
        };
        Some(key(self).cmp(&key(other)))
    }
}

impl Binary for u32 {
    const FRACTION_BITS: u32 = 23;
}

impl Binary for u64 {
    const FRACTION_BITS: u32 = 52;
}

#[cfg(test)]
mod tests {
    use super::super::Rounding;
    use super::*;

    #[test]
    fn order_is_that_of_the_numbers() {
        // Minus infinity, minus one, least denormals, one, infinity.
        let ascending = [0xFF80_0000u32, 0xBF80_0000, 0x8000_0001, 1, 0x3F80_0000, 0x7F80_0000];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.order(*b), Some(i.cmp(&j)));
            }
            assert_eq!(a.order(0x7FC0_0000), None);
        }
        assert_eq!(0u64.order(1 << 63), Some(Ordering::Equal));
    }

    #[test]
    fn unpacking_and_packing_are_inverse() {
        for bits in [1u32, 0x007F_FFFF, 0x0080_0000, 0x3F80_0000, 0x7F7F_FFFF, 0x8000_0001, 0xC049_0FDB] {
            let number = bits.unpack().unwrap();
            let rounded = number.round(u32::FORMAT, Rounding::NearestEven);
            assert!(!rounded.inexact && !rounded.overflow);
            assert_eq!(u32::pack(number.negative, rounded), bits);
            let wide = number.round(u64::FORMAT, Rounding::NearestEven);
            assert_eq!(u64::pack(number.negative, wide), (f32::from_bits(bits) as f64).to_bits());
        }
        assert!([0u64, 1 << 63, u64::INFINITY, u64::INFINITY + 1].iter().all(|x| x.unpack().is_none()));
    }

    #[test]
    fn classes() {
        assert!(0x7F80_0001u32.is_signaling() && !0x7FC0_0000u32.is_signaling() && !0x7F80_0000u32.is_nan());
        assert!(1u64.is_denormal() && !0u64.is_denormal() && !0x0010_0000_0000_0000u64.is_denormal());
    }
}
