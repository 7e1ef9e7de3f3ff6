//! Rearranging lanes under control of an immediate, single lanes to and from general registers, and masks of sign
//! bits (SDM vol. 1, 10.4.2, 11.4.1.3, 11.4.2).

use super::lanes::{Lane, Vector, build, lane, signs, with_lane};
use super::mmx::Mm;
use super::operand::{File, Mem, Reg, Source, Xmm, load};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use iced_x86::{Code, Instruction, OpKind};

/// The two-bit selector number `i` of an immediate.
fn selector(imm: u32, i: usize) -> usize {
    (imm >> (2 * i)) as usize & 3
}

/// `destination = f(destination, source, immediate)`.
trait Shuffle<V: Vector> {
    fn apply(a: V, b: V, imm: u32) -> V;
}

fn shuffle<O: Shuffle<F::Vector>, F: File, S: Source<F>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let b = S::get(cpu, op)?;
    let a = F::get(cpu, op.reg[0]);
    F::set(cpu, op.reg[0], O::apply(a, b, op.imm));
    Ok(())
}

fn handler<O: Shuffle<F::Vector>, F: File>(insn: &Instruction) -> Handler {
    match insn.op1_kind() {
        OpKind::Memory => shuffle::<O, F, Mem>,
        _ => shuffle::<O, F, Reg<1>>,
    }
}

macro_rules! shuffles {
    ($($name:ident $vector:ty: |$a:pat_param, $b:pat_param, $imm:ident| $body:expr;)*) => {$(
        struct $name;
        impl Shuffle<$vector> for $name {
            #[inline(always)]
            fn apply($a: $vector, $b: $vector, $imm: u32) -> $vector { $body }
        }
    )*};
}

shuffles! {
    Pshufw u64: |_, b, imm| build(|i| lane::<u64, u16>(b, selector(imm, i)));
    Pshufd u128: |_, b, imm| build(|i| lane::<u128, u32>(b, selector(imm, i)));
    Pshuflw u128: |_, b, imm| build(|i| lane::<u128, u16>(b, if i < 4 { selector(imm, i) } else { i }));
    Pshufhw u128: |_, b, imm| build(|i| lane::<u128, u16>(b, if i < 4 { i } else { 4 + selector(imm, i - 4) }));
    Shufps u128: |a, b, imm| build(|i| lane::<u128, u32>(if i < 2 { a } else { b }, selector(imm, i)));
    Shufpd u128: |a, b, imm| build(|i| lane::<u128, u64>(if i == 0 { a } else { b }, (imm >> i) as usize & 1));
}

/// PINSRW.
fn insert_word<F: File, const MEM: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let word: u16 = if MEM { load(cpu, op)? } else { cpu.reg(op.reg[1]) };
    let value = with_lane(F::get(cpu, op.reg[0]), op.imm as usize, word);
    F::set(cpu, op.reg[0], value);
    Ok(())
}

/// A number computed from a register, to a general register.
fn to_general<F: File>(cpu: &mut Cpu, op: &Op, f: impl FnOnce(F::Vector) -> u32) -> Result<(), Fault> {
    F::ready(cpu)?;
    let value = f(F::get(cpu, op.reg[1]));
    F::touch(cpu);
    cpu.set_reg(op.reg[0], value);
    Ok(())
}

/// PEXTRW.
fn extract_word<F: File>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    to_general::<F>(cpu, op, |v| lane::<_, u16>(v, op.imm as usize) as u32)
}

/// PMOVMSKB, MOVMSKPS, MOVMSKPD.
fn move_signs<F: File, L: Lane>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    to_general::<F>(cpu, op, signs::<F::Vector, L>)
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = insn.op1_kind() == OpKind::Memory;
    Some(match insn.code() {
        Code::Pshufw_mm_mmm64_imm8 => handler::<Pshufw, Mm>(insn),
        Code::Pshufd_xmm_xmmm128_imm8 => handler::<Pshufd, Xmm>(insn),
        Code::Pshuflw_xmm_xmmm128_imm8 => handler::<Pshuflw, Xmm>(insn),
        Code::Pshufhw_xmm_xmmm128_imm8 => handler::<Pshufhw, Xmm>(insn),
        Code::Shufps_xmm_xmmm128_imm8 => handler::<Shufps, Xmm>(insn),
        Code::Shufpd_xmm_xmmm128_imm8 => handler::<Shufpd, Xmm>(insn),
        Code::Pinsrw_mm_r32m16_imm8 if mem => insert_word::<Mm, true>,
        Code::Pinsrw_mm_r32m16_imm8 => insert_word::<Mm, false>,
        Code::Pinsrw_xmm_r32m16_imm8 if mem => insert_word::<Xmm, true>,
        Code::Pinsrw_xmm_r32m16_imm8 => insert_word::<Xmm, false>,
        Code::Pextrw_r32_mm_imm8 => extract_word::<Mm>,
        Code::Pextrw_r32_xmm_imm8 => extract_word::<Xmm>,
        Code::Pmovmskb_r32_mm => move_signs::<Mm, u8>,
        Code::Pmovmskb_r32_xmm => move_signs::<Xmm, u8>,
        Code::Movmskps_r32_xmm => move_signs::<Xmm, u32>,
        Code::Movmskpd_r32_xmm => move_signs::<Xmm, u64>,
        _ => return None,
    })
}
