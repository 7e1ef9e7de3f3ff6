//! Virtual interrupts and HALT (5.2, 5.4, 5.5).

use super::{Guest, Platform};
use crate::abi::{FIRST_IRQ_VECTOR, GUEST_CS, Window, data, flags};
use crate::death::{Category, Outcome, named};
use crate::mutant::broken;
use switcher_asm::Frame;

impl Guest {
    /// `irq_enabled` as the Guest left it; before INIT interrupts count as off.
    pub(super) fn irq_enabled(&self) -> Outcome<u32> {
        Ok(self.shared_read(data::IRQ_ENABLED)?.unwrap_or(0))
    }

    pub(super) fn set_irq_enabled(&mut self, value: u32) -> Outcome<()> {
        let Some(shared) = self.shared else { return Ok(()) };
        named(self.ram.write(shared.addr + data::IRQ_ENABLED, value), Category::IrqWrite)
    }

    fn set_irq_pending(&mut self, value: u32) -> Outcome<()> {
        let Some(shared) = self.shared else { return Ok(()) };
        named(self.ram.write(shared.addr + data::IRQ_PENDING, value), Category::IrqWrite)
    }

    /// Interrupts that are raised and not masked.
    fn deliverable(&self) -> Outcome<u32> {
        let Some(blocked) = self.shared_read(data::BLOCKED_INTERRUPTS)? else { return Ok(0) };
        let blocked = if broken("blocked-ignored") { 0 } else { blocked };
        Ok(self.irqs_pending & !blocked)
    }

    /// Deliver the lowest pending interrupt, if the Guest lets us (5.2).
    pub(super) fn deliver_pending(&mut self, platform: &mut dyn Platform) -> Outcome<()> {
        let deliverable = self.deliverable()?;
        if deliverable == 0 {
            return Ok(());
        }
        if broken("irq-word-as-index") {
            // True and false are one bit apart.
            self.set_gate(3, self.gates[self.irq_enabled()? as usize / flags::IF as usize]);
        }
        let irq = deliverable.trailing_zeros();
        let Some(shared) = self.shared else { return Ok(()) };
        let Frame { cs, eip, .. } = *self.frame();
        let kernel = cs & 3 == 1;
        let (start, end) = shared.window;
        let range = matches!(shared.layout.window, Window::Range(..));
        if range && kernel && (start..end).contains(&eip) && !broken("noirq-window-ignored") {
            return Ok(());
        }

        // Behind a trap gate the handler's first instruction may turn interrupts off, but has not yet.
        let entering = kernel && self.enters_syscall(eip)?;
        if self.halted {
            self.halted = false;
            self.set_irq_enabled(flags::IF)?;
        } else if (self.irq_enabled()? & flags::IF == 0 || entering) && !broken("irq-enabled-ignored") {
            if !broken("irq-pending-not-set") {
                self.set_irq_pending(flags::IF)?;
            }
            return Ok(());
        }

        let gate = self.gate(FIRST_IRQ_VECTOR + irq)?;
        if gate.present() {
            self.irqs_pending &= !(1 << irq);
            let at_iret = !range && kernel && eip == start && !broken("noirq-window-ignored");
            if at_iret {
                self.pretend_returned(gate)?;
            } else {
                self.enter_handler(gate, None)?;
            }
        }
        self.refresh_time(platform)?;
        if self.deliverable()? == 0 && !broken("irq-pending-sticks") {
            self.set_irq_pending(0)?;
        }
        Ok(())
    }

    /// Interrupted at the one IRET of newer kernels: as if it had happened and the interrupt came right after. The
    /// frame on the stack stays for the handler's own return; only EFLAGS come from there, and they are the Guest's
    /// to choose, so they are stripped (5.4).
    fn pretend_returned(&mut self, gate: crate::descriptor::Gate) -> Outcome<()> {
        let esp = self.frame().esp;
        let at = self.shadow.to_physical(&self.ram, esp.wrapping_add(8))?;
        let wanted: u32 = self.ram.read(at)?;
        let frame = self.frame();
        frame.eflags = if broken("window-flags-raw") {
            wanted | flags::IF
        } else {
            wanted & flags::FREE | flags::ALWAYS | flags::IF
        };
        frame.cs = GUEST_CS;
        frame.eip = gate.offset();
        if gate.disables_interrupts() {
            self.set_irq_enabled(0)?;
        }
        Ok(())
    }

    /// Write the wall clock. Both words in one go: the Guest never runs in between.
    pub(super) fn refresh_time(&mut self, platform: &dyn Platform) -> Outcome<()> {
        let Some(shared) = self.shared else { return Ok(()) };
        let (seconds, nanoseconds) = platform.wall_clock();
        named(self.ram.write(shared.addr + data::TIME, [seconds, nanoseconds]), Category::TimeWrite)
    }

    /// Whether something waits that only the next exit can deliver: exits must then come often (5.2).
    pub fn has_waiting_irq(&self) -> bool {
        self.irqs_pending != 0
    }
}
