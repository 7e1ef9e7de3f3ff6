//! Which vectors of a file `--only` picks: by number, or by what their instructions look like.

use super::format::Vector;
use super::report::disassemble;
use std::ops::RangeInclusive;
use std::str::FromStr;

/// A choice of vectors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Only {
    /// Those with a number in this range.
    Ids(RangeInclusive<u32>),
    /// Those whose disassembly contains this, in lower case.
    Text(String),
}

impl Only {
    /// Whether `vector` is chosen.
    pub fn picks(&self, vector: &Vector) -> bool {
        match self {
            Only::Ids(ids) => ids.contains(&vector.id),
            Only::Text(text) => disassemble(vector).to_lowercase().contains(text),
        }
    }
}

impl FromStr for Only {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Only, &'static str> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        if let (Ok(first), Ok(last)) = (first.parse(), last.parse()) {
            return if first <= last { Ok(Only::Ids(first..=last)) } else { Err("the range is empty") };
        }
        if text.is_empty() {
            return Err("expected a number, a range or a part of the disassembly");
        }
        Ok(Only::Text(text.to_lowercase()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vectors::format::File;
    use crate::vectors::sample;

    #[test]
    fn numbers_ranges_and_text() {
        let bytes = sample::file(42);
        let file = File::parse(&bytes).unwrap();
        let picked = |only: &str| {
            let only: Only = only.parse().unwrap();
            file.vectors().filter(|v| only.picks(v)).map(|v| v.id).collect::<Vec<_>>()
        };
        assert_eq!(picked("1"), [1]);
        assert_eq!(picked("0-7"), [0, 1]);
        assert_eq!(picked("INC e"), [0]);
        assert!(picked("nothing like this").is_empty());
        assert_eq!("7-0".parse::<Only>(), Err("the range is empty"));
        assert!("".parse::<Only>().is_err());
    }
}
