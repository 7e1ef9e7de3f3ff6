//! Flag instructions that anybody may execute: CLC STC CMC CLD STD (SDM vol. 1, 5.1.10).

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

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Clc => clc,
        Code::Stc => stc,
        Code::Cmc => cmc,
        Code::Cld => cld,
        Code::Std => std,
        _ => return None,
    })
}
