//! Options of the contract that later versions will have. They are known, so that they can say so.

use crate::error::Error;

/// The processor's engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// The interpreter
    Interp,
    /// Compiled to the host's code; the same to the bit, only faster
    Jit,
    /// Both, compared at random distances, with timer interrupts at random instructions
    #[value(alias = "check=random")]
    Check,
    /// Both, compared at the end of every block
    #[value(name = "check=lockstep")]
    Lockstep,
}

impl Engine {
    /// The fastest that works on this host.
    pub fn best() -> Engine {
        match cpu::Engine::best() {
            cpu::Engine::Interp => Engine::Interp,
            cpu::Engine::Jit => Engine::Jit,
        }
    }

    /// Let `cpu` use this engine.
    ///
    /// # Errors
    /// It does not exist in this version or on this host.
    pub fn choose(self, cpu: &mut cpu::Cpu) -> Result<(), Error> {
        let engine = match self {
            Engine::Interp => cpu::Engine::Interp,
            Engine::Jit => cpu::Engine::Jit,
            Engine::Check | Engine::Lockstep => {
                return Err(Error::Usage(
                    "--engine check: this compares machines; use interp or jit here".into(),
                ));
            }
        };
        Ok(cpu.set_engine(engine)?)
    }
}

/// Later options common to all ways to run a machine.
#[derive(clap::Args, Debug)]
#[command(next_help_heading = "Not in this version yet")]
pub struct LaterOptions {
    /// Later: wait for gdb
    #[arg(long, value_name = "ADDR", num_args = 0..=1, default_missing_value = "")]
    gdb: Option<String>,
    /// Later: record the run
    #[arg(long, value_name = "FILE")]
    record: Option<String>,
}

impl LaterOptions {
    /// Refuse what is not there.
    pub fn refuse(&self) -> Result<(), Error> {
        let asked = [("--gdb", self.gdb.is_some()), ("--record", self.record.is_some())];
        asked.iter().find(|(_, asked)| *asked).map_or(Ok(()), |(name, _)| Err(Error::Later(name)))
    }
}
