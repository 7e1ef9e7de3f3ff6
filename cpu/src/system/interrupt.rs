//! Delivery of exceptions and interrupts through the IDT (SDM vol. 3, chapter 6; vol. 2, INT n).
//!
//! Everything is checked and the whole frame is in memory before any register changes, so a fault during delivery
//! finds the processor as it was. What such a fault becomes (a double fault, a shutdown) is in [`super::exception`].

use super::debug::DR6_BS;
use super::debug_registers::DR7_GD;
use super::inner_stack::Frame;
use super::task::Switch;
use crate::Cpu;
use crate::event::{Cause, Event};
use crate::fault::{Fault, vector};
use crate::flags;
use crate::mutant::Mutant;
use crate::regs::Activity;
use crate::regs::gpr::ESP;
use crate::seg::{Descriptor, SegReg, Segment, SystemType, is_null, selector_index_bits};

/// Error-code bit: the selector part is an IDT index.
const IN_IDT: u16 = 2;

/// Something to deliver.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupt {
    pub vector: u8,
    pub cause: Cause,
    /// EIP to push.
    pub return_eip: u32,
    /// Error code to push (protected mode only).
    pub error: Option<u16>,
    /// RF in the pushed EFLAGS.
    pub resume: bool,
    /// INT n, INT3, INTO: the gate's DPL is checked, and faults of the delivery have EXT clear. INT1 is not one of
    /// them: it is a software interrupt that counts as an exception.
    pub by_program: bool,
}

impl Cpu {
    /// Deliver `int`.
    ///
    /// # Errors
    /// The fault met on the way, with EXT set as it should be; no register has changed (but GD of DR7, by a #DB).
    pub(crate) fn deliver(&mut self, int: Interrupt) -> Result<(), Fault> {
        if matches!(int.cause, Cause::Exception { vector: vector::DB, .. }) {
            self.regs.dr7 &= !DR7_GD;
        }
        self.next_eip = self.regs.eip;
        let from = (self.regs.cpl, self.regs.cs().selector, self.regs.eip);
        let delivered = if self.regs.protected() || self.regs.v86() {
            self.deliver_protected(int)
        } else {
            self.deliver_real(int)
        };
        match delivered {
            Ok(()) => {
                self.regs.eip = self.next_eip;
                self.regs.sti_shadow = 0;
                self.regs.ss_shadow = 0;
                if self.regs.activity == Activity::Halted {
                    self.regs.activity = Activity::Running;
                }
                self.attention = true;
                self.emit(|cpu| Event::Transfer {
                    cause: int.cause,
                    from_cpl: from.0,
                    to_cpl: cpu.regs.cpl,
                    from: (from.1, from.2),
                    to: (cpu.regs.cs().selector, cpu.regs.eip),
                    eax: cpu.regs.gpr[0],
                });
                Ok(())
            }
            Err(fault) => Err(if int.by_program { fault } else { fault.external() }),
        }
    }

    fn pushed_flags(&self, int: &Interrupt) -> u32 {
        self.regs.flags.get() & !flags::RF | if int.resume { flags::RF } else { 0 }
    }

    /// Real-address mode: the interrupt vector table (SDM vol. 3, 20.1.4).
    fn deliver_real(&mut self, int: Interrupt) -> Result<(), Fault> {
        let at = int.vector as u32 * 4;
        if at + 3 > self.regs.idtr.limit as u32 {
            return Err(Fault::gp(int.vector as u16 * 8 + IN_IDT));
        }
        let linear = self.regs.idtr.base.wrapping_add(at);
        let eip: u16 = self.load_system(linear)?;
        let cs: u16 = self.load_system(linear.wrapping_add(2))?;
        let mut frame = Frame::current(self);
        frame.push(self, self.regs.flags.get() as u16)?;
        frame.push(self, self.regs.cs().selector)?;
        frame.push(self, int.return_eip as u16)?;
        self.enter_real_code(cs, eip as u32)?;
        frame.commit(self);
        self.regs.flags.put(flags::IF | flags::TF | flags::AC | flags::RF, false);
        Ok(())
    }

    fn read_gate(&mut self, vector: u8) -> Result<Descriptor, Fault> {
        let error = vector as u16 * 8 + IN_IDT;
        if vector as u32 * 8 + 7 > self.regs.idtr.limit as u32 {
            return Err(Fault::gp(error));
        }
        self.read_descriptor(self.regs.idtr.base.wrapping_add(vector as u32 * 8))
    }

    fn deliver_protected(&mut self, int: Interrupt) -> Result<(), Fault> {
        let error = int.vector as u16 * 8 + IN_IDT;
        let gate = self.read_gate(int.vector)?;
        let (wide, masks) = match gate.system_type() {
            _ if gate.is_segment() => return Err(Fault::gp(error)),
            SystemType::TaskGate => (true, false),
            SystemType::InterruptGate16 => (false, true),
            SystemType::TrapGate16 => (false, false),
            SystemType::InterruptGate32 => (true, true),
            SystemType::TrapGate32 => (true, false),
            _ => return Err(Fault::gp(error)),
        };
        if int.by_program && gate.dpl() < self.regs.cpl && !self.mutated(Mutant::GateDplIgnored) {
            return Err(Fault::gp(error));
        }
        if !gate.present() {
            return Err(Fault::np(error));
        }
        if gate.system_type() == SystemType::TaskGate {
            return self.deliver_to_task(int, gate);
        }

        let selector = gate.gate_selector();
        let code = selector_index_bits(selector);
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        if !found.d.is_code() || found.d.dpl() > self.regs.cpl {
            return Err(Fault::gp(code));
        }
        if !found.d.present() {
            return Err(Fault::np(code));
        }
        let eip = if wide { gate.gate_offset() } else { gate.gate_offset() & 0xFFFF };
        let new_cpl = if found.d.is_conforming() { self.regs.cpl } else { found.d.dpl() };
        let v86 = self.regs.v86();
        if v86 && new_cpl != 0 {
            return Err(Fault::gp(code));
        }
        if eip > found.d.limit() {
            return Err(Fault::GP0);
        }

        let inner = new_cpl < self.regs.cpl;
        let mut frame = if inner { self.inner_frame(new_cpl)? } else { Frame::current(self) };
        if v86 {
            for seg in [SegReg::Gs, SegReg::Fs, SegReg::Ds, SegReg::Es] {
                let selector = self.regs.seg[seg as usize].selector;
                frame.push_sized(self, selector as u32, wide)?;
            }
        }
        let error = int
            .error
            .map_or(0, |error| (if self.mutated(Mutant::ErrorCodeWrong) { error ^ 4 } else { error }) as u32);
        let values = [
            self.regs.ss().selector as u32,
            self.regs.gpr[ESP],
            self.pushed_flags(&int),
            self.regs.cs().selector as u32,
            int.return_eip,
            error,
        ];
        let (first, end) = (if inner { 0 } else { 2 }, if int.error.is_some() { 6 } else { 5 });
        frame.push_all(self, &values[first..end], wide)?;
        let d = self.mark_accessed(found)?;

        frame.commit(self);
        self.enter_code(selector, d, new_cpl, eip);
        if v86 {
            for seg in [SegReg::Gs, SegReg::Fs, SegReg::Ds, SegReg::Es] {
                self.regs.seg[seg as usize] = Segment::null(0);
            }
        }
        self.regs.flags.put(flags::TF | flags::NT | flags::RF | flags::VM, false);
        if masks {
            self.regs.flags.put(flags::IF, false);
        }
        self.update_view();
        Ok(())
    }

    fn deliver_to_task(&mut self, int: Interrupt, gate: Descriptor) -> Result<(), Fault> {
        // The old task resumes at the return address, with RF as a frame would hold it.
        self.next_eip = int.return_eip;
        let rf = self.regs.flags.has(flags::RF);
        self.regs.flags.put(flags::RF, int.resume);
        let switched = self.through_task_gate(gate, Switch::Interrupt, int.error);
        if switched.is_err() {
            self.regs.flags.put(flags::RF, rf);
        }
        switched
    }

    /// INT n, INT3, INTO (`by_program`) and INT1, from their handlers.
    ///
    /// # Errors
    /// As [`Self::deliver`].
    pub(crate) fn software_interrupt(&mut self, vector: u8, by_program: bool) -> Result<(), Fault> {
        let int = Interrupt {
            vector,
            cause: Cause::SoftwareInterrupt(vector),
            return_eip: self.next_eip,
            error: None,
            resume: false,
            by_program,
        };
        self.deliver(int)?;
        // No single-step trap follows: delivery cleared TF (SDM vol. 3, 17.3.1.4).
        self.regs.pending_debug &= !DR6_BS;
        self.counters.software_interrupts += 1;
        Ok(())
    }

    /// Between instructions: take a pending NMI or maskable interrupt if nothing holds it off (6.9 priorities).
    pub(crate) fn take_interrupts(&mut self) {
        if self.lines.nmi && !self.regs.nmi_blocked && !self.in_ss_shadow() {
            self.lines.nmi = false;
            self.regs.nmi_blocked = true;
            self.take(2, Cause::Nmi);
        } else if self.lines.intr && self.regs.flags.has(flags::IF) && !self.in_shadow() {
            let vector = self.with_bus(|bus, cx| bus.acknowledge_interrupt(cx));
            self.take(vector, Cause::Irq(vector));
        }
    }

    fn take(&mut self, vector: u8, cause: Cause) {
        self.counters.irqs += 1;
        let int = Interrupt {
            vector,
            cause,
            return_eip: self.regs.eip,
            error: None,
            resume: self.regs.flags.has(flags::RF),
            by_program: false,
        };
        if let Err(fault) = self.deliver(int) {
            self.raise_after(None, fault);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::testing::{CODE, IDT, STACK, STACK0, code_of, data_of, handler, in_ring, set_gate, stack};

    /// int 0x30 in ring 3 through a gate of DPL 3: ring-0 stack, whole frame, IF by the gate's kind.
    #[test]
    fn an_inner_interrupt_saves_the_outer_stack_and_clears_if_only_through_an_interrupt_gate() {
        for (kind, interrupts) in [(0xEE, false), (0xEF, true)] {
            let mut cpu = in_ring(3, &[0xCD, 0x30]);
            set_gate(&mut cpu, IDT + 8 * 0x30, kind, code_of(0), handler(0x30), 0);
            cpu.regs.flags.set(flags::IF);
            assert_eq!(cpu.run(1), Exit::Limit);
            assert_eq!((cpu.regs.cpl, cpu.regs.eip), (0, handler(0x30)));
            assert_eq!(cpu.regs.gpr[ESP], STACK0 - 20);
            let [eip, cs, eflags, esp, ss] = stack(&mut cpu);
            assert_eq!((eip, cs, esp, ss), (CODE + 2, code_of(3) as u32, STACK, data_of(3) as u32));
            assert_eq!(eflags, flags::IF | 2);
            assert_eq!(cpu.regs.flags.has(flags::IF), interrupts);
        }
    }

    #[test]
    fn a_gate_of_dpl_0_is_closed_to_programs_but_open_to_exceptions() {
        let mut cpu = in_ring(3, &[0xCD, 0x30]);
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!(cpu.regs.eip, handler(13) + 1);
        assert_eq!(stack::<2>(&mut cpu), [0x30 * 8 + 2, CODE]);
        let mut cpu = in_ring(3, &[0x0F, 0x0B]);
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!(cpu.regs.eip, handler(6) + 1);
    }

    #[test]
    fn a_missing_gate_is_a_double_fault_and_no_idt_at_all_a_shutdown() {
        let mut cpu = in_ring(3, &[0x0F, 0x0B]);
        for n in [6, 13] {
            cpu.phys_write::<u64>((IDT + 8 * n) as u64, 0);
        }
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!((cpu.regs.eip, stack::<1>(&mut cpu)), (handler(8) + 1, [0]));
        let mut cpu = in_ring(3, &[0x0F, 0x0B]);
        cpu.regs.idtr.limit = 0;
        assert_eq!(cpu.run(10), Exit::Shutdown);
    }
}
