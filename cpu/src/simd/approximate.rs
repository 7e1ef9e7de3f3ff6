//! RCPPS, RCPSS, RSQRTPS, RSQRTSS (SDM vol. 1, 10.4.1.2): approximations with a relative error of at most
//! 1.5 * 2^-12. They raise no exceptions and do not look at MXCSR: denormals count as zeros, tiny results are zeros.
//!
//! Processors differ in the result; here it is the true one rounded to twelve bits of fraction.

use super::lanes::{lane, map, with_lane};
use super::operand::{File, Mem, MemLow, Reg, Source, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::softfloat::Binary;
use iced_x86::{Code, Instruction, OpKind};

const INFINITY: u32 = 0x7F80_0000;
const BIAS: i32 = 127;

/// `q * 2^(exponent - 12)` with `q` in 2^12 ..= 2^13, of the sign of `like`; zero if that is tiny.
fn compose(like: u32, exponent: i32, q: u32) -> u32 {
    let magnitude = ((exponent + BIAS) << 23) + ((q as i32 - (1 << 12)) << 11);
    u32::zero(like.is_negative()) | if magnitude < 1 << 23 { 0 } else { magnitude as u32 }
}

/// Exponent and 24-bit significand of a positive or negative normal number.
fn parts(x: u32) -> (i32, u32) {
    ((x >> 23 & 0xFF) as i32 - BIAS, x & 0x7F_FFFF | 1 << 23)
}

fn reciprocal(x: u32) -> u32 {
    if x.is_nan() {
        return x.quieted();
    }
    match x & INFINITY {
        0 => return u32::infinity(x.is_negative()),
        INFINITY => return u32::zero(x.is_negative()),
        _ => {}
    }
    let (exponent, significand) = parts(x);
    let twice = (1u64 << 37) / significand as u64;
    compose(x, -exponent - 1, twice.div_ceil(2) as u32)
}

fn reciprocal_root(x: u32) -> u32 {
    if x.is_nan() {
        return x.quieted();
    }
    if x & INFINITY == 0 {
        return u32::infinity(x.is_negative());
    }
    if x.is_negative() {
        return u32::indefinite();
    }
    if x == INFINITY {
        return 0;
    }
    let (exponent, significand) = parts(x);
    // An odd exponent lends a factor of two to the significand.
    let odd = exponent & 1;
    let twice = ((1u64 << 51) / ((significand as u64) << odd)).isqrt();
    compose(x, -((exponent - odd) / 2) - 1, twice.div_ceil(2) as u32)
}

/// Which of the two.
trait Function {
    fn of(x: u32) -> u32;
}

struct Reciprocal;
impl Function for Reciprocal {
    fn of(x: u32) -> u32 {
        reciprocal(x)
    }
}

struct ReciprocalRoot;
impl Function for ReciprocalRoot {
    fn of(x: u32) -> u32 {
        reciprocal_root(x)
    }
}

fn packed<F: Function, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let b = S::get(cpu, op)?;
    Xmm::set(cpu, op.reg[0], map(b, F::of));
    Ok(())
}

fn scalar<F: Function, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let b = S::get(cpu, op)?;
    let result = with_lane(Xmm::get(cpu, op.reg[0]), 0, F::of(lane(b, 0)));
    Xmm::set(cpu, op.reg[0], result);
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = insn.op1_kind() == OpKind::Memory;
    let pick = |memory: Handler, register: Handler| Some(if mem { memory } else { register });
    match insn.code() {
        Code::Rcpps_xmm_xmmm128 => pick(packed::<Reciprocal, Mem>, packed::<Reciprocal, Reg<1>>),
        Code::Rcpss_xmm_xmmm32 => pick(scalar::<Reciprocal, MemLow<u32>>, scalar::<Reciprocal, Reg<1>>),
        Code::Rsqrtps_xmm_xmmm128 => pick(packed::<ReciprocalRoot, Mem>, packed::<ReciprocalRoot, Reg<1>>),
        Code::Rsqrtss_xmm_xmmm32 => {
            pick(scalar::<ReciprocalRoot, MemLow<u32>>, scalar::<ReciprocalRoot, Reg<1>>)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEFINITE: u32 = 0xFFC0_0000;

    /// Normal numbers over the whole range.
    fn samples() -> impl Iterator<Item = u32> {
        (0x0080_0000..0x7F80_0000).step_by(0x1_2345)
    }

    fn assert_close(got: u32, exact: f64, x: u32) {
        let got = f32::from_bits(got) as f64;
        let tiny = exact.abs() < f32::MIN_POSITIVE as f64 && got == 0.0;
        assert!(tiny || ((got - exact) / exact).abs() <= 1.5 / 4096.0, "{x:#x}: {got} is not {exact}");
    }

    #[test]
    fn errors_are_within_the_specified_bound() {
        for x in samples() {
            let value = f32::from_bits(x) as f64;
            assert_close(reciprocal(x), 1.0 / value, x);
            assert_close(reciprocal(x | 1 << 31), -1.0 / value, x);
            assert_close(reciprocal_root(x), 1.0 / value.sqrt(), x);
        }
    }

    #[test]
    fn exact_powers_and_special_operands() {
        assert_eq!(reciprocal(0x4080_0000), 0x3E80_0000);
        assert_eq!(reciprocal_root(0x4080_0000), 0x3F00_0000);
        for (x, r, rr) in [
            (0, INFINITY, INFINITY),
            (0x8000_0000, 0xFF80_0000, 0xFF80_0000),
            (0x8000_0001, 0xFF80_0000, 0xFF80_0000),
            (INFINITY, 0, 0),
            (0xFF80_0000, 0x8000_0000, INDEFINITE),
            (0xBF80_0000, 0xBF80_0000, INDEFINITE),
            (0x7F80_0001, 0x7FC0_0001, 0x7FC0_0001),
            (0x7F00_0001, 0, reciprocal_root(0x7F00_0001)),
        ] {
            assert_eq!((reciprocal(x), reciprocal_root(x)), (r, rr), "{x:#x}");
        }
    }
}
