//! Jumps, calls and returns in line (SDM vol. 1, 5.1.7).

use super::asm::{Mem, R8, R9, RCX, Width, at};
use super::dispatch::JUMP_TO_FOUND;
use super::property::*;
use super::translate::{ESP, Flow, GUEST, Translator, VIEW, of_cpu};
use crate::Cpu;
use crate::decode::Op;
use crate::jit::EmitFault;
use iced_x86::{Code, FlowControl, Instruction, OpKind};
use std::mem::offset_of;

impl Translator<'_> {
    /// Jcc, SETcc, CMOVcc.
    pub(super) fn conditional(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        let cc = match condition(insn)? {
            6 if self.has(EmitFault::BelowOrEqualIsBelow) => 2,
            cc => cc,
        };
        if insn.flow_control() == FlowControl::ConditionalBranch {
            if !is_wide_branch(insn) {
                return None;
            }
            let target = self.next.wrapping_add(op.imm);
            if target > self.s.mode.code_limit() {
                return None;
            }
            if self.n + 1 < self.s.ops.len() {
                // The block goes on where it is not taken. Only branches inside the page are followed so.
                let taken = self.asm.jcc(cc);
                self.near_edge(target, taken);
                return Some(Flow::Next);
            }
            let taken = self.asm.jcc(cc);
            self.edge(self.next);
            if self.is_near(target) {
                self.near_edge(target, taken);
            } else {
                self.asm.bind(taken);
                self.far_edge(target);
            }
            return Some(Flow::End);
        }
        let is_set = insn.op_count() == 1;
        let w = width(insn)?;
        match (is_set, insn.op_kind(insn.op_count() - 1) == OpKind::Memory) {
            (true, true) => {
                let mem = self.memory(op, 1, true)?;
                self.asm.rm(Width::B, &[0x0F, 0x90 | cc], 0, mem);
            }
            (true, false) => {
                let (d, _) = self.pair(Width::B, op.reg[0], 0);
                self.asm.rr(Width::B, &[0x0F, 0x90 | cc], 0, d);
                self.put_back(Width::B, op.reg[0], 0, true);
            }
            (false, true) => {
                let mem = self.memory(op, w.bytes(), false)?;
                self.asm.rm(w, &[0x0F, 0x40 | cc], GUEST[op.reg[0] as usize], mem);
            }
            (false, false) if self.has(EmitFault::CmovAlways) => {
                self.asm.mov_rr(w, GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
            }
            (false, false) => {
                self.asm.rr(w, &[0x0F, 0x40 | cc], GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
            }
        }
        Some(Flow::Next)
    }

    pub(super) fn jmp(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        match insn.code() {
            Code::Jmp_rel8_32 | Code::Jmp_rel32_32 => {
                let target = self.next.wrapping_add(op.imm);
                if target > self.s.mode.code_limit() {
                    return None;
                }
                self.edge(target);
            }
            Code::Jmp_rm32 => {
                self.indirect_target(insn, op)?;
                self.indirect_limit();
                self.jump_to_known();
            }
            _ => return None,
        }
        Some(Flow::End)
    }

    /// R8 := target of an indirect branch.
    pub(super) fn indirect_target(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.load(Width::D, R8, mem);
        } else {
            self.asm.mov_rr(Width::D, R8, GUEST[op.reg[0] as usize]);
        }
        Some(())
    }

    /// Go to the block at EIP = R8, without a way round if the jump table has it.
    fn jump_to_known(&mut self) {
        self.asm.bytes(self.s.look_up);
        self.asm.bytes(&[0xE3, 5]);
        self.jump_to(self.s.dispatch);
        self.asm.bytes(&JUMP_TO_FOUND);
    }

    /// The target in R8 must be inside CS.
    pub(super) fn indirect_limit(&mut self) {
        let limit = self.s.mode.code_limit();
        if limit == u32::MAX {
            return;
        }
        // RCX := all ones if the target is at most the limit, else zero: a negative difference has high bits.
        self.asm.mov_rr(Width::D, RCX, R8);
        self.not(RCX);
        self.asm.mov_imm(R9, limit);
        self.asm.lea(Width::Q, RCX, Mem { base: RCX, index: Some((R9, 0)), disp: 1 });
        self.asm.shift_x(Width::Q, 2, RCX, RCX, VIEW);
        self.not(RCX);
        self.check();
    }

    pub(super) fn call(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        let indirect = match insn.code() {
            Code::Call_rel32_32 => false,
            Code::Call_rm32 => true,
            _ => return None,
        };
        let target = self.next.wrapping_add(op.imm);
        let spare = (offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, spare)) as i32;
        if indirect {
            self.indirect_target(insn, op)?;
            self.indirect_limit();
            self.asm.store(Width::D, of_cpu(spare), R8);
        } else if target > self.s.mode.code_limit() {
            return None;
        }
        let mem = self.on_stack(-4, true)?;
        self.asm.store_imm(Width::D, mem, self.next);
        self.asm.lea(Width::D, ESP, at(ESP, -4));
        if indirect {
            self.asm.load(Width::D, R8, of_cpu(spare));
            self.jump_to_known();
        } else {
            self.edge(target);
        }
        Some(Flow::End)
    }

    pub(super) fn ret(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        let extra = match insn.code() {
            Code::Retnd => 0,
            Code::Retnd_imm16 if self.has(EmitFault::RetKeepsArguments) => 0,
            Code::Retnd_imm16 => op.imm & 0xFFFF,
            _ => return None,
        };
        let mem = self.on_stack(0, false)?;
        self.asm.load(Width::D, R8, mem);
        self.indirect_limit();
        self.asm.lea(Width::D, ESP, at(ESP, 4 + extra as i32));
        self.jump_to_known();
        Some(Flow::End)
    }
}
