//! Data transfer between SIMD registers, memory and general registers (SDM vol. 1, 9.4.1, 10.4.1.1, 11.4.1.1).
//! Non-temporal stores are stores: caches are not modelled.

use super::lanes::{Lane, Vector, lane, with_lane};
use super::mmx::Mm;
use super::operand::{
    File, Mem, MemUnaligned, Reg, Source, Xmm, load, store, store_aligned, store_unaligned,
};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::word::Word;
use iced_x86::{Code, Instruction, OpKind};

/// A whole register from register or memory.
fn whole<F: File, S: Source<F>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let value = S::get(cpu, op)?;
    F::set(cpu, op.reg[0], value);
    Ok(())
}

fn store_whole<const ALIGNED: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let value = Xmm::get(cpu, op.reg[1]);
    if ALIGNED { store_aligned(cpu, op, value) } else { store_unaligned(cpu, op, value) }
}

/// A register from `W` of memory, zero-extended.
fn load_low<F: File, W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let value: W = load(cpu, op)?;
    F::set(cpu, op.reg[0], F::Vector::from_low64(value.to_u64()));
    Ok(())
}

/// The low `W` of a register to memory.
fn store_low<F: File, W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let value = F::get(cpu, op.reg[1]);
    store(cpu, op, W::from_u64(value.low64()))?;
    F::touch(cpu);
    Ok(())
}

/// The low 64 bits of a register to another, zero-extended.
fn copy_low<From: File, To: File>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    // With two files, that SSE is enabled at all is checked first.
    Xmm::ready(cpu)?;
    From::ready(cpu)?;
    To::ready(cpu)?;
    let value = From::get(cpu, op.reg[1]).low64();
    From::touch(cpu);
    To::set(cpu, op.reg[0], To::Vector::from_low64(value));
    Ok(())
}

/// Lane 0 of a register into lane 0 of another (MOVSS, MOVSD between registers).
fn merge_low<L: Lane>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let low: L = lane(Xmm::get(cpu, op.reg[1]), 0);
    Xmm::set(cpu, op.reg[0], with_lane(Xmm::get(cpu, op.reg[0]), 0, low));
    Ok(())
}

/// 64 bits of memory into half `TO` of a register.
fn load_half<const TO: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let half: u64 = load(cpu, op)?;
    Xmm::set(cpu, op.reg[0], with_lane(Xmm::get(cpu, op.reg[0]), TO, half));
    Ok(())
}

/// Half `FROM` of a register to memory.
fn store_half<const FROM: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let half: u64 = lane(Xmm::get(cpu, op.reg[1]), FROM);
    store(cpu, op, half)
}

/// Half `FROM` of a register into half `TO` of another.
fn copy_half<const TO: usize, const FROM: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let half: u64 = lane(Xmm::get(cpu, op.reg[1]), FROM);
    Xmm::set(cpu, op.reg[0], with_lane(Xmm::get(cpu, op.reg[0]), TO, half));
    Ok(())
}

/// MOVD from a general register.
fn from_general<F: File>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let value: u32 = cpu.reg(op.reg[1]);
    F::set(cpu, op.reg[0], F::Vector::from_low64(value as u64));
    Ok(())
}

/// MOVD to a general register.
fn to_general<F: File>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let value = F::get(cpu, op.reg[1]).low64() as u32;
    F::touch(cpu);
    cpu.set_reg(op.reg[0], value);
    Ok(())
}

/// MOVNTI uses no SIMD register, so nothing has to be enabled for it.
fn store_general(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value: u32 = cpu.reg(op.reg[1]);
    store(cpu, op, value)
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = insn.op0_kind() == OpKind::Memory || insn.op1_kind() == OpKind::Memory;
    let pick = |memory: Handler, register: Handler| Some(if mem { memory } else { register });
    match insn.code() {
        Code::Movaps_xmm_xmmm128 | Code::Movapd_xmm_xmmm128 | Code::Movdqa_xmm_xmmm128 => {
            pick(whole::<Xmm, Mem>, whole::<Xmm, Reg<1>>)
        }
        Code::Movups_xmm_xmmm128 | Code::Movupd_xmm_xmmm128 | Code::Movdqu_xmm_xmmm128 => {
            pick(whole::<Xmm, MemUnaligned>, whole::<Xmm, Reg<1>>)
        }
        Code::Movaps_xmmm128_xmm | Code::Movapd_xmmm128_xmm | Code::Movdqa_xmmm128_xmm => {
            pick(store_whole::<true>, whole::<Xmm, Reg<1>>)
        }
        Code::Movups_xmmm128_xmm | Code::Movupd_xmmm128_xmm | Code::Movdqu_xmmm128_xmm => {
            pick(store_whole::<false>, whole::<Xmm, Reg<1>>)
        }
        Code::Movntps_m128_xmm | Code::Movntpd_m128_xmm | Code::Movntdq_m128_xmm => Some(store_whole::<true>),
        Code::Movq_mm_mmm64 => pick(whole::<Mm, Mem>, whole::<Mm, Reg<1>>),
        Code::Movq_mmm64_mm => pick(store_low::<Mm, u64>, whole::<Mm, Reg<1>>),
        Code::Movntq_m64_mm => Some(store_low::<Mm, u64>),
        Code::Movq_xmm_xmmm64 => pick(load_low::<Xmm, u64>, copy_low::<Xmm, Xmm>),
        Code::Movq_xmmm64_xmm => pick(store_low::<Xmm, u64>, copy_low::<Xmm, Xmm>),
        Code::Movdq2q_mm_xmm => Some(copy_low::<Xmm, Mm>),
        Code::Movq2dq_xmm_mm => Some(copy_low::<Mm, Xmm>),
        Code::Movd_mm_rm32 => pick(load_low::<Mm, u32>, from_general::<Mm>),
        Code::Movd_xmm_rm32 => pick(load_low::<Xmm, u32>, from_general::<Xmm>),
        Code::Movd_rm32_mm => pick(store_low::<Mm, u32>, to_general::<Mm>),
        Code::Movd_rm32_xmm => pick(store_low::<Xmm, u32>, to_general::<Xmm>),
        Code::Movss_xmm_xmmm32 => pick(load_low::<Xmm, u32>, merge_low::<u32>),
        Code::Movsd_xmm_xmmm64 => pick(load_low::<Xmm, u64>, merge_low::<u64>),
        Code::Movss_xmmm32_xmm => pick(store_low::<Xmm, u32>, merge_low::<u32>),
        Code::Movsd_xmmm64_xmm => pick(store_low::<Xmm, u64>, merge_low::<u64>),
        Code::Movlps_xmm_m64 | Code::Movlpd_xmm_m64 => Some(load_half::<0>),
        Code::Movhps_xmm_m64 | Code::Movhpd_xmm_m64 => Some(load_half::<1>),
        Code::Movlps_m64_xmm | Code::Movlpd_m64_xmm => Some(store_half::<0>),
        Code::Movhps_m64_xmm | Code::Movhpd_m64_xmm => Some(store_half::<1>),
        Code::Movhlps_xmm_xmm => Some(copy_half::<0, 1>),
        Code::Movlhps_xmm_xmm => Some(copy_half::<1, 0>),
        Code::Movnti_m32_r32 => Some(store_general),
        _ => None,
    }
}
