//! Intel 82093AA I/O APIC: 24 pins, each with an entry that says what becomes of an interrupt there.
//!
//! A pin is *asserted* or not; which voltage that is does not matter here, so the polarity bit is stored and means
//! nothing. Pin 0 is the 8259s' INTR, pins 1 to 15 the ISA lines of the same number but for the timer, which is at
//! pin 2, and pins 16 to 19 PIRQA to PIRQD.

use super::local_apic::{Delivery, LocalApic, MASKED};
use serde::{Deserialize, Serialize};

/// Where the registers are.
pub const BASE: u64 = 0xFEC0_0000;
/// Number of pins.
pub const PINS: usize = 24;

/// Version 0x11, 24 entries.
const VERSION: u32 = 0x0017_0011;

const LOGICAL: u64 = 0x800;
const REMOTE_IRR: u64 = 0x4000;
const LEVEL: u64 = 0x8000;
/// What software can write in an entry.
const WRITABLE: u64 = 0xFF00_0000_0001_AFFF;

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct IoApic {
    id: u8,
    select: u8,
    entries: [u64; PINS],
    /// Pins that are asserted.
    pins: u32,
}

impl Default for IoApic {
    fn default() -> Self {
        IoApic { id: 0, select: 0, entries: [u64::from(MASKED); PINS], pins: 0 }
    }
}

impl IoApic {
    /// Drive a pin.
    pub fn set_pin(&mut self, local: &mut LocalApic, pin: usize, asserted: bool) {
        let bit = 1u32 << pin;
        let rising = asserted && self.pins & bit == 0;
        self.pins = if asserted { self.pins | bit } else { self.pins & !bit };
        // The edge at a masked pin is not remembered.
        if self.entries[pin] & LEVEL != 0 || rising {
            self.service(local, pin);
        }
    }

    /// Whether the 8259s' INTR reaches the processor by pin 0.
    pub fn passes_external(&self) -> bool {
        let entry = self.entries[0];
        entry & u64::from(MASKED) == 0 && Delivery::of(entry as u32) == Delivery::External
    }

    /// Send what pin `pin` requests, if it is asserted.
    fn service(&mut self, local: &mut LocalApic, pin: usize) {
        let entry = &mut self.entries[pin];
        let level = *entry & LEVEL != 0;
        let idle =
            self.pins & 1 << pin == 0 || *entry & u64::from(MASKED) != 0 || level && *entry & REMOTE_IRR != 0;
        if idle || !local.is_addressed((*entry >> 56) as u8, *entry & LOGICAL != 0) {
            return;
        }
        let delivery = Delivery::of(*entry as u32);
        let accepted = local.accept(delivery, *entry as u8, level && delivery == Delivery::Fixed);
        if level && accepted {
            *entry |= REMOTE_IRR;
        }
    }

    /// The processor has ended the level-triggered interrupt `vector`.
    pub fn end_of_interrupt(&mut self, local: &mut LocalApic, vector: u8) {
        for pin in 0..PINS {
            let entry = self.entries[pin];
            if entry as u8 == vector && entry & LEVEL != 0 && entry & REMOTE_IRR != 0 {
                self.entries[pin] &= !REMOTE_IRR;
                self.service(local, pin);
            }
        }
    }

    /// Read IOREGSEL (offset 0) or IOWIN (offset 0x10).
    pub fn read(&self, offset: u16) -> u32 {
        match (offset, self.select) {
            (0x00, select) => select.into(),
            (0x10, 0 | 2) => u32::from(self.id) << 24,
            (0x10, 1) => VERSION,
            (0x10, 0x10..0x40) => (self.entries[self.selected()] >> self.half()) as u32,
            _ => 0,
        }
    }

    fn selected(&self) -> usize {
        (usize::from(self.select).saturating_sub(0x10) >> 1).min(PINS - 1)
    }

    fn half(&self) -> u32 {
        32 * u32::from(self.select & 1)
    }

    /// Write IOREGSEL (offset 0) or IOWIN (offset 0x10).
    pub fn write(&mut self, local: &mut LocalApic, offset: u16, value: u32) {
        match (offset, self.select) {
            (0x00, _) => self.select = value as u8,
            (0x10, 0) => self.id = (value >> 24) as u8 & 0x0F,
            (0x10, 0x10..0x40) => {
                let (pin, half) = (self.selected(), self.half());
                let mask = WRITABLE & u64::from(u32::MAX) << half;
                let entry = &mut self.entries[pin];
                *entry = *entry & !mask | u64::from(value) << half & mask;
                if *entry & LEVEL == 0 {
                    *entry &= !REMOTE_IRR;
                } else {
                    self.service(local, pin);
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests;
