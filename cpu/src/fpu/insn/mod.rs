//! The x87 instructions (SDM vol. 1, 5.2, 8.3; vol. 2), one family a file.
//!
//! Order: whether the instruction may execute ([`ready`]), its memory operand, then the operation. A load that faults
//! changes nothing; a store is made before flags and registers change, so that neither does one that faults.

mod arithmetic;
mod compare;
mod context;
mod control;
mod function;
mod operand;
mod transfer;

use super::{Fpu, Pointers};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::cr0;
use crate::seg::SegReg;
use iced_x86::Instruction;

/// The families, in the order they are asked.
const FAMILIES: &[fn(&Instruction) -> Option<Handler>] =
    &[arithmetic::bind, transfer::bind, compare::bind, function::bind, control::bind, context::bind];

/// The handler for `insn`, if it is an x87 instruction.
pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    FAMILIES.iter().find_map(|family| family(insn))
}

/// Whether x87 instructions may execute.
///
/// # Errors
/// #NM if there is no x87 to see, or its state must be switched in first.
fn available(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.regs.cr0 & cr0::EM != 0 || cpu.task_switched() { Err(Fault::NM) } else { Ok(()) }
}

/// Whether an instruction that waits for exceptions may execute.
///
/// # Errors
/// As [`available`]; #MF.
fn ready(cpu: &Cpu) -> Result<(), Fault> {
    available(cpu)?;
    cpu.wait_for_float_error()
}

impl Cpu {
    /// What a waiting instruction does first. With CR0.NE clear the #MF becomes a frozen processor when it is raised;
    /// there IGNNE# lets instructions pass.
    ///
    /// # Errors
    /// #MF.
    #[inline(always)]
    pub(crate) fn wait_for_float_error(&self) -> Result<(), Fault> {
        if self.fpu.error_pending() { self.float_error_stands() } else { Ok(()) }
    }

    #[cold]
    fn float_error_stands(&self) -> Result<(), Fault> {
        if self.regs.cr0 & cr0::NE == 0 && self.lines.ignore_float_error { Ok(()) } else { Err(Fault::MF) }
    }

    /// After an instruction that may have settled the error: FERR# follows the status word, and IGNNE# follows FERR#.
    fn update_float_error(&mut self) {
        if !self.fpu.error_pending() {
            self.lines.float_error = false;
            self.lines.ignore_float_error = false;
        }
    }
}

/// Execute an instruction that can no longer fault, and remember where it was.
fn execute(cpu: &mut Cpu, op: &Op, f: impl FnOnce(&mut Fpu)) -> Result<(), Fault> {
    let memory = op.ea.offset(cpu);
    let selector = |seg: SegReg| cpu.regs.seg[seg as usize].selector;
    let last = cpu.fpu.pointers;
    // The operand of the last instruction that had one stays.
    let (data, data_segment) =
        if has_memory(op) { (memory, selector(op.ea.seg)) } else { (last.data, last.data_segment) };
    cpu.fpu.pointers = Pointers {
        instruction: cpu.regs.eip,
        code_segment: selector(SegReg::Cs),
        opcode: op.imm as u16,
        data,
        data_segment,
    };
    f(&mut cpu.fpu);
    Ok(())
}

/// Whether the instruction has a memory operand: its ModRM byte, the low half of the opcode field, says so.
fn has_memory(op: &Op) -> bool {
    op.imm & 0xC0 != 0xC0
}

/// The opcode as the x87 remembers it: three bits of the escape byte, and the ModRM byte. `None` if the instruction is
/// not an x87 one.
pub(crate) fn opcode(bytes: &[u8]) -> Option<u16> {
    let is_prefix = |byte: &&u8| matches!(byte, 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3);
    let at = bytes.iter().take_while(is_prefix).count();
    match bytes.get(at..at + 2) {
        Some(&[escape @ 0xD8..=0xDF, modrm]) => Some((escape as u16 & 7) << 8 | modrm as u16),
        _ => None,
    }
}

/// ST(i) of an instruction that names ST(0) and ST(i), in either order, or ST(i) alone.
fn index(op: &Op) -> usize {
    (op.reg[0] | op.reg[1]) as usize & 7
}
