//! Two machines, one of which must be the other: an engine against the interpreter.
//!
//! The *reference* runs first and talks to the outside; every input that entered it enters the *subject* at the same
//! stamp. Devices do no I/O of their own, so two of them give the same answers, and what comes from outside is read
//! once. Then states are compared. At the first difference the pair goes back to its last common snapshot and halves
//! the distance until it knows the instruction.
//!
//! Invariants:
//! * Between two calls of [`Pair::run`] both machines stand at the same count, in the same state.
//! * Seeing whether they are the same changes nothing a guest can see.

mod compare;
mod locate;
#[cfg(test)]
mod tests;

use crate::inputs::{Input, Stamp, TimedInput};
use crate::machine::{Machine, MachineExit, Until};
use crate::outputs::OutputPort;
use crate::state::Snapshot;
pub use compare::Difference;
use cpu::mem::PAGE_SIZE;
use std::fmt;

/// Instructions between two snapshots at least.
const SNAPSHOT_EVERY: u64 = 1_000_000;
/// Instructions between two comparisons of memory, devices and TLB in lockstep.
const FULL_EVERY: u64 = 100_000;
/// Longest distance between two comparisons otherwise.
const LONGEST: u64 = 100_000;
/// Consumer of dirty-page information (see `Cpu::take_dirty_pages`).
const DIRTY_FOR_CHECK: u8 = 2;
/// Ticks by which time may jump at once: some periods of a 1 kHz timer.
const LONGEST_JUMP: u64 = 4_000_000;

/// How often to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Registers at the end of every block, so each block runs alone; everything else every 100,000 instructions.
    Lockstep,
    /// Everything at random distances of 1 to 100,000 instructions, with nothing in between to disturb the engine.
    Random(Injection),
}

/// What happens at random counts, beside what the guest brings about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Injection {
    /// Start of the sequence of random numbers.
    pub seed: u64,
    /// Time jumps, as if the processor had been halted, so that timer interrupts come at random instructions.
    pub time: bool,
    /// NMIs, for guests that can take them.
    pub nmi: bool,
}

/// What a pair did so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairStats {
    /// Instructions run and found the same.
    pub insns: u64,
    /// Comparisons of registers alone.
    pub light: u64,
    /// Comparisons of everything.
    pub full: u64,
    /// Time jumps and NMIs.
    pub injected: u64,
}

/// The first difference.
#[derive(Clone, Debug)]
pub struct Divergence {
    /// Both were the same here.
    pub same_at: Stamp,
    /// And differ here.
    pub differ_at: Stamp,
    /// The reference's place in code at `same_at`: CS, EIP, and whether code is 32-bit.
    pub place: (u16, u32, bool),
    /// The bytes there, as far as they can be read.
    pub code: Vec<u8>,
    /// What differs.
    pub differences: Vec<Difference>,
    /// Whether running the distance again in one piece gave a difference too. If not, the two stamps are those of
    /// the comparison that failed.
    pub reproduced: bool,
}

impl fmt::Display for Divergence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (cs, eip, _) = self.place;
        let (same, differ) = (self.same_at.insns, self.differ_at.insns);
        write!(
            f,
            "the engines differ after instruction {differ} (same after {same}, at {cs:04x}:{eip:08x})"
        )?;
        self.differences.iter().try_for_each(|difference| write!(f, "\n  {difference}"))
    }
}

/// Something done to both machines from outside, to be done again when they run again.
#[derive(Clone, Copy, Debug)]
struct Jump {
    at: u64,
    ticks: u64,
}

/// A reference and a subject.
pub struct Pair {
    /// The machine that talks to the outside.
    pub reference: Machine,
    subject: Machine,
    mode: Mode,
    random: u64,
    /// The last moment both are known to be the same, and what entered since.
    snapshot: Snapshot,
    snapshot_at: u64,
    entered: Vec<TimedInput>,
    jumps: Vec<Jump>,
    next_full: u64,
    stats: PairStats,
}

impl Pair {
    /// A pair of machines that were built and loaded alike.
    ///
    /// # Errors
    /// They are not alike.
    pub fn new(mut reference: Machine, mut subject: Machine, mode: Mode) -> Result<Pair, Box<Divergence>> {
        let differences = compare::everything(&mut reference, &mut subject);
        if !differences.is_empty() {
            let at = reference.now();
            return Err(Box::new(divergence(&mut reference, at, at, differences, true)));
        }
        reference.inputs.record(true);
        subject.inputs.timed.clear();
        let snapshot = reference.snapshot();
        subject.snapshot();
        let now = reference.now().insns;
        let seed = match mode {
            Mode::Lockstep => 0,
            Mode::Random(injection) => injection.seed,
        };
        Ok(Pair {
            reference,
            subject,
            mode,
            random: seed ^ 0x9E37_79B9_7F4A_7C15,
            snapshot,
            snapshot_at: now,
            entered: Vec::new(),
            jumps: Vec::new(),
            next_full: now + FULL_EVERY,
            stats: PairStats::default(),
        })
    }

    /// The machine that is checked.
    pub fn subject(&self) -> &Machine {
        &self.subject
    }

    /// Counts so far.
    pub fn stats(&self) -> PairStats {
        self.stats
    }

    /// As [`Machine::run`] of the reference.
    ///
    /// # Errors
    /// The first difference. The machines are of no use then.
    pub fn run(&mut self, until: Until) -> Result<MachineExit, Box<Divergence>> {
        loop {
            let start = self.reference.now();
            let mut step = self.step(start, until);
            step.insns = step.insns.min(until.insns);
            let exit = self.advance(start, step)?;
            let now = self.reference.now();
            if exit != MachineExit::Limit || now.insns >= until.insns || now.vtime >= until.vtime {
                self.finish_run(start)?;
                return Ok(exit);
            }
            self.inject();
        }
    }

    /// As [`Machine::pass_idle`] of the reference.
    pub fn pass_idle(&mut self, vtime: u64) {
        self.reference.pass_idle(vtime);
        let vtime = self.reference.now().vtime;
        self.subject.cpu.skip_idle(vtime);
        self.take_snapshot();
    }

    /// Do `f`, which must not depend on time or chance, to both: a reset, for example.
    ///
    /// # Errors
    /// That of `f`.
    pub fn both<E>(&mut self, f: impl Fn(&mut Machine) -> Result<(), E>) -> Result<(), E> {
        f(&mut self.reference)?;
        f(&mut self.subject)?;
        self.take_snapshot();
        Ok(())
    }

    /// How far to go before the next comparison.
    fn step(&mut self, now: Stamp, until: Until) -> Until {
        let distance = match self.mode {
            Mode::Lockstep => {
                self.reference.cpu.instructions_ahead().max(self.subject.cpu.instructions_ahead())
            }
            Mode::Random(_) => self.distance(),
        };
        Until { insns: now.insns.saturating_add(distance), ..until }
    }

    /// Half of the distances are short: their logarithm is even.
    fn distance(&mut self) -> u64 {
        let longest = match self.next_random() % 2 {
            0 => LONGEST,
            _ => 1 << (self.next_random() % 17),
        };
        1 + self.next_random() % longest
    }

    /// Run both to `step` and compare.
    fn advance(&mut self, start: Stamp, step: Until) -> Result<MachineExit, Box<Divergence>> {
        let exit = self.reference.run(step);
        for input in self.reference.inputs.record(true) {
            self.subject.inputs.add(input.at, input.input.clone());
            self.entered.push(input);
        }
        let follows = self.subject.run(match exit {
            // The subject's outputs are not watched: it shall just get as far.
            MachineExit::Output => Until { insns: u64::MAX, vtime: self.reference.now().vtime },
            _ => step,
        });
        let same_exit = follows == exit || exit == MachineExit::Output && follows == MachineExit::Limit;
        let mut differences = compare::registers(&mut self.reference, &mut self.subject);
        self.stats.light += 1;
        if !same_exit {
            differences.push(Difference::new("end of the run", format!("{exit:?}"), format!("{follows:?}")));
        }
        let now = self.reference.now().insns;
        if differences.is_empty() && (self.mode != Mode::Lockstep || now >= self.next_full) {
            differences = self.compare_fully();
        }
        if differences.is_empty() {
            self.stats.insns += now - start.insns;
            return Ok(exit);
        }
        Err(Box::new(self.locate(start, differences)))
    }

    fn compare_fully(&mut self) -> Vec<Difference> {
        self.stats.full += 1;
        let differences = compare::everything(&mut self.reference, &mut self.subject);
        let now = self.reference.now().insns;
        self.next_full = now + FULL_EVERY;
        if differences.is_empty() && now - self.snapshot_at >= SNAPSHOT_EVERY {
            self.take_snapshot();
        }
        differences
    }

    /// Before the owner sees the reference: everything is the same, and both said the same.
    fn finish_run(&mut self, start: Stamp) -> Result<(), Box<Divergence>> {
        // Lockstep has compared registers only, most likely.
        let mut differences = if self.mode == Mode::Lockstep { self.compare_fully() } else { Vec::new() };
        for port in OutputPort::all() {
            let said = self.subject.take_output(port);
            self.reference.with_outputs(|outputs| {
                if outputs.waiting(port) != said {
                    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).escape_debug().to_string();
                    let name = format!("output of {port:?}");
                    differences.push(Difference::new(name, text(outputs.waiting(port)), text(&said)));
                }
            });
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(Box::new(self.locate(start, differences)))
    }

    fn take_snapshot(&mut self) {
        self.snapshot = self.reference.snapshot();
        self.snapshot_at = self.reference.now().insns;
        self.entered.clear();
        self.jumps.clear();
    }

    /// Random events, between two distances.
    fn inject(&mut self) {
        let Mode::Random(injection) = self.mode else { return };
        if injection.time && self.next_random().is_multiple_of(4) {
            let ticks = 1 + self.next_random() % LONGEST_JUMP;
            let at = self.reference.now().insns;
            self.jump(Jump { at, ticks });
            self.jumps.push(Jump { at, ticks });
            self.stats.injected += 1;
        }
        if injection.nmi && self.next_random().is_multiple_of(4) {
            let at = self.reference.now().insns + self.next_random() % LONGEST;
            self.reference.inputs.add(Stamp { insns: at, vtime: 0 }, Input::Nmi);
            self.stats.injected += 1;
        }
    }

    fn jump(&mut self, jump: Jump) {
        for machine in [&mut self.reference, &mut self.subject] {
            let vtime = machine.now().vtime;
            machine.cpu.skip_idle(vtime.saturating_add(jump.ticks));
        }
    }

    /// xorshift64*.
    fn next_random(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 16
    }
}

/// Describe a difference found between two moments; `machine` stands at the first.
fn divergence(
    machine: &mut Machine,
    same_at: Stamp,
    differ_at: Stamp,
    differences: Vec<Difference>,
    reproduced: bool,
) -> Divergence {
    let regs = &machine.cpu.regs;
    let cs = regs.cs();
    let place = (cs.selector, regs.eip, cs.big());
    let linear = cs.base.wrapping_add(regs.eip);
    let code = machine.cpu.peek_linear(linear, 2 * PAGE_SIZE.min(32));
    Divergence { same_at, differ_at, place, code, differences, reproduced }
}
