//! Floating-point arithmetic on lanes (SDM vol. 1, 10.4.1.2, 11.4.1.1): each operation packed and scalar, in single
//! and double precision.

use super::compare::{choose, predicate};
use super::exception::{Env, flag};
use super::lanes::{Lane, build, lane, with_lane};
use super::operand::{File, Mem, MemLow, Reg, Source, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::softfloat::{Binary, Rounding};
use iced_x86::{Code, Instruction, OpKind};
use std::cmp::Ordering;

/// `destination = f(destination, source, immediate)`, lane by lane.
trait Lanewise {
    fn apply<L: Binary>(env: &mut Env, a: L, b: L, imm: u32) -> L;
}

/// Every lane.
fn packed<O: Lanewise, L: Binary + Lane, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let b = S::get(cpu, op)?;
    let a = Xmm::get(cpu, op.reg[0]);
    let mut env = Env::new(cpu);
    let result = build(|i| O::apply::<L>(&mut env, lane(a, i), lane(b, i), op.imm));
    env.deliver(cpu)?;
    Xmm::set(cpu, op.reg[0], result);
    Ok(())
}

/// Lane 0; the others stay.
fn scalar<O: Lanewise, L: Binary + Lane, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let b = S::get(cpu, op)?;
    let a = Xmm::get(cpu, op.reg[0]);
    let mut env = Env::new(cpu);
    let result = O::apply::<L>(&mut env, lane(a, 0), lane(b, 0), op.imm);
    env.deliver(cpu)?;
    Xmm::set(cpu, op.reg[0], with_lane(a, 0, result));
    Ok(())
}

/// A line is an operation: its four encodings, and what it computes.
macro_rules! lanewise {
    ($($ps:ident $pd:ident $ss:ident $sd:ident: |$env:pat_param, $a:pat_param, $b:pat_param, $imm:pat_param| $body:expr;)*) => {
        pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
            let mem = insn.op1_kind() == OpKind::Memory;
            let pick = |memory: Handler, register: Handler| Some(if mem { memory } else { register });
            match insn.code() {
                $(Code::$ps | Code::$pd | Code::$ss | Code::$sd => {
                    struct Operation;
                    impl Lanewise for Operation {
                        #[inline(always)]
                        fn apply<L: Binary>($env: &mut Env, $a: L, $b: L, $imm: u32) -> L { $body }
                    }
                    match insn.code() {
                        Code::$ps => pick(packed::<Operation, u32, Mem>, packed::<Operation, u32, Reg<1>>),
                        Code::$pd => pick(packed::<Operation, u64, Mem>, packed::<Operation, u64, Reg<1>>),
                        Code::$ss => pick(scalar::<Operation, u32, MemLow<u32>>, scalar::<Operation, u32, Reg<1>>),
                        _ => pick(scalar::<Operation, u64, MemLow<u64>>, scalar::<Operation, u64, Reg<1>>),
                    }
                })*
                _ => None,
            }
        }
    };
}

lanewise! {
    Addps_xmm_xmmm128 Addpd_xmm_xmmm128 Addss_xmm_xmmm32 Addsd_xmm_xmmm64: |env, a, b, _| add(env, a, b, false);
    Subps_xmm_xmmm128 Subpd_xmm_xmmm128 Subss_xmm_xmmm32 Subsd_xmm_xmmm64: |env, a, b, _| add(env, a, b, true);
    Mulps_xmm_xmmm128 Mulpd_xmm_xmmm128 Mulss_xmm_xmmm32 Mulsd_xmm_xmmm64: |env, a, b, _| multiply(env, a, b);
    Divps_xmm_xmmm128 Divpd_xmm_xmmm128 Divss_xmm_xmmm32 Divsd_xmm_xmmm64: |env, a, b, _| divide(env, a, b);
    Sqrtps_xmm_xmmm128 Sqrtpd_xmm_xmmm128 Sqrtss_xmm_xmmm32 Sqrtsd_xmm_xmmm64: |env, _, b, _| square_root(env, b);
    Minps_xmm_xmmm128 Minpd_xmm_xmmm128 Minss_xmm_xmmm32 Minsd_xmm_xmmm64:
        |env, a, b, _| choose(env, a, b, Ordering::Less);
    Maxps_xmm_xmmm128 Maxpd_xmm_xmmm128 Maxss_xmm_xmmm32 Maxsd_xmm_xmmm64:
        |env, a, b, _| choose(env, a, b, Ordering::Greater);
    Cmpps_xmm_xmmm128_imm8 Cmppd_xmm_xmmm128_imm8 Cmpss_xmm_xmmm32_imm8 Cmpsd_xmm_xmmm64_imm8:
        |env, a, b, imm| predicate(env, a, b, imm);
}

/// The result if an operand is a NaN: the first that is one, made quiet (SDM vol. 1, table 4-7).
fn nan<L: Binary>(env: &mut Env, a: L, b: L) -> Option<L> {
    if !a.is_nan() && !b.is_nan() {
        return None;
    }
    if a.is_signaling() || b.is_signaling() {
        env.raise(flag::INVALID);
    }
    Some(if a.is_nan() { a.quieted() } else { b.quieted() })
}

fn invalid<L: Binary>(env: &mut Env) -> L {
    env.raise(flag::INVALID);
    L::indefinite()
}

fn add<L: Binary>(env: &mut Env, a: L, b: L, subtract: bool) -> L {
    let (a, b) = (env.operand(a), env.operand(b));
    if let Some(nan) = nan(env, a, b) {
        return nan;
    }
    let b_negative = b.is_negative() != subtract;
    match (a.is_infinite(), b.is_infinite()) {
        (true, true) if a.is_negative() != b_negative => return invalid(env),
        (true, _) => {
            env.note_denormal(b.is_denormal());
            return a;
        }
        (false, true) => {
            env.note_denormal(a.is_denormal());
            return L::infinity(b_negative);
        }
        (false, false) => env.note_denormal(a.is_denormal() || b.is_denormal()),
    }
    let b = b.unpack().map(|b| if subtract { b.negate() } else { b });
    let sum = match (a.unpack(), b) {
        (Some(a), Some(b)) => a.add(b),
        (a, b) => a.or(b),
    };
    match sum {
        Some(sum) => env.round(sum),
        None if a.is_zero() && a.is_negative() == b_negative => a,
        // Opposite numbers, opposite zeros.
        None => L::zero(env.rounding() == Rounding::Down),
    }
}

fn multiply<L: Binary>(env: &mut Env, a: L, b: L) -> L {
    let (a, b) = (env.operand(a), env.operand(b));
    if let Some(nan) = nan(env, a, b) {
        return nan;
    }
    if a.is_infinite() && b.is_zero() || a.is_zero() && b.is_infinite() {
        return invalid(env);
    }
    env.note_denormal(a.is_denormal() || b.is_denormal());
    let negative = a.is_negative() != b.is_negative();
    match (a.unpack(), b.unpack()) {
        (Some(a), Some(b)) => env.round(a.multiply(b)),
        _ if a.is_infinite() || b.is_infinite() => L::infinity(negative),
        _ => L::zero(negative),
    }
}

fn divide<L: Binary>(env: &mut Env, a: L, b: L) -> L {
    let (a, b) = (env.operand(a), env.operand(b));
    if let Some(nan) = nan(env, a, b) {
        return nan;
    }
    if a.is_infinite() && b.is_infinite() || a.is_zero() && b.is_zero() {
        return invalid(env);
    }
    let negative = a.is_negative() != b.is_negative();
    if b.is_zero() && !a.is_infinite() {
        env.raise(flag::DIVIDE);
        return L::infinity(negative);
    }
    env.note_denormal(a.is_denormal() || b.is_denormal());
    match (a.unpack(), b.unpack()) {
        (Some(a), Some(b)) => env.round(a.divide(b)),
        _ if a.is_infinite() => L::infinity(negative),
        _ => L::zero(negative),
    }
}

fn square_root<L: Binary>(env: &mut Env, x: L) -> L {
    let x = env.operand(x);
    if let Some(nan) = nan(env, x, x) {
        return nan;
    }
    if x.is_negative() && !x.is_zero() {
        return invalid(env);
    }
    env.note_denormal(x.is_denormal());
    match x.unpack() {
        Some(number) => env.round(number.square_root()),
        None => x,
    }
}
