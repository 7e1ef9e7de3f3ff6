//! The committed list of vectors that fail on purpose (`--known`): with it, success means that exactly those fail.
//!
//! One vector a line: file stem, vector number, reason. Blank lines and lines that start with `#` say nothing.

use super::report::stem;
use std::collections::BTreeMap;
use std::path::Path;

/// Largest list accepted, in bytes.
pub const MAX_SIZE: u64 = 1 << 20;

/// Vectors that are expected to fail.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Known {
    reasons: BTreeMap<(String, u32), String>,
}

impl Known {
    /// Parse a list.
    ///
    /// # Errors
    /// The number of the first bad line, from 1, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Known, (usize, &'static str)> {
        let mut known = Known::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let mut words = line.splitn(3, char::is_whitespace);
            let (Some(stem), Some(id), Some(reason)) = (words.next(), words.next(), words.next()) else {
                return Err((n + 1, "expected a file stem, a vector number and a reason"));
            };
            let id = id.parse().map_err(|_| (n + 1, "the second word is not a vector number"))?;
            if known.reasons.insert((stem.to_owned(), id), reason.trim().to_owned()).is_some() {
                return Err((n + 1, "this vector is already in the list"));
            }
        }
        Ok(known)
    }

    /// Why vector `id` of the file at `path` is expected to fail, if it is.
    pub fn reason(&self, path: &Path, id: u32) -> Option<&str> {
        self.reasons.get(&(stem(path).to_owned(), id)).map(String::as_str)
    }

    /// Numbers and reasons of the vectors expected to fail in the file at `path`, ascending.
    pub fn of(&self, path: &Path) -> impl Iterator<Item = (u32, &str)> {
        let name = stem(path).to_owned();
        let all = self.reasons.range((name.clone(), 0)..=(name, u32::MAX));
        all.map(|((_, id), reason)| (*id, reason.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_stem_number_reason() {
        let known =
            Known::parse("# why\n\n d_io 7  a reason\r\nd_io 2 another: two words\nd_iret 1 x\n").unwrap();
        let path = Path::new("some/where/d_io.bin.zst");
        assert_eq!(known.reason(path, 7), Some("a reason"));
        assert_eq!(known.reason(path, 1), None);
        assert_eq!(known.of(path).collect::<Vec<_>>(), [(2, "another: two words"), (7, "a reason")]);
        assert_eq!(known.of(Path::new("d_i.bin")).count(), 0);
    }

    #[test]
    fn bad_lines_are_refused_with_their_number() {
        let line = |text| Known::parse(text).unwrap_err().0;
        assert_eq!(line("d_io 7"), 1);
        assert_eq!(line("\nd_io seven reason"), 2);
        assert_eq!(line("d_io 7 a\n# once is enough\nd_io 7 b"), 3);
    }

    #[test]
    fn the_committed_list_is_good() {
        let known = Known::parse(include_str!("../../../tests/vectors/known.txt")).unwrap();
        assert_eq!(known.reasons.len(), 8);
    }
}
