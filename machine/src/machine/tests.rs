//! Small guests in machine code, and the invariants of the run loop.

use super::*;
use crate::boot::multiboot::{Module, Multiboot};
use crate::memory_map::HIGH_START;
use crate::time::TICKS_PER_SECOND;
use cpu::regs::TableRegister;
use cpu::seg::{SegReg, Segment};
use proptest::prelude::*;

const CODE: u32 = 0x10_1000;
const HANDLERS: u32 = 0x10_2000;
const GDT: u32 = 0x10_3000;
const IDT: u32 = 0x10_4000;
const COUNTER: u32 = 0x10_5000;

/// An assembler for a handful of instructions.
#[derive(Default, Clone)]
struct Asm(Vec<u8>);

impl Asm {
    fn bytes(mut self, bytes: &[u8]) -> Asm {
        self.0.extend(bytes);
        self
    }
    fn dx(self, port: u16) -> Asm {
        let [low, high] = port.to_le_bytes();
        self.bytes(&[0x66, 0xBA, low, high])
    }
    /// mov dx, port; mov al, value; out dx, al
    fn out(self, port: u16, value: u8) -> Asm {
        self.dx(port).bytes(&[0xB0, value, 0xEE])
    }
    /// mov dx, port; mov eax, value; out dx, eax
    fn out32(self, port: u16, value: u32) -> Asm {
        self.dx(port).bytes(&[0xB8]).bytes(&value.to_le_bytes()).bytes(&[0xEF])
    }
    /// mov dx, port; in al, dx
    fn input(self, port: u16) -> Asm {
        self.dx(port).bytes(&[0xEC])
    }
    /// inc dword [address]
    fn increment(self, address: u32) -> Asm {
        self.bytes(&[0xFF, 0x05]).bytes(&address.to_le_bytes())
    }
    fn sti(self) -> Asm {
        self.bytes(&[0xFB])
    }
    fn cli(self) -> Asm {
        self.bytes(&[0xFA])
    }
    fn hlt(self) -> Asm {
        self.bytes(&[0xF4])
    }
    fn iret(self) -> Asm {
        self.bytes(&[0xCF])
    }
    /// Jump back to byte `target` of this code.
    fn jump(self, target: usize) -> Asm {
        let offset = target as i64 - self.0.len() as i64 - 5;
        self.bytes(&[0xE9]).bytes(&(offset as i32).to_le_bytes())
    }
    /// test al, al-bit; jz back to `target`
    fn until_set(self, bit: u8, target: usize) -> Asm {
        let offset = target as i64 - self.0.len() as i64 - 4;
        self.bytes(&[0xA8, bit, 0x74, offset as i8 as u8])
    }
    fn here(&self) -> usize {
        self.0.len()
    }
}

fn run_forever(machine: &mut Machine) -> MachineExit {
    machine.run(Until { insns: 10_000_000, vtime: 100 * TICKS_PER_SECOND })
}

fn machine() -> Machine {
    Machine::new(Config { ram: 4 << 20, rtc: 0 }).unwrap()
}

fn write(machine: &mut Machine, addr: u32, bytes: &[u8]) {
    assert!(machine.with_chipset(|_, cx| cx.mem.write_bytes(addr.into(), bytes)));
}

fn counter(machine: &Machine, n: u32) -> u32 {
    let bytes = machine.cpu.mem.slice(u64::from(COUNTER + 4 * n), 4).unwrap();
    u32::from_le_bytes(bytes.try_into().unwrap())
}

/// A machine about to execute `code` in flat protected mode, interrupts off, with descriptor tables, interrupt
/// vectors 0x20 to 0x2F unmasked, and an NMI handler that counts in counter 1. Vector `n` runs `handler(n)`.
fn guest(code: Asm, handler: impl Fn(u8) -> Asm) -> Machine {
    let mut machine = machine();
    let flat = [0u64, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF];
    write(&mut machine, GDT, &flat.map(u64::to_le_bytes).concat());
    let mut at = HANDLERS;
    for vector in std::iter::once(2).chain(0x20..0x30) {
        let body = if vector == 2 { Asm::default().increment(COUNTER + 4).iret() } else { handler(vector) };
        write(&mut machine, at, &body.0);
        let gate = u64::from(at & 0xFFFF) | 8 << 16 | 0x8E00 << 32 | u64::from(at >> 16) << 48;
        write(&mut machine, IDT + 8 * u32::from(vector), &gate.to_le_bytes());
        at += 64;
    }
    write(&mut machine, CODE, &code.0);
    let regs = &mut machine.cpu.regs;
    let data = Segment::new(0x10, 0, u32::MAX, 0x00C0_9300);
    regs.seg = [data; 6];
    regs.seg[SegReg::Cs as usize] = Segment::new(8, 0, u32::MAX, 0x00C0_9B00);
    regs.gdtr = TableRegister { base: GDT, limit: 23 };
    regs.idtr = TableRegister { base: IDT, limit: 0x17F };
    regs.cr0 = 0x11;
    regs.eip = CODE;
    regs.gpr[4] = 0x10_8000;
    machine.cpu.state_changed();
    machine.with_chipset(|chipset, cx| {
        use cpu::bus::{Bus, Width};
        let setup = [(0x20, 0x11), (0x21, 0x20), (0x21, 4), (0x21, 1), (0x21, 0)];
        let slave = [(0xA0, 0x11), (0xA1, 0x28), (0xA1, 2), (0xA1, 1), (0xA1, 0)];
        for (port, value) in setup.into_iter().chain(slave) {
            chipset.port_write(cx, port, Width::Byte, value);
        }
    });
    machine
}

fn eoi() -> Asm {
    Asm::default().increment(COUNTER).out(0x20, 0x20).iret()
}

/// Timer at about 1 kHz, then HLT for ever.
fn ticking() -> Machine {
    let start = Asm::default().out(0x43, 0x34).out(0x40, 0xA9).out(0x40, 0x04).sti();
    let again = start.here();
    guest(start.hlt().jump(again), |_| eoi())
}

/// Everything that comes in at COM1 goes out at the debug console, by polling.
fn echo() -> Machine {
    let rate = Asm::default().out(0x3FB, 0x83).out(0x3F8, 1).out(0x3F9, 0).out(0x3FB, 3);
    let start = rate.out(0x3FC, 0x0B).out(0x3FA, 0x07);
    let again = start.here();
    let poll = start.input(0x3FD).until_set(1, again);
    guest(poll.input(0x3F8).dx(0xE9).bytes(&[0xEE]).jump(again), |_| eoi())
}

#[test]
fn ram_size_is_checked() {
    for ram in [0, 4096, (1 << 20) - 4096, (1 << 20) + 1, (3 << 30) + 4096, u64::MAX] {
        assert!(matches!(Machine::new(Config { ram, rtc: 0 }), Err(ConfigError::RamSize(_))));
    }
    assert!(Machine::new(Config { ram: 1 << 20, rtc: 0 }).is_ok());
    assert!(Machine::new(Config { ram: 3 << 30, rtc: 0 }).is_ok());
}

#[test]
fn a_multiboot_kernel_talks_and_powers_off() {
    let code = Asm::default()
        .out(0x3F8, b'h')
        .out(0x2F8, b'i')
        .out32(0xCF8, 0x8000_0B40)
        .out32(0xCFC, 0x600)
        .out32(0xCF8, 0x8000_0B80)
        .out(0xCFC, 1)
        .out32(0x604, 0x2000);
    let load = HIGH_START as u32;
    let header = [0x1BAD_B002, 0x1_0000, 0xE451_4FFE, load, load, 0, 0, load + 32].map(u32::to_le_bytes);
    let kernel = [header.concat(), code.0].concat();
    let mut machine = machine();
    let modules: [Module<'_>; 0] = [];
    Multiboot { kernel: &kernel, command_line: b"", modules: &modules }.load(&mut machine).unwrap();
    assert_eq!(run_forever(&mut machine), MachineExit::PowerOff);
    assert_eq!(machine.take_output(OutputPort::Com1), b"h");
    assert_eq!(machine.take_output(OutputPort::Com2), b"i");
    assert_eq!(machine.stats().insns, 21);
}

#[test]
fn every_way_to_end() {
    let end = |code: Asm| run_forever(&mut guest(code, |_| eoi()));
    assert_eq!(end(Asm::default().out(0xF4, 4)), MachineExit::DebugExit(4));
    assert_eq!(end(Asm::default().out(0xCF9, 6)), MachineExit::Reset);
    assert_eq!(end(Asm::default().out(0x64, 0xFE)), MachineExit::Reset);
    assert_eq!(end(Asm::default().cli().hlt()), MachineExit::Dead);
    assert_eq!(end(Asm::default().sti().hlt()), MachineExit::Idle { wake_at: None });
    assert_eq!(end(Asm::default().jump(0)), MachineExit::Limit);
    assert_eq!(end(Asm::default().bytes(&[0x0F, 0x0B])), MachineExit::TripleFault);
    // The timer runs, but its line is masked.
    let masked = Asm::default().out(0x43, 0x34).out(0x40, 0).out(0x40, 4).out(0x21, 0xFF).sti().hlt();
    assert_eq!(end(masked), MachineExit::Idle { wake_at: None });
}

#[test]
fn reset_starts_anew_and_keeps_the_clock() {
    let mut machine = guest(Asm::default().out(0x21, 0x55).out(0xCF9, 6), |_| eoi());
    assert_eq!(run_forever(&mut machine), MachineExit::Reset);
    let before = machine.now();
    machine.reset();
    assert_eq!(machine.now(), before);
    assert_eq!(machine.cpu.regs.eip, 0xFFF0);
    let Devices { rtc, fw_cfg, .. } = machine.chipset().devices.clone();
    assert_eq!(machine.chipset().devices, Devices { rtc, fw_cfg, ..Devices::new(0, 0) });
}

#[test]
fn idle_time_is_skipped_exactly() {
    let mut machine = ticking();
    assert_eq!(machine.run(Until::vtime(10 * TICKS_PER_SECOND)), MachineExit::Limit);
    assert_eq!(machine.now().vtime, 10 * TICKS_PER_SECOND);
    // 1193 clocks of 1,193,182 Hz, started a few instructions after 0.
    assert_eq!(counter(&machine, 0), (10 * 1_193_182 / 1193) as u32);
    let per_tick = 2 + 5;
    assert!(machine.now().insns <= 11 + per_tick * u64::from(counter(&machine, 0) + 1));
    assert_eq!(machine.stats().irqs, u64::from(counter(&machine, 0)));
}

#[test]
fn paced_idle_asks_the_owner() {
    let mut machine = ticking();
    machine.pace_idle = true;
    let exit = machine.run(Until::FOREVER);
    let MachineExit::Idle { wake_at: Some(wake_at) } = exit else { panic!("{exit:?}") };
    machine.pass_idle(wake_at - 1);
    assert_eq!(machine.run(Until::FOREVER), exit);
    assert_eq!(counter(&machine, 0), 0);
    machine.pass_idle(u64::MAX);
    assert_eq!(machine.now().vtime, wake_at, "never past the next event");
    // The output pulses low for one clock before it rises and interrupts.
    while counter(&machine, 0) == 0 {
        assert!(matches!(machine.run(Until::FOREVER), MachineExit::Idle { wake_at: Some(_) }));
        machine.pass_idle(u64::MAX);
    }
}

#[test]
fn an_nmi_is_seen_exactly_once_wherever_it_strikes() {
    let mut machine = ticking();
    let snapshot = machine.snapshot();
    let until = Until::vtime(3_000_000);
    machine.run(until);
    let (undisturbed, ticks) = (machine.now().insns, counter(&machine, 0));
    assert!(undisturbed > 20 && ticks == 2);
    for at in 0..undisturbed {
        machine.restore(&snapshot).unwrap();
        machine.raise_nmi_at(at);
        assert_eq!(machine.run(until), MachineExit::Limit);
        assert_eq!((counter(&machine, 1), counter(&machine, 0)), (1, ticks), "NMI at {at}");
    }
}

#[test]
fn dead_machines_wake_for_an_nmi() {
    let mut machine = guest(Asm::default().cli().hlt().out(0xF4, 1), |_| eoi());
    assert_eq!(run_forever(&mut machine), MachineExit::Dead);
    machine.raise_nmi();
    assert_eq!(run_forever(&mut machine), MachineExit::DebugExit(1));
    assert_eq!(counter(&machine, 1), 1);
}

#[test]
fn watched_output_stops_after_its_instruction() {
    let mut machine = guest(Asm::default().out(0xE9, b'a').out(0xE9, b'b').cli().hlt(), |_| eoi());
    machine.with_outputs(|outputs| outputs.watch(OutputPort::DebugConsole, true));
    for (insns, text) in [(3, b"a"), (6, b"b")] {
        assert_eq!(machine.run(Until::FOREVER), MachineExit::Output);
        assert_eq!(machine.now().insns, insns);
        assert_eq!(machine.take_output(OutputPort::DebugConsole), text);
    }
    assert_eq!(machine.run(Until::FOREVER), MachineExit::Dead);
}

#[test]
fn a_recording_replays_to_the_same_hash() {
    let text = b"The quick brown fox";
    let end = Until::insns(3_000_000);
    let mut machine = echo();
    machine.inputs.record(true);
    let sender = machine.inputs.sender();
    for (n, byte) in text.iter().enumerate() {
        machine.run(Until::insns(7777 * n as u64));
        sender.send(Input::Com1(vec![*byte])).unwrap();
    }
    machine.run(end);
    assert_eq!(machine.take_output(OutputPort::DebugConsole), text);
    let recording = machine.inputs.record(false);
    let mut replay = echo();
    for timed in recording {
        replay.inputs.add(timed.at, timed.input);
    }
    replay.run(end);
    assert_eq!(replay.take_output(OutputPort::DebugConsole), text);
    assert_eq!(replay.state_hash(), machine.state_hash());
}

#[test]
fn input_wakes_an_idle_machine_at_its_time() {
    let code = Asm::default().out(0x3FC, 0x0B).out(0x3F9, 1).sti().hlt();
    let mut machine = guest(code, |_| Asm::default().input(0x3F8).dx(0xF4).bytes(&[0xEE]));
    machine.inputs.add(Stamp { insns: 0, vtime: TICKS_PER_SECOND }, Input::Com1(b"!".to_vec()));
    assert_eq!(run_forever(&mut machine), MachineExit::DebugExit(b'!'.into()));
    // Start, 5 data bits and one stop bit at the power-up rate of 9600, then the handler's four instructions.
    assert_eq!(machine.now().vtime, TICKS_PER_SECOND + (7 * TICKS_PER_SECOND).div_ceil(9600) + 4);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    /// How a run is cut into slices, and whether it goes on in another machine, cannot be seen.
    #[test]
    fn slices_are_invisible(
        cuts in prop::collection::vec((1u64..2000, 1u64..2_000_000, any::<bool>()), 0..20),
        inputs in prop::collection::vec((0u64..20_000, 0u64..10_000_000), 0..4), polling in any::<bool>(),
    ) {
        let make = || {
            let mut machine = if polling { echo() } else { ticking() };
            for (insns, vtime) in &inputs {
                machine.inputs.add(Stamp { insns: *insns, vtime: *vtime }, Input::Com1(b"xyz".to_vec()));
                machine.inputs.add(Stamp { insns: *insns, vtime: *vtime / 2 }, Input::Nmi);
            }
            machine
        };
        let end = Until { insns: 100_000, vtime: 20_000_000 };
        let mut whole = make();
        whole.run(end);
        let mut sliced = make();
        for (insns, vtime, move_on) in cuts {
            let now = sliced.now();
            let until = Until { insns: end.insns.min(now.insns + insns), vtime: end.vtime.min(now.vtime + vtime) };
            sliced.run(until);
            if move_on {
                let snapshot = sliced.snapshot();
                sliced = machine();
                sliced.restore(&snapshot).unwrap();
            }
        }
        sliced.run(end);
        prop_assert_eq!(sliced.now(), whole.now());
        prop_assert_eq!(sliced.state_hash(), whole.state_hash());
    }
}
