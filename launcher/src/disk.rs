//! Disk images: the files that the machine's disks come from and, unless they are read-only, go back to.
//!
//! The machine keeps what the guest writes over an image that does not change under it. It is written back between
//! slices, and made durable before a flush by the guest ends and at the end of the run. So after a crash of ringside
//! or of the computer the file holds everything that the guest had flushed.

use crate::error::Error;
use crate::options::comma_list;
use machine::devices::ide::MAX_DISKS;
use machine::media::{BaseImage, Medium, SECTOR};
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// A file and what went wrong with it. The machine cannot be told of a read that fails, so the session asks here.
#[derive(Debug)]
struct Shared {
    file: File,
    error: Option<io::Error>,
}

/// A disk image.
#[derive(Debug)]
pub struct Disk {
    path: PathBuf,
    len: u64,
    saved: bool,
    shared: Arc<Mutex<Shared>>,
}

/// The disks that `option` names, once for each.
///
/// # Errors
/// As [`Disk::open`], and when they are more than a machine has places for.
pub fn open_all(option: &str, names: &[String]) -> Result<Vec<Disk>, Error> {
    if names.len() > MAX_DISKS {
        return Err(Error::Usage(format!("{option}: {} disks; at most {MAX_DISKS}", names.len())));
    }
    names.iter().map(|text| Disk::open(option, text)).collect()
}

impl Disk {
    /// Whether the file stays as it is.
    pub fn is_read_only(&self) -> bool {
        !self.saved
    }

    /// The image that `FILE` or `FILE,ro` names.
    ///
    /// # Errors
    /// It cannot be opened, or is no disk image, or somebody else uses it.
    fn open(option: &str, text: &str) -> Result<Disk, Error> {
        let items = comma_list(text);
        let (path, saved) = match items.as_slice() {
            [file] => (file, true),
            [file, mode] if mode == "ro" => (file, false),
            _ => return Err(Error::Usage(format!("{option}: `{text}`: expected FILE or FILE,ro"))),
        };
        let path = PathBuf::from(path);
        let bad = |what: &str| Err(Error::BadFile { path: path.clone(), what: what.into() });
        let fail = |source| Error::Read { path: path.clone(), source };
        if path.is_dir() {
            return Err(fail(io::ErrorKind::IsADirectory.into()));
        }
        let mut file = match OpenOptions::new().read(true).write(saved).open(&path) {
            Err(error) if saved && error.kind() == io::ErrorKind::PermissionDenied => {
                return bad(
                    "cannot be opened for writing; with `,ro` after its name the file is not changed",
                );
            }
            opened => opened.map_err(fail)?,
        };
        let lock = if saved { file.try_lock() } else { file.try_lock_shared() };
        if let Err(TryLockError::WouldBlock) = lock {
            return bad("another program uses this disk image");
        }
        let len = file.seek(SeekFrom::End(0)).map_err(fail)?;
        if len == 0 {
            return bad("the file is empty");
        }
        if !len.is_multiple_of(SECTOR as u64) {
            return bad(&format!("not a disk image: {len} bytes are no whole number of 512-byte sectors"));
        }
        Ok(Disk { path, len, saved, shared: Arc::new(Mutex::new(Shared { file, error: None })) })
    }

    /// Its file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether what the guest writes goes back to the file.
    pub fn is_saved(&self) -> bool {
        self.saved
    }

    /// The disk for the machine.
    pub fn medium(&self) -> Medium {
        let base = Base { len: self.len, shared: Arc::clone(&self.shared) };
        Medium::new(Arc::new(base), self.len / SECTOR as u64, self.saved)
    }

    /// Write back what the guest has written to `medium`; durably if it asked for that or it is the `end` of the run.
    ///
    /// # Errors
    /// The file could not be written, or not be read before.
    pub fn save(&self, medium: &mut Medium, end: bool) -> Result<(), Error> {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(source) = shared.error.take() {
            return Err(Error::Read { path: self.path.clone(), source });
        }
        // Taking them reads the medium, but only what was written, which is not in the file.
        let written = medium.take_written();
        let flush = medium.take_flush() || end && self.saved;
        let mut write_back = || -> io::Result<()> {
            for piece in &written {
                shared.file.seek(SeekFrom::Start(piece.at))?;
                shared.file.write_all(&piece.bytes)?;
            }
            if flush { shared.file.sync_data() } else { Ok(()) }
        };
        write_back().map_err(|source| Error::Write { name: self.path.display().to_string(), source })
    }
}

/// The image as the machine reads it.
struct Base {
    len: u64,
    shared: Arc<Mutex<Shared>>,
}

impl BaseImage for Base {
    fn read(&self, at: u64, to: &mut [u8]) {
        let n = usize::try_from(self.len.saturating_sub(at)).map_or(to.len(), |left| left.min(to.len()));
        let (to, beyond) = to.split_at_mut(n);
        beyond.fill(0);
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        let result = shared.file.seek(SeekFrom::Start(at)).and_then(|_| shared.file.read_exact(to));
        if let Err(error) = result {
            to.fill(0);
            let error = match error.kind() {
                io::ErrorKind::UnexpectedEof => {
                    io::Error::other("the file has become shorter while it was in use")
                }
                _ => error,
            };
            shared.error.get_or_insert(error);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_file_that_shrinks_while_in_use_is_told() {
        let path = std::env::temp_dir().join(format!("ringside-disk-{}", std::process::id()));
        fs::write(&path, [7; 8192]).unwrap();
        let disk = Disk::open("--disk", path.to_str().unwrap()).unwrap();
        let mut medium = disk.medium();
        OpenOptions::new().write(true).open(&path).unwrap().set_len(512).unwrap();
        let mut sector = [1; SECTOR];
        medium.read(0, &mut sector);
        assert_eq!(sector, [7; SECTOR]);
        assert!(disk.save(&mut medium, false).is_ok());
        medium.read(15, &mut sector);
        let message = disk.save(&mut medium, false).unwrap_err().to_string();
        assert!(message.contains("shorter") && message.contains("ringside-disk"), "{message}");
        fs::remove_file(&path).unwrap();
    }
}
