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
    /// Ctrl-A 1 to Ctrl-A 9: the console of this Guest.
    Select(usize),
    /// Ctrl-A n: the console of the next one.
    Next,
}

/// What keys mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keys {
    /// They are the Guest's.
    Typed(Vec<u8>),
    /// They are ours.
    Asked(Action),
}

/// Whether the last byte was Ctrl-A.
#[derive(Debug, Default)]
pub struct Escape {
    armed: bool,
}

impl Escape {
    /// What of `bytes` is for the Guest, and what for us, in order.
    pub fn filter(&mut self, bytes: &[u8]) -> Vec<Keys> {
        let mut keys = Vec::new();
        for &byte in bytes {
            let asked = match (std::mem::take(&mut self.armed), byte) {
                (false, KEY) => {
                    self.armed = true;
                    continue;
                }
                (false, byte) | (true, byte @ KEY) => {
                    match keys.last_mut() {
                        Some(Keys::Typed(typed)) => typed.push(byte),
                        _ => keys.push(Keys::Typed(vec![byte])),
                    }
                    continue;
                }
                (true, b'x' | b'X') => Action::Quit,
                (true, b'n' | b'N') => Action::Next,
                (true, digit @ b'1'..=b'9') => Action::Select(usize::from(digit - b'0')),
                // Whoever tries another key needs help.
                (true, _) => Action::Help,
            };
            keys.push(Keys::Asked(asked));
        }
        keys
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys() {
        let mut escape = Escape::default();
        let typed = |bytes: &[u8]| Keys::Typed(bytes.to_vec());
        assert_eq!(escape.filter(b"ab\x01"), [typed(b"ab")]);
        assert_eq!(escape.filter(b"\x01c\x01h"), [typed(b"\x01c"), Keys::Asked(Action::Help)]);
        assert_eq!(escape.filter(b"d\x01x"), [typed(b"d"), Keys::Asked(Action::Quit)]);
        let (second, next) = (Keys::Asked(Action::Select(2)), Keys::Asked(Action::Next));
        assert_eq!(escape.filter(b"1\x0122\x01n"), [typed(b"1"), second, typed(b"2"), next]);
        assert_eq!(escape.filter(b"\x010"), [Keys::Asked(Action::Help)]);
    }
}
