//! Comparison, minimum and maximum of floating-point values (SDM vol. 1, 10.4.1.3, 10.4.1.4, 11.4.1.2).

use super::exception::{Env, flag};
use super::lanes::{Lane, lane};
use super::operand::{File, MemLow, Reg, Source, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::flags::{ARITH, CF, PF, ZF};
use crate::softfloat::Binary;
use iced_x86::{Code, Instruction, OpKind};
use std::cmp::Ordering;

/// Compare after the rules of the environment. A NaN is invalid if it signals, or in any case if `any_nan`.
fn compare<L: Binary>(env: &mut Env, a: L, b: L, any_nan: bool) -> Option<Ordering> {
    let (a, b) = (env.operand(a), env.operand(b));
    let order = a.order(b);
    if order.is_some() {
        env.note_denormal(a.is_denormal() || b.is_denormal());
    } else if any_nan || a.is_signaling() || b.is_signaling() {
        env.raise(flag::INVALID);
    }
    order
}

/// CMPPS and its kin: all ones if the predicate in the low three bits of the immediate holds.
pub(super) fn predicate<L: Binary>(env: &mut Env, a: L, b: L, imm: u32) -> L {
    // Less-than, less-or-equal and their negations signal on any NaN.
    let order = compare(env, a, b, matches!(imm & 3, 1 | 2));
    let holds = match imm & 3 {
        0 => order == Some(Ordering::Equal),
        1 => order == Some(Ordering::Less),
        2 => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        _ => order.is_none(),
    };
    L::from_u64(if holds != (imm & 4 != 0) { u64::MAX } else { 0 })
}

/// MIN and MAX: the first operand if it is `wanted` to the second, else (equal or NaN, too) the second.
pub(super) fn choose<L: Binary>(env: &mut Env, a: L, b: L, wanted: Ordering) -> L {
    let order = compare(env, a, b, true);
    env.operand(if order == Some(wanted) { a } else { b })
}

/// COMISS, COMISD (`ANY_NAN`: a quiet NaN is invalid, too), UCOMISS, UCOMISD.
fn compare_to_flags<L: Binary + Lane, const ANY_NAN: bool, S: Source<Xmm>>(
    cpu: &mut Cpu,
    op: &Op,
) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let b = S::get(cpu, op)?;
    let a = Xmm::get(cpu, op.reg[0]);
    let mut env = Env::new(cpu);
    let order = compare::<L>(&mut env, lane(a, 0), lane(b, 0), ANY_NAN);
    env.deliver(cpu)?;
    let flags = match order {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => CF,
        Some(Ordering::Equal) => ZF,
        None => ZF | PF | CF,
    };
    cpu.regs.flags.merge(flags, ARITH);
    Ok(())
}

fn handler<L: Binary + Lane, const ANY_NAN: bool>(insn: &Instruction) -> Option<Handler> {
    Some(match insn.op1_kind() {
        OpKind::Memory => compare_to_flags::<L, ANY_NAN, MemLow<L>>,
        _ => compare_to_flags::<L, ANY_NAN, Reg<1>>,
    })
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    match insn.code() {
        Code::Comiss_xmm_xmmm32 => handler::<u32, true>(insn),
        Code::Comisd_xmm_xmmm64 => handler::<u64, true>(insn),
        Code::Ucomiss_xmm_xmmm32 => handler::<u32, false>(insn),
        Code::Ucomisd_xmm_xmmm64 => handler::<u64, false>(insn),
        _ => None,
    }
}
