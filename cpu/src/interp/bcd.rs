//! Decimal arithmetic: DAA DAS AAA AAS AAM AAD (SDM vol. 1, 5.1.3; vol. 2 for the algorithms).

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::gpr::EAX;
use iced_x86::{Code, Instruction};

const AL: u8 = 0;
const AH: u8 = 4;

/// DAA and DAS: correct AL after adding or subtracting packed digits.
fn decimal_adjust<const SUBTRACT: bool>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let old: u8 = cpu.reg(AL);
    let (old_cf, old_af) = (cpu.regs.flags.cf(), cpu.regs.flags.af());
    let low = old & 0xF > 9 || old_af;
    let high = old > 0x99 || old_cf;
    let by = if low { 6 } else { 0 } + if high { 0x60 } else { 0 };
    let al = if SUBTRACT { old.wrapping_sub(by) } else { old.wrapping_add(by) };
    // A borrow or carry out of the low correction counts too.
    let out = low && if SUBTRACT { old < 6 } else { old > 0xF9 };
    cpu.set_reg(AL, al);
    cpu.regs.flags.set_szp(al);
    cpu.regs.flags.set_cf_of(high || old_cf || out, false);
    cpu.regs.flags.set_af(low);
    Ok(())
}

/// AAA and AAS: correct AX after adding or subtracting unpacked digits.
fn ascii_adjust<const SUBTRACT: bool>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let adjust = cpu.reg::<u8>(AL) & 0xF > 9 || cpu.regs.flags.af();
    if adjust {
        let ax: u16 = cpu.reg(EAX as u8);
        let ax = if SUBTRACT { ax.wrapping_sub(0x106) } else { ax.wrapping_add(0x106) };
        cpu.set_reg(EAX as u8, ax);
    }
    let al = cpu.reg::<u8>(AL) & 0xF;
    cpu.set_reg(AL, al);
    cpu.regs.flags.set_szp(al);
    cpu.regs.flags.set_cf_of(adjust, false);
    cpu.regs.flags.set_af(adjust);
    Ok(())
}

fn aam(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let al: u8 = cpu.reg(AL);
    let base = op.imm as u8;
    let quotient = al.checked_div(base).ok_or(Fault::DE)?;
    let remainder = al % base;
    cpu.set_reg(AH, quotient);
    cpu.set_reg(AL, remainder);
    cpu.regs.flags.set_logic(remainder);
    Ok(())
}

fn aad(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let al = cpu.reg::<u8>(AL).wrapping_add(cpu.reg::<u8>(AH).wrapping_mul(op.imm as u8));
    cpu.set_reg(EAX as u8, al as u16);
    cpu.regs.flags.set_logic(al);
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Daa => decimal_adjust::<false>,
        Code::Das => decimal_adjust::<true>,
        Code::Aaa => ascii_adjust::<false>,
        Code::Aas => ascii_adjust::<true>,
        Code::Aam_imm8 => aam,
        Code::Aad_imm8 => aad,
        _ => return None,
    })
}
