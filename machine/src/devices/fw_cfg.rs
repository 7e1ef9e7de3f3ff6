//! The firmware configuration device, ports 0x510 to 0x51B: how firmware learns what machine it is in.
//!
//! QEMU documentation, "QEMU Firmware Configuration (fw_cfg) Device". An *item* is a string of bytes with a 16-bit key.
//! Software writes a key to the selector and reads bytes of the item at the data port, or hands over the physical
//! address of a control structure and has them copied. *Files* are items with names, listed in a directory.
//!
//! Nothing can be written to an item. Beyond the end of one, and in one that does not exist, everything is zero.

use crate::memory_map;
use cpu::mem::{PAGE_SIZE, PhysMem};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Keys of the items with a fixed place.
mod key {
    pub const SIGNATURE: u16 = 0x00;
    pub const ID: u16 = 0x01;
    pub const RAM_SIZE: u16 = 0x03;
    pub const CPUS: u16 = 0x05;
    pub const BOOT_MENU: u16 = 0x0E;
    pub const MAX_CPUS: u16 = 0x0F;
    pub const DIRECTORY: u16 = 0x19;
    pub const FIRST_FILE: u16 = 0x20;
    /// Of PCs only: the timer, ISA interrupt 0, is at pin 2 of the I/O APIC.
    pub const TIMER_AT_PIN_2: u16 = 0x8002;
    /// Said with a key to write the item.
    pub const WRITE: u16 = 0x4000;
}

/// Both ways to read: bytes at the data port, and DMA.
const FEATURES: u32 = 0x3;
/// Bytes of a name in the directory, zeros to fill it included.
const NAME_LEN: usize = 56;

/// Bits of the control field of a DMA structure.
const DMA_ERROR: u32 = 0x01;
const DMA_READ: u32 = 0x02;
const DMA_SKIP: u32 = 0x04;
const DMA_SELECT: u32 = 0x08;
const DMA_WRITE: u32 = 0x10;
/// What the DMA address register reads as, in the order of the bytes.
const DMA_SIGNATURE: [u8; 8] = *b"QEMU CFG";

/// The device with its items.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FwCfg {
    items: BTreeMap<u16, Vec<u8>>,
    /// Names of the files, in the order of their keys.
    files: Vec<String>,
    selected: u16,
    /// Byte of the selected item that is read next.
    position: u64,
    /// First half of the address of a DMA structure; the second half starts the transfer.
    dma_high: u32,
}

impl FwCfg {
    /// The device of a machine with one processor and `ram` bytes of memory.
    pub fn new(ram: u64) -> FwCfg {
        let items = [
            (key::SIGNATURE, b"QEMU".to_vec()),
            (key::ID, FEATURES.to_le_bytes().to_vec()),
            (key::RAM_SIZE, ram.to_le_bytes().to_vec()),
            (key::CPUS, 1u16.to_le_bytes().to_vec()),
            (key::BOOT_MENU, 1u16.to_le_bytes().to_vec()),
            (key::MAX_CPUS, 1u16.to_le_bytes().to_vec()),
            (key::TIMER_AT_PIN_2, vec![1]),
        ];
        let items = items.into_iter().collect();
        let mut device = FwCfg { items, files: Vec::new(), selected: 0, position: 0, dma_high: 0 };
        let usable = memory_map::Kind::Usable as u32;
        device.set_file(
            "etc/e820",
            [&0u64.to_le_bytes()[..], &ram.to_le_bytes(), &usable.to_le_bytes()].concat(),
        );
        device
    }

    /// Add a file, or put other contents into the one of this name. A name that is too long is cut.
    pub fn set_file(&mut self, name: &str, contents: Vec<u8>) {
        let n = self.files.iter().position(|known| known == name).unwrap_or(self.files.len());
        if n == self.files.len() {
            self.files.push(name.into());
        }
        self.items.insert(key::FIRST_FILE + n as u16, contents);
        self.items.insert(key::DIRECTORY, self.directory());
    }

    /// The number of files, and of each its size, key and name, big-endian.
    fn directory(&self) -> Vec<u8> {
        let mut directory = (self.files.len() as u32).to_be_bytes().to_vec();
        for (key, name) in (key::FIRST_FILE..).zip(&self.files) {
            let size = self.items.get(&key).map_or(0, Vec::len) as u32;
            directory.extend(size.to_be_bytes());
            directory.extend(key.to_be_bytes());
            directory.extend([0; 2]);
            let mut padded = [0; NAME_LEN];
            padded.iter_mut().take(NAME_LEN - 1).zip(name.bytes()).for_each(|(to, from)| *to = from);
            directory.extend(padded);
        }
        directory
    }

    /// RESET: nothing is selected; the items stay.
    pub(crate) fn reset(&mut self) {
        (self.selected, self.position, self.dma_high) = (0, 0, 0);
    }

    /// Port 0x510.
    pub fn select(&mut self, key: u16) {
        (self.selected, self.position) = (key & !key::WRITE, 0);
    }

    /// What is left of the selected item.
    fn rest(&self) -> &[u8] {
        let item = self.items.get(&self.selected).map_or(&[][..], Vec::as_slice);
        usize::try_from(self.position).ok().and_then(|at| item.get(at..)).unwrap_or_default()
    }

    /// Port 0x511.
    pub fn read_data(&mut self) -> u8 {
        let byte = self.rest().first().copied().unwrap_or(0);
        self.position = self.position.saturating_add(1);
        byte
    }

    /// Ports 0x514 to 0x51B: the sign that DMA is there, big-endian.
    pub fn read_dma_address(&self, byte: u16) -> u8 {
        DMA_SIGNATURE.get(usize::from(byte)).copied().unwrap_or(0xFF)
    }

    /// Ports 0x514 and 0x518, in the bus's byte order: the address of a DMA structure, big-endian.
    pub fn write_dma_address(&mut self, mem: &mut PhysMem, second_half: bool, value: u32) {
        let value = value.swap_bytes();
        if second_half {
            let address = u64::from(std::mem::take(&mut self.dma_high)) << 32 | u64::from(value);
            self.transfer(mem, address);
        } else {
            self.dma_high = value;
        }
    }

    /// Do what the DMA structure at `at` says: control, length (32 bits each), address (64 bits), all big-endian.
    fn transfer(&mut self, mem: &mut PhysMem, at: u64) {
        let Some(structure) = mem.slice(at, 16).and_then(|bytes| bytes.first_chunk::<16>()).copied() else {
            return;
        };
        let field = |n: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| structure[4 * n + byte]));
        let (control, len) = (field(0), u64::from(field(1)));
        let address = u64::from(field(2)) << 32 | u64::from(field(3));
        if control & DMA_SELECT != 0 {
            self.select((control >> 16) as u16);
        }
        let done = match control & (DMA_READ | DMA_WRITE | DMA_SKIP) {
            read if read & DMA_READ != 0 => self.copy_to(mem, address, len),
            write if write & DMA_WRITE != 0 => false,
            _ => true,
        };
        if control & (DMA_READ | DMA_SKIP) != 0 {
            self.position = self.position.saturating_add(len);
        }
        let result = if done { 0 } else { DMA_ERROR };
        mem.write_bytes(at, &result.to_be_bytes());
    }

    /// Copy the next `len` bytes to physical memory, page by page. False if not all of it is RAM.
    fn copy_to(&self, mem: &mut PhysMem, address: u64, len: u64) -> bool {
        let mut rest = self.rest();
        let mut at = address;
        let Some(end) = address.checked_add(len) else { return false };
        let mut page = [0; PAGE_SIZE];
        while at < end {
            let count = (end - at).min(PAGE_SIZE as u64 - at % PAGE_SIZE as u64) as usize;
            let known = rest.len().min(count);
            page[..known].copy_from_slice(&rest[..known]);
            page[known..count].fill(0);
            if !mem.write_bytes(at, &page[..count]) {
                return false;
            }
            rest = &rest[known..];
            at += count as u64;
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu::mem::Ram;
    use proptest::prelude::*;

    fn read(device: &mut FwCfg, key: u16, len: usize) -> Vec<u8> {
        device.select(key);
        (0..len).map(|_| device.read_data()).collect()
    }

    #[test]
    fn items_end_in_zeros() {
        let mut device = FwCfg::new(8 << 20);
        for (key, bytes) in [
            (key::SIGNATURE, &b"QEMU\0\0"[..]),
            (key::ID, &[3, 0, 0, 0, 0]),
            (key::RAM_SIZE, &[0, 0, 0x80, 0, 0, 0, 0, 0]),
            (key::CPUS, &[1, 0]),
            (0x8001, &[0, 0]),
        ] {
            assert_eq!(read(&mut device, key, bytes.len()), bytes);
        }
    }

    #[test]
    fn files_are_in_the_directory() {
        let mut device = FwCfg::new(1 << 20);
        device.set_file("vgaroms/x", b"r".to_vec());
        device.set_file(&"n".repeat(100), vec![]);
        device.set_file("vgaroms/x", b"rom".to_vec());
        let directory = read(&mut device, key::DIRECTORY, 4 + 3 * 64);
        assert_eq!(directory[..4], [0, 0, 0, 3]);
        assert_eq!(directory[4..12], [0, 0, 0, 20, 0, 0x20, 0, 0]);
        assert_eq!(directory[68..86], *b"\0\0\0\x03\0\x21\0\0vgaroms/x\0");
        assert_eq!(directory[132 + 8 + 54..], *b"n\0");
        assert_eq!(read(&mut device, 0x21, 4), b"rom\0");
        let e820 = read(&mut device, 0x20, 20);
        assert_eq!(e820, [0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0, 0, 0, 1, 0, 0, 0]);
    }

    /// Run one DMA structure at 0x800 and give back its control field.
    fn dma(device: &mut FwCfg, mem: &mut PhysMem, control: u32, len: u32, address: u64) -> u32 {
        let structure = [&control.to_be_bytes()[..], &len.to_be_bytes(), &address.to_be_bytes()].concat();
        assert!(mem.write_bytes(0x800, &structure));
        device.write_dma_address(mem, false, 0);
        device.write_dma_address(mem, true, 0x800u32.swap_bytes());
        u32::from_be_bytes(*mem.slice(0x800, 4).unwrap().first_chunk().unwrap())
    }

    #[test]
    fn dma_selects_skips_and_copies() {
        let mut device = FwCfg::new(1 << 20);
        device.set_file("f", b"abcdef".to_vec());
        let mut mem = PhysMem::new(Ram::zeroed(0x4000));
        assert!(mem.write_bytes(0x1FFE, &[0xFF; 8]));
        assert_eq!(dma(&mut device, &mut mem, 0x21 << 16 | DMA_SELECT | DMA_SKIP, 2, 0), 0);
        assert_eq!(dma(&mut device, &mut mem, DMA_READ, 6, 0x1FFE), 0);
        assert_eq!(mem.slice(0x1FFE, 8), Some(&b"cdef\0\0\xFF\xFF"[..]));
        assert_eq!(dma(&mut device, &mut mem, DMA_READ, 1, 0x4000), DMA_ERROR);
        assert_eq!(dma(&mut device, &mut mem, DMA_READ, u32::MAX, u64::MAX), DMA_ERROR);
        assert_eq!(dma(&mut device, &mut mem, DMA_WRITE, 1, 0), DMA_ERROR);
        let address: Vec<u8> = (0..8).map(|byte| device.read_dma_address(byte)).collect();
        assert_eq!(address, DMA_SIGNATURE);
    }

    proptest! {
        #[test]
        fn any_structure_is_survived(control: u32, len: u32, address: u64, at in 0u32..0x5000) {
            let mut device = FwCfg::new(1 << 20);
            let mut mem = PhysMem::new(Ram::zeroed(0x4000));
            let structure = [&control.to_be_bytes()[..], &len.to_be_bytes(), &address.to_be_bytes()].concat();
            mem.write_bytes(u64::from(at), &structure);
            device.write_dma_address(&mut mem, true, at.swap_bytes());
            device.read_data();
        }
    }
}
