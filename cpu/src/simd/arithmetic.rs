//! Floating-point arithmetic on lanes (SDM vol. 1, 10.4.1.2, 11.4.1.1): each operation packed and scalar, in single
//! and double precision.

use super::compare::{choose, predicate};
use super::exception::Env;
use super::float::Float;
use super::lanes::{build, lane, with_lane};
use super::operand::{File, Mem, MemLow, Reg, Source, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use iced_x86::{Code, Instruction, OpKind};
use std::cmp::Ordering;

/// `destination = f(destination, source, immediate)`, lane by lane.
trait Lanewise {
    fn apply<L: Float>(env: &mut Env, a: L, b: L, imm: u32) -> L;
}

/// Every lane.
fn packed<O: Lanewise, L: Float, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
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
fn scalar<O: Lanewise, L: Float, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
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
                        fn apply<L: Float>($env: &mut Env, $a: L, $b: L, $imm: u32) -> L { $body }
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
    Minps_xmm_xmmm128 Minpd_xmm_xmmm128 Minss_xmm_xmmm32 Minsd_xmm_xmmm64:
        |env, a, b, _| choose(env, a, b, Ordering::Less);
    Maxps_xmm_xmmm128 Maxpd_xmm_xmmm128 Maxss_xmm_xmmm32 Maxsd_xmm_xmmm64:
        |env, a, b, _| choose(env, a, b, Ordering::Greater);
    Cmpps_xmm_xmmm128_imm8 Cmppd_xmm_xmmm128_imm8 Cmpss_xmm_xmmm32_imm8 Cmpsd_xmm_xmmm64_imm8:
        |env, a, b, imm| predicate(env, a, b, imm);
}
