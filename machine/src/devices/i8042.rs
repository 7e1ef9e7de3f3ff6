//! Intel 8042 keyboard controller, ports 0x60 and 0x64: a PS/2 one, with a keyboard at its first port and nothing at
//! the second.
//!
//! IBM PC/AT and PS/2 Technical References, "Keyboard controller": status and command registers, output port (A20,
//! reset), scan code translation. Replies are ready at once; keystrokes come through [`I8042::press`].

use super::Board;
use super::keyboard::Keyboard;
use super::scan_code::{BREAK, translate_byte};
use cpu::bus::StopRequest;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Interrupt request lines of the two ports.
const KEYBOARD_IRQ: u8 = 1;
const AUX_IRQ: u8 = 12;

const STATUS_OBF: u8 = 0x01;
const STATUS_SYS: u8 = 0x04;
const STATUS_COMMAND: u8 = 0x08;
const STATUS_UNLOCKED: u8 = 0x10;
const STATUS_AUX: u8 = 0x20;
const STATUS_TIMEOUT: u8 = 0x40;

/// The command byte, which is byte 0 of the internal memory.
const CONFIG_KEYBOARD_IRQ: u8 = 0x01;
const CONFIG_AUX_IRQ: u8 = 0x02;
const CONFIG_SYS: u8 = 0x04;
const CONFIG_KEYBOARD_OFF: u8 = 0x10;
const CONFIG_AUX_OFF: u8 = 0x20;
const CONFIG_TRANSLATE: u8 = 0x40;

const OUTPUT_RESET_INACTIVE: u8 = 0x01;
const OUTPUT_A20: u8 = 0x02;

/// What the controller says for a device that does not answer.
const NO_ANSWER: u8 = 0xFE;
/// Replies the controller remembers.
const REPLIES: usize = 16;

/// Who gets the next byte written to port 0x60.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Target {
    #[default]
    Keyboard,
    Memory(u8),
    OutputPort,
    /// Appears in the output buffer as if the device at a port had sent it.
    Echo(Source),
    /// The device at the second port.
    Aux,
}

/// Where a byte in the output buffer seems to come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Source {
    Controller,
    Keyboard,
    Aux,
    /// The second port, whose device did not answer.
    AuxTimeout,
}

/// The controller and the keyboard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8042 {
    memory: [u8; 32],
    target: Target,
    last_was_command: bool,
    /// What the controller itself has to say, ahead of the keyboard.
    replies: VecDeque<(u8, Source)>,
    keyboard: Keyboard,
}

impl Default for I8042 {
    fn default() -> Self {
        let mut memory = [0; 32];
        memory[0] = CONFIG_KEYBOARD_IRQ | CONFIG_SYS | CONFIG_AUX_OFF | CONFIG_TRANSLATE;
        I8042 {
            memory,
            target: Target::Keyboard,
            last_was_command: false,
            replies: VecDeque::new(),
            keyboard: Keyboard::default(),
        }
    }
}

impl I8042 {
    fn config(&self) -> u8 {
        self.memory[0]
    }

    /// Who sent the byte in the output buffer, if there is one.
    fn output(&self) -> Option<Source> {
        let keyboard_on = self.config() & CONFIG_KEYBOARD_OFF == 0;
        let keyboard = || (keyboard_on && self.keyboard.peek().is_some()).then_some(Source::Keyboard);
        self.replies.front().map(|(_, source)| *source).or_else(keyboard)
    }

    fn drive(&self, board: &mut Board<'_>) {
        let output = self.output();
        let keyboard = output == Some(Source::Keyboard);
        let aux = matches!(output, Some(Source::Aux | Source::AuxTimeout));
        board.interrupts.set_irq(KEYBOARD_IRQ, keyboard && self.config() & CONFIG_KEYBOARD_IRQ != 0);
        board.interrupts.set_irq(AUX_IRQ, aux && self.config() & CONFIG_AUX_IRQ != 0);
    }

    /// A key went down or up: what it sends in scan code set 2.
    pub fn press(&mut self, board: &mut Board<'_>, scan_codes: &[u8]) {
        self.keyboard.press(scan_codes);
        self.drive(board);
    }

    /// Port 0x64.
    pub fn read_status(&self) -> u8 {
        let command = if self.last_was_command { STATUS_COMMAND } else { 0 };
        let output = match self.output() {
            None => 0,
            Some(Source::Controller | Source::Keyboard) => STATUS_OBF,
            Some(Source::Aux) => STATUS_OBF | STATUS_AUX,
            Some(Source::AuxTimeout) => STATUS_OBF | STATUS_AUX | STATUS_TIMEOUT,
        };
        STATUS_UNLOCKED | self.config() & STATUS_SYS | command | output
    }

    /// Port 0x60.
    pub fn read_data(&mut self, board: &mut Board<'_>) -> u8 {
        let byte = match self.replies.pop_front() {
            Some((byte, _)) => byte,
            None if self.config() & CONFIG_KEYBOARD_OFF == 0 => self.take_key(),
            None => 0,
        };
        // Each byte is an edge of its own.
        board.interrupts.set_irq(KEYBOARD_IRQ, false);
        board.interrupts.set_irq(AUX_IRQ, false);
        self.drive(board);
        byte
    }

    /// The keyboard's next byte, translated to scan code set 1 if that is wanted.
    fn take_key(&mut self) -> u8 {
        let Some(byte) = self.keyboard.send() else { return 0 };
        if self.config() & CONFIG_TRANSLATE == 0 {
            return byte;
        }
        match (byte, self.keyboard.peek()) {
            (BREAK, Some(_)) => 0x80 | self.keyboard.send().map_or(0, translate_byte),
            _ => translate_byte(byte),
        }
    }

    fn reply(&mut self, byte: u8) {
        self.replies.push_back((byte, Source::Controller));
    }

    /// Port 0x64.
    pub fn write_command(&mut self, board: &mut Board<'_>, command: u8) {
        self.last_was_command = true;
        self.target = Target::Keyboard;
        match command {
            0x20..=0x3F => self.reply(self.memory[usize::from(command & 0x1F)]),
            0x60..=0x7F => self.target = Target::Memory(command & 0x1F),
            0xA7 => self.memory[0] |= CONFIG_AUX_OFF,
            0xA8 => self.memory[0] &= !CONFIG_AUX_OFF,
            // Interface tests: no line is stuck, not even where nothing is connected.
            0xA9 | 0xAB => self.reply(0x00),
            0xAA => {
                self.memory[0] |= CONFIG_SYS;
                self.reply(0x55);
            }
            0xAD => self.memory[0] |= CONFIG_KEYBOARD_OFF,
            0xAE => self.memory[0] &= !CONFIG_KEYBOARD_OFF,
            0xC0 => self.reply(0x80),
            0xD0 => {
                let a20 = if board.lines.a20 { OUTPUT_A20 } else { 0 };
                self.reply(OUTPUT_RESET_INACTIVE | a20);
            }
            0xD1 => self.target = Target::OutputPort,
            0xD2 => self.target = Target::Echo(Source::Keyboard),
            0xD3 => self.target = Target::Echo(Source::Aux),
            0xD4 => self.target = Target::Aux,
            0xDD => board.lines.a20 = false,
            0xDF => board.lines.a20 = true,
            // Pulse output lines whose bit is clear; line 0 is RESET.
            0xF0..=0xFF if command & OUTPUT_RESET_INACTIVE == 0 => {
                board.lines.request_stop(StopRequest::Reset)
            }
            _ => {}
        }
        self.replies.truncate(REPLIES);
        self.drive(board);
    }

    /// Port 0x60.
    pub fn write_data(&mut self, board: &mut Board<'_>, value: u8) {
        self.last_was_command = false;
        match std::mem::take(&mut self.target) {
            Target::Keyboard => {
                // To be heard, the keyboard is switched on.
                self.memory[0] &= !CONFIG_KEYBOARD_OFF;
                self.keyboard.receive(value);
            }
            Target::Memory(index) => self.memory[usize::from(index & 0x1F)] = value,
            Target::OutputPort => {
                board.lines.a20 = value & OUTPUT_A20 != 0;
                if value & OUTPUT_RESET_INACTIVE == 0 {
                    board.lines.request_stop(StopRequest::Reset);
                }
            }
            Target::Echo(source) => self.replies.push_back((value, source)),
            Target::Aux => self.replies.push_back((NO_ANSWER, Source::AuxTimeout)),
        }
        self.replies.truncate(REPLIES);
        self.drive(board);
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
        bench.interrupts.write_pic(0x21, 0);
        // A down and up, up arrow down: translated.
        kbc.press(&mut bench.board(), &[0x1C]);
        kbc.press(&mut bench.board(), &[0xF0, 0x1C]);
        kbc.press(&mut bench.board(), &[0xE0, 0x75]);
        for expected in [0x1E, 0x9E, 0xE0, 0x48] {
            assert!(bench.interrupts.intr());
            bench.interrupts.acknowledge();
            bench.interrupts.write_pic(0x20, 0x20);
            assert_eq!(kbc.read_data(&mut bench.board()), expected);
        }
        assert!(!bench.interrupts.intr());
    }

    #[test]
    fn without_translation_the_keyboard_is_heard_as_it_speaks() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        kbc.write_command(&mut bench.board(), 0x60);
        kbc.write_data(&mut bench.board(), 0x04);
        kbc.press(&mut bench.board(), &[0xF0, 0x1C]);
        kbc.write_data(&mut bench.board(), 0xF2);
        let bytes = [(); 5].map(|()| kbc.read_data(&mut bench.board()));
        assert_eq!(bytes, [0xF0, 0x1C, 0xFA, 0xAB, 0x83]);
        assert!(!bench.interrupts.intr());
    }

    #[test]
    fn a_keyboard_switched_off_keeps_its_keys() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        kbc.write_command(&mut bench.board(), 0xAD);
        kbc.press(&mut bench.board(), &[0x1C]);
        assert_eq!(kbc.read_status() & STATUS_OBF, 0);
        // The controller itself can be talked to meanwhile.
        kbc.write_command(&mut bench.board(), 0x20);
        assert_eq!(kbc.read_data(&mut bench.board()), 0x75);
        kbc.write_command(&mut bench.board(), 0xAE);
        assert_eq!(kbc.read_data(&mut bench.board()), 0x1E);
    }

    #[test]
    fn the_second_port_works_and_nothing_is_there() {
        let (mut bench, mut kbc) = (Bench::default(), I8042::default());
        for port in [0x21, 0xA1] {
            bench.interrupts.write_pic(port, 0);
        }
        kbc.write_command(&mut bench.board(), 0xA9);
        assert_eq!((kbc.read_status(), kbc.read_data(&mut bench.board())), (0x1D, 0x00));
        kbc.write_command(&mut bench.board(), 0x60);
        kbc.write_data(&mut bench.board(), 0x47);
        kbc.write_command(&mut bench.board(), 0xD3);
        kbc.write_data(&mut bench.board(), 0x5A);
        assert!(bench.interrupts.intr());
        assert_eq!((kbc.read_status(), kbc.read_data(&mut bench.board())), (0x35, 0x5A));
        kbc.write_command(&mut bench.board(), 0xD4);
        kbc.write_data(&mut bench.board(), 0xFF);
        assert_eq!((kbc.read_status(), kbc.read_data(&mut bench.board())), (0x75, 0xFE));
    }

    proptest! {
        #[test]
        fn buffers_stay_small(ops in prop::collection::vec((0u8..4, any::<u8>()), 0..300)) {
            let (mut bench, mut kbc) = (Bench::default(), I8042::default());
            for (op, value) in ops {
                match op {
                    0 => kbc.write_command(&mut bench.board(), value),
                    1 => kbc.write_data(&mut bench.board(), value),
                    2 => kbc.press(&mut bench.board(), &[value, value]),
                    _ => { kbc.read_data(&mut bench.board()); }
                }
                prop_assert!(kbc.replies.len() <= REPLIES);
            }
        }
    }
}
