//! The commands, and how arguments become one of them.

use crate::bench::BenchArgs;
use crate::commands::{BootArgs, RunArgs};
use crate::error::Error;
use crate::vectors::VectorsArgs;
use clap::error::ErrorKind;
use clap::{Parser, Subcommand};
use std::ffi::OsString;

/// A seat beside the ring: runs lguest on an emulated 32-bit x86 PC, to the bit.
#[derive(Parser, Debug)]
#[command(version, override_usage = USAGE, after_help = EXAMPLES)]
pub struct Cli {
    /// What to do; `run` if nothing is said.
    #[command(subcommand)]
    pub command: Command,
}

const USAGE: &str = "\
ringside [run] [GUEST]... [OPTIONS]
       ringside boot <IMAGE> [OPTIONS]
       ringside vectors <FILE>...
       ringside bench [--vs-qemu]
       ringside help [COMMAND]";

const EXAMPLES: &str = "\
Without a command, `run` is meant: `ringside` alone boots the built-in Guest under the built-in lguest Host.

Examples:
  ringside                                   the built-in Guest: Linux 6.1 in ring 1, at a shell
  ringside --trace - --console /dev/null     every crossing between the rings, a line each
  ringside vmlinux --initrd rootfs.cpio      a Linux Guest
  ringside boot kernel.elf --mem 128         a multiboot kernel on the bare machine

Exit status:
   0  the machine powered off            8  nothing can ever happen again
   2  bad usage or an invalid file      10  a limit was reached, or you ended it
   4  triple fault                      70  a bug in ringside
  odd: written by the machine to port 0xF4; of the lguest Host 3 (last Guest killed or crashed), 9 (panic)

`ringside help run` explains console, scripts and traces.";

/// One command.
#[derive(Subcommand, Debug)]
pub enum Command {
    /// Boot Guests under lguest (the default)
    Run(Box<RunArgs>),
    /// Boot an image on the bare machine
    Boot(Box<BootArgs>),
    /// Run CPU test vectors
    Vectors(VectorsArgs),
    /// Later: replay a recording
    Replay(Later),
    /// The benchmark table
    Bench(BenchArgs),
}

/// Arguments of a command that does not exist yet.
#[derive(clap::Args, Debug)]
#[command(disable_help_flag = true)]
pub struct Later {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    _arguments: Vec<OsString>,
}

/// Make a command of `arguments`, the program's name first. Help and version are printed, which is no command.
///
/// # Errors
/// What is wrong with the arguments, in one line.
pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Option<Command>, Error> {
    match Cli::try_parse_from(with_default_command(arguments.into_iter().collect())) {
        Ok(cli) => Ok(Some(cli.command)),
        Err(error) if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) => {
            // Nobody to read it is no error.
            let _ = error.print();
            Ok(None)
        }
        Err(error) => Err(Error::Usage(one_line(&error.to_string()))),
    }
}

/// `run` is the command if the first argument is none.
fn with_default_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
    const KNOWN: [&str; 10] =
        ["run", "boot", "vectors", "replay", "bench", "help", "-h", "--help", "-V", "--version"];
    if !arguments.get(1).is_some_and(|first| KNOWN.iter().any(|known| first == known)) {
        arguments.insert(arguments.len().min(1), "run".into());
    }
    arguments
}

/// The first paragraph of a message, where clap says what is wrong.
fn one_line(message: &str) -> String {
    let what: Vec<&str> = message.lines().take_while(|line| !line.trim().is_empty()).map(str::trim).collect();
    let what = what.join(" ");
    format!("{} (try `ringside help`)", what.strip_prefix("error: ").unwrap_or(&what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    fn args(line: &str) -> Vec<OsString> {
        line.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn run_is_the_default() {
        for line in ["ringside", "ringside vmlinux", "ringside --stats", "ringside run --stats"] {
            assert!(matches!(parse(args(line)), Ok(Some(Command::Run(_)))), "{line}");
        }
        assert!(matches!(parse(args("ringside boot x")), Ok(Some(Command::Boot(_)))));
        assert!(matches!(parse(args("ringside replay --any thing")), Ok(Some(Command::Replay(_)))));
    }

    #[test]
    fn mistakes_are_told_in_one_line() {
        for line in ["ringside --mem x", "ringside boot", "ringside --no-such-option"] {
            let message = parse(args(line)).unwrap_err().to_string();
            assert!(!message.contains('\n') && message.contains("ringside help"), "{message}");
        }
    }
}
