//! The run loop: fetch a block, execute it, look around when something asked for attention.
//!
//! Counting (design.md): each completed instruction and each completed REP iteration is one; a faulting instruction
//! and the delivery of an event are none. The loop never runs past `stop_at`, the nearer of the caller's limit and
//! the chipset's deadline, so an event is handled at its exact count.

use crate::Cpu;
use crate::bus::StopRequest;
use crate::decode::{Fetched, Op};
use crate::fault::Fault;
use crate::flags;
use crate::mutant::Mutant;
use crate::regs::Activity;
use crate::system::DR6_BS;

/// Why [`Cpu::run`] returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Virtual time reached `lines.deadline`.
    Deadline,
    /// The instruction limit was reached.
    Limit,
    /// In HLT with nothing pending: nothing happens until an interrupt line changes.
    Halted,
    /// Triple fault.
    Shutdown,
    /// The chipset asked for it.
    Stop(StopRequest),
    /// [`FAULTS_IN_A_ROW`] exceptions were delivered without an instruction that completed, as when the first
    /// instruction of a handler faults on a stack without end. Neither count moves, so the caller must look at the
    /// world by itself; running on is allowed.
    Faulting,
}

/// Deliveries without a completed instruction after which [`Cpu::run`] returns.
pub const FAULTS_IN_A_ROW: u32 = 1 << 6;

impl Cpu {
    /// Run until something needs the caller, but never past `insn_limit` instructions (an absolute count).
    pub fn run(&mut self, insn_limit: u64) -> Exit {
        self.attention = true;
        loop {
            if self.attention || self.insns >= self.stop_at {
                if let Some(exit) = self.look_around(insn_limit) {
                    return exit;
                }
                if self.needs_care() {
                    self.step_carefully();
                    self.attention = true;
                    continue;
                }
                // Without breakpoints RF hides nothing; it ends with the next instruction.
                self.regs.flags.put(flags::RF, false);
            }
            if let Err(fault) = self.run_engine() {
                self.raise(fault);
                self.attention = true;
            }
        }
    }

    /// Everything that can only change at a place that sets `attention`.
    #[cold]
    fn look_around(&mut self, insn_limit: u64) -> Option<Exit> {
        self.attention = false;
        self.insn_limit = insn_limit;
        if let Some(stop) = self.lines.stop.take() {
            return Some(Exit::Stop(stop));
        }
        if self.regs.activity == Activity::Shutdown {
            return Some(Exit::Shutdown);
        }
        let to_deadline = self.lines.deadline.saturating_sub(self.vtime());
        self.stop_at = insn_limit.min(self.insns.saturating_add(to_deadline));
        if self.insns >= insn_limit {
            return Some(Exit::Limit);
        }
        if to_deadline == 0 {
            return Some(Exit::Deadline);
        }
        if self.is_only_faulting() {
            return Some(Exit::Faulting);
        }
        if self.regs.pending_debug != 0 && !self.in_ss_shadow() {
            self.raise_debug_trap();
        }
        self.take_interrupts();
        match self.regs.activity {
            Activity::Running => None,
            Activity::Halted => Some(Exit::Halted),
            Activity::Shutdown => Some(Exit::Shutdown),
        }
    }

    /// Count looks around since the last instruction that completed; every delivery asks for one.
    fn is_only_faulting(&mut self) -> bool {
        if self.fruitless.0 != self.insns {
            self.fruitless = (self.insns, 0);
        }
        self.fruitless.1 += 1;
        let many = self.fruitless.1 >= FAULTS_IN_A_ROW;
        if many {
            self.fruitless.1 = 0;
        }
        many
    }

    /// Whether [`Self::look_around`] would find nothing to do after all, and the next instruction needs no care.
    #[cfg(jit)]
    pub(crate) fn nothing_happened(&self) -> bool {
        let to_deadline = self.lines.deadline.saturating_sub(self.vtime());
        self.lines.stop.is_none()
            && self.regs.activity == Activity::Running
            && self.regs.pending_debug == 0
            && !self.lines.nmi
            && !(self.lines.intr && (self.regs.flags.has(flags::IF) || self.in_shadow()))
            && !self.regs.flags.has(flags::TF)
            && self.regs.dr7 & 0xFF == 0
            && self.insns < self.stop_at
            && self.stop_at == self.insn_limit.min(self.insns.saturating_add(to_deadline))
    }

    /// Whether the next instruction must be executed alone, with the checks of [`Self::step_carefully`].
    fn needs_care(&self) -> bool {
        let held_off = self.lines.intr || self.lines.nmi || self.regs.pending_debug != 0;
        self.regs.flags.has(flags::TF) || self.regs.dr7 & 0xFF != 0 || held_off && self.in_shadow()
    }

    /// Maskable interrupts are held off: the instruction before was STI or loaded SS.
    pub(crate) fn in_shadow(&self) -> bool {
        self.insns != 0 && self.regs.sti_shadow == self.insns || self.in_ss_shadow()
    }

    /// NMI and debug traps are held off too: the instruction before loaded SS.
    pub(crate) fn in_ss_shadow(&self) -> bool {
        self.insns != 0 && self.regs.ss_shadow == self.insns
    }

    #[cfg(jit)]
    #[inline(always)]
    fn run_engine(&mut self) -> Result<(), Fault> {
        if self.jit.is_some() { self.run_compiled() } else { self.run_block() }
    }

    #[cfg(not(jit))]
    #[inline(always)]
    fn run_engine(&mut self) -> Result<(), Fault> {
        self.run_block()
    }

    /// Execute the block at CS:EIP, or as much of it as fits before `stop_at`.
    #[inline(always)]
    pub(crate) fn run_block(&mut self) -> Result<(), Fault> {
        match self.code_at_eip()? {
            Fetched::Block(id) => {
                let ops = self.blocks.take_ops(id);
                let room = (self.stop_at - self.insns).min(ops.len() as u64) as usize;
                let result = self.run_ops(&ops[..room]);
                self.blocks.put_ops(id, ops);
                result
            }
            Fetched::Single(op) => self.run_ops(&[op]),
        }
    }

    #[inline(always)]
    fn run_ops(&mut self, ops: &[Op]) -> Result<(), Fault> {
        for op in ops {
            self.next_eip = self.regs.eip.wrapping_add(op.len as u32);
            (op.run)(self, op)?;
            self.regs.eip = self.next_eip;
            self.insns += 1;
            if self.attention {
                break;
            }
        }
        Ok(())
    }

    /// Execute one instruction (one iteration of a REP), with debug conditions before and after it
    /// (SDM vol. 3, 17.3 and 6.9).
    fn step_carefully(&mut self) {
        let stop_at = std::mem::replace(&mut self.stop_at, self.insns + 1);
        if let Err(fault) = self.step_one() {
            self.raise(fault);
        }
        self.stop_at = stop_at;
    }

    fn step_one(&mut self) -> Result<(), Fault> {
        self.check_code_breakpoints()?;
        // Pending from the start: the instruction may change TF, a software interrupt withdraws it.
        if self.regs.flags.has(flags::TF) && !self.mutated(Mutant::TrapFlagIgnored) {
            self.regs.pending_debug |= DR6_BS;
        }
        // RF covers one instruction. A fault pushes it set again; IRET and task switches load it anew.
        self.regs.flags.put(flags::RF, false);
        self.run_block()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regs::gpr::{EAX, EBX};
    use crate::seg::{SegReg, Segment};
    use crate::testing::{CODE, data_of, flat, handler, in_ring};

    /// inc eax, a hundred times.
    fn hundred_incs() -> Cpu {
        flat(&[0x40; 100])
    }

    #[test]
    fn stops_at_the_exact_count_however_it_is_cut() {
        let mut whole = hundred_incs();
        assert_eq!(whole.run(90), Exit::Limit);
        let mut cut = hundred_incs();
        for limit in [1, 2, 47, 48, 49, 90] {
            assert_eq!(cut.run(limit), Exit::Limit);
            assert_eq!((cut.insns(), cut.regs.gpr[EAX] as u64), (limit, limit));
        }
        assert_eq!(cut.regs, whole.regs);
    }

    /// The handler of #UD begins with UD2, and the stack wraps round: no instruction ever completes.
    #[test]
    fn a_handler_that_faults_for_ever_gives_the_caller_a_turn() {
        let mut cpu = in_ring(0, &[0x0F, 0x0B]);
        cpu.phys_write(handler(6) as u64, 0x0B0Fu16);
        cpu.regs.seg[SegReg::Ss as usize] = Segment::new(data_of(0), 0x10000, 0xFFFF, 0x9300);
        for _ in 0..2 {
            assert_eq!(cpu.run(1), Exit::Faulting);
            assert_eq!((cpu.insns(), cpu.regs.eip), (0, handler(6)));
        }
    }

    #[test]
    fn the_deadline_is_virtual_time() {
        let mut cpu = hundred_incs();
        cpu.set_clocks(0, 1000);
        cpu.lines.deadline = 1017;
        assert_eq!(cpu.run(u64::MAX), Exit::Deadline);
        assert_eq!((cpu.insns(), cpu.vtime()), (17, 1017));
    }

    #[test]
    fn a_store_into_the_next_instruction_takes_effect() {
        // add byte [next], 8 turns the following "inc eax" (40) into "dec eax" (48); then "inc ebx".
        let next = CODE + 7;
        let mut code = vec![0x80, 0x05];
        code.extend(next.to_le_bytes());
        code.extend([0x08, 0x40, 0x43]);
        let mut cpu = flat(&code);
        cpu.regs.gpr[EAX] = 5;
        assert_eq!(cpu.run(3), Exit::Limit);
        assert_eq!((cpu.regs.gpr[EAX], cpu.regs.gpr[EBX]), (4, 1));
    }

    #[test]
    fn data_beside_code_in_one_page_does_not_disturb_it() {
        // add byte [CODE + 0x800], 1; inc eax; jmp is not needed: run the pair twice by resetting EIP.
        let mut code = vec![0x80, 0x05];
        code.extend((CODE + 0x800).to_le_bytes());
        code.extend([0x01, 0x40]);
        let mut cpu = flat(&code);
        for _ in 0..3 {
            cpu.regs.eip = CODE;
            let limit = cpu.insns() + 2;
            assert_eq!(cpu.run(limit), Exit::Limit);
        }
        assert_eq!(cpu.mem.page(1).map(|p| p[0x800]), Some(3));
        assert_eq!(cpu.counters.blocks_decoded, 1);
    }
}
