//! Ports as software uses them, parts working together.

use super::*;
use cpu::mem::{PhysMem, Ram};
use proptest::prelude::*;

struct Rig {
    chipset: Chipset,
    mem: PhysMem,
    lines: Lines,
    now: u64,
}

impl Rig {
    fn new() -> Rig {
        let chipset = Chipset::new(Devices::new(0, 1 << 20));
        Rig { chipset, mem: PhysMem::new(Ram::zeroed(1 << 20)), lines: Lines::default(), now: 0 }
    }

    fn with<R>(&mut self, f: impl FnOnce(&mut Chipset, &mut BusContext<'_>) -> R) -> R {
        let lines = &mut self.lines;
        f(&mut self.chipset, &mut BusContext { mem: &mut self.mem, lines, insns: 0, vtime: self.now })
    }

    fn get(&mut self, port: u16, width: Width) -> u32 {
        self.with(|chipset, cx| chipset.port_read(cx, port, width))
    }

    fn put(&mut self, port: u16, width: Width, value: u32) {
        self.with(|chipset, cx| chipset.port_write(cx, port, width, value));
    }
}

#[test]
fn absent_ports_read_as_ones() {
    let mut rig = Rig::new();
    assert_eq!(rig.get(0x1234, Width::Dword), 0xFFFF_FFFF);
    assert_eq!(rig.get(0xFFFF, Width::Word), 0xFFFF);
    assert_eq!(rig.get(0xE9, Width::Byte), 0xE9);
}

#[test]
fn debug_exit_takes_the_whole_value() {
    for (width, value) in [(Width::Byte, 0x78), (Width::Word, 0x5678), (Width::Dword, 0x1234_5678)] {
        let mut rig = Rig::new();
        rig.put(0xF4, width, 0x1234_5678);
        assert_eq!(rig.lines.stop, Some(StopRequest::DebugExit(value)));
    }
}

#[test]
fn power_off_as_a_kernel_finds_it() {
    let mut rig = Rig::new();
    let functions: Vec<u32> = (0..256)
        .map(|devfn| {
            rig.put(0xCF8, Width::Dword, 0x8000_0000 | devfn << 8);
            rig.get(0xCFC, Width::Dword)
        })
        .filter(|&id| id != 0xFFFF_FFFF)
        .collect();
    assert_eq!(functions, [0x1237_8086, 0x7000_8086, 0x7010_8086, 0x7113_8086]);
    rig.put(0xCF8, Width::Dword, 0x8000_0B40);
    rig.put(0xCFC, Width::Dword, 0x600);
    rig.put(0xCF8, Width::Dword, 0x8000_0B80);
    rig.put(0xCFC, Width::Byte, 1);
    rig.put(0x604, Width::Word, 0x2000);
    assert_eq!(rig.lines.stop, Some(StopRequest::PowerOff));
}

#[test]
fn the_timer_interrupts_through_the_controller() {
    let mut rig = Rig::new();
    for (port, value) in [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0)] {
        rig.put(port, Width::Byte, value);
    }
    assert_eq!(rig.lines.deadline, u64::MAX);
    for (port, value) in [(0x43, 0x30), (0x40, 100), (0x40, 0)] {
        rig.put(port, Width::Byte, value);
    }
    rig.now = rig.lines.deadline;
    assert!(rig.now < 90_000 && !rig.lines.intr);
    rig.with(Chipset::fire_due);
    assert!(rig.lines.intr);
    assert_eq!(rig.with(|chipset, cx| chipset.acknowledge_interrupt(cx)), 0x20);
    assert!(!rig.lines.intr);
    assert_eq!(rig.lines.deadline, u64::MAX);
}

proptest! {
    #[test]
    fn any_port_traffic_is_survived(
        ops in prop::collection::vec((any::<bool>(), any::<u16>(), 0usize..3, any::<u32>(), 0u64..1_000_000), 1..300)
    ) {
        let mut rig = Rig::new();
        for (write, port, width, value, wait) in ops {
            let width = [Width::Byte, Width::Word, Width::Dword][width];
            let port = if port & 0x8000 != 0 { port & 0xFFF } else { port };
            if write { rig.put(port, width, value) } else { rig.get(port, width); }
            rig.now += wait;
            rig.with(Chipset::fire_due);
            prop_assert!(rig.lines.deadline > rig.now);
            if rig.lines.intr {
                rig.with(|chipset, cx| chipset.acknowledge_interrupt(cx));
            }
        }
    }
}
