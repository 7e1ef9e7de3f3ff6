//! Shifts, rotates, bit tests and bit scans in line (SDM vol. 1, 5.1.5 and 5.1.6).

use super::asm::{Asm, R8, R9, RCX, Width, at};
use super::property::*;
use super::translate::{ECX, GUEST, Translator};
use super::wrong_flags::Wrong;
use crate::decode::Op;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

impl Translator<'_> {
    pub(super) fn shift(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        let n = match insn.mnemonic() {
            Mnemonic::Rol => 0,
            Mnemonic::Ror => 1,
            Mnemonic::Rcl => 2,
            Mnemonic::Rcr => 3,
            Mnemonic::Shr => 5,
            Mnemonic::Sar => 7,
            _ => 4,
        };
        let quirks = self.s.quirks;
        let wide = w != Width::B;
        let by_cl = insn.op1_kind() == OpKind::Register;
        let count = op.imm & 31;
        // Where the host has its own idea of OF, one step of a register's shift comes last.
        let mut twice = false;
        let mut own_overflow = false;
        if by_cl {
            if w != Width::D || matches!(n, 2 | 3) {
                return None;
            }
            if !quirks.shifts {
                own_overflow = !self.flags_are_dead();
                let possible = self.wrong == Wrong::Nothing && (n < 4 || quirks.shifts_clear_af);
                if own_overflow && !possible {
                    return None;
                }
                if n >= 4 {
                    self.then = Wrong::Nothing;
                }
            } else if n >= 4 {
                // Its own count: what was shifted cannot be told any more.
                if self.wrong != Wrong::Nothing || insn.op0_kind() == OpKind::Register && op.reg[0] == 1 {
                    return None;
                }
                self.then = self.unless(quirks.shifts_clear_af, Wrong::AfIfShifted);
            }
        } else {
            let register = insn.op0_kind() == OpKind::Register && w == Width::D;
            let mut known = w == Width::D && quirks.shifts || n >= 4 && self.flags_are_dead();
            twice = !known && register && count > 1;
            known |= twice;
            if count == 0 || count > 1 && (matches!(n, 2 | 3) || count >= w.bits() || !known) {
                return None;
            }
            if n >= 4 && quirks.shifts_clear_af {
                self.then = Wrong::Nothing;
            } else if n >= 5 && (n == 7 || count > 1) && register && quirks.logic && quirks.bit_tests {
                self.then = Wrong::Shifted(GUEST[op.reg[0] as usize]);
            } else if n >= 4 {
                self.then = Wrong::Af;
            }
        }
        let (opcode, imm) = match (by_cl, count) {
            (true, _) => (0xD2, false),
            (false, 1) => (0xD0, false),
            _ => (0xC0, true),
        };
        let opcode = [opcode | wide as u8];
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, w.bytes(), true)?;
            if !by_cl {
                self.asm.rm(w, &opcode, n, mem);
                if imm {
                    self.asm.byte(count as u8);
                }
                return Some(());
            }
            self.asm.lea(Width::Q, R8, mem);
            let mem = at(R8, 0);
            if own_overflow {
                self.but_one_step(|asm| {
                    asm.rm(w, &opcode, n, mem);
                    asm.rm(w, &[0xD1], n, mem);
                });
            } else {
                self.asm.mov_rr(Width::D, RCX, ECX);
                self.asm.rm(w, &opcode, n, mem);
            }
            return Some(());
        }
        if own_overflow {
            let d = GUEST[op.reg[0] as usize];
            self.but_one_step(|asm| {
                match n {
                    4 => asm.shift_x(w, 1, d, d, RCX),
                    5 => asm.shift_x(w, 3, d, d, RCX),
                    7 => asm.shift_x(w, 2, d, d, RCX),
                    _ => asm.rr(w, &opcode, n, d),
                }
                asm.rr(w, &[0xD1], n, d);
            });
            return Some(());
        }
        if by_cl {
            self.asm.mov_rr(Width::D, RCX, ECX);
        }
        let (d, _) = self.pair(w, op.reg[0], 0);
        self.asm.rr(w, &opcode, n, d);
        if imm {
            self.asm.byte(count as u8 - twice as u8);
        }
        if twice {
            self.asm.rr(w, &[0xD1], n, d);
        }
        self.put_back(w, op.reg[0], 0, true);
        Some(())
    }

    /// A shift or rotation by the guest's CL where the host leaves OF to another step than the last: all steps but one, of which there are
    /// RCX, and one by itself, which writes all flags. Nothing if there are no steps.
    fn but_one_step(&mut self, steps: impl Fn(&mut Asm)) {
        self.asm.mov_imm(R9, 31);
        self.asm.pext(RCX, ECX, R9);
        let none = self.asm.jrcxz();
        self.asm.lea(Width::D, RCX, at(RCX, -1));
        steps(&mut self.asm);
        self.failed |= !self.asm.bind8(none);
    }

    pub(super) fn double_shift(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let opcode = match insn.code() {
            Code::Shld_rm32_r32_imm8 => 0xA4,
            Code::Shld_rm32_r32_CL => 0xA5,
            Code::Shrd_rm32_r32_imm8 => 0xAC,
            Code::Shrd_rm32_r32_CL => 0xAD,
            _ => return None,
        };
        if insn.op0_kind() == OpKind::Memory || !(self.s.quirks.double_shifts || self.flags_are_dead()) {
            return None;
        }
        let (d, s) = (GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
        if opcode & 1 != 0 {
            self.asm.mov_rr(Width::D, RCX, ECX);
        } else if op.imm & 31 == 0 {
            return None;
        }
        self.asm.rr(Width::D, &[0x0F, opcode], s, d);
        if opcode & 1 == 0 {
            self.asm.byte(op.imm as u8);
        }
        Some(())
    }

    /// BT and its kin on 32-bit registers.
    pub(super) fn bit_test(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if insn.op0_kind() != OpKind::Register || width(insn)? != Width::D {
            return None;
        }
        let aside = !self.s.quirks.bit_tests && !self.flags_are_dead();
        if aside {
            self.save_flags();
        }
        let n = match insn.mnemonic() {
            Mnemonic::Bt => 4,
            Mnemonic::Bts => 5,
            Mnemonic::Btr => 6,
            _ => 7,
        };
        let d = GUEST[op.reg[0] as usize];
        if insn.op1_kind() == OpKind::Register {
            self.asm.rr(Width::D, &[0x0F, 0x83 | n << 3], GUEST[op.reg[1] as usize], d);
        } else {
            self.asm.rr(Width::D, &[0x0F, 0xBA], n, d);
            self.asm.byte(op.imm as u8);
        }
        if aside {
            self.restore_flags_but(2, 0);
        }
        Some(())
    }

    pub(super) fn bit_scan(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if width(insn)? != Width::D || !self.s.quirks.bit_scan_results {
            return None;
        }
        let opcode = [0x0F, if insn.mnemonic() == Mnemonic::Bsf { 0xBC } else { 0xBD }];
        let d = GUEST[op.reg[0] as usize];
        let mem = if insn.op1_kind() == OpKind::Memory { Some(self.memory(op, 4, false)?) } else { None };
        let aside = !self.s.quirks.bit_scans && !self.flags_are_dead();
        let mem = match mem {
            Some(mem) if aside => {
                self.asm.lea(Width::Q, R8, mem);
                Some(at(R8, 0))
            }
            mem => mem,
        };
        if aside {
            self.save_flags();
        }
        match mem {
            Some(mem) => self.asm.rm(Width::D, &opcode, d, mem),
            None => self.asm.rr(Width::D, &opcode, d, GUEST[op.reg[1] as usize]),
        }
        if aside {
            self.restore_flags_but(4, 6);
        }
        Some(())
    }
}
