//! Loading segment registers (SDM vol. 3, 3.4.5, 5.6, 5.7, 5.10; vol. 2 MOV, POP, LDS).

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::interp::operand::{Mem, Reg, Source, has_memory};
use crate::mmu::View;
use crate::mutant::Mutant;
use crate::seg::{Descriptor, SegReg, Segment, is_null, selector_index_bits};
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// A descriptor and where it was found.
#[derive(Clone, Copy)]
pub(crate) struct Found {
    pub d: Descriptor,
    /// Linear address.
    pub at: u32,
}

impl Cpu {
    /// Read the descriptor that `selector` names; `beyond` makes the fault for one outside its table.
    #[inline(always)]
    pub(crate) fn find_descriptor(
        &mut self,
        selector: u16,
        beyond: fn(u16) -> Fault,
    ) -> Result<Found, Fault> {
        let (base, limit, usable) = if selector & 4 == 0 {
            (self.regs.gdtr.base, self.regs.gdtr.limit as u32, true)
        } else {
            (self.regs.ldtr.base, self.regs.ldtr.limit, self.regs.ldtr.usable())
        };
        let offset = (selector & !7) as u32;
        if !usable || offset + 7 > limit {
            return Err(beyond(selector_index_bits(selector)));
        }
        let at = base.wrapping_add(offset);
        Ok(Found { d: self.read_descriptor(at)?, at })
    }

    /// The descriptor at a linear address.
    #[inline(always)]
    pub(crate) fn read_descriptor(&mut self, at: u32) -> Result<Descriptor, Fault> {
        let fast = self.tlb.fast(View::Supervisor, at);
        if fast.read == at & !0xFFF && at & 0xFFF <= 0x1000 - 8 {
            let offset = at.wrapping_add(fast.delta);
            return Ok(Descriptor { lo: self.mem.read_at(offset), hi: self.mem.read_at(offset + 4) });
        }
        let lo = self.load_system(at)?;
        Ok(Descriptor { lo, hi: self.load_system(at.wrapping_add(4))? })
    }

    /// The outcome of comparing privilege levels (SDM vol. 3, 5.5).
    pub(crate) fn privilege_allows(&self, allowed: bool) -> bool {
        allowed || self.mutated(Mutant::SegmentPrivilegeIgnored)
    }

    /// Set the accessed bit in memory and give back the descriptor with it set.
    #[inline]
    pub(crate) fn mark_accessed(&mut self, found: Found) -> Result<Descriptor, Fault> {
        let hi = found.d.hi | 1 << 8;
        if hi != found.d.hi {
            self.store_system(found.at.wrapping_add(4), hi)?;
        }
        Ok(Descriptor { hi, ..found.d })
    }

    /// What `seg` holds after loading `selector` in the current mode. Writes the accessed bit, changes no register.
    ///
    /// # Errors
    /// #GP, #NP or #SS with the selector; #PF.
    #[inline(always)]
    pub(crate) fn prepare_segment(&mut self, seg: SegReg, selector: u16) -> Result<Segment, Fault> {
        if !self.regs.protected() {
            return Ok(self.real_mode_segment(seg, selector));
        }
        if seg == SegReg::Ss {
            self.prepare_stack_segment(selector)
        } else {
            self.prepare_data_segment(selector)
        }
    }

    /// In real mode only the base changes: limit and attributes stay what protected mode left.
    pub(crate) fn real_mode_segment(&self, seg: SegReg, selector: u16) -> Segment {
        if self.regs.v86() {
            return Segment::real(selector, 3);
        }
        let old = self.regs.seg[seg as usize];
        let attr = if old.usable() { old.attr } else { 0x9300 };
        let limit = if old.usable() { old.limit } else { 0xFFFF };
        Segment::new(selector, (selector as u32) << 4, limit, attr)
    }

    #[inline(always)]
    fn prepare_stack_segment(&mut self, selector: u16) -> Result<Segment, Fault> {
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let code = selector_index_bits(selector);
        let cpl = self.regs.cpl;
        let level_fits = selector as u8 & 3 == cpl && found.d.dpl() == cpl;
        if !found.d.is_writable_data() || !self.privilege_allows(level_fits) {
            return Err(Fault::gp(code));
        }
        if !found.d.present() {
            return Err(Fault::ss(code));
        }
        Ok(Segment::from_descriptor(selector, self.mark_accessed(found)?))
    }

    #[inline(always)]
    fn prepare_data_segment(&mut self, selector: u16) -> Result<Segment, Fault> {
        if is_null(selector) {
            return Ok(Segment::null(selector));
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let code = selector_index_bits(selector);
        if !found.d.is_segment() || !found.d.is_readable() {
            return Err(Fault::gp(code));
        }
        let needed = self.regs.cpl.max(selector as u8 & 3);
        if !self.privilege_allows(found.d.is_conforming() || found.d.dpl() >= needed) {
            return Err(Fault::gp(code));
        }
        if !found.d.present() {
            return Err(Fault::np(code));
        }
        Ok(Segment::from_descriptor(selector, self.mark_accessed(found)?))
    }

    /// Load `seg`; a load of SS holds off interrupts and debug traps for one instruction.
    #[inline(always)]
    pub(crate) fn load_segment(&mut self, seg: SegReg, selector: u16) -> Result<(), Fault> {
        let loaded = self.prepare_segment(seg, selector)?;
        self.regs.seg[seg as usize] = loaded;
        if seg == SegReg::Ss {
            self.regs.ss_shadow = self.insns + 1;
            self.attention = true;
        }
        Ok(())
    }
}

fn target(op: &Op, n: usize) -> Result<SegReg, Fault> {
    match SegReg::from_encoding(op.reg[n]) {
        None | Some(SegReg::Cs) => Err(Fault::UD),
        Some(seg) => Ok(seg),
    }
}

fn mov_to_sreg<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let seg = target(op, 0)?;
    let selector = S::get::<u16>(cpu, op)?;
    cpu.load_segment(seg, selector)
}

/// A 32-bit register destination is zero-extended; memory gets 16 bits.
fn mov_from_sreg<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let selector = cpu.regs.seg[op.reg[1] as usize % 6].selector;
    cpu.set_reg(op.reg[0], W::from_u32(selector as u32));
    Ok(())
}

fn mov_sreg_to_mem(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let selector = cpu.regs.seg[op.reg[1] as usize % 6].selector;
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, selector)
}

/// With a 32-bit operand size processors write only the low half of the stack slot.
fn push_sreg<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let selector = cpu.regs.seg[op.reg[0] as usize % 6].selector;
    let sp = cpu.sp().wrapping_sub(W::BYTES) & cpu.regs.stack_mask();
    cpu.store(SegReg::Ss, sp, selector)?;
    cpu.set_sp(sp);
    Ok(())
}

fn pop_sreg<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let seg = target(op, 0)?;
    let selector = cpu.peek::<W>(0)?.to_u32() as u16;
    // ESP moves with the *old* stack segment's width, but only once the load can no longer fail.
    let loaded = cpu.prepare_segment(seg, selector)?;
    cpu.drop_stack(W::BYTES);
    cpu.regs.seg[seg as usize] = loaded;
    if seg == SegReg::Ss {
        cpu.regs.ss_shadow = cpu.insns + 1;
        cpu.attention = true;
    }
    Ok(())
}

/// LDS LES LFS LGS LSS: offset first in memory, then the selector.
fn load_far_pointer<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let seg = match op.code {
        Code::Les_r16_m1616 | Code::Les_r32_m1632 => SegReg::Es,
        Code::Lds_r16_m1616 | Code::Lds_r32_m1632 => SegReg::Ds,
        Code::Lss_r16_m1616 | Code::Lss_r32_m1632 => SegReg::Ss,
        Code::Lfs_r16_m1616 | Code::Lfs_r32_m1632 => SegReg::Fs,
        _ => SegReg::Gs,
    };
    let at = op.ea.offset(cpu);
    let offset: W = cpu.load(op.ea.seg, at)?;
    let selector: u16 = cpu.load(op.ea.seg, at.wrapping_add(W::BYTES) & op.ea.mask)?;
    let loaded = cpu.prepare_segment(seg, selector)?;
    cpu.regs.seg[seg as usize] = loaded;
    cpu.set_reg(op.reg[0], offset);
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    Some(match insn.code() {
        Mov_Sreg_rm16 | Mov_Sreg_r32m16 => {
            if mem {
                mov_to_sreg::<Mem>
            } else {
                mov_to_sreg::<Reg<1>>
            }
        }
        Mov_rm16_Sreg if !mem => mov_from_sreg::<u16>,
        Mov_r32m16_Sreg if !mem => mov_from_sreg::<u32>,
        Mov_rm16_Sreg | Mov_r32m16_Sreg => mov_sreg_to_mem,
        Pushw_ES | Pushw_CS | Pushw_SS | Pushw_DS | Pushw_FS | Pushw_GS => push_sreg::<u16>,
        Pushd_ES | Pushd_CS | Pushd_SS | Pushd_DS | Pushd_FS | Pushd_GS => push_sreg::<u32>,
        Popw_ES | Popw_SS | Popw_DS | Popw_FS | Popw_GS => pop_sreg::<u16>,
        Popd_ES | Popd_SS | Popd_DS | Popd_FS | Popd_GS => pop_sreg::<u32>,
        Les_r16_m1616 | Lds_r16_m1616 | Lss_r16_m1616 | Lfs_r16_m1616 | Lgs_r16_m1616 => {
            load_far_pointer::<u16>
        }
        Les_r32_m1632 | Lds_r32_m1632 | Lss_r32_m1632 | Lfs_r32_m1632 | Lgs_r32_m1632 => {
            load_far_pointer::<u32>
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{FREE, code_of, data_of, in_ring, set_descriptor};

    /// What loading `selector` into `seg` at CPL `ring` gives, beside descriptors of several kinds.
    fn load(ring: u8, seg: SegReg, selector: u16) -> Result<(), Fault> {
        let mut cpu = in_ring(ring, &[]);
        set_descriptor(&mut cpu, FREE, 0x13, 0, 0xFFFF);
        set_descriptor(&mut cpu, FREE + 8, 0xF8, 0, 0xFFFF);
        cpu.load_segment(seg, selector)
    }

    #[test]
    fn every_check_has_its_fault() {
        let (gp, beyond) = (Fault::gp, 0x100);
        let (absent, execute_only) = (FREE, FREE + 8);
        let cases = [
            (3, SegReg::Ds, 3, Ok(())),
            (3, SegReg::Ds, data_of(3), Ok(())),
            (1, SegReg::Ds, data_of(3), Ok(())),
            (3, SegReg::Ds, data_of(1), Err(gp(data_of(1) & !3))),
            (0, SegReg::Ds, data_of(1) | 3, Err(gp(data_of(1) & !3))),
            (0, SegReg::Ds, absent, Err(Fault::np(absent))),
            (3, SegReg::Ds, execute_only, Err(gp(execute_only))),
            (3, SegReg::Ds, beyond, Err(gp(beyond))),
            (0, SegReg::Ds, 4, Err(gp(4))),
            (0, SegReg::Ss, 0, Err(Fault::GP0)),
            (1, SegReg::Ss, data_of(1), Ok(())),
            (1, SegReg::Ss, data_of(3), Err(gp(data_of(3) & !3))),
            (0, SegReg::Ss, absent, Err(Fault::ss(absent))),
            (0, SegReg::Ss, code_of(0), Err(gp(code_of(0)))),
        ];
        for (ring, seg, selector, expected) in cases {
            assert_eq!(load(ring, seg, selector), expected, "{seg:?} <- {selector:#x} at CPL {ring}");
        }
    }
}
