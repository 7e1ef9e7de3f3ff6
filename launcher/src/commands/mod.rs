//! The commands: from arguments to a plan of a machine, and its run.

mod boot;
mod run;

pub use boot::BootArgs;
pub use run::RunArgs;

use crate::cli::Command;
use crate::ending::Status;
use crate::error::Error;
use crate::{bench, session, vectors};

/// Carry out `command`.
pub fn execute(command: Option<Command>) -> Result<Status, Error> {
    match command {
        None => Ok(Status::CLEAN),
        Some(Command::Run(args)) => session::run(args.plan()?, args.options()),
        Some(Command::Boot(args)) => session::run(args.plan()?, args.options()),
        Some(Command::Vectors(args)) => Ok(if vectors::run(&args)? { Status::CLEAN } else { Status::FAILED }),
        Some(Command::Replay(_)) => Err(Error::Later("replay")),
        Some(Command::Bench(args)) => Ok(if bench::run(&args)? { Status::CLEAN } else { Status::FAILED }),
    }
}
