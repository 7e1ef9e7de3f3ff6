//! Shifts, rotates, bit tests and bit scans in line (SDM vol. 1, 5.1.5 and 5.1.6).

use super::asm::{R8, R9, R10, RCX, Reg, Width, at};
use super::property::*;
use super::translate::{ECX, GUEST, Translator, Wrong};
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
            let mem = if by_cl {
                self.asm.lea(Width::Q, R8, mem);
                self.asm.mov_rr(Width::D, RCX, ECX);
                at(R8, 0)
            } else {
                mem
            };
            self.asm.rm(w, &opcode, n, mem);
            if own_overflow {
                self.asm.load(w, R9, mem);
                self.overflow_of_shift(n, R9);
            }
        } else {
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
            if own_overflow {
                self.asm.mov_rr(w, R8, d);
                self.overflow_of_shift(n, R8);
            }
            self.put_back(w, op.reg[0], 0, true);
            return Some(());
        }
        if imm {
            self.asm.byte(count as u8);
        }
        Some(())
    }

    /// After a shift or rotation of 32 bits by CL, which is in RCX: OF is that of the last step, unless there was none. `result` is
    /// R8 or R9.
    fn overflow_of_shift(&mut self, n: u8, result: Reg) {
        if result == R9 {
            self.asm.mov_rr(Width::D, R8, R9);
        }
        self.save_flags();
        self.asm.test_ri(Width::B, RCX, 31);
        let no_step = self.asm.short_jz();
        // R10 has CF in bit 8, SF in bit 15, and OF in bit 0.
        let (first, second) = match n {
            4 => (R10, Some((8, R10, 15))), // CF, SF
            7 => (R10, None),               // never
            0 => (R8, Some((0, R8, 31))),   // CF is bit 0
            _ => (R8, Some((30, R8, 31))),
        };
        self.asm.row_ri(Width::D, 4, R10, 0xFF00);
        if let Some((bit, other, top)) = second {
            self.asm.rorx(RCX, first, bit);
            self.asm.rorx(R9, other, top);
            self.asm.rr(Width::D, &[0x33], RCX, R9); // xor ecx, r9d
            self.asm.row_ri(Width::D, 4, RCX, 1);
            self.asm.rr(Width::D, &[0x0B], R10, RCX); // or r10d, ecx
        }
        self.failed |= !self.asm.bind8(no_step);
        self.restore_flags();
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
