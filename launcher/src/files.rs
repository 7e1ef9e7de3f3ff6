//! Input files: whatever is given ends in bytes or in one line that says what is wrong.

use crate::error::Error;
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// Largest file accepted: more than the machine could hold would be no use.
const MAX: u64 = 1 << 30;

/// The contents of `path`, which must not be empty.
pub fn read(path: &Path) -> Result<Vec<u8>, Error> {
    let bytes = read_any(path)?;
    if bytes.is_empty() {
        return Err(Error::BadFile { path: path.into(), what: "the file is empty".into() });
    }
    Ok(bytes)
}

/// The contents of `path`.
pub fn read_any(path: &Path) -> Result<Vec<u8>, Error> {
    let fail = |source| Error::Read { path: path.into(), source };
    let file = File::open(path).map_err(fail)?;
    // On some systems a directory can be opened, and what reading it says is less clear.
    if file.metadata().map_err(fail)?.is_dir() {
        return Err(fail(io::ErrorKind::IsADirectory.into()));
    }
    let mut bytes = Vec::new();
    file.take(MAX + 1).read_to_end(&mut bytes).map_err(fail)?;
    if bytes.len() as u64 > MAX {
        return Err(Error::BadFile { path: path.into(), what: "larger than 1 GiB".into() });
    }
    Ok(bytes)
}
