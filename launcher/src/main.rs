//! `ringside`: the command line.
//!
//! Reading order: [`cli`] (what can be asked), [`commands`] (from arguments to an image and a machine), [`session`]
//! (a machine wired to terminal, files and limits), [`ending`] (how a run ends, and the exit status).

mod bench;
mod cli;
mod commands;
mod console;
mod disk;
mod ending;
mod error;
mod files;
mod guest;
mod image;
mod network;
mod options;
mod report;
mod seat;
mod session;
mod trace;
mod vectors;

use ending::Status;
use std::process::ExitCode;

fn main() -> ExitCode {
    report_panics();
    let outcome = std::panic::catch_unwind(|| cli::parse(std::env::args_os()).and_then(commands::execute));
    let status = match outcome {
        Ok(Ok(status)) => status,
        Ok(Err(error)) => {
            eprintln!("ringside: {error}");
            Status::BAD_USAGE
        }
        Err(_) => Status::OUR_BUG,
    };
    ExitCode::from(status.code())
}

/// A panic is a bug of ours. Say so in one line, on a terminal that works again.
fn report_panics() {
    std::panic::set_hook(Box::new(|panic| {
        console::terminal::restore();
        eprintln!("ringside: a bug in ringside, please report it: {}", panic.to_string().replace('\n', " "));
    }));
}
