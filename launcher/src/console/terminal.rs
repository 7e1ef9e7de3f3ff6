//! The terminal in raw mode: every key goes to the Guest. It is restored whatever happens.

use crate::error::Error;
use crossterm::terminal;
use machine::devices::virtio::TerminalSize;

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    columns: u16,
    rows: u16,
}

impl Size {
    /// Of this program's terminal, if it has one that tells.
    pub fn of_terminal() -> Option<Size> {
        let (columns, rows) = terminal::size().ok()?;
        Some(Size { columns, rows })
    }

    /// What `COLUMNS ROWS` says.
    pub fn parse(text: &str) -> Result<Size, String> {
        let mut words = text.split_whitespace().map(str::parse);
        match (words.next(), words.next(), words.next()) {
            (Some(Ok(columns)), Some(Ok(rows)), None) => Ok(Size { columns, rows }),
            _ => Err(format!("`{text}`: expected COLUMNS ROWS, two numbers up to 65535")),
        }
    }

    /// As the serial device has it.
    pub fn at_port(self) -> TerminalSize {
        TerminalSize { columns: self.columns, rows: self.rows }
    }

    /// The line that tells the lguest Host, on the second serial port.
    pub fn line(self) -> Vec<u8> {
        format!("size {} {}\n", self.columns, self.rows).into_bytes()
    }
}

/// Raw mode as long as this lives.
pub struct RawMode(());

impl RawMode {
    /// Enter raw mode.
    pub fn enter() -> Result<RawMode, Error> {
        terminal::enable_raw_mode().map_err(Error::Terminal)?;
        Ok(RawMode(()))
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

/// Leave raw mode, if it is on.
pub fn restore() {
    // A terminal that is gone cannot be restored, and needs not be.
    let _ = terminal::disable_raw_mode();
}

/// A raw terminal does not return the carriage by itself.
#[derive(Debug, Default)]
pub struct Newlines {
    after_return: bool,
}

impl Newlines {
    /// `bytes` with a carriage return before every line feed that has none.
    pub fn translate(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut out = Vec::with_capacity(bytes.len() + 8);
        for &byte in bytes {
            if byte == b'\n' && !self.after_return {
                out.push(b'\r');
            }
            self.after_return = byte == b'\r';
            out.push(byte);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        assert_eq!(Size::parse("80 25").map(Size::line), Ok(b"size 80 25\n".to_vec()));
        for text in ["", "80", "80 x", "80 25 1", "65536 1", "-1 1"] {
            assert!(Size::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn line_feeds_get_a_return() {
        let mut newlines = Newlines::default();
        assert_eq!(newlines.translate(b"a\nb\r"), b"a\r\nb\r");
        assert_eq!(newlines.translate(b"\n\n"), b"\n\r\n");
    }
}
