//! What the processor tells about rings: counted for `--stats`, written as lines for `--trace`.
//!
//! A line is `insns vtime from>to cause cs:eip image!symbol+offset`. The place is the one on the less privileged side
//! of the transfer, where it was left or is entered: it is what one wants to know, and the other side is a gate.

mod cause;
mod symbols;

pub use symbols::Symbols;

use crate::options::MachineOptions;
use cpu::event::{Cause, Event, EventSink, Stamp};
use machine::Machine;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Vector of hypercalls.
const HYPERCALL: u8 = 0x1F;

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Entries from a Guest into the Switcher and from there into a Guest.
    pub world_switches: u64,
    /// Hypercalls.
    pub hypercalls: u64,
    /// Changes of CPL, world switches included.
    pub ring_changes: u64,
    /// Loads of CR3.
    pub cr3_loads: u64,
}

/// The two ends of a listener: one in the processor, one with us.
#[derive(Clone, Default)]
pub struct Listener(Arc<Mutex<State>>);

#[derive(Default)]
struct State {
    counts: Counts,
    /// Present if lines are wanted.
    symbols: Option<Symbols>,
    lines: Vec<u8>,
}

impl Listener {
    /// Listen to `machine`, if `options` need it.
    pub fn attach(
        machine: &mut Machine,
        options: &MachineOptions,
        symbols: impl FnOnce() -> Symbols,
    ) -> Listener {
        let symbols = options.trace.is_some().then(symbols);
        let listener = Listener(Arc::new(Mutex::new(State { symbols, ..State::default() })));
        if options.trace.is_some() || options.stats {
            machine.cpu.set_event_sink(Some(Box::new(listener.clone())));
        }
        listener
    }

    /// Counts so far.
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Trace lines since the last call.
    pub fn take_lines(&self) -> Vec<u8> {
        std::mem::take(&mut self.state().lines)
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Counts and lines are whole after any panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl EventSink for Listener {
    fn event(&mut self, at: Stamp, event: Event) {
        self.state().event(at, event);
    }
}

impl State {
    fn event(&mut self, at: Stamp, event: Event) {
        let (cause, from_cpl, to_cpl, from, to, eax) = match event {
            Event::Cr3 { .. } => {
                self.counts.cr3_loads += 1;
                return;
            }
            Event::Transfer { cause, from_cpl, to_cpl, from, to, eax } => {
                (cause, from_cpl, to_cpl, from, to, eax)
            }
        };
        if from_cpl == to_cpl {
            return;
        }
        let (outer, inner, cpl) = if from_cpl > to_cpl { (from, to, from_cpl) } else { (to, from, to_cpl) };
        self.counts.ring_changes += 1;
        self.counts.world_switches += u64::from(symbols::is_switcher(inner.1));
        let is_hypercall = cause == Cause::SoftwareInterrupt(HYPERCALL);
        self.counts.hypercalls += u64::from(is_hypercall);
        if let Some(symbols) = &self.symbols {
            let cause = cause::Name { cause, eax, cr2: at.cr2 };
            let place = symbols.name(cpl, outer.1);
            let Stamp { insns, vtime, .. } = at;
            // Writing to memory does not fail.
            let _ = writeln!(
                self.lines,
                "{insns} {vtime} {from_cpl}>{to_cpl} {cause} {:04x}:{:08x} {place}",
                outer.0, outer.1
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hypercall_and_the_way_back() {
        let mut state = State { symbols: Some(Symbols::default()), ..State::default() };
        let at = Stamp { insns: 1204332, vtime: 1390021, cr3: 0, cr2: 0x1000 };
        let guest = (0x61, 0xC100_2F31);
        let switcher = (0x50, 0xFFC0_0010);
        let transfer =
            |cause, from_cpl, to_cpl, from, to| Event::Transfer { cause, from_cpl, to_cpl, from, to, eax: 4 };
        state.event(at, transfer(Cause::SoftwareInterrupt(0x1F), 1, 0, guest, switcher));
        state.event(at, transfer(Cause::Iret, 0, 0, switcher, switcher));
        state.event(at, transfer(Cause::Iret, 0, 1, switcher, guest));
        state.event(at, Event::Cr3 { old: 0, new: 0x1000 });
        let expected = "1204332 1390021 1>0 int1f:NEW_PGTABLE 0061:c1002f31 guest!?+0\n\
                        1204332 1390021 0>1 iret 0061:c1002f31 guest!?+0\n";
        assert_eq!(String::from_utf8(state.lines).unwrap(), expected);
        let counts = Counts { world_switches: 2, hypercalls: 1, ring_changes: 2, cr3_loads: 1 };
        assert_eq!(state.counts, counts);
    }
}
