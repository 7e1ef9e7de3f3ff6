//! Case after case, and what they showed.

use crate::case::{self, Case, End};
use crate::compare::{differences, is_open};
use crate::export::Export;
use crate::host::Host;
use crate::layout::{CODE, PAGE, SYSTEM_END};
use crate::model::Model;
use clap::Parser;
use fuzz::coverage::Coverage;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

/// Random programs of ring 3 on the host processor and on ours.
#[derive(Parser)]
struct Args {
    /// Number of cases
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// Number of the first case
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Differences shown of each encoding
    #[arg(long, default_value_t = 2)]
    shown: u64,
    /// Write vectors of cases on which both agree
    #[arg(long, value_name = "FILE")]
    export: Option<PathBuf>,
    /// Vectors of each encoding in that file
    #[arg(long, default_value_t = 4)]
    each: u64,
    /// Print how often each encoding was compared
    #[arg(long)]
    table: bool,
}

/// Run the program.
pub fn main() -> ExitCode {
    let args = Args::parse();
    let template = case::memory();
    let mut host = match Host::new(&template) {
        Ok(host) => host,
        Err(error) => {
            eprintln!("cpu-native: cannot run 32-bit code here: {error}");
            return ExitCode::from(2);
        }
    };
    let mut model = Model::new(&host.ldt(), &template);
    let mut export = Export::new(model.image());
    let mut exported: BTreeMap<String, u64> = BTreeMap::new();
    let mut coverage = Coverage::default();
    let mut failures: BTreeMap<String, u64> = BTreeMap::new();
    let mut compared = 0u64;
    for number in args.first..args.first + args.cases {
        let Some(case) = case::case(number) else { continue };
        let offset = case.start.eip as usize % PAGE;
        let Some(theirs) = host.run(&case.start, offset, &case.code) else { continue };
        let Some(ours) = model.run(&case.start, offset, &case.code) else { continue };
        // Ring 0's pages are ours only, and 64-bit code is the host's only.
        let touches_system = |end: &End| end.vector == 14 && end.cr2 < SYSTEM_END;
        if touches_system(&theirs) || touches_system(&ours) || theirs.state.seg[1] & !7 == 0x30 {
            continue;
        }
        compared += 1;
        let first = case.insns[0].code();
        coverage.count(first);
        if is_open(&case, &theirs, &ours) {
            continue;
        }
        let found = differences(&case, &theirs, &ours);
        if args.export.is_some() && found.is_empty() {
            // Programs that do not just stop at once at their first instruction, and some that do.
            let count =
                exported.entry(format!("{first:?} {}", theirs.state.eip == case.start.eip)).or_default();
            *count += 1;
            if *count <= args.each {
                export.add(&case, offset, &model, ours.vector, ours.error);
            }
        }
        if !found.is_empty() {
            let count = failures.entry(format!("{first:?}")).or_default();
            *count += 1;
            if *count <= args.shown {
                show(number, &case, &found, (theirs.vector, theirs.error, ours.vector, ours.error));
            }
        }
    }
    if let Some(path) = &args.export
        && let Err(error) = std::fs::write(path, export.finish())
    {
        eprintln!("cpu-native: cannot write {}: {error}", path.display());
        return ExitCode::from(2);
    }
    if args.table {
        coverage.table().for_each(|(code, count)| println!("{count:10} {code:?}"));
    }
    let (covered, all, missing) = coverage.summary();
    println!("encodings compared: {covered} of {all}");
    if args.table {
        println!("not: {missing:?}");
    }
    println!("differences by encoding: {failures:?}");
    let failed: u64 = failures.values().sum();
    println!("{compared} compared, {failed} different");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn show(number: u64, case: &Case, found: &[String], ends: (u8, u32, u8, u32)) {
    let text: Vec<String> = case.insns.iter().map(|insn| insn.to_string()).collect();
    println!("case {number}: {} ({:02x?}) at {:x}", text.join("; "), case.code, case.start.eip.max(CODE));
    println!("    start {:x?} eflags {:x} seg {:x?}", case.start.gpr, case.start.eflags, case.start.seg);
    println!("    host ends {}({:x}), ours {}({:x})", ends.0, ends.1, ends.2, ends.3);
    found.iter().take(8).for_each(|line| println!("    {line}"));
}
