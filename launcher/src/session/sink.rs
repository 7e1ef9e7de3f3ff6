//! A place where bytes go: a file, or one of the standard streams.

use crate::console::terminal::Newlines;
use crate::error::Error;
use std::fs::File;
use std::io::{self, IsTerminal, Write};
use std::path::Path;

/// A named place for bytes.
pub struct Sink {
    name: String,
    to: Box<dyn Write>,
    newlines: Option<Newlines>,
    is_terminal: bool,
    /// The last byte written ended a line.
    at_line_start: bool,
}

impl Sink {
    /// Standard output.
    pub fn standard_output() -> Sink {
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

    /// Standard error.
    pub fn standard_error() -> Sink {
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
    pub fn open(path: &Path) -> Result<Sink, Error> {
        if path == Path::new("-") { Ok(Sink::standard_output()) } else { Sink::file(path) }
    }

    /// Write `bytes`, at once.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), Error> {
        if bytes.is_empty() {
            return Ok(());
        }
        self.at_line_start = bytes.ends_with(b"\n");
        let translated = self.newlines.as_mut().map(|newlines| newlines.translate(bytes));
        let bytes = translated.as_deref().unwrap_or(bytes);
        let written = self.to.write_all(bytes).and_then(|()| self.to.flush());
        written.map_err(|source| Error::Write { name: self.name.clone(), source })
    }

    /// In a raw terminal, start lines at their beginning.
    pub fn translate_newlines(&mut self, on: bool) {
        if self.is_terminal {
            self.newlines = on.then(Newlines::default);
        }
    }

    /// Whether a terminal is in the middle of a line, which the caller ends.
    pub fn begin_line(&mut self) -> bool {
        self.is_terminal && !std::mem::replace(&mut self.at_line_start, true)
    }
}
