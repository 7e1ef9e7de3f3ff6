//! Firmware in ROM, started by RESET (SDM vol. 3, 9.1.4): the image ends at the top of the first megabyte, and the
//! chipset shows the same bytes at the top of the address space, where the processor fetches its first instruction.

use super::BootError;
use crate::machine::Machine;
use crate::memory_map::{ROM, ROM_SIZE, write_rom};

/// Bytes at the end of the image at which the processor starts.
const RESET_VECTOR: usize = 16;
/// SeaBIOS deploys every file of this kind as the ROM of a display adapter that is not on the PCI bus.
const VGA_BIOS_FILE: &str = "vgaroms/vgabios.bin";

/// Put `image` where firmware lives, and offer it `vga_bios`, if any, as the option ROM of the display adapter. The
/// machine must have just been made or reset.
///
/// # Errors
/// The image has a size that no ROM has, or nothing at the reset vector; nothing has changed then.
pub fn load(machine: &mut Machine, image: &[u8], vga_bios: Option<&[u8]>) -> Result<(), BootError> {
    let len = image.len() as u64;
    let is_a_size = len.is_multiple_of(4096) || len.is_power_of_two() && len < 4096;
    if len == 0 || len > ROM_SIZE || !is_a_size {
        return Err(BootError::RomSize(len));
    }
    let reset_vector = &image[image.len().saturating_sub(RESET_VECTOR)..];
    if [0x00, 0xFF].iter().any(|blank| reset_vector.iter().all(|byte| byte == blank)) {
        return Err(BootError::RomBlank);
    }
    machine.with_chipset(|chipset, cx| {
        let stored = write_rom(cx.mem, ROM.end - len, image);
        debug_assert!(stored, "it fits");
        if let Some(rom) = vga_bios {
            chipset.devices.fw_cfg.set_file(VGA_BIOS_FILE, rom.to_vec());
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Config;

    #[test]
    fn firmware_is_at_both_places() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        for size in [0, 3, 0x4_0001, 100_000, 0x8_0000] {
            assert_eq!(load(&mut machine, &vec![0x90; size], None), Err(BootError::RomSize(size as u64)));
        }
        for blank in [0x00, 0xFF] {
            let image = [vec![0x90; 0xFFF0], vec![blank; 16]].concat();
            assert_eq!(load(&mut machine, &image, None), Err(BootError::RomBlank));
        }
        let image: Vec<u8> = (0..0x1_0000u32).map(|n| (n * 7) as u8).collect();
        load(&mut machine, &image, None).unwrap();
        assert_eq!(machine.cpu.mem.slice(0xF_0000, 0x1_0000), Some(&image[..]));
        assert_eq!(machine.cpu.mem.slice(0xFFFF_0000, 0x1_0000), Some(&image[..]));
    }
}
