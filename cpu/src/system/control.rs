//! Processor control: HLT, INVLPG, INVD, WBINVD (SDM vol. 3, 2.8).

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::Activity;
use iced_x86::{Code, Instruction};

fn hlt(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()?;
    cpu.regs.activity = Activity::Halted;
    cpu.attention = true;
    Ok(())
}

/// The operand is an address, not an access: no segment check, no fault.
fn invlpg(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()?;
    let linear = cpu.regs.seg[op.ea.seg as usize].base.wrapping_add(op.ea.offset(cpu));
    let large = cpu.large_page_size();
    cpu.tlb.invalidate_page(linear, large);
    let here = cpu.regs.cs().base.wrapping_add(cpu.regs.eip);
    if !cpu.tlb.lookup(here).is_valid() {
        // The code itself: the next instruction is fetched through a new walk.
        cpu.attention = true;
    }
    Ok(())
}

/// Caches are not modelled.
fn cache_control(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Hlt => hlt,
        Code::Invlpg_m => invlpg,
        Code::Invd | Code::Wbinvd => cache_control,
        _ => return None,
    })
}
