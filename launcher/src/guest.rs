//! What can be said against a Guest before it starts, where its files can be named: the Host would find most of it too, later.

use crate::error::Error;
use machine::boot::{elf, linux};
use std::path::Path;

/// Every Linux says its version somewhere, and one that can be a Guest the name of the Host it was made for.
const LINUX: &[u8] = b"Linux version ";
const LGUEST: &[u8] = b"lguest";

/// Why a kernel cannot be a Guest with `ram` bytes of RAM; otherwise the byte after what it occupies there.
///
/// # Errors
/// What is wrong with the file.
pub fn check_kernel(path: &Path, data: &[u8], ram: u64) -> Result<u64, Error> {
    let bad = |what: String| Err(Error::BadFile { path: path.into(), what });
    let end = if elf::is_elf(data) {
        let image = match elf::parse(data) {
            Ok(image) => image,
            Err(error) => return bad(error.to_string()),
        };
        if contains(data, LINUX) && !contains(data, LGUEST) {
            return bad("a Linux without CONFIG_LGUEST_GUEST, which cannot run in ring 1".into());
        }
        image.segments.iter().map(|segment| segment.physical.end).max().unwrap_or(0)
    } else if linux::is_linux(data) {
        match linux::footprint(data) {
            Ok(footprint) if footprint.is_64bit => return bad("a 64-bit kernel; a Guest is 32-bit".into()),
            Ok(footprint) => footprint.end,
            Err(error) => return bad(error.to_string()),
        }
    } else {
        return bad("not a Guest: neither an ELF file nor a Linux bzImage".into());
    };
    if end.max(data.len() as u64) > ram {
        let (end, ram) = (end.div_ceil(1 << 20), ram >> 20);
        return bad(format!("larger than the Guest's RAM: it needs {end} MiB, --mem gives it {ram}"));
    }
    Ok(end)
}

/// Why an initial RAM disk of `len` bytes cannot lie behind a kernel that ends at `kernel_end`.
///
/// # Errors
/// It does not fit.
pub fn check_initrd(len: u64, kernel_end: u64, ram: u64) -> Result<(), Error> {
    if kernel_end + len.next_multiple_of(4096) <= ram {
        return Ok(());
    }
    let (len, ram) = (len.div_ceil(1 << 10), ram >> 20);
    Err(Error::Usage(format!(
        "--initrd: {len} KiB do not fit behind the kernel into {ram} MiB of RAM; raise --mem"
    )))
}

/// Why a Guest cannot have this command line.
///
/// # Errors
/// It changes the size of RAM, behind which kernels before 4.0 look for their devices.
pub fn check_command_line(words: &str) -> Result<(), Error> {
    match words.split_ascii_whitespace().find(|word| word.starts_with("mem=")) {
        Some(word) => Err(Error::Usage(format!(
            "--append: `{word}` would hide the devices behind the Guest's RAM from it; use --mem"
        ))),
        None => Ok(()),
    }
}

fn contains(data: &[u8], text: &[u8]) -> bool {
    // By the first byte, which is rare enough: a kernel is a dozen megabytes.
    let mut rest = data;
    while let Some(at) = rest.iter().position(|byte| Some(byte) == text.first()) {
        rest = &rest[at..];
        if rest.starts_with(text) {
            return true;
        }
        rest = &rest[1..];
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_found_wherever_they_are() {
        assert!(contains(b"xlguest", LGUEST) && contains(b"lgulguest", LGUEST));
        assert!(!contains(b"lgues", LGUEST) && !contains(b"", LGUEST));
    }

    #[test]
    fn the_size_of_ram_is_not_for_the_command_line() {
        assert!(check_command_line("console=hvc0 memtest=1").is_ok());
        assert!(check_command_line("console=hvc0 mem=32M").is_err());
    }

    #[test]
    fn an_initrd_may_end_with_ram() {
        assert!(check_initrd(4095, 4096, 8192).is_ok());
        assert!(check_initrd(4097, 4096, 8192).is_err());
    }
}
