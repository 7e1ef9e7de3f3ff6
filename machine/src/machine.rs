//! The machine: one processor, its memory and chipset, and the run loop that moves virtual time.
//!
//! Invariants:
//! * At every return from [`Machine::run`] the machine stands between two instructions, and its state is that of an
//!   uninterrupted run to the same counts.
//! * Events that are due happen before inputs that enter at the same moment.

use crate::chipset::{Chipset, Devices};
use crate::devices::ide::MAX_DISKS;
use crate::devices::vga::text::TextScreen;
use crate::hash::RamHash;
use crate::inputs::{Input, Inputs, Stamp};
use crate::media::Medium;
use crate::memory_map::{self, RAM_LIMITS};
use crate::outputs::{OutputPort, Outputs};
use crate::ram;
use crate::state::Baseline;
use cpu::bus::{BusContext, StopRequest};
use cpu::flags;
use cpu::mem::PhysMem;
use cpu::{Cpu, Exit};

/// What a machine is built from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Config {
    /// Bytes of RAM, a multiple of 4096 within [`RAM_LIMITS`].
    pub ram: u64,
    /// What the clock shows at virtual time 0, in seconds since 1970.
    pub rtc: i64,
}

/// A machine cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// More or less RAM than the address space has room for.
    #[error("{0} bytes of RAM: the machine takes 1 MiB to 3072 MiB, in whole 4 KiB pages")]
    RamSize(u64),
    /// The host has no memory for the guest.
    #[error("no memory for {size} bytes of RAM: {source}")]
    Allocate {
        /// Bytes asked for.
        size: u64,
        /// What the operating system said.
        source: std::io::Error,
    },
}

/// When a run ends if nothing ends it before. Both are absolute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Until {
    /// Instructions retired.
    pub insns: u64,
    /// Virtual time.
    pub vtime: u64,
}

impl Until {
    /// No end.
    pub const FOREVER: Until = Until { insns: u64::MAX, vtime: u64::MAX };

    /// At `insns` instructions.
    pub const fn insns(insns: u64) -> Until {
        Until { insns, vtime: u64::MAX }
    }

    /// At virtual time `vtime`.
    pub const fn vtime(vtime: u64) -> Until {
        Until { insns: u64::MAX, vtime }
    }
}

/// Why a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MachineExit {
    /// One of the bounds of [`Until`] was reached.
    Limit,
    /// A watched output port spoke in the last instruction ([`Outputs::watch`]), or the guest flushed a disk whose
    /// contents the owner saves ([`Medium::take_flush`]).
    Output,
    /// Halted, and nothing happens before `wake_at`; never, without input, if that is `None`. With idle pacing off
    /// only the latter is reported. Call [`Machine::pass_idle`] to let time pass.
    Idle {
        /// Virtual time of the next thing to happen.
        wake_at: Option<u64>,
    },
    /// Halted with interrupts disabled: only an NMI could wake it.
    Dead,
    /// Exception after exception and no instruction that completes: time stands still. Running on is allowed; after
    /// [`MachineExit::ENDLESS`] of these in a row nothing else can ever happen.
    Faulting,
    /// Triple fault; the processor waits for RESET.
    TripleFault,
    /// The guest asked for RESET. [`Machine::reset`] does it.
    Reset,
    /// The guest powered the machine off.
    PowerOff,
    /// The guest wrote this to the debug-exit port.
    DebugExit(u32),
}

impl MachineExit {
    /// [`MachineExit::Faulting`] so often in a row means for ever: each delivery pushes six bytes or more, so the stack
    /// has been through all of the linear address space, and nothing it overwrote ended it.
    pub const ENDLESS: u32 = ((1u64 << 32).div_ceil(6) / cpu::FAULTS_IN_A_ROW as u64) as u32 + 1;
}

/// Counts for `--stats`; no part of the state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instructions retired.
    pub insns: u64,
    /// Virtual time.
    pub vtime: u64,
    /// Exceptions delivered.
    pub exceptions: u64,
    /// Hardware interrupts delivered, NMIs included.
    pub irqs: u64,
    /// Software interrupts delivered.
    pub software_interrupts: u64,
}

/// A PC.
pub struct Machine {
    /// The processor, with memory and chipset.
    pub cpu: Cpu,
    /// What comes from outside.
    pub inputs: Inputs,
    /// Report idle time instead of skipping it, so that the owner can pace it to a wall clock.
    pub pace_idle: bool,
    pub(crate) ram_hash: RamHash,
    pub(crate) baseline: Baseline,
}

impl Machine {
    /// A machine just after power-up: empty RAM, the processor at its reset vector.
    ///
    /// # Errors
    /// RAM size out of bounds, or no memory on the host.
    pub fn new(config: Config) -> Result<Machine, ConfigError> {
        let size = config.ram;
        if !RAM_LIMITS.contains(&size) || !size.is_multiple_of(cpu::mem::PAGE_SIZE as u64) {
            return Err(ConfigError::RamSize(size));
        }
        let len = usize::try_from(memory_map::store_size(size)).map_err(|_| ConfigError::RamSize(size))?;
        let ram = ram::allocate(len).map_err(|source| ConfigError::Allocate { size, source })?;
        let mut mem = PhysMem::with_backing(ram, size);
        memory_map::install(&mut mem);
        let chipset = Chipset::new(Devices::new(config.rtc, size));
        chipset.map_memory(&mut mem);
        Ok(Machine {
            cpu: Cpu::new(mem, Box::new(chipset)),
            inputs: Inputs::default(),
            pace_idle: false,
            ram_hash: RamHash::default(),
            baseline: None,
        })
    }

    /// Connect a hard disk with `medium` on it as the next one: primary master, primary slave, secondary master,
    /// secondary slave. Its number among the machine's media, or nothing if all places are taken.
    pub fn connect_disk(&mut self, medium: Medium) -> Option<usize> {
        self.with_chipset(|chipset, _| {
            let n = chipset.media.len();
            (n < MAX_DISKS).then(|| {
                chipset.devices.ide.connect(n, medium.sectors());
                chipset.media.push(medium);
                n
            })
        })
    }

    /// Put a network device in, with a gateway behind it that answers by itself; who carries what it wants of the outside calls
    /// [`Outputs::watch_network`]. Before anything is loaded, so that boot protocols set it up.
    pub fn connect_network(&mut self) {
        self.with_chipset(|chipset, _| chipset.devices.virtio.plug_net(&mut chipset.devices.pci));
    }

    /// Put an entropy device in, whose bytes follow from `seed`. Before anything is loaded.
    pub fn connect_rng(&mut self, seed: u64) {
        self.with_chipset(|chipset, _| chipset.devices.virtio.plug_rng(&mut chipset.devices.pci, seed));
    }

    /// Put a serial device with `ports` ports in, 31 at most. Before anything is loaded.
    pub fn connect_serial(&mut self, ports: usize) {
        self.with_chipset(|chipset, _| chipset.devices.virtio.plug_serial(&mut chipset.devices.pci, ports));
    }

    /// The chipset, to look at.
    pub fn chipset(&self) -> &Chipset {
        self.cpu.bus().as_any().downcast_ref().unwrap_or_else(|| unreachable!("the bus is made in new()"))
    }

    /// Work with the chipset and what it is wired to.
    pub fn with_chipset<R>(&mut self, f: impl FnOnce(&mut Chipset, &mut BusContext<'_>) -> R) -> R {
        self.cpu.with_bus(|bus, cx| match bus.as_any_mut().downcast_mut() {
            Some(chipset) => f(chipset, cx),
            None => unreachable!("the bus is made in new()"),
        })
    }

    /// What the machine has said to the outside.
    pub fn with_outputs<R>(&mut self, f: impl FnOnce(&mut Outputs) -> R) -> R {
        self.with_chipset(|chipset, _| f(&mut chipset.outputs))
    }

    /// Take everything `port` has said since the last call.
    pub fn take_output(&mut self, port: OutputPort) -> Vec<u8> {
        self.with_outputs(|outputs| outputs.take(port))
    }

    /// What the screen shows, or `None` if that is pixels.
    pub fn text_screen(&self) -> Option<TextScreen> {
        self.chipset().devices.vga.text(&self.cpu.mem)
    }

    /// Both clocks.
    pub fn now(&self) -> Stamp {
        Stamp { insns: self.cpu.insns(), vtime: self.cpu.vtime() }
    }

    /// Counts so far.
    pub fn stats(&self) -> Stats {
        let counters = self.cpu.counters;
        Stats {
            insns: self.cpu.insns(),
            vtime: self.cpu.vtime(),
            exceptions: counters.exceptions,
            irqs: counters.irqs,
            software_interrupts: counters.software_interrupts,
        }
    }

    /// A rising edge on NMI, now.
    pub fn raise_nmi(&mut self) {
        self.inputs.add(self.now(), Input::Nmi);
    }

    /// A rising edge on NMI when `insns` instructions have been retired.
    pub fn raise_nmi_at(&mut self, insns: u64) {
        self.inputs.add(Stamp { insns, vtime: 0 }, Input::Nmi);
    }

    /// The RESET button: processor and chipset start anew; memory, clocks and the calendar stay.
    pub fn reset(&mut self) {
        self.cpu.reset();
        self.with_chipset(|chipset, cx| {
            chipset.devices.reset();
            chipset.follow_pci();
            chipset.map_memory(cx.mem);
            *cx.lines = cpu::bus::Lines::default();
            chipset.update_lines(cx.lines);
        });
    }

    /// While idle: let time pass up to `vtime`, but not past the next event or timed input.
    pub fn pass_idle(&mut self, vtime: u64) {
        let event = self.chipset().devices.events.next_time();
        let input = self.inputs.next_vtime(self.now()).unwrap_or(u64::MAX);
        self.cpu.skip_idle(vtime.min(event).min(input));
    }

    /// Run until something needs the owner.
    pub fn run(&mut self, until: Until) -> MachineExit {
        loop {
            let now = self.now();
            self.enter(now);
            if self.with_chipset(|chipset, cx| {
                let seen = chipset.outputs.take_seen();
                chipset.update_lines(cx.lines);
                seen
            }) {
                return MachineExit::Output;
            }
            if now.insns >= until.insns || now.vtime >= until.vtime {
                return MachineExit::Limit;
            }
            let limit = self.inputs.next_insns(now).map_or(until.insns, |insns| insns.min(until.insns));
            let horizon = self.inputs.next_vtime(now).map_or(until.vtime, |vtime| vtime.min(until.vtime));
            self.with_chipset(|chipset, cx| {
                chipset.horizon = horizon;
                chipset.update_lines(cx.lines);
            });
            match self.cpu.run(limit) {
                Exit::Deadline | Exit::Limit => {}
                Exit::Halted => {
                    if let Some(exit) = self.idle(until) {
                        return exit;
                    }
                }
                Exit::Shutdown => return MachineExit::TripleFault,
                Exit::Faulting => return MachineExit::Faulting,
                Exit::Stop(StopRequest::Reset) => return MachineExit::Reset,
                Exit::Stop(StopRequest::PowerOff) => return MachineExit::PowerOff,
                Exit::Stop(StopRequest::DebugExit(value)) => return MachineExit::DebugExit(value),
            }
        }
    }

    /// What happens at `now`: events that are due, then inputs.
    fn enter(&mut self, now: Stamp) {
        self.with_chipset(Chipset::fire_due);
        while let Some(input) = self.inputs.pop_due(now) {
            self.with_chipset(|chipset, cx| chipset.deliver(cx, &input));
        }
    }

    /// The processor is halted: skip to what happens next, or tell the owner.
    fn idle(&mut self, until: Until) -> Option<MachineExit> {
        let input_at = self.inputs.next_vtime(self.now());
        let listening = self.cpu.regs.flags.has(flags::IF);
        let chipset = self.chipset();
        let event_at = (listening && chipset.can_wake()).then(|| chipset.devices.events.next_time());
        let Some(wake_at) = event_at.into_iter().chain(input_at).min() else {
            return Some(if listening { MachineExit::Idle { wake_at: None } } else { MachineExit::Dead });
        };
        if self.pace_idle {
            return Some(MachineExit::Idle { wake_at: Some(wake_at.min(until.vtime)) });
        }
        // Events that cannot wake the processor still happen at their times.
        let next = chipset.devices.events.next_time();
        self.cpu.skip_idle(wake_at.min(next).min(until.vtime));
        None
    }
}

#[cfg(test)]
mod tests;
