//! EFLAGS as a whole and the interrupt flag: PUSHF POPF CLI STI (SDM vol. 3, 6.8.1 and 2.3).

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::flags;
use crate::mutant::Mutant;
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// Virtual-8086 mode needs IOPL 3. RF and VM are pushed as zero.
fn pushf<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    if cpu.regs.v86() && cpu.regs.flags.iopl() < 3 {
        return Err(Fault::GP0);
    }
    let value = cpu.regs.flags.get() & !(flags::RF | flags::VM);
    cpu.push(W::from_u32(value))
}

/// What may not be changed is silently kept.
fn popf<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    if cpu.regs.v86() && cpu.regs.flags.iopl() < 3 {
        return Err(Fault::GP0);
    }
    let value = cpu.peek::<W>(0)?.to_u32();
    cpu.drop_stack(W::BYTES);
    let mask = cpu.writable_flags::<W>(cpu.regs.cpl);
    cpu.load_flags(value, mask);
    Ok(())
}

fn require_iopl(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.regs.cpl <= cpu.regs.flags.iopl() || cpu.mutated(Mutant::IoplIgnored) {
        Ok(())
    } else {
        Err(Fault::GP0)
    }
}

fn cli(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    require_iopl(cpu)?;
    cpu.regs.flags.put(flags::IF, false);
    Ok(())
}

/// Interrupts stay off for one more instruction if they were off.
fn sti(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    require_iopl(cpu)?;
    if !cpu.regs.flags.has(flags::IF) {
        cpu.regs.flags.put(flags::IF, true);
        cpu.regs.sti_shadow = cpu.insns + 1;
        cpu.attention = true;
    }
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Pushfw => pushf::<u16>,
        Code::Pushfd => pushf::<u32>,
        Code::Popfw => popf::<u16>,
        Code::Popfd => popf::<u32>,
        Code::Cli => cli,
        Code::Sti => sti,
        _ => return None,
    })
}
