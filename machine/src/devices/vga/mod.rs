//! Display adapter: the IBM VGA's registers at 0x3B0 to 0x3DF, its memory at 0xA0000, and what it shows as text.
//!
//! IBM PS/2 Hardware Interface Technical Reference, "Video Subsystem": register names and bits. Registers are kept as
//! written; those that decide how the processor reaches the memory act in [`memory`], those that decide what is on
//! the screen in [`text`]. There is no picture, so timing is fixed: 720 by 400 pixels at 70 Hz, whatever the CRT
//! controller is told.
//!
//! Power-up and RESET leave text mode 3 (80 by 25, colour), which the data sheet leaves undefined and firmware sets up
//! anyway, so that kernels started without firmware find the screen they expect.

mod dac;
pub mod memory;
pub mod text;

use dac::Dac;
use serde::{Deserialize, Serialize};

/// Miscellaneous output register.
const MISC_COLOUR: u8 = 0x01;
const MISC_ENABLE_RAM: u8 = 0x02;

/// Indices into the register files.
mod sequencer {
    pub const MAP_MASK: usize = 2;
    pub const MEMORY_MODE: usize = 4;
}
mod graphics {
    pub const SET_RESET: usize = 0;
    pub const ENABLE_SET_RESET: usize = 1;
    pub const COLOUR_COMPARE: usize = 2;
    pub const ROTATE: usize = 3;
    pub const READ_MAP: usize = 4;
    pub const MODE: usize = 5;
    pub const MISCELLANEOUS: usize = 6;
    pub const COLOUR_DONT_CARE: usize = 7;
    pub const BIT_MASK: usize = 8;
}
mod crtc {
    pub const HORIZONTAL_DISPLAY_END: usize = 0x01;
    pub const OVERFLOW: usize = 0x07;
    pub const MAXIMUM_SCAN_LINE: usize = 0x09;
    pub const START_HIGH: usize = 0x0C;
    pub const START_LOW: usize = 0x0D;
    pub const RETRACE_END: usize = 0x11;
    pub const VERTICAL_DISPLAY_END: usize = 0x12;
    pub const OFFSET: usize = 0x13;
    /// In RETRACE_END: registers 0 to 7 are write-protected.
    pub const PROTECT: u8 = 0x80;
    /// In OVERFLOW: line compare bit 8, which PROTECT spares.
    pub const LINE_COMPARE_8: u8 = 0x10;
}

/// Attribute controller index register: the palette is connected to the screen, not to the bus.
const PALETTE_ADDRESS_SOURCE: u8 = 0x20;

/// What the registers of text mode 3 hold.
const MODE_3_SEQUENCER: [u8; 5] = [0x03, 0x00, 0x03, 0x00, 0x02];
const MODE_3_CRTC: [u8; 25] = [
    0x5F, 0x4F, 0x50, 0x82, 0x55, 0x81, 0xBF, 0x1F, 0x00, 0x4F, 0x0D, 0x0E, 0x00, 0x00, 0x00, 0x00, 0x9C,
    0x8E, 0x8F, 0x28, 0x1F, 0x96, 0xB9, 0xA3, 0xFF,
];
const MODE_3_GRAPHICS: [u8; 9] = [0x00, 0x00, 0x00, 0x00, 0x00, 0x10, 0x0E, 0x00, 0xFF];
const MODE_3_ATTRIBUTE: [u8; 21] = [
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x14, 0x07, 0x38, 0x39, 0x3A, 0x3B, 0x3C, 0x3D, 0x3E, 0x3F, 0x0C,
    0x00, 0x0F, 0x08, 0x00,
];

/// Ticks of one scan line and of its visible part; lines of a frame, visible ones, and those of vertical retrace.
const LINE_TICKS: u64 = 31_778;
const VISIBLE_TICKS: u64 = 25_422;
const LINES: u64 = 449;
const VISIBLE_LINES: u64 = 400;
const RETRACE_LINES: std::ops::Range<u64> = 412..414;

/// The adapter's registers. Its memory is in the machine's backing store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Vga {
    misc: u8,
    feature: u8,
    enabled: u8,
    sequencer_index: u8,
    sequencer: [u8; 5],
    crtc_index: u8,
    crtc: [u8; 25],
    graphics_index: u8,
    graphics: [u8; 9],
    attribute_index: u8,
    attribute: [u8; 21],
    /// The next write to 0x3C0 is data.
    attribute_data_next: bool,
    dac: Dac,
    /// One byte of each plane, from the last read through the registers.
    latches: [u8; 4],
}

impl Default for Vga {
    fn default() -> Self {
        Vga {
            misc: 0x67,
            feature: 0,
            enabled: 1,
            sequencer_index: 0,
            sequencer: MODE_3_SEQUENCER,
            crtc_index: 0,
            crtc: MODE_3_CRTC,
            graphics_index: 0,
            graphics: MODE_3_GRAPHICS,
            attribute_index: PALETTE_ADDRESS_SOURCE,
            attribute: MODE_3_ATTRIBUTE,
            attribute_data_next: false,
            dac: Dac::default(),
            latches: [0; 4],
        }
    }
}

/// Register `index` of a register file; zero if there is none.
fn register(file: &[u8], index: u8) -> u8 {
    file.get(usize::from(index)).copied().unwrap_or(0)
}

fn set_register(file: &mut [u8], index: u8, value: u8) {
    if let Some(register) = file.get_mut(usize::from(index)) {
        *register = value;
    }
}

impl Vga {
    /// Bit 0: nothing is displayed at this moment. Bit 3: vertical retrace.
    fn input_status_1(now: u64) -> u8 {
        let line = now / LINE_TICKS % LINES;
        let blank = line >= VISIBLE_LINES || now % LINE_TICKS >= VISIBLE_TICKS;
        u8::from(blank) | u8::from(RETRACE_LINES.contains(&line)) << 3
    }

    /// The CRT controller's registers and input status 1 follow the colour bit of the miscellaneous output register.
    /// Gives the port as the colour adapter would have it, or `None` if it is the other one's.
    fn decode(&self, port: u16) -> Option<u16> {
        let colour = self.misc & MISC_COLOUR != 0;
        match port {
            0x3B0..=0x3BF => (!colour).then_some(port + 0x20),
            0x3D0..=0x3DF => colour.then_some(port),
            _ => Some(port),
        }
    }

    /// Read a port.
    pub fn read(&mut self, now: u64, port: u16) -> u8 {
        match self.decode(port) {
            Some(0x3C0) => self.attribute_index,
            Some(0x3C1) => register(&self.attribute, self.attribute_index & 0x1F),
            // Input status 0: a monitor is connected (switch sense), no interrupt.
            Some(0x3C2) => 0x10,
            Some(0x3C3) => self.enabled,
            Some(0x3C4) => self.sequencer_index,
            Some(0x3C5) => register(&self.sequencer, self.sequencer_index),
            Some(port @ 0x3C6..=0x3C9) => self.dac.read(port),
            Some(0x3CA) => self.feature,
            Some(0x3CC) => self.misc,
            Some(0x3CE) => self.graphics_index,
            Some(0x3CF) => register(&self.graphics, self.graphics_index),
            Some(0x3D4) => self.crtc_index,
            Some(0x3D5) => register(&self.crtc, self.crtc_index),
            Some(0x3DA) => {
                self.attribute_data_next = false;
                Vga::input_status_1(now)
            }
            _ => 0xFF,
        }
    }

    /// Write a port.
    pub fn write(&mut self, port: u16, value: u8) {
        match self.decode(port) {
            Some(0x3C0) if self.attribute_data_next => {
                self.attribute_data_next = false;
                let index = self.attribute_index & 0x1F;
                // While the screen has the palette, the bus cannot reach it.
                if index >= 0x10 || self.attribute_index & PALETTE_ADDRESS_SOURCE == 0 {
                    set_register(&mut self.attribute, index, value & 0x3F);
                }
            }
            Some(0x3C0) => {
                self.attribute_data_next = true;
                self.attribute_index = value & 0x3F;
            }
            Some(0x3C2) => self.misc = value,
            Some(0x3C3) => self.enabled = value & 1,
            Some(0x3C4) => self.sequencer_index = value & 0x07,
            Some(0x3C5) => set_register(&mut self.sequencer, self.sequencer_index, value),
            Some(port @ 0x3C6..=0x3C9) => self.dac.write(port, value),
            Some(0x3CE) => self.graphics_index = value & 0x0F,
            Some(0x3CF) => set_register(&mut self.graphics, self.graphics_index, value),
            Some(0x3D4) => self.crtc_index = value & 0x3F,
            Some(0x3D5) => self.write_crtc(value),
            Some(0x3DA) => self.feature = value & 0x03,
            _ => {}
        }
    }

    fn write_crtc(&mut self, value: u8) {
        let protected = self.crtc[crtc::RETRACE_END] & crtc::PROTECT != 0;
        match usize::from(self.crtc_index) {
            crtc::OVERFLOW if protected => {
                let kept = self.crtc[crtc::OVERFLOW] & !crtc::LINE_COMPARE_8;
                self.crtc[crtc::OVERFLOW] = kept | value & crtc::LINE_COMPARE_8;
            }
            0..=7 if protected => {}
            _ => set_register(&mut self.crtc, self.crtc_index, value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn indexed(vga: &mut Vga, port: u16, index: u8, value: u8) -> u8 {
        vga.write(port, index);
        vga.write(port + 1, value);
        vga.read(0, port + 1)
    }

    #[test]
    fn registers_keep_what_is_written() {
        let mut vga = Vga::default();
        for (port, last) in [(0x3C4, 4), (0x3CE, 8)] {
            for index in 0..=last {
                assert_eq!(indexed(&mut vga, port, index, 0x5A ^ index), 0x5A ^ index);
                assert_eq!(vga.read(0, port), index);
            }
        }
        assert_eq!(indexed(&mut vga, 0x3C4, 7, 0x12), 0, "no such register");
        vga.write(0x3C2, 0xE3);
        assert_eq!(vga.read(0, 0x3CC), 0xE3);
        vga.write(0x3DA, 0x02);
        assert_eq!(vga.read(0, 0x3CA), 0x02);
    }

    #[test]
    fn the_crt_controller_protects_its_timing() {
        let mut vga = Vga::default();
        assert_eq!(indexed(&mut vga, 0x3D4, 0x00, 0x12), 0x5F);
        assert_eq!(indexed(&mut vga, 0x3D4, 0x07, 0xEF), 0x0F, "only the line compare bit");
        assert_eq!(indexed(&mut vga, 0x3D4, 0x0C, 0x12), 0x12);
        assert_eq!(indexed(&mut vga, 0x3D4, 0x11, 0x0E), 0x0E);
        assert_eq!(indexed(&mut vga, 0x3D4, 0x00, 0x12), 0x12);
    }

    #[test]
    fn the_controller_is_where_the_colour_bit_says() {
        let mut vga = Vga::default();
        assert_eq!((vga.read(0, 0x3B5), vga.read(0, 0x3D5)), (0xFF, 0x5F));
        vga.write(0x3C2, 0x66);
        assert_eq!((vga.read(0, 0x3B5), vga.read(0, 0x3D5)), (0x5F, 0xFF));
    }

    #[test]
    fn attribute_index_and_data_take_turns() {
        let mut vga = Vga::default();
        vga.read(0, 0x3DA);
        for value in [0x01, 0x2A, 0x21, 0x15, 0x30, 0x0D] {
            vga.write(0x3C0, value);
        }
        // The second write to the palette came while the screen had it.
        assert_eq!((vga.attribute[0x01], vga.attribute[0x10]), (0x2A, 0x0D));
        vga.write(0x3C0, 0x05);
        vga.read(0, 0x3DA);
        vga.write(0x3C0, 0x02);
        assert_eq!(vga.read(0, 0x3C1), 0x02, "status 1 starts with the index again");
    }

    #[test]
    fn retrace_comes_and_goes() {
        for (line, within, status) in
            [(0, 0, 0), (0, VISIBLE_TICKS, 1), (400, 0, 1), (412, 0, 9), (414, 0, 1)]
        {
            assert_eq!(Vga::input_status_1((LINES + line) * LINE_TICKS + within), status);
        }
    }

    /// A processor that writes text, loads a character of the font, and writes text again.
    #[test]
    fn the_text_window_is_plain_memory_while_the_mode_makes_it_so() {
        use crate::machine::{Config, Machine};
        use cpu::bus::{Bus, Width};
        use cpu::mem::PageKind;
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        let set = |machine: &mut Machine, registers: &[(u16, u32)]| {
            for &(port, value) in registers {
                machine.with_chipset(|chipset, cx| chipset.port_write(cx, port, Width::Word, value));
            }
        };
        machine.cpu.store_linear(0xB_8000, 0x0741u16).unwrap();
        assert!(matches!(machine.cpu.mem.page_kind(0xB_8000), PageKind::Ram(_)));
        set(
            &mut machine,
            &[(0x3C4, 0x0402), (0x3C4, 0x0704), (0x3CE, 0x0005), (0x3CE, 0x0406), (0x3CE, 0x0204)],
        );
        assert_eq!(machine.cpu.mem.page_kind(0xB_8000), PageKind::Bus);
        machine.cpu.store_linear(0xA_0820, 0x7E7E_7E7Eu32).unwrap();
        assert_eq!(machine.cpu.load_linear::<u32>(0xA_0820), Ok(0x7E7E_7E7E));
        assert_eq!(machine.cpu.load_linear::<u16>(0xB_8000), Ok(0xFFFF), "not in this window");
        set(
            &mut machine,
            &[(0x3C4, 0x0302), (0x3C4, 0x0304), (0x3CE, 0x1005), (0x3CE, 0x0E06), (0x3CE, 0x0004)],
        );
        machine.cpu.store_linear(0xB_8002, 0x0742u16).unwrap();
        assert_eq!(machine.cpu.load_linear::<u32>(0xB_8000), Ok(0x0742_0741));
        assert_eq!(machine.text_screen().unwrap().codes[..3], *b"AB\0");
    }
}
