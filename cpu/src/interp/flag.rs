//! Flag instructions that anybody may execute: CLC STC CMC CLD STD (SDM vol. 1, 5.1.10), and memory ordering
//! instructions, which have nothing to order on one processor.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::flags::DF;
use iced_x86::{Code, Instruction};

fn clc(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.regs.flags.set_cf(false);
    Ok(())
}

fn stc(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.regs.flags.set_cf(true);
    Ok(())
}

fn cmc(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let cf = cpu.regs.flags.cf();
    cpu.regs.flags.set_cf(!cf);
    Ok(())
}

fn cld(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.regs.flags.put(DF, false);
    Ok(())
}

fn std(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.regs.flags.put(DF, true);
    Ok(())
}

fn fence(_: &mut Cpu, _: &Op) -> Result<(), Fault> {
    Ok(())
}

/// CLFLUSH is checked like a byte load.
fn clflush(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.load::<u8>(op.ea.seg, offset).map(drop)
}

fn movnti(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    let value = cpu.reg::<u32>(op.reg[1]);
    cpu.store(op.ea.seg, offset, value)
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Clc => clc,
        Code::Stc => stc,
        Code::Cmc => cmc,
        Code::Cld => cld,
        Code::Std => std,
        Code::Lfence | Code::Mfence | Code::Sfence => fence,
        Code::Clflush_m8 => clflush,
        Code::Movnti_m32_r32 => movnti,
        _ => return None,
    })
}
