//! INT n and exceptions through interrupt and trap gates, CALL through call gates: to the same or an inner level.

use super::{Place, Way, descriptor};
use crate::Cpu;
use crate::decode::Op;
use crate::event::{Cause, Event};
use crate::fault::Fault;
use crate::flags;
use crate::jit::calls::{packed, unpacked};
use crate::regs::gpr::ESP;
use crate::seg::SegReg;
use crate::system::{Frame, Interrupt};

/// Called by compiled code: INT n, as `calls::call_checked`.
pub(in crate::jit) extern "sysv64" fn interrupt(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `calls::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.interrupt_quickly(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

/// Called by compiled code: a direct far CALL with an offset of 32 bits, as `calls::call_checked`.
pub(in crate::jit) extern "sysv64" fn far_call(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `calls::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.call_quickly(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

/// P, S and the type of a descriptor's high word, trap and interrupt gates being the same.
const KIND: u32 = 0x9F00;
const INTERRUPT_GATE: u32 = 0x8E00;
const TRAP_BIT: u32 = 0x100;
const CALL_GATE: u32 = 0x8C00;

impl Cpu {
    /// Whether the transfer at `place` through a gate of these bytes can be made, and ESP of the stack it switches to.
    #[inline(always)]
    fn check_gate(&mut self, place: Place, bytes: u64) -> Option<u32> {
        let current = self.jit.as_ref()?.current();
        let known = self.known(place)?;
        if known.from == current && known.gate == bytes && self.is_still(&known.code) {
            if !known.switches {
                return Some(0);
            }
            let (ss, esp) = self.quiet_tss_stack(known.code.segment.selector as u8 & 3)?;
            if ss == known.stack.selector && self.is_still(&known.stack) {
                return Some(esp);
            }
        }
        self.check_gate_anew(place, bytes)
    }

    #[cold]
    #[inline(never)]
    fn check_gate_anew(&mut self, place: Place, bytes: u64) -> Option<u32> {
        let gate = descriptor(bytes);
        let selector = gate.gate_selector();
        let target = descriptor(self.quiet_descriptor(selector)?);
        let cpl = target.dpl();
        let code = self.quiet_code(selector, cpl)?;
        if cpl > self.regs.cpl || gate.gate_offset() > code.segment.limit {
            return None;
        }
        let (stack, esp) = if cpl < self.regs.cpl {
            let (ss, esp) = self.quiet_tss_stack(cpl)?;
            (Some(self.quiet_stack(ss, cpl)?), esp)
        } else {
            (None, 0)
        };
        self.remember(place, bytes, code, stack)?;
        Some(esp)
    }

    /// The way `int` goes, if that can be gone quickly: where it is remembered, and ESP of the stack it switches to.
    #[inline(always)]
    fn plan_delivery(&mut self, int: &Interrupt) -> Option<(Place, u32)> {
        let at = int.vector as u32 * 8;
        if !self.is_plain() || at + 7 > self.regs.idtr.limit as u32 {
            return None;
        }
        let bytes: u64 = self.quiet_read(self.regs.idtr.base.wrapping_add(at))?;
        let gate = descriptor(bytes);
        if gate.hi & KIND & !TRAP_BIT != INTERRUPT_GATE || int.by_program && gate.dpl() < self.regs.cpl {
            return None;
        }
        let place = Place::of_vector(int.vector);
        Some((place, self.check_gate(place, bytes)?))
    }

    /// Push the frame of `int`, which finds `eflags`; `None` if that takes more than one check. Then nothing has changed.
    #[inline(always)]
    fn push_frame(&mut self, way: &Way, esp: u32, int: &Interrupt, eflags: u32) -> Option<Frame> {
        let mut frame = if way.switches { Frame::inner(way.stack, esp) } else { Frame::current(self) };
        let values = [
            self.regs.ss().selector as u32,
            self.regs.gpr[ESP],
            eflags & !flags::RF | if int.resume { flags::RF } else { 0 },
            self.regs.cs().selector as u32,
            int.return_eip,
            int.error.unwrap_or(0) as u32,
        ];
        let (first, end) = (if way.switches { 0 } else { 2 }, if int.error.is_some() { 6 } else { 5 });
        frame.push_at_once(self, &values[first..end]).then_some(frame)
    }

    /// The frame is in memory: go through the gate.
    #[inline(always)]
    fn enter_gate(&mut self, way: &Way, frame: Frame, cause: Cause) {
        let from = (self.regs.cpl, self.regs.cs().selector, self.regs.eip);
        let gate = descriptor(way.gate);
        frame.commit(self);
        self.regs.seg[SegReg::Cs as usize] = way.code;
        self.regs.eip = gate.gate_offset();
        self.next_eip = self.regs.eip;
        self.regs.cpl = way.code.selector as u8 & 3;
        if gate.hi & KIND != CALL_GATE {
            let masked = if gate.hi & TRAP_BIT == 0 { flags::IF } else { 0 };
            self.regs.flags.put(flags::TF | flags::NT | flags::RF | flags::VM | masked, false);
            self.regs.sti_shadow = 0;
            self.regs.ss_shadow = 0;
        }
        self.update_view();
        self.emit(|cpu| Event::Transfer {
            cause,
            from_cpl: from.0,
            to_cpl: cpu.regs.cpl,
            from: (from.1, from.2),
            to: (cpu.regs.cs().selector, cpu.regs.eip),
            eax: cpu.regs.gpr[0],
        });
    }

    fn interrupt_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let vector = op.imm as u8;
        let int = Interrupt {
            vector,
            cause: Cause::SoftwareInterrupt(vector),
            return_eip: self.regs.eip.wrapping_add(op.len as u32),
            error: None,
            resume: false,
            by_program: true,
        };
        let (place, esp) = self.plan_delivery(&int)?;
        let way = self.way(place)?;
        let eflags = self.regs.flags.get() & !flags::ARITH | unpacked(self.frame.flags);
        let frame = self.push_frame(&way, esp, &int, eflags)?;
        self.enter_gate(&way, frame, int.cause);
        self.counters.software_interrupts += 1;
        self.insns += 1;
        Some(self.arrive(op, place))
    }

    /// The handler of `op` raised `fault`, with everything in the `Cpu`: deliver it. `None` if nothing was done.
    #[inline(always)]
    pub(in crate::jit) fn raise_quickly(&mut self, op: &Op, fault: Fault) -> Option<u32> {
        if self.attention || fault == Fault::DB || fault == Fault::MF {
            return None;
        }
        let int = self.exception(fault);
        let (place, esp) = self.plan_delivery(&int)?;
        let way = self.way(place)?;
        let frame = self.push_frame(&way, esp, &int, self.regs.flags.get())?;
        self.regs.pending_debug = 0;
        self.note_page_fault(fault);
        self.counters.exceptions += 1;
        self.frame.flags = packed(self.regs.flags.arith());
        self.enter_gate(&way, frame, int.cause);
        Some(self.arrive(op, place))
    }

    /// A call gate without parameters.
    fn call_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let bytes = self.quiet_descriptor(op.imm2)?;
        let gate = descriptor(bytes);
        if !self.is_plain()
            || gate.hi & KIND != CALL_GATE
            || gate.gate_parameters() != 0
            || gate.dpl() < self.regs.cpl.max(op.imm2 as u8 & 3)
        {
            return None;
        }
        let place = Place::of_call(op.imm2);
        let esp = self.check_gate(place, bytes)?;
        let way = self.way(place)?;
        let mut frame = if way.switches { Frame::inner(way.stack, esp) } else { Frame::current(self) };
        let back = self.regs.eip.wrapping_add(op.len as u32);
        let outer =
            [self.regs.ss().selector as u32, self.regs.gpr[ESP], self.regs.cs().selector as u32, back];
        if !frame.push_at_once(self, &outer[if way.switches { 0 } else { 2 }..]) {
            return None;
        }
        self.enter_gate(&way, frame, Cause::FarCall);
        self.insns += 1;
        Some(self.arrive(op, place))
    }
}
