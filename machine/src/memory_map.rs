//! What lies where in the physical address space, for the processor and for whoever tells the guest.
//!
//! ```text
//! 0x0000_0000  RAM, 639 KiB
//! 0x0009_FC00  extended BIOS data area (RAM, reserved)
//! 0x000A_0000  nothing (graphics frame buffer)
//! 0x000B_8000  colour text frame buffer (plain memory)
//! 0x000C_0000  ROM
//! 0x0010_0000  RAM up to the configured size, at most 3 GiB
//! 0xC000_0000  nothing (PCI)
//! 0xFFFC_0000  the ROM of 0x000C_0000 again
//! ```

use cpu::mem::{PhysMem, RegionKind};
use std::ops::Range;

/// End of conventional memory: the extended BIOS data area begins.
pub const LOW_END: u64 = 0x9_FC00;
/// Graphics frame buffer.
pub const GRAPHICS: Range<u64> = 0xA_0000..0xB_8000;
/// Text frame buffer.
pub const TEXT: Range<u64> = 0xB_8000..0xC_0000;
/// Option ROMs and the BIOS.
pub const ROM: Range<u64> = 0xC_0000..0x10_0000;
/// Where [`ROM`] appears a second time, up to the top of the address space.
pub const ROM_ALIAS: u64 = (1 << 32) - (ROM.end - ROM.start);
/// RAM goes on above the first megabyte.
pub const HIGH_START: u64 = 0x10_0000;
/// Smallest and largest RAM, in bytes.
pub const RAM_LIMITS: std::ops::RangeInclusive<u64> = 1 << 20..=3 << 30;

/// Kinds of memory as E820 and multiboot number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The guest's to use.
    Usable = 1,
    /// Not to be touched.
    Reserved = 2,
}

/// Make the holes in the address space.
pub fn install(mem: &mut PhysMem) {
    for (range, kind) in [(GRAPHICS, RegionKind::Mmio), (ROM, RegionKind::Rom)] {
        mem.map(range.start, range.end - range.start, kind);
    }
}

/// The map a boot protocol hands to the guest, ascending.
pub fn entries(ram_size: u64) -> Vec<(Range<u64>, Kind)> {
    let mut map = vec![
        (0..LOW_END, Kind::Usable),
        (LOW_END..GRAPHICS.start, Kind::Reserved),
        (0xF_0000..ROM.end, Kind::Reserved),
    ];
    if ram_size > HIGH_START {
        map.push((HIGH_START..ram_size, Kind::Usable));
    }
    map
}

/// The ranges a guest may use, ascending.
pub fn usable(ram_size: u64) -> impl Iterator<Item = Range<u64>> {
    entries(ram_size).into_iter().filter(|(_, kind)| *kind == Kind::Usable).map(|(range, _)| range)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu::mem::{PageKind, Ram};

    #[test]
    fn everything_usable_is_ram() {
        for size in [1 << 20, 8 << 20] {
            let mut mem = PhysMem::new(Ram::zeroed(size as usize));
            install(&mut mem);
            for range in usable(size) {
                for addr in range.step_by(4096) {
                    assert!(matches!(mem.page_kind(addr), PageKind::Ram(_)), "{addr:#x}");
                }
            }
            assert_eq!(mem.page_kind(0xA_0000), PageKind::Bus);
            assert!(matches!(mem.page_kind(0xF_F000), PageKind::Rom(_)));
            assert!(mem.slice(TEXT.start, 4000).is_some());
        }
    }
}
