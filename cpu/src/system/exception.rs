//! Exceptions: classes, double fault, shutdown (SDM vol. 3, 6.5 and 6.15, table 6-5), and the debug trap.

use super::interrupt::Interrupt;
use crate::Cpu;
use crate::event::Cause;
use crate::fault::{Fault, vector};
use crate::flags;
use crate::mutant::Mutant;
use crate::regs::Activity;

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
        self.raise_after(None, fault);
    }

    /// Deliver `fault`, which was met while delivering `first`; go on until something is delivered or nothing can be.
    pub(crate) fn raise_after(&mut self, first: Option<Fault>, fault: Fault) {
        self.attention = true;
        let mut current = match first {
            Some(first) => combine(first, fault),
            None => Some(fault),
        };
        for _ in 0..ENDLESS {
            let Some(fault) = current else { break };
            self.counters.exceptions += 1;
            if fault.vector() == vector::PF {
                self.regs.cr2 = self.fault_address;
            }
            // A fault restarts its instruction with RF set, so that a code breakpoint there does not hit twice;
            // an instruction breakpoint itself does not set it (SDM vol. 3, 17.3.1.1).
            let resume = fault.vector() != vector::DB || self.regs.flags.has(flags::RF);
            let cause = Cause::Exception { vector: fault.vector(), error: fault.error() };
            let after = fault.vector() == vector::DE && self.mutated(Mutant::DivideErrorAfter);
            let int = Interrupt {
                vector: fault.vector(),
                cause,
                return_eip: if after { self.next_eip } else { self.regs.eip },
                error: fault.error(),
                resume,
                by_program: false,
            };
            current = match self.deliver(int) {
                Ok(()) => return,
                Err(second) => combine(fault, second),
            };
        }
        self.regs.activity = Activity::Shutdown;
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
    use crate::regs::{cr0, gpr};
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
}
