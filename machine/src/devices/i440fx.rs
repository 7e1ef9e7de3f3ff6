//! Intel 82441FX (440FX) host bridge, function 0 of device 0: its identity, and which memory the processor sees
//! between 640 KiB and 1 MiB.
//!
//! 82441FX data sheet: PAM, "programmable attribute map registers" (3.2.11), and SMRAM, "system management RAM control
//! register" (3.2.16). There is no system management mode here, so only an *open* SMRAM shows the RAM under the video
//! memory. The subsystem identification is QEMU's: firmware takes it as the sign that a fw_cfg device is there.

use super::pci::{ConfigSpace, devfn};
use crate::memory_map::{ROM, rom_backing};
use cpu::bus::Width;
use cpu::mem::{PhysMem, RegionKind};
use std::ops::Range;

/// Place on bus 0.
pub const PLACE: u8 = devfn(0, 0);

/// PAM0 to PAM6.
const PAM: usize = 0x59;
const SMRAM: usize = 0x72;

const READ_ENABLE: u8 = 0x01;
const WRITE_ENABLE: u8 = 0x02;

const D_OPEN: u8 = 0x40;
const D_LCK: u8 = 0x10;
const G_SMRAME: u8 = 0x08;

/// The segments whose attributes PAM holds, each with its nibble: counted from the low one of PAM0, which is reserved.
const SEGMENTS: [(Range<u64>, usize); 13] = [
    (0xF_0000..0x10_0000, 1),
    (0xC_0000..0xC_4000, 2),
    (0xC_4000..0xC_8000, 3),
    (0xC_8000..0xC_C000, 4),
    (0xC_C000..0xD_0000, 5),
    (0xD_0000..0xD_4000, 6),
    (0xD_4000..0xD_8000, 7),
    (0xD_8000..0xD_C000, 8),
    (0xD_C000..0xE_0000, 9),
    (0xE_0000..0xE_4000, 10),
    (0xE_4000..0xE_8000, 11),
    (0xE_8000..0xE_C000, 12),
    (0xE_C000..0xF_0000, 13),
];

/// Configuration space after reset.
pub fn config_space() -> ConfigSpace {
    let mut space = ConfigSpace::new(0x8086, 0x1237, 0x06_0000, 0x02);
    space.set(0x04, &[0x06, 0x00, 0x80, 0x02]);
    space.set(0x2C, &[0xF4, 0x1A, 0x00, 0x11]);
    space.allow(0x05, &[0x01]);
    // PMCCFG to FDHC; in PAM0 only the segment of the BIOS.
    space.allow(0x50, &[0xFF; 0x18]);
    space.allow(PAM, &[0x30, 0x33, 0x33, 0x33, 0x33, 0x33, 0x33]);
    space.set(SMRAM, &[0x02]);
    space.allow(SMRAM, &[0x78]);
    space
}

/// Call after a write to the configuration space: D_LCK closes SMRAM and keeps it so until RESET.
pub fn lock_smram(space: &mut ConfigSpace) {
    let smram = space.read(SMRAM, Width::Byte) as u8;
    if smram & D_LCK != 0 {
        space.set(SMRAM, &[smram & !D_OPEN]);
        space.allow(SMRAM, &[0]);
    }
}

/// Whether the RAM under the video memory is shown.
pub fn shows_smram(space: &ConfigSpace) -> bool {
    space.read(SMRAM, Width::Byte) as u8 & (D_OPEN | G_SMRAME) == D_OPEN | G_SMRAME
}

/// Show ROM and RAM as the PAM registers say. A segment that is read from ROM but written to RAM, as when firmware
/// copies itself, is left to the bus: see [`read_shadowed`] and [`write_shadowed`].
pub fn map_segments(space: &ConfigSpace, mem: &mut PhysMem) {
    for (range, nibble) in SEGMENTS {
        let attributes = space.read(PAM + nibble / 2, Width::Byte) as u8 >> (4 * (nibble % 2));
        let kind = match attributes & (READ_ENABLE | WRITE_ENABLE) {
            0 => RegionKind::Rom(rom_offset(mem, range.start)),
            READ_ENABLE => RegionKind::Rom(range.start as u32),
            WRITE_ENABLE => RegionKind::Mmio,
            _ => RegionKind::Ram(range.start as u32),
        };
        mem.map(range.start, range.end - range.start, kind);
    }
}

/// Offset in the backing store of the ROM byte that belongs to `addr`, an address in [`ROM`].
fn rom_offset(mem: &PhysMem, addr: u64) -> u32 {
    rom_backing(mem.ram_size()) + (addr - ROM.start) as u32
}

/// Read from a segment whose reads go to ROM and whose writes go to RAM.
pub fn read_shadowed(mem: &PhysMem, addr: u64, width: Width) -> u32 {
    mem.read_at::<u32>(rom_offset(mem, addr)) & width.ones()
}

/// Write to such a segment.
pub fn write_shadowed(mem: &mut PhysMem, addr: u64, width: Width, value: u32) {
    // The RAM is there: the smallest machine has 1 MiB.
    mem.write_backing(addr as usize, &value.to_le_bytes()[..width.bytes() as usize]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::{Config, Machine};
    use crate::memory_map::write_rom;
    use cpu::bus::Bus;

    /// A machine with 'r' in ROM and 'd' in the RAM under it, in every byte.
    fn machine() -> Machine {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        machine.with_chipset(|_, cx| {
            assert!(write_rom(cx.mem, ROM.start, &[b'r'; 0x4_0000]));
            assert!(cx.mem.write_backing(ROM.start as usize, &[b'd'; 0x4_0000]));
        });
        machine
    }

    fn set(machine: &mut Machine, register: u32, value: u32) {
        machine.with_chipset(|chipset, cx| {
            chipset.port_write(cx, 0xCF8, Width::Dword, 0x8000_0000 | register & !3);
            chipset.port_write(cx, 0xCFC + (register & 3) as u16, Width::Byte, value);
        });
    }

    fn store(machine: &mut Machine, addr: u32, value: u8) {
        machine.cpu.store_linear(addr, value).unwrap();
    }

    fn load(machine: &mut Machine, addr: u32) -> u8 {
        machine.cpu.load_linear(addr).unwrap()
    }

    #[test]
    fn each_segment_has_its_attributes() {
        for (range, nibble) in SEGMENTS {
            let (first, last) = (range.start as u32, range.end as u32 - 1);
            let mut machine = machine();
            // (attributes, read before a write of 'w', read after it, then what RAM holds)
            for (attributes, before, after, ram) in
                [(0, b'r', b'r', b'd'), (1, b'd', b'd', b'd'), (2, b'r', b'r', b'w'), (3, b'w', b'x', b'x')]
            {
                set(&mut machine, 0x59 + nibble as u32 / 2, attributes << (4 * (nibble % 2)));
                for addr in [first, last] {
                    assert_eq!(load(&mut machine, addr), before, "{addr:#x} {attributes}");
                    store(&mut machine, addr, if attributes == 3 { b'x' } else { b'w' });
                    assert_eq!(load(&mut machine, addr), after, "{addr:#x} {attributes}");
                    assert_eq!(machine.cpu.mem.read_at::<u8>(addr), ram, "{addr:#x} {attributes}");
                }
                let beside = if first == 0xF_0000 { 0xE_FFFF } else { last + 1 };
                assert_eq!(load(&mut machine, beside), b'r');
                assert_eq!(load(&mut machine, 0xFFF0_0000 + first), b'r', "the alias is always ROM");
            }
        }
    }

    #[test]
    fn wide_accesses_to_a_segment_being_copied() {
        let mut machine = machine();
        set(&mut machine, 0x59, 0x20);
        machine.cpu.store_linear(0xF_0FFE, 0x6463_6261u32).unwrap();
        assert_eq!(machine.cpu.load_linear::<u32>(0xF_0FFE), Ok(0x7272_7272));
        set(&mut machine, 0x59, 0x10);
        assert_eq!(machine.cpu.load_linear::<u32>(0xF_0FFE), Ok(0x6463_6261));
    }

    #[test]
    fn open_smram_is_ram_until_it_is_locked() {
        let mut machine = machine();
        set(&mut machine, 0x72, 0x4A);
        store(&mut machine, 0xA_8000, b'm');
        assert_eq!(machine.cpu.mem.read_at::<u8>(0xA_8000), b'm');
        set(&mut machine, 0x72, 0x0A);
        assert_ne!(load(&mut machine, 0xA_8000), b'm');
        set(&mut machine, 0x72, 0x5A);
        set(&mut machine, 0x72, 0x4A);
        assert_ne!(load(&mut machine, 0xA_8000), b'm');
    }

    #[test]
    fn what_was_mapped_is_restored() {
        let mut machine = machine();
        set(&mut machine, 0x59, 0x30);
        let shadowed = machine.snapshot();
        machine.reset();
        assert_eq!(load(&mut machine, 0xF_0000), b'r');
        machine.restore(&shadowed).unwrap();
        assert_eq!(load(&mut machine, 0xF_0000), b'd');
    }
}
