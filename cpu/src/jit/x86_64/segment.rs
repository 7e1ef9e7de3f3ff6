//! Moves to and from segment registers (SDM vol. 1, 5.1.10).

use super::asm::Mem;
use super::asm::{R8, R9, Width, at};
use super::property::segment_field;
use super::translate::{ESP, GUEST, Translator, of_cpu};
use crate::decode::Op;
use crate::seg::{SegReg, Segment};
use iced_x86::{Instruction, Mnemonic, OpKind};
use std::mem::offset_of;

impl Translator<'_> {
    /// See [`super::property::moves_segment`].
    pub(super) fn move_segment(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if self.s.mode.v86() {
            return None;
        }
        let memory = insn.op0_kind() == OpKind::Memory || insn.op1_kind() == OpKind::Memory;
        match insn.mnemonic() {
            Mnemonic::Push => {
                let selector = selector(op.reg[0])?;
                // Two bytes of the four are written.
                let mem = self.on_stack(-4, true)?;
                self.asm.rm(Width::D, &[0x0F, 0xB7], R9, of_cpu(selector));
                self.asm.store(Width::W, mem, R9);
                self.asm.lea(Width::D, ESP, at(ESP, -4));
            }
            Mnemonic::Pop => {
                let mem = self.on_stack(0, false)?;
                self.load_segment(op, Some(mem))?;
                self.asm.lea(Width::D, ESP, at(ESP, 4));
            }
            _ if insn.op0_register().is_segment_register() => {
                let mem = if memory { Some(self.memory(op, 2, false)?) } else { None };
                if !memory {
                    self.asm.rr(Width::D, &[0x0F, 0xB7], R8, GUEST[op.reg[1] as usize]);
                }
                self.load_segment(op, mem)?;
            }
            _ => {
                let selector = selector(op.reg[1])?;
                if memory {
                    let mem = self.memory(op, 2, true)?;
                    self.asm.rm(Width::D, &[0x0F, 0xB7], R9, of_cpu(selector));
                    self.asm.store(Width::W, mem, R9);
                } else if insn.op0_register().is_gpr32() {
                    self.asm.rm(Width::D, &[0x0F, 0xB7], GUEST[op.reg[0] as usize], of_cpu(selector));
                } else {
                    self.asm.load(Width::W, GUEST[op.reg[0] as usize], of_cpu(selector));
                }
            }
        }
        Some(())
    }

    /// Load a data segment register with the selector in R8, or in the operand.
    fn load_segment(&mut self, op: &Op, operand: Option<Mem>) -> Option<()> {
        let seg = SegReg::from_encoding(op.reg[0]).filter(|seg| !matches!(seg, SegReg::Cs | SegReg::Ss))?;
        if let Some(mem) = operand {
            self.asm.rm(Width::D, &[0x0F, 0xB7], R8, mem);
        }
        self.asm.mov_imm(R9, seg as u32);
        self.call_place(self.s.stubs.load_segment);
        self.check();
        // Another selector may have the same hidden part.
        self.x87.forget_selector(seg);
        Some(())
    }
}

/// Where the selector of segment register number `n` is.
fn selector(n: u8) -> Option<i32> {
    Some(segment_field(SegReg::from_encoding(n)?, offset_of!(Segment, selector)))
}
