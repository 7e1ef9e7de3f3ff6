//! What lies where in the physical address space, for the processor and for whoever tells the guest.
//!
//! ```text
//! 0x0000_0000  RAM, 639 KiB
//! 0x0009_FC00  extended BIOS data area (RAM, reserved)
//! 0x000A_0000  video memory, 128 KiB
//! 0x000C_0000  ROM, or the RAM under it: as the host bridge is told
//! 0x0010_0000  RAM up to the configured size, at most 3 GiB
//! 0xC000_0000  nothing (PCI)
//! 0xFFFC_0000  the ROM of 0x000C_0000 again, always
//! ```
//!
//! RAM, ROM and video memory are parts of one backing store, in this order, so that one mechanism saves, hashes and
//! tracks them all.

use cpu::mem::{PhysMem, RegionKind};
use std::ops::Range;

/// End of conventional memory: the extended BIOS data area begins.
pub const LOW_END: u64 = 0x9_FC00;
/// Where the display adapter shows its memory.
pub const VIDEO: Range<u64> = 0xA_0000..0xC_0000;
/// The part of it where colour text is.
pub const TEXT: Range<u64> = 0xB_8000..0xC_0000;
/// Option ROMs and the BIOS.
pub const ROM: Range<u64> = 0xC_0000..0x10_0000;
/// Where [`ROM`] appears a second time, up to the top of the address space.
pub const ROM_ALIAS: u64 = (1 << 32) - ROM_SIZE;
/// Bytes of ROM.
pub const ROM_SIZE: u64 = ROM.end - ROM.start;
/// Bytes of video memory: four planes of 64 KiB.
pub const VIDEO_MEMORY_SIZE: u64 = 0x4_0000;
/// RAM goes on above the first megabyte.
pub const HIGH_START: u64 = 0x10_0000;
/// Smallest and largest RAM, in bytes.
pub const RAM_LIMITS: std::ops::RangeInclusive<u64> = 1 << 20..=3 << 30;

/// Bytes of backing store for a machine with `ram_size` bytes of RAM.
pub const fn store_size(ram_size: u64) -> u64 {
    ram_size + ROM_SIZE + VIDEO_MEMORY_SIZE
}

/// Where in the backing store the ROM's contents are, in a machine with `ram_size` bytes of RAM.
pub const fn rom_backing(ram_size: u64) -> u32 {
    // RAM_LIMITS keep all of the store far below 4 GiB.
    ram_size as u32
}

/// Where in the backing store video memory is.
pub const fn video_backing(ram_size: u64) -> u32 {
    (ram_size + ROM_SIZE) as u32
}

/// Kinds of memory as E820 and multiboot number them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The guest's to use.
    Usable = 1,
    /// Not to be touched.
    Reserved = 2,
}

/// Show the ROM at the top of the address space, where it always is. The rest is up to the chipset.
pub fn install(mem: &mut PhysMem) {
    mem.map(ROM_ALIAS, ROM_SIZE, RegionKind::Rom(rom_backing(mem.ram_size())));
}

/// Put `bytes` into the ROM so that they appear at physical address `addr` while ROM is shown there. False (and
/// nothing written) if that is not all ROM.
pub fn write_rom(mem: &mut PhysMem, addr: u64, bytes: &[u8]) -> bool {
    let inside = (ROM.start..=ROM.end).contains(&addr) && bytes.len() as u64 <= ROM.end - addr;
    inside && mem.write_backing((rom_backing(mem.ram_size()) as u64 + (addr - ROM.start)) as usize, bytes)
}

/// The map a boot protocol hands to the guest, ascending.
pub fn entries(ram_size: u64) -> Vec<(Range<u64>, Kind)> {
    let mut map = vec![
        (0..LOW_END, Kind::Usable),
        (LOW_END..VIDEO.start, Kind::Reserved),
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
    use crate::machine::{Config, Machine};
    use cpu::mem::PageKind;

    #[test]
    fn everything_usable_is_ram() {
        for size in [1 << 20, 8 << 20] {
            let machine = Machine::new(Config { ram: size, rtc: 0 }).unwrap();
            let mem = &machine.cpu.mem;
            for range in usable(size) {
                for addr in range.step_by(4096) {
                    assert_eq!(mem.page_kind(addr), PageKind::Ram(addr as u32 & !0xFFF), "{addr:#x}");
                }
            }
            assert_eq!(mem.page_kind(0xA_0000), PageKind::Bus);
            assert_eq!(mem.page_kind(size), PageKind::Bus);
            let rom = PageKind::Rom(rom_backing(size) + 0x3_F000);
            assert_eq!((mem.page_kind(0xF_F000), mem.page_kind(0xFFFF_F000)), (rom, rom));
        }
    }

    #[test]
    fn rom_is_written_inside_itself_only() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        machine.with_chipset(|_, cx| {
            assert!(write_rom(cx.mem, 0xF_FFFF, b"x"));
            assert_eq!(cx.mem.slice(0xF_FFFF, 1), Some(&b"x"[..]));
            for (addr, len) in [(0xB_FFFF, 1), (0xF_FFFF, 2), (0x10_0000, 1), (u64::MAX, 1)] {
                assert!(!write_rom(cx.mem, addr, &vec![0; len]));
            }
            assert!(!cx.mem.write_bytes(0xF_0000, &[0]), "ROM is not RAM");
        });
    }
}
