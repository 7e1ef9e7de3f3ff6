//! Intel 82371SB (PIIX3) PCI-to-ISA bridge, function 0 of device 1.
//!
//! The ISA parts it contains (interrupt controllers, timer, ...) have files of their own; here is its identity and
//! the interrupt routing registers.

use super::pci::{ConfigSpace, devfn};
use cpu::bus::Width;

/// Place on bus 0.
pub const PLACE: u8 = devfn(1, 0);

/// Configuration space after reset.
pub fn config_space() -> ConfigSpace {
    let mut space = ConfigSpace::new(0x8086, 0x7000, 0x06_0100, 0x00);
    space.set(0x04, &[0x07, 0x00, 0x00, 0x02]);
    space.set(0x0E, &[0x80]);
    space.set(0x4C, &[0x4D, 0x00, 0x03, 0x00]);
    space.allow(0x4C, &[0xFF, 0x00, 0xFF, 0x03]);
    // PIRQRC[A:D]: all disabled.
    space.set(0x60, &[0x80; 4]);
    space.allow(0x60, &[0x8F; 4]);
    space
}

/// PIRQRC[A:D]: the ISA line each PCI line goes to; bit 7 says to none.
pub fn pirq_route(space: &ConfigSpace) -> [u8; 4] {
    space.read(0x60, Width::Dword).to_le_bytes()
}
