//! The modes that code was compiled for, and which of them is the current one.

use super::{COST_OF_CEILING, Jit};
use crate::Cpu;
use crate::jit::jump_table::JumpTable;
use crate::jit::mode::Mode;
use crate::jit::{EmitFault, backend};

/// A mode, and what belongs to its code.
pub(super) struct ModeState {
    pub mode: Mode,
    pub table: JumpTable,
    /// Where the search for indirect targets is, and its code as far as the table has them.
    pub dispatch: usize,
    pub look_up: Vec<u8>,
    /// See [`Mode::ceiling`]; 0 for none.
    pub ceiling: u32,
    /// The mode that followed this one last.
    pub next: usize,
}

impl Jit {
    /// Whether the processor is in the current mode.
    pub(in crate::jit) fn mode_holds(&self, cpu: &Cpu) -> bool {
        self.modes.get(self.current).is_some_and(|m| m.mode.holds(cpu))
    }

    /// The number of the processor's mode, if it has been in it before.
    pub(in crate::jit) fn known_mode(&self, cpu: &Cpu) -> Option<usize> {
        let holds = |&n: &usize| self.modes.get(n).is_some_and(|m| m.mode.holds(cpu));
        let next = self.modes.get(self.current).map(|m| m.next);
        next.filter(holds).or_else(|| (0..self.modes.len()).find(|n| holds(n)))
    }

    /// The number of the current mode.
    pub(in crate::jit) fn current(&self) -> usize {
        self.current
    }

    /// Make a mode that was found by [`Self::known_mode`] the current one.
    pub(in crate::jit) fn set_mode(&mut self, number: usize) {
        if let Some(mode) = self.modes.get_mut(self.current) {
            mode.next = number;
        }
        self.current = number;
    }

    /// The first page that is not in the view of the current mode's code, or 0 if it sees all.
    pub fn ceiling(&self) -> u32 {
        match self.modes.get(self.current) {
            Some(_) if self.emit_fault == Some(EmitFault::CeilingUnseen) => 0,
            Some(mode) => mode.ceiling,
            None => 0,
        }
    }

    /// The ceiling is another, and `pages` pages were looked at for that.
    pub fn charge_ceiling(&mut self, pages: usize) {
        self.debt += COST_OF_CEILING + pages as u64 / 4;
    }

    /// Where the search for indirect targets of the current mode begins.
    #[inline(always)]
    pub fn dispatch_address(&self) -> u64 {
        self.memory.address(self.modes[self.current].dispatch) as u64
    }

    /// Make `mode`, in which the processor has not been before, the current one.
    pub(in crate::jit) fn add_mode(&mut self, mode: Mode) {
        let table = JumpTable::new();
        let at = self.used;
        let look_up = backend::look_up(table.address(), mode.cs().base);
        let code = backend::dispatch(&look_up, mode.cs().base, &self.stubs, at);
        self.memory.write(at, &code);
        self.used = (at + code.len()).next_multiple_of(16);
        let ceiling = mode.ceiling().unwrap_or(0);
        self.modes.push(ModeState { mode, table, dispatch: at, look_up, ceiling, next: 0 });
        self.set_mode(self.modes.len() - 1);
    }
}
