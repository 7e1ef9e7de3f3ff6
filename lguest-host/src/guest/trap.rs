//! Traps from ring 1 and ring 3: what the Host settles itself, and how the rest reaches the Guest's handlers (5.1, 5.3).

use super::Guest;
use crate::abi::{GUEST_CS, HYPERCALL_VECTOR, PAGE, SYSCALL_VECTOR, data, flags};
use crate::death::{Category, Death, Outcome, named, require};
use crate::descriptor::has_error_code;
use crate::mutant::broken;
use crate::shadow::Demand;
use switcher_asm::{Frame, NO_TRAP};

const DB: u32 = 1;
const UD: u32 = 6;
const NM: u32 = 7;
const GP: u32 = 13;
const PF: u32 = 14;
/// Error code of a page fault: the page was there.
const FAULT_PRESENT: u32 = 1;

impl Guest {
    pub(super) fn dispatch(&mut self, cr2: u32) -> Outcome<()> {
        let Frame { trapnum, errcode, .. } = *self.frame();
        match trapnum {
            NO_TRAP if broken("switcher-fault-ignored") => Ok(()),
            NO_TRAP => Err(Death::Killed(Category::UnhandledTrap, NO_TRAP)),
            UD if self.rewrite_vmcall()? => Ok(()),
            // With TS clear the Host has made the Guest's FPU state current already.
            NM if !self.wants_ts() => Ok(()),
            // MOV SS names the selector in its error code; all others have none.
            GP if self.emulate()? => Ok(()),
            GP if errcode != 0 && self.refresh_entry(errcode)? => Ok(()),
            GP if self.rewrite_vmcall()? => Ok(()),
            PF => {
                let error = match self.demand(cr2, errcode)? {
                    Demand::Mended => return Ok(()),
                    Demand::Device(pte) if self.access_device(pte, cr2)? => return Ok(()),
                    Demand::Device(_) => errcode | FAULT_PRESENT,
                    Demand::Reflect(error) => error,
                };
                self.frame().errcode = error;
                if let Some(shared) = self.shared
                    && !broken("cr2-not-written")
                {
                    named(self.ram.write(shared.addr + data::CR2, cr2), Category::Cr2Write)?;
                }
                self.reflect(PF)
            }
            HYPERCALL_VECTOR => {
                self.hypercall_pending = true;
                Ok(())
            }
            SYSCALL_VECTOR if broken("syscall-gate-ignored") => Ok(()),
            n if n < 32 || n == SYSCALL_VECTOR => self.reflect(n),
            // A physical interrupt: the Host has served it.
            _ => Ok(()),
        }
    }

    /// What the shadow can do about a page fault. RAM comes before devices, wherever a Guest has put these.
    fn demand(&mut self, cr2: u32, error: u32) -> Outcome<Demand> {
        if broken("bar-covers-ram")
            && let Ok(at) = self.shadow.to_physical(&self.ram, cr2)
            && self.pci.claims(at)
        {
            return Ok(Demand::Device(at as u64));
        }
        self.shadow.demand(&self.ram, cr2, error)
    }

    /// Deliver trap `n` to the Guest's own handler.
    fn reflect(&mut self, n: u32) -> Outcome<()> {
        let gate = self.gate(n)?;
        if n == DB {
            self.note_debug_trap();
        }
        require(gate.present(), Category::UnhandledTrap, n)?;
        let error = has_error_code(n).then_some(self.frame().errcode);
        self.enter_handler(gate, error)
    }

    /// Build the frame an exception or interrupt leaves on the ring-1 stack, and go to its handler (5.3).
    pub(super) fn enter_handler(&mut self, gate: crate::descriptor::Gate, error: Option<u32>) -> Outcome<()> {
        let Frame { eip, cs, eflags: old_eflags, esp: old_esp, ss: old_ss, .. } = *self.frame();
        let enabled = self.irq_enabled()?;
        let from_ring1 = old_ss & 3 == 1;
        let (ss, mut esp) = if from_ring1 {
            (old_ss, old_esp)
        } else {
            let (ss, esp) = self.trap_stack()?;
            (ss, if broken("set-stack-ignored") { esp.wrapping_sub(64) } else { esp })
        };
        // The real IF is always 1; what the Guest believes is irq_enabled.
        let mut eflags = old_eflags;
        if enabled & flags::IF == 0 && !broken("frame-if-real") {
            eflags &= !flags::IF;
        }
        let mut words = [0; 6];
        let mut count = 0;
        let mut push = |word| {
            words[count] = word;
            count += 1;
        };
        if let Some(error) = error {
            push(error);
        }
        push(eip);
        push(cs);
        push(eflags);
        if !from_ring1 {
            push(old_esp);
            push(old_ss);
        }
        esp = esp.wrapping_sub(4 * count as u32);
        self.write_stack(esp, &words[..count])?;
        let frame = self.frame();
        frame.ss = ss;
        frame.esp = esp;
        frame.cs = GUEST_CS;
        frame.eip = gate.offset();
        if !broken("reflect-keeps-tf") {
            frame.eflags &= !flags::TF;
        }
        if !broken("reflect-keeps-nt") {
            frame.eflags &= !flags::NT;
        }
        frame.eflags &= !(flags::RF | flags::VM);
        if gate.disables_interrupts() && !broken("gate-keeps-irq-enabled") {
            self.set_irq_enabled(0)?;
        }
        Ok(())
    }

    /// Write words to a stack of the Guest, through its own page tables, page by page.
    fn write_stack(&self, esp: u32, words: &[u32]) -> Outcome<()> {
        let mut bytes = [0; 24];
        for (to, word) in bytes.chunks_exact_mut(4).zip(words) {
            to.copy_from_slice(&word.to_le_bytes());
        }
        let bytes = &bytes[..(4 * words.len()).min(24)];
        let here = (PAGE - esp % PAGE).min(bytes.len() as u32);
        let (first, second) = bytes.split_at(here as usize);
        // The upper part first, as the processor pushes.
        if !second.is_empty() {
            let at = self.shadow.to_physical_for_write(&self.ram, esp.wrapping_add(here))?;
            self.ram.write_bytes(at, second)?;
        }
        self.ram.write_bytes(self.shadow.to_physical_for_write(&self.ram, esp)?, first)
    }

    /// The Guest is entered only in ring 1 or 3, with interrupts on and no way to more (10.2).
    ///
    /// # Errors
    /// UNHANDLED_TRAP for another ring.
    pub fn check_entry(&mut self) -> Result<(), Death> {
        let frame = self.frame();
        if !broken("entry-flags-kept") {
            frame.eflags &= flags::FREE | flags::TF | flags::RF | flags::NT;
        }
        frame.eflags |= flags::ALWAYS | flags::IF;
        let (cs, ss) = (frame.cs & 3, frame.ss & 3);
        let ok = cs == ss && matches!(cs, 1 | 3) || broken("ring-2-resumed");
        let checked = if ok { Ok(()) } else { Err(Death::Killed(Category::UnhandledTrap, NO_TRAP)) };
        self.survive(checked);
        checked
    }
}
