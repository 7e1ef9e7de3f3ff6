//! Priorities, the timer and the local vectors, register by register.

use super::*;
use proptest::prelude::*;

struct Rig {
    now: u64,
    events: EventQueue,
    apic: LocalApic,
}

impl Rig {
    /// Software-enabled, all local vectors masked but LINT0 and LINT1.
    fn new() -> Rig {
        let mut rig = Rig { now: 0, events: EventQueue::default(), apic: LocalApic::default() };
        rig.put(at::SVR, 0x1FF);
        rig
    }

    fn put(&mut self, offset: u16, value: u32) -> Option<u8> {
        self.apic.write(&mut TimerBoard { now: self.now, events: &mut self.events }, offset, value)
    }

    fn get(&self, offset: u16) -> u32 {
        self.apic.read(self.now, offset)
    }

    fn advance(&mut self, to: u64) {
        while self.events.next_time() <= to {
            self.now = self.now.max(self.events.next_time());
            self.events.pop_due(self.now);
            self.apic.on_event(&mut TimerBoard { now: self.now, events: &mut self.events });
        }
        self.now = to;
    }
}

#[test]
fn reset_is_virtual_wire() {
    let apic = LocalApic::default();
    assert!(apic.passes_external());
    assert_eq!(apic.decode(0xFEE0_0080), Some(0x80));
    for (offset, value) in
        [(at::VERSION, 0x0004_0011), (at::SVR, 0xFF), (at::DFR, u32::MAX), (at::LVT_TIMER, MASKED)]
    {
        assert_eq!(apic.read(0, offset), value, "{offset:#x}");
    }
}

#[test]
fn higher_classes_interrupt_lower_ones_and_end_in_order() {
    let mut rig = Rig::new();
    for vector in [0x31, 0x3F, 0x52] {
        assert!(rig.apic.accept(Delivery::Fixed, vector, false));
    }
    assert_eq!(rig.apic.acknowledge(), 0x52);
    assert!(!rig.apic.intr(), "lower classes wait");
    assert_eq!(rig.get(at::PPR), 0x50);
    assert!(rig.apic.accept(Delivery::Fixed, 0x5F, false));
    assert!(!rig.apic.intr(), "and so does the same class");
    rig.apic.accept(Delivery::Fixed, 0x60, true);
    assert_eq!(rig.apic.acknowledge(), 0x60);
    assert_eq!(rig.put(at::EOI, 0), Some(0x60), "level-triggered: the I/O APIC is told");
    assert_eq!(rig.put(at::EOI, 0), None);
    for vector in [0x5F, 0x3F, 0x31] {
        assert_eq!(rig.apic.acknowledge(), vector);
        rig.put(at::EOI, 0);
    }
    assert_eq!(rig.apic.acknowledge(), 0xFF, "nothing left: spurious");
}

#[test]
fn task_priority_holds_interrupts_back() {
    let mut rig = Rig::new();
    rig.put(at::TPR, 0x40);
    rig.apic.accept(Delivery::Fixed, 0x4F, false);
    assert!(!rig.apic.intr());
    assert_eq!(rig.get(at::IRR + 0x20), 1 << 15);
    rig.put(at::TPR, 0x3F);
    assert!(rig.apic.intr());
}

#[test]
fn software_disable_masks_and_hardware_disable_takes_the_apic_away() {
    let mut rig = Rig::new();
    rig.put(at::LVT_TIMER, 0x30);
    rig.put(at::SVR, 0xFF);
    assert_eq!(rig.get(at::LVT_TIMER), MASKED | 0x30);
    rig.put(at::LVT_TIMER, 0x30);
    assert_eq!(rig.get(at::LVT_TIMER), MASKED | 0x30);
    assert!(!rig.apic.passes_external());
    assert!(!rig.apic.accept(Delivery::Fixed, 0x40, false));
    rig.apic.set_base(0xFEE0_0100);
    assert!(rig.apic.passes_external());
    assert_eq!(rig.apic.decode(0xFEE0_0000), None);
    rig.apic.set_lint(1, true);
    assert!(rig.apic.take_nmi(), "the pin is NMI again");
}

#[test]
fn the_timer_counts_once_or_again() {
    let mut rig = Rig::new();
    // Divide by 4.
    rig.put(at::DIVIDE, 1);
    rig.put(at::LVT_TIMER, 0x40);
    rig.put(at::INITIAL_COUNT, 100);
    rig.advance(101);
    assert_eq!(rig.get(at::CURRENT_COUNT), 75);
    rig.advance(399);
    assert!(!rig.apic.intr());
    rig.advance(400);
    assert!(rig.apic.intr() && rig.get(at::CURRENT_COUNT) == 0);
    rig.apic.acknowledge();
    rig.put(at::EOI, 0);
    rig.advance(10_000);
    assert!(!rig.apic.intr() && rig.events.next_time() == u64::MAX);

    rig.put(at::LVT_TIMER, PERIODIC | 0x41);
    rig.put(at::INITIAL_COUNT, 50);
    for n in 1..4 {
        rig.advance(10_000 + 200 * n - 1);
        assert!(!rig.apic.intr());
        rig.advance(10_000 + 200 * n);
        assert_eq!(rig.apic.acknowledge(), 0x41);
        rig.put(at::EOI, 0);
    }
    // Masked, it counts on and keeps its phase.
    rig.put(at::LVT_TIMER, MASKED | PERIODIC | 0x41);
    assert_eq!(rig.events.next_time(), u64::MAX);
    rig.advance(11_010);
    assert_eq!(rig.get(at::CURRENT_COUNT), 48);
    rig.put(at::LVT_TIMER, PERIODIC | 0x41);
    assert_eq!(rig.events.next_time(), 11_200);
    rig.put(at::INITIAL_COUNT, 0);
    assert_eq!((rig.events.next_time(), rig.get(at::CURRENT_COUNT)), (u64::MAX, 0));
}

#[test]
fn all_divisors() {
    for (code, divisor) in [(0, 2), (1, 4), (2, 8), (3, 16), (8, 32), (9, 64), (10, 128), (11, 1)] {
        let mut rig = Rig::new();
        rig.put(at::DIVIDE, code);
        rig.put(at::INITIAL_COUNT, 1000);
        rig.now = 128 * 7;
        assert_eq!(rig.get(at::CURRENT_COUNT), 1000 - (128 * 7 / divisor) as u32);
    }
}

#[test]
fn messages_to_itself() {
    let mut rig = Rig::new();
    rig.put(at::ICR_LOW, 0x0004_0045);
    assert_eq!(rig.apic.acknowledge(), 0x45);
    rig.put(at::EOI, 0);
    rig.put(at::ICR_HIGH, 3 << 24);
    rig.put(at::ICR_LOW, 0x46);
    rig.put(at::ICR_LOW, 0x000C_0046);
    assert!(!rig.apic.intr(), "there is nobody else");
    rig.put(at::ICR_LOW, 0x0004_0400);
    assert!(rig.apic.take_nmi());
    rig.put(at::LDR, 0x02 << 24);
    rig.put(at::ICR_HIGH, 0x06 << 24);
    rig.put(at::ICR_LOW, 0x0847);
    assert_eq!(rig.apic.acknowledge(), 0x47);
}

#[test]
fn illegal_vectors_are_errors() {
    let mut rig = Rig::new();
    rig.put(at::LVT_ERROR, 0x50);
    rig.put(at::ICR_LOW, 0x0004_0005);
    assert_eq!(rig.get(at::ESR), 0);
    rig.put(at::ESR, 0);
    assert_eq!(rig.get(at::ESR), 0x20);
    assert_eq!(rig.apic.acknowledge(), 0x50);
    rig.put(at::ESR, 0);
    assert_eq!(rig.get(at::ESR), 0);
    // An error vector that is illegal itself ends there.
    rig.put(at::LVT_ERROR, 0x05);
    rig.put(at::ICR_LOW, 0x0004_0006);
    rig.put(at::ESR, 0);
    assert_eq!(rig.get(at::ESR), 0x20);
}

#[test]
fn lint_pins() {
    let mut rig = Rig::new();
    rig.apic.set_lint(1, true);
    assert!(rig.apic.take_nmi() && !rig.apic.take_nmi());
    rig.apic.set_lint(1, true);
    assert!(!rig.apic.take_nmi(), "an edge");
    rig.put(at::LVT_LINT0, 0x33);
    rig.apic.set_lint(0, true);
    assert!(!rig.apic.passes_external());
    assert_eq!(rig.apic.acknowledge(), 0x33);
}

proptest! {
    /// Any traffic: no panic, and the next event is never in the past.
    #[test]
    fn any_traffic_is_survived(ops in prop::collection::vec((0u16..0x40, any::<u32>(), any::<u8>(), 0u64..5000), 1..200)) {
        let mut rig = Rig::new();
        for (register, value, vector, wait) in ops {
            rig.put(register << 4, value & if register == 0x38 { 0xFFFF } else { u32::MAX });
            rig.get(register << 4);
            rig.apic.accept(Delivery::of(value), vector, value & 1 != 0);
            if rig.apic.intr() {
                rig.apic.acknowledge();
            }
            let to = rig.now + wait.min(500);
            rig.advance(to);
            prop_assert!(rig.events.next_time() > rig.now);
        }
    }
}
