//! Stack instructions and the flags that go through it, in line (SDM vol. 1, 5.1.1, 5.1.11 and 6.2); the clock.

use super::asm::{Mem, R8, R9, R10, RAX, RCX, RDX, Width, at};
use super::property::*;
use super::slow::Slow;
use super::translate::{BUDGET, ESP, GUEST, Translator, of_cpu};
use crate::Cpu;
use crate::decode::Op;
use crate::flags::{self};
use crate::jit::EmitFault;
use crate::seg::SegReg;
use iced_x86::{Code, Instruction, OpKind};
use std::mem::offset_of;

impl Translator<'_> {
    pub(super) fn push(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        match insn.code() {
            Code::Push_r32 | Code::Push_rm32 if insn.op0_kind() == OpKind::Register => {
                let mem = self.on_stack(-4, true)?;
                if self.has(EmitFault::PushEspAfter) && op.reg[0] == 4 {
                    self.asm.lea(Width::D, R9, at(ESP, -4));
                    self.asm.store(Width::D, mem, R9);
                } else {
                    self.asm.store(Width::D, mem, GUEST[op.reg[0] as usize]);
                }
            }
            Code::Pushd_imm32 | Code::Pushd_imm8 => {
                let mem = self.on_stack(-4, true)?;
                self.asm.store_imm(Width::D, mem, op.imm);
            }
            Code::Push_rm32 => {
                let mem = self.memory(op, 4, false)?;
                self.asm.load(Width::D, R9, mem);
                let spare = offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, spare);
                self.asm.store(Width::D, of_cpu(spare as i32), R9);
                let mem = self.on_stack(-4, true)?;
                self.asm.load(Width::D, R9, of_cpu(spare as i32));
                self.asm.store(Width::D, mem, R9);
            }
            _ => return None,
        }
        self.asm.lea(Width::D, ESP, at(ESP, -4));
        Some(())
    }

    pub(super) fn pop(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if !matches!(insn.code(), Code::Pop_r32) {
            return None;
        }
        let mem = self.on_stack(0, false)?;
        self.asm.lea(Width::D, ESP, at(ESP, 4));
        self.asm.load(Width::D, GUEST[op.reg[0] as usize], mem);
        Some(())
    }

    pub(super) fn leave_frame(&mut self, insn: &Instruction) -> Option<()> {
        if insn.code() != Code::Leaved || !self.s.mode.ss().big {
            return None;
        }
        let mem = match self.planned[self.n].stack {
            Some(used) if self.has_room_for(used) => {
                self.grouped(used, SegReg::Ss, false, |t, far| t.asm.lea(Width::D, R8, at(GUEST[5], far)))?
            }
            _ => {
                self.asm.mov_rr(Width::D, R8, GUEST[5]);
                self.access(SegReg::Ss, 4, false)?;
                HOST
            }
        };
        let popped = if self.has(EmitFault::LeaveKeepsFrame) { 0 } else { 4 };
        self.asm.lea(Width::D, ESP, at(GUEST[5], popped));
        self.asm.load(Width::D, GUEST[5], mem);
        Some(())
    }

    /// PUSHFD. RF and VM are pushed as zero.
    pub(super) fn push_flags(&mut self) -> Option<()> {
        if self.s.mode.v86() {
            return None;
        }
        let mem = self.on_stack(-4, true)?;
        self.asm.lea(Width::Q, R8, mem);
        self.save_flags();
        self.asm.load(Width::D, RCX, of_cpu(SYSTEM_FLAGS));
        self.asm.row_ri(Width::D, 4, RCX, !(flags::RF | flags::VM));
        // R10 has SF to CF in bits 15 to 8 and OF in bit 0. They come last: what reads the stack next may wait for them.
        self.asm.rr(Width::D, &[0x0F, 0xB6], R9, R10); // movzx r9d, r10b
        self.asm.rr(Width::D, &[0xC1], 4, R9); // shl r9d, 11
        self.asm.byte(11);
        self.asm.rr(Width::D, &[0x0B], RCX, R9); // or ecx, r9d
        self.asm.rr(Width::D, &[0x0F, 0xB7], R9, R10); // movzx r9d, r10w
        self.asm.rr(Width::D, &[0xC1], 5, R9); // shr r9d, 8
        self.asm.byte(8);
        self.asm.rr(Width::D, &[0x0B], RCX, R9); // or ecx, r9d
        self.asm.store(Width::D, at(R8, 0), RCX);
        self.restore_flags();
        self.asm.lea(Width::D, ESP, at(ESP, -4));
        Some(())
    }

    /// POPFD at CPL 0, while of the system flags only IF changes and no interrupt waits; DF is clear.
    pub(super) fn pop_flags(&mut self) -> Option<()> {
        if self.s.mode.v86() || self.s.mode.cpl() != 0 || self.s.mode.down() {
            return None;
        }
        let mem = self.on_stack(0, false)?;
        self.asm.load(Width::D, R8, mem);
        self.save_flags();
        let mut slow = Vec::new();
        self.asm.load(Width::D, RCX, of_cpu(SYSTEM_FLAGS));
        self.asm.rr(Width::D, &[0x33], RCX, R8); // xor ecx, r8d
        let others = flags::TF | flags::DF | flags::IOPL | flags::NT | flags::AC | flags::ID;
        self.asm.test_ri(Width::D, RCX, others);
        slow.push(self.asm.jcc(5));
        // An interrupt that waits.
        self.asm.row_mi(Width::B, 7, of_cpu(offset_of!(Cpu, lines.intr) as i32), 0);
        slow.push(self.asm.jcc(5));
        self.asm.row_ri(Width::D, 4, RCX, flags::IF);
        self.asm.rm(Width::D, &[0x31], RCX, of_cpu(SYSTEM_FLAGS)); // xor [system], ecx
        self.asm.mov_rr(Width::Q, R9, RAX);
        // OF is bit 7 of AL then, and bit 6 is DF, which is 0.
        self.asm.rorx(RAX, R8, 4);
        self.asm.mov_rr(Width::D, RCX, R8);
        self.asm.bytes(&[
            0x88, 0xCC, // mov ah, cl
            0x00, 0xC0, // add al, al
            0x9E, // sahf
        ]);
        self.asm.mov_rr(Width::Q, RAX, R9);
        self.asm.lea(Width::D, ESP, at(ESP, 4));
        let n = self.n;
        self.islands.extend(slow.into_iter().map(|site| (site, Slow::Saved(n))));
        Some(())
    }

    /// RDTSC: instructions retired before this one, idle ticks, and what WRMSR added (SDM vol. 3, 17.17).
    pub(super) fn read_time(&mut self) -> Option<()> {
        if !self.s.mode.time() {
            return None;
        }
        let left = self.left[self.n] as i32;
        let time = (offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, time)) as i32;
        self.asm.mov_rr(Width::Q, RCX, BUDGET);
        self.not(RCX);
        let sum = |disp| Mem { base: R8, index: Some((RCX, 0)), disp };
        self.asm.load(Width::Q, R8, of_cpu(time));
        self.asm.lea(Width::Q, R8, sum(1 - left));
        for more in [offset_of!(Cpu, idle), offset_of!(Cpu, regs.msr.tsc_offset)] {
            self.asm.load(Width::Q, RCX, of_cpu(more as i32));
            self.asm.lea(Width::Q, R8, sum(0));
        }
        self.asm.bytes(&[0xC4, 0xC3, 0xFB, 0xF0, 0xD0, 32]); // rorx rdx, r8, 32
        self.asm.mov_rr(Width::D, RDX, RDX);
        self.asm.mov_rr(Width::D, RAX, R8);
        Some(())
    }

    /// CLI at CPL 0.
    pub(super) fn clear_if(&mut self) -> Option<()> {
        if self.s.mode.v86() || self.s.mode.cpl() != 0 {
            return None;
        }
        self.asm.load(Width::D, RCX, of_cpu(SYSTEM_FLAGS));
        self.asm.keep(RCX, !flags::IF, R8);
        self.asm.store(Width::D, of_cpu(SYSTEM_FLAGS), RCX);
        Some(())
    }

    /// STI at CPL 0, if no interrupt waits for it.
    pub(super) fn set_if(&mut self) -> Option<()> {
        if self.s.mode.v86() || self.s.mode.cpl() != 0 {
            return None;
        }
        self.asm.rm(Width::D, &[0x0F, 0xB6], RCX, of_cpu(offset_of!(Cpu, lines.intr) as i32));
        self.asm.lea(Width::Q, RCX, at(RCX, -1));
        self.check();
        self.asm.load(Width::D, R8, of_cpu(SYSTEM_FLAGS));
        self.asm.mov_imm(RCX, flags::IF);
        self.asm.pext(RCX, R8, RCX);
        let clear = self.asm.jrcxz();
        self.asm.bytes(&[0xEB, 0]);
        let done = self.asm.pos() - 1;
        self.failed |= !self.asm.bind8(clear);
        self.asm.lea(Width::D, R8, at(R8, flags::IF as i32));
        self.asm.store(Width::D, of_cpu(SYSTEM_FLAGS), R8);
        // Instructions retired with this one.
        let left = self.left[self.n] as i32;
        let time = (offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, time)) as i32;
        self.asm.mov_rr(Width::Q, RCX, BUDGET);
        self.not(RCX);
        self.asm.load(Width::Q, R8, of_cpu(time));
        let late = self.has(EmitFault::ShadowLate) as i32;
        self.asm.lea(Width::Q, R8, Mem { base: R8, index: Some((RCX, 0)), disp: 2 - left + late });
        self.asm.store(Width::Q, of_cpu(offset_of!(Cpu, regs.sti_shadow) as i32), R8);
        self.failed |= !self.asm.bind8(done);
        Some(())
    }
}
