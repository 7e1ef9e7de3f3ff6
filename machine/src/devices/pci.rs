//! PCI bus 0 behind configuration mechanism #1 (ports 0xCF8 and 0xCFC, PCI local bus specification section 3.2.2.3).
//!
//! A function is its 256 bytes of configuration space with a mask of what software may change. What the registers
//! *do* is up to the part, which looks into its own space when it is asked to act.

use cpu::bus::Width;
use serde::{Deserialize, Serialize};

/// Enable bit of the address register.
const ENABLE: u32 = 0x8000_0000;

/// Configuration space of one function.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConfigSpace {
    bytes: Vec<u8>,
    writable: Vec<u8>,
}

impl ConfigSpace {
    /// A function that identifies itself and has no writable register but the interrupt line.
    pub fn new(vendor: u16, device: u16, class: u32, revision: u8) -> ConfigSpace {
        let mut space = ConfigSpace { bytes: vec![0; 256], writable: vec![0; 256] };
        space.set(0x00, &vendor.to_le_bytes());
        space.set(0x02, &device.to_le_bytes());
        space.set(0x08, &(class << 8 | u32::from(revision)).to_le_bytes());
        space.allow(0x3C, &[0xFF]);
        space
    }

    /// Set registers from `offset` on, whether software may change them or not.
    pub fn set(&mut self, offset: usize, bytes: &[u8]) {
        copy_within_bounds(&mut self.bytes, offset, bytes);
    }

    /// Let software change the bits set in `mask`, from `offset` on.
    pub fn allow(&mut self, offset: usize, mask: &[u8]) {
        copy_within_bounds(&mut self.writable, offset, mask);
    }

    /// Read a register; all ones beyond the end.
    pub fn read(&self, offset: usize, width: Width) -> u32 {
        (0..width.bytes() as usize)
            .map(|n| u32::from(self.bytes.get(offset + n).copied().unwrap_or(0xFF)) << (8 * n))
            .fold(0, |value, byte| value | byte)
    }

    fn write(&mut self, offset: usize, width: Width, value: u32) {
        let bytes = value.to_le_bytes();
        for (n, byte) in bytes.iter().enumerate().take(width.bytes() as usize) {
            if let (Some(old), Some(mask)) = (self.bytes.get_mut(offset + n), self.writable.get(offset + n)) {
                *old = *old & !mask | byte & mask;
            }
        }
    }
}

fn copy_within_bounds(to: &mut [u8], offset: usize, from: &[u8]) {
    to.iter_mut().skip(offset).zip(from).for_each(|(to, from)| *to = *from);
}

/// Place of a function on bus 0.
pub const fn devfn(device: u8, function: u8) -> u8 {
    device << 3 | function & 7
}

/// Bus 0 and the two configuration ports.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PciBus {
    address: u32,
    /// Sorted by place.
    functions: Vec<(u8, ConfigSpace)>,
}

impl PciBus {
    /// Put a function on the bus, in place of the one that was there.
    pub fn plug(&mut self, place: u8, space: ConfigSpace) {
        match self.functions.binary_search_by_key(&place, |f| f.0) {
            Ok(n) => self.functions[n].1 = space,
            Err(n) => self.functions.insert(n, (place, space)),
        }
    }

    /// The function at `place`.
    pub fn function(&self, place: u8) -> Option<&ConfigSpace> {
        self.functions.iter().find(|f| f.0 == place).map(|f| &f.1)
    }

    /// The function at `place`, if it is the one that the address register selects.
    pub fn addressed(&mut self, place: u8) -> Option<&mut ConfigSpace> {
        let (selected, _) = self.selected(0)?;
        self.functions.iter_mut().find(|f| f.0 == place && place == selected).map(|f| &mut f.1)
    }

    /// The address register, 0xCF8.
    pub fn read_address(&self) -> u32 {
        self.address
    }

    /// The address register, 0xCF8.
    pub fn write_address(&mut self, value: u32) {
        self.address = value & 0x80FF_FFFC;
    }

    /// Place on the bus and register that the data port stands for, if the bus number is ours.
    fn selected(&self, byte: u16) -> Option<(u8, usize)> {
        let ours = self.address & ENABLE != 0 && self.address >> 16 & 0xFF == 0;
        ours.then_some(((self.address >> 8) as u8, (self.address & 0xFC) as usize + usize::from(byte & 3)))
    }

    /// The data register: port 0xCFC + `byte`.
    pub fn read_data(&self, byte: u16, width: Width) -> u32 {
        self.selected(byte)
            .and_then(|(place, offset)| Some(self.function(place)?.read(offset, width)))
            .unwrap_or(width.ones())
    }

    /// The data register: port 0xCFC + `byte`.
    pub fn write_data(&mut self, byte: u16, width: Width, value: u32) {
        let Some((place, offset)) = self.selected(byte) else { return };
        if let Some((_, space)) = self.functions.iter_mut().find(|f| f.0 == place) {
            space.write(offset, width, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn absent_functions_read_as_ones() {
        let mut bus = PciBus::default();
        bus.plug(devfn(1, 3), ConfigSpace::new(0x8086, 0x7113, 0x06_8000, 3));
        bus.write_address(0x8000_0B00);
        assert_eq!(bus.read_data(0, Width::Dword), 0x7113_8086);
        assert_eq!(bus.read_data(2, Width::Word), 0x7113);
        for address in [0x0000_0B00, 0x8000_0A00, 0x8001_0B00] {
            bus.write_address(address);
            assert_eq!(bus.read_data(0, Width::Dword), 0xFFFF_FFFF);
        }
    }

    #[test]
    fn only_allowed_bits_change() {
        let mut bus = PciBus::default();
        let mut space = ConfigSpace::new(1, 2, 3, 4);
        space.allow(0x40, &[0xC0, 0xFF]);
        bus.plug(0, space);
        bus.write_address(0x8000_0040);
        bus.write_data(0, Width::Dword, 0xFFFF_FFFF);
        assert_eq!(bus.read_data(0, Width::Dword), 0xFFC0);
        bus.write_address(0x8000_00FC);
        bus.write_data(3, Width::Dword, 0);
        assert_eq!(bus.read_data(3, Width::Dword), 0xFFFF_FF00, "beyond the end of the space");
    }
}
