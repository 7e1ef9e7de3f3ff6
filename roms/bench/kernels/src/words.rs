//! The command line: which kernels run, how long, behind which segments.
//!
//! A word is `NAME[@SEGMENTS][=ROUNDS]`; `scale=PERCENT` scales the rounds of all that say none. No name is every one.

/// What one word of the command line asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Chosen<'a> {
    /// Name of a kernel or operation.
    pub name: &'a str,
    /// Which segments, if it says so.
    pub segments: Option<&'a str>,
    /// How many rounds, if it says so.
    pub rounds: Option<u32>,
    /// What the whole line says of the others, in percent.
    pub scale: u32,
}

impl Chosen<'_> {
    /// Rounds to run of something that has so many in a full run: one at least.
    pub fn rounds_of(&self, full: u32) -> u32 {
        self.rounds.unwrap_or((u64::from(full) * u64::from(self.scale) / 100) as u32).max(1)
    }
}

/// The words of `line` that choose something, in order.
pub fn chosen(line: &str) -> impl Iterator<Item = Chosen<'_>> {
    let scale =
        line.split_ascii_whitespace().find_map(|w| w.strip_prefix("scale=")?.parse().ok()).unwrap_or(100);
    let words = line.split_ascii_whitespace().filter(|w| !w.starts_with("scale=") && !is_file(w));
    words.map(move |word| {
        let (what, rounds) = match word.split_once('=') {
            Some((what, rounds)) => (what, rounds.parse().ok()),
            None => (word, None),
        };
        let (name, segments) = match what.split_once('@') {
            Some((name, segments)) => (name, Some(segments)),
            None => (what, None),
        };
        Chosen { name, segments, rounds, scale }
    })
}

/// Boot loaders put the image's name first.
fn is_file(word: &str) -> bool {
    word.contains('/') || word.ends_with(".elf")
}
