//! Intel 82441FX (440FX) host bridge, function 0 of device 0.
//!
//! Only identity and the registers software probes: memory decoding is fixed by the memory map, so the PAM and SMRAM
//! registers keep what is written and move nothing.

use super::pci::{ConfigSpace, devfn};

/// Place on bus 0.
pub const PLACE: u8 = devfn(0, 0);

/// Configuration space after reset.
pub fn config_space() -> ConfigSpace {
    let mut space = ConfigSpace::new(0x8086, 0x1237, 0x06_0000, 0x02);
    space.set(0x04, &[0x06, 0x00, 0x80, 0x02]);
    space.allow(0x05, &[0x01]);
    // PMCCFG, PAM0-6, DRB0-7, FDHC, and SMRAM.
    space.allow(0x50, &[0xFF; 0x18]);
    space.set(0x72, &[0x02]);
    space.allow(0x72, &[0x78]);
    space
}
