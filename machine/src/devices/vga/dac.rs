//! The video digital-to-analogue converter: 256 colours of three six-bit components, ports 0x3C6 to 0x3C9.
//!
//! The palette has no influence on text, but software reads back what it wrote.

use serde::{Deserialize, Serialize};

const PEL_MASK: u16 = 0x3C6;
const READ_INDEX: u16 = 0x3C7;
const WRITE_INDEX: u16 = 0x3C8;

/// The converter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Dac {
    mask: u8,
    /// Component to be read next, counted through all colours; and to be written.
    read_at: u16,
    write_at: u16,
    reading: bool,
    components: Vec<u8>,
}

const COMPONENTS: u16 = 256 * 3;

impl Default for Dac {
    /// The first 64 colours are the EGA's: two bits for each component, `rgbRGB`.
    fn default() -> Self {
        let component = |n: u16| {
            let (colour, shift) = (n / 3, 2 - n % 3);
            let level = (colour >> shift & 1) * 0x2A + (colour >> (shift + 3) & 1) * 0x15;
            if colour < 64 { level as u8 } else { 0 }
        };
        Dac {
            mask: 0xFF,
            read_at: 0,
            write_at: 0,
            reading: false,
            components: (0..COMPONENTS).map(component).collect(),
        }
    }
}

impl Dac {
    /// Read a port.
    pub fn read(&mut self, port: u16) -> u8 {
        match port {
            PEL_MASK => self.mask,
            // State: what the data port was last prepared for.
            READ_INDEX => {
                if self.reading {
                    0x03
                } else {
                    0x00
                }
            }
            WRITE_INDEX => (self.write_at / 3) as u8,
            _ => {
                let value = self.components.get(usize::from(self.read_at)).copied().unwrap_or(0);
                self.read_at = (self.read_at + 1) % COMPONENTS;
                value
            }
        }
    }

    /// Write a port.
    pub fn write(&mut self, port: u16, value: u8) {
        match port {
            PEL_MASK => self.mask = value,
            READ_INDEX => (self.read_at, self.reading) = (u16::from(value) * 3, true),
            WRITE_INDEX => (self.write_at, self.reading) = (u16::from(value) * 3, false),
            _ => {
                if let Some(component) = self.components.get_mut(usize::from(self.write_at)) {
                    *component = value & 0x3F;
                }
                self.write_at = (self.write_at + 1) % COMPONENTS;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn components_follow_each_other() {
        let mut dac = Dac::default();
        dac.write(WRITE_INDEX, 0xFF);
        for value in [1, 2, 0xFF, 4] {
            dac.write(0x3C9, value);
        }
        assert_eq!((dac.read(READ_INDEX), dac.read(WRITE_INDEX)), (0, 0));
        dac.write(READ_INDEX, 0xFF);
        let read: Vec<u8> = (0..4).map(|_| dac.read(0x3C9)).collect();
        assert_eq!((read, dac.read(READ_INDEX)), (vec![1, 2, 0x3F, 4], 3));
    }

    #[test]
    fn the_first_colours_are_the_egas() {
        let mut dac = Dac::default();
        dac.write(READ_INDEX, 0x14);
        assert_eq!([(); 3].map(|()| dac.read(0x3C9)), [0x2A, 0x15, 0x00], "brown");
    }
}
