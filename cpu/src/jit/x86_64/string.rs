//! String instructions, in line (SDM vol. 1, 5.1.8), and the direction they go in.
//!
//! The direction is part of the mode, so it is a constant here, and CLD mostly nothing at all. For those with REP
//! see [`super::repeat`].

use super::asm::{R8, R9, RAX, Width, at};
use super::property::*;
use super::translate::{GUEST, Translator, of_cpu};
use crate::Cpu;
use crate::decode::{Op, Prefix};
use crate::jit::EmitFault;
use crate::seg::SegReg;
use iced_x86::{Code, Instruction};
use std::mem::offset_of;

const ESI: usize = 6;
const EDI: usize = 7;

/// What a string instruction does with the elements at ESI and EDI.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Move,
    Compare,
    Scan,
    Load,
    Store,
}

/// The string instruction that `insn` is, and the width of its elements.
pub(super) fn string(insn: &Instruction) -> Option<(Kind, Width)> {
    use Code::*;
    Some(match insn.code() {
        Movsb_m8_m8 => (Kind::Move, Width::B),
        Movsw_m16_m16 => (Kind::Move, Width::W),
        Movsd_m32_m32 => (Kind::Move, Width::D),
        Cmpsb_m8_m8 => (Kind::Compare, Width::B),
        Cmpsw_m16_m16 => (Kind::Compare, Width::W),
        Cmpsd_m32_m32 => (Kind::Compare, Width::D),
        Scasb_AL_m8 => (Kind::Scan, Width::B),
        Scasw_AX_m16 => (Kind::Scan, Width::W),
        Scasd_EAX_m32 => (Kind::Scan, Width::D),
        Lodsb_AL_m8 => (Kind::Load, Width::B),
        Lodsw_AX_m16 => (Kind::Load, Width::W),
        Lodsd_EAX_m32 => (Kind::Load, Width::D),
        Stosb_m8_AL => (Kind::Store, Width::B),
        Stosw_m16_AX => (Kind::Store, Width::W),
        Stosd_m32_EAX => (Kind::Store, Width::D),
        _ => return None,
    })
}

impl Translator<'_> {
    pub(super) fn string(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let (kind, w) = string(insn)?;
        if op.has(Prefix::REP | Prefix::REPNE) {
            return self.repeated(insn, op);
        }
        if op.has(Prefix::A16) {
            return None;
        }
        let (size, source) = (w.bytes(), op.ea.seg);
        let wide = (w != Width::B) as u8;
        let spare = of_cpu((offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, spare)) as i32);
        match kind {
            Kind::Load => {
                self.element(ESI, source, size, false)?;
                self.asm.load(w, RAX, HOST);
            }
            Kind::Store => {
                self.element(EDI, SegReg::Es, size, true)?;
                self.asm.store(w, HOST, RAX);
            }
            Kind::Scan => {
                self.element(EDI, SegReg::Es, size, false)?;
                self.asm.rm(w, &[0x3A | wide], RAX, HOST);
            }
            // The first element waits in the frame while the second is looked for.
            Kind::Move | Kind::Compare => {
                self.element(ESI, source, size, false)?;
                self.asm.load(w, R9, HOST);
                self.asm.store(w, spare, R9);
                self.element(EDI, SegReg::Es, size, kind == Kind::Move)?;
                self.asm.load(w, R9, spare);
                if kind == Kind::Move {
                    self.asm.store(w, HOST, R9);
                } else {
                    self.asm.rm(w, &[0x3A | wide], R9, HOST);
                }
            }
        }
        let up = !self.s.mode.down() || self.has(EmitFault::DirectionForgotten);
        let step = if up { size as i32 } else { -(size as i32) };
        if matches!(kind, Kind::Move | Kind::Compare | Kind::Load) {
            self.asm.lea(Width::D, GUEST[ESI], at(GUEST[ESI], step));
        }
        if kind != Kind::Load {
            self.asm.lea(Width::D, GUEST[EDI], at(GUEST[EDI], step));
        }
        Some(())
    }

    /// As [`Self::access`], at the offset in an index register.
    fn element(&mut self, index: usize, seg: SegReg, size: u32, write: bool) -> Option<()> {
        self.asm.mov_rr(Width::D, R8, GUEST[index]);
        self.access(seg, size, write)
    }

    /// CLD and STD where they change nothing.
    pub(super) fn direction(&mut self, down: bool) -> Option<()> {
        (self.s.mode.down() == down).then_some(())
    }
}
