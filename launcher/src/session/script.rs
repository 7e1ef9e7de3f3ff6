//! `--script`: a conversation with the console that is part of the command, so that the run is repeatable.
//!
//! While the script waits, the machine stops right after the instruction that emitted a byte. So the answer enters
//! at an exact count, which does not depend on how the run is cut into slices.

use crate::error::Error;
use crate::files;
use machine::Machine;
use machine::inputs::{Input, Stamp};
use machine::outputs::OutputPort;
use std::collections::VecDeque;
use std::path::Path;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Expect(Vec<u8>),
    Send(Vec<u8>),
}

/// A script, and how far it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Line numbers and steps to come.
    steps: VecDeque<(usize, Step)>,
    /// What happens at a count.
    timed: Vec<(u64, Input)>,
    /// What the console said since the last text that was found, as far as it could begin the next.
    heard: Vec<u8>,
}

impl Script {
    /// The script in the file `path`.
    pub fn read(path: &Path) -> Result<Script, Error> {
        let bytes = files::read_any(path)?;
        let text = str::from_utf8(&bytes)
            .map_err(|_| Error::BadFile { path: path.into(), what: "not a script: not UTF-8 text".into() })?;
        Script::parse(text).map_err(|(line, what)| Error::Script { path: path.into(), line, what })
    }

    /// The script in `text`, or which line is wrong and why.
    fn parse(text: &str) -> Result<Script, (usize, String)> {
        let mut script = Script::default();
        for (n, line) in text.lines().enumerate().map(|(n, line)| (n + 1, line)) {
            let line = line.trim_start();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            script.parse_line(n, line).map_err(|what| (n, what))?;
        }
        Ok(script)
    }

    fn parse_line(&mut self, n: usize, line: &str) -> Result<(), String> {
        let (word, rest) = line.split_once(' ').unwrap_or((line, ""));
        match word {
            "expect" if rest.is_empty() => return Err("expect what?".into()),
            "expect" => self.steps.push_back((n, Step::Expect(unescape(rest)?))),
            "send" => self.steps.push_back((n, Step::Send(unescape(rest)?))),
            "at" => {
                let (count, what) = rest.trim_start().split_once(' ').unwrap_or((rest, ""));
                let count =
                    count.parse().map_err(|_| format!("`{count}` is not a number of instructions"))?;
                let input = match what.split_once(' ').unwrap_or((what, "")) {
                    ("nmi", "") => Input::Nmi,
                    ("send", text) => Input::Com1(unescape(text)?),
                    _ => return Err("expected `at INSNS nmi` or `at INSNS send TEXT`".into()),
                };
                self.timed.push((count, input));
            }
            _ => return Err(format!("`{word}`: expected `expect`, `send` or `at`")),
        }
        Ok(())
    }

    /// Begin, before the machine's first instruction.
    pub fn start(&mut self, machine: &mut Machine) {
        for (insns, input) in self.timed.drain(..) {
            machine.inputs.add(Stamp { insns, vtime: 0 }, input);
        }
        self.hear(&[], machine);
    }

    /// The console said `bytes`, the last of them just now: go on as far as possible.
    pub fn hear(&mut self, bytes: &[u8], machine: &mut Machine) {
        self.heard.extend_from_slice(bytes);
        while let Some((_, step)) = self.steps.front() {
            match step {
                Step::Send(text) => machine.inputs.add(machine.now(), Input::Com1(text.clone())),
                Step::Expect(text) => match find(&self.heard, text) {
                    Some(end) => drop(self.heard.drain(..end)),
                    None => {
                        self.heard.drain(..self.heard.len().saturating_sub(text.len()));
                        break;
                    }
                },
            }
            self.steps.pop_front();
        }
        let waiting = !self.steps.is_empty();
        machine.with_outputs(|outputs| outputs.watch(OutputPort::Com1, waiting));
    }

    /// What the script still waits for.
    pub fn waiting(&self) -> Option<String> {
        match self.steps.front()? {
            (n, Step::Expect(text)) => {
                Some(format!("script line {n} still waits for \"{}\"", text.escape_ascii()))
            }
            (n, Step::Send(_)) => Some(format!("script line {n} was not reached")),
        }
    }
}

/// Where the first occurrence of `text` ends.
fn find(heard: &[u8], text: &[u8]) -> Option<usize> {
    heard.windows(text.len()).position(|window| window == text).map(|at| at + text.len())
}

fn unescape(text: &str) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        rest = after;
        if *byte != b'\\' {
            bytes.push(*byte);
            continue;
        }
        let (value, after) = match rest {
            [b'n', after @ ..] => (b'\n', after),
            [b'r', after @ ..] => (b'\r', after),
            [b't', after @ ..] => (b'\t', after),
            [b'\\', after @ ..] => (b'\\', after),
            [b'x', high, low, after @ ..] => {
                let digit =
                    |byte: u8| char::from(byte).to_digit(16).ok_or("\\x needs two hexadecimal digits");
                ((digit(*high)? << 4 | digit(*low)?) as u8, after)
            }
            _ => return Err("after \\ expected n, r, t, \\ or xNN".into()),
        };
        bytes.push(value);
        rest = after;
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Config;

    #[test]
    fn lines() {
        let script = Script::parse("# c\n\nexpect a b\nsend x\\n\\x41\\\\\nat 7 nmi\nat 9 send  y").unwrap();
        let steps = [(3, Step::Expect(b"a b".to_vec())), (4, Step::Send(b"x\nA\\".to_vec()))];
        assert_eq!(script.steps, steps);
        assert_eq!(script.timed, [(7, Input::Nmi), (9, Input::Com1(b" y".to_vec()))]);
    }

    #[test]
    fn mistakes_have_line_numbers() {
        for bad in ["say x", "expect", "send \\q", "send \\x4", "send \\x+1", "at x nmi", "at 1 jump", "at 5"]
        {
            assert_eq!(Script::parse(&format!("# ok\n{bad}")).unwrap_err().0, 2, "{bad}");
        }
    }

    #[test]
    fn goes_on_when_the_text_is_complete() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        let mut script = Script::parse("expect ab\nexpect b\nsend x").unwrap();
        script.start(&mut machine);
        for (bytes, waiting) in [(&b"xa"[..], Some(1)), (b"b", Some(2)), (b"aab", None)] {
            script.hear(bytes, &mut machine);
            let line = waiting.map(|n| format!("script line {n} "));
            assert_eq!(script.waiting().is_some(), line.is_some());
            assert!(line.is_none_or(|line| script.waiting().unwrap().starts_with(&line)));
        }
    }
}
