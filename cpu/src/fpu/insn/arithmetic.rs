//! FADD, FSUB, FSUBR, FMUL, FDIV, FDIVR with all their operands (SDM vol. 1, 8.3.5).

use super::super::arithmetic::{add, divide, multiply, subtract};
use super::super::environment::Env;
use super::super::extended::{Extended, Operand};
use super::operand::{Float, Integer, Load};
use super::{execute, ready};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use iced_x86::{Code, Instruction};

/// `destination = f(destination, source)`.
trait Operation {
    fn apply(env: &mut Env, a: Operand, b: Operand) -> Extended;
}

macro_rules! operations {
    ($($name:ident = |$env:ident, $a:ident, $b:ident| $value:expr;)*) => {$(
        struct $name;
        impl Operation for $name {
            fn apply($env: &mut Env, $a: Operand, $b: Operand) -> Extended { $value }
        }
    )*};
}

operations! {
    Add = |env, a, b| add(env, a, b);
    Subtract = |env, a, b| subtract(env, a, b);
    SubtractReversed = |env, a, b| subtract(env, b, a);
    Multiply = |env, a, b| multiply(env, a, b);
    Divide = |env, a, b| divide(env, a, b);
    DivideReversed = |env, a, b| divide(env, b, a);
}

/// `ST(0) = f(ST(0), memory)`.
fn memory<O: Operation, L: Load>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let b = L::load(cpu, op)?;
    execute(cpu, op, |fpu| _ = fpu.binary::<0>(0, fpu.operand(0), Some(b), O::apply))
}

/// `ST(i) = f(ST(i), ST(j))`, then pop `POPS` times.
fn registers<O: Operation, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let (a, b) = (op.reg[0] as usize, op.reg[1] as usize);
    execute(cpu, op, |fpu| _ = fpu.binary::<POPS>(a, fpu.operand(a), fpu.operand(b), O::apply))
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    macro_rules! table {
        ($($operation:ident: $m32:ident $m64:ident $i16:ident $i32:ident $to_st0:ident $to_sti:ident $pop:ident;)*) => {
            match insn.code() {
                $(
                    $m32 => memory::<$operation, Float<u32>>,
                    $m64 => memory::<$operation, Float<u64>>,
                    $i16 => memory::<$operation, Integer<u16>>,
                    $i32 => memory::<$operation, Integer<u32>>,
                    $to_st0 | $to_sti => registers::<$operation, 0>,
                    $pop => registers::<$operation, 1>,
                )*
                _ => return None,
            }
        };
    }
    Some(table! {
        Add: Fadd_m32fp Fadd_m64fp Fiadd_m16int Fiadd_m32int Fadd_st0_sti Fadd_sti_st0 Faddp_sti_st0;
        Subtract: Fsub_m32fp Fsub_m64fp Fisub_m16int Fisub_m32int Fsub_st0_sti Fsub_sti_st0 Fsubp_sti_st0;
        SubtractReversed:
            Fsubr_m32fp Fsubr_m64fp Fisubr_m16int Fisubr_m32int Fsubr_st0_sti Fsubr_sti_st0 Fsubrp_sti_st0;
        Multiply: Fmul_m32fp Fmul_m64fp Fimul_m16int Fimul_m32int Fmul_st0_sti Fmul_sti_st0 Fmulp_sti_st0;
        Divide: Fdiv_m32fp Fdiv_m64fp Fidiv_m16int Fidiv_m32int Fdiv_st0_sti Fdiv_sti_st0 Fdivp_sti_st0;
        DivideReversed:
            Fdivr_m32fp Fdivr_m64fp Fidivr_m16int Fidivr_m32int Fdivr_st0_sti Fdivr_sti_st0 Fdivrp_sti_st0;
    })
}
