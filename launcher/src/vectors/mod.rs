//! `ringside vectors`: single-instruction test vectors (format X86VEC 1) against the processor.
//!
//! [`format`] reads files, [`load`] puts a vector's initial state into a processor, [`compare`] holds the final state
//! against the expectation, [`select`] picks vectors, [`known`] lists those that fail on purpose, [`report`] prints.

mod compare;
mod format;
mod known;
mod load;
mod report;
#[cfg(test)]
mod sample;
mod select;
#[cfg(test)]
mod tests;

use crate::options::later::Engine;
use format::{End, File, Vector};
use known::Known;
use report::{Failure, Outcome, Tally};
use select::Only;
use std::io::Read;
use std::path::{Path, PathBuf};

/// What to run and how to tell.
#[derive(clap::Args, Debug)]
#[command(after_help = "Examples:
  ringside vectors vectors/*.zst                     every vector, a table by file
  ringside vectors --source 1,2 vectors/d_*.zst      only those captured or agreed by two models
  ringside vectors --only 17 vectors/a_alu.bin.zst   one vector, with details if it fails
  ringside vectors --only iret vectors/d_*.zst       those in whose disassembly there is an IRET
  ringside vectors --json vectors/*.zst              one JSON object for each failure and each file
  ringside vectors --known tests/vectors/known.txt vectors/*.zst   success if exactly the listed vectors fail

Exit status: 0 if all passed (with --known: if exactly the listed ones failed), 1 if not, 2 for a bad file.")]
pub struct VectorsArgs {
    /// Vector files, plain or zstd-compressed
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Only vectors with this number, a number in this range, or this text in their disassembly
    #[arg(long, value_name = "N|N-N|TEXT")]
    only: Option<Only>,
    /// Only vectors of these sources: 1 silicon, 2 two models, 3 one model
    #[arg(long, value_name = "N,...", value_delimiter = ',', default_values_t = [1u8, 2, 3])]
    source: Vec<u8>,
    /// Details of at most this many failures in each file [default: 5; with --json all]
    #[arg(long, value_name = "N")]
    failures: Option<usize>,
    /// Vectors that fail on purpose, a line each: file stem, number, reason
    #[arg(long, value_name = "FILE")]
    known: Option<PathBuf>,
    /// The processor's engine; `jit` compiles everything the first time it is met
    #[arg(long, value_enum, default_value_t = Engine::Interp)]
    engine: Engine,
    /// Machine-readable output: one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Why a file could not be used.
#[derive(Debug, thiserror::Error)]
pub enum VectorsError {
    /// The file cannot be read.
    #[error("{path}: {source}")]
    Read {
        /// Which file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not a vector file.
    #[error("{path}: not a vector file: {what}")]
    Format {
        /// Which file.
        path: String,
        /// What is wrong with it.
        what: &'static str,
    },
    /// The list of known failures is not one.
    #[error("{path}:{line}: {what}")]
    Known {
        /// Which file.
        path: String,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        what: &'static str,
    },
    /// There is no such engine.
    #[error("--engine: {0}")]
    Engine(String),
    /// The options leave nothing to run, which must not look like success.
    #[error("no vector matches --only and --source")]
    NothingChosen,
}

/// Largest vector file accepted, decompressed, in bytes.
const MAX_FILE: u64 = 256 << 20;
/// Failures of a file told in detail if nothing else is said and a person reads them.
const FAILURES_TOLD: usize = 5;

/// Run the vectors. True if all passed, or exactly those failed that are known to.
///
/// # Errors
/// A file that cannot be read or is no vector file.
pub fn run(args: &VectorsArgs) -> Result<bool, VectorsError> {
    let known = args.known.as_deref().map(read_known).transpose()?.unwrap_or_default();
    let mut total = Tally::default();
    let width = args.files.iter().map(|p| report::stem(p).len()).max().unwrap_or(0);
    if !args.json {
        report::heading(width);
    }
    for path in &args.files {
        let bytes = read(path, MAX_FILE)?;
        let file = File::parse(&bytes)
            .map_err(|what| VectorsError::Format { path: path.display().to_string(), what })?;
        let outcome = run_file(path, &file, args, &known)?;
        report::file(path, width, &outcome, args.json);
        total.add(&outcome.tally);
    }
    if total.is_empty() {
        return Err(VectorsError::NothingChosen);
    }
    report::total(width, &total, args.known.is_some(), args.json);
    Ok(total.as_expected())
}

fn run_file(path: &Path, file: &File, args: &VectorsArgs, known: &Known) -> Result<Outcome, VectorsError> {
    let told = args.failures.unwrap_or(if args.json { usize::MAX } else { FAILURES_TOLD });
    let mut outcome = Outcome::default();
    let mut rig = load::Rig::new(&file.env, args.engine)?;
    for vector in file.vectors() {
        if args.only.as_ref().is_some_and(|only| !only.picks(&vector))
            || !args.source.contains(&vector.source)
        {
            continue;
        }
        let differences = run_one(&mut rig, file, &vector);
        let reason = known.reason(path, vector.id);
        outcome.tally.count(vector.source, differences.is_empty(), reason.is_some());
        if differences.is_empty() {
            outcome.surprises.extend(reason.map(|_| (vector.id, "it passes")));
        } else if outcome.failures.len() < told {
            outcome.failures.push(Failure::new(&vector, differences, reason));
        }
    }
    let missing = known.of(path).map(|(id, _)| id).filter(|id| !file.has(*id));
    outcome.surprises.extend(missing.map(|id| (id, "there is no such vector")));
    outcome.tally.surprises = outcome.surprises.len() as u64;
    Ok(outcome)
}

fn run_one(rig: &mut load::Rig, file: &File, vector: &Vector) -> Vec<String> {
    rig.load(&file.env, vector);
    match rig.run(file.may_end_in_trap(vector)) {
        Some(end) if end != vector.end => vec![format!("end: expected {:?}, got {end:?}", vector.end)],
        Some(End::Shutdown) => Vec::new(),
        Some(End::Hlt) => compare::differences(&file.env, vector, rig),
        None => vec!["neither HLT nor shutdown in time".to_owned()],
    }
}

/// The contents of a file, decompressed if it is compressed, `max` bytes at most.
fn read(path: &Path, max: u64) -> Result<Vec<u8>, VectorsError> {
    let fail = |source| VectorsError::Read { path: path.display().to_string(), source };
    let bounded = |source: &mut dyn Read| {
        let mut bytes = Vec::new();
        source.take(max + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > max {
            return Err(std::io::Error::other(format!("larger than {} MiB", max >> 20)));
        }
        Ok(bytes)
    };
    let raw = std::fs::File::open(path).and_then(|mut file| bounded(&mut file)).map_err(fail)?;
    if !raw.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        return Ok(raw);
    }
    zstd::stream::read::Decoder::new(raw.as_slice()).and_then(|mut d| bounded(&mut d)).map_err(fail)
}

fn read_known(path: &Path) -> Result<Known, VectorsError> {
    let bytes = read(path, known::MAX_SIZE)?;
    Known::parse(&String::from_utf8_lossy(&bytes)).map_err(|(line, what)| VectorsError::Known {
        path: path.display().to_string(),
        line,
        what,
    })
}
