//! Instructions the Host carries out for a Guest kernel (2.2, 6.1).

use super::Guest;
use crate::death::Outcome;
use crate::mutant::broken;
use crate::ram::GuestRam;
use crate::shadow::Shadow;

/// `vmcall`, of kernels up to 3.0.
const VMCALL: [u8; 3] = [0x0F, 0x01, 0xC1];
/// `int $0x1f; nop`.
const INT_1F: [u8; 3] = [0xCD, 0x1F, 0x90];

/// A byte of code at a Guest-virtual address; zero where there is none.
fn code_byte(shadow: &Shadow, ram: &GuestRam, address: u32) -> u8 {
    shadow.to_physical(ram, address).and_then(|at| ram.read(at)).unwrap_or(0)
}

impl Guest {
    fn in_kernel(&mut self) -> bool {
        self.frame().cs & 3 == 1
    }

    /// A #UD or #GP at a `vmcall` becomes a hypercall for good. True if so; EIP stays.
    pub(super) fn rewrite_vmcall(&mut self) -> Outcome<bool> {
        if !self.in_kernel() || broken("vmcall-not-rewritten") {
            return Ok(false);
        }
        let eip = self.frame().eip;
        let bytes = [0, 1, 2].map(|n| code_byte(&self.shadow, &self.ram, eip.wrapping_add(n)));
        if bytes != VMCALL {
            return Ok(false);
        }
        for (n, byte) in (0..).zip(INT_1F) {
            let at = self.shadow.to_physical(&self.ram, eip.wrapping_add(n))?;
            self.ram.write(at, byte)?;
        }
        Ok(true)
    }

    /// #GP(0) in ring 1: `cli`, port I/O that nothing answers, `hlt`, debug registers. True if it was one of these.
    pub(super) fn emulate(&mut self) -> Outcome<bool> {
        if !self.in_kernel() {
            return Ok(false);
        }
        let eip = self.frame().eip;
        let mut bytes = [0u8; 4];
        for (n, byte) in (0..).zip(&mut bytes) {
            *byte = code_byte(&self.shadow, &self.ram, eip.wrapping_add(n));
        }
        let (prefix, opcode, operand) =
            if bytes[0] == 0x66 { (1, bytes[1], bytes[2]) } else { (0, bytes[0], bytes[1]) };
        let ones: u32 = match (opcode & 1, prefix) {
            (0, _) => 0xFF,
            (_, 1) => 0xFFFF,
            _ => u32::MAX,
        };
        let length = match opcode {
            0xFA if prefix == 0 && !broken("cli-not-emulated") => 1,
            0xE4 | 0xE5 | 0xEC | 0xED => {
                let frame = self.frame();
                frame.eax = if broken("in-answers-zero") { frame.eax & !ones } else { frame.eax | ones };
                prefix + if opcode & 8 == 0 { 2 } else { 1 }
            }
            0xE6 | 0xE7 => prefix + 2,
            0xEE | 0xEF => prefix + 1,
            // Before INIT nothing could wake it.
            0xF4 if prefix == 0 && self.shared.is_some() => {
                self.halted = true;
                1
            }
            // mov r32, drN reads zero; mov drN, r32 is ignored (kernels before 4.0 do not paravirtualise them).
            0x0F if prefix == 0 && operand == 0x21 => {
                self.clear_register(bytes[2] & 7);
                3
            }
            0x0F if prefix == 0 && operand == 0x23 => 3,
            _ => return Ok(false),
        };
        self.frame().eip = eip.wrapping_add(length);
        Ok(true)
    }

    fn clear_register(&mut self, n: u8) {
        let frame = self.frame();
        let registers = [
            &mut frame.eax,
            &mut frame.ecx,
            &mut frame.edx,
            &mut frame.ebx,
            &mut frame.esp,
            &mut frame.ebp,
            &mut frame.esi,
            &mut frame.edi,
        ];
        for (i, register) in registers.into_iter().enumerate() {
            if i == n as usize {
                *register = 0;
            }
        }
    }
}
