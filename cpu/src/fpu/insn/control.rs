//! Control words, exception flags and the stack itself (SDM vol. 1, 8.3.11, 8.3.12).
//!
//! Control instructions leave the pointers to the last instruction alone. The FN forms do not wait.

use super::super::state::status::{B, C1, ES, FLAGS, SF};
use super::{available, index, ready};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::{cr0, gpr};
use iced_x86::{Code, Instruction};

fn fninit(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    available(cpu)?;
    cpu.fpu.initialize();
    cpu.update_float_error();
    Ok(())
}

fn fnclex(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    available(cpu)?;
    cpu.fpu.status &= !(FLAGS | SF | ES | B);
    cpu.update_float_error();
    Ok(())
}

fn fldcw(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let offset = op.ea.offset(cpu);
    let value = cpu.load(op.ea.seg, offset)?;
    cpu.fpu.set_control(value);
    cpu.update_float_error();
    Ok(())
}

fn fnstcw(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    available(cpu)?;
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, cpu.fpu.control)
}

fn fnstsw(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    available(cpu)?;
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, cpu.fpu.status)
}

fn fnstsw_ax(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    available(cpu)?;
    cpu.set_reg(gpr::EAX as u8, cpu.fpu.status);
    Ok(())
}

/// FINCSTP (`BY` = 1) and FDECSTP (7): tags stay with their registers.
fn rotate<const BY: usize>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    cpu.fpu.rotate(BY);
    cpu.fpu.status &= !C1;
    Ok(())
}

fn ffree(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    cpu.fpu.free(index(op));
    cpu.fpu.status &= !C1;
    Ok(())
}

/// FFREEP, documented by AMD: FFREE and a pop.
fn ffreep(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ffree(cpu, op)?;
    cpu.fpu.pop();
    Ok(())
}

fn fnop(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    ready(cpu)
}

/// FNENI, FNDISI and FNSETPM meant something to the 8087 and the 80287.
fn obsolete(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    available(cpu)
}

/// WAIT. It obeys CR0.TS only together with CR0.MP, and never CR0.EM.
fn wait(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    if cpu.regs.cr0 & cr0::MP != 0 && cpu.task_switched() {
        return Err(Fault::NM);
    }
    cpu.wait_for_float_error()
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Fninit => fninit,
        Code::Fnclex => fnclex,
        Code::Fldcw_m2byte => fldcw,
        Code::Fnstcw_m2byte => fnstcw,
        Code::Fnstsw_m2byte => fnstsw,
        Code::Fnstsw_AX => fnstsw_ax,
        Code::Fincstp => rotate::<1>,
        Code::Fdecstp => rotate::<7>,
        Code::Ffree_sti => ffree,
        Code::Ffreep_sti => ffreep,
        Code::Fnop => fnop,
        Code::Fneni | Code::Fndisi | Code::Fnsetpm => obsolete,
        Code::Wait => wait,
        _ => return None,
    })
}
