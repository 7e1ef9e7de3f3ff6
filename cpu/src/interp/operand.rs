//! Where an operand lives, as types: a handler written once for [`Place`] serves registers and memory.

use crate::Cpu;
use crate::decode::Op;
use crate::fault::Fault;
use crate::word::Word;
use iced_x86::{Instruction, OpKind};

/// A readable operand.
pub(crate) trait Source {
    fn get<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<W, Fault>;
}

/// A readable and writable operand.
pub(crate) trait Place: Source {
    /// The operand is in memory.
    const IN_MEMORY: bool;

    fn set<W: Word>(cpu: &mut Cpu, op: &Op, value: W) -> Result<(), Fault>;

    /// Read, compute, write back. `f` runs only when neither half can fault any more, so it may change flags.
    fn modify<W: Word>(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Cpu, W) -> W) -> Result<(), Fault>;
}

/// General register number `op.reg[N]`.
pub(crate) struct Reg<const N: usize>;
/// The memory operand.
pub(crate) struct Mem;
/// The first immediate.
pub(crate) struct Imm;
/// CL, as a shift count.
pub(crate) struct Cl;

impl<const N: usize> Source for Reg<N> {
    #[inline(always)]
    fn get<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<W, Fault> {
        Ok(cpu.reg(op.reg[N]))
    }
}

impl<const N: usize> Place for Reg<N> {
    const IN_MEMORY: bool = false;

    #[inline(always)]
    fn set<W: Word>(cpu: &mut Cpu, op: &Op, value: W) -> Result<(), Fault> {
        cpu.set_reg(op.reg[N], value);
        Ok(())
    }
    #[inline(always)]
    fn modify<W: Word>(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Cpu, W) -> W) -> Result<(), Fault> {
        let old = cpu.reg(op.reg[N]);
        let new = f(cpu, old);
        cpu.set_reg(op.reg[N], new);
        Ok(())
    }
}

impl Source for Mem {
    #[inline(always)]
    fn get<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<W, Fault> {
        let offset = op.ea.offset(cpu);
        cpu.load(op.ea.seg, offset)
    }
}

impl Place for Mem {
    const IN_MEMORY: bool = true;

    #[inline(always)]
    fn set<W: Word>(cpu: &mut Cpu, op: &Op, value: W) -> Result<(), Fault> {
        let offset = op.ea.offset(cpu);
        cpu.store(op.ea.seg, offset, value)
    }
    #[inline(always)]
    fn modify<W: Word>(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Cpu, W) -> W) -> Result<(), Fault> {
        let offset = op.ea.offset(cpu);
        let (old, place) = cpu.load_to_modify(op.ea.seg, offset)?;
        let new = f(cpu, old);
        cpu.commit(place, new)
    }
}

impl Source for Imm {
    #[inline(always)]
    fn get<W: Word>(_: &mut Cpu, op: &Op) -> Result<W, Fault> {
        Ok(W::from_u32(op.imm))
    }
}

impl Source for Cl {
    #[inline(always)]
    fn get<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<W, Fault> {
        Ok(W::from_u32(cpu.regs.gpr[crate::regs::gpr::ECX] & 0xFF))
    }
}

/// Whether the instruction has an explicit memory operand.
pub(crate) fn has_memory(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory)
}
