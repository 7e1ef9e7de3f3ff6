//! Exceptions: classes, double fault, shutdown (SDM vol. 3, 6.5 and 6.15, table 6-5), and the debug trap.

use super::interrupt::Interrupt;
use crate::Cpu;
use crate::event::Cause;
use crate::fault::{Fault, vector};
use crate::flags;
use crate::mutant::Mutant;
use crate::regs::{Activity, cr0};

/// Faults met one while delivering the other after which there is no end to them.
///
/// #AC is benign by table 6-5. If its own delivery meets a misaligned stack, it begins again, and so for ever, without
/// a moment at which even an NMI could be taken; #TS and #AC can alternate in the same way. Such a processor does
/// nothing until RESET, which is what shutdown is.
const ENDLESS: u32 = 32;

/// How an exception combines with one raised while delivering it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Class {
    Benign,
    Contributory,
    PageFault,
    DoubleFault,
}

fn class(fault: Fault) -> Class {
    match fault.vector() {
        vector::DE | vector::TS | vector::NP | vector::SS | vector::GP => Class::Contributory,
        vector::PF => Class::PageFault,
        vector::DF => Class::DoubleFault,
        _ => Class::Benign,
    }
}

impl Cpu {
    /// Deliver the exception `fault`, raised by the instruction at CS:EIP.
    pub(crate) fn raise(&mut self, fault: Fault) {
        // The instruction did not complete, so its debug traps do not happen.
        self.regs.pending_debug = 0;
        if fault == Fault::MF && self.regs.cr0 & cr0::NE == 0 {
            return self.freeze_for_float_error();
        }
        self.raise_after(None, fault);
    }

    /// Deliver `fault`, which was met while delivering `first`; go on until something is delivered or nothing can be.
    pub(crate) fn raise_after(&mut self, first: Option<Fault>, fault: Fault) {
        self.attention = true;
        self.note_page_fault(fault);
        let mut current = match first {
            Some(first) => combine(first, fault),
            None => Some(fault),
        };
        for _ in 0..ENDLESS {
            let Some(fault) = current else { break };
            self.counters.exceptions += 1;
            current = match self.deliver(self.exception(fault)) {
                Ok(()) => return,
                Err(second) => {
                    self.note_page_fault(second);
                    combine(fault, second)
                }
            };
        }
        self.regs.activity = Activity::Shutdown;
    }

    /// The delivery of `fault`, raised by the instruction at CS:EIP.
    pub(crate) fn exception(&self, fault: Fault) -> Interrupt {
        let after = fault.vector() == vector::DE && self.mutated(Mutant::DivideErrorAfter);
        Interrupt {
            vector: fault.vector(),
            cause: Cause::Exception { vector: fault.vector(), error: fault.error() },
            return_eip: if after { self.next_eip } else { self.regs.eip },
            error: fault.error(),
            // A fault restarts its instruction with RF set, so that a code breakpoint there does not hit twice;
            // an instruction breakpoint itself does not set it (SDM vol. 3, 17.3.1.1).
            resume: fault.vector() != vector::DB || self.regs.flags.has(flags::RF),
            by_program: false,
        }
    }

    /// CR2 is loaded when a page fault is met, even if it becomes a double fault.
    pub(crate) fn note_page_fault(&mut self, fault: Fault) {
        if fault.vector() == vector::PF {
            self.regs.cr2 = self.fault_address;
        }
    }

    /// CR0.NE is clear: an x87 error is not an exception. The processor asserts FERR#, from which the board makes IRQ
    /// 13, and stops before the instruction until an interrupt comes (SDM vol. 1, 8.7.2 and appendix D).
    fn freeze_for_float_error(&mut self) {
        self.regs.activity = Activity::Halted;
        self.attention = true;
        self.lines.float_error = true;
        self.with_bus(|bus, cx| bus.float_error(cx));
    }

    /// Deliver the #DB trap for the conditions in `pending_debug`.
    pub(crate) fn raise_debug_trap(&mut self) {
        self.regs.dr6 |= std::mem::take(&mut self.regs.pending_debug);
        self.counters.exceptions += 1;
        let int = Interrupt {
            vector: vector::DB,
            cause: Cause::Exception { vector: vector::DB, error: None },
            return_eip: self.regs.eip,
            error: None,
            resume: self.regs.flags.has(flags::RF),
            by_program: false,
        };
        if let Err(fault) = self.deliver(int) {
            self.raise_after(Some(Fault::DB), fault);
        }
        self.attention = true;
    }
}

/// Table 6-5: what is raised when `second` is met while delivering `first`; `None` is shutdown.
fn combine(first: Fault, second: Fault) -> Option<Fault> {
    let double = match (class(first), class(second)) {
        (Class::DoubleFault, _) => return None,
        (Class::Contributory, Class::Contributory) => true,
        (Class::PageFault, Class::Contributory | Class::PageFault) => true,
        _ => false,
    };
    Some(if double { Fault::DF } else { second })
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::flags;
    use crate::regs::{Activity, cr0, cr4, gpr};
    use crate::testing::{CODE, IDT, code_of, handler, in_ring, set_gate};

    /// Gates to ring 3 keep the stack, which is misaligned: pushing the frame of #AC is another #AC.
    #[test]
    fn an_alignment_check_while_delivering_one_ends_the_processor() {
        let mut cpu = in_ring(3, &[0x0F, 0x0B]);
        for n in [6, 17] {
            set_gate(&mut cpu, IDT + 8 * n, 0xEE, code_of(3), handler(n as u8), 0);
        }
        cpu.regs.cr0 |= cr0::AM;
        cpu.regs.flags.put(flags::AC, true);
        cpu.regs.gpr[gpr::ESP] |= 1;
        cpu.state_changed();
        assert_eq!(cpu.run(10), Exit::Shutdown);
        assert_eq!((cpu.insns(), cpu.regs.eip), (0, CODE));
    }

    /// mov eax, [0x400000], which is not present, with a stack that is not present either.
    #[test]
    fn cr2_is_the_address_of_the_second_page_fault() {
        let mut cpu = in_ring(0, &[0xA1, 0x00, 0x00, 0x40, 0x00]);
        cpu.phys_write(0x20000, 0x83u32);
        (cpu.regs.cr3, cpu.regs.cr4) = (0x20000, cr4::PSE);
        cpu.regs.cr0 |= cr0::PG;
        cpu.regs.gpr[gpr::ESP] = 0x80_0004;
        cpu.state_changed();
        assert_eq!(cpu.run(10), Exit::Shutdown);
        assert_eq!(cpu.regs.cr2, 0x80_0000);
    }

    /// fldz; fld1; fdivrp with #Z unmasked; fwait; nop. Without CR0.NE the processor waits at FWAIT for an interrupt.
    #[test]
    fn a_float_error_without_ne_freezes_the_processor() {
        let code = [0xD9, 0x2D, 0, 0x90, 0, 0, 0xD9, 0xEE, 0xD9, 0xE8, 0xDE, 0xF1, 0x9B, 0xDB, 0xE2, 0x90];
        let mut cpu = in_ring(0, &code);
        cpu.phys_write(0x9000, 0x037Bu16);
        cpu.fpu.initialize();
        assert_eq!(cpu.run(100), Exit::Halted);
        assert_eq!((cpu.regs.eip, cpu.insns()), (CODE + 12, 4));
        assert!(cpu.lines.float_error);
        // IGNNE# lets it pass; FNCLEX ends the error and both signals.
        cpu.lines.ignore_float_error = true;
        cpu.regs.activity = Activity::Running;
        assert_eq!(cpu.run(6), Exit::Limit);
        assert_eq!(cpu.regs.eip, CODE + 15);
        assert!(!cpu.lines.float_error && !cpu.lines.ignore_float_error);
    }
}
