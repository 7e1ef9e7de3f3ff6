//! National Semiconductor PC16550D UART with FIFOs, at 0x3F8 (COM1) and 0x2F8 (COM2).
//!
//! The outside end, chosen to be deterministic and kind to guests:
//! * *Transmit takes no time.* A byte leaves at the instruction that writes it, so the transmitter is always empty and
//!   a polling guest never burns instructions waiting. A transmit-empty interrupt follows each write at once.
//! * *Receive takes one character time each*, by the programmed rate and format, so that a burst of input is an orderly
//!   sequence of interrupts.
//! * *Bytes are whole.* Word length and parity count for timing only, so that a guest that never programs them still
//!   speaks to an eight-bit peer.
//! * *No byte is lost.* The peer keeps hardware flow control: it sends only while the guest asserts RTS or has the
//!   receive interrupt enabled, and only when there is room.
//!
//! The data sheet's sections are named at the registers. OUT2 gates the interrupt line as wired on a PC.

use super::Board;
use crate::events::Event;
use crate::outputs::OutputPort;
use crate::time::{TICKS_PER_SECOND, vtime_of};
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

const FIFO_SIZE: usize = 16;

/// IER: received data, transmitter empty, line status, modem status.
const IER_ERBFI: u8 = 0x01;
const IER_ETBEI: u8 = 0x02;
const IER_ELSI: u8 = 0x04;
const IER_EDSSI: u8 = 0x08;

/// IIR: interrupt identification (data sheet table IV).
const IIR_NONE: u8 = 0x01;
const IIR_LINE_STATUS: u8 = 0x06;
const IIR_RECEIVED: u8 = 0x04;
const IIR_TIMEOUT: u8 = 0x0C;
const IIR_TRANSMITTER: u8 = 0x02;
const IIR_MODEM: u8 = 0x00;
const IIR_FIFOS: u8 = 0xC0;

const FCR_ENABLE: u8 = 0x01;
const FCR_CLEAR_RECEIVER: u8 = 0x02;

const LCR_DLAB: u8 = 0x80;

const MCR_RTS: u8 = 0x02;
const MCR_OUT2: u8 = 0x08;
const MCR_LOOP: u8 = 0x10;

const LSR_DR: u8 = 0x01;
const LSR_OE: u8 = 0x02;
/// THRE and TEMT.
const LSR_EMPTY: u8 = 0x60;

/// CTS, DSR and DCD of the peer, which is always ready.
const MSR_PEER: u8 = 0xB0;

/// One serial port.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uart16550 {
    number: u8,
    /// Bytes the peer has for us, not yet received.
    wire: VecDeque<u8>,
    receiver: VecDeque<u8>,
    overrun: bool,
    timeout: bool,
    /// The transmitter became empty and nobody has been told.
    transmitter_emptied: bool,
    ier: u8,
    fifo_control: u8,
    lcr: u8,
    mcr: u8,
    msr_delta: u8,
    scratch: u8,
    divisor: u16,
}

impl Uart16550 {
    /// COM1 is number 0, COM2 number 1.
    pub fn new(number: u8) -> Uart16550 {
        Uart16550 {
            number,
            wire: VecDeque::new(),
            receiver: VecDeque::new(),
            overrun: false,
            timeout: false,
            transmitter_emptied: false,
            ier: 0,
            fifo_control: 0,
            lcr: 0,
            mcr: 0,
            msr_delta: 0,
            scratch: 0,
            divisor: 12,
        }
    }

    fn irq(&self) -> u8 {
        if self.number == 0 { 4 } else { 3 }
    }

    fn output_port(&self) -> OutputPort {
        if self.number == 0 { OutputPort::Com1 } else { OutputPort::Com2 }
    }

    fn is_fifo_mode(&self) -> bool {
        self.fifo_control & FCR_ENABLE != 0
    }

    fn capacity(&self) -> usize {
        if self.is_fifo_mode() { FIFO_SIZE } else { 1 }
    }

    fn is_loopback(&self) -> bool {
        self.mcr & MCR_LOOP != 0
    }

    /// FIFO control register bits 6-7: how many bytes make a received-data interrupt.
    fn trigger_level(&self) -> usize {
        if self.is_fifo_mode() { [1, 4, 8, 14][usize::from(self.fifo_control >> 6)] } else { 1 }
    }

    /// Duration of one character in ticks: start, data, parity and stop bits at 115,200 Hz over the divisor.
    fn character_ticks(&self) -> u64 {
        let bits =
            1 + 5 + u64::from(self.lcr & 3) + u64::from(self.lcr >> 3 & 1) + 1 + u64::from(self.lcr >> 2 & 1);
        vtime_of(bits * u64::from(self.divisor.max(1)), 115_200).clamp(1, TICKS_PER_SECOND)
    }

    /// The peer starts to send `bytes`.
    pub fn receive(&mut self, board: &mut Board<'_>, bytes: &[u8]) {
        self.wire.extend(bytes);
        self.pull_wire(board);
    }

    /// After a reset: the peer still has what it had for `before`.
    pub(crate) fn inherit_wire(&mut self, before: &mut Uart16550) {
        self.wire = std::mem::take(&mut before.wire);
    }

    /// Number of bytes the guest has not taken in yet.
    pub fn backlog(&self) -> usize {
        self.wire.len()
    }

    /// Let the next byte of the wire arrive after a character time if it may be sent and is not on its way.
    fn pull_wire(&self, board: &mut Board<'_>) {
        let listening = self.mcr & MCR_RTS != 0 || self.ier & IER_ERBFI != 0;
        let room = self.receiver.len() < self.capacity();
        let event = Event::UartReceive(self.number);
        if !self.wire.is_empty()
            && listening
            && room
            && !self.is_loopback()
            && !board.events.is_scheduled(event)
        {
            board.events.schedule(event, board.now.saturating_add(self.character_ticks()));
        }
    }

    /// A character has arrived completely.
    pub fn on_receive(&mut self, board: &mut Board<'_>) {
        let room = self.receiver.len() < self.capacity();
        if room && !self.is_loopback() {
            if let Some(byte) = self.wire.pop_front() {
                self.accept(board, byte);
            }
            self.pull_wire(board);
        }
        self.drive(board);
    }

    /// The receive FIFO has been left alone for four character times (data sheet, "FIFO interrupt mode operation").
    pub fn on_timeout(&mut self, board: &mut Board<'_>) {
        self.timeout = !self.receiver.is_empty();
        self.drive(board);
    }

    fn accept(&mut self, board: &mut Board<'_>, byte: u8) {
        if self.receiver.len() < self.capacity() {
            self.receiver.push_back(byte);
        } else {
            // Only possible in loopback. Without FIFO the new byte replaces the old one.
            self.overrun = true;
            if !self.is_fifo_mode() {
                self.receiver[0] = byte;
            }
        }
        self.restart_timeout(board);
    }

    fn restart_timeout(&mut self, board: &mut Board<'_>) {
        self.timeout = false;
        let event = Event::UartTimeout(self.number);
        if self.is_fifo_mode() && !self.receiver.is_empty() && self.ier & IER_ERBFI != 0 {
            board.events.schedule(event, board.now.saturating_add(4 * self.character_ticks()));
        } else {
            board.events.cancel(event);
        }
    }

    fn modem_status(&self) -> u8 {
        if !self.is_loopback() {
            return MSR_PEER;
        }
        // DTR to DSR, RTS to CTS, OUT1 to RI, OUT2 to DCD.
        (self.mcr & 0x01) << 5 | (self.mcr & 0x02) << 3 | (self.mcr & 0x0C) << 4
    }

    fn interrupt(&self) -> u8 {
        let modem = self.msr_delta != 0;
        let sources = [
            (IER_ELSI, self.overrun, IIR_LINE_STATUS),
            (IER_ERBFI, self.receiver.len() >= self.trigger_level(), IIR_RECEIVED),
            (IER_ERBFI, self.timeout, IIR_TIMEOUT),
            (IER_ETBEI, self.transmitter_emptied, IIR_TRANSMITTER),
            (IER_EDSSI, modem, IIR_MODEM),
        ];
        let first = sources.iter().find(|(enable, active, _)| self.ier & enable != 0 && *active);
        first.map_or(IIR_NONE, |source| source.2)
    }

    fn drive(&self, board: &mut Board<'_>) {
        // In loopback the OUT2 pin is inactive whatever the register says.
        let gated = self.mcr & (MCR_OUT2 | MCR_LOOP) == MCR_OUT2;
        board.interrupts.set_irq(self.irq(), gated && self.interrupt() != IIR_NONE);
    }

    /// Read register 0 to 7.
    pub fn read(&mut self, board: &mut Board<'_>, register: u16) -> u8 {
        let dlab = self.lcr & LCR_DLAB != 0;
        let value = match register & 7 {
            0 if dlab => self.divisor as u8,
            1 if dlab => (self.divisor >> 8) as u8,
            0 => self.read_receiver(board),
            1 => self.ier,
            2 => {
                let identification = self.interrupt();
                if identification == IIR_TRANSMITTER {
                    self.transmitter_emptied = false;
                }
                identification | if self.is_fifo_mode() { IIR_FIFOS } else { 0 }
            }
            3 => self.lcr,
            4 => self.mcr,
            5 => {
                let overrun = if std::mem::take(&mut self.overrun) { LSR_OE } else { 0 };
                LSR_EMPTY | overrun | if self.receiver.is_empty() { 0 } else { LSR_DR }
            }
            6 => self.modem_status() | std::mem::take(&mut self.msr_delta),
            _ => self.scratch,
        };
        self.drive(board);
        value
    }

    fn read_receiver(&mut self, board: &mut Board<'_>) -> u8 {
        let byte = self.receiver.pop_front().unwrap_or(0);
        self.restart_timeout(board);
        self.pull_wire(board);
        byte
    }

    /// Write register 0 to 7.
    pub fn write(&mut self, board: &mut Board<'_>, register: u16, value: u8) {
        let dlab = self.lcr & LCR_DLAB != 0;
        match register & 7 {
            0 if dlab => self.divisor = self.divisor & 0xFF00 | u16::from(value),
            1 if dlab => self.divisor = self.divisor & 0x00FF | u16::from(value) << 8,
            0 => self.transmit(board, value),
            1 => {
                // Enabling the interrupt with the transmitter empty raises it.
                self.transmitter_emptied |= value & !self.ier & IER_ETBEI != 0;
                self.ier = value & 0x0F;
                if self.timeout || !board.events.is_scheduled(Event::UartTimeout(self.number)) {
                    self.restart_timeout(board);
                }
            }
            2 => self.write_fifo_control(board, value),
            3 => self.lcr = value,
            4 => {
                let before = self.modem_status();
                self.mcr = value & 0x1F;
                let changed = before ^ self.modem_status();
                // RI sets its delta bit only on the trailing edge.
                let ring_ended = changed & before & 0x40;
                self.msr_delta |= (changed & 0xB0 | ring_ended) >> 4;
            }
            7 => self.scratch = value,
            _ => {}
        }
        self.pull_wire(board);
        self.drive(board);
    }

    fn transmit(&mut self, board: &mut Board<'_>, byte: u8) {
        // The request falls with the write and rises again when the byte has left, which is at once.
        self.transmitter_emptied = false;
        self.drive(board);
        if self.is_loopback() {
            self.accept(board, byte);
        } else {
            board.outputs.emit(self.output_port(), &[byte]);
        }
        self.transmitter_emptied = true;
    }

    fn write_fifo_control(&mut self, board: &mut Board<'_>, value: u8) {
        let toggled = (value ^ self.fifo_control) & FCR_ENABLE != 0;
        if toggled || value & FCR_CLEAR_RECEIVER != 0 {
            self.receiver.clear();
        }
        // The other bits cannot be programmed unless the enable bit is written with them.
        self.fifo_control = if value & FCR_ENABLE != 0 { value & 0xC1 } else { 0 };
        self.restart_timeout(board);
    }
}

#[cfg(test)]
mod tests;
