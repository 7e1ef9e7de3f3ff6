//! Where the machine's outputs go: terminal and files, opened after everything the user gave has proved good.

use crate::console::terminal::Newlines;
use crate::error::Error;
use crate::options::MachineOptions;
use crate::report::screen;
use machine::Machine;
use machine::outputs::OutputPort;
use std::collections::VecDeque;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// Lines of the Host's log shown when a run ends badly, and the most bytes of them.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: usize = 8192;

/// A named place for bytes.
struct Sink {
    name: String,
    to: Box<dyn Write>,
    newlines: Option<Newlines>,
    is_terminal: bool,
    /// The last byte written ended a line.
    at_line_start: bool,
}

impl Sink {
    fn standard_output() -> Sink {
        let stdout = io::stdout();
        let is_terminal = stdout.is_terminal();
        Sink {
            name: "standard output".into(),
            to: Box::new(stdout),
            newlines: None,
            at_line_start: true,
            is_terminal,
        }
    }

    fn standard_error() -> Sink {
        let stderr = io::stderr();
        let is_terminal = stderr.is_terminal();
        Sink {
            name: "standard error".into(),
            to: Box::new(stderr),
            newlines: None,
            at_line_start: true,
            is_terminal,
        }
    }

    fn file(path: &Path) -> Result<Sink, Error> {
        let name = path.display().to_string();
        match File::create(path) {
            Ok(file) => {
                Ok(Sink { name, to: Box::new(file), newlines: None, at_line_start: true, is_terminal: false })
            }
            Err(source) => Err(Error::Write { name, source }),
        }
    }

    /// `-` is standard output.
    fn open(path: &Path) -> Result<Sink, Error> {
        if path == Path::new("-") { Ok(Sink::standard_output()) } else { Sink::file(path) }
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.at_line_start = bytes.ends_with(b"\n");
        let translated = self.newlines.as_mut().map(|newlines| newlines.translate(bytes));
        let bytes = translated.as_deref().unwrap_or(bytes);
        let written = self.to.write_all(bytes).and_then(|()| self.to.flush());
        written.map_err(|source| Error::Write { name: self.name.clone(), source })
    }
}

/// All of them.
pub struct Outputs {
    console: Sink,
    host_log: Option<Sink>,
    debugcon: Option<Sink>,
    post: Option<Sink>,
    screen: Option<Sink>,
    trace: Option<Sink>,
    /// The last of what COM2 said.
    tail: VecDeque<u8>,
    tail_is_shown: bool,
}

impl Outputs {
    /// Open what `options` name.
    pub fn open(options: &MachineOptions) -> Result<Outputs, Error> {
        let open = |path: &Option<_>| path.as_deref().map(Sink::open).transpose();
        let log_to_stderr = options.host_log.as_deref() == Some(Path::new("-"));
        Ok(Outputs {
            console: open(&options.console)?.unwrap_or_else(Sink::standard_output),
            host_log: if log_to_stderr { Some(Sink::standard_error()) } else { open(&options.host_log)? },
            debugcon: open(&options.debugcon)?,
            post: open(&options.post)?,
            screen: open(&options.screen)?,
            trace: open(&options.trace)?,
            tail: VecDeque::new(),
            tail_is_shown: log_to_stderr,
        })
    }

    /// In a raw terminal, start lines at their beginning.
    pub fn translate_newlines(&mut self, on: bool) {
        let Outputs { console, host_log, debugcon, post, screen, trace, .. } = self;
        let others = [host_log, debugcon, post, screen, trace].into_iter().flatten();
        for sink in others.chain([console]).filter(|sink| sink.is_terminal) {
            sink.newlines = on.then(Newlines::default);
        }
    }

    /// On a terminal, let what we say start on a line of its own.
    pub fn end_line(&mut self) {
        if self.console.is_terminal && !self.console.at_line_start {
            eprintln!();
        }
    }

    /// Pass on what the machine has said; `console` is what COM1 has.
    pub fn pass_on(&mut self, console: &[u8], machine: &mut Machine) -> Result<(), Error> {
        self.console.write(console)?;
        let log = machine.take_output(OutputPort::Com2);
        self.tail.extend(&log);
        self.tail.drain(..self.tail.len().saturating_sub(TAIL_BYTES));
        let others = [
            (&mut self.host_log, log),
            (&mut self.debugcon, machine.take_output(OutputPort::DebugConsole)),
            (&mut self.post, machine.take_output(OutputPort::Post)),
        ];
        for (sink, bytes) in others {
            if let Some(sink) = sink {
                sink.write(&bytes)?;
            }
        }
        Ok(())
    }

    /// Append to the trace.
    pub fn trace(&mut self, lines: &[u8]) -> Result<(), Error> {
        self.trace.as_mut().map_or(Ok(()), |sink| sink.write(lines))
    }

    /// Write the text screen, if it is wanted.
    pub fn screen(&mut self, machine: &Machine) -> Result<(), Error> {
        self.screen.as_mut().map_or(Ok(()), |sink| sink.write(screen::text(machine).as_bytes()))
    }

    /// Show the last lines of COM2 on standard error, unless they went there anyway.
    pub fn show_tail(&mut self) {
        let text = String::from_utf8_lossy(self.tail.make_contiguous()).into_owned();
        if self.tail_is_shown || text.trim().is_empty() {
            return;
        }
        let lines: Vec<&str> = text.trim_end().lines().collect();
        eprintln!("ringside: the last lines on COM2:");
        for line in &lines[lines.len().saturating_sub(TAIL_LINES)..] {
            // Control characters would do something to the terminal.
            let clean: String =
                line.trim_end().chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
            eprintln!("  | {clean}");
        }
    }
}
