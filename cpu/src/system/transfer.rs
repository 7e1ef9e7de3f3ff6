//! Telling listeners of transfers through gates and between rings.

use crate::Cpu;
use crate::event::{Cause, Event};

impl Cpu {
    /// Run `commit`, which completes a far transfer, and report it.
    #[inline(always)]
    pub(crate) fn with_transfer_event(&mut self, cause: Cause, commit: impl FnOnce(&mut Cpu)) {
        let (from_cpl, from) = (self.regs.cpl, (self.regs.cs().selector, self.regs.eip));
        commit(self);
        self.emit(|cpu| Event::Transfer {
            cause,
            from_cpl,
            to_cpl: cpu.regs.cpl,
            from,
            to: (cpu.regs.cs().selector, cpu.next_eip),
            eax: cpu.regs.gpr[0],
        });
    }
}
