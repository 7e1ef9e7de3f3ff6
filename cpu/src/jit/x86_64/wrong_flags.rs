//! Flags that are wrong for a while, and flags put aside.
//!
//! [`Wrong`] says what of the host's flags differs from the guest's. It is put right where somebody could see it.

use super::asm::{R8, R9, R10, RAX, RCX, Reg, Width};
use super::property::*;
use super::translate::{ARITH, ECX, Translator};
use crate::jit::EmitFault;
use iced_x86::{FlowControl, Instruction, Mnemonic, RflagsBits};

/// What is known to be wrong with the host's flags. It is put right where somebody could see it: in slow paths, before
/// handlers and edges, before instructions that read flags; mostly the next instruction writes them all.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    Nothing,
    /// AF, which must be 0.
    Af,
    /// AF, which must be 0 if CL was not a multiple of 32.
    AfIfShifted,
    /// AF, which must be 0; OF is 0, and SF, ZF, PF are those of this register: cheap to put right.
    Shifted(Reg),
    /// SF, ZF, PF, which must be those of this register, and AF, which must be 0.
    Product(Reg),
}

impl Translator<'_> {
    /// Whether what is wrong may stay so over this instruction.
    pub(super) fn may_stay_wrong(&self, insn: &Instruction) -> bool {
        let (reads, ends) = (insn.rflags_read() & ARITH, insn.flow_control() != FlowControl::Next);
        match self.wrong {
            Wrong::Nothing => true,
            Wrong::Af if matches!(insn.mnemonic(), Mnemonic::Inc | Mnemonic::Dec) => true,
            _ if ends || !(kills(insn) || leaves_flags(insn) || reads_only(insn)) => false,
            Wrong::Af => reads & RflagsBits::AF == 0,
            Wrong::AfIfShifted => {
                reads & RflagsBits::AF == 0 && (kills(insn) && reads == 0 || !writes(insn, ECX))
            }
            Wrong::Shifted(d) => {
                reads & RflagsBits::AF == 0 && (kills(insn) && reads == 0 || !writes(insn, d))
            }
            Wrong::Product(low) => {
                reads & !(RflagsBits::CF | RflagsBits::OF) == 0
                    && (kills(insn) && reads == 0 || !writes(insn, low))
            }
        }
    }

    /// What is wrong after an instruction, unless the host leaves its flags right.
    pub(super) fn unless(&self, right: bool, wrong: Wrong) -> Wrong {
        if right { Wrong::Nothing } else { wrong }
    }

    /// Make the flags right.
    pub(super) fn put_right(&mut self) {
        let wrong = std::mem::replace(&mut self.wrong, Wrong::Nothing);
        self.emit_right(wrong);
    }

    pub(super) fn emit_right(&mut self, wrong: Wrong) {
        match wrong {
            Wrong::Product(_) if self.has(EmitFault::ProductFlagsKept) => {}
            Wrong::Af | Wrong::AfIfShifted | Wrong::Shifted(_) if self.has(EmitFault::ShiftAfKept) => {}
            Wrong::Nothing => {}
            Wrong::Shifted(d) => {
                self.asm.rr(Width::B, &[0x0F, 0x92], 0, RCX); // setc cl
                self.asm.rr(Width::D, &[0x85], d, d); // test d, d
                self.asm.bytes(&[0x0F, 0xBA, 0xE1, 0]); // bt ecx, 0
            }
            Wrong::Af | Wrong::AfIfShifted => {
                self.asm.mov_rr(Width::Q, R8, RAX);
                self.asm.bytes(&[0x0F, 0x90, 0xC0]); // seto al
                self.asm.byte(0x9F); // lahf
                if wrong == Wrong::AfIfShifted {
                    self.asm.test_ri(Width::B, ECX, 31);
                    self.asm.bytes(&[0x74, 3]); // jz over the next
                }
                self.asm.bytes(&[0x80, 0xE4, 0xEF]); // and ah, ~AF
                self.asm.bytes(&[0x04, 0x7F]); // add al, 0x7f: OF
                self.asm.byte(0x9E); // sahf
                self.asm.mov_rr(Width::Q, RAX, R8);
            }
            Wrong::Product(low) => {
                self.asm.rr(Width::B, &[0x0F, 0x90], 0, RCX); // seto cl
                self.asm.rr(Width::D, &[0x85], low, low); // test low, low
                self.asm.mov_rr(Width::Q, R8, RAX);
                self.asm.bytes(&[
                    0x9F, // lahf
                    0x80, 0xE4, 0xEF, // and ah, ~AF
                    0x08, 0xCC, // or ah, cl
                    0x88, 0xC8, // mov al, cl
                    0x04, 0x7F, // add al, 0x7f: OF
                    0x9E, // sahf
                ]);
                self.asm.mov_rr(Width::Q, RAX, R8);
            }
        }
    }

    /// R10 := the flags, as a frame has them.
    pub(super) fn save_flags(&mut self) {
        self.give_up_group();
        self.asm.mov_rr(Width::Q, R9, RAX);
        self.asm.bytes(&[0x9F, 0x0F, 0x90, 0xC0]); // lahf; seto al
        self.asm.mov_rr(Width::Q, R10, RAX);
        self.asm.mov_rr(Width::Q, RAX, R9);
    }

    /// After [`Self::save_flags`] and an instruction that leaves more flags otherwise than it should: all as they were, but for
    /// the one of condition `cc`, which is bit `n` of EFLAGS.
    pub(super) fn restore_flags_but(&mut self, cc: u8, n: u8) {
        self.asm.rr(Width::B, &[0x0F, 0x90 | cc], 0, RCX); // setcc cl
        self.asm.rr(Width::D, &[0x0F, 0xB6], RCX, RCX); // movzx ecx, cl
        self.asm.bytes(&[0xC1, 0xE1, n + 8]); // shl ecx, n + 8
        self.asm.row_ri(Width::D, 4, R10, !(0x100 << n)); // and r10d, ~bit
        self.asm.rr(Width::D, &[0x0B], R10, RCX); // or r10d, ecx
        self.restore_flags();
    }

    pub(super) fn restore_flags(&mut self) {
        self.asm.mov_rr(Width::Q, R9, RAX);
        self.asm.mov_rr(Width::Q, RAX, R10);
        self.asm.bytes(&[0x04, 0x7F, 0x9E]); // add al, 0x7f; sahf
        self.asm.mov_rr(Width::Q, RAX, R9);
    }
}
