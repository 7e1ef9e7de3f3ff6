//! The initial RAM disk's programs on this computer's own processor and kernel: unpacked into a folder, with the paths in the load
//! changed to where things are there. Everything else is the same bytes.

use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::{env, fs, io, process};

/// Bytes of a header of the archive (cpio, "newc"): a magic number and 13 numbers in hexadecimal.
const HEADER: usize = 110;
/// Places of the numbers used here.
const MODE: usize = 1;
const FILE_SIZE: usize = 6;
const NAME_SIZE: usize = 11;

/// Kinds of files.
const KIND: usize = 0o170000;
const FOLDER: usize = 0o040000;
const PLAIN: usize = 0o100000;

/// An unpacked RAM disk, as long as this lives.
pub struct Root(PathBuf);

impl Root {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Root {
    fn drop(&mut self) {
        // Left behind, it would only take room.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Unpack a compressed archive.
///
/// # Panics
/// If it is none, or there is no `gzip`.
pub fn unpack(archive: &Path) -> Root {
    let root = Root(env::temp_dir().join(format!("ringside-natively-{}", process::id())));
    fs::create_dir_all(&root.0).expect("a place for temporary files");
    let output = Command::new("gzip").arg("-dc").arg(archive).stderr(Stdio::inherit()).output();
    let bytes = output.expect("gzip is installed").stdout;
    let mut rest = &bytes[..];
    loop {
        let number = |n: usize| {
            let text = str::from_utf8(&rest[6 + 8 * n..14 + 8 * n]).expect("hexadecimal");
            usize::from_str_radix(text, 16).expect("hexadecimal")
        };
        let (mode, size, name_size) = (number(MODE), number(FILE_SIZE), number(NAME_SIZE));
        let name = str::from_utf8(&rest[HEADER..HEADER + name_size - 1]).expect("a name");
        if name == "TRAILER!!!" {
            return root;
        }
        let data = (HEADER + name_size).next_multiple_of(4);
        let path = root.0.join(name);
        match mode & KIND {
            FOLDER => fs::create_dir_all(&path).expect("room"),
            PLAIN => {
                fs::write(&path, &rest[data..data + size]).expect("room");
                fs::set_permissions(&path, fs::Permissions::from_mode(mode as u32 & 0o777)).expect("ours");
            }
            _ => {}
        }
        rest = &rest[(data + size).next_multiple_of(4)..];
    }
}

/// Run the load of the RAM disk at `root`: what it says.
///
/// # Errors
/// The shell cannot be run.
pub fn load(root: &Path) -> io::Result<String> {
    let at = |name: &str| root.join(name).display().to_string();
    // Names for all of busybox's tools, as `/init` makes them.
    let list = Command::new(at("bin/busybox")).arg("--list").output()?;
    for tool in String::from_utf8_lossy(&list.stdout).lines().filter(|&tool| tool != "busybox") {
        symlink("busybox", root.join("bin").join(tool))?;
    }
    let script = fs::read_to_string(root.join("load"))?
        .replace("/tmp/load", &at("work"))
        .replace("/bin/busybox", &at("bin/busybox"))
        .replace("\n/demo\n", &format!("\n{}\n", at("demo")));
    let output = Command::new(at("bin/sh"))
        .args(["-c", &script])
        .env_clear()
        .env("PATH", at("bin"))
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
