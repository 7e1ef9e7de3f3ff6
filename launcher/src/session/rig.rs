//! What a session runs: one machine, or two that are compared (`--engine check`).

use crate::error::Error;
use crate::options::later::Engine;
use machine::check::{Divergence, Injection, Mode, Pair};
use machine::{Machine, MachineExit, Until};
use std::ops::{Deref, DerefMut};

/// One machine or two. The one that talks to the outside is what this stands for.
pub enum Rig {
    /// The machine.
    One(Box<Machine>),
    /// An interpreted one that talks to the outside, and a compiled one that must be the same.
    Two(Box<Pair>),
}

impl Rig {
    /// Build what `engine` needs; `build` makes a machine that has been loaded. `seed` is that of random distances.
    pub fn new(engine: Engine, seed: u64, build: impl Fn() -> Result<Machine, Error>) -> Result<Rig, Error> {
        let mode = match engine {
            Engine::Interp | Engine::Jit => {
                let mut machine = build()?;
                engine.choose(&mut machine.cpu)?;
                return Ok(Rig::One(Box::new(machine)));
            }
            Engine::Lockstep => Mode::Lockstep,
            Engine::Check => Mode::Random(Injection { seed, time: true, nmi: false }),
        };
        let (reference, mut subject) = (build()?, build()?);
        Engine::Jit.choose(&mut subject.cpu)?;
        let pair = Pair::new(reference, subject, mode);
        let pair = pair.map_err(|found| Error::Usage(format!("--engine: {found}")))?;
        Ok(Rig::Two(Box::new(pair)))
    }

    /// As [`Machine::run`].
    ///
    /// # Errors
    /// The two are not the same any more.
    pub fn run(&mut self, until: Until) -> Result<MachineExit, Box<Divergence>> {
        match self {
            Rig::One(machine) => Ok(machine.run(until)),
            Rig::Two(pair) => pair.run(until),
        }
    }

    /// As [`Machine::pass_idle`].
    pub fn pass_idle(&mut self, vtime: u64) {
        match self {
            Rig::One(machine) => machine.pass_idle(vtime),
            Rig::Two(pair) => pair.pass_idle(vtime),
        }
    }

    /// Reset, and load again.
    pub fn restart(&mut self, load: impl Fn(&mut Machine) -> Result<(), Error>) -> Result<(), Error> {
        let restart = |machine: &mut Machine| {
            machine.reset();
            load(machine)
        };
        match self {
            Rig::One(machine) => restart(machine),
            Rig::Two(pair) => pair.both(restart),
        }
    }

    /// The pair, if there are two.
    pub fn pair(&self) -> Option<&Pair> {
        match self {
            Rig::One(_) => None,
            Rig::Two(pair) => Some(pair),
        }
    }
}

impl Deref for Rig {
    type Target = Machine;

    fn deref(&self) -> &Machine {
        match self {
            Rig::One(machine) => machine,
            Rig::Two(pair) => &pair.reference,
        }
    }
}

impl DerefMut for Rig {
    fn deref_mut(&mut self) -> &mut Machine {
        match self {
            Rig::One(machine) => machine,
            Rig::Two(pair) => &mut pair.reference,
        }
    }
}
