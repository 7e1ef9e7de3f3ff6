//! `--script`: a conversation with the machine that is part of the command, so that the run is repeatable.
//!
//! While the script waits for the console, the machine stops right after the instruction that emitted a byte; while it
//! waits for the screen, the machine stops at fixed moments of its own time. So the answer enters at an exact count,
//! which does not depend on how the run is cut into slices.

mod keys;

use crate::console::terminal::Size;
use crate::error::Error;
use crate::files;
use crate::report::screen;
use crate::seat::Seat;
use machine::Machine;
use machine::inputs::{Input, Stamp};
use std::collections::VecDeque;
use std::path::Path;

/// Virtual time from one look at the screen to the next: 10 ms.
const LOOK_TICKS: u64 = 10_000_000;
/// Virtual time from one keystroke to the next: 20 ms.
const KEYSTROKE_TICKS: u64 = 20_000_000;
/// The most the console may say, while the script waits for something else, that a later `expect` finds.
const MEMORY: usize = 1 << 16;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Expect(Seat, Vec<u8>),
    Send(Seat, Vec<u8>),
    Screen(String),
    Resize(Seat, Size),
    /// Keystrokes, one after the other.
    Keys(Vec<Vec<u8>>),
    Quit,
}

/// A script, and how far it is.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Script {
    /// Line numbers and steps to come.
    steps: VecDeque<(usize, Step)>,
    /// What happens at a count.
    timed: Vec<(u64, Input)>,
    /// The console the next line is about, as far as the script was read.
    seat: Seat,
    /// What each console said since the last text that was found there, as far as it could begin the next.
    heard: Vec<Vec<u8>>,
    /// Virtual time from which the next key can be pressed.
    hands_free: u64,
    /// The script has come to a `quit`.
    has_quit: bool,
}

impl Script {
    /// The script in the file `path`, for `guests` Guests.
    pub fn read(path: &Path, guests: usize) -> Result<Script, Error> {
        let bytes = files::read_any(path)?;
        let text = str::from_utf8(&bytes)
            .map_err(|_| Error::BadFile { path: path.into(), what: "not a script: not UTF-8 text".into() })?;
        Script::parse(text, guests).map_err(|(line, what)| Error::Script { path: path.into(), line, what })
    }

    /// The script in `text`, or which line is wrong and why.
    fn parse(text: &str, guests: usize) -> Result<Script, (usize, String)> {
        let mut script = Script { heard: vec![Vec::new(); guests], ..Script::default() };
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
        let seat = self.seat;
        let step = match word {
            "guest" => return self.parse_guest(rest.trim()),
            "expect" if rest.is_empty() => return Err("expect what?".into()),
            "expect" => Step::Expect(seat, unescape(rest)?),
            "send" => Step::Send(seat, unescape(rest)?),
            "screen" if rest.trim().is_empty() => return Err("screen with what on it?".into()),
            "screen" => Step::Screen(rest.trim().into()),
            "resize" => Step::Resize(seat, Size::parse(rest)?),
            "key" => Step::Keys(vec![keys::combination(rest.trim())?]),
            "keys" => Step::Keys(keys::typed(&unescape(rest)?)?),
            "quit" => Step::Quit,
            "at" => return self.parse_timed(rest.trim_start()),
            _ => {
                return Err(format!(
                    "`{word}`: expected `expect`, `send`, `guest`, `screen`, `resize`, `key`, `keys`, `quit` or `at`"
                ));
            }
        };
        self.steps.push_back((n, step));
        Ok(())
    }

    /// Lines from here on are about this Guest's console.
    fn parse_guest(&mut self, number: &str) -> Result<(), String> {
        let count = self.heard.len();
        let seat = number.parse().ok().and_then(|number| Seat::of_guest(number, count));
        self.seat = seat.ok_or_else(|| format!("`{number}` is no number of a Guest; there are {count}"))?;
        Ok(())
    }

    fn parse_timed(&mut self, rest: &str) -> Result<(), String> {
        let (count, what) = rest.split_once(' ').unwrap_or((rest, ""));
        let count = count.parse().map_err(|_| format!("`{count}` is not a number of instructions"))?;
        let input = match what.split_once(' ').unwrap_or((what, "")) {
            ("nmi", "") => Input::Nmi,
            ("send", text) => self.seat.typed(unescape(text)?),
            ("key", name) => Input::Keys(keys::combination(name.trim())?),
            _ => return Err("expected `at INSNS` with `nmi`, `send TEXT` or `key NAME`".into()),
        };
        self.timed.push((count, input));
        Ok(())
    }

    /// Begin, before the machine's first instruction.
    pub fn start(&mut self, machine: &mut Machine) {
        for (insns, input) in self.timed.drain(..) {
            machine.inputs.add(Stamp { insns, vtime: 0 }, input);
        }
        let nothing = vec![Vec::new(); self.heard.len()];
        self.hear(&nothing, machine);
    }

    /// The machine has run, and each console said this, the last of it just now if the script waits for it: go on as far as
    /// possible.
    pub fn hear(&mut self, said: &[Vec<u8>], machine: &mut Machine) {
        for (heard, bytes) in self.heard.iter_mut().zip(said) {
            heard.extend_from_slice(bytes);
        }
        while let Some((_, step)) = self.steps.front() {
            match step {
                Step::Send(seat, text) => machine.inputs.add(machine.now(), seat.typed(text.clone())),
                Step::Keys(keystrokes) => {
                    let now = machine.now();
                    self.hands_free = self.hands_free.max(now.vtime);
                    for codes in keystrokes {
                        let at = Stamp { vtime: self.hands_free, ..now };
                        machine.inputs.add(at, Input::Keys(codes.clone()));
                        self.hands_free = self.hands_free.saturating_add(KEYSTROKE_TICKS);
                    }
                }
                &Step::Resize(seat, size) => machine.inputs.add(machine.now(), seat.sized(size)),
                Step::Quit => self.has_quit = true,
                Step::Screen(text) if screen::text(machine).contains(text) => {}
                Step::Screen(_) => break,
                Step::Expect(seat, text) => {
                    let heard = &mut self.heard[seat.place()];
                    match find(heard, text) {
                        Some(end) => drop(heard.drain(..end)),
                        None => {
                            heard.drain(..heard.len().saturating_sub(text.len()));
                            break;
                        }
                    }
                }
            }
            self.steps.pop_front();
        }
        for heard in &mut self.heard {
            heard.drain(..heard.len().saturating_sub(MEMORY));
        }
        let listens = match self.steps.front() {
            Some((_, Step::Expect(seat, _))) => Some(*seat),
            _ => None,
        };
        machine.with_outputs(|outputs| {
            Seat::all(self.heard.len()).for_each(|seat| outputs.watch(seat.output(), listens == Some(seat)));
        });
    }

    /// Virtual time at which the machine must stop for the script to look at the screen; `now` is the time.
    pub fn next_look(&self, now: u64) -> Option<u64> {
        let looking = matches!(self.steps.front(), Some((_, Step::Screen(_))));
        looking.then(|| (now / LOOK_TICKS + 1).saturating_mul(LOOK_TICKS))
    }

    /// Whether the run is to end here.
    pub fn has_quit(&self) -> bool {
        self.has_quit
    }

    /// What the script still waits for.
    pub fn waiting(&self) -> Option<String> {
        match self.steps.front()? {
            (n, Step::Expect(seat, text)) => {
                let whose =
                    if self.heard.len() > 1 { format!(" of Guest {}", seat.guest()) } else { String::new() };
                Some(format!("script line {n} still waits for \"{}\"{whose}", text.escape_ascii()))
            }
            (n, Step::Screen(text)) => {
                Some(format!("script line {n} still waits for \"{text}\" on the screen"))
            }
            (n, Step::Resize(..) | Step::Send(..) | Step::Keys(_) | Step::Quit) => {
                Some(format!("script line {n} was not reached"))
            }
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
    use cpu::bus::{Bus, Width};
    use machine::{Config, Until};

    #[test]
    fn lines() {
        let text = "# c\n\nexpect a b\nsend x\\n\\x41\\\\\nat 7 nmi\nat 9 send  y\nscreen  [a] \nkey esc\nkeys b\\n\nat 9 key b";
        let script = Script::parse(text, 1).unwrap();
        let (b, enter) = (vec![0x32, 0xF0, 0x32], vec![0x5A, 0xF0, 0x5A]);
        let steps = [
            (3, Step::Expect(Seat::FIRST, b"a b".to_vec())),
            (4, Step::Send(Seat::FIRST, b"x\nA\\".to_vec())),
            (7, Step::Screen("[a]".into())),
            (8, Step::Keys(vec![vec![0x76, 0xF0, 0x76]])),
            (9, Step::Keys(vec![b.clone(), enter])),
        ];
        assert_eq!(script.steps, steps);
        assert_eq!(script.timed, [(7, Input::Nmi), (9, Input::Com1(b" y".to_vec())), (9, Input::Keys(b))]);
    }

    #[test]
    fn mistakes_have_line_numbers() {
        for bad in [
            "say x",
            "expect",
            "send \\q",
            "send \\x4",
            "send \\x+1",
            "at x nmi",
            "at 1 jump",
            "at 5",
            "screen ",
            "key",
            "key jump",
            "keys \\x07",
            "at 5 key",
            "at 5 keys x",
            "guest",
            "guest 0",
            "guest 3",
        ] {
            assert_eq!(Script::parse(&format!("# ok\n{bad}"), 2).unwrap_err().0, 2, "{bad}");
        }
    }

    #[test]
    fn goes_on_when_the_text_is_complete() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        let mut script = Script::parse("expect ab\nexpect b\nsend x", 1).unwrap();
        script.start(&mut machine);
        for (bytes, waiting) in [(&b"xa"[..], Some(1)), (b"b", Some(2)), (b"aab", None)] {
            script.hear(&[bytes.to_vec()], &mut machine);
            let line = waiting.map(|n| format!("script line {n} "));
            assert_eq!(script.waiting().is_some(), line.is_some());
            assert!(line.is_none_or(|line| script.waiting().unwrap().starts_with(&line)));
        }
    }

    #[test]
    fn each_console_is_listened_to_by_itself() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        let text =
            "guest 2\nexpect b\nresize 80 25\nguest 1\nexpect a\nat 9 send x\nguest 2\nexpect c\nat 9 send y";
        let mut script = Script::parse(text, 2).unwrap();
        assert_eq!(script.timed, [(9, Input::Com1(b"x".to_vec())), (9, Input::Serial(0, b"y".to_vec()))]);
        script.start(&mut machine);
        let waits = |script: &Script| script.waiting().unwrap_or_default();
        assert_eq!(waits(&script), "script line 2 still waits for \"b\" of Guest 2");
        script.hear(&[b"b a".to_vec(), Vec::new()], &mut machine);
        assert_eq!(waits(&script), "script line 2 still waits for \"b\" of Guest 2");
        // What was said to nobody is found later.
        script.hear(&[Vec::new(), b"bc".to_vec()], &mut machine);
        assert_eq!(script.waiting(), None);
    }

    #[test]
    fn the_screen_is_looked_at_and_keys_are_pressed_one_after_the_other() {
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        let mut script = Script::parse("screen ready\nkeys ab\nkey esc\nquit", 1).unwrap();
        script.start(&mut machine);
        assert_eq!(script.next_look(LOOK_TICKS), Some(2 * LOOK_TICKS));
        let cells: Vec<u8> = b"ready".iter().flat_map(|&code| [code, 7]).collect();
        machine.with_chipset(|_, cx| assert!(cx.mem.write_bytes(0xB_8000, &cells)));
        machine.cpu.set_clocks(0, 5);
        script.hear(&[Vec::new()], &mut machine);
        assert_eq!((script.waiting(), script.next_look(0), script.has_quit()), (None, None, true));
        // One keystroke has entered at once; the others need time.
        for (vtime, codes) in [(5, 0x1E), (5 + KEYSTROKE_TICKS, 0x30), (5 + 2 * KEYSTROKE_TICKS, 0x01)] {
            machine.cpu.set_clocks(0, vtime);
            machine.run(Until::vtime(vtime));
            let read = |machine: &mut Machine| {
                machine.with_chipset(|chipset, cx| chipset.port_read(cx, 0x60, Width::Byte))
            };
            assert_eq!([(); 3].map(|()| read(&mut machine)), [codes, codes | 0x80, 0]);
        }
    }
}
