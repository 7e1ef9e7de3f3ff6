//! FADD, FSUB, FMUL, FDIV and FSQRT (SDM vol. 1, 8.3.5), rounded under precision control.

use super::environment::{Env, flag};
use super::extended::{Class, Extended, Operand};
use crate::softfloat::{Number, Rounding};

use Class::{Finite, Infinity, Zero};

pub(super) fn add(env: &mut Env, a: Operand, b: Operand) -> Extended {
    let classes = match env.two(a, b) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    match classes {
        (Infinity, Infinity) if a.value.is_negative() != b.value.is_negative() => env.invalid(),
        (Infinity, _) => a.value,
        (_, Infinity) => b.value,
        (Zero, Zero) if a.value.is_negative() == b.value.is_negative() => a.value,
        (Zero, Finite(n)) | (Finite(n), Zero) => env.round(n),
        (Finite(n), Finite(m)) => match n.add(m) {
            Some(sum) => env.round(sum),
            None => exact_zero(env),
        },
        _ => exact_zero(env),
    }
}

/// The sum of two numbers that differ in sign only.
fn exact_zero(env: &Env) -> Extended {
    Extended::zero(env.rounding() == Rounding::Down)
}

pub(super) fn subtract(env: &mut Env, a: Operand, b: Operand) -> Extended {
    // A NaN keeps its sign.
    let is_nan = matches!(b.value.class(), Class::Nan);
    let b = if is_nan { b } else { Operand { value: b.value.negated(), ..b } };
    add(env, a, b)
}

pub(super) fn multiply(env: &mut Env, a: Operand, b: Operand) -> Extended {
    let classes = match env.two(a, b) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    let negative = a.value.is_negative() != b.value.is_negative();
    match classes {
        (Infinity, Zero) | (Zero, Infinity) => env.invalid(),
        (Infinity, _) | (_, Infinity) => Extended::infinity(negative),
        (Finite(n), Finite(m)) => env.round(n.multiply(m)),
        _ => Extended::zero(negative),
    }
}

pub(super) fn divide(env: &mut Env, a: Operand, b: Operand) -> Extended {
    let classes = match env.two_before_denormals(a, b) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    let negative = a.value.is_negative() != b.value.is_negative();
    match classes {
        (Infinity, Infinity) | (Zero, Zero) => return env.invalid(),
        (Finite(_), Zero) => {
            env.raise(flag::DIVIDE);
            return Extended::infinity(negative);
        }
        _ => env.note_denormal(a.denormal || b.denormal),
    }
    match classes {
        (Infinity, _) => Extended::infinity(negative),
        (Finite(n), Finite(m)) => env.round(n.divide(m)),
        _ => Extended::zero(negative),
    }
}

pub(super) fn square_root(env: &mut Env, a: Operand) -> Extended {
    let negative = a.value.is_negative();
    if negative && matches!(a.value.class(), Finite(_) | Infinity) {
        return env.invalid();
    }
    match env.one(a) {
        Ok(Finite(n)) => env.round(Number::square_root(n)),
        Ok(_) => a.value,
        Err(result) => result,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Operand {
        Extended::from_integer(value).into()
    }

    fn env() -> Env {
        Env::new(0x037F)
    }

    #[test]
    fn small_integers() {
        assert_eq!(add(&mut env(), int(5), int(-7)), int(-2).value);
        assert_eq!(subtract(&mut env(), int(5), int(-7)), int(12).value);
        assert_eq!(multiply(&mut env(), int(5), int(-7)), int(-35).value);
        assert_eq!(divide(&mut env(), int(35), int(-7)), int(-5).value);
        assert_eq!(square_root(&mut env(), int(144)), int(12).value);
    }

    #[test]
    fn exceptions() {
        let infinity = Operand::from(Extended::infinity(false));
        let mut e = env();
        assert_eq!(subtract(&mut e, infinity, infinity), Extended::INDEFINITE);
        assert_eq!(e.flags, flag::INVALID);
        let mut e = env();
        assert_eq!(divide(&mut e, int(-1), int(0)), Extended::infinity(true));
        assert_eq!(e.flags, flag::DIVIDE);
        let mut e = env();
        square_root(&mut e, int(-1));
        assert_eq!(e.flags, flag::INVALID);
        let mut e = env();
        let least = Operand::from(Extended { significand: 1, sign_exponent: 0 });
        divide(&mut e, least, int(2));
        assert_eq!(e.flags, flag::DENORMAL | flag::UNDERFLOW | flag::INEXACT);
    }

    #[test]
    fn zeros_have_signs() {
        assert_eq!(subtract(&mut env(), int(3), int(3)), Extended::zero(false));
        assert_eq!(subtract(&mut Env::new(0x077F), int(3), int(3)), Extended::zero(true));
        let minus_zero = Operand::from(Extended::zero(true));
        assert_eq!(add(&mut env(), minus_zero, minus_zero), Extended::zero(true));
        assert_eq!(square_root(&mut env(), minus_zero), Extended::zero(true));
    }
}
