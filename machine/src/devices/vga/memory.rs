//! How the processor reaches video memory: windows, planes, latches and write modes of the graphics controller.
//!
//! The memory is four planes of 64 KiB. In the backing store they lie so that a text screen is what the processor
//! sees of it: even bytes of plane 0 next to plane 1's, planes 2 and 3 behind. While the registers make an access
//! to the text window nothing but an access to those bytes, the window is mapped as plain memory and this module is
//! not asked; latches are not loaded then.

use super::{MISC_ENABLE_RAM, Vga, graphics, sequencer};
use crate::memory_map::{TEXT, VIDEO, video_backing};
use cpu::mem::PhysMem;
use std::ops::Range;

/// Memory mode register of the sequencer.
const NOT_ODD_EVEN: u8 = 0x04;
const CHAIN_4: u8 = 0x08;

/// Mode register of the graphics controller.
const READ_COMPARE: u8 = 0x08;
const HOST_ODD_EVEN: u8 = 0x10;

/// Miscellaneous register of the graphics controller.
const GRAPHICS_MODE: u8 = 0x01;
const CHAIN_ODD_EVEN: u8 = 0x02;

/// Place of a byte in video memory.
fn place(plane: u8, offset: u32) -> u32 {
    let (plane, offset) = (u32::from(plane & 3), offset & 0xFFFF);
    (plane >> 1) << 17 | (offset & 1) << 16 | offset & !1 | plane & 1
}

/// The byte of `plane` at `offset`.
pub fn byte(mem: &PhysMem, plane: u8, offset: u32) -> u8 {
    mem.read_at(video_backing(mem.ram_size()) + place(plane, offset))
}

/// Video memory, lent.
pub struct Planes<'a> {
    mem: &'a mut PhysMem,
}

impl<'a> Planes<'a> {
    /// The video memory in `mem`.
    pub fn new(mem: &'a mut PhysMem) -> Planes<'a> {
        Planes { mem }
    }

    fn get(&self, plane: u8, offset: u32) -> u8 {
        byte(self.mem, plane, offset)
    }

    fn set(&mut self, plane: u8, offset: u32, value: u8) {
        self.mem.write_ram(video_backing(self.mem.ram_size()) + place(plane, offset), value);
    }
}

/// Each bit of `bits` as a byte of ones or zeros.
fn spread(bits: u8, plane: usize) -> u8 {
    if bits >> plane & 1 != 0 { 0xFF } else { 0 }
}

impl Vga {
    /// Physical addresses at which the memory is shown.
    fn window(&self) -> Range<u64> {
        match self.graphics[graphics::MISCELLANEOUS] >> 2 & 3 {
            0 => VIDEO,
            1 => 0xA_0000..0xB_0000,
            2 => 0xB_0000..0xB_8000,
            _ => TEXT,
        }
    }

    /// Address of `addr` in the window, if memory answers there.
    fn window_offset(&self, addr: u64) -> Option<u32> {
        let window = self.window();
        let shown = self.misc & MISC_ENABLE_RAM != 0 && window.contains(&addr);
        shown.then(|| (addr - window.start) as u32)
    }

    /// Whether the text window is at this time no more than plain memory, so that it may be mapped as such.
    pub fn is_plain_text(&self) -> bool {
        self.misc & MISC_ENABLE_RAM != 0
            && self.window() == TEXT
            && self.graphics[graphics::MISCELLANEOUS] & CHAIN_ODD_EVEN != 0
            && self.sequencer[sequencer::MEMORY_MODE] & (CHAIN_4 | NOT_ODD_EVEN) == 0
            && self.sequencer[sequencer::MAP_MASK] & 0x0F == 0x03
            && self.graphics[graphics::MODE] & (READ_COMPARE | HOST_ODD_EVEN | 3) == HOST_ODD_EVEN
            && self.graphics[graphics::ENABLE_SET_RESET] & 0x0F == 0
            && self.graphics[graphics::ROTATE] == 0
            && self.graphics[graphics::READ_MAP] & 2 == 0
            && self.graphics[graphics::BIT_MASK] == 0xFF
    }

    /// Whether pixels are shown, not characters.
    pub fn is_graphics(&self) -> bool {
        self.graphics[graphics::MISCELLANEOUS] & GRAPHICS_MODE != 0
    }

    fn is_chain_4(&self) -> bool {
        self.sequencer[sequencer::MEMORY_MODE] & CHAIN_4 != 0
    }

    /// Offset in the planes: the low address bits that choose a plane are no part of it.
    fn plane_offset(&self, at: u32) -> u32 {
        if self.is_chain_4() {
            at & !3
        } else if self.graphics[graphics::MISCELLANEOUS] & CHAIN_ODD_EVEN != 0 {
            at & !1
        } else {
            at
        }
    }

    /// Read a byte at a physical address.
    pub fn read_memory(&mut self, planes: &Planes<'_>, addr: u64) -> u8 {
        let Some(at) = self.window_offset(addr) else { return 0xFF };
        let offset = self.plane_offset(at);
        self.latches = [0, 1, 2, 3].map(|plane| planes.get(plane, offset));
        let mode = self.graphics[graphics::MODE];
        if self.is_chain_4() {
            return self.latches[at as usize & 3];
        }
        if mode & READ_COMPARE != 0 {
            return self.compare_colour();
        }
        let map = self.graphics[graphics::READ_MAP] & 3;
        let plane = if mode & HOST_ODD_EVEN != 0 { map & 2 | at as u8 & 1 } else { map };
        self.latches[usize::from(plane)]
    }

    /// Read mode 1: a one for each pixel whose colour matches in all planes that count.
    fn compare_colour(&self) -> u8 {
        let wanted = self.graphics[graphics::COLOUR_COMPARE];
        let counts = self.graphics[graphics::COLOUR_DONT_CARE];
        let differing = self.latches.iter().enumerate().fold(0, |differing, (plane, latch)| {
            differing | (latch ^ spread(wanted, plane)) & spread(counts, plane)
        });
        !differing
    }

    /// Write a byte at a physical address.
    pub fn write_memory(&mut self, planes: &mut Planes<'_>, addr: u64, value: u8) {
        let Some(at) = self.window_offset(addr) else { return };
        let offset = self.plane_offset(at);
        let by_address = if self.is_chain_4() {
            1 << (at & 3)
        } else if self.sequencer[sequencer::MEMORY_MODE] & NOT_ODD_EVEN == 0 {
            0b0101 << (at & 1)
        } else {
            0b1111
        };
        let enabled = self.sequencer[sequencer::MAP_MASK] & by_address;
        for plane in (0..4).filter(|plane| enabled >> plane & 1 != 0) {
            planes.set(plane, offset, self.byte_for(usize::from(plane), value));
        }
    }

    /// What a write of `value` stores in `plane`.
    fn byte_for(&self, plane: usize, value: u8) -> u8 {
        let latch = self.latches[plane];
        let rotate = self.graphics[graphics::ROTATE];
        let rotated = value.rotate_right(u32::from(rotate & 7));
        let set_reset = spread(self.graphics[graphics::SET_RESET], plane);
        let bit_mask = self.graphics[graphics::BIT_MASK];
        let (data, mask) = match self.graphics[graphics::MODE] & 3 {
            0 if self.graphics[graphics::ENABLE_SET_RESET] >> plane & 1 != 0 => (set_reset, bit_mask),
            0 => (rotated, bit_mask),
            1 => return latch,
            2 => (spread(value, plane), bit_mask),
            _ => (set_reset, bit_mask & rotated),
        };
        let combined = match rotate >> 3 & 3 {
            0 => data,
            1 => data & latch,
            2 => data | latch,
            _ => data ^ latch,
        };
        combined & mask | latch & !mask
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_map::store_size;
    use cpu::mem::Ram;
    use proptest::prelude::*;

    const RAM: u64 = 1 << 20;

    /// Port of the index, index, value.
    type Setting = (u16, u8, u8);

    struct Rig {
        vga: Vga,
        mem: PhysMem,
    }

    impl Rig {
        fn new() -> Rig {
            let store = Ram::zeroed(store_size(RAM) as usize);
            Rig { vga: Vga::default(), mem: PhysMem::with_backing(store, RAM) }
        }

        fn set(&mut self, registers: &[Setting]) {
            for &(port, index, value) in registers {
                self.vga.write(port, index);
                self.vga.write(port + 1, value);
            }
        }

        fn read(&mut self, addr: u64) -> u8 {
            self.vga.read_memory(&Planes::new(&mut self.mem), addr)
        }

        fn write(&mut self, addr: u64, value: u8) {
            self.vga.write_memory(&mut Planes::new(&mut self.mem), addr, value);
        }

        fn planes(&mut self, offset: u32) -> [u8; 4] {
            let planes = Planes::new(&mut self.mem);
            [0, 1, 2, 3].map(|plane| planes.get(plane, offset))
        }

        fn store(&mut self, offset: u32, bytes: [u8; 4]) {
            let mut planes = Planes::new(&mut self.mem);
            (0..4).zip(bytes).for_each(|(plane, byte)| planes.set(plane, offset, byte));
        }
    }

    /// Sixteen colours in four planes at 0xA0000.
    const PLANAR: [Setting; 4] = [(0x3C4, 2, 0x0F), (0x3C4, 4, 0x06), (0x3CE, 5, 0x00), (0x3CE, 6, 0x05)];

    proptest! {
        /// In text mode the registers and a plain mapping give the same.
        #[test]
        fn plain_text_is_the_backing_store(at in 0u32..0x8000, value: u8) {
            let mut rig = Rig::new();
            prop_assert!(rig.vga.is_plain_text());
            rig.write(TEXT.start + u64::from(at), value);
            prop_assert_eq!(rig.mem.read_at::<u8>(video_backing(RAM) + at), value);
            prop_assert_eq!(rig.read(TEXT.start + u64::from(at)), value);
        }
    }

    #[test]
    fn places_are_all_different() {
        let mut seen = vec![false; 0x4_0000];
        for (plane, offset) in (0..4).flat_map(|plane| (0..0x1_0000).map(move |offset| (plane, offset))) {
            assert!(!std::mem::replace(&mut seen[place(plane, offset) as usize], true));
        }
    }

    #[test]
    fn a_font_goes_to_plane_2_and_leaves_the_text() {
        let mut rig = Rig::new();
        rig.write(TEXT.start, b'A');
        rig.set(&[(0x3C4, 2, 0x04), (0x3C4, 4, 0x06), (0x3CE, 4, 0x02), (0x3CE, 5, 0x00), (0x3CE, 6, 0x04)]);
        assert!(!rig.vga.is_plain_text());
        rig.write(0xA_0001, 0x7E);
        assert_eq!(rig.read(0xA_0001), 0x7E);
        assert_eq!(rig.planes(1), [0, 0, 0x7E, 0]);
        assert_eq!(rig.planes(0), [b'A', 0, 0, 0]);
    }

    #[test]
    fn write_modes() {
        // (registers beside PLANAR, value written, planes afterwards); the latches hold 0F F0 AA 00
        let cases: [(&[Setting], u8, [u8; 4]); 8] = [
            (&[], 0x3C, [0x3C; 4]),
            (&[(0x3C4, 2, 0x05)], 0x3C, [0x3C, 0xF0, 0x3C, 0x00]),
            (&[(0x3CE, 0, 0x01), (0x3CE, 1, 0x03)], 0x3C, [0xFF, 0x00, 0x3C, 0x3C]),
            (&[(0x3CE, 3, 0x02)], 0x01, [0x40; 4]),
            (&[(0x3CE, 3, 0x18), (0x3CE, 8, 0xF0)], 0xFF, [0xFF, 0x00, 0x5A, 0xF0]),
            (&[(0x3CE, 5, 0x01)], 0x3C, [0x0F, 0xF0, 0xAA, 0x00]),
            (&[(0x3CE, 5, 0x02), (0x3CE, 8, 0x0F)], 0x05, [0x0F, 0xF0, 0xAF, 0x00]),
            (&[(0x3CE, 5, 0x03), (0x3CE, 0, 0x0A)], 0x0F, [0x00, 0xFF, 0xA0, 0x0F]),
        ];
        for (registers, value, planes) in cases {
            let mut rig = Rig::new();
            rig.set(&PLANAR);
            rig.set(registers);
            rig.store(7, [0x0F, 0xF0, 0xAA, 0x00]);
            rig.read(0xA_0007);
            rig.write(0xA_0007, value);
            assert_eq!(rig.planes(7), planes, "{registers:x?}");
        }
    }

    #[test]
    fn read_modes() {
        let mut rig = Rig::new();
        rig.set(&PLANAR);
        rig.store(3, [0b1100, 0b1010, 0, 0]);
        for (map, value) in [(0, 0b1100), (1, 0b1010), (2, 0)] {
            rig.set(&[(0x3CE, 4, map)]);
            assert_eq!(rig.read(0xA_0003), value);
        }
        rig.set(&[(0x3CE, 5, 0x08), (0x3CE, 2, 0x03), (0x3CE, 7, 0x03)]);
        assert_eq!(rig.read(0xA_0003), 0b1000);
        rig.set(&[(0x3CE, 7, 0x01)]);
        assert_eq!(rig.read(0xA_0003), 0b1100);
    }

    #[test]
    fn chain_4_takes_the_plane_from_the_address() {
        let mut rig = Rig::new();
        rig.set(&[(0x3C4, 2, 0x0F), (0x3C4, 4, 0x0E), (0x3CE, 5, 0x40), (0x3CE, 6, 0x05)]);
        for n in 0..4 {
            rig.write(0xA_0010 + n, 0x50 + n as u8);
        }
        assert_eq!(rig.planes(0x10), [0x50, 0x51, 0x52, 0x53]);
        assert_eq!(rig.read(0xA_0012), 0x52);
    }

    #[test]
    fn outside_the_window_there_is_nothing() {
        for (map, inside, outside) in
            [(0, 0xB_FFFF, 0xC_0000), (1, 0xA_FFFF, 0xB_0000), (2, 0xB_7FFF, 0xB_8000)]
        {
            let mut rig = Rig::new();
            rig.set(&[(0x3CE, 6, map << 2)]);
            rig.write(inside, 1);
            rig.write(outside, 1);
            assert_eq!((rig.read(inside), rig.read(outside)), (1, 0xFF));
            rig.vga.write(0x3C2, 0x65);
            assert_eq!(rig.read(inside), 0xFF, "memory is disabled");
        }
    }
}
