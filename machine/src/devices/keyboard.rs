//! The keyboard: an IBM enhanced keyboard at the other end of the cable.
//!
//! IBM PS/2 Hardware Interface Technical Reference, "Keyboard (101- and 102-key)": commands, replies, scan code sets.
//! It speaks set 2 from power-up and set 1 if it is told to; it does not have set 3 and says so. Repeating a held key
//! is left to whoever presses it.

use super::scan_code;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Bytes the keyboard itself remembers.
pub const BUFFER: usize = 16;

const ACK: u8 = 0xFA;
const RESEND: u8 = 0xFE;
const SELF_TEST_PASSED: u8 = 0xAA;
const ID: [u8; 2] = [0xAB, 0x83];

/// A command whose parameter has not come yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Awaited {
    /// Lamps or typematic rate: nothing here that shows.
    Ignored,
    ScanCodeSet,
}

/// The keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Keyboard {
    buffer: VecDeque<u8>,
    awaited: Option<Awaited>,
    scanning: bool,
    set: u8,
    last_sent: u8,
}

impl Default for Keyboard {
    fn default() -> Self {
        Keyboard { buffer: VecDeque::new(), awaited: None, scanning: true, set: 2, last_sent: 0 }
    }
}

impl Keyboard {
    /// A key went down or up: `codes` is what it sends in set 2. Lost if the keyboard is off or its buffer is full.
    pub fn press(&mut self, codes: &[u8]) {
        let mut codes = codes.to_vec();
        if self.set == 1 {
            codes = scan_code::translate(&codes);
        }
        if self.scanning && self.buffer.len() + codes.len() <= BUFFER {
            self.buffer.extend(codes);
        }
    }

    /// The next byte it has for the computer.
    pub fn peek(&self) -> Option<u8> {
        self.buffer.front().copied()
    }

    /// Take the next byte it has for the computer.
    pub fn send(&mut self) -> Option<u8> {
        let byte = self.buffer.pop_front()?;
        self.last_sent = byte;
        Some(byte)
    }

    /// A byte from the computer.
    pub fn receive(&mut self, byte: u8) {
        let replies = match self.awaited.take() {
            Some(awaited) => self.parameter(awaited, byte),
            None => self.command(byte),
        };
        self.buffer.extend(replies);
        self.buffer.truncate(BUFFER);
    }

    fn command(&mut self, command: u8) -> Vec<u8> {
        match command {
            0xED | 0xF3 => self.awaited = Some(Awaited::Ignored),
            0xEE => return vec![0xEE],
            0xF0 => self.awaited = Some(Awaited::ScanCodeSet),
            0xF2 => return [&[ACK][..], &ID].concat(),
            // Enable, disable and set defaults clear the buffer.
            0xF4..=0xF6 => {
                self.buffer.clear();
                self.scanning = command != 0xF5;
                if command == 0xF6 {
                    self.set = 2;
                }
            }
            0xFE => return vec![self.last_sent],
            0xFF => {
                *self = Keyboard::default();
                return vec![ACK, SELF_TEST_PASSED];
            }
            _ => return vec![RESEND],
        }
        vec![ACK]
    }

    fn parameter(&mut self, awaited: Awaited, value: u8) -> Vec<u8> {
        match (awaited, value) {
            (Awaited::Ignored, _) => vec![ACK],
            (Awaited::ScanCodeSet, 0) => vec![ACK, self.set],
            (Awaited::ScanCodeSet, 1 | 2) => {
                self.set = value;
                vec![ACK]
            }
            (Awaited::ScanCodeSet, _) => vec![RESEND],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes back after `bytes` were sent.
    fn replies(keyboard: &mut Keyboard, bytes: &[u8]) -> Vec<u8> {
        bytes.iter().for_each(|byte| keyboard.receive(*byte));
        std::iter::from_fn(|| keyboard.send()).collect()
    }

    #[test]
    fn commands() {
        for (bytes, expected) in [
            (&[0xFF][..], &[ACK, 0xAA][..]),
            (&[0xF2], &[ACK, 0xAB, 0x83]),
            (&[0xEE], &[0xEE]),
            (&[0xED, 0x07], &[ACK, ACK]),
            (&[0xF3, 0x20], &[ACK, ACK]),
            (&[0xF0, 0x00], &[ACK, ACK, 2]),
            (&[0xF0, 0x01, 0xF0, 0x00], &[ACK, ACK, ACK, ACK, 1]),
            (&[0xF0, 0x03], &[ACK, RESEND]),
            (&[0x42], &[RESEND]),
            // The parameter of a command may look like a command.
            (&[0xED, 0xFF], &[ACK, ACK]),
        ] {
            assert_eq!(replies(&mut Keyboard::default(), bytes), expected, "{bytes:x?}");
        }
    }

    #[test]
    fn keys_are_lost_when_off_or_full() {
        let mut keyboard = Keyboard::default();
        replies(&mut keyboard, &[0xF5]);
        keyboard.press(&[0x1C]);
        assert_eq!(keyboard.peek(), None);
        replies(&mut keyboard, &[0xF4]);
        for _ in 0..BUFFER {
            keyboard.press(&[0xF0, 0x1C]);
        }
        let sent = replies(&mut keyboard, &[]);
        assert_eq!(sent, [0xF0, 0x1C].repeat(BUFFER / 2));
        assert_eq!(replies(&mut keyboard, &[0xFE]), [0x1C], "the last byte once more");
    }

    #[test]
    fn set_1_on_request() {
        let mut keyboard = Keyboard::default();
        replies(&mut keyboard, &[0xF0, 0x01]);
        keyboard.press(&[0xE0, 0xF0, 0x75]);
        assert_eq!(replies(&mut keyboard, &[]), [0xE0, 0xC8]);
    }
}
