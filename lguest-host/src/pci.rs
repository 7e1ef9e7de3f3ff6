//! The Guest's PCI bus (8.3, 8.4): bus 0, a device in each slot from 1 on, behind ports 0xCF8 and 0xCFC.
//!
//! Configuration space is a row of words made when it is read, but for what software may change. Slot 0 is a host bridge that
//! only tells Linux that there is a bus.

use crate::abi::PAGE;
use crate::console::Size;
use crate::death::Outcome;
use crate::device::{DEVICES, Equipment};
use crate::guest::Platform;
use crate::mutant::{broken, unchecked};
use crate::net::PCI_HEADER;
use crate::ram::GuestRam;
use crate::virtio_pci::{DEVICE, VirtioPci, mask};

/// Where the devices' registers begin, behind the end of RAM.
const WINDOW_BEYOND_RAM: u32 = 1 << 20;
/// Words of configuration space.
const WORDS: usize = 0x98 / 4;
const ENABLE: u32 = 1 << 31;
/// Size of BAR 0.
const BAR_SIZE: u32 = PAGE;

/// Registers software may change: BAR 0 to 5 and ROM, and the window's place, offset, length and data.
const BARS: core::ops::RangeInclusive<usize> = 4..=9;
const ROM: usize = 12;
const WINDOW: core::ops::RangeInclusive<usize> = 0x88 / 4..=0x90 / 4;
const WINDOW_DATA: usize = 0x94 / 4;

/// A device in a slot.
#[derive(Clone, Copy, Debug)]
struct Function {
    device: VirtioPci,
    irq: u32,
    bars: [u32; 6],
    rom: u32,
    /// Place, offset, length.
    window: [u32; 3],
}

impl Function {
    /// The virtio capabilities: word of configuration space, and its value.
    fn capability(&self, word: usize) -> u32 {
        let config = self.device.kind.identity().pci.config;
        // Only devices with a configuration tell where it is, last in the list.
        let last = if config == 0 { 0 } else { 0x7400 };
        match word * 4 {
            // Header: id 9, next, length, type.
            0x40 => 0x0110_5009,
            0x4C => 0x38,
            0x50 => 0x0214_6409,
            0x58 => 0x38,
            0x5C => 2,
            0x64 => 0x0310_8409,
            0x6C => 0x3A,
            0x70 => 1,
            0x74 => 0x0410_0009,
            0x7C => DEVICE,
            0x80 => config,
            0x84 => 0x0514_0009 | last,
            _ => 0,
        }
    }

    fn word(&mut self, word: usize) -> u32 {
        let identity = self.device.kind.identity();
        match word {
            0 => (0x1040 + identity.id as u32) << 16 | 0x1AF4,
            // Status: there are capabilities.
            1 => 0x0010_0000,
            2 => (identity.class as u32) << 16 | 1,
            11 => 0x0040_0000,
            13 => 0x40,
            15 => self.irq,
            ROM => self.rom,
            n if BARS.contains(&n) => self.bars[n - 4],
            n if WINDOW.contains(&n) => self.window[n - WINDOW.start()],
            WINDOW_DATA => match self.window_access() {
                Some((offset, bytes)) => self.device.read(offset, bytes),
                None => 0,
            },
            n => self.capability(n),
        }
    }

    fn set_word(&mut self, word: usize, value: u32) {
        match word {
            // Its size is what Linux finds by writing ones.
            4 => self.bars[0] = value & !(BAR_SIZE - 1),
            n if BARS.contains(&n) => self.bars[n - 4] = 0,
            ROM => self.rom = 0,
            n if WINDOW.contains(&n) => self.window[n - WINDOW.start()] = value,
            WINDOW_DATA => {
                if let Some((offset, bytes)) = self.window_access() {
                    self.device.write(offset, value, bytes);
                }
            }
            _ => {}
        }
    }

    /// Offset and size of an access through the window, if they make sense.
    fn window_access(&self) -> Option<(u32, u32)> {
        let [bar, offset, bytes] = self.window;
        let sound = bar & 0xFF == 0 && matches!(bytes, 1 | 2 | 4) && offset % bytes == 0 && offset < BAR_SIZE;
        (sound || unchecked("WINDOW")).then_some((offset, bytes))
    }
}

/// The bus.
pub struct Pci {
    address: u32,
    slots: [Option<Function>; DEVICES],
    /// Something was written to a device, or its turn ended early: asked at every exit.
    busy: bool,
}

impl Pci {
    /// A bus for a Guest with `ram_size` bytes of RAM: a console, and this.
    pub fn new(ram_size: u32, equipment: Equipment<'_>) -> Pci {
        let mut pci = Pci { address: 0, slots: [None; DEVICES], busy: false };
        for ((n, slot), kind) in (0..).zip(&mut pci.slots).zip(equipment.kinds(PCI_HEADER)) {
            let bar = ram_size + WINDOW_BEYOND_RAM + n * BAR_SIZE;
            *slot = Some(Function {
                device: VirtioPci::new(kind),
                irq: n + 1,
                bars: [bar, 0, 0, 0, 0, 0],
                rom: 0,
                window: [0; 3],
            });
        }
        pci
    }

    /// The console's terminal has this size now.
    pub fn resize_console(&mut self, size: Size) {
        for function in self.slots.iter_mut().flatten() {
            function.device.resize(size);
        }
        self.busy = true;
    }

    fn function(&mut self, slot: usize) -> Option<&mut Function> {
        self.slots.get_mut(slot.checked_sub(1)?)?.as_mut()
    }

    /// What the address register selects: the slot and the word.
    fn selected(&self) -> Option<(usize, usize)> {
        let a = self.address;
        let (bus, slot, function) = (a >> 16 & 0xFF, (a >> 11 & 31) as usize, a >> 8 & 7);
        let word = (a >> 2 & 63) as usize;
        let here = bus == 0 && function == 0 || broken("pci-function-ignored");
        (a & ENABLE != 0 && here && word < WORDS).then_some((slot, word))
    }

    fn read_word(&mut self) -> u32 {
        match self.selected() {
            // A host bridge by its class and nothing else.
            Some((0, 2)) => 0x0600_0000,
            Some((0, _)) => 0,
            Some((slot, word)) => self.function(slot).map_or(u32::MAX, |f| f.word(word)),
            None => u32::MAX,
        }
    }

    /// Read `bytes` bytes at `port`, 0xCF8 to 0xCFF.
    pub fn port_in(&mut self, port: u16, bytes: u32) -> u32 {
        let word = if port & 4 == 0 { self.address } else { self.read_word() };
        let shift = if broken("pci-port-part-ignored") { 0 } else { 8 * (port & 3) as u32 };
        word >> shift & mask(bytes)
    }

    /// Write `bytes` bytes at `port`, 0xCF8 to 0xCFF.
    pub fn port_out(&mut self, port: u16, value: u32, bytes: u32) {
        let shift = 8 * (port & 3) as u32;
        let mask = mask(bytes) << shift;
        let merge = |old: u32| old & !mask | value << shift & mask;
        if port & 4 == 0 {
            self.address = merge(self.address);
            return;
        }
        if let Some((slot, word)) = self.selected()
            && let Some(function) = self.function(slot)
        {
            // Window data is as wide as the window says, and must not be read for a write.
            let old = if word == WINDOW_DATA { 0 } else { function.word(word) };
            function.set_word(word, merge(old));
            self.busy = true;
        }
    }

    /// The device whose registers are at guest-physical `address`, and the offset in them.
    fn at(&mut self, address: u32) -> Option<(&mut VirtioPci, u32)> {
        let function = self
            .slots
            .iter_mut()
            .flatten()
            .find(|f| f.bars[0] != 0 && f.bars[0] == address & !(BAR_SIZE - 1))?;
        Some((&mut function.device, address & (BAR_SIZE - 1)))
    }

    /// Whether a device's registers are at guest-physical `address`.
    pub fn claims(&self, address: u32) -> bool {
        self.slots.iter().flatten().any(|f| f.bars[0] != 0 && f.bars[0] == address & !(BAR_SIZE - 1))
    }

    /// Read a device's register.
    pub fn read(&mut self, address: u32, bytes: u32) -> u32 {
        self.at(address).map_or(u32::MAX, |(device, offset)| device.read(offset, bytes))
    }

    /// Write a device's register.
    pub fn write(&mut self, address: u32, value: u32, bytes: u32) {
        if let Some((device, offset)) = self.at(address) {
            device.write(offset, value, bytes);
            self.busy = true;
        }
    }

    /// Whether a driver wants something. Asked at every exit.
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Let every device do what there is to do. The virtual interrupts to raise, as bits.
    ///
    /// # Errors
    /// As [`VirtioPci::serve`].
    pub fn serve(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<u32> {
        self.busy = false;
        let mut irqs = 0;
        for function in self.slots.iter_mut().flatten() {
            irqs |= (function.device.serve(ram, platform)? as u32) << function.irq;
            self.busy |= function.device.is_waiting();
        }
        Ok(irqs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::Disk;

    fn select(pci: &mut Pci, slot: u32, register: u32) {
        pci.port_out(0xCF8, ENABLE | slot << 11 | register, 4);
    }

    #[test]
    fn linux_finds_the_bus_and_the_console() {
        let mut pci = Pci::new(64 << 20, Equipment::default());
        pci.port_out(0xCFB, 1, 1);
        pci.port_out(0xCF8, ENABLE, 4);
        assert_eq!(pci.port_in(0xCF8, 4), ENABLE);
        for (slot, register, value) in
            [(0, 0, 0), (0, 8, 0x0600_0000), (1, 0, 0x1043_1AF4), (1, 0x3C, 1), (2, 0, u32::MAX)]
        {
            select(&mut pci, slot, register);
            assert_eq!(pci.port_in(0xCFC, 4), value, "{slot} {register:#x}");
        }
        select(&mut pci, 1, 0);
        assert_eq!(pci.port_in(0xCFE, 2), 0x1043);
    }

    /// Every capability is a virtio one, the list ends, and devices with a configuration tell where that is.
    #[test]
    fn every_device_lists_its_registers() {
        let disks = [Disk { number: 0, sectors: 1, read_only: false }];
        let mut pci = Pci::new(64 << 20, Equipment { disks: &disks, mac: Some([2; 6]), entropy: true });
        for (slot, device, expected) in
            [(1, 3, 0b11_1110), (2, 2, 0b11_1110), (3, 1, 0b11_1110), (4, 4, 0b10_1110)]
        {
            select(&mut pci, slot, 0);
            assert_eq!(pci.port_in(0xCFE, 2), 0x1040 + device);
            let (mut at, mut kinds) = (0x40, 0);
            while at != 0 {
                select(&mut pci, slot, at);
                let header = pci.port_in(0xCFC, 4);
                let kind = header >> 24;
                assert!(header & 0xFF == 9 && kinds & 1 << kind == 0, "slot {slot}, {at:#x}");
                kinds |= 1 << kind;
                at = header >> 8 & 0xFF;
            }
            assert_eq!(kinds, expected, "slot {slot}");
        }
    }

    #[test]
    fn a_bar_is_sized_and_moved() {
        let mut pci = Pci::new(64 << 20, Equipment::default());
        select(&mut pci, 1, 0x10);
        let was = pci.port_in(0xCFC, 4);
        assert!(pci.claims(was) && was > 64 << 20);
        pci.port_out(0xCFC, u32::MAX, 4);
        assert_eq!(pci.port_in(0xCFC, 4), !(BAR_SIZE - 1));
        pci.port_out(0xCFC, 0x8000_0000, 4);
        assert!(pci.claims(0x8000_0014) && !pci.claims(was));
    }

    #[test]
    fn registers_through_the_window() {
        let mut pci = Pci::new(64 << 20, Equipment::default());
        for (register, value) in [(0x88, 0), (0x8C, 0x12), (0x90, 2)] {
            select(&mut pci, 1, register);
            pci.port_out(0xCFC, value, 4);
        }
        select(&mut pci, 1, 0x94);
        assert_eq!(pci.port_in(0xCFC, 4), 2, "the number of queues");
    }
}
