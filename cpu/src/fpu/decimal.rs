//! Packed decimal integers: FBLD and FBSTP (SDM vol. 1, 4.7).
//!
//! Eighteen digits, two a byte, the least significant first; the sign is the highest bit of the tenth byte.

use super::environment::Env;
use super::extended::Extended;
use super::integer::to_integer;

/// The largest magnitude.
const MAX: u64 = 999_999_999_999_999_999;

/// What invalid operations store ("packed decimal indefinite").
pub(super) const INDEFINITE: (u64, u16) = (0xC000_0000_0000_0000, 0xFFFF);

/// The value of nine bytes of digits and a sign byte. Digits above nine count what they say.
pub(super) fn from_decimal(digits: u64, top: u16) -> Extended {
    let magnitude = (0..9).rev().fold(0i64, |value, n| {
        let byte = if n == 8 { top as u8 } else { (digits >> (8 * n)) as u8 };
        value * 100 + (byte >> 4) as i64 * 10 + (byte & 15) as i64
    });
    let value = Extended::from_integer(magnitude);
    if top & 0x8000 != 0 { value.negated() } else { value }
}

/// A value as digits and top word; [`INDEFINITE`] if it does not fit.
pub(super) fn to_decimal(env: &mut Env, value: Extended) -> (u64, u16) {
    let Some((_, magnitude)) = to_integer(env, value, MAX, MAX) else {
        return INDEFINITE;
    };
    let mut rest = magnitude;
    let packed = (0..9).fold(0u128, |packed, n| {
        let pair = rest % 100;
        rest /= 100;
        packed | ((pair / 10 * 16 + pair % 10) as u128) << (8 * n)
    });
    // Zero keeps its sign.
    let sign = if value.is_negative() { 0x8000 } else { 0 };
    (packed as u64, (packed >> 64) as u16 | sign)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip() {
        for value in [0, 1, -1, 42, 999_999_999_999_999_999, -123_456_789_012_345_678] {
            let extended = Extended::from_integer(value);
            let (digits, top) = to_decimal(&mut Env::new(0x037F), extended);
            assert_eq!(from_decimal(digits, top), extended);
        }
        let (digits, top) = to_decimal(&mut Env::new(0x037F), Extended::from_integer(-1234));
        assert_eq!((digits, top), (0x1234, 0x8000));
        let too_large = Extended::from_integer(1_000_000_000_000_000_000);
        assert_eq!(to_decimal(&mut Env::new(0x037F), too_large), INDEFINITE);
    }
}
