//! FSIN, FCOS, FSINCOS, FPTAN and FPATAN (SDM vol. 1, 8.3.7, 8.3.8; vol. 2).

use super::constants::PI;
use super::environment::Env;
use super::extended::{Class, Extended, Operand};
use super::wide::Wide;
use crate::softfloat::Number;
use Class::{Finite, Infinity, Zero};

/// Arguments are reduced with a pi of 66 bits, as the manual says that processors do; this is half of it.
const REDUCTION_HALF_PI: u128 = 0x3_243F_6A88_85A3_08D3;
/// `REDUCTION_HALF_PI * 2^REDUCTION_UNIT` is pi/2.
const REDUCTION_UNIT: i32 = -65;
/// Terms of the series of sine and cosine: `(pi/4)^(2n) / (2n)!` is below `2^-140`.
const SINE_TERMS: u32 = 17;
/// Terms of the arctangent series: `(1/4)^(2n)` is below `2^-136`.
const ARCTANGENT_TERMS: u32 = 34;
/// arctan(1/2).
const ARCTANGENT_HALF: Wide = Wide::constant(-129, 0xED63_382B_0DDA_7B45_6FE4_45EC_BC3A_8D03);

/// An angle reduced to `rest + quadrant * pi/2`, `|rest|` at most pi/4.
struct Angle {
    rest: Wide,
    quadrant: u32,
}

/// Reduce an angle below 2^63; `None` if it is larger.
fn reduce(x: Number) -> Option<Angle> {
    let value = Wide::from(x);
    let quarter_pi = PI.scale(-2);
    if !value.exceeds(quarter_pi) {
        return Some(Angle { rest: value, quadrant: 0 });
    }
    let first_bit = x.exponent + 127 - x.significand.leading_zeros() as i32;
    if first_bit >= 63 {
        return None;
    }
    // The significand times 2^n, modulo pi/2, one doubling at a time. Its last bit is not below the unit: the angle is
    // greater than pi/4 and has 64 bits. The significand itself is less than pi/2.
    let (mut rest, mut quotient) = (x.significand, 0u32);
    for _ in 0..(x.exponent - REDUCTION_UNIT).max(0) {
        rest <<= 1;
        quotient <<= 1;
        if rest >= REDUCTION_HALF_PI {
            rest -= REDUCTION_HALF_PI;
            quotient |= 1;
        }
    }
    let mut negative = x.negative;
    if rest > REDUCTION_HALF_PI / 2 {
        rest = REDUCTION_HALF_PI - rest;
        quotient = quotient.wrapping_add(1);
        negative = !negative;
    }
    let rest = Wide::from(Number { negative, exponent: REDUCTION_UNIT, significand: rest });
    let quadrant = if x.negative { quotient.wrapping_neg() } else { quotient };
    Some(Angle { rest, quadrant: quadrant & 3 })
}

/// `x (1 - x^2/(n+1)(n+2) (1 - x^2/(n+3)(n+4) (...)))` without the leading `x`: n = 1 for the sine, 0 for the cosine.
fn series(x: Wide, n: u32) -> Wide {
    let square = x.multiply(x);
    (0..SINE_TERMS).rev().fold(Wide::ONE, |sum, k| {
        let divisor = (2 * k + n + 1) * (2 * k + n + 2);
        Wide::ONE.subtract(square.multiply(sum).divide_by(divisor))
    })
}

fn sine(angle: &Angle) -> Wide {
    let x = angle.rest;
    let value = if angle.quadrant & 1 == 0 { x.multiply(series(x, 1)) } else { series(x, 0) };
    value.negate_if(angle.quadrant & 2 != 0)
}

fn cosine(angle: &Angle) -> Wide {
    sine(&Angle { quadrant: angle.quadrant + 1, ..*angle })
}

/// Which function of an angle.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    Sine,
    Cosine,
    Tangent,
}

/// A function of an angle; `None` if the angle is out of range (C2).
pub(super) fn of_angle(env: &mut Env, a: Operand, function: Function) -> Option<Extended> {
    let number = match env.one(a) {
        Ok(Zero) if function == Function::Cosine => return Some(Extended::from_integer(1)),
        Ok(Zero) => return Some(a.value),
        Ok(Finite(number)) => number,
        Ok(_) => return Some(env.invalid()),
        Err(result) => return Some(result),
    };
    let angle = reduce(number)?;
    let value = match function {
        Function::Sine => sine(&angle),
        Function::Cosine => cosine(&angle),
        Function::Tangent => sine(&angle).divide(cosine(&angle)),
    };
    Some(env.round_wide(value))
}

/// FPATAN: the angle of the point (x, y).
pub(super) fn arctangent(env: &mut Env, y: Operand, x: Operand) -> Extended {
    let classes = match env.two(y, x) {
        Ok(classes) => classes,
        Err(result) => return result,
    };
    let (y_negative, x_negative) = (y.value.is_negative(), x.value.is_negative());
    let angle = match classes {
        (Zero, _) | (Finite(_), Infinity) if !x_negative => return Extended::zero(y_negative),
        (Zero, _) | (Finite(_), Infinity) => PI,
        (Infinity, Infinity) if x_negative => PI.subtract(PI.scale(-2)),
        (Infinity, Infinity) => PI.scale(-2),
        (Infinity, _) | (_, Zero) => PI.scale(-1),
        (Finite(n), Finite(m)) => {
            let (n, m) = (Wide::from(n).magnitude(), Wide::from(m).magnitude());
            let steep = n.exceeds(m);
            let ratio = if steep { m.divide(n) } else { n.divide(m) };
            let angle = arctangent_to_1(ratio);
            let first = if steep { PI.scale(-1).subtract(angle) } else { angle };
            if x_negative { PI.subtract(first) } else { first }
        }
        _ => return env.invalid(),
    };
    env.round_wide(angle.negate_if(y_negative))
}

/// arctan(t) for t from 0 to 1.
fn arctangent_to_1(t: Wide) -> Wide {
    // arctan(t) = arctan(c) + arctan((t - c) / (1 + t c)), c = 0, 1/2 or 1, whichever is nearest.
    let half = Wide::ONE.scale(-1);
    let (offset, t) = if !t.exceeds(half.scale(-1)) {
        (Wide::ZERO, t)
    } else if !t.exceeds(Wide::ONE.subtract(half.scale(-1))) {
        (ARCTANGENT_HALF, t.subtract(half).divide(Wide::ONE.add(t.scale(-1))))
    } else {
        (PI.scale(-2), t.subtract(Wide::ONE).divide(Wide::ONE.add(t)))
    };
    let square = t.multiply(t);
    let sum = (0..ARCTANGENT_TERMS)
        .rev()
        .fold(Wide::ZERO, |sum, n| Wide::ONE.divide_by(2 * n + 1).subtract(sum.multiply(square)));
    offset.add(t.multiply(sum))
}

#[cfg(test)]
mod tests {
    use super::super::environment::flag;
    use super::*;

    fn int(value: i64) -> Operand {
        Extended::from_integer(value).into()
    }

    fn ext(sign_exponent: u16, significand: u64) -> Extended {
        Extended { significand, sign_exponent }
    }

    #[test]
    fn known_values() {
        let mut env = Env::new(0x037F);
        // pi/4 and sin(1), from their binary expansions.
        assert_eq!(arctangent(&mut env, int(1), int(1)), ext(0x3FFE, 0xC90F_DAA2_2168_C235));
        assert_eq!(arctangent(&mut env, int(-7), int(0)), ext(0xBFFF, 0xC90F_DAA2_2168_C235));
        assert_eq!(of_angle(&mut env, int(1), Function::Sine), Some(ext(0x3FFE, 0xD76A_A478_4867_7021)));
        assert_eq!(of_angle(&mut env, int(-1), Function::Sine), Some(ext(0xBFFE, 0xD76A_A478_4867_7021)));
        assert_eq!(env.flags, flag::INEXACT);
    }

    #[test]
    fn pi_is_that_of_the_processor() {
        let mut env = Env::new(0x037F);
        // Pi rounded to 64 bits exceeds pi truncated to 66 bits by one unit in the 66th place, 2^-64.
        let pi = Operand::from(ext(0x4000, 0xC90F_DAA2_2168_C235));
        assert_eq!(of_angle(&mut env, pi, Function::Sine), Some(ext(0xBFBF, 1 << 63)));
    }

    #[test]
    fn small_angles_and_large_ones() {
        let tiny = Operand::from(ext(0x3F00, 1 << 63));
        let mut env = Env::new(0x0F7F);
        assert_eq!(of_angle(&mut env, tiny, Function::Sine), Some(ext(0x3EFF, u64::MAX)));
        assert_eq!(of_angle(&mut env, tiny, Function::Tangent), Some(tiny.value));
        assert_eq!(of_angle(&mut env, ext(0x403E, 1 << 63).into(), Function::Cosine), None);
        assert!(of_angle(&mut env, ext(0x403D, u64::MAX).into(), Function::Cosine).is_some());
    }
}
