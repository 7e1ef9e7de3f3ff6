//! What compiled code calls: handlers of instructions, the search for a block, the look-up of a page.
//!
//! Registers and flags of the guest are in the `Cpu` and its frame meanwhile; see the backend's fixed pieces of code.

use super::backend::BUDGET_BASE;
use super::{EmitFault, Leave};
use crate::Cpu;
use crate::decode::{Op, Prefix};
use crate::flags;
use crate::mmu::Access;

/// The frame's form of arithmetic flags.
pub(super) fn packed(arith: u32) -> u16 {
    ((arith as u16 & 0xD5) | 2) << 8 | (arith & flags::OF != 0) as u16
}

pub(super) fn unpacked(frame: u16) -> u32 {
    frame as u32 >> 8 & 0xD5 | (frame as u32 & 1) << 11
}

/// Called by compiled code: execute `op`. The registers are in the `Cpu`, its flags and budget in the frame. 0 to go
/// on with the next instruction, else a [`Leave`].
pub(super) extern "sysv64" fn call(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: compiled code was entered with the `Cpu` that is borrowed mutably by `run_compiled`, which touches
    // nothing meanwhile; the instructions of a block live as long as code that names them can run (`Jit::graveyard`).
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.call_handler_of(op, false)
}

/// As [`call`], for an instruction after which the mode may be another.
pub(super) extern "sysv64" fn call_checked(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.call_handler_of(op, true)
}

/// Called by compiled code that leaves for `reason`, the next block being unknown: the address of its code, or 0 to
/// leave indeed. Registers and flags are in the `Cpu` and its frame.
pub(super) extern "sysv64" fn seek(cpu: *mut Cpu, reason: u32) -> u64 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    cpu.seek_code(reason == Leave::Edge as u32)
}

/// Called by compiled code whose flat view has nothing for a byte it wants to read: 1 if it has something now, else 0.
pub(super) extern "sysv64" fn refill_read(cpu: *mut Cpu, linear: u32) -> u32 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    cpu.refill(linear, Access::Read) as u32
}

/// As [`refill_read`], for a byte to be written.
pub(super) extern "sysv64" fn refill_write(cpu: *mut Cpu, linear: u32) -> u32 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    cpu.refill(linear, Access::Write) as u32
}

/// As [`refill_read`], for code that comes next, unless nothing may be retired any more.
pub(super) extern "sysv64" fn refill_fetch(cpu: *mut Cpu, linear: u32, _: u32, budget: u64) -> u32 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    (budget > BUDGET_BASE && cpu.refill(linear, Access::Fetch)) as u32
}

impl Cpu {
    /// After compiled code: the guest's x87 registers to their place.
    #[inline(always)]
    pub(super) fn drain_x87(&mut self) {
        let jit = &self.jit;
        self.frame.float.drain(&mut self.fpu, || jit.as_ref().and_then(|jit| jit.emit_fault));
    }

    fn seek_code(&mut self, by_edge: bool) -> u64 {
        self.drain_x87();
        self.insns = self.frame.end - (self.frame.budget - BUDGET_BASE);
        if self.insns >= self.stop_at {
            return 0;
        }
        let found = self.compiled_code(by_edge.then_some(self.frame.edge));
        match found {
            Ok(Some(code)) if !self.attention => code,
            Ok(_) => 0,
            Err(fault) => {
                self.frame.fault = Some(fault);
                0
            }
        }
    }

    /// Compiled code has just been left: the count of instructions.
    pub(super) fn count_from_frame(&mut self) {
        self.drain_x87();
        self.insns = self.frame.end - (self.frame.budget - BUDGET_BASE);
    }

    /// As [`Self::call_handler`], for any instruction.
    fn call_handler_of(&mut self, op: &Op, checked: bool) -> u32 {
        if op.has(Prefix::SOFT) {
            // Its own store may change it.
            let op = *op;
            return self.call_handler(&op, checked);
        }
        self.call_handler(op, checked)
    }

    /// Execute `op`, which no store can change, as [`call`] does.
    pub(super) fn call_handler(&mut self, op: &Op, checked: bool) -> u32 {
        self.count_from_frame();
        self.regs.flags.set_arith(unpacked(self.frame.flags));
        let before = self.insns;
        let start = self.regs.eip;
        let mut moved = false;
        let mut checked = checked;
        loop {
            self.next_eip = start.wrapping_add(op.len as u32);
            match (op.run)(self, op) {
                Ok(()) => {
                    self.regs.eip = self.next_eip;
                    self.insns += 1;
                }
                Err(fault) => {
                    let first = self.fruitless.0 != self.insns;
                    if first && let Some(leave) = self.raise_quickly(op, fault) {
                        self.fruitless = (self.insns, 0);
                        self.frame.held = self.frame.budget - (self.insns - before);
                        self.frame.flags = packed(self.regs.flags.arith());
                        return leave;
                    }
                    self.raise(fault);
                    if !first {
                        // Faults in a row retire nothing: the run loop counts them.
                        self.frame.left_by = op.code as u16;
                        return Leave::Attention as u32;
                    }
                    self.fruitless = (self.insns, 0);
                    (moved, checked) = (true, true);
                }
            }
            if !self.attention {
                break;
            }
            if !self.nothing_happened() {
                self.frame.left_by = op.code as u16;
                return Leave::Attention as u32;
            }
            self.attention = false;
            self.regs.flags.put(flags::RF, false);
            moved |= !self.may_stay();
            if op.has(Prefix::POLL) && !moved {
                self.skip_polls(op);
            }
            // A REP that has more to do stands on itself.
            if moved || self.regs.eip != start || op.prefix & (Prefix::REP | Prefix::REPNE) == 0 {
                break;
            }
        }
        if self.insns >= self.stop_at {
            self.frame.left_by = op.code as u16;
            self.attention = true;
            return Leave::Attention as u32;
        }
        if checked || moved {
            match self.follow_mode() {
                Some(changed) => moved |= changed,
                None => {
                    self.frame.left_by = op.code as u16;
                    self.attention = true;
                    return Leave::Attention as u32;
                }
            }
        }
        let retired = self.insns - before;
        if moved {
            self.frame.held = self.frame.budget - retired;
        } else {
            // A REP retires more than the block counted.
            let extra = retired - 1;
            if self.frame.held < BUDGET_BASE + extra {
                self.frame.left_by = op.code as u16;
                self.attention = true;
                return Leave::Attention as u32;
            }
            if extra != 0
                && self.jit.as_ref().is_none_or(|jit| jit.emit_fault != Some(EmitFault::RepUncounted))
            {
                self.frame.held -= extra;
            }
        }
        self.frame.flags = packed(self.regs.flags.arith());
        if moved { Leave::Moved as u32 } else { 0 }
    }

    /// After an instruction that asked for attention, nothing having happened: whether the code it came from is still
    /// there, and mapped where it was.
    fn may_stay(&self) -> bool {
        let linear = self.regs.cs().base.wrapping_add(self.regs.eip);
        let view = usize::from(self.regs.cpl == 3);
        self.flat_view() == Some(self.frame.view)
            && self.tlb.flat.as_ref().is_some_and(|flat| flat.view(view).fetches(linear))
            && self.jit.as_ref().is_some_and(|jit| jit.is_undisturbed(self.blocks.generation()))
    }
}
