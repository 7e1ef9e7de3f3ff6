//! Motorola MC146818 real-time clock and its battery-backed memory, ports 0x70 and 0x71.
//!
//! The calendar is virtual time plus a start date; flags of register C are computed when somebody looks, from the
//! time of the last look. Interrupts that are enabled have their next time in the event queue.
//!
//! Register names and bit positions follow the MC146818 data sheet; register 0x32 (century) and the memory size
//! registers are PC/AT convention.

use super::Board;
use crate::events::Event;
use crate::time::{TICKS_PER_SECOND, clock_at, vtime_of};
use serde::{Deserialize, Serialize};

mod calendar;
use calendar::DateTime;

/// Interrupt request line.
const IRQ: u8 = 8;
/// The divider chain's input clock.
const CRYSTAL_HZ: u64 = 32_768;
/// "Update in progress" leads each update by this many ticks.
const UPDATE_TICKS: u64 = 244_000;

const REG_A: u8 = 0x0A;
const REG_B: u8 = 0x0B;
const REG_C: u8 = 0x0C;
const REG_D: u8 = 0x0D;
const CENTURY: u8 = 0x32;

const A_UIP: u8 = 0x80;
const B_SET: u8 = 0x80;
const B_DM: u8 = 0x04;
const B_24H: u8 = 0x02;
/// PIE, AIE, UIE in register B; PF, AF, UF in register C.
const PERIODIC: u8 = 0x40;
const ALARM: u8 = 0x20;
const UPDATE: u8 = 0x10;
const C_IRQF: u8 = 0x80;
/// VRT: the battery is good.
const D_VRT: u8 = 0x80;

/// Clock registers in the order of [`DateTime`]'s fields, with the century last.
const TIME_REGISTERS: [u8; 8] = [0x00, 0x02, 0x04, 0x06, 0x07, 0x08, 0x09, CENTURY];

/// The clock and its memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mc146818 {
    index: u8,
    memory: Vec<u8>,
    /// Seconds since 1970 at virtual time `base`.
    seconds_at_base: i64,
    base: u64,
    /// Register C flags that are set, as of `looked_at`.
    flags: u8,
    looked_at: u64,
}

impl Mc146818 {
    /// A clock that shows `unix_seconds` at virtual time 0, in a machine with `ram` bytes.
    pub fn new(unix_seconds: i64, ram: u64) -> Mc146818 {
        let mut memory = vec![0; 128];
        let mut set16 = |low: usize, high: usize, value: u64| {
            let [l, h] = u16::try_from(value).unwrap_or(u16::MAX).to_le_bytes();
            (memory[low], memory[high]) = (l, h);
        };
        set16(0x15, 0x16, 640);
        let above_1m = (ram >> 10).saturating_sub(1024);
        set16(0x17, 0x18, above_1m);
        set16(0x30, 0x31, above_1m);
        set16(0x34, 0x35, (ram >> 16).saturating_sub(256));
        // Divider on, 1024 Hz; BCD, 24 hours; FPU present.
        memory[usize::from(REG_A)] = 0x26;
        memory[usize::from(REG_B)] = B_24H;
        memory[0x14] = 0x02;
        Mc146818 { index: 0, memory, seconds_at_base: unix_seconds, base: 0, flags: 0, looked_at: 0 }
    }

    /// The RESET pin (data sheet): interrupts are disabled and their flags cleared; the time goes on.
    pub fn reset(&mut self) {
        let reg_b = self.reg(REG_B) & !(PERIODIC | ALARM | UPDATE);
        self.store(REG_B, reg_b);
        self.flags = 0;
    }

    /// The register that port 0x71 stands for.
    pub fn select(&mut self, index: u8) {
        self.index = index & 0x7F;
    }

    fn reg(&self, index: u8) -> u8 {
        self.memory[usize::from(index & 0x7F)]
    }

    fn is_set_mode(&self) -> bool {
        self.reg(REG_B) & B_SET != 0
    }

    /// Seconds since 1970.
    fn seconds(&self, now: u64) -> i64 {
        self.seconds_at_base.saturating_add((now.saturating_sub(self.base) / TICKS_PER_SECOND) as i64)
    }

    /// Read port 0x71.
    pub fn read(&mut self, board: &mut Board<'_>) -> u8 {
        let now = board.now;
        match self.index {
            REG_A => {
                let into_second = now.saturating_sub(self.base) % TICKS_PER_SECOND;
                let updating = !self.is_set_mode() && into_second >= TICKS_PER_SECOND - UPDATE_TICKS;
                self.reg(REG_A) & !A_UIP | if updating { A_UIP } else { 0 }
            }
            REG_C => {
                self.look(now);
                let flags = std::mem::take(&mut self.flags);
                self.drive(board);
                flags | if flags & self.reg(REG_B) & 0x70 != 0 { C_IRQF } else { 0 }
            }
            REG_D => D_VRT,
            index => match TIME_REGISTERS.iter().position(|&r| r == index) {
                Some(field) if !self.is_set_mode() => self.time_registers(now)[field],
                _ => self.reg(index),
            },
        }
    }

    /// Write port 0x71.
    pub fn write(&mut self, board: &mut Board<'_>, value: u8) {
        let now = board.now;
        self.look(now);
        match self.index {
            REG_C | REG_D => return,
            REG_A => self.store(REG_A, value & !A_UIP),
            REG_B => {
                let was_set = self.is_set_mode();
                if value & B_SET != 0 && !was_set {
                    self.freeze(now);
                }
                // The data sheet: SET clears UIE.
                self.store(REG_B, if value & B_SET != 0 { value & !UPDATE } else { value });
                if value & B_SET == 0 && was_set {
                    self.thaw(now);
                }
            }
            index if TIME_REGISTERS.contains(&index) && !self.is_set_mode() => {
                self.freeze(now);
                self.store(index, value);
                self.thaw(now);
            }
            index => self.store(index, value),
        }
        self.drive(board);
    }

    fn store(&mut self, index: u8, value: u8) {
        self.memory[usize::from(index & 0x7F)] = value;
    }

    /// Copy the running time into the registers.
    fn freeze(&mut self, now: u64) {
        let values = self.time_registers(now);
        for (index, value) in TIME_REGISTERS.into_iter().zip(values) {
            self.store(index, value);
        }
    }

    /// Let the time run on from the registers; the fraction of the second is kept.
    fn thaw(&mut self, now: u64) {
        let raw = TIME_REGISTERS.map(|index| self.decode(self.reg(index)));
        let hour_raw = self.reg(0x04);
        let time = DateTime {
            second: raw[0],
            minute: raw[1],
            hour: self.decode_hour(hour_raw),
            day: raw[4],
            month: raw[5],
            year: raw[7] * 100 + raw[6],
        };
        let fraction = now.saturating_sub(self.base) % TICKS_PER_SECOND;
        self.base = now - fraction;
        self.seconds_at_base = time.to_unix();
    }

    fn encode(&self, value: u32) -> u8 {
        let value = value as u8;
        if self.reg(REG_B) & B_DM != 0 { value } else { ((value / 10) << 4) | (value % 10) }
    }

    fn decode(&self, value: u8) -> u32 {
        if self.reg(REG_B) & B_DM != 0 {
            value.into()
        } else {
            u32::from(value >> 4) * 10 + u32::from(value & 15)
        }
    }

    fn encode_hour(&self, hour: u32) -> u8 {
        if self.reg(REG_B) & B_24H != 0 {
            return self.encode(hour);
        }
        self.encode((hour + 11) % 12 + 1) | if hour >= 12 { 0x80 } else { 0 }
    }

    fn decode_hour(&self, value: u8) -> u32 {
        if self.reg(REG_B) & B_24H != 0 {
            return self.decode(value);
        }
        self.decode(value & 0x7F) % 12 + if value & 0x80 != 0 { 12 } else { 0 }
    }

    fn time_registers(&self, now: u64) -> [u8; 8] {
        let seconds = self.seconds(now);
        let time = DateTime::from_unix(seconds);
        [
            self.encode(time.second),
            self.encode(time.minute),
            self.encode_hour(time.hour),
            self.encode(calendar::weekday(seconds)),
            self.encode(time.day),
            self.encode(time.month),
            self.encode(time.year % 100),
            self.encode(time.year / 100),
        ]
    }

    /// Period of the periodic interrupt in crystal cycles (data sheet table 5), if it runs.
    fn period(&self) -> Option<u64> {
        let reg_a = self.reg(REG_A);
        let divider_runs = reg_a & 0x70 == 0x20;
        let rate = match reg_a & 0x0F {
            0 => return None,
            rate @ 1..=2 => rate + 7,
            rate => rate,
        };
        divider_runs.then(|| 1 << (rate - 1))
    }

    fn next_periodic(&self, after: u64) -> Option<u64> {
        let period = self.period()?;
        Some(vtime_of((clock_at(after, CRYSTAL_HZ) / period + 1) * period, CRYSTAL_HZ))
    }

    fn next_update(&self, after: u64) -> Option<u64> {
        let whole = after.checked_sub(self.base)? / TICKS_PER_SECOND + 1;
        (!self.is_set_mode()).then(|| self.base.saturating_add(whole.saturating_mul(TICKS_PER_SECOND)))
    }

    fn next_alarm(&self, after: u64) -> Option<u64> {
        // The two most significant bits set make a field match anything.
        let field = |index: u8| Some(self.reg(index)).filter(|v| v & 0xC0 != 0xC0);
        let hour = field(0x05).map(|v| self.decode_hour(v));
        let minute = field(0x03).map(|v| self.decode(v));
        let second = field(0x01).map(|v| self.decode(v));
        let first = self.next_update(after)?;
        let wait = calendar::seconds_until(self.seconds(first), hour, minute, second)?;
        Some(first.saturating_add(wait.saturating_mul(TICKS_PER_SECOND)))
    }

    fn next_times(&self, after: u64) -> [(u8, Option<u64>); 3] {
        [
            (PERIODIC, self.next_periodic(after)),
            (UPDATE, self.next_update(after)),
            (ALARM, self.next_alarm(after)),
        ]
    }

    /// Set the flags of everything that has happened since the last look.
    fn look(&mut self, now: u64) {
        for (flag, next) in self.next_times(self.looked_at) {
            if next.is_some_and(|at| at <= now) {
                self.flags |= flag;
            }
        }
        self.looked_at = now;
    }

    /// An enabled interrupt is due.
    pub fn on_event(&mut self, board: &mut Board<'_>) {
        self.look(board.now);
        self.drive(board);
    }

    fn drive(&mut self, board: &mut Board<'_>) {
        let enabled = self.reg(REG_B) & 0x70;
        board.interrupts.set_irq(IRQ, self.flags & enabled != 0);
        // A flag that is set already cannot raise the line any further.
        let waiting = enabled & !self.flags;
        let next = self.next_times(board.now).into_iter().filter(|(flag, _)| flag & waiting != 0);
        match next.filter_map(|(_, at)| at).min() {
            Some(at) => board.events.schedule(Event::Rtc, at),
            None => board.events.cancel(Event::Rtc),
        }
    }
}

#[cfg(test)]
mod tests;
