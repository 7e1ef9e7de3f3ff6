//! What the processor tells about rings: counted for `--stats`, written as lines for `--trace`.
//!
//! A line is `insns vtime from>to cause cs:eip image!symbol+offset`. The place is the one on the less privileged side
//! of the transfer, where it was left or is entered: it is what one wants to know, and the other side is a gate.
//! A world switch is seen from outside as what it is: the Switcher, in ring 0, loads CR3 with another address space.

mod cause;
mod symbols;

pub use symbols::Symbols;

use crate::options::MachineOptions;
use cpu::event::{Cause, Event, EventSink, Stamp};
use machine::Machine;
use std::fmt::Display;
use std::io::Write;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Vector of hypercalls.
const HYPERCALL: u8 = 0x1F;

/// Counts of events.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Changes of address space by the Switcher, into a Guest's world and out of it.
    pub world_switches: u64,
    /// Hypercalls.
    pub hypercalls: u64,
    /// Changes of CPL.
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
    /// The Switcher's last change of address space led to a Guest.
    in_guest_world: bool,
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
        match event {
            Event::Cr3 { old, new, place } => {
                self.counts.cr3_loads += 1;
                if old != new && symbols::is_switcher(place.1) {
                    self.counts.world_switches += 1;
                    self.in_guest_world = !self.in_guest_world;
                    let world = if self.in_guest_world { "world:guest" } else { "world:host" };
                    self.line(at, (0, 0), world, 0, place);
                }
            }
            Event::Transfer { cause, from_cpl, to_cpl, from, to, eax } if from_cpl != to_cpl => {
                let is_hypercall = cause == Cause::SoftwareInterrupt(HYPERCALL);
                self.counts.ring_changes += 1;
                self.counts.hypercalls += u64::from(is_hypercall);
                let place = if from_cpl > to_cpl { from } else { to };
                let name = cause::Name { cause, eax, cr2: at.cr2 };
                self.line(at, (from_cpl, to_cpl), name, from_cpl.max(to_cpl), place);
            }
            Event::Transfer { .. } => {}
        }
    }

    /// A line for something that happened at `place`, where code runs at `cpl`.
    fn line(&mut self, at: Stamp, rings: (u8, u8), cause: impl Display, cpl: u8, place: (u16, u32)) {
        let Some(symbols) = &self.symbols else { return };
        let Stamp { insns, vtime, .. } = at;
        let ((from, to), (cs, eip)) = (rings, place);
        let name = symbols.name(cpl, eip);
        // Writing to memory does not fail.
        let _ = writeln!(self.lines, "{insns} {vtime} {from}>{to} {cause} {cs:04x}:{eip:08x} {name}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn into_the_guest_and_back() {
        let mut state = State { symbols: Some(Symbols::default()), ..State::default() };
        let at = Stamp { insns: 1204332, vtime: 1390021, cr3: 0, cr2: 0x1000 };
        let guest = (0x61, 0xC100_2F31);
        let switcher = (0x50, 0xFFC0_0010);
        let transfer =
            |cause, from_cpl, to_cpl, from, to| Event::Transfer { cause, from_cpl, to_cpl, from, to, eax: 4 };
        let load = |old, new, place| Event::Cr3 { old, new, place };
        state.event(at, load(0, 0x1000, (8, 0x10_0000)));
        state.event(at, load(0x1000, 0x2000, switcher));
        state.event(at, transfer(Cause::Iret, 0, 1, switcher, guest));
        state.event(at, transfer(Cause::SoftwareInterrupt(0x1F), 1, 0, guest, switcher));
        state.event(at, transfer(Cause::Iret, 0, 0, switcher, switcher));
        state.event(at, load(0x2000, 0x1000, switcher));
        let expected = "1204332 1390021 0>0 world:guest 0050:ffc00010 switcher!?+0\n\
                        1204332 1390021 0>1 iret 0061:c1002f31 guest!?+0\n\
                        1204332 1390021 1>0 int1f:NEW_PGTABLE 0061:c1002f31 guest!?+0\n\
                        1204332 1390021 0>0 world:host 0050:ffc00010 switcher!?+0\n";
        assert_eq!(String::from_utf8(state.lines).unwrap(), expected);
        let counts = Counts { world_switches: 2, hypercalls: 1, ring_changes: 2, cr3_loads: 3 };
        assert_eq!(state.counts, counts);
    }
}
