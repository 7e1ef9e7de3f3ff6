//! Memory operands: effective address, segment limit, and the look at the flat view.

use super::asm::{Mem, R8, R9, R10, RCX, Reg, Width, at};
use super::property::*;
use super::slow::{Alone, Look, Refill, Slow};
use super::translate::{CPU, ECX, ESP, GUEST, Translator, VIEW, of_cpu};
use crate::decode::{Ea, Op};
use crate::jit::EmitFault;
use crate::jit::mode::KnownSegment;
use crate::mmu::flat;
use crate::seg::{SegReg, Segment};
use std::mem::offset_of;

impl Translator<'_> {
    pub(super) fn ea_mem(&self, ea: &Ea) -> Option<Mem> {
        let disp = ea.disp as i32;
        match (ea.base < 8, ea.index < 8) {
            (true, true) => Some(Mem {
                base: GUEST[ea.base as usize],
                index: Some((GUEST[ea.index as usize], ea.scale)),
                disp,
            }),
            (true, false) => Some(at(GUEST[ea.base as usize], disp)),
            _ => None,
        }
    }

    /// R8 := offset of the operand.
    pub(super) fn offset(&mut self, ea: &Ea) {
        match self.ea_mem(ea) {
            Some(Mem { base, index: None, disp: 0 }) => self.asm.mov_rr(Width::D, R8, base),
            Some(mem) => self.asm.lea(Width::D, R8, mem),
            None if ea.index < 8 => {
                // No base: ModRM with SIB and base 5, mode 0.
                let index = GUEST[ea.index as usize];
                self.asm.byte(0x44 | (index >> 3) << 1);
                self.asm.bytes(&[0x8D, 4, ea.scale << 6 | (index & 7) << 3 | 5]);
                self.asm.dword(ea.disp);
            }
            None => self.asm.mov_imm(R8, ea.disp & ea.mask),
        }
        if ea.mask != u32::MAX && (ea.base < 8 || ea.index < 8) {
            // movzx r8d, r8w
            self.asm.rr(Width::D, &[0x0F, 0xB7], R8, R8);
        }
    }

    /// `size` bytes at offset R8 of `seg` are about to be read or written: RCX + R8 is their host address, or the
    /// instruction goes its slow way. `None` if the segment allows no such thing in line.
    pub(super) fn access(&mut self, seg: SegReg, size: u32, write: bool) -> Option<()> {
        self.access_as(seg, size, write, false)
    }

    /// As [`Self::access`]; with `aligned` the linear address must be a multiple of sixteen.
    pub(super) fn access_as(&mut self, seg: SegReg, size: u32, write: bool, aligned: bool) -> Option<()> {
        let paged = self.s.mode.paged();
        let usual = self.s.usual;
        let mut look = Look { seg, size, write, aligned, onward: false, usual };
        let quad = size == 4 && paged && self.find_quad(look)?;
        if !quad {
            look.onward = size > 1 && !aligned && !paged;
            self.find(look)?;
        }
        let site = self.asm.jrcxz();
        if usual {
            self.usual_distance();
        }
        let (n, wrong, back) = (self.n, self.wrong, self.asm.pos());
        let refill = self.linear_at.map(|again| Refill { n, write, wrong, again });
        let slow = match refill {
            Some(refill) if quad => Slow::Quad(refill, look, back),
            _ if usual || look.onward => Slow::Alone(Alone { n, look, wrong, back }),
            Some(refill) => Slow::Refill(refill),
            None => Slow::Insn(n, wrong),
        };
        self.checks.push((site, slow));
        Some(())
    }

    /// RCX := the distance from linear to host addresses that most pages of the view have. It does not depend on the address: where
    /// one address is found in memory at another, the host need not wait for what was looked up to compute it.
    pub(super) fn usual_distance(&mut self) {
        self.asm.load(Width::Q, RCX, at(VIEW, flat::DISTANCE));
    }

    /// RCX := not 0 if four bytes at offset R8 of a segment are aligned and may be accessed: what to add to their linear address, if
    /// that is not to be the usual distance. R8 becomes linear, R9 the place in the tables. False, and nothing is done, if there is a
    /// limit.
    pub(super) fn find_quad(&mut self, look: Look) -> Option<bool> {
        let Look { seg, write, .. } = look;
        let s = self.s.mode.segment(seg);
        if !self.s.mode.is_unlimited(seg) || self.has(EmitFault::PageEndUnseen) {
            return Some(false);
        }
        if !s.may(write) {
            return None;
        }
        self.make_linear(seg, s);
        self.linear_at = Some(self.asm.pos());
        if self.has(EmitFault::CheckWritesFlags) {
            self.asm.rr(Width::D, &[0x85], R8, R8);
        }
        self.asm.rorx(R9, R8, 2);
        self.asm.shift_x(Width::D, 3, R9, R9, CPU);
        self.load_entry(RCX, look);
        Some(true)
    }

    /// `dst` := what the flat view has for the place in R9.
    pub(super) fn load_entry(&mut self, dst: Reg, look: Look) {
        let write = look.write && !self.has(EmitFault::WriteLikeRead);
        if look.usual && !self.has(EmitFault::DistanceUnseen) {
            let table = if write { flat::USUAL_WRITE } else { flat::USUAL_READ }
                + if look.onward { flat::USUAL_ONWARD } else { 0 };
            let mark = Mem { base: VIEW, index: Some((R9, 1)), disp: table };
            self.asm.rm(Width::D, &[0x0F, 0xB6], dst, mark);
        } else {
            let table =
                if write { flat::WRITE } else { flat::READ } + if look.onward { flat::ONWARD } else { 0 };
            self.asm.load(Width::Q, dst, Mem { base: VIEW, index: Some((R9, 3)), disp: table });
        }
    }

    /// R8 := linear address of offset R8 of `seg`.
    fn make_linear(&mut self, seg: SegReg, s: KnownSegment) {
        if s.dynamic {
            self.asm.load(Width::D, R9, of_cpu(segment_field(seg, offset_of!(Segment, base))));
            self.asm.lea(Width::D, R8, Mem { base: R8, index: Some((R9, 0)), disp: 0 });
        } else if s.base != 0 && !self.has(EmitFault::BaseForgotten) {
            self.asm.lea(Width::D, R8, at(R8, s.base as i32));
        }
    }

    /// RCX := what to add to the linear address of offset R8, or 0, and R9, if there is no limit and more than one byte, the same
    /// without a look at where they end. If that is to be the usual distance they are only 0 or not. R8 becomes linear.
    pub(super) fn find(&mut self, look: Look) -> Option<()> {
        let Look { seg, size, write, aligned, onward, .. } = look;
        let s = self.s.mode.segment(seg);
        let hi = s.bounds.1;
        if !s.may(write) {
            return None;
        }
        let limited = !self.s.mode.is_unlimited(seg) && !self.has(EmitFault::LimitUnseen);
        let size = if self.has(EmitFault::PageEndUnseen) && !aligned { 1 } else { size };
        let last = size as i32 - 1 - self.has(EmitFault::LimitOffByOne) as i32;
        if limited || aligned {
            self.give_up_group();
        }
        if limited {
            // R10 := 0 if the last byte is inside, else a count that shifts everything out.
            self.asm.lea(Width::Q, R9, at(R8, last));
            self.not(R9);
            match i32::try_from(hi as i64 + 1) {
                Ok(end) if !s.dynamic => self.asm.lea(Width::Q, R9, at(R9, end)),
                _ => {
                    if s.dynamic {
                        self.asm.load(Width::D, R10, of_cpu(segment_field(seg, Segment::LAST)));
                    } else {
                        self.asm.mov_imm(R10, hi);
                    }
                    self.asm.lea(Width::Q, R9, Mem { base: R9, index: Some((R10, 0)), disp: 1 });
                }
            }
            self.asm.shift_x(Width::Q, 3, R10, R9, VIEW);
        }
        self.make_linear(seg, s);
        self.linear_at = (!limited && !aligned).then_some(self.asm.pos());
        if self.has(EmitFault::CheckWritesFlags) {
            self.asm.rr(Width::D, &[0x85], R8, R8);
        }
        let ends_elsewhere = size > 1 && !onward;
        self.asm.shift_x(Width::D, 3, R9, R8, VIEW);
        if aligned {
            // A count that is 0 if the low four bits are.
            self.asm.mov_imm(RCX, 15);
            self.asm.pext(RCX, R8, RCX);
            self.not(RCX);
            self.asm.lea(Width::Q, RCX, at(RCX, 1));
            if limited {
                self.asm.shift_x(Width::Q, 3, RCX, RCX, VIEW);
                self.asm.lea(Width::Q, R10, Mem { base: R10, index: Some((RCX, 0)), disp: 0 });
            } else {
                self.asm.shift_x(Width::Q, 3, R10, RCX, VIEW);
            }
        } else if ends_elsewhere {
            // A count that is 0 if first and last byte are in one page.
            self.asm.lea(Width::D, RCX, at(R8, size as i32 - 1));
            self.asm.shift_x(Width::D, 3, RCX, RCX, VIEW);
            self.not(RCX);
            if limited {
                self.asm.lea(Width::Q, R10, Mem { base: R10, index: Some((RCX, 0)), disp: 0 });
                self.asm.lea(Width::Q, R10, Mem { base: R10, index: Some((R9, 0)), disp: 1 });
            } else {
                self.asm.lea(Width::Q, RCX, Mem { base: RCX, index: Some((R9, 0)), disp: 1 });
            }
        }
        if aligned || limited {
            self.load_entry(RCX, look);
            self.asm.shift_x(Width::Q, 1, RCX, RCX, R10);
        } else if ends_elsewhere {
            self.load_entry(R9, look);
            self.asm.shift_x(Width::Q, 1, RCX, R9, RCX);
        } else {
            self.load_entry(RCX, look);
        }
        Some(())
    }

    /// The first look at an access was short: at its end, or for another distance than the usual one, the second looks, too.
    pub(super) fn check_alone(&mut self, a: Alone) {
        self.look_closer(Look { onward: false, usual: false, ..a.look }, a.back);
        let slow = self.asm.jmp();
        let (n, write) = (a.n, a.look.write);
        let path = match self.linear_at {
            Some(again) => Slow::Refill(Refill { n, write, wrong: a.wrong, again }),
            None => Slow::Insn(n, a.wrong),
        };
        self.islands.push((slow, path));
    }

    /// A check of the address in R8, which is linear, with another look; to `back` if that finds it. The segment's base is taken off and
    /// put on again, for limits are about offsets.
    pub(super) fn look_closer(&mut self, look: Look, back: usize) {
        let s = self.s.mode.segment(look.seg);
        if s.dynamic {
            self.asm.load(Width::D, R9, of_cpu(segment_field(look.seg, offset_of!(Segment, base))));
            self.not(R9);
            self.asm.lea(Width::D, R8, Mem { base: R8, index: Some((R9, 0)), disp: 1 });
        } else if s.base != 0 && !self.has(EmitFault::BaseForgotten) {
            self.asm.lea(Width::D, R8, at(R8, (s.base as i32).wrapping_neg()));
        }
        // It was possible when the access was translated.
        self.failed |= self.find(look).is_none();
        self.go_on_if_found(back);
    }

    /// Look up the page of R8: back to `again` if that made an entry, else on.
    pub(super) fn refill_or_go_on(&mut self, write: bool, again: usize) {
        let write = write || self.has(EmitFault::RefillLikeWrite);
        self.call_place(if write { self.s.stubs.refill_write } else { self.s.stubs.refill_read });
        self.go_on_if_found(again);
    }

    /// Four bytes at ESP + `by` are about to be read or written: where they are, or the instruction goes its slow way.
    pub(super) fn on_stack(&mut self, by: i32, write: bool) -> Option<Mem> {
        if !self.s.mode.ss().big {
            return None;
        }
        let offset = |t: &mut Self, far: i32| t.asm.lea(Width::D, R8, at(ESP, by.wrapping_add(far)));
        match self.planned[self.n].stack {
            Some(used) if self.has_room_for(used) => self.grouped(used, SegReg::Ss, write, offset),
            _ => {
                offset(self, 0);
                self.access(SegReg::Ss, 4, write)?;
                Some(HOST)
            }
        }
    }

    pub(super) fn not(&mut self, reg: Reg) {
        self.asm.rr(Width::Q, &[0xF7], 2, reg);
    }

    /// The explicit memory operand, checked.
    pub(super) fn memory(&mut self, op: &Op, size: u32, write: bool) -> Option<Mem> {
        match self.planned[self.n].operand {
            Some(used) if size <= 8 && self.has_room_for(used) => {
                let ea = op.ea;
                self.grouped(used, ea.seg, write, |t, far| {
                    t.offset(&Ea { disp: ea.disp.wrapping_add(far as u32), ..ea });
                })
            }
            _ => {
                self.offset(&op.ea);
                self.access(op.ea.seg, size, write)?;
                Some(HOST)
            }
        }
    }

    /// Sixteen bytes that must be aligned.
    pub(super) fn memory16(&mut self, op: &Op, write: bool) -> Option<Mem> {
        self.offset(&op.ea);
        self.access_as(op.ea.seg, 16, write, true)?;
        Some(HOST)
    }

    /// As [`Self::memory`], addressable beside AH, CH, DH and BH (without REX).
    pub(super) fn memory_legacy(&mut self, op: &Op, write: bool) -> Option<Mem> {
        let mem = self.memory(op, 1, write)?;
        self.asm.lea(Width::Q, RCX, mem);
        Some(at(RCX, 0))
    }

    /// MOVNTI.
    pub(super) fn store_general(&mut self, op: &Op) -> Option<()> {
        let mem = self.memory(op, 4, true)?;
        self.asm.store(Width::D, mem, GUEST[op.reg[1] as usize]);
        Some(())
    }

    /// Host registers of guest registers `d` and `s`.
    pub(super) fn pair(&mut self, w: Width, d: u8, s: u8) -> (Reg, Reg) {
        if w != Width::B || d < 4 && s < 4 {
            return (GUEST[d as usize], GUEST[s as usize]);
        }
        if self.has(EmitFault::HighByteIsLow) {
            return (GUEST[d as usize & 3], GUEST[s as usize & 3]);
        }
        if uses_ecx(d) || uses_ecx(s) {
            self.asm.mov_rr(Width::D, RCX, ECX);
        }
        (d, s)
    }

    /// After [`Self::pair`], if the first was changed.
    pub(super) fn put_back(&mut self, w: Width, d: u8, s: u8, changed: bool) {
        let through_ecx = w == Width::B && !(d < 4 && s < 4) && uses_ecx(d);
        if through_ecx && changed && !self.has(EmitFault::HighByteIsLow) {
            self.asm.mov_rr(Width::D, ECX, RCX);
        }
    }

    pub(super) fn register_beside_memory(
        &mut self,
        w: Width,
        r: u8,
        op: &Op,
        write: bool,
    ) -> Option<(Reg, Mem)> {
        if w == Width::B && r >= 4 {
            if r == 5 {
                return None;
            }
            return Some((r, self.memory_legacy(op, write)?));
        }
        Some((GUEST[r as usize], self.memory(op, w.bytes(), write)?))
    }
}
