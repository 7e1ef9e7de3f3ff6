//! What the Switcher and the Host take, in instructions: from a Guest's last instruction to its next one, by what took it out.
//!
//! Counts are exact and the same in every run and engine, so this is no measurement of time: a test holds them below limits, and
//! `cargo test --release -p ringside-tests --test costs -- --nocapture` prints the table of docs/bench.md.

use cpu::event::{Cause, Event, EventSink, Stamp};
use harness::{Boot, engines, prepare};
use machine::{MachineExit, Until};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

const HYPERCALL: u8 = 0x1F;
const SYSTEM_CALL: u8 = 0x80;
const DEVICE_NOT_AVAILABLE: u8 = 7;
const GENERAL_PROTECTION: u8 = 13;
const PAGE_FAULT: u8 = 14;

/// What took a Guest out of its rings, and where it found itself again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    /// By its number.
    Hypercall(u32),
    SystemCallDirect,
    SystemCallReflected,
    PageFaultMended,
    PageFaultReflected,
    FpuGiven,
    FpuReflected,
    InstructionCarriedOut,
    OtherReflected,
    InterruptUnseen,
    InterruptDelivered,
}

/// A line of the table: what it is, how many times each Guest does it at least (the first Guest, Linux), and what the middle one
/// of either may take at most.
const TABLE: [(Way, &str, [usize; 2], u64); 17] = [
    (Way::Hypercall(8), "hypercall TS, which sets a flag", [10, 0], 600),
    (Way::Hypercall(9), "hypercall SET_CLOCKEVENT", [5, 20], 900),
    (Way::Hypercall(4), "hypercall NEW_PGTABLE", [10, 0], 1500),
    (Way::Hypercall(14), "hypercall SET_PTE", [3, 0], 1200),
    (Way::Hypercall(18), "hypercall LOAD_GDT_ENTRY", [1, 0], 800),
    (Way::Hypercall(6), "hypercall LOAD_IDT_ENTRY", [50, 0], 800),
    (Way::Hypercall(17), "hypercall NOTIFY: a line for the console", [50, 0], 5000),
    (Way::SystemCallDirect, "system call, straight to the kernel", [1, 1000], 0),
    (Way::SystemCallReflected, "system call through an interrupt gate", [1, 0], 1200),
    (Way::PageFaultMended, "page fault: a shadow entry made", [10, 1000], 3000),
    (Way::PageFaultReflected, "page fault: the kernel's own", [1, 1000], 2200),
    (Way::FpuGiven, "#NM: the FPU handed over", [1, 1], 600),
    (Way::FpuReflected, "#NM: the kernel's own", [1, 0], 1200),
    (Way::InstructionCarriedOut, "#GP: an instruction carried out", [5, 1000], 1300),
    (Way::OtherReflected, "other exceptions: the kernel's own", [10, 100], 1900),
    (Way::InterruptUnseen, "timer interrupt, nothing for the Guest", [10, 10], 900),
    (Way::InterruptDelivered, "timer interrupt, delivered", [1, 10], 2600),
];

/// A Guest outside of its rings.
struct Outside {
    cause: Cause,
    at: Stamp,
    from: (u16, u32),
    eax: u32,
}

#[derive(Default)]
struct Ledger {
    outside: Option<Outside>,
    counts: BTreeMap<Way, Vec<u64>>,
}

impl Ledger {
    fn event(&mut self, at: Stamp, event: Event) {
        let Event::Transfer { cause, from_cpl, to_cpl, from, to, eax } = event else { return };
        match (from_cpl, to_cpl) {
            (3, 1) if cause == Cause::SoftwareInterrupt(SYSTEM_CALL) => {
                self.counts.entry(Way::SystemCallDirect).or_default().push(0);
            }
            (1 | 3, 0) => self.outside = Some(Outside { cause, at, from, eax }),
            (0, 1 | 3) => {
                let Some(way_out) = self.outside.take() else { return };
                // Rounds with a sleep in them say nothing.
                if at.vtime - way_out.at.vtime != at.insns - way_out.at.insns {
                    return;
                }
                let software = matches!(way_out.cause, Cause::SoftwareInterrupt(_));
                // With the IRET, without the INT.
                let count = at.insns - way_out.at.insns + 1 - u64::from(software);
                if let Some(way) = classify(&way_out, to) {
                    self.counts.entry(way).or_default().push(count);
                }
            }
            _ => {}
        }
    }
}

fn classify(out: &Outside, to: (u16, u32)) -> Option<Way> {
    let again = out.from == to;
    // Carried out: it goes on behind the instruction.
    let behind = out.from.0 == to.0 && (1..16).contains(&to.1.wrapping_sub(out.from.1));
    Some(match out.cause {
        Cause::SoftwareInterrupt(HYPERCALL) if behind => Way::Hypercall(out.eax),
        Cause::Exception { vector: GENERAL_PROTECTION, error: Some(error) }
            if error == u16::from(SYSTEM_CALL) * 8 + 2 =>
        {
            if again {
                return None;
            } else {
                Way::SystemCallReflected
            }
        }
        Cause::SoftwareInterrupt(SYSTEM_CALL) => Way::SystemCallReflected,
        Cause::Exception { vector: PAGE_FAULT, .. } if again => Way::PageFaultMended,
        Cause::Exception { vector: PAGE_FAULT, .. } if !behind => Way::PageFaultReflected,
        Cause::Exception { vector: DEVICE_NOT_AVAILABLE, .. } if again => Way::FpuGiven,
        Cause::Exception { vector: DEVICE_NOT_AVAILABLE, .. } => Way::FpuReflected,
        Cause::Exception { vector: GENERAL_PROTECTION, .. } if behind => Way::InstructionCarriedOut,
        Cause::Exception { vector: GENERAL_PROTECTION, .. } if again => return None,
        Cause::Exception { .. } if !behind => Way::OtherReflected,
        Cause::Irq(_) if again => Way::InterruptUnseen,
        Cause::Irq(_) => Way::InterruptDelivered,
        _ => return None,
    })
}

struct Listener(Arc<Mutex<Ledger>>);

impl EventSink for Listener {
    fn event(&mut self, at: Stamp, event: Event) {
        self.0.lock().expect("nobody panics with it").event(at, event);
    }
}

/// Everything a Guest does until it powers off, each way's counts in order.
fn counts(boot: &Boot) -> BTreeMap<Way, Vec<u64>> {
    let mut machine = prepare(boot);
    machine.cpu.set_engine(boot.engine).expect("an engine this computer has");
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    machine.cpu.set_event_sink(Some(Box::new(Listener(ledger.clone()))));
    assert_eq!(machine.run(Until::insns(3_000_000_000)), MachineExit::PowerOff, "{boot:?}");
    let mut ledger = ledger.lock().expect("nobody panics with it");
    let mut counts = std::mem::take(&mut ledger.counts);
    counts.values_mut().for_each(|c| c.sort_unstable());
    counts
}

fn middle(sorted: &[u64]) -> u64 {
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

#[test]
fn each_way_out_and_back_takes_no_more_than_it_may() {
    let guests = [Boot::new("first-guest.elf", ""), Boot::linux("run=/demo")];
    let [first, linux] = guests.map(|boot| {
        let mut all = engines().into_iter().map(|engine| counts(&Boot { engine, ..boot.clone() }));
        let reference = all.next().expect("there is an interpreter");
        assert!(all.all(|other| other == reference), "another engine counts otherwise");
        reference
    });
    let columns = "times | fewest | middle | most";
    println!("| from leaving a Guest to its next instruction | first Guest: {columns} | Linux: {columns} |");
    println!("|{}", "---|".repeat(9));
    let mut wrong = Vec::new();
    for (way, name, times, limit) in TABLE {
        let mut line = format!("| {name} |");
        for ((guest, counts), least) in [("first Guest", &first), ("Linux", &linux)].into_iter().zip(times) {
            let counts = counts.get(&way).map_or(&[][..], Vec::as_slice);
            line += &match (counts.first(), middle(counts), counts.last()) {
                (Some(fewest), middle, Some(most)) => {
                    format!(" {} | {fewest} | {middle} | {most} |", counts.len())
                }
                _ => " | | | |".into(),
            };
            if counts.len() < least {
                wrong.push(format!("{name}: {guest}: {} times, at least {least}", counts.len()));
            }
            if middle(counts) > limit {
                wrong.push(format!("{name}: {guest}: {} instructions, at most {limit}", middle(counts)));
            }
        }
        println!("{line}");
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
