//! Firmware in ROM, started by RESET (SDM vol. 3, 9.1.4): the image ends at the top of the first megabyte, and the
//! chipset shows the same bytes at the top of the address space, where the processor fetches its first instruction.

use super::BootError;
use crate::machine::Machine;
use crate::memory_map::ROM;

/// Put `image` where firmware lives. The machine must have just been made or reset.
///
/// # Errors
/// The image is empty or larger than the ROM area; nothing has changed then.
pub fn load(machine: &mut Machine, image: &[u8]) -> Result<(), BootError> {
    let len = image.len() as u64;
    if len == 0 || len > ROM.end - ROM.start {
        return Err(BootError::RomSize(len));
    }
    let stored = machine.with_chipset(|_, cx| cx.mem.write_rom(ROM.end - len, image));
    debug_assert!(stored, "RAM, and with it the backing of ROM, is at least 1 MiB");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Config;
    use cpu::bus::{Bus, Width};

    #[test]
    fn firmware_is_at_both_places() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        for size in [0, 0x4_0001] {
            assert_eq!(load(&mut machine, &vec![0; size]), Err(BootError::RomSize(size as u64)));
        }
        let image: Vec<u8> = (0..0x1_0000u32).map(|n| (n * 7) as u8).collect();
        load(&mut machine, &image).unwrap();
        assert_eq!(machine.cpu.mem.slice(0xF_0000, 0x1_0000), Some(&image[..]));
        for (at, width) in [(0xFFF0, Width::Byte), (0x0002, Width::Word), (0xFFFC, Width::Dword)] {
            let read =
                machine.with_chipset(|chipset, cx| chipset.mmio_read(cx, 0xFFFF_0000 + at as u64, width));
            let len = width.bytes() as usize;
            assert_eq!(read.to_le_bytes()[..len], image[at..at + len]);
        }
        machine.with_chipset(|_, cx| assert!(!cx.mem.write_bytes(0xF_0000, &[0]), "ROM is not RAM"));
    }
}
