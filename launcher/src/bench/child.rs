//! A case in another program: QEMU, or the native build.

use super::clock::{Clock, Who};
use super::runner::{Sample, Watch};
use crate::error::Error;
use std::io::Read;
use std::process::{Command, Stdio};

/// The program.
pub const QEMU: &str = "qemu-system-i386";

/// What QEMU calls itself.
///
/// # Errors
/// It is not installed.
pub fn qemu_version() -> Result<String, Error> {
    let output = Command::new(QEMU).arg("--version").output();
    let version =
        output.ok().and_then(|o| String::from_utf8_lossy(&o.stdout).lines().next().map(str::to_owned));
    version.ok_or_else(|| {
        Error::Usage(format!("--vs-qemu: {QEMU} is not installed (Debian: apt-get install qemu-system-x86)"))
    })
}

/// Start `command` and listen until its case is done. The program is ended then.
pub fn measure(mut command: Command, clock: Clock) -> Result<Sample, Error> {
    let name = command.get_program().to_string_lossy().into_owned();
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child =
        command.spawn().map_err(|e| Error::Usage(format!("the benchmark cannot start {name}: {e}")))?;
    let mut watch = Watch::new(clock, Who::Child(child.id()));
    let mut sample = None;
    if let Some(mut stdout) = child.stdout.take() {
        let mut chunk = [0; 4096];
        while let Ok(n @ 1..) = stdout.read(&mut chunk) {
            sample = watch.hear(&chunk[..n], None);
            if sample.is_some() {
                break;
            }
        }
    }
    // It has said what it had to say; one that has ended already cannot be ended.
    let _ = child.kill();
    let status = child.wait().map_or_else(|e| e.to_string(), |status| status.to_string());
    sample.ok_or_else(|| watch.failed(&name, &status))
}
