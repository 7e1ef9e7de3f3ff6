//! Instructions the Host carries out for a Guest kernel (2.2, 6.1), because ring 1 may not.
//!
//! Old kernels ask for tables with hypercalls, and what they do not ask for faults as in ring 3. A kernel with fewer hooks programs
//! control registers and tables as on a processor of its own, and [`super::system`] keeps them.

use super::Guest;
use super::instruction::{Instruction, Operand, register, register_mut};
use crate::abi::flags;
use crate::death::{Death, Outcome, Text};
use crate::mutant::broken;

/// `vmcall`, of kernels up to 3.0.
const VMCALL: [u8; 3] = [0x0F, 0x01, 0xC1];
/// `int $0x1f; nop`.
const INT_1F: [u8; 3] = [0xCD, 0x1F, 0x90];
/// Number of SS among the segment registers.
const SS: u8 = 2;

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
        for (n, byte) in (0..).zip(VMCALL) {
            let there = self.shadow.to_physical(&self.ram, eip.wrapping_add(n));
            if there.and_then(|at| self.ram.read::<u8>(at)) != Ok(byte) {
                return Ok(false);
            }
        }
        for (n, byte) in (0..).zip(INT_1F) {
            let at = if broken("vmcall-in-one-page") {
                self.shadow.to_physical(&self.ram, eip)?.wrapping_add(n)
            } else {
                self.shadow.to_physical(&self.ram, eip.wrapping_add(n))?
            };
            self.ram.write(at, byte)?;
        }
        Ok(true)
    }

    /// #GP in ring 1: what the instruction would have done in ring 0, as far as this Guest has it. True if it was one of those.
    pub(super) fn emulate(&mut self) -> Outcome<bool> {
        if !self.in_kernel() {
            return Ok(false);
        }
        let Some(instruction) = self.instruction() else { return Ok(false) };
        let done = match instruction.opcode {
            0xE4..=0xE7 | 0xEC..=0xEF => self.port(instruction)?,
            0xFA => self.interrupt_flag(false)?,
            // Before INIT nothing could wake it.
            0xF4 if self.shared.is_none() => false,
            0xF4 if self.irq_enabled()? & flags::IF == 0 && !broken("dead-halt-sleeps") => {
                return Err(Death::Halted);
            }
            0xF4 => {
                self.halted = true;
                true
            }
            0x0F21 | 0x0F23 => self.debug_register(instruction),
            // Kernels from 4.0 to 4.8 look at CR4 before they have a handler, and forgot their hook for it.
            0x0F20 if instruction.reg == 4 && !broken("cr4-unreadable") => {
                self.system_instruction(instruction)?
            }
            // Whoever asks for these with hypercalls has no business with the instructions.
            _ if self.asks => false,
            0xFB => self.interrupt_flag(true)?,
            0x8E => self.load_ss(instruction)?,
            _ => self.system_instruction(instruction)?,
        };
        if done {
            let frame = self.frame();
            frame.eip = frame.eip.wrapping_add(instruction.length);
        }
        Ok(done)
    }

    /// IN and OUT: the PCI bus, the keyboard controller's reset line, a timer at zero, or nothing. IN finds all ones there, OUT goes
    /// nowhere.
    fn port(&mut self, i: Instruction) -> Outcome<bool> {
        /// The keyboard controller's command that pulls the processor's reset line.
        const RESET: (u16, u8) = (0x64, 0xFE);
        /// The timer's channel 2. From 4.8 on a kernel measures the processor with it, though we have told the speed: it would read
        /// all ones 100,000 times over before it gives up, and does at once when there are none.
        const TIMER: u16 = 0x42;
        const PCI: core::ops::RangeInclusive<u16> = 0xCF8..=0xCFF;
        let port = if i.opcode & 8 == 0 { i.immediate as u16 } else { self.frame().edx as u16 };
        let (bytes, ones) = match (i.opcode & 1, i.word) {
            _ if broken("in-fills-eax") => (4, u32::MAX),
            (0, _) => (1, 0xFF),
            (_, true) => (2, 0xFFFF),
            _ => (4, u32::MAX),
        };
        let eax = self.frame().eax;
        match (i.opcode & 2 == 0, PCI.contains(&port)) {
            (true, true) => {
                let value = self.pci.port_in(port, bytes);
                self.frame().eax = eax & !ones | value & ones;
            }
            (true, false) if port == TIMER || broken("in-answers-zero") => self.frame().eax = eax & !ones,
            (true, false) => self.frame().eax = eax | ones,
            (false, true) => self.pci.port_out(port, eax, bytes),
            (false, false) if (port, eax as u8) == RESET && !broken("reset-line-cut") => {
                self.text = Text::new(b"by the keyboard controller");
                return Err(Death::Restart);
            }
            (false, false) => {}
        }
        Ok(true)
    }

    /// CLI and STI. Before INIT there is no flag to change.
    fn interrupt_flag(&mut self, on: bool) -> Outcome<bool> {
        if broken("cli-not-emulated") {
            return Ok(false);
        }
        self.set_irq_enabled(if on { flags::IF } else { 0 })?;
        Ok(true)
    }

    /// MOV SS with a selector of ring 0: it gets the Guest's ring.
    fn load_ss(&mut self, i: Instruction) -> Outcome<bool> {
        let selector = match i.operand {
            Operand::Register(n) => register(self.frame(), n),
            Operand::Memory(at) => self.linear_word(at)?,
        } & 0xFFFF;
        let ours = i.reg == SS && selector & 7 == 0 && selector != 0 && self.is_stack(selector);
        if ours {
            self.frame().ss = selector | 1;
        }
        Ok(ours)
    }

    /// MOV to and from debug registers.
    fn debug_register(&mut self, i: Instruction) -> bool {
        let Operand::Register(number) = i.operand else { return false };
        if i.opcode == 0x0F21 {
            *register_mut(self.frame(), number) = self.read_dr(i.reg);
        } else {
            let value = register(self.frame(), number);
            self.write_dr(i.reg, value);
        }
        true
    }

    fn system_instruction(&mut self, i: Instruction) -> Outcome<bool> {
        let number = match i.operand {
            Operand::Register(n) => n,
            Operand::Memory(_) => 0,
        };
        let value = register(self.frame(), number);
        match (i.opcode, i.reg, i.operand) {
            // LLDT: there are no local descriptors.
            (0x0F00, 2, _) => {}
            (0x0F00, 3, Operand::Register(_)) => return self.load_task(value & 0xFFFF),
            (0x0F01, 2, Operand::Memory(at)) => self.load_gdt(at)?,
            (0x0F01, 3, Operand::Memory(at)) => self.load_idt(at)?,
            (0x0F01, 7, Operand::Memory(at)) => self.invalidate(at),
            // CLTS.
            (0x0F06, ..) => self.ts = false,
            // INVD, WBINVD: nothing is cached that the Guest could tell.
            (0x0F08 | 0x0F09, ..) => {}
            (0x0F20, n, _) => match self.read_cr(n)? {
                Some(value) => *register_mut(self.frame(), number) = value,
                None => return Ok(false),
            },
            (0x0F22, n, _) => return self.write_cr(n, value),
            // WRMSR, RDMSR: whatever it is, it is 0.
            (0x0F30, ..) => {}
            (0x0F32, ..) => {
                let frame = self.frame();
                (frame.eax, frame.edx) = (0, 0);
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}
