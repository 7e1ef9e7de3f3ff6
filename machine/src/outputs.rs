//! What the machine says to the outside: bytes collected per port until the owner takes them.
//!
//! The machine does no I/O itself. Outputs are a consequence of the guest's execution and no part of its state:
//! they are neither hashed nor saved.

use crate::devices::virtio::MAX_PORTS;
use crate::net::ToOutside;

/// A place where bytes leave the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputPort {
    /// First serial port.
    Com1,
    /// Second serial port.
    Com2,
    /// Debug console, port 0xE9.
    DebugConsole,
    /// Power-on self-test codes, port 0x190.
    Post,
    /// This port of the virtio serial device.
    Serial(u8),
}

impl OutputPort {
    /// Every port.
    pub fn all() -> impl Iterator<Item = OutputPort> {
        let serial = (0..MAX_PORTS as u8).map(OutputPort::Serial);
        [OutputPort::Com1, OutputPort::Com2, OutputPort::DebugConsole, OutputPort::Post]
            .into_iter()
            .chain(serial)
    }

    /// Its place among all of them.
    fn place(self) -> usize {
        match self {
            OutputPort::Com1 => 0,
            OutputPort::Com2 => 1,
            OutputPort::DebugConsole => 2,
            OutputPort::Post => 3,
            OutputPort::Serial(n) => SERIAL + usize::from(n).min(MAX_PORTS - 1),
        }
    }
}

/// The place of the first port of the serial device, and the number of places.
const SERIAL: usize = 4;
const PORTS: usize = SERIAL + MAX_PORTS;

/// Bytes that may wait at one port before the owner of the machine is asked to take them: a driver of the serial device can say a
/// lot in one instruction.
const BACKLOG: usize = 1 << 20;

/// Bytes waiting for the owner of the machine.
#[derive(Clone, Debug)]
pub struct Outputs {
    bytes: [Vec<u8>; PORTS],
    network: Vec<ToOutside>,
    watched: [bool; PORTS],
    network_watched: bool,
    seen: bool,
}

impl Default for Outputs {
    fn default() -> Outputs {
        Outputs {
            bytes: [const { Vec::new() }; PORTS],
            network: Vec::new(),
            watched: [false; PORTS],
            network_watched: false,
            seen: false,
        }
    }
}

impl Outputs {
    /// Append bytes to what `port` has said.
    pub fn emit(&mut self, port: OutputPort, bytes: &[u8]) {
        let waiting = &mut self.bytes[port.place()];
        waiting.extend_from_slice(bytes);
        self.seen |= self.watched[port.place()] || waiting.len() > BACKLOG;
    }

    /// Append what the gateway wants of the outside; the machine stops for it, unless nobody listens.
    pub fn emit_network(&mut self, message: ToOutside) {
        if self.network_watched {
            self.network.push(message);
            self.seen = true;
        }
    }

    /// Keep what the gateway wants of the outside from now on.
    pub fn watch_network(&mut self) {
        self.network_watched = true;
    }

    /// Take everything the gateway wanted since the last call.
    pub fn take_network(&mut self) -> Vec<ToOutside> {
        std::mem::take(&mut self.network)
    }

    /// Take everything `port` has said since the last call.
    pub fn take(&mut self, port: OutputPort) -> Vec<u8> {
        std::mem::take(&mut self.bytes[port.place()])
    }

    /// What [`Self::take`] would take.
    pub fn waiting(&self, port: OutputPort) -> &[u8] {
        &self.bytes[port.place()]
    }

    /// Make the machine stop right after the instruction that emits something at `port`, or no longer.
    pub fn watch(&mut self, port: OutputPort, on: bool) {
        self.watched[port.place()] = on;
    }

    /// Make the machine stop right after the current instruction: the owner has something to do.
    pub(crate) fn stop_now(&mut self) {
        self.seen = true;
    }

    /// Whether a watched port has spoken and nobody has been told yet.
    pub(crate) fn has_seen(&self) -> bool {
        self.seen
    }

    /// Like [`Self::has_seen`], and forget it.
    pub(crate) fn take_seen(&mut self) -> bool {
        std::mem::take(&mut self.seen)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports_are_apart_and_only_watched_ones_are_told() {
        let mut outputs = Outputs::default();
        outputs.watch(OutputPort::Com2, true);
        outputs.emit(OutputPort::Com1, b"one");
        assert!(!outputs.has_seen());
        outputs.emit(OutputPort::Com2, b"two");
        assert!(outputs.has_seen() && outputs.take_seen() && !outputs.has_seen());
        assert_eq!(outputs.take(OutputPort::Com1), b"one");
        assert_eq!(outputs.take(OutputPort::Com2), b"two");
        assert!(outputs.take(OutputPort::Com2).is_empty());
    }

    #[test]
    fn places_are_all_different() {
        let mut places: Vec<usize> = OutputPort::all().map(OutputPort::place).collect();
        places.sort_unstable();
        assert_eq!(places, Vec::from_iter(0..PORTS));
    }

    #[test]
    fn the_owner_is_asked_to_take_what_is_too_much() {
        let mut outputs = Outputs::default();
        outputs.emit(OutputPort::Serial(2), &vec![0; BACKLOG]);
        assert!(!outputs.has_seen());
        outputs.emit(OutputPort::Serial(2), b"x");
        assert!(outputs.take_seen());
        assert_eq!(outputs.take(OutputPort::Serial(2)).len(), BACKLOG + 1);
    }
}
