//! Rounding to integers: FRNDINT, FIST, and the narrower formats of FST (SDM vol. 1, 8.3.4, 4.8.4; vol. 2, FIST).

use super::environment::{Env, flag};
use super::extended::{Class, Extended, Operand, narrow_nan};
use crate::softfloat::{Binary, Number};

/// FRNDINT.
pub(super) fn round_to_integral(env: &mut Env, a: Operand) -> Extended {
    let number = match env.one(a) {
        Ok(Class::Finite(number)) => number,
        Ok(_) => return a.value,
        Err(result) => return result,
    };
    if number.exponent >= 0 {
        return a.value;
    }
    match integral(env, number) {
        0 => Extended::zero(number.negative),
        significand => Extended::exact(Number { exponent: 0, significand, ..number }),
    }
}

/// The magnitude of the integer that a number rounds to.
fn integral(env: &mut Env, number: Number) -> u128 {
    let (magnitude, inexact, up) = number.round_at(0, env.rounding());
    if inexact {
        env.raise(flag::INEXACT);
        env.c1 = up;
    }
    magnitude
}

/// A value as an integer whose magnitude is at most `max`, or `max_negative` below zero; `None` if it is not one, which
/// is invalid.
pub(super) fn to_integer(env: &mut Env, value: Extended, max: u64, max_negative: u64) -> Option<(bool, u64)> {
    let number = match value.class() {
        Class::Zero => return Some((false, 0)),
        // Values of 2^64 or more are out of every range.
        Class::Finite(number) if number.exponent <= 0 => number,
        _ => {
            env.invalid();
            return None;
        }
    };
    let before = *env;
    let magnitude = integral(env, number);
    if magnitude > if number.negative { max_negative } else { max } as u128 {
        *env = before;
        env.invalid();
        return None;
    }
    Some((number.negative, magnitude as u64))
}

/// A value as binary32 or binary64 in memory (FST). The outer `None`: an unmasked overflow or underflow, after which
/// nothing is stored.
pub(super) fn to_binary<L: Binary>(env: &mut Env, value: Extended) -> Option<L> {
    let negative = value.is_negative();
    let number = match value.class() {
        Class::Finite(number) => number,
        Class::Zero => return Some(L::zero(negative)),
        Class::Infinity => return Some(L::infinity(negative)),
        Class::Nan => {
            env.raise(if value.is_signaling() { flag::INVALID } else { 0 });
            return Some(narrow_nan(value));
        }
        Class::Unsupported => {
            env.invalid();
            return Some(L::indefinite());
        }
    };
    let rounded = number.round(L::FORMAT, env.rounding());
    let lost = match (rounded.overflow, rounded.tiny) {
        (true, _) => flag::OVERFLOW,
        (_, true) if rounded.inexact || env.unmasked(flag::UNDERFLOW) => flag::UNDERFLOW,
        _ => 0,
    };
    env.raise(lost);
    if lost != 0 && env.unmasked(lost) {
        return None;
    }
    if rounded.overflow {
        env.raise(flag::INEXACT);
        env.c1 = env.rounding().overflows_to_infinity(negative);
        return Some(if env.c1 { L::infinity(negative) } else { L::largest(negative) });
    }
    if rounded.inexact {
        env.raise(flag::INEXACT);
        env.c1 = rounded.up;
    }
    Some(L::pack(negative, rounded))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn quarters(n: i64) -> Extended {
        let number = Number::from_integer(n).unwrap();
        Extended::exact(Number { exponent: number.exponent - 2, ..number })
    }

    #[test]
    fn integers_in_the_four_modes() {
        for (control, expected) in [(0x037F, 2), (0x077F, 1), (0x0B7F, 2), (0x0F7F, 1)] {
            let mut env = Env::new(control);
            assert_eq!(to_integer(&mut env, quarters(7), 100, 100), Some((false, expected)));
            assert_eq!((env.flags, env.c1), (flag::INEXACT, expected == 2));
            assert_eq!(
                round_to_integral(&mut env, quarters(7).into()),
                Extended::from_integer(expected as i64)
            );
        }
    }

    #[test]
    fn out_of_range_is_invalid_and_nothing_else() {
        let mut env = Env::new(0x037F);
        assert_eq!(to_integer(&mut env, quarters(32767 * 4 + 3), 0x7FFF, 0x8000), None);
        assert_eq!((env.flags, env.c1), (flag::INVALID, false));
        let mut env = Env::new(0x037F);
        assert_eq!(to_integer(&mut env, quarters(-32768 * 4 - 1), 0x7FFF, 0x8000), Some((true, 0x8000)));
        assert_eq!(to_integer(&mut env, Extended::infinity(false), 0x7FFF, 0x8000), None);
    }

    #[test]
    fn narrowing() {
        let mut env = Env::new(0x037F);
        assert_eq!(to_binary::<u32>(&mut env, Extended::from_integer(1)), Some(0x3F80_0000));
        assert_eq!(env.flags, 0);
        assert_eq!(to_binary::<u32>(&mut env, Extended::largest(true, 64)), Some(0xFF80_0000));
        assert_eq!(env.flags, flag::OVERFLOW | flag::INEXACT);
        let mut env = Env::new(0x0377);
        assert_eq!(to_binary::<u64>(&mut env, Extended::largest(true, 64)), None);
        assert_eq!(env.flags, flag::OVERFLOW);
    }
}
