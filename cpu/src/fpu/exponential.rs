//! F2XM1, FYL2X and FYL2XP1 (SDM vol. 1, 8.3.9; vol. 2).

use super::constants::{LN2, LOG2_E};
use super::environment::{Env, flag};
use super::extended::{Class, Extended, Operand};
use super::wide::Wide;
use crate::softfloat::Number;
use Class::{Finite, Infinity, Zero};

/// Terms of the exponential series: `ln(2)^n / n!` is below `2^-140`.
const EXP_TERMS: u32 = 35;
/// Terms of the logarithm series: `(1/3)^(2n)` is below `2^-139`.
const LOG_TERMS: u32 = 44;

/// The square root of two.
const SQRT2: Wide = Wide::constant(-127, 0xB504_F333_F9DE_6484_597D_89B3_754A_BE9F);

/// F2XM1: `2^a - 1`, `a` from -1 to 1.
pub(super) fn exp2_minus_1(env: &mut Env, a: Operand) -> Extended {
    let number = match env.one(a) {
        Ok(Finite(number)) => number,
        Ok(Infinity) if a.value.is_negative() => return Extended::from_integer(-1),
        Ok(_) => return a.value,
        Err(result) => return result,
    };
    let x = Wide::from(number);
    if x.exceeds(Wide::ONE) {
        // The manual leaves this undefined; processors do this.
        env.raise(flag::INEXACT);
        return a.value;
    }
    if x == Wide::ONE || x == Wide::ONE.negate() {
        env.raise(flag::INEXACT);
        return if x.is_negative() {
            Extended { significand: 1 << 63, sign_exponent: 0xBFFE }
        } else {
            a.value
        };
    }
    let t = x.multiply(LN2);
    // t (1 + t/2 (1 + t/3 (1 + ...)))
    let sum = (2..EXP_TERMS).rev().fold(Wide::ONE, |sum, n| Wide::ONE.add(sum.multiply(t).divide_by(n)));
    env.round_wide(t.multiply(sum))
}

/// FYL2X: `y * log2(x)`.
pub(super) fn y_log2_x(env: &mut Env, x: Operand, y: Operand) -> Extended {
    let classes = match env.two_before_denormals(x, y) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    let (x_negative, y_negative) = (x.value.is_negative(), y.value.is_negative());
    match classes {
        (Zero, Zero) => return env.invalid(),
        (Finite(_) | Infinity, _) if x_negative => return env.invalid(),
        (Zero, Finite(_)) => {
            env.raise(flag::DIVIDE);
            return Extended::infinity(!y_negative);
        }
        (Infinity, Zero) => return env.invalid(),
        _ => {}
    }
    let is_one = x.value == Extended::from_integer(1);
    if is_one && classes.1 == Infinity {
        return env.invalid();
    }
    env.note_denormal(x.denormal || y.denormal);
    let below_one = x.value.field() < 0x3FFF;
    match classes {
        (Infinity, _) => Extended::infinity(y_negative),
        (Zero, _) => Extended::infinity(!y_negative),
        (_, Infinity) => Extended::infinity(y_negative != below_one),
        (Finite(_), Finite(_)) if is_one => Extended::zero(y_negative),
        (Finite(n), Finite(m)) => {
            let (exponent, fraction) = split(n.into());
            match Number::from_integer(exponent as i64) {
                Some(log) if fraction == Wide::ZERO => env.round_full(log.multiply(m)),
                _ => env.round_wide(log2(exponent, fraction).multiply(m.into())),
            }
        }
        _ => Extended::zero(y_negative != below_one),
    }
}

/// FYL2XP1: `y * log2(x + 1)`. Beyond the range of the manual, `|x|` at most `1 - sqrt(1/2)`, it is computed too.
pub(super) fn y_log2_x_plus_1(env: &mut Env, x: Operand, y: Operand) -> Extended {
    let classes = match env.two_before_denormals(x, y) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    let negative = x.value.is_negative() != y.value.is_negative();
    match classes {
        (Zero, Infinity) => return env.invalid(),
        (Infinity, _) if x.value.is_negative() => return env.invalid(),
        (Infinity, Zero) => return env.invalid(),
        _ => env.note_denormal(x.denormal || y.denormal),
    }
    match classes {
        (Infinity, _) | (_, Infinity) => Extended::infinity(negative),
        (Finite(n), Finite(m)) => {
            let addend = Wide::from(n);
            if n.negative && !Wide::ONE.exceeds(addend) {
                // The manual leaves this undefined; processors do this.
                env.raise(flag::INEXACT);
                return x.value;
            }
            if !addend.exceeds(Wide::ONE.scale(-1)) {
                return env.round_wide(log2(0, addend).multiply(m.into()));
            }
            let (exponent, fraction) = split(Wide::ONE.add(addend));
            match Number::from_integer(exponent as i64) {
                Some(log) if fraction == Wide::ZERO => {
                    env.raise(flag::INEXACT);
                    env.round_full(log.multiply(m))
                }
                _ => env.round_wide(log2(exponent, fraction).multiply(m.into())),
            }
        }
        _ => Extended::zero(negative),
    }
}

/// A positive value as `2^exponent * (1 + f)` with `1 + f` from 1/sqrt(2) to sqrt(2): exponent and `f`.
fn split(x: Wide) -> (i32, Wide) {
    let exponent = x.first_bit();
    let significand = x.scale(-exponent);
    if significand.exceeds(SQRT2) {
        (exponent + 1, significand.scale(-1).subtract(Wide::ONE))
    } else {
        (exponent, significand.subtract(Wide::ONE))
    }
}

/// `exponent + log2(1 + f)` for `f` from -1/2 to 1/2, with full relative precision.
fn log2(exponent: i32, f: Wide) -> Wide {
    // ln(1 + f) = 2 artanh(s), s = f / (2 + f).
    let s = f.divide(Wide::from_integer(2).add(f));
    let square = s.multiply(s);
    let sum = (0..LOG_TERMS)
        .rev()
        .fold(Wide::ZERO, |sum, n| Wide::ONE.divide_by(2 * n + 1).add(sum.multiply(square)));
    Wide::from_integer(exponent).add(s.multiply(sum).scale(1).multiply(LOG2_E))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `n * 2^-k`.
    fn dyadic(n: i64, k: i32) -> Operand {
        let number = Number::from_integer(n).unwrap();
        Extended::exact(Number { exponent: number.exponent - k, ..number }).into()
    }

    #[test]
    fn exact_cases() {
        let mut env = Env::new(0x0F7F);
        assert_eq!(exp2_minus_1(&mut env, dyadic(1, 0)), dyadic(1, 0).value);
        assert_eq!(exp2_minus_1(&mut env, dyadic(-1, 0)), dyadic(-1, 1).value);
        assert_eq!(y_log2_x(&mut env, dyadic(1, 20), dyadic(3, 0)), dyadic(-60, 0).value);
        assert_eq!(y_log2_x(&mut env, dyadic(1, 0), dyadic(-3, 0)), Extended::zero(true));
        assert_eq!(y_log2_x_plus_1(&mut env, dyadic(7, 0), dyadic(5, 0)), dyadic(15, 0).value);
    }

    #[test]
    fn known_values() {
        let mut env = Env::new(0x037F);
        // sqrt(2) - 1 and log2(10), from their binary expansions.
        let value = exp2_minus_1(&mut env, dyadic(1, 1));
        assert_eq!(value, Extended { significand: 0xD413_CCCF_E779_9211, sign_exponent: 0x3FFD });
        let value = y_log2_x(&mut env, dyadic(10, 0), dyadic(1, 0));
        assert_eq!(value, Extended { significand: 0xD49A_784B_CD1B_8AFE, sign_exponent: 0x4000 });
        assert_eq!(env.flags, flag::INEXACT);
    }

    #[test]
    fn poles_and_undefined_forms() {
        let (zero, one) = (Operand::from(Extended::zero(false)), dyadic(1, 0));
        let mut env = Env::new(0x037F);
        assert_eq!(y_log2_x(&mut env, zero, one), Extended::infinity(true));
        assert_eq!(env.flags, flag::DIVIDE);
        let mut env = Env::new(0x037F);
        assert_eq!(y_log2_x(&mut env, dyadic(-1, 0), one), Extended::INDEFINITE);
        assert_eq!(env.flags, flag::INVALID);
    }
}
