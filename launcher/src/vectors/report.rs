//! What `ringside vectors` prints.

use super::format::Vector;
use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use std::path::Path;

/// Passed and failed, by source.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    by_source: [(u64, u64); 4],
}

impl Tally {
    /// Count one vector.
    pub fn count(&mut self, source: u8, passed: bool) {
        let slot = &mut self.by_source[source as usize & 3];
        if passed { slot.0 += 1 } else { slot.1 += 1 }
    }

    /// Add another tally.
    pub fn add(&mut self, other: &Tally) {
        for (a, b) in self.by_source.iter_mut().zip(other.by_source) {
            a.0 += b.0;
            a.1 += b.1;
        }
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
}

impl Failure {
    /// Describe the failure of `vector`.
    pub fn new(vector: &Vector, differences: Vec<String>) -> Failure {
        Failure { id: vector.id, source: vector.source, code: disassemble(vector), differences }
    }
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

/// One file's row and its failures.
pub fn file(path: &Path, width: usize, tally: &Tally, failures: &[Failure], json: bool) {
    let name = stem(path);
    if json {
        for f in failures {
            let line = serde_json::json!({
                "file": name, "id": f.id, "source": f.source, "code": f.code, "differences": f.differences,
            });
            println!("{line}");
        }
        let line = serde_json::json!({ "file": name, "passed": tally.passed(), "failed": tally.failed() });
        println!("{line}");
        return;
    }
    row(name, width, tally);
    for f in failures {
        println!("  #{} (source {})  {}", f.id, f.source, f.code);
        for difference in &f.differences {
            println!("      {difference}");
        }
    }
}

/// The last lines.
pub fn total(width: usize, tally: &Tally, json: bool) {
    if !json {
        row("total", width, tally);
    }
    println!("{} passed, {} failed", tally.passed(), tally.failed());
}
