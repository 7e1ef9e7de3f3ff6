//! What the machine says to the outside: bytes collected per port until the owner takes them.
//!
//! The machine does no I/O itself. Outputs are a consequence of the guest's execution and no part of its state:
//! they are neither hashed nor saved.

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
}

impl OutputPort {
    /// Every port.
    pub const ALL: [OutputPort; 4] =
        [OutputPort::Com1, OutputPort::Com2, OutputPort::DebugConsole, OutputPort::Post];
}

const PORTS: usize = OutputPort::ALL.len();

/// Bytes waiting for the owner of the machine.
#[derive(Clone, Debug, Default)]
pub struct Outputs {
    bytes: [Vec<u8>; PORTS],
    network: Vec<ToOutside>,
    watched: [bool; PORTS],
    network_watched: bool,
    seen: bool,
}

impl Outputs {
    /// Append bytes to what `port` has said.
    pub fn emit(&mut self, port: OutputPort, bytes: &[u8]) {
        self.bytes[port as usize].extend_from_slice(bytes);
        self.seen |= self.watched[port as usize];
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
        std::mem::take(&mut self.bytes[port as usize])
    }

    /// What [`Self::take`] would take.
    pub fn waiting(&self, port: OutputPort) -> &[u8] {
        &self.bytes[port as usize]
    }

    /// Make the machine stop right after the instruction that emits something at `port`, or no longer.
    pub fn watch(&mut self, port: OutputPort, on: bool) {
        self.watched[port as usize] = on;
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
}
