//! The terminal in raw mode: every key goes to the Guest. It is restored whatever happens.

use crate::error::Error;
use crossterm::terminal;

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
    fn line_feeds_get_a_return() {
        let mut newlines = Newlines::default();
        assert_eq!(newlines.translate(b"a\nb\r"), b"a\r\nb\r");
        assert_eq!(newlines.translate(b"\n\n"), b"\n\r\n");
    }
}
