//! IRET in protected mode to the same or an outer level, far RET to an outer one.

use super::{Place, Way};
use crate::Cpu;
use crate::decode::Op;
use crate::event::Cause;
use crate::flags;
use crate::jit::EmitFault;
use crate::jit::calls::packed;
use crate::regs::gpr::ESP;
use crate::seg::SegReg;

/// Called by compiled code: IRET of 32 bits, as `calls::call_checked`.
pub(in crate::jit) extern "sysv64" fn iret(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `calls::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.return_quickly(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

/// Called by compiled code: a far RET of 32 bits that releases nothing more, as `calls::call_checked`.
pub(in crate::jit) extern "sysv64" fn far_return(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `calls::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.far_return_quickly(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

impl Cpu {
    fn return_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let nested = self.regs.flags.has(flags::NT);
        if !self.is_plain() || nested || self.lines.nmi || self.insns + 1 >= self.stop_at {
            return None;
        }
        let at = self.plain_frame(20)?;
        let slot = |n: u32| self.mem.read_at::<u32>(at + 4 * n);
        let (eip, cs, value, esp, ss) = (slot(0), slot(1) as u16, slot(2), slot(3), slot(4) as u16);
        let mask = self.iret_flags::<u32>(self.regs.cpl);
        let old = self.regs.flags.get();
        let new = old & !mask | value & mask;
        if value & flags::VM != 0
            || new & flags::TF != 0
            || (new ^ old) & flags::DF != 0
            || self.lines.intr && new & flags::IF != 0 && !self.does(EmitFault::WaitingUnseen)
        {
            return None;
        }
        let outwards = cs as u8 & 3 > self.regs.cpl;
        let place = self.plan_return(cs, outwards.then_some(ss), eip)?;
        let after = if outwards { esp } else { self.regs.gpr[ESP].wrapping_add(12) };
        // Without breakpoints RF hides nothing; it ends with the next instruction.
        self.make_return(place, eip, after, Cause::Iret, Some(new & !flags::RF))?;
        self.regs.nmi_blocked = false;
        self.frame.flags = packed(value);
        Some(self.arrive(op, place))
    }

    fn far_return_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let at = self.plain_frame(16)?;
        let slot = |n: u32| self.mem.read_at::<u32>(at + 4 * n);
        let (eip, cs, esp, ss) = (slot(0), slot(1) as u16, slot(2), slot(3) as u16);
        if !self.is_plain() || cs as u8 & 3 <= self.regs.cpl {
            return None;
        }
        let place = self.plan_return(cs, Some(ss), eip)?;
        self.make_return(place, eip, esp, Cause::FarReturn, None)?;
        Some(self.arrive(op, place))
    }

    /// The planned return, to `eip` and `esp`, with all of EFLAGS if they change.
    #[inline(always)]
    fn make_return(
        &mut self,
        place: Place,
        eip: u32,
        esp: u32,
        cause: Cause,
        eflags: Option<u32>,
    ) -> Option<()> {
        let Way { code, switches, stack, .. } = self.way(place)?;
        self.next_eip = eip;
        self.with_transfer_event(cause, |cpu| {
            cpu.regs.seg[SegReg::Cs as usize] = code;
            if switches {
                cpu.regs.seg[SegReg::Ss as usize] = stack;
            }
            cpu.regs.gpr[ESP] = esp;
            cpu.regs.cpl = code.selector as u8 & 3;
            if let Some(eflags) = eflags {
                cpu.regs.flags.set(eflags);
            }
            cpu.update_view();
        });
        self.regs.eip = eip;
        self.insns += 1;
        Some(())
    }

    /// The way back to `cs`, and to the stack `ss` of an outer level, if that can be gone quickly.
    #[inline(always)]
    fn plan_return(&mut self, cs: u16, ss: Option<u16>, eip: u32) -> Option<Place> {
        let cpl = cs as u8 & 3;
        if cpl < self.regs.cpl {
            return None;
        }
        if ss.is_some() && !self.does(EmitFault::InnerSegmentsKept) {
            // Data segments that the outer level may not use.
            for seg in [SegReg::Es, SegReg::Ds, SegReg::Fs, SegReg::Gs] {
                let d = self.regs.seg[seg as usize].descriptor();
                if d.present() && d.dpl() < cpl && !d.is_conforming() {
                    return None;
                }
            }
        }
        let current = self.jit.as_ref()?.current();
        let place = Place::of_return(cs, current);
        let known = self.known(place)?;
        let same = known.from == current
            && known.code.selector == cs
            && known.switches == ss.is_some()
            && self.is_still(&known.code)
            && ss.is_none_or(|ss| known.stack.selector == ss && self.is_still(&known.stack));
        if !same {
            let code = self.quiet_code(cs, cpl)?;
            let stack = match ss {
                Some(ss) => Some(self.quiet_stack(ss, cpl)?),
                None => None,
            };
            self.remember(place, 0, code, stack)?;
        }
        (eip <= self.known(place)?.code.segment.limit).then_some(place)
    }
}
