//! One case in one place: boot it, and take the time between its two lines.

use super::catalogue::{Case, Group};
use super::clock::{Clock, Stopwatch, Who};
use super::images::Files;
use super::{child, ours};
use crate::error::Error;
use crate::options::later::Engine;
use std::process::Command;

/// Where a case runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Our machine.
    Ours(Engine),
    /// qemu-system-i386 with TCG.
    Qemu,
    /// The bare processor.
    Native,
}

impl Place {
    /// What it is called.
    pub fn name(&self) -> &'static str {
        match self {
            Place::Ours(Engine::Interp) => "interp",
            Place::Ours(Engine::Jit) => "jit",
            Place::Ours(Engine::Check | Engine::Lockstep) => "check",
            Place::Qemu => "qemu",
            Place::Native => "native",
        }
    }
}

/// One measurement.
#[derive(Clone, Debug, PartialEq)]
pub struct Sample {
    /// Between the two lines.
    pub seconds: f64,
    /// Instructions between the two lines, where they are counted.
    pub insns: Option<u64>,
    /// Those of them that compiled code retired, where there is any.
    pub compiled: Option<u64>,
    /// What the case found.
    pub checksum: String,
    /// Rounds of the case's loop.
    pub rounds: u64,
}

/// Instructions retired so far, in a place that counts them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// All of them.
    pub insns: u64,
    /// By compiled code, where there is any.
    pub compiled: Option<u64>,
}

/// Boots cases.
#[derive(Debug)]
pub struct Runner {
    scale: u32,
    clock: Clock,
    files: Files,
}

impl Runner {
    /// A runner of cases at `scale` percent of a full run, timed by `clock`.
    pub fn new(scale: u32, clock: Clock) -> Result<Runner, Error> {
        Ok(Runner { scale, clock, files: Files::write()? })
    }

    /// Run `case` once.
    pub fn measure(&self, case: &Case, place: &Place) -> Result<Sample, Error> {
        let words = format!("{} scale={}", case.name, self.scale);
        let lguest = case.group == Group::Lguest;
        match place {
            Place::Ours(engine) => ours::measure(&words, lguest, *engine, self.clock),
            Place::Qemu => child::measure(self.qemu(&words, lguest), self.clock),
            Place::Native => {
                let mut command = Command::new(self.files.native());
                command.args(words.split(' '));
                child::measure(command, self.clock)
            }
        }
    }

    fn qemu(&self, words: &str, lguest: bool) -> Command {
        let mut command = Command::new(child::QEMU);
        command.args(["-accel", "tcg", "-serial", "stdio", "-display", "none", "-no-reboot", "-net", "none"]);
        if lguest {
            command.args(["-m", "128", "-kernel"]).arg(self.files.host());
            command.arg("-initrd").arg(format!("{} {words}", self.files.guest().display()));
        } else {
            command.args(["-m", "64", "-kernel"]).arg(self.files.image()).args(["-append", words]);
        }
        command
    }

    /// How QEMU is called, for a reader who wants to do it by hand.
    pub fn qemu_command(&self) -> String {
        let folder = self.files.image().parent().map_or(String::new(), |f| format!("{}/", f.display()));
        let line = |lguest| {
            let command = self.qemu(&format!("NAME scale={}", self.scale), lguest);
            let arguments = command.get_args().map(|a| a.to_string_lossy().replace(&folder, "roms/"));
            let quoted = arguments.map(|a| if a.contains(' ') { format!("'{a}'") } else { a });
            std::iter::once(child::QEMU.to_owned()).chain(quoted).collect::<Vec<_>>().join(" ")
        };
        format!("{}; lguest: {}", line(false), line(true))
    }
}

/// Watches the lines of one case go by.
#[derive(Debug)]
pub struct Watch {
    stopwatch: Stopwatch,
    line: Vec<u8>,
    started: Option<(f64, Counts)>,
    /// The whole text, for an error.
    pub heard: String,
}

impl Watch {
    /// Nothing heard yet; times are by `clock`, for `who`.
    pub fn new(clock: Clock, who: Who) -> Watch {
        let stopwatch = Stopwatch::new(clock, who);
        Watch { stopwatch, line: Vec::new(), started: None, heard: String::new() }
    }

    /// More output, after so many instructions. The sample when the case is done.
    pub fn hear(&mut self, bytes: &[u8], counts: Option<Counts>) -> Option<Sample> {
        let now = if bytes.contains(&b'\n') { self.stopwatch.seconds() } else { 0.0 };
        let mut sample = None;
        for &byte in bytes {
            if byte != b'\n' {
                self.line.push(byte);
                continue;
            }
            let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim().to_owned();
            let words: Vec<&str> = line.split(' ').collect();
            match words.as_slice() {
                ["bench", "start", _] => self.started = Some((now, counts.unwrap_or_default())),
                ["bench", "done", _, checksum, rounds] => {
                    let (start, first) = self.started.take()?;
                    sample = Some(Sample {
                        seconds: now - start,
                        insns: counts.map(|now| now.insns - first.insns),
                        compiled: counts.and_then(|now| Some(now.compiled? - first.compiled?)),
                        checksum: (*checksum).to_owned(),
                        rounds: rounds.parse().ok()?,
                    });
                }
                _ => {}
            }
            self.heard.push_str(&line);
            self.heard.push('\n');
        }
        sample
    }

    /// The case ended without a result.
    pub fn failed(&self, place: &str, how: &str) -> Error {
        let last = self.heard.lines().last().unwrap_or("nothing was printed");
        Error::Usage(format!("the benchmark failed in {place}: {how}; last line: {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_is_what_lies_between_the_two_lines() {
        let at = |insns| Counts { insns, compiled: Some(insns / 2) };
        let mut watch = Watch::new(Clock::Wall, Who::Us);
        assert_eq!(watch.hear(b"noise\nbench sta", Some(at(5))), None);
        assert_eq!(watch.hear(b"rt x\r\n", Some(at(10))), None);
        let sample = watch.hear(b"bench done x 0badcafe 7\n", Some(at(110))).unwrap();
        assert_eq!((sample.insns, sample.compiled), (Some(100), Some(50)));
        assert_eq!((sample.checksum.as_str(), sample.rounds), ("0badcafe", 7));
        assert_eq!(watch.hear(b"bench done x 0badcafe 7\n", None), None);
    }
}
