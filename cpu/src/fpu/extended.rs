//! The double extended format (SDM vol. 1, 4.2.2, 8.2): classes, unpacking and packing, and operands that come from
//! narrower formats.
//!
//! Unlike in binary32 and binary64 the first bit of the significand is stored. Encodings in which it contradicts the
//! exponent (unnormals, pseudo-NaNs, pseudo-infinities) are *unsupported*: any arithmetic on them is invalid.

use crate::softfloat::{Binary, Format, Number, Rounded, Rounding};
use serde::{Deserialize, Serialize};

/// An 80-bit register.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Extended {
    /// The significand with its explicit first bit; an MMX register.
    pub significand: u64,
    /// Sign in bit 15, biased exponent below.
    pub sign_exponent: u16,
}

const SIGN: u16 = 0x8000;
const MAX_FIELD: u16 = 0x7FFF;
const BIAS: i32 = 0x3FFF;
const FIRST_BIT: u64 = 1 << 63;
const QUIET_BIT: u64 = 1 << 62;

/// The register format with its full precision.
pub(super) const EXTENDED: Format = Format { precision: 64, min_exponent: 1 - BIAS, max_exponent: BIAS };

/// What a value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    Zero,
    Finite(Number),
    Infinity,
    Nan,
    Unsupported,
}

impl Extended {
    /// The NaN that invalid operations give ("real indefinite").
    pub(super) const INDEFINITE: Extended =
        Extended { significand: FIRST_BIT | QUIET_BIT, sign_exponent: SIGN | MAX_FIELD };

    pub(super) const fn zero(negative: bool) -> Extended {
        Extended { significand: 0, sign_exponent: if negative { SIGN } else { 0 } }
    }

    pub(super) const fn infinity(negative: bool) -> Extended {
        Extended { significand: FIRST_BIT, sign_exponent: MAX_FIELD | if negative { SIGN } else { 0 } }
    }

    /// The largest finite number of a precision.
    pub(super) fn largest(negative: bool, precision: u32) -> Extended {
        Extended {
            significand: u64::MAX << (64 - precision),
            sign_exponent: Self::infinity(negative).sign_exponent - 1,
        }
    }

    /// An integer: always exact.
    pub(super) fn from_integer(value: i64) -> Extended {
        Number::from_integer(value).map_or(Extended::zero(false), Extended::exact)
    }

    /// A number that the format holds exactly.
    pub(super) fn exact(number: Number) -> Extended {
        Extended::pack(number.negative, 64, number.round(EXTENDED, Rounding::TowardZero))
    }

    /// The bits of a number rounded to `precision` in the exponent range of [`EXTENDED`].
    pub(super) fn pack(negative: bool, precision: u32, rounded: Rounded) -> Extended {
        let significand = rounded.significand << (64 - precision);
        // Denormals and zero have an exponent field of zero, which counts like one.
        let field = if significand & FIRST_BIT != 0 { rounded.exponent.wrapping_add(BIAS) as u16 } else { 0 };
        Extended { significand, sign_exponent: field & MAX_FIELD | if negative { SIGN } else { 0 } }
    }

    pub(super) fn is_negative(self) -> bool {
        self.sign_exponent & SIGN != 0
    }

    /// The exponent field.
    pub(super) fn field(self) -> u16 {
        self.sign_exponent & MAX_FIELD
    }

    pub(super) fn negated(self) -> Extended {
        Extended { sign_exponent: self.sign_exponent ^ SIGN, ..self }
    }

    pub(super) fn absolute(self) -> Extended {
        Extended { sign_exponent: self.sign_exponent & !SIGN, ..self }
    }

    pub(super) fn class(self) -> Class {
        match (self.field(), self.significand) {
            (0, 0) => Class::Zero,
            (0, _) => Class::Finite(self.number(1)),
            (MAX_FIELD, FIRST_BIT) => Class::Infinity,
            (_, s) if s & FIRST_BIT == 0 => Class::Unsupported,
            (MAX_FIELD, _) => Class::Nan,
            (field, _) => Class::Finite(self.number(field)),
        }
    }

    fn number(self, field: u16) -> Number {
        Number {
            negative: self.is_negative(),
            exponent: field as i32 - BIAS - 63,
            significand: self.significand as u128,
        }
    }

    /// Denormals and pseudo-denormals.
    pub(super) fn is_denormal(self) -> bool {
        self.field() == 0 && self.significand != 0
    }

    pub(super) fn is_signaling(self) -> bool {
        self.class() == Class::Nan && self.significand & QUIET_BIT == 0
    }

    /// A NaN made quiet.
    pub(super) fn quieted(self) -> Extended {
        Extended { significand: self.significand | QUIET_BIT, ..self }
    }

    /// The ten bytes of memory.
    pub(super) fn to_bytes(self) -> [u8; 10] {
        let mut bytes = [0; 10];
        bytes[..8].copy_from_slice(&self.significand.to_le_bytes());
        bytes[8..].copy_from_slice(&self.sign_exponent.to_le_bytes());
        bytes
    }
}

/// An operand of an instruction: a value, and whether it was a denormal where it came from.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operand {
    pub value: Extended,
    pub denormal: bool,
}

impl From<Extended> for Operand {
    fn from(value: Extended) -> Operand {
        Operand { value, denormal: value.is_denormal() }
    }
}

impl Operand {
    /// A binary32 or binary64 as an operand. Signaling NaNs still signal.
    pub fn from_binary<L: Binary>(x: L) -> Operand {
        let negative = x.is_negative();
        let value = match x.unpack() {
            Some(number) => Extended::exact(number),
            None if x.is_nan() => Extended {
                significand: FIRST_BIT | x.to_u64() << (63 - L::FRACTION_BITS),
                ..Extended::infinity(negative)
            },
            None if x.is_infinite() => Extended::infinity(negative),
            None => Extended::zero(negative),
        };
        Operand { value, denormal: x.is_denormal() }
    }
}

/// A NaN in a narrower format, made quiet; the payload keeps its upper bits.
pub(super) fn narrow_nan<L: Binary>(nan: Extended) -> L {
    let fraction = (nan.significand & !FIRST_BIT) >> (63 - L::FRACTION_BITS);
    L::from_u64(L::infinity(nan.is_negative()).to_u64() | L::QUIET | fraction)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ext(sign_exponent: u16, significand: u64) -> Extended {
        Extended { significand, sign_exponent }
    }

    #[test]
    fn classes_of_all_encodings() {
        assert_eq!(ext(0x8000, 0).class(), Class::Zero);
        assert_eq!(ext(0xFFFF, FIRST_BIT).class(), Class::Infinity);
        assert_eq!(ext(0x7FFF, FIRST_BIT | 1).class(), Class::Nan);
        assert!(ext(0x7FFF, FIRST_BIT | 1).is_signaling() && !Extended::INDEFINITE.is_signaling());
        for unsupported in [ext(0x7FFF, 0), ext(0x7FFF, QUIET_BIT), ext(0x3FFF, QUIET_BIT), ext(1, 0)] {
            assert_eq!(unsupported.class(), Class::Unsupported);
        }
        // A pseudo-denormal has the value of the smallest normal number.
        assert_eq!(ext(0, FIRST_BIT).class(), ext(1, FIRST_BIT).class());
        assert!(ext(0, FIRST_BIT).is_denormal() && !ext(1, FIRST_BIT).is_denormal());
    }

    #[test]
    fn narrower_formats_widen_exactly() {
        let one = Operand::from_binary(0x3F80_0000u32);
        assert_eq!((one.value, one.denormal), (ext(0x3FFF, FIRST_BIT), false));
        let least = Operand::from_binary(1u64);
        assert_eq!((least.value, least.denormal), (ext(0x3FFF - 1074, FIRST_BIT), true));
        let nan = Operand::from_binary(0xFF80_0001u32).value;
        assert!(nan.is_signaling());
        assert_eq!(narrow_nan::<u32>(nan), 0xFFC0_0001);
        assert_eq!(Extended::from_integer(-2), ext(0xC000, FIRST_BIT));
    }
}
