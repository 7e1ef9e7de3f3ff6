//! Far RET (SDM vol. 3, 5.8.6) and what IRET shares with it: returning to an outer ring.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::event::Cause;
use crate::fault::Fault;
use crate::mutant::Mutant;
use crate::regs::gpr::ESP;
use crate::seg::{Descriptor, SegReg, Segment, is_null, selector_index_bits};
use crate::word::Word;
use iced_x86::{Code, Instruction};

use super::segment_load::Found;

impl Cpu {
    /// Check the code segment a return goes to (RET, IRET): RPL is the level returned to.
    pub(crate) fn check_return_code(&mut self, selector: u16) -> Result<Found, Fault> {
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let (code, rpl, d) = (selector_index_bits(selector), selector as u8 & 3, found.d);
        let level_fits = if d.is_conforming() { d.dpl() <= rpl } else { d.dpl() == rpl };
        if !d.is_code() || rpl < self.regs.cpl || !self.privilege_allows(level_fits) {
            return Err(Fault::gp(code));
        }
        if !d.present() {
            return Err(Fault::np(code));
        }
        Ok(found)
    }

    /// Check the stack segment of a return to outer level `cpl`.
    pub(crate) fn check_return_stack(&mut self, selector: u16, cpl: u8) -> Result<Segment, Fault> {
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let code = selector_index_bits(selector);
        let level_fits = selector as u8 & 3 == cpl && found.d.dpl() == cpl;
        if !found.d.is_writable_data() || !self.privilege_allows(level_fits) {
            return Err(Fault::gp(code));
        }
        if !found.d.present() {
            return Err(Fault::ss(code));
        }
        Ok(Segment::from_descriptor(selector, self.mark_accessed(found)?))
    }

    /// After a return to an outer ring: data segments that the outer ring may not use become null.
    pub(crate) fn null_inner_segments(&mut self) {
        if self.mutated(Mutant::IretNullingOff) {
            return;
        }
        let cpl = self.regs.cpl;
        for seg in [SegReg::Es, SegReg::Ds, SegReg::Fs, SegReg::Gs] {
            let s = &mut self.regs.seg[seg as usize];
            let d = s.descriptor();
            if s.usable() && d.dpl() < cpl && !d.is_conforming() {
                *s = Segment::null(0);
            }
        }
    }

    /// Commit a return to an outer ring; the caller has checked everything.
    pub(crate) fn return_outwards(&mut self, cs: u16, d: Descriptor, eip: u32, ss: Segment, esp: u32) {
        self.enter_code(cs, d, cs as u8 & 3, eip);
        let mask = if ss.big() { u32::MAX } else { 0xFFFF };
        self.regs.seg[SegReg::Ss as usize] = ss;
        let old = self.regs.gpr[ESP];
        self.regs.gpr[ESP] = old & !mask | esp & mask;
        self.null_inner_segments();
    }

    fn far_return<W: Word>(&mut self, release: u32) -> Result<(), Fault> {
        let eip = self.peek::<W>(0)?.to_u32();
        let cs = self.peek::<W>(W::BYTES)?.to_u32() as u16;
        if !self.regs.protected() {
            self.enter_real_code(cs, eip)?;
            self.drop_stack(2 * W::BYTES + release);
            return Ok(());
        }
        let found = self.check_return_code(cs)?;
        let rpl = cs as u8 & 3;
        if rpl == self.regs.cpl {
            if eip > found.d.limit() {
                return Err(Fault::GP0);
            }
            let d = self.mark_accessed(found)?;
            self.drop_stack(2 * W::BYTES + release);
            self.enter_code(cs, d, rpl, eip);
            return Ok(());
        }
        let esp = self.peek::<W>(2 * W::BYTES + release)?.to_u32();
        let ss = self.peek::<W>(3 * W::BYTES + release)?.to_u32() as u16;
        let ss = self.check_return_stack(ss, rpl)?;
        if eip > found.d.limit() {
            return Err(Fault::GP0);
        }
        let d = self.mark_accessed(found)?;
        self.with_transfer_event(Cause::FarReturn, |cpu| {
            cpu.return_outwards(cs, d, eip, ss, esp.wrapping_add(release));
        });
        Ok(())
    }
}

fn ret<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.far_return::<W>(op.imm & 0xFFFF)
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Retfw | Code::Retfw_imm16 => ret::<u16>,
        Code::Retfd | Code::Retfd_imm16 => ret::<u32>,
        _ => return None,
    })
}
