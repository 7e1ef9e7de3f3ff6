//! What a console said last: all of what nobody saw, as far as it is kept, and the line it is in.

use std::collections::VecDeque;

/// Bytes kept.
const MOST: usize = 1 << 16;

/// The end of what a console said.
#[derive(Debug, Default)]
pub struct Scrollback {
    bytes: VecDeque<u8>,
    /// How many of them nobody has seen.
    unseen: usize,
    /// Some that nobody has seen are gone.
    lost: bool,
}

impl Scrollback {
    /// The console said `bytes`; `seen` if they are shown at once.
    pub fn push(&mut self, bytes: &[u8], seen: bool) {
        self.bytes.extend(bytes);
        self.unseen = if seen { 0 } else { self.unseen + bytes.len() };
        self.bytes.drain(..self.bytes.len().saturating_sub(MOST));
        self.lost |= self.unseen > self.bytes.len();
        self.unseen = self.unseen.min(self.bytes.len());
    }

    /// What to show of it now, in whole lines, which is seen from now on; true if more was said than is kept.
    pub fn show(&mut self) -> (Vec<u8>, bool) {
        let bytes = self.bytes.make_contiguous();
        let line_from =
            |at: usize| bytes[..at].iter().rposition(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        let lost = std::mem::take(&mut self.lost);
        let unseen = bytes.len() - std::mem::take(&mut self.unseen);
        // The line it is in is shown again: it is a prompt, most likely. If its beginning is lost, it begins with the next.
        let from = match bytes.iter().position(|&byte| byte == b'\n') {
            Some(end) if lost => end + 1,
            _ => line_from(unseen),
        };
        (without_questions(&bytes[from..]), lost)
    }
}

/// `bytes` without what a terminal would answer (CSI ... n, CSI ... c): the answer would be typed now, at a program that does not
/// wait for it, or not any more.
fn without_questions(bytes: &[u8]) -> Vec<u8> {
    let mut kept = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let [byte, after @ ..] = rest {
        let question = rest.strip_prefix(b"\x1b[").and_then(|sequence| {
            let end = sequence.iter().position(|byte| (0x40..=0x7E).contains(byte))?;
            matches!(sequence[end], b'n' | b'c').then(|| &sequence[end + 1..])
        });
        if question.is_none() {
            kept.push(*byte);
        }
        rest = question.unwrap_or(after);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_saw_and_the_prompt() {
        let mut console = Scrollback::default();
        console.push(b"one\ntwo\n# ", true);
        assert_eq!(console.show(), (b"# ".to_vec(), false));
        console.push(b"ls\nthree\n# ", false);
        assert_eq!(console.show(), (b"# ls\nthree\n# ".to_vec(), false));
        assert_eq!(console.show(), (b"# ".to_vec(), false));
    }

    #[test]
    fn the_terminal_is_asked_nothing() {
        let mut console = Scrollback::default();
        console.push(b"\x1b[1mbold\x1b[0m # \x1b[6n\x1b[?1;2c\x1b[6", false);
        assert_eq!(console.show(), (b"\x1b[1mbold\x1b[0m # \x1b[6".to_vec(), false));
    }

    #[test]
    fn a_lot_is_kept_in_part_from_a_whole_line_on() {
        let mut console = Scrollback::default();
        for n in 0..MOST {
            console.push(format!("{n}\n").as_bytes(), false);
        }
        let (text, lost) = console.show();
        let text = String::from_utf8(text).unwrap();
        assert!(lost && text.len() <= MOST && text.len() > MOST - 10);
        assert!(text.lines().next().unwrap().parse::<usize>().unwrap() > 10_000);
        assert!(text.ends_with(&format!("\n{}\n", MOST - 1)));
        assert_eq!(console.show(), (Vec::new(), false));
    }
}
