//! Functions of ST(0) and ST(1): FSQRT, FRNDINT, FSCALE, FXTRACT, FPREM, transcendentals, signs
//! (SDM vol. 1, 8.3.5, 8.3.7-8.3.10).

use super::super::arithmetic::square_root;
use super::super::environment::Env;
use super::super::exponential::{exp2_minus_1, y_log2_x, y_log2_x_plus_1};
use super::super::extended::{Extended, Operand};
use super::super::integer::round_to_integral;
use super::super::remainder::{Progress, Quotient, remainder};
use super::super::scale::{extract, scale};
use super::super::state::status::{C0, C1, C2, C3};
use super::super::trigonometry::{Function, arctangent, of_angle};
use super::{execute, ready};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::fpu::Fpu;
use iced_x86::{Code, Instruction};

fn unary(cpu: &mut Cpu, op: &Op, f: fn(&mut Env, Operand) -> Extended) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| fpu.unary(f))
}

fn fsqrt(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    unary(cpu, op, square_root)
}

fn frndint(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    unary(cpu, op, round_to_integral)
}

fn f2xm1(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    unary(cpu, op, exp2_minus_1)
}

fn fabs(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    unary(cpu, op, |_, a| a.value.absolute())
}

fn fchs(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    unary(cpu, op, |_, a| a.value.negated())
}

fn fscale(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| _ = fpu.binary::<0>(0, fpu.operand(0), fpu.operand(1), scale))
}

/// `ST(1) = f(ST(0), ST(1))`, then pop.
fn to_st1(cpu: &mut Cpu, op: &Op, f: fn(&mut Env, Operand, Operand) -> Extended) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| _ = fpu.binary::<1>(1, fpu.operand(0), fpu.operand(1), f))
}

fn fyl2x(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    to_st1(cpu, op, y_log2_x)
}

fn fyl2xp1(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    to_st1(cpu, op, y_log2_x_plus_1)
}

fn fpatan(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    to_st1(cpu, op, |env, x, y| arctangent(env, y, x))
}

/// FPREM and FPREM1: the low bits of the quotient go to C0, C3 and C1; C2 means that more is to do.
fn prem(cpu: &mut Cpu, op: &Op, kind: Quotient) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| {
        let mut progress = Progress::None;
        let delivered = fpu.binary::<0>(0, fpu.operand(0), fpu.operand(1), |env, a, b| {
            let result = remainder(env, a, b, kind);
            progress = result.progress;
            result.value
        });
        match progress {
            _ if !delivered => fpu.set_condition(C2, 0),
            Progress::None => fpu.set_condition(C2, 0),
            Progress::Partial => fpu.set_condition(C3 | C2 | C1 | C0, C2),
            Progress::Complete(quotient) => {
                let bit = |n: u32, code: u16| if quotient >> n & 1 != 0 { code } else { 0 };
                fpu.set_condition(C3 | C2 | C1 | C0, bit(2, C0) | bit(1, C3) | bit(0, C1));
            }
        }
    })
}

fn fprem(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    prem(cpu, op, Quotient::Truncated)
}

fn fprem1(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    prem(cpu, op, Quotient::Nearest)
}

/// Replace ST(0) by one value and push another.
fn replace_and_push(fpu: &mut Fpu, f: impl FnOnce(&mut Env, Operand) -> Option<(Extended, Extended)>) {
    let mut env = fpu.env();
    let values = match fpu.operand(0) {
        Some(_) if fpu.get(7).is_some() => {
            let value = env.stack_overflow();
            Some((value, value))
        }
        Some(a) => f(&mut env, a),
        None => {
            let value = env.stack_underflow();
            Some((value, value))
        }
    };
    if !fpu.settle(&env) {
        return;
    }
    match values {
        None => fpu.set_condition(C2, C2),
        Some((first, second)) => {
            fpu.set_condition(C2, 0);
            fpu.set(0, first);
            fpu.rotate(7);
            fpu.set(0, second);
        }
    }
}

fn fxtract(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| replace_and_push(fpu, |env, a| Some(extract(env, a))))
}

fn fptan(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| {
        replace_and_push(fpu, |env, a| {
            let tangent = of_angle(env, a, Function::Tangent)?;
            // Not of a NaN: both become it.
            let is_number = a.value.field() != 0x7FFF && tangent.field() != 0x7FFF;
            Some((tangent, if is_number { Extended::from_integer(1) } else { tangent }))
        });
    })
}

fn fsincos(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| {
        replace_and_push(fpu, |env, a| {
            let sine = of_angle(env, a, Function::Sine)?;
            Some((sine, of_angle(env, a, Function::Cosine)?))
        });
    })
}

/// FSIN and FCOS.
fn circular(cpu: &mut Cpu, op: &Op, function: Function) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| {
        let mut condition = 0;
        fpu.unary(|env, a| {
            of_angle(env, a, function).unwrap_or_else(|| {
                condition = C2;
                a.value
            })
        });
        fpu.set_condition(C2, condition);
    })
}

fn fsin(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    circular(cpu, op, Function::Sine)
}

fn fcos(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    circular(cpu, op, Function::Cosine)
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Fsqrt => fsqrt,
        Code::Frndint => frndint,
        Code::Fabs => fabs,
        Code::Fchs => fchs,
        Code::Fscale => fscale,
        Code::Fxtract => fxtract,
        Code::Fprem => fprem,
        Code::Fprem1 => fprem1,
        Code::F2xm1 => f2xm1,
        Code::Fyl2x => fyl2x,
        Code::Fyl2xp1 => fyl2xp1,
        Code::Fpatan => fpatan,
        Code::Fptan => fptan,
        Code::Fsin => fsin,
        Code::Fcos => fcos,
        Code::Fsincos => fsincos,
        _ => return None,
    })
}
