//! No output may go where an input comes from, or where another output goes.

use super::consoles;
use crate::disk::Disk;
use crate::error::Error;
use crate::options::MachineOptions;
use std::path::{Path, PathBuf};

/// Check it for `files`, which the image came from, the disks, and all files in `options` for `guests` Guests.
pub fn keep_apart(
    files: &[PathBuf],
    disks: &[Disk],
    options: &MachineOptions,
    guests: usize,
) -> Result<(), Error> {
    const READ: &str = "is read";
    const WRITTEN: &str = "is written";
    let inputs = files.iter().chain(&options.input).chain(&options.script);
    let mut taken: Vec<(PathBuf, &str)> = inputs.filter_map(|path| Some((identity(path)?, READ))).collect();
    for disk in disks {
        let Some(identity) = identity(disk.path()) else { continue };
        let how = if disk.is_saved() { WRITTEN } else { READ };
        let clash =
            |(path, other): &&(PathBuf, &str)| *path == identity && (how == WRITTEN || *other == WRITTEN);
        if let Some((path, how)) = taken.iter().find(clash) {
            return Err(Error::Usage(format!("--disk: {} {how} in this run", path.display())));
        }
        taken.push((identity, how));
    }
    let consoles = options.console.iter().flat_map(|path| consoles::files(path, guests));
    let others = [
        ("--host-log", &options.host_log),
        ("--debugcon", &options.debugcon),
        ("--post", &options.post),
        ("--screen", &options.screen),
        ("--trace", &options.trace),
    ];
    let others = others.into_iter().filter_map(|(option, path)| Some((option, path.clone()?)));
    for (option, path) in consoles.map(|path| ("--console", path)).chain(others) {
        let Some(identity) = identity(&path) else { continue };
        if let Some((path, how)) = taken.iter().find(|(path, _)| *path == identity) {
            return Err(Error::Usage(format!("{option}: {} {how} in this run", path.display())));
        }
        taken.push((identity, WRITTEN));
    }
    Ok(())
}

/// What makes two paths the same file. Devices and pipes can be shared, and so can the standard streams.
fn identity(path: &Path) -> Option<PathBuf> {
    if path == Path::new("-") {
        return None;
    }
    match path.canonicalize() {
        Ok(path) => path.is_file().then_some(path),
        // It does not exist yet.
        Err(_) => Some(std::path::absolute(path).unwrap_or_else(|_| path.into())),
    }
}
