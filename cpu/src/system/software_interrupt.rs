//! INT n, INT3, INTO, INT1, BOUND, UD (SDM vol. 3, 6.4).

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::{Fault, vector};
use crate::word::Word;
use iced_x86::{Code, Instruction};

fn finish(cpu: &mut Cpu) {
    // Delivery moved EIP already; the run loop takes it from here.
    cpu.next_eip = cpu.regs.eip;
}

/// In virtual-8086 mode INT n (not INT3 or INTO) needs IOPL 3.
fn int(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    if cpu.regs.v86() && cpu.regs.flags.iopl() < 3 {
        return Err(Fault::GP0);
    }
    cpu.software_interrupt(op.imm as u8, true)?;
    finish(cpu);
    Ok(())
}

fn int3(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.software_interrupt(vector::BP, true)?;
    finish(cpu);
    Ok(())
}

fn int1(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.software_interrupt(vector::DB, false)?;
    finish(cpu);
    Ok(())
}

fn into(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    if cpu.regs.flags.of() {
        cpu.software_interrupt(vector::OF, true)?;
        finish(cpu);
    }
    Ok(())
}

/// Signed index against two signed bounds in memory.
fn bound<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let signed = |v: W| v.sign_extend() as i32;
    let at = op.ea.offset(cpu);
    let lower: W = cpu.load(op.ea.seg, at)?;
    let upper: W = cpu.load(op.ea.seg, at.wrapping_add(W::BYTES) & op.ea.mask)?;
    let index = signed(cpu.reg::<W>(op.reg[0]));
    if index < signed(lower) || index > signed(upper) { Err(Fault::BR) } else { Ok(()) }
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Int_imm8 => int,
        Code::Int3 => int3,
        Code::Int1 => int1,
        Code::Into => into,
        Code::Bound_r16_m1616 => bound::<u16>,
        Code::Bound_r32_m3232 => bound::<u32>,
        _ => return None,
    })
}
