//! XADD, CMPXCHG, CMPXCHG8B (SDM vol. 1, 5.1.1). The memory forms always write, even when the comparison fails.

use super::operand::{Mem, Place, Reg, has_memory};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::gpr::{EAX, EBX, ECX, EDX};
use crate::word::Word;
use iced_x86::{Code, Instruction};

fn xadd<W: Word, D: Place>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let b = cpu.reg::<W>(op.reg[1]);
    let mut old = W::default();
    D::modify::<W>(cpu, op, |cpu, a| {
        old = a;
        let sum = W::from_u32(a.to_u32().wrapping_add(b.to_u32()));
        cpu.regs.flags.set_add(a, b, sum);
        sum
    })?;
    // XADD r, r with twice the same register leaves the sum.
    if D::IN_MEMORY || op.reg[0] != op.reg[1] {
        cpu.set_reg(op.reg[1], old);
    }
    Ok(())
}

fn cmpxchg<W: Word, D: Place>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let expected = cpu.reg::<W>(EAX as u8);
    let new = cpu.reg::<W>(op.reg[1]);
    let mut found = expected;
    D::modify::<W>(cpu, op, |cpu, old| {
        found = old;
        let difference = W::from_u32(expected.to_u32().wrapping_sub(old.to_u32()));
        cpu.regs.flags.set_sub(expected, old, difference);
        if old == expected { new } else { old }
    })?;
    if found != expected {
        cpu.set_reg(EAX as u8, found);
    }
    Ok(())
}

fn cmpxchg8b(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let pair =
        |high: usize, low: usize, cpu: &Cpu| (cpu.regs.gpr[high] as u64) << 32 | cpu.regs.gpr[low] as u64;
    let expected = pair(EDX, EAX, cpu);
    let new = pair(ECX, EBX, cpu);
    let mut found = expected;
    Mem::modify::<u64>(cpu, op, |cpu, old| {
        found = old;
        cpu.regs.flags.set_zf(old == expected);
        if old == expected { new } else { old }
    })?;
    if found != expected {
        cpu.regs.gpr[EAX] = found as u32;
        cpu.regs.gpr[EDX] = (found >> 32) as u32;
    }
    Ok(())
}

fn xadd_of<W: Word>(mem: bool) -> Handler {
    if mem { xadd::<W, Mem> } else { xadd::<W, Reg<0>> }
}

fn cmpxchg_of<W: Word>(mem: bool) -> Handler {
    if mem { cmpxchg::<W, Mem> } else { cmpxchg::<W, Reg<0>> }
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = has_memory(insn);
    Some(match insn.code() {
        Code::Xadd_rm8_r8 => xadd_of::<u8>(mem),
        Code::Xadd_rm16_r16 => xadd_of::<u16>(mem),
        Code::Xadd_rm32_r32 => xadd_of::<u32>(mem),
        Code::Cmpxchg_rm8_r8 => cmpxchg_of::<u8>(mem),
        Code::Cmpxchg_rm16_r16 => cmpxchg_of::<u16>(mem),
        Code::Cmpxchg_rm32_r32 => cmpxchg_of::<u32>(mem),
        Code::Cmpxchg8b_m64 => cmpxchg8b,
        _ => return None,
    })
}
