//! Instructions as the Host reads them: prefixes, opcode, ModRM, SIB, displacement, immediate (SDM vol. 2, 2.1).
//!
//! Only those that a Guest kernel may need carried out: moves to and from memory, the system instructions, port I/O. Addresses
//! are flat: a kernel's segments are, and with FS or GS named nothing is decoded.

use super::Guest;
use switcher_asm::Frame;

/// The longest instruction.
const LONGEST: usize = 15;

/// Where an operand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operand {
    /// General register, by its number.
    Register(u8),
    /// Linear address.
    Memory(u32),
}

/// An instruction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Instruction {
    /// Opcode; those of two bytes are 0x0F00 and the second.
    pub opcode: u16,
    /// The operand-size prefix was there.
    pub word: bool,
    /// Field `reg` of ModRM.
    pub reg: u8,
    /// Field `r/m` of ModRM, or the address of MOV AL/EAX; for anything without, register 0.
    pub operand: Operand,
    /// The immediate; 0 without.
    pub immediate: u32,
    /// Bytes.
    pub length: u32,
}

/// What follows an opcode.
enum Form {
    Nothing,
    Byte,
    /// ModRM, and so many bytes of immediate.
    ModRm(usize),
    Address,
}

/// The forms known here; `None` for every other opcode.
fn form(opcode: u16, word: bool) -> Option<Form> {
    Some(match opcode {
        // CLI, STI, HLT; IN, OUT by DX; CLTS, INVD, WBINVD, WRMSR, RDMSR.
        0xFA | 0xFB | 0xF4 | 0xEC..=0xEF | 0x0F06 | 0x0F08 | 0x0F09 | 0x0F30 | 0x0F32 => Form::Nothing,
        // IN, OUT by number.
        0xE4..=0xE7 => Form::Byte,
        // MOV; MOV Sreg; SLDT & co, LGDT & co; MOV CRn, DRn; MOVZX.
        0x88..=0x8B | 0x8E | 0x0F00 | 0x0F01 | 0x0F20..=0x0F23 | 0x0FB6 | 0x0FB7 => Form::ModRm(0),
        0xC6 => Form::ModRm(1),
        0xC7 => Form::ModRm(if word { 2 } else { 4 }),
        0xA0..=0xA3 => Form::Address,
        _ => return None,
    })
}

/// The bytes still to be read.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    /// Little-endian, of `n` bytes.
    fn number(&mut self, n: usize) -> Option<u32> {
        let mut value = 0;
        for k in 0..n {
            value |= (self.byte()? as u32) << (8 * k);
        }
        Some(value)
    }

    fn displacement(&mut self, mode: u8) -> Option<u32> {
        match mode {
            1 => Some(self.byte()? as i8 as u32),
            2 => self.number(4),
            _ => Some(0),
        }
    }

    /// The memory operand of 32-bit addressing (SDM vol. 2, tables 2-2 and 2-3).
    fn memory(&mut self, mode: u8, rm: u8, frame: &Frame) -> Option<u32> {
        let base = match (mode, rm) {
            (_, 4) => return self.indexed(mode, frame),
            (0, 5) => return self.number(4),
            _ => register(frame, rm),
        };
        Some(base.wrapping_add(self.displacement(mode)?))
    }

    fn indexed(&mut self, mode: u8, frame: &Frame) -> Option<u32> {
        let sib = self.byte()?;
        let (scale, index, base) = (sib >> 6, sib >> 3 & 7, sib & 7);
        let offset = if index == 4 { 0 } else { register(frame, index) << scale };
        let base = if base == 5 && mode == 0 { self.number(4)? } else { register(frame, base) };
        Some(base.wrapping_add(offset).wrapping_add(self.displacement(mode)?))
    }
}

/// Decode the instruction that `bytes` begin with; `None` if it is none of those known here.
pub fn decode(bytes: &[u8], frame: &Frame) -> Option<Instruction> {
    let mut reader = Reader { bytes: bytes.get(..LONGEST).unwrap_or(bytes), at: 0 };
    let mut word = false;
    let first = loop {
        match reader.byte()? {
            0x66 => word = true,
            // ES, CS, SS, DS.
            0x26 | 0x2E | 0x36 | 0x3E => {}
            byte => break byte,
        }
    };
    let opcode = if first == 0x0F { 0x0F00 | reader.byte()? as u16 } else { first as u16 };
    let mut instruction =
        Instruction { opcode, word, reg: 0, operand: Operand::Register(0), immediate: 0, length: 0 };
    match form(opcode, word)? {
        Form::Nothing => {}
        Form::Byte => instruction.immediate = reader.number(1)?,
        Form::Address => instruction.operand = Operand::Memory(reader.number(4)?),
        Form::ModRm(immediate) => {
            let modrm = reader.byte()?;
            let (mode, rm) = (modrm >> 6, modrm & 7);
            instruction.reg = modrm >> 3 & 7;
            // Moves of control and debug registers know registers only, whatever the mode says.
            let register = mode == 3 || matches!(opcode, 0x0F20..=0x0F23);
            instruction.operand = if register {
                Operand::Register(rm)
            } else {
                Operand::Memory(reader.memory(mode, rm, frame)?)
            };
            instruction.immediate = reader.number(immediate)?;
        }
    }
    instruction.length = reader.at as u32;
    Some(instruction)
}

/// General register `n`.
pub fn register(frame: &Frame, n: u8) -> u32 {
    match n & 7 {
        0 => frame.eax,
        1 => frame.ecx,
        2 => frame.edx,
        3 => frame.ebx,
        4 => frame.esp,
        5 => frame.ebp,
        6 => frame.esi,
        _ => frame.edi,
    }
}

/// General register `n`, to be changed.
pub fn register_mut(frame: &mut Frame, n: u8) -> &mut u32 {
    match n & 7 {
        0 => &mut frame.eax,
        1 => &mut frame.ecx,
        2 => &mut frame.edx,
        3 => &mut frame.ebx,
        4 => &mut frame.esp,
        5 => &mut frame.ebp,
        6 => &mut frame.esi,
        _ => &mut frame.edi,
    }
}

impl Guest {
    /// The instruction at EIP, if it is one of those known here.
    pub(super) fn instruction(&mut self) -> Option<Instruction> {
        let frame = *self.frame();
        let mut bytes = [0u8; LONGEST];
        let here = (0x1000 - (frame.eip as usize & 0xFFF)).min(LONGEST);
        let at = self.shadow.to_physical(&self.ram, frame.eip).ok()?;
        self.ram.read_bytes(at, &mut bytes[..here]).ok()?;
        let mut length = here;
        if here < LONGEST
            && let Ok(at) = self.shadow.to_physical(&self.ram, frame.eip.wrapping_add(here as u32))
            && self.ram.read_bytes(at, &mut bytes[here..]).is_ok()
        {
            length = LONGEST;
        }
        decode(&bytes[..length], &frame)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Bytes; opcode, operand-size prefix, reg, operand, immediate.
    type Case = (&'static [u8], u16, bool, u8, Operand, u32);

    #[test]
    fn known_instructions() {
        let frame = Frame { eax: 0x1000, ecx: 8, esp: 0x2000, ebp: 0x3000, ..Frame::default() };
        use Operand::{Memory, Register};
        let cases: [Case; 14] = [
            (&[0xFA], 0xFA, false, 0, Register(0), 0),
            (&[0x66, 0xEF], 0xEF, true, 0, Register(0), 0),
            (&[0xE6, 0x80], 0xE6, false, 0, Register(0), 0x80),
            (&[0x0F, 0x22, 0xD8], 0x0F22, false, 3, Register(0), 0),
            (&[0x0F, 0x20, 0x10], 0x0F20, false, 2, Register(0), 0),
            (&[0x0F, 0x01, 0x15, 1, 2, 3, 4], 0x0F01, false, 2, Memory(0x0403_0201), 0),
            (&[0x0F, 0x01, 0x38], 0x0F01, false, 7, Memory(0x1000), 0),
            (&[0x0F, 0x01, 0x5D, 0xFC], 0x0F01, false, 3, Memory(0x2FFC), 0),
            (&[0x8E, 0xD0], 0x8E, false, 2, Register(0), 0),
            (&[0x3E, 0x8B, 0x44, 0x24, 0x10], 0x8B, false, 0, Memory(0x2010), 0),
            (&[0x89, 0x94, 0x88, 0, 1, 0, 0], 0x89, false, 2, Memory(0x1120), 0),
            (&[0x66, 0xC7, 0x00, 0x34, 0x12], 0xC7, true, 0, Memory(0x1000), 0x1234),
            (&[0xA1, 4, 0, 0, 0xF0], 0xA1, false, 0, Memory(0xF000_0004), 0),
            (&[0x0F, 0xB7, 0x0C, 0x25, 8, 0, 0, 0], 0x0FB7, false, 1, Memory(8), 0),
        ];
        for (bytes, opcode, word, reg, operand, immediate) in cases {
            let length = bytes.len() as u32;
            let wanted = Instruction { opcode, word, reg, operand, immediate, length };
            assert_eq!(decode(bytes, &frame), Some(wanted), "{bytes:x?}");
            for cut in 0..bytes.len() {
                assert_eq!(decode(&bytes[..cut], &frame), None, "{bytes:x?} cut");
            }
        }
    }

    #[test]
    fn others_are_not_decoded() {
        for bytes in [&[0x64, 0x8B, 0x00][..], &[0xF3, 0x6E], &[0x0F, 0x0B], &[0x90], &[0x66; 20]] {
            assert_eq!(decode(bytes, &Frame::default()), None, "{bytes:x?}");
        }
    }
}
