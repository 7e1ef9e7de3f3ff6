//! Rounding a number into a format (SDM vol. 1, 4.8.4, 4.9.1.4-4.9.1.6).

use super::Number;

/// Rounding control, as encoded in the x87 control word and in MXCSR.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Rounding {
    NearestEven,
    Down,
    Up,
    TowardZero,
}

impl Rounding {
    /// From the two-bit field.
    pub fn from_bits(bits: u32) -> Rounding {
        match bits & 3 {
            0 => Rounding::NearestEven,
            1 => Rounding::Down,
            2 => Rounding::Up,
            _ => Rounding::TowardZero,
        }
    }

    /// Whether an overflowing magnitude becomes infinity rather than the largest finite number.
    pub fn overflows_to_infinity(self, negative: bool) -> bool {
        match self {
            Rounding::NearestEven => true,
            Rounding::Down => negative,
            Rounding::Up => !negative,
            Rounding::TowardZero => false,
        }
    }
}

/// A binary format.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Format {
    /// Bits of the significand, the first included.
    pub precision: u32,
    /// Exponent of the first bit of the smallest normal number.
    pub min_exponent: i32,
    /// Exponent of the first bit of the largest number.
    pub max_exponent: i32,
}

/// A number as a format can hold it, and what was lost on the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rounded {
    /// At most `precision` bits; fewer if denormal, perhaps 0.
    pub significand: u64,
    /// Exponent of the first bit; of the place of a normal number's first bit if denormal.
    pub exponent: i32,
    /// The result differs from the number.
    pub inexact: bool,
    /// The result is greater in magnitude than the number.
    pub up: bool,
    /// Rounded as if exponents had no lower bound, the result lies below the normal numbers.
    pub tiny: bool,
    /// The result lies above the largest number; `significand` and `exponent` are as if exponents had no upper bound.
    pub overflow: bool,
}

impl Number {
    /// Fit into `format`. Tininess is detected after rounding, as all x86 processors do.
    pub fn round(self, format: Format, mode: Rounding) -> Rounded {
        let unbounded = self.round_unbounded(format.precision, mode);
        if unbounded.exponent >= format.min_exponent {
            return Rounded { overflow: unbounded.exponent > format.max_exponent, ..unbounded };
        }
        let last_place = format.min_exponent - (format.precision as i32 - 1);
        let (significand, inexact, up) = self.round_at(last_place, mode);
        Rounded {
            significand: significand as u64,
            exponent: format.min_exponent,
            inexact,
            up,
            tiny: true,
            overflow: false,
        }
    }

    /// Round to `precision` bits, whatever the exponent.
    pub fn round_unbounded(self, precision: u32, mode: Rounding) -> Rounded {
        let first_bit = 127 - self.significand.leading_zeros() as i32;
        let last_place = self.exponent + first_bit - (precision as i32 - 1);
        let (significand, inexact, up) = self.round_at(last_place, mode);
        let carry = significand >> precision != 0;
        Rounded {
            significand: (significand >> carry as u32) as u64,
            exponent: self.exponent + first_bit + carry as i32,
            inexact,
            up,
            tiny: false,
            overflow: false,
        }
    }

    /// Round to a multiple of `2^last_place`: the multiple, whether it is inexact, and whether it was rounded up.
    /// The multiple must fit in 128 bits.
    pub fn round_at(self, last_place: i32, mode: Rounding) -> (u128, bool, bool) {
        let shift = last_place - self.exponent;
        if shift <= 0 {
            return (self.significand << shift.unsigned_abs(), false, false);
        }
        // The part that goes, compared with half a unit.
        let (kept, rest_is_zero, half) = if shift > 128 {
            (0, false, std::cmp::Ordering::Less)
        } else {
            let kept = self.significand.checked_shr(shift as u32).unwrap_or(0);
            let rest = self.significand << (128 - shift);
            (kept, rest == 0, rest.cmp(&(1 << 127)))
        };
        let up = match mode {
            Rounding::NearestEven => half.is_gt() || half.is_eq() && kept & 1 != 0,
            Rounding::Down => self.negative && !rest_is_zero,
            Rounding::Up => !self.negative && !rest_is_zero,
            Rounding::TowardZero => false,
        };
        (kept + up as u128, !rest_is_zero, up)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarters(n: i64) -> Number {
        Number { exponent: -2, ..Number::from_integer(n).unwrap() }
    }

    #[test]
    fn the_four_modes_on_quarters() {
        use Rounding::*;
        let cases = [
            (4, [1, 1, 1, 1]),
            (5, [1, 1, 2, 1]),
            (6, [2, 1, 2, 1]),
            (7, [2, 1, 2, 1]),
            (10, [2, 2, 3, 2]),
            (-5, [1, 2, 1, 1]),
            (-6, [2, 2, 1, 1]),
        ];
        for (n, expected) in cases {
            let got = [NearestEven, Down, Up, TowardZero].map(|mode| quarters(n).round_at(0, mode).0);
            assert_eq!(got, expected, "{n} quarters");
        }
    }

    #[test]
    fn the_edges_of_a_format() {
        let format = Format { precision: 4, min_exponent: -3, max_exponent: 3 };
        let round = |significand, exponent| {
            Number { negative: false, exponent, significand }.round(format, Rounding::NearestEven)
        };
        // 15.5 rounds to 16, beyond 15.
        assert!(round(31, -1).overflow && !round(30, -1).overflow);
        // Just below the smallest normal number 1/8: rounds up to it in four bits, so it is not tiny.
        let r = round(0b11111, -8);
        assert_eq!((r.significand, r.exponent, r.tiny, r.inexact), (8, -3, false, true));
        // With one bit less it is exact, and tiny.
        let r = round(0b111, -6);
        assert_eq!((r.significand, r.exponent, r.tiny, r.inexact), (7, -3, true, false));
        // Far below everything.
        let r = round(1, -4000);
        assert_eq!((r.significand, r.tiny, r.inexact), (0, true, true));
    }
}
