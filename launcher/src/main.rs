//! `ringside`: the command line.

mod vectors;

use clap::{Parser, Subcommand};
use std::process::ExitCode;

/// A seat beside the ring: runs lguest on an emulated 32-bit x86 PC, to the bit.
#[derive(Parser, Debug)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Run CPU test vectors
    Vectors(vectors::VectorsArgs),
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    match cli.command {
        Command::Vectors(args) => match vectors::run(&args) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::from(1),
            Err(error) => {
                eprintln!("ringside: {error}");
                ExitCode::from(2)
            }
        },
    }
}
