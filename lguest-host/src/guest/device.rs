//! Accesses to devices' registers (8.5): the page is never mapped, so each one faults, and the Host does what the instruction says.

use super::Guest;
use super::instruction::{Instruction, Operand, register, register_mut};
use crate::abi::PAGE;
use crate::death::{Category, Outcome, require};
use crate::mutant::{broken, unchecked};

impl Guest {
    /// A fault at `linear`, whose page-table entry `pte` leads to no RAM. True if a device was there and the access is done.
    ///
    /// # Errors
    /// BAD_PTE: no device either.
    pub(super) fn access_device(&mut self, pte: u64, linear: u32) -> Outcome<bool> {
        let address = pte as u32 & !0xFFF | linear & 0xFFF;
        require(pte >> 32 == 0 && self.pci.claims(address), Category::BadPte, pte as u32)?;
        let kernel = self.frame().cs & 3 == 1 || broken("device-for-ring-3");
        let Some(i) = self.instruction().filter(|_| kernel) else { return Ok(broken("device-guesses")) };
        let bytes = match (i.opcode, i.word) {
            (0x88 | 0x8A | 0xA0 | 0xA2 | 0xC6 | 0x0FB6, _) => 1,
            (0x0FB7, _) | (_, true) => 2,
            _ => 4,
        };
        // What faulted is this operand, and all of it is the device's.
        let here = i.operand == Operand::Memory(linear) && linear % PAGE + bytes <= PAGE;
        if !here && !unchecked("DEVICE_OPERAND") {
            return Ok(false);
        }
        match i.opcode {
            0x8A | 0x8B | 0xA0 | 0xA1 | 0x0FB6 | 0x0FB7 => {
                let value = self.pci.read(address, bytes);
                self.load(i, value, bytes);
            }
            0x88 | 0x89 | 0xA2 | 0xA3 => {
                let value = self.stored(i, bytes);
                self.pci.write(address, value, bytes);
            }
            0xC6 | 0xC7 => self.pci.write(address, i.immediate, bytes),
            _ => return Ok(false),
        }
        let frame = self.frame();
        frame.eip = frame.eip.wrapping_add(i.length);
        Ok(true)
    }

    /// Put what was read into the register the instruction names.
    fn load(&mut self, i: Instruction, value: u32, bytes: u32) {
        let extends = matches!(i.opcode, 0x0FB6 | 0x0FB7);
        let frame = self.frame();
        match (bytes, extends) {
            (_, true) if i.word => {
                let to = register_mut(frame, i.reg);
                *to = *to & 0xFFFF_0000 | value;
            }
            (4, _) | (_, true) => *register_mut(frame, i.reg) = value,
            (2, _) => {
                let to = register_mut(frame, i.reg);
                *to = *to & 0xFFFF_0000 | value;
            }
            // AH, CH, DH, BH are numbers 4 to 7.
            _ => {
                let shift = if i.reg & 4 != 0 { 8 } else { 0 };
                let to = register_mut(frame, i.reg & 3);
                *to = *to & !(0xFF << shift) | (value & 0xFF) << shift;
            }
        }
    }

    /// What the instruction stores.
    fn stored(&mut self, i: Instruction, bytes: u32) -> u32 {
        let frame = self.frame();
        if bytes == 1 && i.reg & 4 != 0 { register(frame, i.reg & 3) >> 8 } else { register(frame, i.reg) }
    }
}
