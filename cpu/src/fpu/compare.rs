//! FCOM, FUCOM, FTST and their kin, and FXAM (SDM vol. 1, 8.3.6, 8.1.3.3).

use super::environment::{Env, flag};
use super::extended::{Class, Extended, Operand};
use super::state::status::{C0, C1, C2, C3};
use std::cmp::Ordering;

/// The order of two operands, none if there is none. A NaN is invalid if it signals, or in any case if `any_nan`.
pub(super) fn compare(env: &mut Env, a: Operand, b: Operand, any_nan: bool) -> Option<Ordering> {
    let (x, y) = match env.two(a, b) {
        Ok(classes) => classes,
        Err(_) => {
            env.raise(if any_nan { flag::INVALID } else { 0 });
            return None;
        }
    };
    Some(key(x, a.value).cmp(&key(y, b.value)))
}

/// Something that is ordered as the values are: sign, exponent and significand as one number. Pseudo-denormals count
/// as what they are worth.
fn key(class: Class, value: Extended) -> i128 {
    let field = match class {
        Class::Zero => return 0,
        Class::Finite(_) => value.field().max(1),
        _ => value.field(),
    };
    let magnitude = (field as i128) << 64 | value.significand as i128;
    if value.is_negative() { -magnitude } else { magnitude }
}

/// Condition codes for an order.
pub(super) fn condition(order: Option<Ordering>) -> u16 {
    match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => C0,
        Some(Ordering::Equal) => C3,
        None => C3 | C2 | C0,
    }
}

/// FXAM: condition codes for the class of a register.
pub(super) fn examine(value: Extended, empty: bool) -> u16 {
    let sign = if value.is_negative() { C1 } else { 0 };
    sign | match value.class() {
        _ if empty => C3 | C0,
        Class::Unsupported => 0,
        Class::Nan => C0,
        Class::Infinity => C2 | C0,
        Class::Zero => C3,
        Class::Finite(_) if value.is_denormal() => C3 | C2,
        Class::Finite(_) => C2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn order_of_all_classes() {
        let least = Extended { significand: 1, sign_exponent: 0 };
        let pseudo = Extended { significand: 1 << 63, sign_exponent: 0 };
        let ascending = [
            Extended::infinity(true),
            Extended::from_integer(-1),
            least.negated(),
            Extended::zero(true),
            least,
            pseudo,
            Extended::from_integer(1),
            Extended::infinity(false),
        ];
        let mut env = Env::new(0x037F);
        for (i, a) in ascending.iter().enumerate() {
            for (j, b) in ascending.iter().enumerate() {
                assert_eq!(compare(&mut env, (*a).into(), (*b).into(), true), Some(i.cmp(&j)));
            }
        }
        let minimum = Extended { significand: 1 << 63, sign_exponent: 1 };
        assert_eq!(compare(&mut env, pseudo.into(), minimum.into(), true), Some(Ordering::Equal));
        assert_eq!(env.flags, flag::DENORMAL);
        assert_eq!(compare(&mut env, least.into(), Extended::INDEFINITE.into(), false), None);
        assert_eq!(env.flags, flag::DENORMAL);
    }
}
