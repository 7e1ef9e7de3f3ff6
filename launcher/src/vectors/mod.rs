//! `ringside vectors`: single-instruction test vectors (format X86VEC 1) against the processor.
//!
//! [`format`] reads files, [`load`] puts a vector's initial state into a processor, [`compare`] holds the final state
//! against the expectation, [`select`] picks vectors, [`report`] prints.

mod compare;
mod format;
mod load;
mod report;
#[cfg(test)]
mod sample;
mod select;
#[cfg(test)]
mod tests;

use format::{End, File, Vector};
use report::{Failure, Tally};
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
  ringside vectors --json vectors/*.zst              one JSON object for each failure and each file")]
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
    /// Details of at most this many failures in each file
    #[arg(long, value_name = "N", default_value_t = 5)]
    failures: usize,
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
    /// The options leave nothing to run, which must not look like success.
    #[error("no vector matches --only and --source")]
    NothingChosen,
}

/// Largest vector file accepted, decompressed, in bytes.
const MAX_FILE: u64 = 256 << 20;

/// Run the vectors. True if all passed.
///
/// # Errors
/// A file that cannot be read or is no vector file.
pub fn run(args: &VectorsArgs) -> Result<bool, VectorsError> {
    let mut total = Tally::default();
    let width = args.files.iter().map(|p| report::stem(p).len()).max().unwrap_or(0);
    if !args.json {
        report::heading(width);
    }
    for path in &args.files {
        let bytes = read(path)?;
        let file = File::parse(&bytes)
            .map_err(|what| VectorsError::Format { path: path.display().to_string(), what })?;
        let mut tally = Tally::default();
        let mut rig = load::Rig::new(&file.env);
        let mut failures = Vec::new();
        for vector in &file.vectors {
            if args.only.as_ref().is_some_and(|only| !only.picks(vector))
                || !args.source.contains(&vector.source)
            {
                continue;
            }
            let differences = run_one(&mut rig, &file, vector);
            tally.count(vector.source, differences.is_empty());
            if !differences.is_empty() && failures.len() < args.failures {
                failures.push(Failure::new(vector, differences));
            }
        }
        report::file(path, width, &tally, &failures, args.json);
        total.add(&tally);
    }
    if total.is_empty() {
        return Err(VectorsError::NothingChosen);
    }
    report::total(width, &total, args.json);
    Ok(total.failed() == 0)
}

fn run_one(rig: &mut load::Rig, file: &File, vector: &Vector) -> Vec<String> {
    rig.load(&file.env, vector);
    match rig.run(file.may_end_in_trap(vector)) {
        Some(end) if end != vector.end => vec![format!("end: expected {:?}, got {end:?}", vector.end)],
        Some(End::Shutdown) => Vec::new(),
        Some(End::Hlt) => compare::differences(&file.env, vector, rig.cpu()),
        None => vec!["neither HLT nor shutdown in time".to_owned()],
    }
}

fn read(path: &Path) -> Result<Vec<u8>, VectorsError> {
    let fail = |source| VectorsError::Read { path: path.display().to_string(), source };
    let raw = std::fs::read(path).map_err(fail)?;
    if !raw.starts_with(&[0x28, 0xB5, 0x2F, 0xFD]) {
        return Ok(raw);
    }
    let mut bytes = Vec::new();
    let decoder = zstd::stream::read::Decoder::new(raw.as_slice()).map_err(fail)?;
    decoder.take(MAX_FILE).read_to_end(&mut bytes).map_err(fail)?;
    Ok(bytes)
}
