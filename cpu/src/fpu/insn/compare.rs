//! FCOM, FUCOM, FICOM, FTST, FCOMI, FUCOMI and FXAM (SDM vol. 1, 8.3.6).

use super::super::compare::{compare, condition, examine};
use super::super::extended::{Extended, Operand};
use super::super::state::status::{C0, C1, C2, C3};
use super::operand::{Float, Integer, Load};
use super::{execute, index, ready};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::flags::{ARITH, CF, PF, ZF};
use crate::fpu::Fpu;
use iced_x86::{Code, Instruction};
use std::cmp::Ordering;

/// Compare ST(0) with `b`, then pop `pops` times, but not after an unmasked exception. The result is there even then.
fn order(fpu: &mut Fpu, b: Option<Operand>, any_nan: bool, pops: usize) -> Option<Ordering> {
    let mut env = fpu.env();
    let order = match (fpu.operand(0), b) {
        (Some(a), Some(b)) => compare(&mut env, a, b, any_nan),
        _ => {
            env.stack_underflow();
            None
        }
    };
    if fpu.settle(&env) {
        (0..pops).for_each(|_| fpu.pop());
    }
    order
}

fn to_condition<const POPS: usize>(fpu: &mut Fpu, b: Option<Operand>, any_nan: bool) {
    let order = order(fpu, b, any_nan, POPS);
    fpu.set_condition(C3 | C2 | C0, condition(order));
}

fn memory<L: Load, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let b = L::load(cpu, op)?;
    execute(cpu, op, |fpu| to_condition::<POPS>(fpu, Some(b), true))
}

fn register<const ANY_NAN: bool, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| to_condition::<POPS>(fpu, fpu.operand(index(op)), ANY_NAN))
}

/// FCOMPP and FUCOMPP name no register.
fn with_st1<const ANY_NAN: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| to_condition::<2>(fpu, fpu.operand(1), ANY_NAN))
}

fn ftst(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| to_condition::<0>(fpu, Some(Extended::zero(false).into()), true))
}

/// FCOMI, FUCOMI and popping forms: into EFLAGS.
fn to_flags<const ANY_NAN: bool, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let mut result = None;
    execute(cpu, op, |fpu| result = order(fpu, fpu.operand(index(op)), ANY_NAN, POPS))?;
    let flags = match result {
        Some(Ordering::Greater) => 0,
        Some(Ordering::Less) => CF,
        Some(Ordering::Equal) => ZF,
        None => ZF | PF | CF,
    };
    cpu.regs.flags.merge(flags, ARITH);
    Ok(())
}

fn fxam(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| {
        let n = fpu.top();
        let bits = examine(fpu.regs[n], fpu.get(0).is_none());
        fpu.set_condition(C3 | C2 | C1 | C0, bits);
    })
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Fcom_m32fp => memory::<Float<u32>, 0>,
        Code::Fcom_m64fp => memory::<Float<u64>, 0>,
        Code::Ficom_m16int => memory::<Integer<u16>, 0>,
        Code::Ficom_m32int => memory::<Integer<u32>, 0>,
        Code::Fcomp_m32fp => memory::<Float<u32>, 1>,
        Code::Fcomp_m64fp => memory::<Float<u64>, 1>,
        Code::Ficomp_m16int => memory::<Integer<u16>, 1>,
        Code::Ficomp_m32int => memory::<Integer<u32>, 1>,
        Code::Fcom_st0_sti | Code::Fcom_st0_sti_DCD0 => register::<true, 0>,
        Code::Fcomp_st0_sti | Code::Fcomp_st0_sti_DCD8 | Code::Fcomp_st0_sti_DED0 => register::<true, 1>,
        Code::Fucom_st0_sti => register::<false, 0>,
        Code::Fucomp_st0_sti => register::<false, 1>,
        Code::Fcompp => with_st1::<true>,
        Code::Fucompp => with_st1::<false>,
        Code::Ftst => ftst,
        Code::Fcomi_st0_sti => to_flags::<true, 0>,
        Code::Fcomip_st0_sti => to_flags::<true, 1>,
        Code::Fucomi_st0_sti => to_flags::<false, 0>,
        Code::Fucomip_st0_sti => to_flags::<false, 1>,
        Code::Fxam => fxam,
        _ => return None,
    })
}
