//! Intel 8042 keyboard controller, ports 0x60 and 0x64, with an AT keyboard behind it and no mouse.
//!
//! IBM PC/AT technical reference, "Keyboard controller": status and command registers, output port (A20, reset).
//! Replies are ready at once; keystrokes come through [`I8042::press`].

use super::Board;
use cpu::bus::StopRequest;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Interrupt request line of the keyboard.
const IRQ: u8 = 1;

const STATUS_OBF: u8 = 0x01;
const STATUS_SYS: u8 = 0x04;
const STATUS_COMMAND: u8 = 0x08;
const STATUS_UNLOCKED: u8 = 0x10;

const CONFIG_IRQ1: u8 = 0x01;
const CONFIG_SYS: u8 = 0x04;
const CONFIG_KEYBOARD_OFF: u8 = 0x10;
const CONFIG_AUX_OFF: u8 = 0x20;

const OUTPUT_RESET_INACTIVE: u8 = 0x01;
const OUTPUT_A20: u8 = 0x02;

const KEYBOARD_ACK: u8 = 0xFA;
const KEYBOARD_RESEND: u8 = 0xFE;

/// Who gets the next byte written to port 0x60.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Target {
    #[default]
    Keyboard,
    /// The parameter of a keyboard command that has one.
    KeyboardParameter,
    Memory(u8),
    OutputPort,
    /// Appears in the output buffer as if the keyboard had sent it.
    Echo,
    /// A device that is not there.
    Nothing,
}

/// The controller and the keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    /// Internal memory; byte 0 is the command byte.
    memory: Vec<u8>,
    target: Target,
    last_was_command: bool,
    /// Replies of the controller itself, ahead of the keyboard's.
    replies: VecDeque<u8>,
    keys: VecDeque<u8>,
    scanning: bool,
}

impl Default for I8042 {
    fn default() -> Self {
        let mut memory = vec![0; 32];
        memory[0] = CONFIG_IRQ1 | CONFIG_SYS | CONFIG_AUX_OFF | 0x40;
        I8042 {
            memory,
            target: Target::Keyboard,
            last_was_command: false,
            replies: VecDeque::new(),
            keys: VecDeque::new(),
            scanning: true,
        }
    }
}

/// Keystrokes the keyboard itself remembers.
const KEY_BUFFER: usize = 16;

impl I8042 {
    fn config(&self) -> u8 {
        self.memory[0]
    }

    fn has_output(&self) -> bool {
        let keyboard_on = self.config() & CONFIG_KEYBOARD_OFF == 0;
        !self.replies.is_empty() || (keyboard_on && !self.keys.is_empty())
    }

    fn drive(&self, board: &mut Board<'_>) {
        let keyboard_byte = self.replies.is_empty() && self.has_output();
        board.pic.set_irq(IRQ, keyboard_byte && self.config() & CONFIG_IRQ1 != 0);
    }

    /// A key went down or up, as scan codes; dropped when the keyboard is off or its buffer is full.
    pub fn press(&mut self, board: &mut Board<'_>, scan_codes: &[u8]) {
        if self.scanning && self.keys.len() + scan_codes.len() <= KEY_BUFFER {
            self.keys.extend(scan_codes);
            self.drive(board);
        }
    }

    /// Port 0x64.
    pub fn read_status(&self) -> u8 {
        let command = if self.last_was_command { STATUS_COMMAND } else { 0 };
        let output = if self.has_output() { STATUS_OBF } else { 0 };
        STATUS_UNLOCKED | self.config() & STATUS_SYS | command | output
    }

    /// Port 0x60.
    pub fn read_data(&mut self, board: &mut Board<'_>) -> u8 {
        let keyboard_on = self.config() & CONFIG_KEYBOARD_OFF == 0;
        let byte =
            self.replies.pop_front().or_else(|| if keyboard_on { self.keys.pop_front() } else { None });
        // Each byte of the keyboard is an edge of its own.
        board.pic.set_irq(IRQ, false);
        self.drive(board);
        byte.unwrap_or(0)
    }

    /// Port 0x64.
    pub fn write_command(&mut self, board: &mut Board<'_>, command: u8) {
        self.last_was_command = true;
        self.target = Target::Keyboard;
        match command {
            0x20..=0x3F => self.replies.push_back(self.memory[usize::from(command & 0x1F)]),
            0x60..=0x7F => self.target = Target::Memory(command & 0x1F),
            0xA7 => self.memory[0] |= CONFIG_AUX_OFF,
            0xA8 => self.memory[0] &= !CONFIG_AUX_OFF,
            // Interface test of the auxiliary port: clock line stuck low, there is nothing.
            0xA9 => self.replies.push_back(0x01),
            0xAA => {
                self.memory[0] |= CONFIG_SYS;
                self.replies.push_back(0x55);
            }
            0xAB => self.replies.push_back(0x00),
            0xAD => self.memory[0] |= CONFIG_KEYBOARD_OFF,
            0xAE => self.memory[0] &= !CONFIG_KEYBOARD_OFF,
            0xC0 => self.replies.push_back(0x80),
            0xD0 => {
                let a20 = if board.lines.a20 { OUTPUT_A20 } else { 0 };
                self.replies.push_back(OUTPUT_RESET_INACTIVE | a20);
            }
            0xD1 => self.target = Target::OutputPort,
            0xD2 => self.target = Target::Echo,
            0xD3 | 0xD4 => self.target = Target::Nothing,
            0xDD => board.lines.a20 = false,
            0xDF => board.lines.a20 = true,
            // Pulse output lines whose bit is clear; line 0 is RESET.
            0xF0..=0xFF if command & OUTPUT_RESET_INACTIVE == 0 => {
                board.lines.request_stop(StopRequest::Reset)
            }
            _ => {}
        }
        self.replies.truncate(KEY_BUFFER);
        self.drive(board);
    }

    /// Port 0x60.
    pub fn write_data(&mut self, board: &mut Board<'_>, value: u8) {
        self.last_was_command = false;
        match std::mem::take(&mut self.target) {
            Target::Keyboard => self.keyboard_command(value),
            Target::KeyboardParameter => self.keys.push_back(KEYBOARD_ACK),
            Target::Memory(index) => self.memory[usize::from(index & 0x1F)] = value,
            Target::OutputPort => {
                board.lines.a20 = value & OUTPUT_A20 != 0;
                if value & OUTPUT_RESET_INACTIVE == 0 {
                    board.lines.request_stop(StopRequest::Reset);
                }
            }
            Target::Echo => self.keys.push_back(value),
            Target::Nothing => {}
        }
        self.keys.truncate(KEY_BUFFER);
        self.drive(board);
    }

    fn keyboard_command(&mut self, value: u8) {
        let reply: &[u8] = match value {
            0xED | 0xF0 | 0xF3 => {
                self.target = Target::KeyboardParameter;
                &[KEYBOARD_ACK]
            }
            0xEE => &[0xEE],
            // Identify: an MF2 keyboard behind a translating controller.
            0xF2 => &[KEYBOARD_ACK, 0xAB, 0x41],
            0xF4 | 0xF5 | 0xF6 | 0xFF => {
                self.keys.clear();
                self.scanning = value != 0xF5;
                if value == 0xFF { &[KEYBOARD_ACK, 0xAA] } else { &[KEYBOARD_ACK] }
            }
            _ => &[KEYBOARD_RESEND],
        };
        self.keys.extend(reply);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::bench::Bench;
    use proptest::prelude::*;

    #[test]
    fn self_test_and_keyboard_reset() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        kbc.write_command(&mut bench.board(), 0xAA);
        assert_eq!(kbc.read_status(), 0x1D);
        assert_eq!(kbc.read_data(&mut bench.board()), 0x55);
        kbc.write_data(&mut bench.board(), 0xFF);
        assert_eq!(kbc.read_data(&mut bench.board()), 0xFA);
        assert_eq!(kbc.read_data(&mut bench.board()), 0xAA);
        assert_eq!(kbc.read_status() & STATUS_OBF, 0);
    }

    #[test]
    fn a20_and_reset() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        kbc.write_command(&mut bench.board(), 0xD1);
        kbc.write_data(&mut bench.board(), 0xDD);
        assert!(!bench.lines.a20);
        kbc.write_command(&mut bench.board(), 0xD0);
        assert_eq!(kbc.read_data(&mut bench.board()), 0x01);
        kbc.write_command(&mut bench.board(), 0xDF);
        assert!(bench.lines.a20);
        assert_eq!(bench.lines.stop, None);
        kbc.write_command(&mut bench.board(), 0xFE);
        assert_eq!(bench.lines.stop, Some(StopRequest::Reset));
    }

    #[test]
    fn keys_interrupt_one_by_one() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        bench.pic.write(0x21, 0);
        kbc.press(&mut bench.board(), &[0x1E, 0x9E]);
        for expected in [0x1E, 0x9E] {
            assert!(bench.pic.intr());
            bench.pic.acknowledge();
            bench.pic.write(0x20, 0x20);
            assert_eq!(kbc.read_data(&mut bench.board()), expected);
        }
        assert!(!bench.pic.intr());
    }

    #[test]
    fn the_mouse_is_not_there() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        kbc.write_command(&mut bench.board(), 0xD4);
        kbc.write_data(&mut bench.board(), 0xFF);
        assert_eq!(kbc.read_status() & STATUS_OBF, 0);
    }

    proptest! {
        #[test]
        fn buffers_stay_small(ops in prop::collection::vec((0u8..3, any::<u8>()), 0..300)) {
            let (mut bench, mut kbc) = (Bench::default(), I8042::default());
            for (op, value) in ops {
                match op {
                    0 => kbc.write_command(&mut bench.board(), value),
                    1 => kbc.write_data(&mut bench.board(), value),
                    _ => { kbc.read_data(&mut bench.board()); }
                }
                prop_assert!(kbc.keys.len() <= KEY_BUFFER && kbc.replies.len() <= KEY_BUFFER);
            }
        }
    }
}
