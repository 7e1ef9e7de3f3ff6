//! What `ringside vectors` prints.

use super::format::Vector;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use std::path::Path;

/// Passed and failed, by source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    by_source: [(u64, u64); 4],
    /// Failures that were expected.
    known: u64,
    /// Entries of the list of known failures that are wrong.
    pub surprises: u64,
}

impl Tally {
    /// Count one vector; `known`: it is listed as a failure.
    pub fn count(&mut self, source: u8, passed: bool, known: bool) {
        let slot = &mut self.by_source[source as usize & 3];
        if passed {
            slot.0 += 1
        } else {
            slot.1 += 1
        }
        self.known += (known && !passed) as u64;
    }

    /// Add another tally.
    pub fn add(&mut self, other: &Tally) {
        for (a, b) in self.by_source.iter_mut().zip(other.by_source) {
            a.0 += b.0;
            a.1 += b.1;
        }
        self.known += other.known;
        self.surprises += other.surprises;
    }

    /// Whether exactly the known failures failed.
    pub fn as_expected(&self) -> bool {
        self.failed() == self.known && self.surprises == 0
    }

    /// Vectors that passed.
    pub fn passed(&self) -> u64 {
        self.by_source.iter().map(|s| s.0).sum()
    }

    /// Vectors that failed.
    pub fn failed(&self) -> u64 {
        self.by_source.iter().map(|s| s.1).sum()
    }

    /// Whether nothing was run.
    pub fn is_empty(&self) -> bool {
        self.passed() + self.failed() == 0
    }

    fn column(&self, source: usize) -> String {
        let (passed, failed) = self.by_source[source];
        if passed + failed == 0 { "-".to_owned() } else { format!("{passed}/{}", passed + failed) }
    }
}

/// One failed vector.
pub struct Failure {
    id: u32,
    source: u8,
    code: String,
    differences: Vec<String>,
    known: Option<String>,
}

impl Failure {
    /// Describe the failure of `vector`, which is expected for the reason `known`.
    pub fn new(vector: &Vector, differences: Vec<String>, known: Option<&str>) -> Failure {
        let known = known.map(str::to_owned);
        Failure { id: vector.id, source: vector.source, code: disassemble(vector), differences, known }
    }
}

/// What came of one file.
#[derive(Default)]
pub struct Outcome {
    pub tally: Tally,
    /// The first failures.
    pub failures: Vec<Failure>,
    /// Numbers of vectors listed as known failures, and why that is wrong.
    pub surprises: Vec<(u32, &'static str)>,
}

/// The instructions under test and, in parentheses, their bytes.
pub fn disassemble(vector: &Vector) -> String {
    let Some((_, bytes)) = vector.initial.ram.first() else { return String::new() };
    let code = &bytes[..bytes.len().min(vector.code_len as usize)];
    let bitness = if vector.code16 { 16 } else { 32 };
    let mut decoder = Decoder::with_ip(bitness, code, 0, DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    let mut insn = Instruction::default();
    let mut lines = Vec::new();
    while decoder.can_decode() {
        decoder.decode_out(&mut insn);
        let mut text = String::new();
        formatter.format(&insn, &mut text);
        lines.push(text);
    }
    let hex: Vec<String> = code.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}  ({})", lines.join("; "), hex.join(" "))
}

/// The file name without its extensions.
pub fn stem(path: &Path) -> &str {
    let name = path.file_name().and_then(|n| n.to_str()).unwrap_or("?");
    name.split('.').next().unwrap_or(name)
}

/// The table's first line.
pub fn heading(width: usize) {
    println!(
        "{:width$}  {:>15}  {:>15}  {:>15}  {:>7}",
        "file", "silicon", "two models", "one model", "failed"
    );
}

fn row(name: &str, width: usize, tally: &Tally) {
    let [one, two, three] = [1, 2, 3].map(|source| tally.column(source));
    println!("{name:width$}  {one:>15}  {two:>15}  {three:>15}  {:>7}", tally.failed());
}

/// One file's row, its failures, and what is wrong about the known ones.
pub fn file(path: &Path, width: usize, outcome: &Outcome, json: bool) {
    let Outcome { tally, failures, surprises } = outcome;
    let name = stem(path);
    if json {
        for f in failures {
            let line = serde_json::json!({
                "file": name, "id": f.id, "source": f.source, "code": f.code, "differences": f.differences,
                "known": f.known,
            });
            println!("{line}");
        }
        for (id, what) in surprises {
            println!("{}", serde_json::json!({ "file": name, "id": id, "not_a_known_failure": what }));
        }
        let line = serde_json::json!({ "file": name, "passed": tally.passed(), "failed": tally.failed() });
        println!("{line}");
        return;
    }
    row(name, width, tally);
    for f in failures {
        println!("  #{} (source {})  {}", f.id, f.source, f.code);
        if let Some(reason) = &f.known {
            println!("      known: {reason}");
            continue;
        }
        for difference in &f.differences {
            println!("      {difference}");
        }
    }
    let untold = tally.failed() - failures.len() as u64;
    if untold > 0 {
        println!("  and {untold} more; --failures N tells more of them");
    }
    for (id, what) in surprises {
        println!("  #{id} is listed as a known failure: {what}");
    }
}

/// The last lines.
pub fn total(width: usize, tally: &Tally, with_known: bool, json: bool) {
    if !json {
        row("total", width, tally);
        if with_known {
            let (known, other) = (tally.known, tally.failed() - tally.known);
            println!("failures: {known} known, {other} not known; {} wrong in the list", tally.surprises);
        }
    }
    println!("{} passed, {} failed", tally.passed(), tally.failed());
}
