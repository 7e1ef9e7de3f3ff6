//! FPREM and FPREM1 (SDM vol. 1, 8.3.7; vol. 2): exact remainders, of large quotients a part at a time.

use super::environment::Env;
use super::extended::{Class, Extended, Operand};
use crate::softfloat::Number;

/// How the quotient becomes an integer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Quotient {
    /// FPREM.
    Truncated,
    /// FPREM1.
    Nearest,
}

/// How far a reduction came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There is nothing to reduce: invalid operands or NaNs.
    None,
    /// The value is congruent to the dividend, but not yet the remainder.
    Partial,
    /// The value is the remainder; with the low bits of the quotient.
    Complete(u64),
}

/// A result and what it is worth.
pub(super) struct Remainder {
    pub value: Extended,
    pub progress: Progress,
}

/// `a` modulo `b`.
pub(super) fn remainder(env: &mut Env, a: Operand, b: Operand, kind: Quotient) -> Remainder {
    let none = |value| Remainder { value, progress: Progress::None };
    match env.two_before_denormals(a, b) {
        Err(result) => none(result),
        Ok((Class::Infinity, _) | (_, Class::Zero)) => none(env.invalid()),
        Ok((Class::Finite(n), Class::Finite(m))) => {
            env.note_denormal(a.denormal || b.denormal);
            reduce(env, n, m, kind)
        }
        Ok((class, _)) => {
            env.note_denormal(a.denormal || b.denormal);
            let value = match class {
                Class::Finite(n) => env.round_full(n),
                _ => a.value,
            };
            Remainder { value, progress: Progress::Complete(0) }
        }
    }
}

fn normalized(n: Number) -> (u64, i32) {
    let significand = n.significand as u64;
    let shift = significand.leading_zeros();
    (significand << shift, n.exponent - shift as i32)
}

fn reduce(env: &mut Env, a: Number, b: Number, kind: Quotient) -> Remainder {
    let ((n, n_exponent), (d, d_exponent)) = (normalized(a), normalized(b));
    let difference = n_exponent - d_exponent;
    if difference < -1 || difference < 0 && kind == Quotient::Truncated {
        return Remainder { value: env.round_full(a), progress: Progress::Complete(0) };
    }
    if difference >= 64 {
        // Reduce the exponent by 32 to 63.
        let steps = (difference & 31 | 32) as u32;
        let scaled = (n as u128) << steps;
        return Remainder {
            value: packed(env, a.negative, n_exponent - steps as i32, scaled % d as u128),
            progress: Progress::Partial,
        };
    }
    // In units of the last place of the divisor, or of half of it if the dividend is smaller.
    let (scaled, divisor, unit) = match difference {
        -1 => (n as u128, (d as u128) << 1, n_exponent),
        _ => ((n as u128) << difference, d as u128, d_exponent),
    };
    let (mut quotient, rest) = (scaled / divisor, scaled % divisor);
    let beyond_half = rest > divisor - rest || rest == divisor - rest && quotient & 1 != 0;
    let (negative, rest) = match kind {
        Quotient::Nearest if beyond_half => {
            quotient += 1;
            (!a.negative, divisor - rest)
        }
        _ => (a.negative, rest),
    };
    let value = match rest {
        0 => Extended::zero(a.negative),
        _ => packed(env, negative, unit, rest),
    };
    Remainder { value, progress: Progress::Complete(quotient as u64) }
}

/// A remainder: exact, but it may be tiny.
fn packed(env: &mut Env, negative: bool, exponent: i32, significand: u128) -> Extended {
    match significand {
        0 => Extended::zero(negative),
        _ => env.round_full(Number { negative, exponent, significand }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(a: i64, b: i64, kind: Quotient) -> (Extended, Option<u64>) {
        let (a, b) = (Extended::from_integer(a), Extended::from_integer(b));
        let r = remainder(&mut Env::new(0x037F), a.into(), b.into(), kind);
        match r.progress {
            Progress::Complete(quotient) => (r.value, Some(quotient)),
            _ => (r.value, None),
        }
    }

    #[test]
    fn small_integers() {
        assert_eq!(of(17, 5, Quotient::Truncated), (Extended::from_integer(2), Some(3)));
        assert_eq!(of(-17, 5, Quotient::Truncated), (Extended::from_integer(-2), Some(3)));
        assert_eq!(of(18, 5, Quotient::Nearest), (Extended::from_integer(-2), Some(4)));
        assert_eq!(of(5, 2, Quotient::Nearest), (Extended::from_integer(1), Some(2)));
        assert_eq!(of(7, 2, Quotient::Nearest), (Extended::from_integer(-1), Some(4)));
        assert_eq!(of(3, 5, Quotient::Nearest), (Extended::from_integer(-2), Some(1)));
        assert_eq!(of(2, 5, Quotient::Nearest), (Extended::from_integer(2), Some(0)));
        assert_eq!(of(-10, 5, Quotient::Truncated), (Extended::zero(true), Some(2)));
    }

    #[test]
    fn large_quotients_take_several_steps() {
        let mut a = Extended { significand: 0xC90F_DAA2_2168_C235, sign_exponent: 0x3FFF + 1000 };
        let b = Extended::from_integer(3);
        let mut steps = 0;
        loop {
            let r = remainder(&mut Env::new(0x037F), a.into(), b.into(), Quotient::Truncated);
            a = r.value;
            steps += 1;
            if r.progress != Progress::Partial {
                break;
            }
        }
        // 2^(1000 - 63) is 2 modulo 3, the significand 2.
        assert_eq!(a, Extended::from_integer(((0xC90F_DAA2_2168_C235u64 % 3) * 2 % 3) as i64));
        assert!((16..=32).contains(&steps));
    }
}
