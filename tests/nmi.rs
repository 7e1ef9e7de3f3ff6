//! A non-maskable interrupt at every instruction of a world switch: the Host sees it once, the Guest never, and
//! nothing else changes.
//!
//! "Once" is read from the Host's own counter, through the symbol in its image. A run is deterministic, so the test can put the NMI at each count in turn: from a snapshot just before a hypercall,
//! or before a timer interrupt that the Guest gets, up to the Guest's next instruction but a few.

use cpu::event::{Cause, Event, EventSink, Stamp};
use harness::{Boot, prepare};
use machine::outputs::OutputPort;
use machine::{Machine, MachineExit, Snapshot, Until};
use object::{Object, ObjectSymbol};
use std::sync::{Arc, Mutex};

/// Instructions tried before the first and after the last of a round trip.
const MARGIN: u64 = 3;
const FAR: u64 = 400_000_000;

type Journal = Arc<Mutex<Vec<(u64, Event)>>>;

struct Recorder(Journal);

impl EventSink for Recorder {
    fn event(&mut self, at: Stamp, event: Event) {
        self.0.lock().expect("nobody panics with it").push((at.insns, event));
    }
}

/// What a run amounts to, apart from counts.
#[derive(PartialEq, Debug)]
struct Course {
    exit: MachineExit,
    console: Vec<u8>,
    host_log: Vec<u8>,
    /// Crossings between rings, without those of the NMI itself: why, from, to, and the number of a call. Where exactly
    /// a timer interrupt finds a loop is not the same after a few more instructions.
    crossings: Vec<(Cause, u8, u8, Option<u32>)>,
}

/// Runs to the end; also how many NMIs were taken and in which ring their handlers began.
fn course(machine: &mut Machine) -> (Course, Vec<(u64, Event)>) {
    let journal = Journal::default();
    machine.cpu.set_event_sink(Some(Box::new(Recorder(journal.clone()))));
    let exit = machine.run(Until::insns(FAR));
    let events = std::mem::take(&mut *journal.lock().expect("nobody panics with it"));
    let mut crossings = Vec::new();
    let mut nested = 0;
    for (_, event) in &events {
        let Event::Transfer { cause, from_cpl, to_cpl, eax, .. } = *event else { continue };
        let number = matches!(cause, Cause::SoftwareInterrupt(_)).then_some(eax);
        match cause {
            Cause::Nmi => nested += 1,
            Cause::Iret if nested > 0 => nested -= 1,
            _ if from_cpl == 0 && to_cpl == 0 => {}
            _ => crossings.push((cause, from_cpl, to_cpl, number)),
        }
    }
    let mut said = |port| machine.take_output(port);
    let (console, host_log) = (said(OutputPort::Com1), said(OutputPort::Com2));
    (Course { exit, console, host_log, crossings }, events)
}

/// Counts at which a round trip begins and ends: from an event into ring 0 to the next return to ring 1.
fn round_trip(events: &[(u64, Event)], begins: impl Fn(&Event) -> bool) -> (u64, u64) {
    let start = events.iter().rposition(|(_, e)| begins(e)).expect("such a round trip happens");
    let back = |e: &Event| matches!(e, Event::Transfer { cause: Cause::Iret, from_cpl: 0, to_cpl: 1, .. });
    let end = events[start..].iter().find(|(_, e)| back(e)).expect("it returns");
    (events[start].0, end.0)
}

/// Where the NMI struck.
fn nmi_place(events: &[(u64, Event)]) -> Option<(u16, u32)> {
    events.iter().find_map(|(_, e)| match e {
        Event::Transfer { cause: Cause::Nmi, from, .. } => Some(*from),
        _ => None,
    })
}

/// Where the Host keeps its count of NMIs; its linear addresses are physical ones.
fn nmi_counter(boot: &Boot) -> u64 {
    let image = std::fs::read(&boot.host).expect("the Host's image");
    let file = object::File::parse(&*image).expect("an ELF file");
    let symbol = file.symbols().find(|s| s.name() == Ok("NMI_COUNT")).expect("the Host counts NMIs");
    symbol.address()
}

fn word(machine: &Machine, address: u64) -> u32 {
    let bytes = machine.cpu.mem.slice(address, 4).expect("in RAM");
    u32::from_le_bytes(bytes.try_into().expect("four bytes"))
}

/// Puts an NMI at every instruction of a round trip.
fn storm(boot: &Boot, begins: impl Fn(&Event) -> bool) {
    let mut machine = prepare(boot);
    let (_, events) = course(&mut machine);
    let (start, end) = round_trip(&events, begins);
    let mut machine = prepare(boot);
    assert_eq!(machine.run(Until::insns(start - 2 * MARGIN)), MachineExit::Limit);
    let snapshot: Snapshot = machine.snapshot();
    // What was said so far is no part of the course from here.
    for port in [OutputPort::Com1, OutputPort::Com2] {
        machine.take_output(port);
    }
    let (undisturbed, _) = course(&mut machine);
    let counter = nmi_counter(boot);
    for at in start - MARGIN..=end + MARGIN {
        machine.restore(&snapshot).expect("a snapshot of this machine");
        machine.raise_nmi_at(at);
        let (disturbed, events) = course(&mut machine);
        let handled: Vec<u8> = events
            .iter()
            .filter_map(|(_, e)| match e {
                Event::Transfer { cause: Cause::Nmi, to_cpl, .. } => Some(*to_cpl),
                _ => None,
            })
            .collect();
        assert_eq!(handled, [0], "NMI at {at} (round trip {start} to {end})");
        assert_eq!(word(&machine, counter), 1, "NMI at {at}: the Host's count");
        let place = format!("{} in, {:x?}", at as i64 - start as i64, nmi_place(&events));
        let log = String::from_utf8_lossy(&disturbed.host_log);
        assert_eq!(disturbed.exit, undisturbed.exit, "NMI {place}\n{log}");
        let text = |course: &Course| String::from_utf8_lossy(&course.console).into_owned();
        assert_eq!(text(&disturbed), text(&undisturbed), "NMI {place}");
        assert!(disturbed.crossings == undisturbed.crossings, "NMI {place}: crossings");
    }
    println!("NMI at each of {} instructions", end - start + 2 * MARGIN + 1);
}

#[test]
fn at_every_instruction_of_a_hypercall() {
    let boot = Boot::new("attack-guest.elf", "");
    storm(&boot, |e| matches!(e, Event::Transfer { cause: Cause::SoftwareInterrupt(0x1f), eax: 17, .. }));
}

#[test]
fn at_every_instruction_of_a_timer_interrupt() {
    let boot = Boot::new("attack-guest.elf", "attack=clockevent-storm");
    storm(&boot, |e| matches!(e, Event::Transfer { cause: Cause::Irq(_), from_cpl: 1, .. }));
}
