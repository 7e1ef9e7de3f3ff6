//! A run: a machine wired to terminal, files, limits and reports.
//!
//! The machine runs in slices on the main thread. Between two slices its outputs are passed on and the outside is
//! looked at. Where slices end has no influence on the guest.

mod apart;
mod consoles;
mod limits;
mod outputs;
mod pace;
mod rig;
mod roll;
mod script;
mod scrollback;
mod sink;

use crate::console::Console;
use crate::disk::Disk;
use crate::ending::{Ending, Status, Stop};
use crate::error::Error;
use crate::files;
use crate::image::Image;
use crate::network::Network;
use crate::options::{MachineOptions, Net};
use crate::report;
use crate::seat::Seat;
use crate::trace::{Listener, Symbols};
use apart::keep_apart;
use limits::Limits;
use machine::inputs::Stamp;
use machine::{Config, Machine, MachineExit};
use outputs::Outputs;
use pace::Pace;
use rig::Rig;
use script::Script;
use std::path::PathBuf;
use std::time::Instant;

/// What to boot in what machine.
#[derive(Debug)]
pub struct Plan {
    /// What errors call the image.
    pub name: String,
    /// Bytes of RAM.
    pub ram: u64,
    /// The image.
    pub image: Image,
    /// The files it came from.
    pub files: Vec<PathBuf>,
    /// Its hard disks.
    pub disks: Vec<Disk>,
    /// The image is the lguest Host, which wants to know the terminal's size.
    pub has_host: bool,
    /// Consoles: the Host's Guests, or 1.
    pub guests: usize,
}

/// Boot `plan` and run it to its end.
///
/// # Errors
/// Something is wrong with what the user gave; no output file has been touched then, unless it is an output that
/// failed.
pub fn run(plan: Plan, options: &MachineOptions) -> Result<Status, Error> {
    let mut script = options.script.as_deref().map(|path| Script::read(path, plan.guests)).transpose()?;
    let input = options.input.as_deref().map(files::read_any).transpose()?;
    let load = |machine: &mut Machine| {
        plan.image.load(machine).map_err(|source| Error::Boot { name: plan.name.clone(), source })
    };
    let build = || {
        let mut machine = Machine::new(Config { ram: plan.ram, rtc: options.rtc.0 })?;
        for disk in &plan.disks {
            machine.connect_disk(disk.medium());
        }
        if options.net == Net::User {
            machine.connect_network();
        }
        if options.rng {
            machine.connect_rng(options.seed);
        }
        if plan.guests > 1 {
            machine.connect_serial(plan.guests - 1);
        }
        load(&mut machine)?;
        Ok(machine)
    };
    let mut machine = Rig::new(options.engine, options.seed, build)?;
    #[cfg(all(target_os = "linux", target_arch = "x86_64"))]
    if options.perf_map && machine.cpu.engine() == cpu::Engine::Jit {
        // `perf` looks into its map for anonymous memory only.
        report::compiled::map_once(&mut machine.cpu)?;
    }
    keep_apart(&plan.files, &plan.disks, options, plan.guests)?;
    let mut outputs = Outputs::open(options, plan.guests)?;
    let listener = Listener::attach(&mut machine, options, || Symbols::of(&plan.image));

    let live = script.is_none() && input.is_none();
    if let Some(bytes) = input {
        machine.inputs.add(Stamp::default(), Seat::FIRST.typed(bytes));
    }
    if let Some(script) = &mut script {
        script.start(&mut machine);
    }
    let console = Console::open(machine.inputs.sender(), live, plan.has_host, plan.guests)?;
    outputs.set_interactive(console.is_interactive());
    let network = (options.net == Net::User).then(|| {
        machine.with_outputs(|outputs| outputs.watch_network());
        Network::new(machine.inputs.sender(), console.bell())
    });

    let started = Instant::now();
    let mut session = Session {
        machine,
        disks: &plan.disks,
        guests: plan.guests,
        outputs,
        console,
        network,
        script,
        listener,
        limits: Limits::new(options, started),
    };
    let ending = session.run_to_end(options.no_reboot, load).and_then(|ending| {
        session.save_disks(true)?;
        Ok(ending)
    });
    let wall = started.elapsed();
    let Session { mut machine, mut outputs, console, script, listener, .. } = session;
    drop(console);
    let ending = ending?;
    outputs.set_interactive(false);
    outputs.consoles.end_line();
    outputs.screen(&machine)?;
    if ending.is_bad() {
        outputs.show_tail();
    }
    let waiting = script.and_then(|script| script.waiting()).map_or(String::new(), |w| format!("; {w}"));
    eprintln!("ringside: {}{waiting}", ending.reason());
    if options.stats {
        report::stats::print(&machine, wall, &listener);
        if let Some(pair) = machine.pair() {
            report::stats::print_pair(pair);
        }
    }
    if let Some(eip) = options.dump_jit {
        report::compiled::dump(&machine.cpu, eip);
    }
    #[cfg(target_os = "linux")]
    if options.perf_map {
        report::compiled::write_perf_map(&machine.cpu)?;
    }
    if options.hash {
        eprintln!("state-hash={:016x} insns={}", machine.state_hash(), machine.now().insns);
    }
    Ok(ending.status())
}

/// A chain of exceptions without an instruction in between.
#[derive(Default)]
struct Faulting {
    insns: u64,
    turns: u32,
    /// State of the machine at the last turn whose number was a power of two.
    hash: u64,
}

impl Faulting {
    /// Count one turn of the chain: whether it has come back to where it was, or has been everywhere.
    fn is_endless(&mut self, machine: &mut Machine) -> bool {
        let insns = machine.now().insns;
        if self.insns != insns {
            *self = Faulting { insns, ..Faulting::default() };
        }
        self.turns += 1;
        let hash = machine.state_hash();
        let came_back = self.turns > 1 && self.hash == hash;
        if self.turns.is_power_of_two() {
            self.hash = hash;
        }
        came_back || self.turns >= MachineExit::ENDLESS
    }
}

/// Everything that takes part in a run.
struct Session<'a> {
    machine: Rig,
    disks: &'a [Disk],
    guests: usize,
    outputs: Outputs,
    console: Console,
    network: Option<Network>,
    script: Option<Script>,
    listener: Listener,
    limits: Limits,
}

impl Session<'_> {
    fn run_to_end(
        &mut self,
        no_reboot: bool,
        load: impl Fn(&mut Machine) -> Result<(), Error>,
    ) -> Result<Ending, Error> {
        let mut pace = Pace::new(Instant::now(), 0);
        let mut faulting = Faulting::default();
        loop {
            if let Some(stop) = self.console.take_stop() {
                return Ok(Ending::Stopped(stop));
            }
            if let Some(seat) = self.console.take_selected() {
                self.outputs.consoles.select(seat)?;
            }
            if let Some(stop) = self.limits.reached(self.machine.now(), Instant::now()) {
                return Ok(Ending::Stopped(stop));
            }
            let mut until = self.limits.slice(self.machine.now());
            if let Some(look) = self.script.as_ref().and_then(|s| s.next_look(self.machine.now().vtime)) {
                until.vtime = until.vtime.min(look);
            }
            // Time that is waited for is skipped, but not while a user or the network takes some.
            let awaited = self.network.is_some() && self.machine.chipset().devices.virtio.awaits_outside();
            self.machine.pace_idle = self.console.is_interactive() || awaited;
            let exit = match self.machine.run(until) {
                Ok(exit) => exit,
                Err(found) => {
                    eprint!("{}", report::divergence::text(&found));
                    return Ok(Ending::Diverged);
                }
            };
            self.save_disks(false)?;
            self.pass_on_outputs()?;
            if self.script.as_ref().is_some_and(Script::has_quit) {
                return Ok(Ending::Stopped(Stop::Script));
            }
            match exit {
                MachineExit::Faulting if !faulting.is_endless(&mut self.machine) => {}
                MachineExit::Limit | MachineExit::Output => {}
                MachineExit::Idle { wake_at: Some(wake_at) } => self.sleep(&mut pace, wake_at),
                MachineExit::Idle { wake_at: None } if self.console.may_speak() || awaited => {
                    self.console.wait(self.limits.patience(Instant::now()));
                }
                MachineExit::Reset if !no_reboot => {
                    self.machine.restart(&load)?;
                }
                end => return Ok(Ending::Machine(end)),
            }
        }
    }

    fn save_disks(&mut self, end: bool) -> Result<(), Error> {
        let disks = self.disks;
        self.machine.with_chipset(|chipset, _| {
            disks.iter().zip(&mut chipset.media).try_for_each(|(disk, medium)| disk.save(medium, end))
        })
    }

    fn pass_on_outputs(&mut self) -> Result<(), Error> {
        let said: Vec<Vec<u8>> =
            Seat::all(self.guests).map(|seat| self.machine.take_output(seat.output())).collect();
        if let Some(script) = &mut self.script {
            script.hear(&said, &mut self.machine);
        }
        if let Some(network) = &mut self.network {
            network.carry(self.machine.with_outputs(|outputs| outputs.take_network()));
        }
        self.outputs.pass_on(&said, &mut self.machine)?;
        self.outputs.trace(&self.listener.take_lines())
    }

    /// Let idle time pass as on the wall, but wake up for input.
    fn sleep(&mut self, pace: &mut Pace, wake_at: u64) {
        let now = Instant::now();
        let nap = pace.until(now, self.machine.now().vtime, wake_at);
        let nap = self.limits.patience(now).map_or(nap, |patience| patience.min(nap));
        if !nap.is_zero() {
            self.console.wait(Some(nap));
        }
        let reached = pace.vtime_at(Instant::now()).min(wake_at);
        self.machine.pass_idle(reached);
    }
}
