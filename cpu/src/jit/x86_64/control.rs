//! Reads of control registers (SDM vol. 2, MOV from control registers): a page-fault handler begins with one.

use super::asm::Width;
use super::translate::{GUEST, Translator, of_cpu};
use crate::Cpu;
use crate::decode::Op;
use std::mem::offset_of;

impl Translator<'_> {
    pub(super) fn read_control(&mut self, op: &Op) -> Option<()> {
        if self.s.mode.v86() || self.s.mode.cpl() != 0 {
            return None;
        }
        let register = match op.reg[1] {
            0 => offset_of!(Cpu, regs.cr0),
            2 => offset_of!(Cpu, regs.cr2),
            3 => offset_of!(Cpu, regs.cr3),
            4 => offset_of!(Cpu, regs.cr4),
            _ => return None,
        };
        self.asm.load(Width::D, GUEST[op.reg[0] as usize], of_cpu(register as i32));
        Some(())
    }
}
