//! Running the real program, and hand-made kernels to run it on.

use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{self, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::{env, fs, thread};

/// What the program did.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Outcome {
    /// It refused, in one line that has `part` in it.
    #[track_caller]
    pub fn assert_refused(&self, part: &str) {
        assert_eq!(self.status, 2, "{self:?}");
        assert_eq!(self.stderr.lines().count(), 1, "{self:?}");
        assert!(self.stderr.starts_with("ringside: ") && self.stderr.contains(part), "{part}: {self:?}");
    }

    /// The hash line, which is the last.
    #[track_caller]
    pub fn hash(&self) -> &str {
        let last = self.stderr.lines().last().unwrap_or_default();
        assert!(last.starts_with("state-hash="), "{self:?}");
        last
    }
}

/// Run `ringside` with `args`, and nothing on standard input.
pub fn ringside<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Outcome {
    ringside_with(args, b"")
}

/// Run `ringside` with `args` and `input` on standard input.
pub fn ringside_with<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>, input: &[u8]) -> Outcome {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ringside"));
    let args: Vec<OsString> = args.into_iter().map(|arg| arg.as_ref().to_owned()).collect();
    command.args(&args);
    let is_bench = args.first().is_some_and(|arg| arg == "bench");
    if !is_bench && !args.iter().any(|arg| arg == "--timeout") {
        // A run that does not end by itself is to fail, not to last.
        command.args(["--timeout", "60"]);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program was built");
    let mut stdin = child.stdin.take().expect("piped");
    let input = input.to_vec();
    let writer = thread::spawn(move || {
        // A run that ends before it read everything is no error.
        let _ = stdin.write_all(&input);
    });
    let output = child.wait_with_output().expect("the child is ours");
    writer.join().expect("the writer does not panic");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Outcome {
        status: output.status.code().expect("not killed by a signal"),
        stdout: text(&output.stdout),
        stderr: text(&output.stderr),
    }
}

/// A folder that goes away.
pub struct Folder(PathBuf);

impl Folder {
    pub fn new() -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let n = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = env::temp_dir().join(format!("ringside-cli-{}-{n}", process::id()));
        fs::create_dir_all(&path).expect("a place for temporary files");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> String {
        self.0.join(name).to_str().expect("UTF-8").to_owned()
    }

    /// The path of a new file.
    pub fn file(&self, name: &str, contents: impl AsRef<[u8]>) -> String {
        let path = self.path(name);
        fs::write(&path, contents).expect("a new file");
        path
    }

    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    /// The path of a new multiboot kernel that runs `code`.
    pub fn kernel(&self, code: &[u8]) -> String {
        self.file("kernel.bin", kernel(code))
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // Left behind, it would only take room.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A multiboot kernel by the address fields of its header, with `code` at its entry point.
pub fn kernel(code: &[u8]) -> Vec<u8> {
    const MAGIC: u32 = 0x1BAD_B002;
    const ADDRESSES_VALID: u32 = 1 << 16;
    const LOAD: u32 = 0x10_0000;
    const HEADER_LEN: u32 = 32;
    let checksum = 0u32.wrapping_sub(MAGIC).wrapping_sub(ADDRESSES_VALID);
    let header = [MAGIC, ADDRESSES_VALID, checksum, LOAD, LOAD, 0, 0, LOAD + HEADER_LEN];
    header.iter().flat_map(|word| word.to_le_bytes()).chain(code.iter().copied()).collect()
}

/// An image in `roms/`.
pub fn rom(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../roms").join(name);
    path.to_str().expect("UTF-8").to_owned()
}

/// `jmp $`
pub const LOOP: &[u8] = &[0xEB, 0xFE];

/// Echoes COM1; after a line feed, ends with status 1.
pub const ECHO: &[u8] = &[
    0x66, 0xBA, 0xFC, 0x03, // mov dx, 0x3fc
    0xB0, 0x02, // mov al, 2: request to send, which lets the other side send
    0xEE, // out dx, al
    0x66, 0xBA, 0xFD, 0x03, // start: mov dx, 0x3fd
    0xEC, // in: in al, dx
    0xA8, 0x01, // test al, 1
    0x74, 0xFB, // jz in
    0x66, 0xBA, 0xF8, 0x03, // mov dx, 0x3f8
    0xEC, // in al, dx
    0xEE, // out dx, al
    0x3C, 0x0A, // cmp al, '\n'
    0x75, 0xED, // jne start
    0xB0, 0x00, // mov al, 0
    0xE6, 0xF4, // out 0xf4, al
];

/// `parts` appear one after the other.
#[track_caller]
pub fn assert_in_order(text: &str, parts: &[&str]) {
    let mut rest = text;
    for part in parts {
        (_, rest) = rest.split_once(part).unwrap_or_else(|| panic!("{part} is not in its place:\n{text}"));
    }
}
