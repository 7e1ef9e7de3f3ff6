//! The end: the exit status on the debug port, then ACPI S5 through the PIIX4, then HLT.

use super::boot::NMI_COUNT;
use super::cpu::{halt_for_ever, inw, outl, outw};
use super::pci::Function;
use crate::log;
use core::sync::atomic::Ordering;

/// How the Host's run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Every Guest that ended last did so on its own wish.
    Clean,
    /// The last Guest was killed or crashed.
    GuestDied,
    /// The Host failed.
    Panic,
}

const DEBUG_EXIT: u16 = 0xF4;
/// PIIX4 power management, function 3 of the south bridge.
const PIIX4_PM: u32 = 0x7113_8086;
const PM_BASE: u32 = 0x40;
const PM_ENABLE: u32 = 0x80;
/// Where the power-management registers go if the firmware left them nowhere.
const DEFAULT_BASE: u32 = 0x600;
/// SLP_EN; the sleep type of S5 is 0 on this chip.
const SLEEP_S5: u16 = 1 << 13;

/// Find the power-management registers on bus 0.
fn pm_control() -> Option<u16> {
    let bridge = Function::find(&[PIIX4_PM])?;
    let mut base = bridge.read(PM_BASE) & 0xFFC0;
    if base == 0 {
        bridge.write(PM_BASE, DEFAULT_BASE | 1);
        base = DEFAULT_BASE;
    }
    bridge.write(PM_ENABLE, bridge.read(PM_ENABLE) | 1);
    Some(base as u16 + 4)
}

/// Turn the machine off.
pub fn off(end: End) -> ! {
    let nmis = NMI_COUNT.load(Ordering::Relaxed);
    if nmis != 0 {
        log!("NMIs taken: {nmis}");
    }
    match end {
        End::Clean => {}
        End::GuestDied => outl(DEBUG_EXIT, 1),
        End::Panic => outl(DEBUG_EXIT, 4),
    }
    match pm_control() {
        Some(control) => outw(control, inw(control) & !0x3C00 | SLEEP_S5),
        None => log!("no PIIX4 power management: halting"),
    }
    halt_for_ever()
}
