//! Ctrl-A: the key that speaks to us instead of the Guest.

/// Ctrl-A.
const KEY: u8 = 0x01;

/// Something asked of us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Ctrl-A x.
    Quit,
    /// Ctrl-A h.
    Help,
}

/// Whether the last byte was Ctrl-A.
#[derive(Debug, Default)]
pub struct Escape {
    armed: bool,
}

impl Escape {
    /// What of `bytes` is for the Guest, and what for us.
    pub fn filter(&mut self, bytes: &[u8]) -> (Vec<u8>, Vec<Action>) {
        let (mut plain, mut actions) = (Vec::with_capacity(bytes.len()), Vec::new());
        for &byte in bytes {
            match (std::mem::take(&mut self.armed), byte) {
                (false, KEY) => self.armed = true,
                (false, byte) => plain.push(byte),
                (true, KEY) => plain.push(KEY),
                (true, b'x' | b'X') => actions.push(Action::Quit),
                // Whoever tries another key needs help.
                (true, _) => actions.push(Action::Help),
            }
        }
        (plain, actions)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let mut escape = Escape::default();
        assert_eq!(escape.filter(b"ab\x01"), (b"ab".to_vec(), vec![]));
        assert_eq!(escape.filter(b"\x01c\x01h"), (b"\x01c".to_vec(), vec![Action::Help]));
        assert_eq!(escape.filter(b"d\x01x"), (b"d".to_vec(), vec![Action::Quit]));
    }
}
