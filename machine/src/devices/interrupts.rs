//! The interrupt controllers and every wire between them: ISA lines, PCI lines, 8259s, I/O APIC, local APIC.
//!
//! ```text
//!  ISA devices --- IRQ 0-15 --+--> 8259s --- INTR ---> LINT0 --> local APIC --> processor
//!                  ^          |              |                     ^
//!             PIRQRC[A:D]     +--> I/O APIC pins 1-15   pin 0      |
//!                  |                                      |        |
//!  PCI devices -- PIRQ[A:D] ----> I/O APIC pins 16-19     +--------+
//! ```
//!
//! Invariants:
//! * An ISA line is high if its own device or a PCI line routed to it drives it, so lines can be shared.
//! * LINT0 follows the 8259s' INTR after every change.

use super::i8259::PicPair;
use super::io_apic::{self, IoApic};
use super::local_apic::{LocalApic, TimerBoard};
use super::virtio::NET_SLOT;
use crate::events::Event;
use serde::{Deserialize, Serialize};

/// PIRQRC: the PCI line is not routed to an ISA line.
const NOT_ROUTED: u8 = 0x80;
/// Pin of the I/O APIC that PIRQA is wired to.
const PIRQ_PIN: usize = 16;

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupts {
    /// The 8259s.
    pub pic: PicPair,
    io_apic: IoApic,
    local: LocalApic,
    /// ISA lines driven by their own devices.
    isa: u16,
    /// For each PCI line, the devices (by slot) that drive it.
    pirq: [u32; 4],
    /// PIRQRC[A:D] of the ISA bridge.
    route: [u8; 4],
}

impl Default for Interrupts {
    fn default() -> Self {
        let mut interrupts = Interrupts {
            pic: PicPair::default(),
            io_apic: IoApic::default(),
            local: LocalApic::default(),
            isa: 0,
            pirq: [0; 4],
            route: [NOT_ROUTED; 4],
        };
        // The timer's output is high at power-up.
        interrupts.set_irq(0, true);
        interrupts
    }
}

impl Interrupts {
    /// An ISA device drives its line 0 to 15.
    pub fn set_irq(&mut self, irq: u8, high: bool) {
        let bit = 1 << (irq & 15);
        self.isa = if high { self.isa | bit } else { self.isa & !bit };
        self.drive(irq & 15);
    }

    /// The PCI device in `slot` drives its interrupt pin, 0 for INTA#. Slots are wired one further each.
    pub fn set_intx(&mut self, slot: u8, pin: u8, high: bool) {
        let n = usize::from(slot.wrapping_add(pin).wrapping_sub(1) & 3);
        let bit = 1 << (slot & 31);
        self.pirq[n] = if high { self.pirq[n] | bit } else { self.pirq[n] & !bit };
        self.io_apic.set_pin(&mut self.local, PIRQ_PIN + n, self.pirq[n] != 0);
        if self.route[n] & NOT_ROUTED == 0 {
            self.drive(self.route[n] & 15);
        }
    }

    /// The ISA bridge has been told where PCI lines go.
    pub fn set_route(&mut self, route: [u8; 4]) {
        let before = std::mem::replace(&mut self.route, route);
        for n in before.into_iter().chain(route).filter(|n| n & NOT_ROUTED == 0) {
            self.drive(n & 15);
        }
    }

    fn drive(&mut self, irq: u8) {
        let shared = (0..4).any(|n| self.route[n] == irq && self.pirq[n] != 0);
        let high = shared || self.isa >> irq & 1 != 0;
        self.pic.set_irq(irq, high);
        let pin = match irq {
            // The cascade is no line; its pin is the timer's.
            2 => None,
            0 => Some(2),
            n => Some(usize::from(n)),
        };
        if let Some(pin) = pin {
            self.io_apic.set_pin(&mut self.local, pin, high);
        }
        self.settle();
    }

    /// The 8259s' output may have changed.
    fn settle(&mut self) {
        let intr = self.pic.intr();
        self.local.set_lint(0, intr);
        self.io_apic.set_pin(&mut self.local, 0, intr);
    }

    fn passes_external(&self) -> bool {
        self.local.passes_external() || self.io_apic.passes_external()
    }

    /// The INTR pin of the processor's core.
    pub fn intr(&self) -> bool {
        self.local.intr() || self.passes_external() && self.pic.intr()
    }

    /// The processor takes an interrupt: its vector.
    pub fn acknowledge(&mut self) -> u8 {
        if self.passes_external() && self.pic.intr() {
            let vector = self.pic.acknowledge();
            self.settle();
            return vector;
        }
        self.local.acknowledge()
    }

    /// A rising edge on the NMI line.
    pub fn raise_nmi(&mut self) {
        self.local.set_lint(1, true);
        self.local.set_lint(1, false);
    }

    /// Whether an NMI is to be handed to the processor; asked once for each.
    pub fn take_nmi(&mut self) -> bool {
        self.local.take_nmi()
    }

    /// Whether `event` would interrupt the processor as things stand.
    pub fn would_interrupt(&self, event: Event) -> bool {
        let mut what_if = self.clone();
        match (event, event.irq()) {
            (_, Some(irq)) => {
                what_if.set_irq(irq, false);
                what_if.set_irq(irq, true);
            }
            (Event::Network, None) => what_if.set_intx(NET_SLOT, 0, true),
            (_, None) => what_if.local.expire(),
        }
        what_if.intr() || what_if.take_nmi()
    }

    /// Read a port of the 8259s.
    pub fn read_pic(&mut self, port: u16) -> u8 {
        let value = self.pic.read(port);
        self.settle();
        value
    }

    /// Write a port of the 8259s.
    pub fn write_pic(&mut self, port: u16, value: u8) {
        self.pic.write(port, value);
        self.settle();
    }

    /// IA32_APIC_BASE has been written.
    pub fn set_apic_base(&mut self, value: u64) {
        self.local.set_base(value);
    }

    /// Count of the local APIC's timer has reached zero.
    pub fn on_apic_timer(&mut self, board: &mut TimerBoard<'_>) {
        self.local.on_event(board);
    }

    /// Read the aligned doubleword at `addr`, if one of the APICs is there.
    pub fn read_memory(&self, now: u64, addr: u64) -> Option<u32> {
        match self.local.decode(addr) {
            Some(offset) => Some(self.local.read(now, offset)),
            None => io_apic_offset(addr).map(|offset| self.io_apic.read(offset)),
        }
    }

    /// Write the aligned doubleword at `addr`, if one of the APICs is there.
    pub fn write_memory(&mut self, board: &mut TimerBoard<'_>, addr: u64, value: u32) {
        if let Some(offset) = self.local.decode(addr) {
            if let Some(vector) = self.local.write(board, offset, value) {
                self.io_apic.end_of_interrupt(&mut self.local, vector);
            }
        } else if let Some(offset) = io_apic_offset(addr) {
            self.io_apic.write(&mut self.local, offset, value);
        }
        self.settle();
    }
}

fn io_apic_offset(addr: u64) -> Option<u16> {
    addr.checked_sub(io_apic::BASE).filter(|offset| *offset < 0x1000).map(|offset| (offset & 0xFF) as u16)
}

#[cfg(test)]
mod tests;
