//! The walk covers everything, and restoring brings everything back.

use super::*;
use crate::devices::virtio::TerminalSize;
use crate::inputs::{Input, Stamp};
use crate::machine::Config;
use crate::memory_map::write_rom;
use cpu::bus::{Bus, BusContext, Width};
use cpu::mmu::TlbEntry;
use proptest::prelude::*;

fn machine() -> Machine {
    machine_of(2 << 20, 1_000_000_000)
}

/// With a disk of 8 sectors, and two serial ports on PCI.
fn machine_of(ram: u64, rtc: i64) -> Machine {
    let mut machine = Machine::new(Config { ram, rtc }).unwrap();
    assert_eq!(machine.connect_disk(Medium::new(Arc::new(vec![0xDD; 4096]), 8, false)), Some(0));
    machine.connect_serial(2);
    machine
}

fn write(machine: &mut Machine, addr: u64, bytes: &[u8]) {
    assert!(machine.with_chipset(|_, cx| cx.mem.write_bytes(addr, bytes)));
}

fn port(machine: &mut Machine, port: u16, value: u32) {
    machine.with_chipset(|chipset, cx| chipset.port_write(cx, port, Width::Byte, value));
}

fn word_port(machine: &mut Machine, port: u16, value: u32) {
    machine.with_chipset(|chipset, cx| chipset.port_write(cx, port, Width::Word, value));
}

fn dword_port(machine: &mut Machine, port: u16, value: u32) {
    machine.with_chipset(|chipset, cx| chipset.port_write(cx, port, Width::Dword, value));
}

/// What is read does not matter; that it was does.
fn read_port(machine: &mut Machine, port: u16) {
    machine.with_chipset(|chipset, cx| chipset.port_read(cx, port, Width::Byte));
}

/// A register of the host bridge; where the address register points is the same each time.
fn config(machine: &mut Machine, register: u32, value: u32) {
    dword_port(machine, 0xCF8, 0x8000_0000 | register);
    dword_port(machine, 0xCFC, value);
    dword_port(machine, 0xCF8, 0);
}

fn memory(machine: &mut Machine, addr: u64, value: u32) {
    machine.with_chipset(|chipset, cx| chipset.mmio_write(cx, addr, Width::Dword, value));
}

fn lines(f: fn(&mut Lines)) -> impl Fn(&mut Machine) {
    move |machine| machine.with_chipset(|_, cx: &mut BusContext<'_>| f(cx.lines))
}

fn input(input: Input) -> impl Fn(&mut Machine) {
    move |machine| machine.with_chipset(|chipset, cx| chipset.deliver(cx, &input))
}

type Flip = Box<dyn Fn(&mut Machine)>;
type RegisterFlip = fn(&mut Registers);

/// Changes of one thing each, somewhere in the machine.
fn flips() -> Vec<(&'static str, Flip)> {
    let mut flips: Vec<(&'static str, Flip)> = vec![
        ("ram", Box::new(|m| write(m, 0x10_0123, &[1]))),
        ("ram elsewhere", Box::new(|m| write(m, 0x11_0123, &[1]))),
        ("insns", Box::new(|m| m.cpu.set_clocks(1, 0))),
        ("idle", Box::new(|m| m.cpu.set_clocks(0, 1))),
        ("tlb", Box::new(|m| m.cpu.tlb.insert(0x1000, TlbEntry::new(0x2000)))),
        ("st", Box::new(|m| m.cpu.fpu.regs[7].sign_exponent ^= 1)),
        ("fpu control", Box::new(|m| m.cpu.fpu.control ^= 1)),
        ("fpu tags", Box::new(|m| m.cpu.fpu.in_use ^= 1)),
        ("xmm", Box::new(|m| m.cpu.simd.xmm[7] ^= 1 << 127)),
        ("mxcsr", Box::new(|m| m.cpu.simd.mxcsr ^= 1)),
        ("intr", Box::new(lines(|l| l.intr = true))),
        ("nmi", Box::new(lines(|l| l.nmi = true))),
        ("a20", Box::new(lines(|l| l.a20 = false))),
        ("com1 wire", Box::new(input(Input::Com1(b"x".to_vec())))),
        ("com2 wire", Box::new(input(Input::Com2(b"x".to_vec())))),
        ("keyboard", Box::new(input(Input::Keys(vec![1])))),
        ("serial port", Box::new(input(Input::Serial(1, b"x".to_vec())))),
        ("other serial port", Box::new(input(Input::Serial(0, b"x".to_vec())))),
        ("terminal's size", Box::new(input(Input::Resize(1, TerminalSize { columns: 1, rows: 1 })))),
        ("rom", Box::new(|m| m.with_chipset(|_, cx| assert!(write_rom(cx.mem, 0xF_0000, &[1]))))),
        ("video memory", Box::new(|m| write(m, 0xB_8001, &[1]))),
        ("fw_cfg item", Box::new(|m| word_port(m, 0x510, 0x19))),
        ("fw_cfg position", Box::new(|m| read_port(m, 0x511))),
        ("fw_cfg file", Box::new(|m| m.with_chipset(|c, _| c.devices.fw_cfg.set_file("x", vec![1])))),
        ("fw_cfg DMA address", Box::new(|m| dword_port(m, 0x514, 1))),
        ("pam", Box::new(|m| config(m, 0x58, 0x3000))),
        ("smram", Box::new(|m| config(m, 0x70, 0x48_0000))),
        ("dac component", Box::new(|m| read_port(m, 0x3C9))),
        ("attribute flip-flop", Box::new(|m| port(m, 0x3C0, 0x20))),
        ("local APIC", Box::new(|m| memory(m, 0xFEE0_0080, 0x40))),
        ("I/O APIC", Box::new(|m| memory(m, 0xFEC0_0000, 0x12))),
        (
            "PCI line",
            Box::new(|m| m.with_chipset(|chipset, _| chipset.devices.interrupts.set_intx(2, 0, true))),
        ),
        ("disk", Box::new(|m| m.with_chipset(|chipset, _| chipset.media[0].write(3, &[1; 512])))),
        ("disk elsewhere", Box::new(|m| m.with_chipset(|chipset, _| chipset.media[0].write(4, &[1; 512])))),
        ("rtc base", Box::new(|m| *m = machine_of(2 << 20, 1))),
        ("ram size", Box::new(|m| *m = machine_of(3 << 20, 1_000_000_000))),
    ];
    let regs: [(&'static str, RegisterFlip); 20] = [
        ("eax", |r| r.gpr[0] ^= 1),
        ("eip", |r| r.eip ^= 1),
        ("eflags", |r| r.flags.put(cpu::flags::NT, true)),
        ("hidden base", |r| r.seg[3].base ^= 1),
        ("hidden limit", |r| r.seg[3].limit ^= 1),
        ("ldtr", |r| r.ldtr.selector ^= 8),
        ("tr", |r| r.tr.attr ^= 0x200),
        ("gdtr", |r| r.gdtr.limit ^= 1),
        ("idtr", |r| r.idtr.base ^= 1),
        ("cpl", |r| r.cpl ^= 3),
        ("cr0", |r| r.cr0 ^= 8),
        ("cr2", |r| r.cr2 ^= 1),
        ("cr3", |r| r.cr3 ^= 0x1000),
        ("cr4", |r| r.cr4 ^= 1),
        ("dr7", |r| r.dr7 ^= 1),
        ("pdpte", |r| r.pdpte[3] ^= 1),
        ("efer", |r| r.msr.efer ^= 1 << 11),
        ("pending debug", |r| r.pending_debug ^= 1),
        ("sti shadow", |r| r.sti_shadow ^= 1),
        ("nmi blocked", |r| r.nmi_blocked ^= true),
    ];
    for (name, flip) in regs {
        flips.push((name, Box::new(move |m: &mut Machine| flip(&mut m.cpu.regs))));
    }
    let ports: [(&'static str, u16, u32); 35] = [
        ("master mask", 0x21, 0x55),
        ("slave mask", 0xA1, 0x55),
        ("edge/level", 0x4D0, 0x08),
        ("timer mode", 0x43, 0x34),
        ("timer half count", 0x40, 0x12),
        ("speaker", 0x61, 0x02),
        ("keyboard command", 0x64, 0xD1),
        ("keyboard config", 0x64, 0xA8),
        ("keyboard reply", 0x64, 0xC0),
        ("keyboard target", 0x64, 0xD4),
        ("keyboard parameter", 0x60, 0xED),
        ("keyboard off", 0x60, 0xF5),
        ("apm control", 0xB2, 0x01),
        ("apm status", 0xB3, 0x01),
        ("acpi enabled", 0xB2, 0xF1),
        ("vga misc", 0x3C2, 0x66),
        ("vga feature", 0x3DA, 0x01),
        ("vga enable", 0x3C3, 0x00),
        ("sequencer index", 0x3C4, 0x01),
        ("sequencer", 0x3C5, 0x01),
        ("graphics index", 0x3CE, 0x01),
        ("graphics", 0x3CF, 0x01),
        ("crtc index", 0x3D4, 0x01),
        ("crtc other index", 0x3D4, 0x02),
        ("attribute index", 0x3C0, 0x01),
        ("dac mask", 0x3C6, 0x01),
        ("dac read index", 0x3C7, 0x01),
        ("dac write index", 0x3C8, 0x01),
        ("rtc index", 0x70, 0x05),
        ("nmi mask", 0x70, 0x80),
        ("rtc memory", 0x71, 0x33),
        ("uart scratch", 0x3FF, 0x12),
        ("uart enable", 0x2F9, 0x01),
        ("checkpoint", 0x80, 0x42),
        ("reset control", 0xCF9, 0x02),
    ];
    for (name, number, value) in ports {
        flips.push((name, Box::new(move |m: &mut Machine| port(m, number, value))));
    }
    flips
}

#[test]
fn every_flip_changes_the_hash_and_restore_undoes_it() {
    let mut seen = std::collections::BTreeMap::new();
    let before = machine().state_hash();
    seen.insert(before, "nothing");
    for (name, flip) in flips() {
        let mut machine = machine();
        assert_eq!(machine.state_hash(), before);
        let snapshot = machine.snapshot();
        flip(&mut machine);
        let after = machine.state_hash();
        if let Some(other) = seen.insert(after, name) {
            panic!("{name} gives the same hash as {other}");
        }
        if machine.cpu.mem.ram_size() != 2 << 20 {
            let error = machine.restore(&snapshot).unwrap_err();
            assert_eq!(error, RestoreError::RamSize { snapshot: 2 << 20, machine: 3 << 20 });
            continue;
        }
        machine.restore(&snapshot).unwrap();
        assert_eq!(machine.state_hash(), before, "{name} is not restored");
    }
}

#[test]
fn future_inputs_are_in_the_snapshot_but_not_in_the_hash() {
    let mut machine = machine();
    let before = machine.state_hash();
    let snapshot = machine.snapshot();
    machine.inputs.add(Stamp { insns: 9, vtime: 9 }, Input::Nmi);
    assert_eq!(machine.state_hash(), before);
    machine.restore(&snapshot).unwrap();
    assert!(machine.inputs.timed.is_empty());
}

#[test]
fn damaged_snapshots_are_refused() {
    let mut machine = machine();
    let mut snapshot = machine.snapshot();
    snapshot.walk.truncate(40);
    let before = machine.state_hash();
    assert!(matches!(machine.restore(&snapshot), Err(RestoreError::Format(_))));
    assert_eq!(machine.state_hash(), before);
}

#[test]
fn other_disks_are_refused() {
    let snapshot = machine().snapshot();
    let mut machine = machine();
    machine.connect_disk(Medium::new(Arc::new(vec![0; 512]), 1, false));
    assert_eq!(machine.restore(&snapshot), Err(RestoreError::Disks));
}

#[test]
fn snapshots_move_between_machines() {
    let mut one = machine();
    write(&mut one, 0x10_0000, b"hello");
    let snapshot = one.snapshot();
    let mut two = machine();
    write(&mut two, 0x12_0000, b"world");
    two.restore(&snapshot).unwrap();
    assert_eq!(two.state_hash(), one.state_hash());
}

proptest! {
    /// Any walk through a tree of snapshots comes back to the same hashes.
    #[test]
    fn snapshots_form_a_tree(steps in prop::collection::vec((0u8..3, 0u64..0x80, any::<u8>(), any::<prop::sample::Index>()), 1..40)) {
        let mut machine = machine();
        let mut saved = vec![(machine.snapshot(), machine.state_hash())];
        for (op, page, value, which) in steps {
            match op {
                0 => write(&mut machine, 0x10_0000 + page * 0x1000, &[value]),
                1 => saved.push((machine.snapshot(), machine.state_hash())),
                _ => {
                    let (snapshot, hash) = &saved[which.index(saved.len())];
                    machine.restore(snapshot).unwrap();
                    prop_assert_eq!(machine.state_hash(), *hash);
                }
            }
        }
    }
}
