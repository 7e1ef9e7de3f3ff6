//! MOV to and from debug registers (SDM vol. 3, 17.2): aliasing, general detect, fixed bits.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::cr4;
use iced_x86::{Code, Instruction};

const DR6_FIXED: u32 = 0xFFFF_0FF0;
const DR6_BD: u32 = 1 << 13;
/// DR7.GD: every access to a debug register is #DB, until a handler of #DB runs.
pub(super) const DR7_GD: u32 = 1 << 13;

/// DR4 and DR5 are DR6 and DR7, or with CR4.DE not there. General detect comes before everything but privilege.
fn select(cpu: &mut Cpu, n: u8) -> Result<u8, Fault> {
    if matches!(n, 4 | 5) && cpu.regs.cr4 & cr4::DE != 0 {
        return Err(Fault::UD);
    }
    cpu.require_cpl0()?;
    if cpu.regs.dr7 & DR7_GD != 0 {
        cpu.regs.dr6 |= DR6_BD;
        return Err(Fault::DB);
    }
    Ok(if matches!(n, 4 | 5) { n + 2 } else { n })
}

fn mov_to_dr(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let n = select(cpu, op.reg[0])?;
    let value = cpu.reg::<u32>(op.reg[1]);
    match n {
        6 => cpu.regs.dr6 = value & 0xE00F | DR6_FIXED,
        7 => cpu.regs.dr7 = value & 0xFFFF_2FFF | 0x400,
        _ => cpu.regs.dr[n as usize & 3] = value,
    }
    cpu.tlb.drop_fast();
    cpu.attention = true;
    Ok(())
}

fn mov_from_dr(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let n = select(cpu, op.reg[1])?;
    let value = match n {
        6 => cpu.regs.dr6,
        7 => cpu.regs.dr7,
        _ => cpu.regs.dr[n as usize & 3],
    };
    cpu.set_reg(op.reg[0], value);
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Mov_dr_r32 => mov_to_dr,
        Code::Mov_r32_dr => mov_from_dr,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::testing::{CODE, handler, in_ring, stack};

    /// mov eax, dr0 with general detect: a fault; GD is clear in the handler.
    #[test]
    fn general_detect_is_a_fault_before_the_access() {
        let mut cpu = in_ring(0, &[0x0F, 0x21, 0xC0]);
        cpu.regs.dr7 |= DR7_GD;
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!(cpu.regs.eip, handler(1) + 1);
        assert_eq!(stack(&mut cpu), [CODE]);
        assert_eq!((cpu.regs.dr6 & DR6_BD, cpu.regs.dr7 & DR7_GD), (DR6_BD, 0));
    }

    /// inc eax with TF set: the handler of any #DB may use the debug registers.
    #[test]
    fn every_debug_exception_ends_general_detect() {
        let mut cpu = in_ring(0, &[0x40]);
        cpu.regs.dr7 |= DR7_GD;
        cpu.regs.flags.set(crate::flags::TF);
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!((cpu.regs.eip, cpu.regs.dr7 & DR7_GD), (handler(1) + 1, 0));
    }

    #[test]
    fn dr4_and_dr5_are_aliases_until_cr4_de() {
        let read_dr5 = [0x0F, 0x21, 0xE8];
        let mut cpu = in_ring(0, &[]);
        assert_eq!(crate::testing::execute(&mut cpu, &read_dr5), Ok(()));
        assert_eq!(cpu.regs.gpr[0], cpu.regs.dr7);
        cpu.regs.cr4 |= cr4::DE;
        assert_eq!(crate::testing::execute(&mut cpu, &read_dr5), Err(Fault::UD));
    }
}
