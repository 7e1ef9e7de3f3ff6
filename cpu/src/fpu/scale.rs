//! FSCALE and FXTRACT (SDM vol. 1, 8.3.10; vol. 2).

use super::environment::{Env, flag};
use super::extended::{Class, Extended, Operand};
use crate::softfloat::{Number, Rounding};

/// Beyond this every number over- or underflows, even after the exponent adjustment.
const MAX_SCALE: u128 = 0x1_0000;

/// `a * 2^trunc(b)`.
pub(super) fn scale(env: &mut Env, a: Operand, b: Operand) -> Extended {
    let classes = match env.two_before_denormals(a, b) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    let by = b.value;
    match classes {
        (Class::Infinity, Class::Infinity) if by.is_negative() => return env.invalid(),
        (Class::Zero, Class::Infinity) if !by.is_negative() => return env.invalid(),
        _ => env.note_denormal(a.denormal || b.denormal),
    }
    match classes {
        (Class::Infinity | Class::Zero, _) => a.value,
        (_, Class::Infinity) if by.is_negative() => Extended::zero(a.value.is_negative()),
        (_, Class::Infinity) => Extended::infinity(a.value.is_negative()),
        (Class::Finite(n), Class::Finite(m)) => {
            let magnitude =
                if m.exponent > 0 { MAX_SCALE } else { m.round_at(0, Rounding::TowardZero).0.min(MAX_SCALE) };
            let shift = if m.negative { -(magnitude as i32) } else { magnitude as i32 };
            env.round_full(Number { exponent: n.exponent + shift, ..n })
        }
        (Class::Finite(n), _) => env.round_full(n),
        _ => a.value,
    }
}

/// Exponent and significand of a value, both as values.
pub(super) fn extract(env: &mut Env, a: Operand) -> (Extended, Extended) {
    let negative = a.value.is_negative();
    match env.one(a) {
        Err(result) => (result, result),
        Ok(Class::Zero) => {
            env.raise(flag::DIVIDE);
            (Extended::infinity(true), a.value)
        }
        Ok(Class::Finite(n)) => {
            let first_bit = 127 - n.significand.leading_zeros() as i32;
            let significand = Number { negative, exponent: -first_bit, ..n };
            (Extended::from_integer((n.exponent + first_bit) as i64), Extended::exact(significand))
        }
        Ok(_) => (Extended::infinity(false), a.value),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scale_undoes_extract() {
        let value = Extended { significand: 0xC90F_DAA2_2168_C235, sign_exponent: 0x8123 };
        let mut env = Env::new(0x037F);
        let (exponent, significand) = extract(&mut env, value.into());
        assert_eq!((exponent, significand.sign_exponent), (Extended::from_integer(0x123 - 0x3FFF), 0xBFFF));
        assert_eq!(scale(&mut env, significand.into(), exponent.into()), value);
        assert_eq!(env.flags, 0);
        assert_eq!(
            extract(&mut env, Extended::zero(true).into()),
            (Extended::infinity(true), Extended::zero(true))
        );
        assert_eq!(env.flags, flag::DIVIDE);
    }

    #[test]
    fn far_beyond_the_range() {
        let one = Operand::from(Extended::from_integer(1));
        let far = Operand::from(Extended::from_integer(i64::MIN));
        assert_eq!(scale(&mut Env::new(0x037F), one, far), Extended::zero(false));
        let mut env = Env::new(0x037F);
        assert_eq!(
            scale(&mut env, Extended::zero(false).into(), Extended::infinity(false).into()),
            Extended::INDEFINITE
        );
        assert_eq!(env.flags, flag::INVALID);
    }
}
