//! Edges, levels, masks and the remote IRR.

use super::*;
use crate::devices::local_apic::TimerBoard;
use crate::events::EventQueue;

struct Rig {
    local: LocalApic,
    io: IoApic,
}

impl Rig {
    fn new() -> Rig {
        let mut local = LocalApic::default();
        local.write(&mut TimerBoard { now: 0, events: &mut EventQueue::default() }, 0xF0, 0x1FF);
        Rig { local, io: IoApic::default() }
    }

    fn put(&mut self, register: u8, value: u32) {
        self.io.write(&mut self.local, 0x00, register.into());
        self.io.write(&mut self.local, 0x10, value);
    }

    fn get(&mut self, register: u8) -> u32 {
        self.io.write(&mut self.local, 0x00, register.into());
        self.io.read(0x10)
    }

    fn pin(&mut self, n: usize, asserted: bool) {
        self.io.set_pin(&mut self.local, n, asserted);
    }

    /// End the interrupt in service.
    fn end(&mut self) {
        let told = self.local.write(&mut TimerBoard { now: 0, events: &mut EventQueue::default() }, 0xB0, 0);
        if let Some(vector) = told {
            self.io.end_of_interrupt(&mut self.local, vector);
        }
    }
}

#[test]
fn registers() {
    let mut rig = Rig::new();
    assert_eq!(rig.get(1), 0x0017_0011);
    assert_eq!((rig.get(0x10), rig.get(0x3F)), (MASKED, 0));
    rig.put(0, 0xFF00_0000);
    assert_eq!(rig.get(0), 0x0F00_0000);
    rig.put(0x12, u32::MAX);
    assert_eq!(rig.get(0x12), 0x0001_AFFF, "status bits are read-only");
    rig.put(0x13, u32::MAX);
    assert_eq!((rig.get(0x13), rig.get(0x40)), (0xFF00_0000, 0));
}

#[test]
fn an_edge_is_one_interrupt_and_none_while_masked() {
    let mut rig = Rig::new();
    rig.pin(4, true);
    rig.put(0x18, 0x44);
    assert!(!rig.local.intr(), "the edge came while masked");
    rig.pin(4, false);
    rig.pin(4, true);
    rig.pin(4, true);
    assert_eq!(rig.local.acknowledge(), 0x44);
    rig.end();
    assert!(!rig.local.intr());
}

#[test]
fn a_level_comes_again_until_it_falls() {
    let mut rig = Rig::new();
    rig.pin(16, true);
    rig.put(0x30, 0xA051);
    for _ in 0..2 {
        assert_eq!(rig.local.acknowledge(), 0x51);
        assert_eq!(rig.get(0x30), 0xE051, "remote IRR");
        rig.end();
    }
    rig.local.acknowledge();
    rig.pin(16, false);
    rig.end();
    assert!(!rig.local.intr());
    assert_eq!(rig.get(0x30), 0xA051);
    // Made edge-triggered for a moment, an entry forgets its remote IRR.
    rig.pin(16, true);
    rig.put(0x30, 0x1_2051);
    assert_eq!(rig.get(0x30), 0x1_2051);
}

#[test]
fn only_the_addressed_processor_listens() {
    let mut rig = Rig::new();
    for (high, arrives) in [(0x00, true), (0x01, false), (0x0F, true)] {
        rig.put(0x15, high << 24);
        rig.put(0x14, 0x42);
        rig.pin(2, true);
        rig.pin(2, false);
        assert_eq!(rig.local.intr(), arrives);
        if arrives {
            rig.local.acknowledge();
            rig.end();
        }
    }
}
