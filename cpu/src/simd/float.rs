//! The classes of binary32 and binary64 numbers (SDM vol. 1, 4.8.3), on their bit patterns.

use super::lanes::Lane;
use crate::word::Word;
use std::cmp::Ordering;

/// A floating-point lane, as bits.
pub(super) trait Float: Lane + Word {
    /// Bits of the fraction field.
    const FRACTION_BITS: u32;
    /// The sign bit.
    const SIGN: u64;
    /// The exponent field: the pattern of infinity.
    const INFINITY: u64;
    /// The quiet bit of a NaN, the highest of the fraction.
    const QUIET: u64 = 1 << (Self::FRACTION_BITS - 1);

    fn is_negative(self) -> bool {
        self.to_u64() & Self::SIGN != 0
    }
    fn is_nan(self) -> bool {
        self.to_u64() & !Self::SIGN > Self::INFINITY
    }
    fn is_signaling(self) -> bool {
        self.is_nan() && self.to_u64() & Self::QUIET == 0
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
    /// Zero of the same sign.
    fn to_zero(self) -> Self {
        Self::from_u64(self.to_u64() & Self::SIGN)
    }

    /// The order of the numbers, none if either is a NaN.
    fn compare(self, other: Self) -> Option<Ordering> {
        if self.is_nan() || other.is_nan() {
            return None;
        }
        if self.is_zero() && other.is_zero() {
            return Some(Ordering::Equal);
        }
        // Sign and magnitude, as numbers that order the same way.
        let key = |x: Self| {
            let magnitude = (x.to_u64() & !Self::SIGN) as i64;
            if x.is_negative() { -magnitude } else { magnitude }
        };
        Some(key(self).cmp(&key(other)))
    }
}

macro_rules! float {
    ($($bits:ty, $fraction_bits:literal;)*) => {$(
        impl Float for $bits {
            const FRACTION_BITS: u32 = $fraction_bits;
            const SIGN: u64 = 1 << (<$bits>::BITS - 1);
            const INFINITY: u64 = Self::SIGN - (1 << $fraction_bits);
        }
    )*};
}

float! {
    u32, 23;
    u64, 52;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_is_that_of_the_numbers() {
        // Minus infinity, minus one, least denormals, one, infinity.
        let ascending = [0xFF80_0000u32, 0xBF80_0000, 0x8000_0001, 1, 0x3F80_0000, 0x7F80_0000];
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(a.compare(*b), Some(i.cmp(&j)));
            }
            assert_eq!(a.compare(0x7FC0_0000), None);
        }
        assert_eq!(0u64.compare(1 << 63), Some(Ordering::Equal));
    }

    #[test]
    fn classes() {
        assert!(0x7F80_0001u32.is_signaling() && !0x7FC0_0000u32.is_signaling() && !0x7F80_0000u32.is_nan());
        assert!(1u64.is_denormal() && !0u64.is_denormal() && !0x0010_0000_0000_0000u64.is_denormal());
    }
}
