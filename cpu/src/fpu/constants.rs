//! The constants of FLD1 to FLDZ (SDM vol. 1, 8.3.3): kept with 128 bits and rounded by rounding control.

use super::environment::Env;
use super::extended::{EXTENDED, Extended};
use super::wide::Wide;

/// The ratio of a circle's circumference to its diameter.
pub(super) const PI: Wide = Wide::constant(-126, 0xC90F_DAA2_2168_C234_C4C6_628B_80DC_1CD1);
/// log2(e).
pub(super) const LOG2_E: Wide = Wide::constant(-127, 0xB8AA_3B29_5C17_F0BB_BE87_FED0_691D_3E89);
/// log2(10).
pub(super) const LOG2_10: Wide = Wide::constant(-126, 0xD49A_784B_CD1B_8AFE_492B_F6FF_4DAF_DB4D);
/// log10(2).
pub(super) const LOG10_2: Wide = Wide::constant(-129, 0x9A20_9A84_FBCF_F798_8F89_59AC_0B7C_9178);
/// The natural logarithm of two.
pub(super) const LN2: Wide = Wide::constant(-128, 0xB172_17F7_D1CF_79AB_C9E3_B398_03F2_F6AF);

/// A constant as FLDPI and the like push it: rounded, without an exception.
pub(super) fn rounded(env: &Env, constant: Wide) -> Extended {
    match constant.inexact() {
        Some(number) => Extended::pack(false, 64, number.round(EXTENDED, env.rounding())),
        None => Extended::zero(false),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pi_in_the_four_modes() {
        for (control, last) in [(0x037F, 0x35), (0x077F, 0x34), (0x0B7F, 0x35), (0x0F7F, 0x34)] {
            let expected = Extended { significand: 0xC90F_DAA2_2168_C200 | last, sign_exponent: 0x4000 };
            assert_eq!(rounded(&Env::new(control), PI), expected);
        }
    }
}
