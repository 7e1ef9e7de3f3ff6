//! Intel 8259A programmable interrupt controllers, master and slave as wired in a PC/AT.
//!
//! Ports 0x20/0x21 and 0xA0/0xA1, edge/level control (ELCR, PIIX3 data sheet) at 0x4D0/0x4D1. Names follow the
//! 8259A data sheet: ICW1-4, OCW1-3, IRR, ISR, IMR.
//!
//! Invariants:
//! * A request that falls before it is acknowledged is gone (the data sheet's rule for both trigger modes); an
//!   acknowledge that finds no request gives the vector of level 7 and sets no in-service bit.
//! * The slave's INT output is level 2 of the master at all times.

use serde::{Deserialize, Serialize};

/// Level of the master that the slave is wired to.
const CASCADE: u8 = 2;

/// ICW1: an ICW4 will follow.
const ICW1_IC4: u8 = 0x01;
/// ICW1: single chip, no ICW3.
const ICW1_SNGL: u8 = 0x02;
/// ICW1: level-triggered mode.
const ICW1_LTIM: u8 = 0x08;
/// Tells ICW1 from OCW2/OCW3.
const ICW1: u8 = 0x10;
/// Tells OCW3 from OCW2.
const OCW3: u8 = 0x08;
const ICW4_AEOI: u8 = 0x02;
const ICW4_SFNM: u8 = 0x10;

/// Which initialisation word the chip expects at its odd port.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Expect {
    #[default]
    Ocw1,
    Icw2,
    Icw3,
    Icw4,
}

/// One 8259A.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct I8259 {
    irr: u8,
    isr: u8,
    imr: u8,
    /// Input pins as they are now.
    pins: u8,
    /// Levels that are level-triggered whatever ICW1 says.
    elcr: u8,
    level_triggered: bool,
    vector_base: u8,
    /// Level with the lowest priority; 7 after initialisation.
    lowest: u8,
    auto_eoi: bool,
    rotate_on_auto_eoi: bool,
    special_mask: bool,
    special_fully_nested: bool,
    read_isr: bool,
    poll: bool,
    expect: Expect,
    icw1: u8,
}

impl I8259 {
    fn is_level(&self, level: u8) -> bool {
        self.level_triggered || self.elcr & (1 << level) != 0
    }

    fn set_pin(&mut self, level: u8, high: bool) {
        let bit = 1 << level;
        let rising = high && self.pins & bit == 0;
        if !high {
            self.pins &= !bit;
            self.irr &= !bit;
        } else {
            self.pins |= bit;
            if rising || self.is_level(level) {
                self.irr |= bit;
            }
        }
    }

    /// 0 for the highest priority.
    fn rank(&self, level: u8) -> u8 {
        level.wrapping_sub(self.lowest).wrapping_sub(1) & 7
    }

    fn highest(&self, set: u8) -> Option<u8> {
        let first = self.lowest.wrapping_add(1) & 7;
        (set != 0).then(|| (set.rotate_right(first.into()).trailing_zeros() as u8 + first) & 7)
    }

    /// In-service levels that hold back others.
    fn blocking(&self) -> u8 {
        let mut set = self.isr;
        if self.special_mask {
            set &= !self.imr;
        }
        if self.special_fully_nested {
            set &= !(1 << CASCADE);
        }
        set
    }

    /// The level that drives INT, if any does.
    fn request(&self) -> Option<u8> {
        let level = self.highest(self.irr & !self.imr)?;
        match self.highest(self.blocking()) {
            Some(busy) if self.rank(busy) <= self.rank(level) => None,
            _ => Some(level),
        }
    }

    /// The INTA cycles (or a poll). `None` when the request has gone away meanwhile.
    fn acknowledge(&mut self) -> Option<u8> {
        let level = self.request()?;
        let bit = 1 << level;
        if !self.is_level(level) {
            self.irr &= !bit;
        }
        if !self.auto_eoi {
            self.isr |= bit;
        } else if self.rotate_on_auto_eoi {
            self.lowest = level;
        }
        Some(level)
    }

    fn read(&mut self, odd: bool) -> u8 {
        if self.poll {
            self.poll = false;
            return self.acknowledge().map_or(0, |level| 0x80 | level);
        }
        match (odd, self.read_isr) {
            (true, _) => self.imr,
            (false, true) => self.isr,
            (false, false) => self.irr,
        }
    }

    fn write(&mut self, odd: bool, value: u8) {
        match (odd, self.expect) {
            (false, _) if value & ICW1 != 0 => self.initialise(value),
            (false, _) if value & OCW3 != 0 => self.ocw3(value),
            (false, _) => self.ocw2(value),
            (true, Expect::Ocw1) => self.imr = value,
            (true, Expect::Icw2) => {
                self.vector_base = value & 0xF8;
                let need_icw4 = if self.icw1 & ICW1_IC4 != 0 { Expect::Icw4 } else { Expect::Ocw1 };
                self.expect = if self.icw1 & ICW1_SNGL == 0 { Expect::Icw3 } else { need_icw4 };
            }
            // Where the slave sits is wired on the board; ICW3 is taken as agreeing with it.
            (true, Expect::Icw3) => {
                self.expect = if self.icw1 & ICW1_IC4 != 0 { Expect::Icw4 } else { Expect::Ocw1 };
            }
            (true, Expect::Icw4) => {
                self.auto_eoi = value & ICW4_AEOI != 0;
                self.special_fully_nested = value & ICW4_SFNM != 0;
                self.expect = Expect::Ocw1;
            }
        }
    }

    fn initialise(&mut self, icw1: u8) {
        // The edge sense circuit is reset: a line that is already high must fall and rise again, unless
        // level-triggered.
        *self = I8259 {
            pins: self.pins,
            elcr: self.elcr,
            vector_base: self.vector_base,
            level_triggered: icw1 & ICW1_LTIM != 0,
            lowest: 7,
            expect: Expect::Icw2,
            icw1,
            ..I8259::default()
        };
        self.irr = (0..8).filter(|&n| self.is_level(n)).fold(0, |set, n| set | 1 << n) & self.pins;
    }

    fn ocw2(&mut self, value: u8) {
        let named = value & 7;
        // A masked level's bit survives a non-specific EOI in special mask mode.
        let serviced = if self.special_mask { self.isr & !self.imr } else { self.isr };
        let current = self.highest(serviced);
        match value >> 5 {
            0b001 => self.end_of_interrupt(current, false),
            0b011 => self.end_of_interrupt(Some(named), false),
            0b101 => self.end_of_interrupt(current, true),
            0b111 => self.end_of_interrupt(Some(named), true),
            0b100 => self.rotate_on_auto_eoi = true,
            0b000 => self.rotate_on_auto_eoi = false,
            0b110 => self.lowest = named,
            _ => {}
        }
    }

    fn end_of_interrupt(&mut self, level: Option<u8>, rotate: bool) {
        let Some(level) = level else { return };
        self.isr &= !(1 << level);
        if rotate {
            self.lowest = level;
        }
    }

    fn ocw3(&mut self, value: u8) {
        self.poll = value & 0x04 != 0;
        match value & 0x03 {
            2 => self.read_isr = false,
            3 => self.read_isr = true,
            _ => {}
        }
        match value & 0x60 {
            0x40 => self.special_mask = false,
            0x60 => self.special_mask = true,
            _ => {}
        }
    }
}

/// The two controllers of a PC and the wire between them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PicPair {
    master: I8259,
    slave: I8259,
}

impl Default for PicPair {
    fn default() -> Self {
        let chip = I8259 { lowest: 7, ..I8259::default() };
        // The timer's output is high at power-up, and that is no edge.
        PicPair { master: I8259 { pins: 0x01, ..chip.clone() }, slave: chip }
    }
}

impl PicPair {
    /// Drive interrupt request line 0 to 15. Line 2 is the cascade and cannot be driven.
    pub fn set_irq(&mut self, irq: u8, high: bool) {
        match irq {
            CASCADE => {}
            0..8 => self.master.set_pin(irq, high),
            _ => {
                self.slave.set_pin(irq & 7, high);
                self.cascade();
            }
        }
    }

    /// The INTR pin of the processor.
    pub fn intr(&self) -> bool {
        self.master.request().is_some()
    }

    /// The two INTA cycles: the vector of the interrupt being taken.
    pub fn acknowledge(&mut self) -> u8 {
        match self.master.acknowledge() {
            None => self.master.vector_base | 7,
            Some(CASCADE) => {
                let level = self.slave.acknowledge().unwrap_or(7);
                self.pulse_cascade();
                self.slave.vector_base | level
            }
            Some(level) => self.master.vector_base | level,
        }
    }

    /// Whether a rising edge on `irq` would interrupt the processor as things stand.
    pub fn would_interrupt(&self, irq: u8) -> bool {
        let mut what_if = self.clone();
        what_if.set_irq(irq, false);
        what_if.set_irq(irq, true);
        what_if.intr()
    }

    /// Read one of the six ports.
    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            0x20 | 0x21 => {
                let polled = self.master.poll;
                let value = self.master.read(port & 1 != 0);
                if polled && value == 0x80 | CASCADE {
                    self.pulse_cascade();
                }
                value
            }
            0xA0 | 0xA1 => {
                let value = self.slave.read(port & 1 != 0);
                self.pulse_cascade();
                value
            }
            0x4D0 => self.master.elcr,
            0x4D1 => self.slave.elcr,
            _ => 0xFF,
        }
    }

    /// Write one of the six ports.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            0x20 | 0x21 => self.master.write(port & 1 != 0, value),
            0xA0 | 0xA1 => {
                self.slave.write(port & 1 != 0, value);
                self.cascade();
            }
            // The timer, keyboard, cascade, clock and FPU lines are always edge-triggered.
            0x4D0 => self.master.elcr = value & 0xF8,
            0x4D1 => self.slave.elcr = value & 0xDE,
            _ => {}
        }
        if port == 0x20 && value & ICW1 != 0 {
            self.pulse_cascade();
        }
    }

    fn cascade(&mut self) {
        self.master.set_pin(CASCADE, self.slave.request().is_some());
    }

    /// The slave's INT drops while it is acknowledged and rises again for the next request.
    fn pulse_cascade(&mut self) {
        self.master.set_pin(CASCADE, false);
        self.cascade();
    }
}

#[cfg(test)]
mod tests;
