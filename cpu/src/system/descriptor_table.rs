//! Descriptor-table registers (SDM vol. 3, 2.4 and 3.5.1): LGDT SGDT LIDT SIDT LLDT SLDT LTR STR.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::interp::operand::{Mem, Reg, Source, has_memory};
use crate::regs::TableRegister;
use crate::seg::{Descriptor, Segment, SystemType, is_null, selector_index_bits};
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// A 16-bit operand size gives a 24-bit base.
fn load_table<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<TableRegister, Fault> {
    cpu.require_cpl0()?;
    let at = op.ea.offset(cpu);
    let limit: u16 = cpu.load(op.ea.seg, at)?;
    let base: u32 = cpu.load(op.ea.seg, at.wrapping_add(2) & op.ea.mask)?;
    Ok(TableRegister { base: if W::BITS == 16 { base & 0xFF_FFFF } else { base }, limit })
}

/// Both operand sizes store the whole base.
fn store_table(cpu: &mut Cpu, op: &Op, table: TableRegister) -> Result<(), Fault> {
    let at = op.ea.offset(cpu);
    let base_at = at.wrapping_add(2) & op.ea.mask;
    cpu.probe_write::<u32>(op.ea.seg, base_at)?;
    cpu.store(op.ea.seg, at, table.limit)?;
    cpu.store(op.ea.seg, base_at, table.base)
}

fn lgdt<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.regs.gdtr = load_table::<W>(cpu, op)?;
    Ok(())
}
fn lidt<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.regs.idtr = load_table::<W>(cpu, op)?;
    Ok(())
}
fn sgdt(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    store_table(cpu, op, cpu.regs.gdtr)
}
fn sidt(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    store_table(cpu, op, cpu.regs.idtr)
}

/// These do not exist in real and virtual-8086 mode.
fn require_protected(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.regs.protected() { Ok(()) } else { Err(Fault::UD) }
}

fn lldt<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    cpu.require_cpl0()?;
    let selector = S::get::<u16>(cpu, op)?;
    if is_null(selector) {
        cpu.regs.ldtr = Segment::null(selector);
        return Ok(());
    }
    let code = selector_index_bits(selector);
    if selector & 4 != 0 {
        return Err(Fault::gp(code));
    }
    let found = cpu.find_descriptor(selector, Fault::gp)?;
    if found.d.is_segment() || found.d.system_type() != SystemType::Ldt {
        return Err(Fault::gp(code));
    }
    if !found.d.present() {
        return Err(Fault::np(code));
    }
    cpu.regs.ldtr = Segment::from_descriptor(selector, found.d);
    Ok(())
}

fn ltr<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    cpu.require_cpl0()?;
    let selector = S::get::<u16>(cpu, op)?;
    let code = selector_index_bits(selector);
    if is_null(selector) || selector & 4 != 0 {
        return Err(Fault::gp(code));
    }
    let found = cpu.find_descriptor(selector, Fault::gp)?;
    match found.d.system_type() {
        SystemType::Tss16 { busy: false } | SystemType::Tss32 { busy: false } if !found.d.is_segment() => {}
        _ => return Err(Fault::gp(code)),
    }
    if !found.d.present() {
        return Err(Fault::np(code));
    }
    let hi = found.d.hi | 0x200;
    cpu.store_system(found.at.wrapping_add(4), hi)?;
    cpu.regs.tr = Segment::from_descriptor(selector, Descriptor { hi, ..found.d });
    Ok(())
}

fn store_selector<W: Word, const TASK: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = if TASK { cpu.regs.tr.selector } else { cpu.regs.ldtr.selector };
    cpu.set_reg(op.reg[0], W::from_u32(selector as u32));
    Ok(())
}

fn store_selector_mem<const TASK: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = if TASK { cpu.regs.tr.selector } else { cpu.regs.ldtr.selector };
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, selector)
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    Some(match insn.code() {
        Lgdt_m1632_16 => lgdt::<u16>,
        Lgdt_m1632 => lgdt::<u32>,
        Lidt_m1632_16 => lidt::<u16>,
        Lidt_m1632 => lidt::<u32>,
        Sgdt_m1632_16 | Sgdt_m1632 => sgdt,
        Sidt_m1632_16 | Sidt_m1632 => sidt,
        Lldt_rm16 | Lldt_r32m16 => {
            if mem {
                lldt::<Mem>
            } else {
                lldt::<Reg<0>>
            }
        }
        Ltr_rm16 | Ltr_r32m16 => {
            if mem {
                ltr::<Mem>
            } else {
                ltr::<Reg<0>>
            }
        }
        Sldt_rm16 | Sldt_r32m16 if mem => store_selector_mem::<false>,
        Sldt_rm16 => store_selector::<u16, false>,
        Sldt_r32m16 => store_selector::<u32, false>,
        Str_rm16 | Str_r32m16 if mem => store_selector_mem::<true>,
        Str_rm16 => store_selector::<u16, true>,
        Str_r32m16 => store_selector::<u32, true>,
        _ => return None,
    })
}
