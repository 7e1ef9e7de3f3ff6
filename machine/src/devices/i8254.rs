//! Intel 8254 programmable interval timer, ports 0x40 to 0x43.
//!
//! Nothing counts here: a channel remembers when it was started, and counter and output are computed from virtual
//! time when somebody looks. Channel 0's output drives interrupt request 0, so its next change is in the event queue.
//!
//! Sections named below are those of the 8254 data sheet: control word, read-back, mode definitions 0 to 5.

use super::Board;
use crate::events::Event;
use crate::time::{clock_at, vtime_of};
use serde::{Deserialize, Serialize};

/// Input clock of all three channels, in Hz.
pub const PIT_HZ: u64 = 1_193_182;

/// "Read/write": which bytes of the count an access transfers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Access {
    Low = 1,
    High = 2,
    #[default]
    LowHigh = 3,
}

/// One counter. Times are in periods of the input clock.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Channel {
    mode: u8,
    bcd: bool,
    access: Access,
    gate: bool,
    /// The count as last written ("CR"), 1 to 65536.
    count_register: u32,
    /// The count in effect.
    count: u32,
    /// When the count in effect was loaded; `None` while the channel waits for a count or a trigger.
    start: Option<i64>,
    /// When `count_register` takes effect (modes 2 and 3 finish their period first).
    switch_at: Option<i64>,
    /// Periods counted when the gate went low (modes 0 and 4 stand still then).
    held: Option<i64>,
    /// First half of a two-byte count.
    low_byte: Option<u8>,
    read_high_next: bool,
    latched_count: Option<u16>,
    latched_status: Option<u8>,
}

impl Default for Channel {
    fn default() -> Self {
        Channel {
            mode: 3,
            bcd: false,
            access: Access::LowHigh,
            gate: true,
            count_register: 0x1_0000,
            count: 0x1_0000,
            start: None,
            switch_at: None,
            held: None,
            low_byte: None,
            read_high_next: false,
            latched_count: None,
            latched_status: None,
        }
    }
}

impl Channel {
    /// Length of the period: a count of 1 is illegal in modes 2 and 3 and taken as 2.
    fn period(&self) -> i64 {
        i64::from(if matches!(self.mode, 2 | 3) { self.count.max(2) } else { self.count })
    }

    /// How long the output of mode 3 is high.
    fn high_half(&self) -> i64 {
        (self.period() + 1) / 2
    }

    fn elapsed(&self, now: i64) -> Option<i64> {
        let start = self.start?;
        Some(self.held.unwrap_or_else(|| now.saturating_sub(start).max(0)))
    }

    /// Let a count that was waiting for the end of the period take effect.
    fn settle(&mut self, now: i64) {
        let Some(at) = self.switch_at.filter(|&at| at <= now) else { return };
        let was_high_before = self.mode == 3 && self.output(at - 1);
        self.count = self.count_register;
        self.switch_at = None;
        // In mode 3 the new count may begin with the low half of its period.
        self.start = Some(if was_high_before { at - self.high_half() } else { at });
    }

    fn output(&self, now: i64) -> bool {
        let Some(t) = self.elapsed(now) else { return self.mode != 0 };
        let n = self.period();
        match self.mode {
            0 | 1 => t >= n,
            2 => !self.gate || t % n != n - 1,
            3 => !self.gate || t % n < self.high_half(),
            _ => t != n,
        }
    }

    /// Time of the first change of the output after `now`.
    fn next_change(&self, now: i64) -> Option<i64> {
        if self.held.is_some() || (matches!(self.mode, 2 | 3) && !self.gate) {
            return None;
        }
        let (t, n) = (self.elapsed(now)?, self.period());
        let wait = match self.mode {
            0 | 1 => (t < n).then_some(n - t),
            2 => Some(if t % n == n - 1 { 1 } else { n - 1 - t % n }),
            3 => Some(if t % n < self.high_half() { self.high_half() - t % n } else { n - t % n }),
            _ if t < n => Some(n - t),
            _ => (t == n).then_some(1),
        }?;
        // Between the write and the clock that loads the count, no time has elapsed.
        Some(now.max(self.start?).saturating_add(wait))
    }

    /// The counting element as a guest reads it.
    fn counter(&self, now: i64) -> u16 {
        let n = self.period();
        let t = self.elapsed(now).unwrap_or(0);
        let value = match self.mode {
            2 => n - t % n,
            3 => {
                let phase = t % n;
                let in_half = if phase < self.high_half() { phase } else { phase - self.high_half() };
                (n & !1) - 2 * in_half
            }
            _ => n - t,
        };
        if self.bcd { to_bcd(value.rem_euclid(10_000) as u16) } else { value as u16 }
    }

    fn status(&self, now: i64) -> u8 {
        let waiting_for_trigger = matches!(self.mode, 1 | 5) && self.count != self.count_register;
        let null = self.switch_at.is_some() || waiting_for_trigger || self.start.is_none_or(|s| now < s);
        u8::from(self.output(now)) << 7
            | u8::from(null) << 6
            | (self.access as u8) << 4
            | self.mode << 1
            | u8::from(self.bcd)
    }

    fn control(&mut self, value: u8, now: i64) {
        let access = match value >> 4 & 3 {
            0 => return self.latch_count(now),
            1 => Access::Low,
            2 => Access::High,
            _ => Access::LowHigh,
        };
        let mode = match value >> 1 & 7 {
            mode @ 6.. => mode - 4,
            mode => mode,
        };
        *self = Channel { mode, bcd: value & 1 != 0, access, gate: self.gate, ..Channel::default() };
    }

    fn latch_count(&mut self, now: i64) {
        if self.latched_count.is_none() {
            self.latched_count = Some(self.counter(now));
            self.read_high_next = false;
        }
    }

    fn write(&mut self, value: u8, now: i64) {
        let count = match (self.access, self.low_byte.take()) {
            (Access::Low, _) => u16::from(value),
            (Access::High, _) => u16::from(value) << 8,
            (Access::LowHigh, Some(low)) => u16::from_le_bytes([low, value]),
            (Access::LowHigh, None) => {
                self.low_byte = Some(value);
                if self.mode == 0 {
                    // The first byte disables counting and sets the output low.
                    self.start = None;
                }
                return;
            }
        };
        self.count_register = match (count, self.bcd) {
            (0, false) => 0x1_0000,
            (0, true) => 10_000,
            (_, false) => u32::from(count),
            (_, true) => from_bcd(count),
        };
        match self.mode {
            1 | 5 => {}
            2 | 3 if self.start.is_some() => {
                let n = self.period();
                self.switch_at = match self.mode {
                    2 => self.start.zip(self.elapsed(now)).map(|(start, t)| start + (t / n + 1) * n),
                    _ => self.next_change(now),
                };
            }
            _ => self.load(now),
        }
    }

    fn load(&mut self, now: i64) {
        self.count = self.count_register;
        self.start = Some(now + 1);
        self.switch_at = None;
        self.held = (matches!(self.mode, 0 | 4) && !self.gate).then_some(0);
    }

    fn read(&mut self, now: i64) -> u8 {
        if let Some(status) = self.latched_status.take() {
            return status;
        }
        let count = self.latched_count.unwrap_or_else(|| self.counter(now));
        let [low, high] = count.to_le_bytes();
        let (value, done) = match (self.access, self.read_high_next) {
            (Access::Low, _) => (low, true),
            (Access::High, _) => (high, true),
            (Access::LowHigh, false) => (low, false),
            (Access::LowHigh, true) => (high, true),
        };
        self.read_high_next = !done;
        if done {
            self.latched_count = None;
        }
        value
    }

    fn set_gate(&mut self, gate: bool, now: i64) {
        let rising = gate && !self.gate;
        match self.mode {
            0 | 4 if rising => {
                if let (Some(held), Some(_)) = (self.held.take(), self.start) {
                    self.start = Some(now - held);
                }
            }
            0 | 4 if !gate && self.gate => self.held = self.elapsed(now),
            1 | 5 if rising => self.load(now),
            2 | 3 if rising && self.start.is_some() => self.load(now),
            _ => {}
        }
        self.gate = gate;
    }
}

fn to_bcd(value: u16) -> u16 {
    (value % 10) | ((value / 10 % 10) << 4) | (value / 100 % 10) << 8 | (value / 1000 % 10) << 12
}

fn from_bcd(value: u16) -> u32 {
    (0..4).rev().fold(0, |sum, digit| sum * 10 + u32::from(value >> (4 * digit) & 15))
}

/// The three channels and the control word register.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct I8254 {
    channels: [Channel; 3],
}

fn pit_clock(vtime: u64) -> i64 {
    i64::try_from(clock_at(vtime, PIT_HZ)).unwrap_or(i64::MAX)
}

impl I8254 {
    /// State after power-up: like the real part undefined until programmed, here silent. Channel 2's gate is low.
    pub fn new() -> I8254 {
        let mut pit = I8254::default();
        pit.channels[2].gate = false;
        pit
    }

    /// Read port 0x40 + `register`.
    pub fn read(&mut self, board: &mut Board<'_>, register: u16) -> u8 {
        let now = self.settle(board.now);
        self.channels.get_mut(usize::from(register)).map_or(0xFF, |channel| channel.read(now))
    }

    /// Write port 0x40 + `register`.
    pub fn write(&mut self, board: &mut Board<'_>, register: u16, value: u8) {
        let now = self.settle(board.now);
        match (self.channels.get_mut(usize::from(register)), value >> 6) {
            (Some(channel), _) => channel.write(value, now),
            (None, 3) => self.read_back(value, now),
            (None, channel) => self.channels[usize::from(channel)].control(value, now),
        }
        self.drive(board);
    }

    fn read_back(&mut self, value: u8, now: i64) {
        for (n, channel) in self.channels.iter_mut().enumerate() {
            if value & 2 << n == 0 {
                continue;
            }
            if value & 0x20 == 0 {
                channel.latch_count(now);
            }
            if value & 0x10 == 0 && channel.latched_status.is_none() {
                channel.latched_status = Some(channel.status(now));
            }
        }
    }

    /// The output pin of `channel` (0 to 2).
    pub fn output(&mut self, vtime: u64, channel: usize) -> bool {
        let now = self.settle(vtime);
        self.channels.get(channel).is_some_and(|c| c.output(now))
    }

    /// Until when, at the earliest, the output of `channel` and the counts in effect stay as they were when somebody
    /// looked at `vtime`.
    pub fn steady(&self, vtime: u64, channel: usize) -> u64 {
        let change = self.channels.get(channel).and_then(|c| c.next_change(pit_clock(vtime)));
        let switches = self.channels.iter().filter_map(|c| c.switch_at);
        let next = switches.chain(change).filter_map(|at| u64::try_from(at).ok()).min();
        next.map_or(u64::MAX, |at| vtime_of(at, PIT_HZ))
    }

    /// Drive the gate of channel 2 (port 0x61 bit 0).
    pub fn set_gate2(&mut self, vtime: u64, gate: bool) {
        let now = self.settle(vtime);
        self.channels[2].set_gate(gate, now);
    }

    /// The output of channel 0 changes now.
    pub fn on_event(&mut self, board: &mut Board<'_>) {
        self.settle(board.now);
        self.drive(board);
    }

    fn settle(&mut self, vtime: u64) -> i64 {
        let now = pit_clock(vtime);
        self.channels.iter_mut().for_each(|channel| channel.settle(now));
        now
    }

    fn drive(&mut self, board: &mut Board<'_>) {
        let now = pit_clock(board.now);
        board.interrupts.set_irq(0, self.channels[0].output(now));
        match self.channels[0].next_change(now).and_then(|at| u64::try_from(at).ok()) {
            Some(at) => board.events.schedule(Event::PitOutput, vtime_of(at, PIT_HZ)),
            None => board.events.cancel(Event::PitOutput),
        }
    }
}

#[cfg(test)]
mod tests;
