//! Which Guests are off, by what the Host says in its log.

use crate::seat::Seat;

/// The longest beginning of a line that is looked at.
const LONGEST: usize = 64;

/// The state of each Guest.
#[derive(Debug)]
pub struct Roll {
    line: Vec<u8>,
    /// How each ended, if it did.
    ends: Vec<Option<&'static str>>,
}

impl Roll {
    /// `count` Guests that run.
    pub fn new(count: usize) -> Roll {
        Roll { line: Vec::new(), ends: vec![None; count] }
    }

    /// The Host said `bytes` in its log: the Guests that ended.
    pub fn hear(&mut self, bytes: &[u8]) -> Vec<Seat> {
        let mut ended = Vec::new();
        for &byte in bytes {
            if byte != b'\n' {
                if self.line.len() < LONGEST {
                    self.line.push(byte);
                }
                continue;
            }
            let line = std::mem::take(&mut self.line);
            let Some((seat, how)) = self.parse(&line) else { continue };
            self.ends[seat.place()] = how;
            ended.extend(how.map(|_| seat));
        }
        ended
    }

    /// What a line says about a Guest.
    fn parse(&self, line: &[u8]) -> Option<(Seat, Option<&'static str>)> {
        const ENDS: [(&str, Option<&str>); 5] = [
            ("started", None),
            ("powered off", Some("powered off")),
            ("crashed", Some("crashed")),
            ("halted", Some("halted for ever")),
            ("killed", Some("was killed by the Host")),
        ];
        let (number, what) = str::from_utf8(line).ok()?.strip_prefix("guest ")?.split_once(' ')?;
        let seat = Seat::of_guest(number.parse().ok()?, self.ends.len())?;
        let (_, how) = ENDS.into_iter().find(|(word, _)| what.starts_with(word))?;
        Some((seat, how))
    }

    /// How a Guest ended, if it did.
    pub fn end(&self, seat: Seat) -> Option<&'static str> {
        self.ends.get(seat.place()).copied().flatten()
    }

    /// The first Guest that has not ended.
    pub fn first_alive(&self) -> Option<Seat> {
        Seat::all(self.ends.len()).find(|&seat| self.end(seat).is_none())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_log_tells_who_is_off() {
        let mut roll = Roll::new(2);
        let [first, second] = [1, 2].map(|n| Seat::of_guest(n, 2).unwrap());
        assert_eq!(roll.hear(b"guest 1 started\nguest 2 started\nguest 1 pow"), []);
        assert_eq!(roll.first_alive(), Some(first));
        assert_eq!(roll.hear(b"ered off\nguest 3 powered off\n  guest 2 powered off\n"), [first]);
        assert_eq!((roll.end(first), roll.end(second)), (Some("powered off"), None));
        assert_eq!(roll.first_alive(), Some(second));
        assert_eq!(roll.hear(b"guest 2 killed: BAD_READ: 0x1\n"), [second]);
        assert_eq!(roll.first_alive(), None);
        assert_eq!(roll.hear(b"guest 2 started\n"), []);
        assert_eq!(roll.first_alive(), Some(second));
    }
}
