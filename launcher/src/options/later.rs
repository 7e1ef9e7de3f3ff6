//! Options of the contract that later versions will have. They are known, so that they can say so.

use crate::error::Error;

/// The processor's engines.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Engine {
    /// The interpreter
    Interp,
    /// Later: the compiler
    Jit,
    /// Later: both, compared
    Check,
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
    pub fn refuse(&self, engine: Engine) -> Result<(), Error> {
        refuse(&[
            ("--engine jit", engine == Engine::Jit),
            ("--engine check", engine == Engine::Check),
            ("--gdb", self.gdb.is_some()),
            ("--record", self.record.is_some()),
        ])
    }
}

/// Refuse the first that is asked for.
pub fn refuse(options: &[(&'static str, bool)]) -> Result<(), Error> {
    options.iter().find(|(_, asked)| *asked).map_or(Ok(()), |(name, _)| Err(Error::Later(name)))
}
