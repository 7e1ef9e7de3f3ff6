//! Our machine, in this process: what `ringside` would do without a terminal.

use crate::{Boot, End, Limit, Report};
use machine::boot::multiboot::{Module, Multiboot};
use machine::inputs::{Input, Stamp};
use machine::media::Medium;
use machine::outputs::OutputPort;
use machine::{Config, Machine, MachineExit, Until};
use std::fs;
use std::path::Path;
use std::sync::Arc;

const RAM: u64 = 128 << 20;
/// For each Guest more.
const GUEST_RAM: u64 = 64 << 20;
/// What the entropy source begins with.
const SEED: u64 = 0;
/// A moment of wall-clock time, the same in every run.
const RTC: i64 = 1_000_000_000;

/// A machine with everything in place, about to execute the Host's first instruction.
///
/// # Panics
/// If an image cannot be read or is none, or the processor has no such mutant.
pub fn prepare(boot: &Boot) -> Machine {
    let read = |path: &Path| fs::read(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    let (host, guest) = (read(&boot.host), read(&boot.guest));
    let mut machine = Machine::new(Config { ram: RAM + boot.neighbours.len() as u64 * GUEST_RAM, rtc: RTC })
        .expect("enough RAM");
    // Before the image: loading it gives the devices their addresses, as firmware would.
    if boot.network {
        machine.connect_network();
    }
    if boot.entropy {
        machine.connect_rng(SEED);
    }
    if boot.consoles.is_some() {
        machine.connect_serial(boot.neighbours.len());
    }
    machine.cpu.mutant = boot.cpu_mutant.map(|name| {
        cpu::Mutant::from_name(name).unwrap_or_else(|| panic!("the processor has no mutant {name}"))
    });
    let string = format!("guest -- {}", boot.guest_words);
    let initrd = boot.initrd.as_deref().map(read);
    let mut modules = vec![Module { data: &guest, string: string.trim_end().as_bytes() }];
    modules.extend(initrd.as_deref().map(|data| Module { data, string: b"initrd" }));
    let neighbours: Vec<(Vec<u8>, String)> =
        boot.neighbours.iter().map(|(image, words)| (read(image), format!("guest -- {words}"))).collect();
    for ((data, string), (image, _)) in neighbours.iter().zip(&boot.neighbours) {
        modules.push(Module { data, string: string.as_bytes() });
        let same = initrd.as_deref().filter(|_| boot.initrd_of(image).is_some());
        modules.extend(same.map(|data| Module { data, string: b"initrd" }));
    }
    let image = Multiboot { kernel: &host, command_line: boot.host_words.as_bytes(), modules: &modules };
    image.load(&mut machine).expect("the Host is a multiboot kernel");
    if boot.disk_sectors != 0 {
        machine.connect_disk(Medium::new(Arc::new(Vec::new()), boot.disk_sectors, false));
    }
    if !boot.input.is_empty() {
        machine.inputs.add(Stamp::default(), Input::Com1(boot.input.clone()));
    }
    for (port, typed) in (0..).zip(boot.consoles.iter().flatten()) {
        machine.inputs.add(Stamp::default(), Input::Serial(port, typed.clone()));
    }
    machine
}

pub fn run(boot: &Boot) -> Report {
    let mut machine = prepare(boot);
    machine.cpu.set_engine(boot.engine).expect("an engine this computer has");
    let limit = match boot.limit {
        Limit::Generous => 3_000_000_000,
        Limit::Short => 150_000_000,
        Limit::Neighbour => 600_000_000,
    };
    let end = match machine.run(Until { insns: limit, vtime: 10 * limit }) {
        MachineExit::PowerOff => End::PowerOff,
        MachineExit::DebugExit(value) => End::Status(value << 1 | 1),
        MachineExit::Limit => End::Limit,
        _ => End::Stopped,
    };
    let mut said = |port| String::from_utf8_lossy(&machine.take_output(port)).into_owned();
    let (console, host_log) = (said(OutputPort::Com1), said(OutputPort::Com2));
    let ports = boot.consoles.iter().flatten().zip(0..).map(|(_, n)| OutputPort::Serial(n));
    let neighbours = ports.map(said).collect();
    let mutant = boot.cpu_mutant.map_or(String::new(), |name| format!(" (processor: {name})"));
    let command = format!(
        "ringside run --engine {} --host {} {} --append {:?}{mutant}",
        format!("{:?}", boot.engine).to_lowercase(),
        boot.host.display(),
        boot.guest.display(),
        boot.guest_words
    );
    Report { console, neighbours, host_log, end, command }
}
