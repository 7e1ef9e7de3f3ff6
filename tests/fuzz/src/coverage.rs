//! Which encodings completed at least once.

use crate::forms;
use iced_x86::Code;

/// Counts by encoding.
pub struct Coverage {
    /// Times an encoding completed as the first instruction of a case.
    completed: Vec<u64>,
}

impl Default for Coverage {
    fn default() -> Coverage {
        Coverage { completed: vec![0; iced_x86::Code::values().count()] }
    }
}

impl Coverage {
    /// Count one completion of `code`.
    pub fn count(&mut self, code: Code) {
        self.completed[code as usize] += 1;
    }

    /// Add other counts.
    pub fn add(&mut self, other: &Coverage) {
        self.completed.iter_mut().zip(&other.completed).for_each(|(a, b)| *a += b);
    }

    /// Encodings that completed, all encodings, and the names of those that did not.
    pub fn summary(&self) -> (usize, usize, Vec<Code>) {
        let all = forms::all();
        let missing: Vec<Code> =
            all.iter().map(|f| f.code).filter(|c| self.completed[*c as usize] == 0).collect();
        (all.len() - missing.len(), all.len(), missing)
    }

    /// Every encoding with its count.
    pub fn table(&self) -> impl Iterator<Item = (Code, u64)> {
        forms::all().iter().map(|form| (form.code, self.completed[form.code as usize]))
    }
}
