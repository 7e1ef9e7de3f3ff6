//! Moves and binary arithmetic in line (SDM vol. 1, 5.1.1 and 5.1.2).

use super::asm::{R8, R9, RAX, RCX, RDX, Width, at};
use super::property::*;
use super::slow::Slow;
use super::translate::{ARITH, ECX, GUEST, Translator};
use super::wrong_flags::Wrong;
use crate::decode::{Op, Prefix};
use crate::jit::EmitFault;
use iced_x86::{Code, Instruction, Mnemonic, OpKind};

impl Translator<'_> {
    pub(super) fn plain(&mut self, bytes: &[u8]) -> Option<()> {
        self.asm.bytes(bytes);
        Some(())
    }

    pub(super) fn binary(&mut self, insn: &Instruction, op: &Op, row: u8) -> Option<()> {
        let w = width(insn)?;
        let byte = (w != Width::B) as u8;
        let writes = row != 7;
        match (insn.op0_kind(), insn.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (d, s) = self.pair(w, op.reg[0], op.reg[1]);
                self.asm.rr(w, &[row * 8 + 2 + byte], d, s);
                self.put_back(w, op.reg[0], op.reg[1], writes);
            }
            (OpKind::Register, OpKind::Memory) => {
                let (d, mem) = self.register_beside_memory(w, op.reg[0], op, false)?;
                self.asm.rm(w, &[row * 8 + 2 + byte], d, mem);
            }
            (OpKind::Memory, OpKind::Register) => {
                let (s, mem) = self.register_beside_memory(w, op.reg[1], op, writes)?;
                self.asm.rm(w, &[row * 8 + byte], s, mem);
            }
            (OpKind::Memory, _) => {
                let mem = self.memory(op, w.bytes(), writes)?;
                self.asm.row_mi(w, row, mem, op.imm);
            }
            (OpKind::Register, _) => {
                let (d, _) = self.pair(w, op.reg[0], 0);
                self.asm.row_ri(w, row, d, op.imm);
                self.put_back(w, op.reg[0], 0, writes);
            }
            _ => return None,
        }
        Some(())
    }

    /// An instruction with a constant that is written to: read from where the handler would read it. What is not as simple as a
    /// register and an immediate is left to the handler.
    pub(super) fn soft(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        use Mnemonic::*;
        if self.has(EmitFault::SoftConstantKept) {
            return self.insn(insn, op).map(|_| ());
        }
        let opcode = match insn.mnemonic() {
            Mov => 0x8B,
            Add => 0x03,
            Or => 0x0B,
            Adc => 0x13,
            Sbb => 0x1B,
            And => 0x23,
            Sub => 0x2B,
            Xor => 0x33,
            Cmp => 0x3B,
            Test => 0x85,
            _ => return None,
        };
        let registers = insn.op0_kind() == OpKind::Register && insn.op1_kind() != OpKind::Memory;
        if !registers || width(insn)? != Width::D {
            return None;
        }
        self.asm.mov_imm64(R9, std::ptr::from_ref(&op.imm) as u64);
        self.asm.rm(Width::D, &[opcode], GUEST[op.reg[0] as usize], at(R9, 0));
        Some(())
    }

    pub(super) fn test(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        let opcode = [0x84 | (w != Width::B) as u8];
        match (insn.op0_kind(), insn.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (d, s) = self.pair(w, op.reg[0], op.reg[1]);
                self.asm.rr(w, &opcode, s, d);
            }
            (OpKind::Memory, OpKind::Register) => {
                let (s, mem) = self.register_beside_memory(w, op.reg[1], op, false)?;
                self.asm.rm(w, &opcode, s, mem);
            }
            (OpKind::Memory, _) => {
                let mem = self.memory(op, w.bytes(), false)?;
                self.asm.test_mi(w, mem, op.imm);
            }
            (OpKind::Register, _) => {
                let (d, _) = self.pair(w, op.reg[0], 0);
                self.asm.test_ri(w, d, op.imm);
            }
            _ => return None,
        }
        Some(())
    }

    pub(super) fn mov(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        for n in 0..2 {
            let r = insn.op_register(n);
            if insn.op_kind(n) == OpKind::Register && !(r.is_gpr8() || r.is_gpr16() || r.is_gpr32()) {
                return None;
            }
        }
        let w = width(insn)?;
        match (insn.op0_kind(), insn.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (d, s) = self.pair(w, op.reg[0], op.reg[1]);
                let wide = w == Width::W && self.has(EmitFault::WordMoveIsDouble);
                self.asm.mov_rr(if wide { Width::D } else { w }, d, s);
                self.put_back(w, op.reg[0], op.reg[1], true);
            }
            (OpKind::Register, OpKind::Memory) => {
                let (d, mem) = self.register_beside_memory(w, op.reg[0], op, false)?;
                self.asm.load(w, d, mem);
            }
            (OpKind::Memory, OpKind::Register) => {
                let (s, mem) = self.register_beside_memory(w, op.reg[1], op, true)?;
                self.asm.store(w, mem, s);
            }
            (OpKind::Memory, _) => {
                let mem = self.memory(op, w.bytes(), true)?;
                self.asm.store_imm(w, mem, op.imm);
            }
            (OpKind::Register, _) => match w {
                Width::D => self.asm.mov_imm(GUEST[op.reg[0] as usize], op.imm),
                _ => {
                    let (d, _) = self.pair(w, op.reg[0], 0);
                    self.asm.rr(w, &[if w == Width::B { 0xC6 } else { 0xC7 }], 0, d);
                    match w {
                        Width::B => self.asm.byte(op.imm as u8),
                        _ => self.asm.bytes(&(op.imm as u16).to_le_bytes()),
                    }
                    self.put_back(w, op.reg[0], 0, true);
                }
            },
            _ => return None,
        }
        Some(())
    }

    /// MOVZX and MOVSX.
    pub(super) fn extend(&mut self, insn: &Instruction, op: &Op, opcode: u8) -> Option<()> {
        let w = width(insn)?;
        let d = GUEST[op.reg[0] as usize];
        if insn.op1_kind() == OpKind::Memory {
            let size = insn.memory_size().size() as u32;
            let mem = self.memory(op, size, false)?;
            self.asm.rm(w, &[0x0F, opcode | (size == 2) as u8], d, mem);
            return Some(());
        }
        if insn.op1_register().size() == 2 {
            self.asm.rr(w, &[0x0F, opcode | 1], d, GUEST[op.reg[1] as usize]);
            return Some(());
        }
        match byte_register(op.reg[1]) {
            Byte::Low(s) => self.asm.rr(w, &[0x0F, opcode], d, needs_rex(s)?),
            Byte::High(s) => {
                if s == 5 {
                    self.asm.mov_rr(Width::D, RCX, ECX);
                }
                self.asm.rr(Width::D, &[0x0F, opcode], RCX, s);
                self.asm.mov_rr(w, d, RCX);
            }
        }
        Some(())
    }

    pub(super) fn lea(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        let d = GUEST[op.reg[0] as usize];
        match self.ea_mem(&op.ea) {
            Some(mem) if w == Width::D && op.ea.mask == u32::MAX => self.asm.lea(w, d, mem),
            _ => {
                self.offset(&op.ea);
                self.asm.mov_rr(w, d, R8);
            }
        }
        Some(())
    }

    pub(super) fn unary(&mut self, insn: &Instruction, op: &Op, opcode: u8, n: u8) -> Option<()> {
        let w = width(insn)?;
        let n = if n == 3 && self.has(EmitFault::NegIsNotPlusOne) { 2 } else { n };
        let opcode = [opcode | (w != Width::B) as u8];
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, w.bytes(), true)?;
            self.asm.rm(w, &opcode, n, mem);
        } else if self.has(EmitFault::IncWritesCarry) && insn.mnemonic() == Mnemonic::Inc && w == Width::D {
            self.asm.row_ri(w, 0, GUEST[op.reg[0] as usize], 1);
        } else {
            let (d, _) = self.pair(w, op.reg[0], 0);
            self.asm.rr(w, &opcode, n, d);
            self.put_back(w, op.reg[0], 0, true);
        }
        Some(())
    }

    /// IMUL with a destination register.
    pub(super) fn imul(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if insn.op_count() == 1 {
            return self.multiply_accumulator(insn, op);
        }
        let w = width(insn)?;
        if w != Width::D || !self.s.quirks.logic {
            return None;
        }
        let d = GUEST[op.reg[0] as usize];
        let in_memory = insn.op1_kind() == OpKind::Memory;
        let mem = if in_memory { Some(self.memory(op, 4, false)?) } else { None };
        let opcode: &[u8] = if insn.op_count() == 3 { &[0x69] } else { &[0x0F, 0xAF] };
        match mem {
            Some(mem) => self.asm.rm(w, opcode, d, mem),
            None => self.asm.rr(w, opcode, d, GUEST[op.reg[1] as usize]),
        }
        if insn.op_count() == 3 {
            self.asm.dword(op.imm);
        }
        self.then = self.unless(self.s.quirks.products, Wrong::Product(d));
        Some(())
    }

    /// MUL and IMUL with one operand, 32 bits.
    pub(super) fn multiply_accumulator(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let n = match insn.code() {
            Code::Mul_rm32 => 4,
            Code::Imul_rm32 => 5,
            _ => return None,
        };
        if !self.s.quirks.logic {
            return None;
        }
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.rm(Width::D, &[0xF7], n, mem);
        } else {
            self.asm.rr(Width::D, &[0xF7], n, GUEST[op.reg[0] as usize]);
        }
        self.then = self.unless(self.s.quirks.products, Wrong::Product(RAX));
        Some(())
    }

    /// DIV and IDIV, 32 bits. What the host would trap on goes the slow way.
    pub(super) fn divide(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let signed = match insn.code() {
            Code::Div_rm32 => false,
            Code::Idiv_rm32 => true,
            _ => return None,
        };
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.load(Width::D, R8, mem);
        } else {
            self.asm.mov_rr(Width::D, R8, GUEST[op.reg[0] as usize]);
        }
        self.save_flags();
        let mut slow = Vec::new();
        if signed {
            // Only a dividend of 32 bits, and neither 0 nor -1 to divide by.
            self.asm.mov_rr(Width::D, RCX, RAX);
            self.asm.bytes(&[0xC1, 0xF9, 31]); // sar ecx, 31
            self.asm.rr(Width::D, &[0x3B], RCX, RDX);
            slow.push(self.asm.jcc(5));
            self.asm.lea(Width::D, RCX, at(R8, 1));
            self.asm.row_ri(Width::D, 7, RCX, 1);
            slow.push(self.asm.jcc(6));
        } else {
            self.asm.rr(Width::D, &[0x3B], RDX, R8);
            slow.push(self.asm.jcc(3));
        }
        self.asm.rr(Width::D, &[0xF7], if signed { 7 } else { 6 }, R8);
        if !self.has(EmitFault::DivideFlagsKept) {
            self.restore_flags();
        }
        let n = self.n;
        self.islands.extend(slow.into_iter().map(|site| (site, Slow::Saved(n))));
        Some(())
    }

    /// Whether every arithmetic flag is written again before anything can look at it, or leave.
    pub(super) fn flags_are_dead(&self) -> bool {
        let mut live = ARITH;
        for (insn, op) in self.s.insns.iter().zip(self.s.ops).skip(self.n + 1) {
            if op.has(Prefix::SOFT) {
                return false;
            }
            let kills = match insn.mnemonic() {
                Mnemonic::Add
                | Mnemonic::Sub
                | Mnemonic::And
                | Mnemonic::Or
                | Mnemonic::Xor
                | Mnemonic::Cmp
                | Mnemonic::Test
                | Mnemonic::Mov
                | Mnemonic::Lea
                | Mnemonic::Movzx
                | Mnemonic::Movsx
                | Mnemonic::Neg
                | Mnemonic::Inc
                | Mnemonic::Dec
                | Mnemonic::Imul
                | Mnemonic::Mul => insn.rflags_modified(),
                Mnemonic::Shl | Mnemonic::Shr | Mnemonic::Sar if insn.op1_kind() != OpKind::Register => {
                    insn.rflags_modified()
                }
                // These write fewer flags than the manual lets them, or none if they have nothing to do.
                Mnemonic::Shl
                | Mnemonic::Shr
                | Mnemonic::Sar
                | Mnemonic::Rol
                | Mnemonic::Ror
                | Mnemonic::Bsf
                | Mnemonic::Bsr
                | Mnemonic::Bt
                | Mnemonic::Bts
                | Mnemonic::Btr
                | Mnemonic::Btc
                | Mnemonic::Not
                | Mnemonic::Bswap
                | Mnemonic::Xchg
                | Mnemonic::Cdq
                | Mnemonic::Cwde
                | Mnemonic::Nop => 0,
                _ => return false,
            };
            let touches_memory = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory)
                && insn.mnemonic() != Mnemonic::Lea;
            let general = (0..insn.op_count()).all(|n| {
                let r = insn.op_register(n);
                insn.op_kind(n) != OpKind::Register || r.is_gpr8() || r.is_gpr16() || r.is_gpr32()
            });
            if touches_memory || !general || insn.rflags_read() & ARITH != 0 {
                return false;
            }
            live &= !kills;
            if live == 0 {
                return true;
            }
        }
        false
    }

    pub(super) fn xchg(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        if insn.op0_kind() == OpKind::Memory {
            if w == Width::B {
                return None;
            }
            let mem = self.memory(op, w.bytes(), true)?;
            let r = GUEST[op.reg[1] as usize];
            self.asm.load(w, R9, mem);
            self.asm.store(w, mem, r);
            self.asm.mov_rr(w, r, R9);
            return Some(());
        }
        if w == Width::B {
            return None;
        }
        let (a, b) = (GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
        self.asm.rr(w, &[0x87], a, b);
        Some(())
    }
}
