//! A processor that runs case after case.

use crate::bus::AnyBus;
use crate::code::{self, Places};
use crate::entropy::Entropy;
use crate::state::{self, Mode};
use crate::world::{self, Addresses, CODE, RAM};
use cpu::bus::StopRequest;
use cpu::mem::{PAGE_SIZE, PhysMem, Ram};
use cpu::regs::{Registers, gpr};
use cpu::{Cpu, Engine, Exit, flags};
use iced_x86::Code;
use xxhash_rust::xxh3::Xxh3;

/// Consumer number for dirty pages.
const DIRTY: u8 = 6;

/// How a case is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Schedule {
    /// As few calls of `Cpu::run` as there can be.
    Whole,
    /// An instruction a call.
    Steps,
    /// As `Whole`, compiled to host code.
    Compiled,
}

/// Executions in a case: a state is used more than once, for making it costs more than a few instructions.
const EXECUTIONS: u32 = 64;
/// Bytes of code between two executions.
const APART: u32 = 0x30;

/// How a case ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Programs run.
    pub executions: u64,
    /// Instructions completed.
    pub insns: u64,
    /// First instructions of the programs, as far as they are ones the processor knows and completed.
    pub completed: Vec<Code>,
    /// It was given up in a chain of exceptions without an instruction; where in it depends on the schedule.
    pub faulting: bool,
}

/// See the module.
pub struct Rig {
    cpu: Cpu,
    image: Vec<u8>,
    changed: Vec<u32>,
}

impl Default for Rig {
    fn default() -> Rig {
        let image = world::image();
        let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(RAM)), Box::new(AnyBus::new(0)));
        cpu.mem.write_bytes(0, &image);
        cpu.take_dirty_pages(DIRTY);
        Rig { cpu, image, changed: Vec::new() }
    }
}

impl Rig {
    /// Run the case that `e` describes.
    pub fn run(&mut self, e: &mut Entropy<'_>, schedule: Schedule) -> Outcome {
        self.restore();
        self.choose_engine(schedule == Schedule::Compiled);
        let mode = self.load(e);
        let start = self.cpu.regs.clone();
        let mut outcome = Outcome::default();
        let programs = 1 + e.below(EXECUTIONS);
        for n in 0..programs {
            if n != 0 {
                self.begin_again(&start, mode, e);
            }
            let first = self.put_program(n, mode, e);
            let before = self.cpu.insns();
            let limit = if e.one_in(512) { 2000 } else { 1 + e.below(if n == 0 { 30 } else { 4 }) as u64 };
            outcome.faulting = self.execute(before + limit, schedule) == Exit::Faulting;
            outcome.executions += 1;
            outcome.completed.extend(first.filter(|_| self.cpu.insns() != before));
            if outcome.faulting {
                break;
            }
        }
        outcome.insns = self.cpu.insns();
        outcome
    }

    /// The processor, after a case.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// The final state as lines of text, for a person who compares two.
    pub fn describe(&mut self) -> Vec<String> {
        self.note_changes();
        let cpu = &self.cpu;
        let mut lines: Vec<String> = format!("{:#x?}", (&cpu.regs, &cpu.fpu, &cpu.simd, &cpu.lines))
            .lines()
            .chain(format!("{:x?}", cpu.tlb.entries()).split("), "))
            .map(str::to_owned)
            .collect();
        lines.push(format!(
            "eflags {:x}, insns {}, vtime {}",
            cpu.regs.flags.get(),
            cpu.insns(),
            cpu.vtime()
        ));
        for &page in &self.changed {
            for (n, row) in cpu.mem.page(page as usize).unwrap_or_default().chunks(16).enumerate() {
                lines.push(format!("{:05x} {row:02x?}", page as usize * PAGE_SIZE + 16 * n));
            }
        }
        lines
    }

    fn note_changes(&mut self) {
        self.changed.extend(self.cpu.take_dirty_pages(DIRTY));
        self.changed.sort_unstable();
        self.changed.dedup();
    }

    /// Compile every block at once, or none. Interpreted if this host has no compiled engine.
    fn choose_engine(&mut self, compiled: bool) {
        let engine = if compiled { Engine::Jit } else { Engine::Interp };
        if self.cpu.engine() != engine && self.cpu.set_engine(engine).is_ok() {
            self.cpu.compile_after(1);
        }
    }

    /// RAM, lines and clocks as at first.
    fn restore(&mut self) {
        self.note_changes();
        let (changed, image) = (std::mem::take(&mut self.changed), &self.image);
        self.cpu.with_bus(|_, cx| {
            *cx.lines = Default::default();
            for &page in &changed {
                let at = page as usize * PAGE_SIZE;
                cx.mem.write_bytes(at as u64, &image[at..at + PAGE_SIZE]);
            }
        });
        self.cpu.reset();
        self.cpu.set_clocks(0, 0);
        self.cpu.fault_address = 0;
        self.cpu.take_dirty_pages(DIRTY);
    }

    /// Make the case's tables and registers.
    fn load(&mut self, e: &mut Entropy<'_>) -> Mode {
        let seed = e.bits();
        for (at, bytes) in world::patches(e) {
            self.cpu.with_bus(|_, cx| cx.mem.write_bytes(at as u64, &bytes));
        }
        let mode = state::randomize(&mut self.cpu, e);
        self.cpu.with_bus(|bus, cx| {
            if let Some(bus) = bus.as_any_mut().downcast_mut::<AnyBus>() {
                bus.seed(seed);
            }
            cx.lines.intr = seed & 63 == 0;
            cx.lines.nmi = seed >> 6 & 63 == 0;
        });
        mode
    }

    /// The registers of the case's start, but for a few; memory, TLB and floating point as they have become.
    fn begin_again(&mut self, start: &Registers, mode: Mode, e: &mut Entropy<'_>) {
        let cpu = &mut self.cpu;
        cpu.lines.deadline = u64::MAX;
        cpu.regs.clone_from(start);
        let places = Addresses { flat: mode.flat() };
        for _ in 0..2 {
            let n = e.below(8) as usize;
            if n != gpr::ESP {
                cpu.regs.gpr[n] = places.value(e);
            }
        }
        let arithmetic = start.flags.get() & !flags::ARITH | e.word() & flags::ARITH;
        cpu.regs.flags.set(arithmetic);
    }

    /// Put program number `n` into RAM and EIP on it. Returns the encoding of its first instruction.
    fn put_program(&mut self, n: u32, mode: Mode, e: &mut Entropy<'_>) -> Option<Code> {
        let (bytes, first) = program(mode, if n == 0 { 6 } else { 2 }, e);
        let offset = if e.one_in(16) { 0x2000 - e.below(16) } else { 0x1200 + APART * n };
        self.cpu.with_bus(|_, cx| cx.mem.write_bytes((CODE + offset) as u64, &bytes));
        self.cpu.regs.eip = if mode.flat() { CODE + offset } else { offset };
        self.cpu.state_changed();
        first
    }

    fn execute(&mut self, limit: u64, schedule: Schedule) -> Exit {
        // Every turn of the loop completes an instruction, moves the deadline or uses up a chance.
        let mut chances = 16;
        loop {
            let next = match schedule {
                Schedule::Whole | Schedule::Compiled => limit,
                Schedule::Steps => (self.cpu.insns() + 1).min(limit),
            };
            let exit = self.cpu.run(next);
            match exit {
                Exit::Limit if next == limit => return exit,
                Exit::Limit => continue,
                Exit::Deadline => self.cpu.lines.deadline = u64::MAX,
                Exit::Halted if self.cpu.insns() < limit => {
                    let later = self.cpu.vtime() + 1000;
                    self.cpu.skip_idle(later);
                    self.cpu.lines.nmi = true;
                }
                Exit::Stop(StopRequest::Reset) if self.cpu.insns() < limit => {}
                _ => return exit,
            }
            chances -= 1;
            if chances == 0 {
                return exit;
            }
        }
    }

    /// Hash of everything the program can see, and of counts.
    pub fn digest(&mut self) -> u64 {
        self.note_changes();
        let mut hash = Xxh3::new();
        let cpu = &self.cpu;
        let state = (&cpu.regs, &cpu.fpu, &cpu.simd, &cpu.tlb, &cpu.lines, cpu.insns(), cpu.vtime());
        hash.update(&postcard::to_stdvec(&state).expect("plain data serializes"));
        for &page in &self.changed {
            hash.update(&page.to_le_bytes());
            hash.update(cpu.mem.page(page as usize).unwrap_or_default());
        }
        hash.digest()
    }
}

/// A few instructions, then whatever the RAM holds.
fn program(mode: Mode, more: u32, e: &mut Entropy<'_>) -> (Vec<u8>, Option<Code>) {
    let places = Addresses { flat: mode.flat() };
    let mut bytes = Vec::new();
    let first = code::instruction(mode.big(), &places, e, &mut bytes);
    for _ in 0..e.below(more) {
        code::instruction(mode.big(), &places, e, &mut bytes);
    }
    if e.one_in(2) {
        bytes.push(0xF4);
    }
    (bytes, first)
}
