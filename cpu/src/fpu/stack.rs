//! The register stack (SDM vol. 1, 8.1.2, 8.5.1.1): stack faults, delivery of results, pushing and popping.
//!
//! Invariant: an unmasked exception of the operands (invalid, denormal, divide by zero, stack fault) leaves registers
//! and TOP as they were; only flags change.

use super::Fpu;
use super::environment::{Env, flag};
use super::extended::{Extended, Operand};
use super::state::status;

impl Fpu {
    /// The environment of the next operation.
    pub(super) fn env(&self) -> Env {
        Env::new(self.control)
    }

    /// ST(i), unless it is empty.
    pub(super) fn get(&self, i: usize) -> Option<Extended> {
        let n = self.st(i);
        (self.in_use >> n & 1 != 0).then_some(self.regs[n])
    }

    /// ST(i) as an operand.
    pub(super) fn operand(&self, i: usize) -> Option<Operand> {
        self.get(i).map(Operand::from)
    }

    /// Write ST(i).
    pub(super) fn set(&mut self, i: usize, value: Extended) {
        let n = self.st(i);
        self.regs[n] = value;
        self.in_use |= 1 << n;
    }

    /// Mark ST(i) empty.
    pub(super) fn free(&mut self, i: usize) {
        self.in_use &= !(1 << self.st(i));
    }

    pub(super) fn pop(&mut self) {
        self.free(0);
        self.rotate(1);
    }

    /// Add to TOP.
    pub(super) fn rotate(&mut self, by: usize) {
        self.set_top(self.top() + by);
    }

    /// Set C3, C2 and C0 among `mask`.
    pub(super) fn set_condition(&mut self, mask: u16, bits: u16) {
        self.status = self.status & !mask | bits;
    }

    /// Record exceptions, beside those of an operation that has settled.
    pub(super) fn raise(&mut self, flags: u16) {
        self.status |= flags;
        self.update_summary();
    }

    /// Take over the exceptions of an operation. Whether its result may be delivered: not if an exception of the
    /// operands is unmasked; then exceptions of the result count for nothing.
    pub(super) fn settle(&mut self, env: &Env) -> bool {
        let stopped = env.stopped();
        let flags = if stopped { env.flags & (flag::BEFORE | flag::STACK) } else { env.flags };
        let c1 = env.c1 && (!stopped || flags & flag::STACK != 0);
        self.status = self.status & !status::C1 | flags | if c1 { status::C1 } else { 0 };
        self.update_summary();
        !stopped
    }

    /// Push the result of `f`, which is not asked if there is no room.
    pub(super) fn push_with(&mut self, f: impl FnOnce(&mut Env) -> Extended) {
        if self.get(7).is_some() {
            self.push_anyway(Env::stack_overflow);
        } else {
            self.push_anyway(f);
        }
    }

    /// Push the result of `f` without a look at the register it goes to.
    pub(super) fn push_anyway(&mut self, f: impl FnOnce(&mut Env) -> Extended) {
        let mut env = self.env();
        let value = f(&mut env);
        if self.settle(&env) {
            self.rotate(7);
            self.set(0, value);
        }
    }

    /// `ST(0) = f(ST(0))`.
    pub(super) fn unary(&mut self, f: impl FnOnce(&mut Env, Operand) -> Extended) {
        let mut env = self.env();
        let value = match self.operand(0) {
            Some(a) => f(&mut env, a),
            None => env.stack_underflow(),
        };
        if self.settle(&env) {
            self.set(0, value);
        }
    }

    /// `ST(dest) = f(a, b)`, then pop `POPS` times. Whether that happened, or an unmasked exception stopped it.
    pub(super) fn binary<const POPS: usize>(
        &mut self,
        dest: usize,
        a: Option<Operand>,
        b: Option<Operand>,
        f: impl FnOnce(&mut Env, Operand, Operand) -> Extended,
    ) -> bool {
        let mut env = self.env();
        let value = match (a, b) {
            (Some(a), Some(b)) => f(&mut env, a, b),
            _ => env.stack_underflow(),
        };
        let delivered = self.settle(&env);
        if delivered {
            self.set(dest, value);
            (0..POPS).for_each(|_| self.pop());
        }
        delivered
    }
}

#[cfg(test)]
mod tests {
    use super::super::arithmetic::{add, divide};
    use super::*;

    fn initialized() -> Fpu {
        let mut fpu = Fpu::default();
        fpu.initialize();
        fpu
    }

    fn int(value: i64) -> Extended {
        Extended::from_integer(value)
    }

    #[test]
    fn masked_stack_faults_give_the_indefinite() {
        let mut fpu = initialized();
        for n in 0..8 {
            fpu.push_with(|_| int(n));
        }
        assert_eq!((fpu.top(), fpu.in_use, fpu.status & 0x7F), (0, 0xFF, 0));
        fpu.push_with(|_| int(8));
        assert_eq!((fpu.top(), fpu.get(0)), (7, Some(Extended::INDEFINITE)));
        assert_eq!(fpu.status & (0x7F | status::C1), 0x41 | status::C1);
        let mut fpu = initialized();
        fpu.unary(|_, a| a.value);
        assert_eq!(fpu.get(0), Some(Extended::INDEFINITE));
        assert_eq!(fpu.status & (0x7F | status::C1), 0x41);
    }

    #[test]
    fn unmasked_operand_exceptions_leave_registers_alone() {
        let mut fpu = initialized();
        fpu.push_with(|_| int(0));
        fpu.push_with(|_| int(1));
        fpu.set_control(0x037B);
        let before = fpu.clone();
        fpu.binary::<1>(1, fpu.operand(0), fpu.operand(1), divide);
        assert_eq!((fpu.regs, fpu.top()), (before.regs, before.top()));
        assert!(fpu.error_pending() && fpu.status & flag::DIVIDE != 0);
    }

    #[test]
    fn results_reach_their_register() {
        let mut fpu = initialized();
        fpu.push_with(|_| int(2));
        fpu.push_with(|_| int(3));
        fpu.binary::<1>(1, fpu.operand(1), fpu.operand(0), add);
        assert_eq!((fpu.get(0), fpu.get(7), fpu.top()), (Some(int(5)), None, 7));
    }
}
