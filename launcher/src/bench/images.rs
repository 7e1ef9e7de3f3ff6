//! The images, and as files for programs that want files.

use crate::error::Error;
use std::fs;
use std::path::{Path, PathBuf};

/// The kernels and system operations as a multiboot kernel.
pub const IMAGE: &[u8] = include_bytes!("../../../roms/bench.elf");
/// The kernels as a 32-bit Linux program.
pub const NATIVE: &[u8] = include_bytes!("../../../roms/bench-native.elf");
/// The Guest that measures the Host.
pub const GUEST: &[u8] = include_bytes!("../../../roms/bench-guest.elf");
/// The Host.
pub const HOST: &[u8] = include_bytes!("../../../roms/lguest-host.elf");

/// Whether this system can start [`NATIVE`].
pub const NATIVE_RUNS: bool = cfg!(all(target_os = "linux", target_arch = "x86_64"));

/// The images in a folder of their own, which goes away with this.
#[derive(Debug)]
pub struct Files(PathBuf);

impl Files {
    /// Write them.
    pub fn write() -> Result<Files, Error> {
        let folder = std::env::temp_dir().join(format!("ringside-bench-{}", std::process::id()));
        let fail = |source| Error::Write { name: folder.display().to_string(), source };
        fs::create_dir_all(&folder).map_err(fail)?;
        let files = Files(folder.clone());
        for (path, bytes) in
            [(files.image(), IMAGE), (files.native(), NATIVE), (files.guest(), GUEST), (files.host(), HOST)]
        {
            fs::write(&path, bytes).map_err(fail)?;
        }
        make_executable(&files.native()).map_err(fail)?;
        Ok(files)
    }

    /// Where [`IMAGE`] is.
    pub fn image(&self) -> PathBuf {
        self.0.join("bench.elf")
    }

    /// Where [`NATIVE`] is.
    pub fn native(&self) -> PathBuf {
        self.0.join("bench-native.elf")
    }

    /// Where [`GUEST`] is.
    pub fn guest(&self) -> PathBuf {
        self.0.join("bench-guest.elf")
    }

    /// Where [`HOST`] is.
    pub fn host(&self) -> PathBuf {
        self.0.join("lguest-host.elf")
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        // Left behind, they would only take room.
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[cfg(unix)]
fn make_executable(path: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(0o755))
}

#[cfg(not(unix))]
fn make_executable(_: &Path) -> std::io::Result<()> {
    Ok(())
}
