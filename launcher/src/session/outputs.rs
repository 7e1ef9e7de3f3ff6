//! Where the machine's outputs go: terminal and files, opened after everything the user gave has proved good.

use super::consoles::Consoles;
use super::sink::Sink;
use crate::error::Error;
use crate::options::MachineOptions;
use crate::report::screen;
use machine::Machine;
use machine::outputs::OutputPort;
use std::collections::VecDeque;
use std::path::Path;

/// Lines of the Host's log shown when a run ends badly, and the most bytes of them.
const TAIL_LINES: usize = 40;
const TAIL_BYTES: usize = 8192;

/// All of them.
pub struct Outputs {
    /// The Guests'.
    pub consoles: Consoles,
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
    /// Open what `options` name, for `guests` Guests.
    pub fn open(options: &MachineOptions, guests: usize) -> Result<Outputs, Error> {
        let open = |path: &Option<_>| path.as_deref().map(Sink::open).transpose();
        let log_to_stderr = options.host_log.as_deref() == Some(Path::new("-"));
        Ok(Outputs {
            consoles: Consoles::open(options.console.as_deref(), guests)?,
            host_log: if log_to_stderr { Some(Sink::standard_error()) } else { open(&options.host_log)? },
            debugcon: open(&options.debugcon)?,
            post: open(&options.post)?,
            screen: open(&options.screen)?,
            trace: open(&options.trace)?,
            tail: VecDeque::new(),
            tail_is_shown: log_to_stderr,
        })
    }

    /// In a raw terminal, start lines at their beginning, and tell who sits there what happens.
    pub fn set_interactive(&mut self, on: bool) {
        self.consoles.set_interactive(on);
        let Outputs { consoles, host_log, debugcon, post, screen, trace, .. } = self;
        let others = [host_log, debugcon, post, screen, trace].into_iter().flatten();
        others.chain(consoles.sinks()).for_each(|sink| sink.translate_newlines(on));
    }

    /// Pass on what the machine has said; `said` is what each Guest's console has.
    pub fn pass_on(&mut self, said: &[Vec<u8>], machine: &mut Machine) -> Result<(), Error> {
        self.consoles.write(said)?;
        let log = machine.take_output(OutputPort::Com2);
        self.consoles.hear_log(&log);
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
