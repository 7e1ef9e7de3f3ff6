//! Operands of SIMD instructions, as types: which register file, and register, memory or immediate.
//!
//! Every handler asks [`File::ready`] first: whether the instruction may execute at all comes before any fault of
//! its operands (SDM vol. 3, 13.1 and tables 2-21 ff. of vol. 2).

use super::lanes::Vector;
use crate::Cpu;
use crate::decode::Op;
use crate::fault::Fault;
use crate::regs::{cr0, cr4};
use crate::word::Word;
use std::marker::PhantomData;

/// A register file of packed values.
pub(super) trait File {
    type Vector: Vector;
    /// Whether instructions on these registers may execute.
    ///
    /// # Errors
    /// #UD if the operating system did not enable them, #NM to have their state switched in, #MF.
    fn ready(cpu: &mut Cpu) -> Result<(), Fault>;
    fn get(cpu: &Cpu, n: u8) -> Self::Vector;
    fn set(cpu: &mut Cpu, n: u8, value: Self::Vector);
    /// Note that an instruction used these registers without writing one ([`File::set`] implies it). Call it when
    /// nothing can fault any more.
    fn touch(_: &mut Cpu) {}
    /// The whole memory operand, as ordinary instructions read it: 128-bit operands must be aligned.
    fn load(cpu: &mut Cpu, op: &Op) -> Result<Self::Vector, Fault>;
}

/// XMM0 to XMM7.
pub(super) struct Xmm;

impl File for Xmm {
    type Vector = u128;

    #[inline(always)]
    fn ready(cpu: &mut Cpu) -> Result<(), Fault> {
        if cpu.regs.cr0 & cr0::EM != 0 || cpu.regs.cr4 & cr4::OSFXSR == 0 {
            return Err(Fault::UD);
        }
        if cpu.task_switched() { Err(Fault::NM) } else { Ok(()) }
    }
    #[inline(always)]
    fn get(cpu: &Cpu, n: u8) -> u128 {
        cpu.simd.xmm[n as usize & 7]
    }
    #[inline(always)]
    fn set(cpu: &mut Cpu, n: u8, value: u128) {
        cpu.simd.xmm[n as usize & 7] = value;
    }
    #[inline(always)]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u128, Fault> {
        check_aligned(cpu, op)?;
        load_unaligned(cpu, op)
    }
}

/// A readable vector operand.
pub(super) trait Source<F: File> {
    fn get(cpu: &mut Cpu, op: &Op) -> Result<F::Vector, Fault>;
}

/// Register number `op.reg[N]`.
pub(super) struct Reg<const N: usize>;
/// The memory operand, whole.
pub(super) struct Mem;
/// `W` of memory, zero-extended.
pub(super) struct MemLow<W>(PhantomData<W>);
/// 128 bits of memory at any address.
pub(super) struct MemUnaligned;
/// The immediate, zero-extended.
pub(super) struct Imm;
/// General register number `op.reg[1]`, zero-extended.
pub(super) struct General;

impl<F: File, const N: usize> Source<F> for Reg<N> {
    #[inline(always)]
    fn get(cpu: &mut Cpu, op: &Op) -> Result<F::Vector, Fault> {
        Ok(F::get(cpu, op.reg[N]))
    }
}

impl<F: File> Source<F> for Mem {
    #[inline(always)]
    fn get(cpu: &mut Cpu, op: &Op) -> Result<F::Vector, Fault> {
        F::load(cpu, op)
    }
}

impl<F: File, W: Word> Source<F> for MemLow<W> {
    #[inline(always)]
    fn get(cpu: &mut Cpu, op: &Op) -> Result<F::Vector, Fault> {
        load::<W>(cpu, op).map(|low| F::Vector::from_low64(low.to_u64()))
    }
}

impl Source<Xmm> for MemUnaligned {
    #[inline(always)]
    fn get(cpu: &mut Cpu, op: &Op) -> Result<u128, Fault> {
        load_unaligned(cpu, op)
    }
}

impl<F: File> Source<F> for Imm {
    #[inline(always)]
    fn get(_: &mut Cpu, op: &Op) -> Result<F::Vector, Fault> {
        Ok(F::Vector::from_low64(op.imm as u64))
    }
}

impl<F: File> Source<F> for General {
    #[inline(always)]
    fn get(cpu: &mut Cpu, op: &Op) -> Result<F::Vector, Fault> {
        let value: u32 = cpu.reg(op.reg[1]);
        Ok(F::Vector::from_low64(value as u64))
    }
}

/// A memory operand of ordinary width.
#[inline(always)]
pub(super) fn load<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<W, Fault> {
    let offset = op.ea.offset(cpu);
    cpu.load(op.ea.seg, offset)
}

/// Write a memory operand of ordinary width.
#[inline(always)]
pub(super) fn store<W: Word>(cpu: &mut Cpu, op: &Op, value: W) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, value)
}

fn load_unaligned(cpu: &mut Cpu, op: &Op) -> Result<u128, Fault> {
    let offset = op.ea.offset(cpu);
    cpu.load128(op.ea.seg, offset)
}

/// Write a 128-bit memory operand at any address.
pub(super) fn store_unaligned(cpu: &mut Cpu, op: &Op, value: u128) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.store128(op.ea.seg, offset, value)
}

/// Write a 128-bit memory operand that must be aligned.
pub(super) fn store_aligned(cpu: &mut Cpu, op: &Op, value: u128) -> Result<(), Fault> {
    check_aligned(cpu, op)?;
    store_unaligned(cpu, op, value)
}

/// The sixteen-byte alignment rule: on the linear address, before paging is looked at.
///
/// # Errors
/// #GP(0), through SS too.
#[inline(always)]
fn check_aligned(cpu: &Cpu, op: &Op) -> Result<(), Fault> {
    let base = cpu.regs.seg[op.ea.seg as usize].base;
    if base.wrapping_add(op.ea.offset(cpu)) & 15 != 0 { Err(Fault::GP0) } else { Ok(()) }
}
