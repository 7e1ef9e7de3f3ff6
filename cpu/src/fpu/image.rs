//! The environment and the registers as FNSTENV, FNSAVE and FXSAVE write them (SDM vol. 1, 8.1.10, 10.5.1).

use super::extended::Class;
use super::state::Pointers;
use super::{Extended, Fpu};

/// The four layouts of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Layout {
    /// Fields of 32 bits.
    pub wide: bool,
    /// Selectors and offsets, as in protected mode; else linear addresses and the opcode.
    pub protected: bool,
}

impl Layout {
    /// Bytes of the environment.
    pub fn size(self) -> usize {
        if self.wide { 28 } else { 14 }
    }
}

/// Tag of a register in the full tag word.
mod tag {
    pub const VALID: u16 = 0;
    pub const ZERO: u16 = 1;
    pub const SPECIAL: u16 = 2;
    pub const EMPTY: u16 = 3;
}

impl Fpu {
    /// The tag word with two bits a register.
    pub fn tag_word(&self) -> u16 {
        (0..8).rev().fold(0, |word, n| {
            let tag = match self.regs[n].class() {
                _ if self.in_use >> n & 1 == 0 => tag::EMPTY,
                Class::Zero => tag::ZERO,
                Class::Finite(_) if !self.regs[n].is_denormal() => tag::VALID,
                _ => tag::SPECIAL,
            };
            word << 2 | tag
        })
    }

    fn set_tag_word(&mut self, word: u16) {
        self.in_use = (0..8).filter(|n| word >> (2 * n) & 3 != tag::EMPTY).fold(0, |bits, n| bits | 1 << n);
    }

    /// The environment as bytes, [`Layout::size`] of them.
    pub(super) fn environment(&self, layout: Layout) -> Vec<u8> {
        let Pointers { instruction, code_segment, opcode, data, data_segment } = self.pointers;
        let (code_linear, data_linear) = (linear(code_segment, instruction), linear(data_segment, data));
        let high = |address: u32| address >> 16 << 12;
        let (ip, cs, dp, ds) = match (layout.protected, layout.wide) {
            (true, _) => (
                instruction,
                code_segment as u32 | (opcode as u32) << 16,
                data,
                data_segment as u32 | 0xFFFF_0000,
            ),
            (false, true) => (
                code_linear & 0xFFFF | 0xFFFF_0000,
                high(code_linear) | opcode as u32,
                data_linear & 0xFFFF | 0xFFFF_0000,
                high(data_linear),
            ),
            (false, false) => {
                (code_linear, high(code_linear) | opcode as u32, data_linear, high(data_linear))
            }
        };
        let words = [self.control, self.status, self.tag_word()].map(|word| word as u32 | 0xFFFF_0000);
        let fields = words.into_iter().chain([ip, cs, dp, ds]);
        let field_size = layout.size() / 7;
        fields.flat_map(|field| field.to_le_bytes().into_iter().take(field_size)).collect()
    }

    /// Load the environment from [`Layout::size`] bytes.
    pub(super) fn set_environment(&mut self, layout: Layout, bytes: &[u8]) {
        let field_size = layout.size() / 7;
        let field = |n: usize| {
            let bytes = bytes.get(n * field_size..(n + 1) * field_size).unwrap_or_default();
            bytes.iter().rev().fold(0u32, |value, &byte| value << 8 | byte as u32)
        };
        self.status = field(1) as u16;
        self.set_tag_word(field(2) as u16);
        self.set_control(field(0) as u16);
        let (ip, cs, dp, ds) = (field(3), field(4), field(5), field(6));
        self.pointers = if layout.protected {
            let opcode = (cs >> 16) as u16 & 0x7FF;
            Pointers { instruction: ip, code_segment: cs as u16, opcode, data: dp, data_segment: ds as u16 }
        } else {
            let opcode = cs as u16 & 0x7FF;
            let (instruction, data) = (ip & 0xFFFF | cs >> 12 << 16, dp & 0xFFFF | ds >> 12 << 16);
            Pointers { instruction, code_segment: 0, opcode, data, data_segment: 0 }
        };
    }

    /// ST(0) to ST(7), ten bytes each.
    pub(super) fn registers(&self) -> Vec<u8> {
        (0..8).flat_map(|i| self.regs[self.st(i)].to_bytes()).collect()
    }

    /// Load ST(0) to ST(7), of TOP as it is now, from registers that lie `stride` bytes apart.
    pub(super) fn set_registers(&mut self, bytes: &[u8], stride: usize) {
        for (i, bytes) in bytes.chunks(stride).take(8).enumerate() {
            let n = self.st(i);
            self.regs[n] = from_bytes(bytes);
        }
    }

    /// The x87 part of the FXSAVE image: 160 bytes, in which MXCSR is left zero.
    pub(super) fn fxsave(&self) -> [u8; 160] {
        let mut image = [0; 160];
        let Pointers { instruction, code_segment, opcode, data, data_segment } = self.pointers;
        let words = [self.control, self.status, self.in_use as u16, opcode];
        let fields = words.iter().flat_map(|word| word.to_le_bytes());
        let pointers = [instruction, code_segment as u32, data, data_segment as u32];
        let pointers = pointers.iter().flat_map(|field| field.to_le_bytes());
        for (slot, byte) in image.iter_mut().zip(fields.chain(pointers)) {
            *slot = byte;
        }
        for (i, slot) in image[32..].chunks_exact_mut(16).enumerate() {
            slot[..10].copy_from_slice(&self.regs[self.st(i)].to_bytes());
        }
        image
    }

    /// Load the x87 part of the FXSAVE image.
    pub(super) fn set_fxsave(&mut self, image: &[u8; 160]) {
        let word = |at: usize| u16::from_le_bytes([image[at], image[at + 1]]);
        let dword = |at: usize| word(at) as u32 | (word(at + 2) as u32) << 16;
        self.status = word(2);
        self.in_use = image[4];
        self.set_control(word(0));
        self.pointers = Pointers {
            opcode: word(6) & 0x7FF,
            instruction: dword(8),
            code_segment: word(12),
            data: dword(16),
            data_segment: word(20),
        };
        self.set_registers(&image[32..], 16);
    }
}

fn linear(segment: u16, offset: u32) -> u32 {
    ((segment as u32) << 4).wrapping_add(offset)
}

fn from_bytes(bytes: &[u8]) -> Extended {
    let value = bytes.iter().take(10).rev().fold(0u128, |value, &byte| value << 8 | byte as u128);
    Extended { significand: value as u64, sign_exponent: (value >> 64) as u16 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample() -> Fpu {
        let mut fpu = Fpu::default();
        fpu.initialize();
        for n in -1..4 {
            fpu.push_with(|_| Extended::from_integer(n));
        }
        fpu.pointers = Pointers {
            instruction: 0x1234,
            code_segment: 0x23,
            opcode: 0x1C9,
            data: 0x5678,
            data_segment: 0x2B,
        };
        fpu
    }

    #[test]
    fn tags_follow_from_contents() {
        let mut fpu = sample();
        fpu.push_with(|_| Extended::infinity(true));
        // R7 to R2: -1, 0, 1, 2, 3, infinity; R1 and R0 are empty.
        assert_eq!(fpu.tag_word(), 0b00_01_00_00_00_10_11_11);
    }

    #[test]
    fn environments_are_restored() {
        for wide in [false, true] {
            let layout = Layout { wide, protected: true };
            let fpu = sample();
            let image = fpu.environment(layout);
            assert_eq!(image.len(), layout.size());
            let mut restored = Fpu { regs: fpu.regs, ..Fpu::default() };
            restored.set_environment(layout, &image);
            let opcode = if wide { 0x1C9 } else { 0 };
            assert_eq!(restored.pointers.opcode, opcode);
            restored.pointers.opcode = fpu.pointers.opcode;
            assert_eq!(restored, fpu);
        }
    }

    /// Real mode and virtual-8086 mode store linear addresses and the opcode (SDM vol. 1, figures 8-10 and 8-12).
    #[test]
    fn real_mode_environments_hold_linear_addresses() {
        let mut fpu = sample();
        fpu.pointers.code_segment = 0xF123;
        fpu.pointers.data_segment = 0x4000;
        let words = |image: &[u8], size: usize| -> Vec<u32> {
            let field = |bytes: &[u8]| bytes.iter().rev().fold(0, |value, &byte| value << 8 | byte as u32);
            image.chunks(size).skip(3).map(field).collect()
        };
        // F123:1234 is F2464, 4000:5678 is 45678.
        let narrow = fpu.environment(Layout { wide: false, protected: false });
        assert_eq!(words(&narrow, 2), [0x2464, 0xF1C9, 0x5678, 0x4000]);
        let wide = fpu.environment(Layout { wide: true, protected: false });
        assert_eq!(words(&wide, 4), [0xFFFF_2464, 0x0000_F1C9, 0xFFFF_5678, 0x0000_4000]);
    }

    #[test]
    fn fxsave_is_restored() {
        let fpu = sample();
        let mut restored = Fpu::default();
        restored.set_fxsave(&fpu.fxsave());
        assert_eq!(restored, fpu);
        let mut restored = Fpu { status: fpu.status, ..Fpu::default() };
        restored.set_registers(&fpu.registers(), 10);
        assert_eq!(restored.regs, fpu.regs);
    }
}
