//! Why a command could not be carried out: one line that says what, where, and what to do.

use machine::ConfigError;
use machine::boot::BootError;
use std::io;
use std::path::PathBuf;

/// Bad usage or an invalid file; exit status 2.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The arguments make no sense.
    #[error("{0}")]
    Usage(String),
    /// Something of a later version was asked for.
    #[error("{0}: not in this version yet")]
    Later(&'static str),
    /// The engine does not work on this host.
    #[error("--engine jit: {0}")]
    Engine(#[from] cpu::Unsupported),
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{}: {what}", path.display())]
    BadFile {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// An output cannot be written.
    #[error("cannot write {name}: {source}")]
    Write {
        /// Which output.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// The image does not go into the machine.
    #[error("{name}: {source}")]
    Boot {
        /// Which image.
        name: String,
        /// Why.
        source: BootError,
    },
    /// There is no such machine.
    #[error("--mem: {0}")]
    Machine(#[from] ConfigError),
    /// The script has a line that is none.
    #[error("{}:{line}: {what}", path.display())]
    Script {
        /// Which file.
        path: PathBuf,
        /// Line number, from 1.
        line: usize,
        /// What is wrong with it.
        what: String,
    },
    /// The terminal or the signals of this process cannot be set up.
    #[error("cannot set up the terminal: {0}")]
    Terminal(io::Error),
    /// Test vectors cannot be run.
    #[error(transparent)]
    Vectors(#[from] crate::vectors::VectorsError),
}
