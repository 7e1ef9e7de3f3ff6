//! Wires between the controllers.

use super::*;
use crate::events::EventQueue;

struct Rig(Interrupts);

impl Rig {
    /// 8259s initialised to vectors 0x20 and 0x28, nothing masked; local APIC enabled.
    fn new() -> Rig {
        let mut rig = Rig(Interrupts::default());
        let master = [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0)];
        let slave = [(0xA0, 0x11), (0xA1, 0x28), (0xA1, 2), (0xA1, 1), (0xA1, 0)];
        for (port, value) in master.into_iter().chain(slave) {
            rig.0.write_pic(port, value);
        }
        rig.memory(0xFEE0_00F0, 0x1FF);
        rig
    }

    fn memory(&mut self, addr: u64, value: u32) {
        self.0.write_memory(&mut TimerBoard { now: 0, events: &mut EventQueue::default() }, addr, value);
    }

    fn entry(&mut self, pin: u32, value: u32) {
        self.memory(0xFEC0_0000, 0x10 + 2 * pin);
        self.memory(0xFEC0_0010, value);
    }

    fn taken(&mut self) -> Option<u8> {
        self.0.intr().then(|| self.0.acknowledge())
    }
}

#[test]
fn virtual_wire_and_both_controllers_on_one_line() {
    let mut rig = Rig::new();
    rig.entry(4, 0x54);
    rig.0.set_irq(4, true);
    assert_eq!([rig.taken(), rig.taken(), rig.taken()], [Some(0x24), Some(0x54), None]);
    // The 8259s are cut off at LINT0.
    rig.memory(0xFEE0_0350, 0x1_0700);
    rig.0.set_irq(5, true);
    assert_eq!(rig.taken(), None);
    rig.entry(0, 0x700);
    assert_eq!(rig.taken(), None, "IRQ 4 is in service");
    rig.0.write_pic(0x20, 0x20);
    assert_eq!(rig.taken(), Some(0x25), "through pin 0 of the I/O APIC");
}

#[test]
fn the_timer_is_at_pin_2() {
    let mut rig = Rig::new();
    rig.memory(0xFEE0_0350, 0x1_0700);
    rig.entry(2, 0x40);
    rig.0.set_irq(0, false);
    assert!(rig.0.would_interrupt(Event::PitOutput) && !rig.0.would_interrupt(Event::Rtc));
    rig.0.set_irq(0, true);
    assert_eq!(rig.taken(), Some(0x40));
}

#[test]
fn pci_lines_are_shared_routed_and_wired() {
    let mut rig = Rig::new();
    rig.0.write_pic(0x4D1, 0x0C);
    rig.0.set_route([0x0A, 0x80, 0x80, 0x80]);
    rig.entry(16, 0xA060);
    // INTA of slots 1 and 5, and INTD of slot 2, are PIRQA.
    for (slot, pin) in [(1, 0), (5, 0), (2, 3)] {
        rig.0.set_intx(slot, pin, true);
    }
    assert_eq!([rig.taken(), rig.taken()], [Some(0x2A), Some(0x60)]);
    rig.0.set_intx(1, 0, false);
    rig.0.set_intx(2, 3, false);
    rig.0.write_pic(0xA0, 0x20);
    rig.0.write_pic(0x20, 0x20);
    rig.memory(0xFEE0_00B0, 0);
    assert_eq!([rig.taken(), rig.taken()], [Some(0x2A), Some(0x60)], "slot 5 still drives it");
    rig.0.set_intx(5, 0, false);
    rig.0.write_pic(0xA0, 0x20);
    rig.0.write_pic(0x20, 0x20);
    rig.memory(0xFEE0_00B0, 0);
    assert_eq!(rig.taken(), None);
    // Routed elsewhere while it is driven.
    rig.entry(16, 0x1_0000);
    rig.0.set_intx(1, 0, true);
    assert_eq!(rig.taken(), Some(0x2A));
    rig.0.set_route([0x0B, 0x80, 0x80, 0x80]);
    rig.0.write_pic(0xA0, 0x20);
    rig.0.write_pic(0x20, 0x20);
    assert_eq!(rig.taken(), Some(0x2B));
}
