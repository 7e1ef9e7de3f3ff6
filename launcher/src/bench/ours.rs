//! A case in our machine.

use super::clock::{Clock, Who};
use super::images;
use super::runner::{Counts, Sample, Watch};
use crate::error::Error;
use crate::image::{BootModule, Image};
use crate::options::later::Engine;
use machine::outputs::OutputPort;
use machine::{Config, Machine, MachineExit, Until};

/// Far more than any case needs: one that hangs ends here.
const MOST_INSNS: u64 = 200_000_000_000;

/// Refuse an engine that does not exist.
pub fn available(engine: Engine) -> Result<(), Error> {
    match engine {
        Engine::Interp | Engine::Jit => Ok(()),
        Engine::Check | Engine::Lockstep => {
            Err(Error::Usage("--engine check: comparing is not measuring; use interp or jit".into()))
        }
    }
}

/// The compiled engine if this host has it, else the interpreter.
pub fn fastest() -> Engine {
    let probe = Machine::new(Config { ram: 1 << 20, rtc: 0 });
    match probe.map(|mut machine| Engine::Jit.choose(&mut machine.cpu)) {
        Ok(Ok(())) => Engine::Jit,
        _ => Engine::Interp,
    }
}

#[cfg(target_arch = "x86_64")]
fn counts(machine: &Machine) -> Counts {
    Counts { insns: machine.now().insns, compiled: machine.cpu.jit_stats().map(|stats| stats.retired) }
}

#[cfg(not(target_arch = "x86_64"))]
fn counts(machine: &Machine) -> Counts {
    Counts { insns: machine.now().insns, compiled: None }
}

/// Run the case that `words` choose.
pub fn measure(words: &str, lguest: bool, engine: Engine, clock: Clock) -> Result<Sample, Error> {
    available(engine)?;
    let ram = if lguest { 128 << 20 } else { 64 << 20 };
    let image = if lguest {
        let modules = vec![BootModule::guest(images::GUEST.into(), words)];
        Image::Multiboot { kernel: images::HOST.into(), command_line: String::new(), modules }
    } else {
        Image::Multiboot { kernel: images::IMAGE.into(), command_line: words.into(), modules: Vec::new() }
    };
    let mut machine = Machine::new(Config { ram, rtc: 0 })?;
    engine.choose(&mut machine.cpu)?;
    image.load(&mut machine).map_err(|source| Error::Boot { name: "the benchmark".into(), source })?;
    machine.with_outputs(|outputs| outputs.watch(OutputPort::Com1, true));
    let mut watch = Watch::new(clock, Who::Us);
    loop {
        let exit = machine.run(Until::insns(MOST_INSNS));
        let bytes = machine.take_output(OutputPort::Com1);
        if let Some(sample) = watch.hear(&bytes, Some(counts(&machine))) {
            return Ok(sample);
        }
        if exit != MachineExit::Output {
            return Err(watch.failed("our machine", &format!("{exit:?}")));
        }
    }
}
