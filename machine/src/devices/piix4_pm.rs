//! Intel 82371AB (PIIX4) power management, here as function 3 of device 1: the ACPI PM1 registers, the
//! power-management timer, and the way into S5 (clean power-off).
//!
//! PIIX4 data sheet chapters 7 and 11; ACPI specification 4.8.3. The I/O base PMBASE is a register of the
//! configuration space, so the registers are where software puts them, and nowhere until it enables them.

use super::Board;
use super::pci::{ConfigSpace, PciBus, devfn};
use crate::events::Event;
use crate::time::{clock_at, vtime_of};
use cpu::bus::{StopRequest, Width};
use serde::{Deserialize, Serialize};

/// Place on bus 0.
pub const PLACE: u8 = devfn(1, 3);
/// Frequency of the power-management timer.
pub const PM_TIMER_HZ: u64 = 3_579_545;
/// The system control interrupt is wired to this request line.
pub const SCI_IRQ: u8 = 9;

const PMBASE: usize = 0x40;
const PMREGMISC: usize = 0x80;
/// Device activity B, whose bit 25 lets a write to port 0xB2 cause an SMI. There is no system management mode here.
const DEVACTB: usize = 0x58;
const APMC_EN: u8 = 0x02;
/// PMREGMISC: decode the I/O range at PMBASE.
const PMIOSE: u32 = 1;

/// APM control values with which an operating system asks firmware to hand over, or take back, power management: as
/// the FADT of SeaBIOS names them. SeaBIOS has no code for them and relies on the chipset.
const ACPI_ENABLE: u8 = 0xF1;
const ACPI_DISABLE: u8 = 0xF0;

const PM1_STS: u16 = 0x00;
const PM1_EN: u16 = 0x02;
const PM1_CNT: u16 = 0x04;
const PM_TMR: u16 = 0x08;

const TMR_STS: u16 = 0x0001;
const TMR_EN: u16 = 0x0001;
const SCI_EN: u16 = 0x0001;
const SLP_TYP: u16 = 0x1C00;
const SLP_EN: u16 = 0x2000;

/// Configuration space after reset.
pub fn config_space() -> ConfigSpace {
    let mut space = ConfigSpace::new(0x8086, 0x7113, 0x06_8000, 0x03);
    space.set(0x06, &[0x80, 0x02]);
    space.set(0x3C, &[SCI_IRQ, 0x01]);
    space.set(PMBASE, &[0x01, 0x00, 0x00, 0x00]);
    space.allow(PMBASE, &[0xC0, 0xFF]);
    space.allow(PMREGMISC, &[0x01]);
    // Firmware that finds it set takes system management mode as set up already, and does not look for it.
    space.set(DEVACTB + 3, &[APMC_EN]);
    space.allow(0x04, &[0x01]);
    space
}

/// What of a port is the same in all of the PM register block.
pub const BASE_MASK: u16 = 0xFFC0;

/// First port of the PM register block, if it is enabled.
pub fn base(pci: &PciBus) -> Option<u16> {
    let space = pci.function(PLACE)?;
    let enabled = space.read(PMREGMISC, Width::Byte) & PMIOSE != 0;
    enabled.then_some(space.read(PMBASE, Width::Word) as u16 & BASE_MASK)
}

/// The PM1 registers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PowerManagement {
    enable: u16,
    control: u16,
    /// APM control and status: two bytes between operating system and firmware.
    apm: [u8; 2],
    /// Half-periods of the 24-bit timer that had passed when TMR_STS was last cleared.
    cleared_at: u64,
}

/// How often bit 23 of the timer has toggled.
fn toggles(vtime: u64) -> u64 {
    clock_at(vtime, PM_TIMER_HZ) >> 23
}

impl PowerManagement {
    /// Read `width` at `offset` of the register block.
    pub fn read(&self, board: &Board<'_>, offset: u16, width: Width) -> u32 {
        let timer = (clock_at(board.now, PM_TIMER_HZ) & 0xFF_FFFF) as u32;
        let aligned = match offset & !3 {
            PM1_STS => u32::from(self.status(board.now)) | u32::from(self.enable) << 16,
            PM1_CNT => u32::from(self.control),
            PM_TMR => timer,
            _ => 0,
        };
        aligned >> (8 * (offset & 3)) & width.ones()
    }

    /// Port 0xB2 (control) or 0xB3 (status).
    pub fn read_apm(&self, port: u16) -> u8 {
        self.apm[usize::from(port & 1)]
    }

    /// Port 0xB2 (control) or 0xB3 (status). A command would interrupt to system management mode; that is not there,
    /// and the two commands of ACPI are carried out at once.
    pub fn write_apm(&mut self, board: &mut Board<'_>, port: u16, value: u8) {
        self.apm[usize::from(port & 1)] = value;
        match (port, value) {
            (0xB2, ACPI_ENABLE) => self.control |= SCI_EN,
            (0xB2, ACPI_DISABLE) => self.control &= !SCI_EN,
            _ => {}
        }
        self.update(board);
    }

    fn status(&self, vtime: u64) -> u16 {
        if toggles(vtime) != self.cleared_at { TMR_STS } else { 0 }
    }

    /// Write `width` at `offset` of the register block.
    pub fn write(&mut self, board: &mut Board<'_>, offset: u16, width: Width, value: u32) {
        let bytes = value.to_le_bytes();
        for (n, byte) in (0..width.bytes() as u16).zip(bytes) {
            self.write_byte(board, offset.wrapping_add(n), byte);
        }
        self.update(board);
    }

    fn write_byte(&mut self, board: &mut Board<'_>, offset: u16, value: u8) {
        let shift = 8 * (offset & 1);
        let (mask, bits) = (0xFFu16 << shift, u16::from(value) << shift);
        match offset & !1 {
            PM1_STS if bits & TMR_STS != 0 => self.cleared_at = toggles(board.now),
            PM1_EN => self.enable = (self.enable & !mask | bits) & 0x0521,
            PM1_CNT => {
                self.control = (self.control & !mask | bits) & (SLP_TYP | 0x0003);
                // Type 0 is soft off on this part; it has no other sleep state that could be left again.
                if bits & SLP_EN != 0 && self.control & SLP_TYP == 0 {
                    board.lines.request_stop(StopRequest::PowerOff);
                }
            }
            _ => {}
        }
    }

    /// Bit 23 of the timer toggles now.
    pub fn on_event(&mut self, board: &mut Board<'_>) {
        self.update(board);
    }

    fn update(&mut self, board: &mut Board<'_>) {
        let enabled = self.enable & TMR_EN != 0 && self.control & SCI_EN != 0;
        let active = enabled && self.status(board.now) & TMR_STS != 0;
        board.interrupts.set_irq(SCI_IRQ, active);
        if enabled && !active {
            let next = (toggles(board.now) + 1) << 23;
            board.events.schedule(Event::PmTimer, vtime_of(next, PM_TIMER_HZ));
        } else {
            board.events.cancel(Event::PmTimer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::bench::Bench;
    use crate::time::TICKS_PER_SECOND;

    #[test]
    fn decoded_only_where_enabled() {
        let mut pci = PciBus::default();
        pci.plug(PLACE, config_space());
        assert_eq!(base(&pci), None);
        pci.write_address(0x8000_0B40);
        pci.write_data(0, Width::Dword, 0xB001);
        assert_eq!(base(&pci), None);
        pci.write_address(0x8000_0B80);
        pci.write_data(0, Width::Byte, 1);
        assert_eq!(base(&pci), Some(0xB000));
    }

    #[test]
    fn soft_off_needs_type_0_and_enable() {
        let (mut bench, mut pm) = (Bench::default(), PowerManagement::default());
        pm.write(&mut bench.board(), PM1_CNT, Width::Word, 0x0000);
        pm.write(&mut bench.board(), PM1_CNT, Width::Word, 0x2400);
        assert_eq!(bench.lines.stop, None);
        assert_eq!(pm.read(&bench.board(), PM1_CNT, Width::Word), 0x0400);
        pm.write(&mut bench.board(), PM1_CNT, Width::Word, 0x2000);
        assert_eq!(bench.lines.stop, Some(StopRequest::PowerOff));
    }

    #[test]
    fn acpi_is_handed_over_on_command() {
        let (mut bench, mut pm) = (Bench::default(), PowerManagement::default());
        for (command, enabled) in [(0xF1, 1), (0x42, 1), (0xF0, 0)] {
            pm.write_apm(&mut bench.board(), 0xB2, command);
            pm.write_apm(&mut bench.board(), 0xB3, 0x0F);
            assert_eq!(pm.read(&bench.board(), PM1_CNT, Width::Word), enabled);
            assert_eq!((pm.read_apm(0xB2), pm.read_apm(0xB3)), (command, 0x0F));
        }
    }

    #[test]
    fn the_timer_counts_and_interrupts() {
        let (mut bench, mut pm) = (Bench::default(), PowerManagement::default());
        bench.interrupts.write_pic(0x21, 0);
        bench.now = TICKS_PER_SECOND;
        assert_eq!(pm.read(&bench.board(), PM_TMR, Width::Dword), PM_TIMER_HZ as u32);
        pm.write(&mut bench.board(), PM1_EN, Width::Word, 1);
        pm.write(&mut bench.board(), PM1_CNT, Width::Word, 1);
        assert_eq!(bench.events.next_time(), vtime_of(1 << 23, PM_TIMER_HZ));
        bench.advance(3 * TICKS_PER_SECOND, |board, _| pm.on_event(board));
        assert_eq!(pm.read(&bench.board(), PM1_STS, Width::Word), 1);
        assert!(bench.interrupts.intr());
        pm.write(&mut bench.board(), PM1_STS, Width::Word, 1);
        assert_eq!(pm.read(&bench.board(), PM1_STS, Width::Word), 0);
        assert!(!bench.interrupts.intr());
        assert!(bench.events.is_scheduled(Event::PmTimer));
    }
}
