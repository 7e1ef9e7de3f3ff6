//! The one entrance for everything that comes from outside: console bytes, keys, NMI, the network.
//!
//! An input enters at a moment given by both clocks, its [`Stamp`]. *Timed* inputs have their stamp beforehand (a
//! script, a replay); *live* ones arrive through a channel and are stamped when the run loop finds them. Entering in
//! the same order at the same stamps gives the same run, so a log of stamped inputs is a recording.

use crate::devices::virtio::TerminalSize;
use crate::net::FromOutside;
use crossbeam_channel::{Receiver, Sender, unbounded};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Something from outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// Bytes for the first serial port.
    Com1(Vec<u8>),
    /// Bytes for the second serial port.
    Com2(Vec<u8>),
    /// A key went down or up: what the keyboard sends, in scan code set 2.
    Keys(Vec<u8>),
    /// A rising edge on NMI.
    Nmi,
    /// Something for the gateway behind the network device.
    Network(FromOutside),
    /// Bytes for a port of the serial device.
    Serial(u8, Vec<u8>),
    /// The terminal at a port of the serial device has this size now.
    Resize(u8, TerminalSize),
}

/// A moment: an input enters as soon as both clocks have got there. In HLT only `vtime` goes on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Stamp {
    /// Instructions retired.
    pub insns: u64,
    /// Virtual time.
    pub vtime: u64,
}

/// An input and when it enters or entered.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TimedInput {
    /// When.
    pub at: Stamp,
    /// What.
    pub input: Input,
}

/// Inputs on their way in.
pub struct Inputs {
    /// Sorted by stamp; equal stamps in the order they were added.
    pub(crate) timed: VecDeque<TimedInput>,
    live: (Sender<Input>, Receiver<Input>),
    log: Option<Vec<TimedInput>>,
}

impl Default for Inputs {
    fn default() -> Self {
        Inputs { timed: VecDeque::new(), live: unbounded(), log: None }
    }
}

impl Inputs {
    /// Let `input` enter at `at`, or at once if that is over.
    pub fn add(&mut self, at: Stamp, input: Input) {
        let place = self.timed.partition_point(|t| t.at <= at);
        self.timed.insert(place, TimedInput { at, input });
    }

    /// A handle through which another thread can send live inputs.
    pub fn sender(&self) -> Sender<Input> {
        self.live.0.clone()
    }

    /// Keep a log of all inputs from now on, or stop it; returns the log so far.
    pub fn record(&mut self, on: bool) -> Vec<TimedInput> {
        std::mem::replace(&mut self.log, on.then(Vec::new)).unwrap_or_default()
    }

    /// The next input that enters at `now`, stamped and logged.
    pub(crate) fn pop_due(&mut self, now: Stamp) -> Option<Input> {
        let due = self.timed.front().is_some_and(|t| t.at.insns <= now.insns && t.at.vtime <= now.vtime);
        let input = if due { self.timed.pop_front().map(|t| t.input) } else { self.live.1.try_recv().ok() }?;
        if let Some(log) = &mut self.log {
            log.push(TimedInput { at: now, input: input.clone() });
        }
        Some(input)
    }

    /// Instruction count that must be reached before the next timed input can enter, if it is still ahead.
    pub(crate) fn next_insns(&self, now: Stamp) -> Option<u64> {
        self.timed.front().map(|t| t.at.insns).filter(|&insns| insns > now.insns)
    }

    /// Virtual time at which the next timed input enters, if only time is missing.
    pub(crate) fn next_vtime(&self, now: Stamp) -> Option<u64> {
        self.timed.front().filter(|t| t.at.insns <= now.insns).map(|t| t.at.vtime)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn enters_in_order_and_is_logged() {
        let mut inputs = Inputs::default();
        let at = |insns, vtime| Stamp { insns, vtime };
        inputs.record(true);
        inputs.add(at(10, 20), Input::Com1(b"b".to_vec()));
        inputs.add(at(5, 0), Input::Com1(b"a".to_vec()));
        inputs.add(at(10, 20), Input::Nmi);
        assert_eq!(inputs.pop_due(at(4, 100)), None);
        assert_eq!(inputs.next_insns(at(4, 100)), Some(5));
        assert_eq!(inputs.pop_due(at(5, 100)), Some(Input::Com1(b"a".to_vec())));
        assert_eq!(inputs.pop_due(at(10, 19)), None);
        assert_eq!(inputs.next_vtime(at(10, 19)), Some(20));
        assert_eq!(inputs.pop_due(at(10, 20)), Some(Input::Com1(b"b".to_vec())));
        inputs.sender().send(Input::Keys(vec![1])).unwrap();
        assert_eq!(inputs.pop_due(at(10, 20)), Some(Input::Nmi));
        assert_eq!(inputs.pop_due(at(11, 21)), Some(Input::Keys(vec![1])));
        let stamps: Vec<_> = inputs.record(false).into_iter().map(|t| t.at).collect();
        assert_eq!(stamps, [at(5, 100), at(10, 20), at(10, 20), at(11, 21)]);
    }
}
