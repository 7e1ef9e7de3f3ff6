//! `ringside bench`: how fast the machine is, beside QEMU and beside the bare processor.
//!
//! [`catalogue`] lists what there is to measure, [`runner`] measures one case in one place, [`numbers`] makes medians
//! and means of samples, [`table`] and [`json`] tell. The images are those of `roms/`, part of this program.
//!
//! Invariants:
//! * Places take turns, case by case and run by run, on one processor of the host, so that a slow moment of the host
//!   hits all alike.
//! * A case has one checksum, wherever it runs; another one is an error, however fast.

mod catalogue;
mod child;
mod clock;
mod images;
mod json;
mod numbers;
mod ours;
mod pin;
mod runner;
mod table;

use crate::error::Error;
use crate::options::later::Engine;
use catalogue::Case;
use clock::Clock;
use numbers::{CaseResult, Results};
use runner::{Place, Runner};
use std::io::{IsTerminal, Write};

/// What to measure, where, how often.
#[derive(clap::Args, Debug)]
#[command(after_help = HELP)]
pub struct BenchArgs {
    /// Also measure the same images in qemu-system-i386 -accel tcg
    #[arg(long)]
    vs_qemu: bool,
    /// Measure only these: names, or groups (integer, float, memory, system, lguest, limited)
    #[arg(long, value_name = "NAME,...", value_delimiter = ',')]
    only: Vec<String>,
    /// The processor's engines to measure; the compiled one, where there is one, if not given
    #[arg(long, value_enum, value_name = "ENGINE,...", value_delimiter = ',')]
    engine: Vec<Engine>,
    /// Percentage of a full run, which is 10^9 instructions a kernel
    #[arg(long, value_name = "PERCENT", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1000))]
    scale: u32,
    /// Runs of each case in each place; the table shows medians
    #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=99))]
    runs: u32,
    /// What is measured: time on the wall, or time a processor spent on it, for a computer that is busy otherwise
    #[arg(long, value_enum, default_value_t = Clock::Wall)]
    clock: Clock,
    /// Do not measure the kernels as a native program
    #[arg(long)]
    no_native: bool,
    /// Print one JSON object instead of tables
    #[arg(long)]
    json: bool,
}

const HELP: &str = "\
What is measured is listed in roms/bench/README.md. Kernels run in ring 3 with 4 KiB pages and a timer of 1 kHz. Times
are seconds between two lines of the image, decoding and compiling included. NAME@limited and NAME@based are
kernels behind segments other than flat ones. The column \"comp. %\" is how many instructions of a hundred compiled code
retired. Everything is bound to one processor of this computer where the system allows it. Exit status 1 means that a
checksum was wrong.

Examples:
  ringside bench                                everything, here and natively
  ringside bench --engine interp,jit            both engines
  ringside bench --vs-qemu                      side by side with QEMU (some minutes)
  ringside bench --only integer --scale 10      a quick look
  ringside bench --only crc32,int80 --vs-qemu --runs 5 --json";

/// Measure and tell. False if a checksum was wrong.
///
/// # Errors
/// Unknown names, an engine that does not exist, QEMU missing or failing.
pub fn run(args: &BenchArgs) -> Result<bool, Error> {
    let cases = catalogue::select(&args.only)?;
    let places = places(args)?;
    let pinned = pin::to_one_processor();
    if !args.clock.exists() {
        return Err(Error::Usage("--clock cpu: this system does not tell; use --clock wall".into()));
    }
    let runner = Runner::new(args.scale, args.clock)?;
    let qemu = args.vs_qemu.then(child::qemu_version).transpose()?;
    let mut results = Results { pinned, qemu, qemu_command: runner.qemu_command(), cases: Vec::new() };
    results.cases = cases.iter().map(|case| CaseResult::new(case, &places)).collect();
    for family in families(&cases) {
        for run in 0..args.runs {
            for &n in &family {
                let case = &cases[n];
                for place in places.iter().filter(|place| case.runs_in(place)) {
                    progress(&format!(
                        "[{}/{}] {} run {}/{} {}",
                        n + 1,
                        cases.len(),
                        case.name,
                        run + 1,
                        args.runs,
                        place.name()
                    ));
                    results.cases[n].add(place, runner.measure(case, place)?);
                }
            }
        }
    }
    progress("");
    if args.json {
        json::print(&results, args, &places)
    } else {
        table::print(&results, args, &places)
    }
    let wrong: Vec<&str> = results.cases.iter().filter(|c| !c.agrees()).map(|c| c.name.as_str()).collect();
    if !wrong.is_empty() {
        eprintln!("ringside: checksums differ between places: {}", wrong.join(", "));
    }
    Ok(wrong.is_empty())
}

/// Cases, by number, that take turns: a kernel, and the same behind other segments. What they cost is a matter of percents, and a
/// computer is not as fast a minute later.
fn families(cases: &[Case]) -> Vec<Vec<usize>> {
    let mut families: Vec<Vec<usize>> = Vec::new();
    for (n, case) in cases.iter().enumerate() {
        let alike = |family: &&mut Vec<usize>| {
            let first = &cases[family[0]];
            (first.group, first.base_name()) == (case.group, case.base_name())
        };
        match families.iter_mut().find(alike) {
            Some(family) => family.push(n),
            None => families.push(vec![n]),
        }
    }
    families
}

fn places(args: &BenchArgs) -> Result<Vec<Place>, Error> {
    let mut places = Vec::new();
    for &engine in &args.engine {
        ours::available(engine)?;
        places.push(Place::Ours(engine));
    }
    if places.is_empty() {
        places.push(Place::Ours(ours::fastest()));
    }
    if args.vs_qemu {
        places.push(Place::Qemu);
    }
    if !args.no_native && images::NATIVE_RUNS {
        places.push(Place::Native);
    }
    Ok(places)
}

/// Say on standard error what is going on; on a terminal the line goes away again.
fn progress(what: &str) {
    let mut stderr = std::io::stderr();
    // Nobody to read it is no error.
    let _ = match (stderr.is_terminal(), what) {
        (true, _) => write!(stderr, "\r\x1b[K{what}").and_then(|()| stderr.flush()),
        (false, "") => Ok(()),
        (false, _) => writeln!(stderr, "{what}"),
    };
}

impl Case {
    /// The bare processor has no system operations, and segments are a matter between our engines.
    fn runs_in(&self, place: &Place) -> bool {
        match place {
            Place::Ours(_) => true,
            Place::Qemu => !self.is_segmented(),
            Place::Native => self.group.is_native() && !self.is_segmented(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_takes_turns_with_itself_behind_other_segments() {
        let words = ["crc32", "int80", "crc32@limited", "sieve"].map(str::to_owned);
        let cases = catalogue::select(&words).unwrap();
        assert_eq!(families(&cases), [vec![0, 2], vec![1], vec![3]]);
    }
}
