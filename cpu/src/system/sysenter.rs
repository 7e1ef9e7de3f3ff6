//! SYSENTER and SYSEXIT (SDM vol. 3, 5.8.7): flat segments derived from one MSR, no memory access.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::event::Cause;
use crate::fault::Fault;
use crate::flags;
use crate::regs::gpr::{ECX, EDX, ESP};
use crate::seg::{SegReg, Segment};
use iced_x86::{Code, Instruction};

const FLAT_CODE: u32 = 0x00C0_9B00;
const FLAT_DATA: u32 = 0x00C0_9300;

fn flat(selector: u16, attr: u32, dpl: u8) -> Segment {
    Segment::new(selector & !3 | dpl as u16, 0, u32::MAX, attr | (dpl as u32) << 13)
}

fn enter_flat(cpu: &mut Cpu, code: u16, stack: u16, cpl: u8) {
    cpu.regs.seg[SegReg::Cs as usize] = flat(code, FLAT_CODE, cpl);
    cpu.regs.seg[SegReg::Ss as usize] = flat(stack, FLAT_DATA, cpl);
    cpu.set_cpl(cpl);
}

fn base_selector(cpu: &Cpu) -> Result<u16, Fault> {
    let selector = cpu.regs.msr.sysenter_cs as u16;
    if cpu.regs.cr0 & crate::regs::cr0::PE == 0 || selector & !3 == 0 {
        Err(Fault::GP0)
    } else {
        Ok(selector)
    }
}

fn sysenter(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let cs = base_selector(cpu)?;
    cpu.with_transfer_event(Cause::Sysenter, |cpu| {
        cpu.regs.flags.put(flags::VM | flags::IF | flags::RF, false);
        enter_flat(cpu, cs, cs.wrapping_add(8), 0);
        cpu.regs.gpr[ESP] = cpu.regs.msr.sysenter_esp;
        cpu.next_eip = cpu.regs.msr.sysenter_eip;
    });
    Ok(())
}

fn sysexit(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let cs = base_selector(cpu)?;
    cpu.require_cpl0()?;
    cpu.with_transfer_event(Cause::Sysexit, |cpu| {
        enter_flat(cpu, cs.wrapping_add(16), cs.wrapping_add(24), 3);
        cpu.regs.gpr[ESP] = cpu.regs.gpr[ECX];
        cpu.next_eip = cpu.regs.gpr[EDX];
    });
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Sysenter => sysenter,
        Code::Sysexitd => sysexit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::testing::{CODE, execute, in_ring};

    /// sysenter in ring 3, sysexit back.
    #[test]
    fn there_and_back() {
        let mut cpu = in_ring(3, &[0x0F, 0x34, 0x0F, 0x35]);
        (cpu.regs.msr.sysenter_cs, cpu.regs.msr.sysenter_esp) = (8, 0x7000);
        cpu.regs.msr.sysenter_eip = CODE + 2;
        (cpu.regs.gpr[ECX], cpu.regs.gpr[EDX]) = (0x6000, CODE);
        assert_eq!(cpu.run(1), Exit::Limit);
        assert_eq!((cpu.regs.cpl, cpu.regs.eip, cpu.regs.gpr[ESP]), (0, CODE + 2, 0x7000));
        assert_eq!((cpu.regs.cs().selector, cpu.regs.ss().selector), (8, 16));
        assert_eq!(cpu.run(2), Exit::Limit);
        assert_eq!((cpu.regs.cpl, cpu.regs.eip, cpu.regs.gpr[ESP]), (3, CODE, 0x6000));
        assert_eq!((cpu.regs.cs().selector, cpu.regs.ss().selector), (8 + 16 + 3, 8 + 24 + 3));
    }

    #[test]
    fn a_null_selector_disables_it() {
        assert_eq!(execute(&mut in_ring(3, &[]), &[0x0F, 0x34]), Err(Fault::GP0));
    }
}
