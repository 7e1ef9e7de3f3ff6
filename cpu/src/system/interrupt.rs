//! Delivery of exceptions and interrupts (SDM vol. 3, chapter 6).

use crate::Cpu;
use crate::fault::Fault;
use crate::flags;
use crate::regs::Activity;

impl Cpu {
    /// Deliver the exception `fault`, raised by the instruction at CS:EIP.
    pub(crate) fn raise(&mut self, _fault: Fault) {
        self.regs.activity = Activity::Shutdown;
    }

    /// Deliver the #DB trap for the conditions in `pending_debug`.
    pub(crate) fn raise_debug_trap(&mut self) {
        self.regs.activity = Activity::Shutdown;
    }

    /// Between instructions: take a pending NMI or maskable interrupt if nothing holds it off.
    pub(crate) fn take_interrupts(&mut self) {
        let blocked = self.in_shadow();
        let nmi = self.lines.nmi && !self.regs.nmi_blocked;
        let intr = self.lines.intr && self.regs.flags.has(flags::IF);
        if blocked || !nmi && !intr {
            return;
        }
    }
}
