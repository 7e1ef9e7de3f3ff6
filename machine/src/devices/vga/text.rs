//! What the screen shows in text modes: a grid of character codes.

use super::{Vga, crtc, memory};
use cpu::mem::PhysMem;

/// A screen of text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TextScreen {
    /// Characters in a row.
    pub columns: usize,
    /// Character codes, row by row.
    pub codes: Vec<u8>,
}

impl TextScreen {
    /// The rows, from the top.
    pub fn rows(&self) -> impl Iterator<Item = &[u8]> {
        self.codes.chunks(self.columns)
    }
}

/// Scan lines are shown twice.
const DOUBLE_SCAN: usize = 0x80;

impl Vga {
    /// The text on the screen, or `None` in a graphics mode.
    pub fn text(&self, mem: &PhysMem) -> Option<TextScreen> {
        if self.is_graphics() {
            return None;
        }
        let register = |index: usize| usize::from(self.crtc[index]);
        let columns = register(crtc::HORIZONTAL_DISPLAY_END) + 1;
        let overflow = register(crtc::OVERFLOW);
        let last_line =
            register(crtc::VERTICAL_DISPLAY_END) | (overflow & 0x02) << 7 | (overflow & 0x40) << 3;
        let scan = register(crtc::MAXIMUM_SCAN_LINE);
        let height = ((scan & 0x1F) + 1) << u32::from(scan & DOUBLE_SCAN != 0);
        let rows = (last_line + 1) / height;
        // Addresses count characters with their attributes.
        let start = register(crtc::START_HIGH) << 8 | register(crtc::START_LOW);
        let pitch = 2 * register(crtc::OFFSET);
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| start + row * pitch + column));
        Some(TextScreen { columns, codes: cells.map(|cell| memory::byte(mem, 0, 2 * cell as u32)).collect() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory_map::{store_size, video_backing};
    use cpu::mem::Ram;

    const RAM: u64 = 1 << 20;

    fn memory_with(texts: &[(u32, &[u8])]) -> PhysMem {
        let mut mem = PhysMem::with_backing(Ram::zeroed(store_size(RAM) as usize), RAM);
        for (cell, text) in texts {
            for (n, byte) in (0u32..).zip(*text) {
                mem.write_ram(video_backing(RAM) + 2 * (cell + n), *byte);
            }
        }
        mem
    }

    fn set(vga: &mut Vga, index: u8, value: u8) {
        vga.write(0x3D4, index);
        vga.write(0x3D5, value);
    }

    #[test]
    fn mode_3_is_80_by_25() {
        let screen = Vga::default().text(&memory_with(&[(0, b"top"), (24 * 80 + 79, b"x")])).unwrap();
        let rows: Vec<&[u8]> = screen.rows().collect();
        assert_eq!((rows.len(), screen.columns), (25, 80));
        assert_eq!((&rows[0][..4], rows[24][79]), (&b"top\0"[..], b'x'));
    }

    #[test]
    fn eight_line_characters_make_50_rows_and_the_start_address_scrolls() {
        let mut vga = Vga::default();
        set(&mut vga, 0x09, 0x47);
        set(&mut vga, 0x0C, 0x01);
        set(&mut vga, 0x0D, 0x90);
        let screen = vga.text(&memory_with(&[(0x190, b"first"), (0x190 + 49 * 80, b"last")])).unwrap();
        let rows: Vec<&[u8]> = screen.rows().collect();
        assert_eq!((rows.len(), &rows[0][..5], &rows[49][..4]), (50, &b"first"[..], &b"last"[..]));
        set(&mut vga, 0x0C, 0xFF);
        set(&mut vga, 0x0D, 0xFF);
        assert_eq!(vga.text(&memory_with(&[(0, b"!")])).unwrap().codes[1], b'!');
    }

    #[test]
    fn pixels_are_no_text() {
        let mut vga = Vga::default();
        vga.write(0x3CE, 6);
        vga.write(0x3CF, 0x05);
        assert_eq!(vga.text(&memory_with(&[])), None);
    }
}
