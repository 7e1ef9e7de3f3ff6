//! `cpu-fuzz`: run cases by number.

use clap::Parser;
use fuzz::coverage::Coverage;
use fuzz::entropy::Entropy;
use fuzz::rig::{Outcome, Rig, Schedule};
use std::process::ExitCode;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Random bytes in random states: no panic, no hang, one result.
#[derive(Parser)]
struct Args {
    /// Number of cases
    #[arg(long, default_value_t = 1_000_000)]
    cases: u64,
    /// Number of the first case
    #[arg(long, default_value_t = 0)]
    first: u64,
    /// Run each N-th case again in another way and in a new processor, and compare; 0 never
    #[arg(long, value_name = "N", default_value_t = 8)]
    check: u64,
    /// Run every case compiled to host code; the comparisons are with the interpreter
    #[arg(long)]
    jit: bool,
    /// Show how the case `--first` ends, and how it ends otherwise
    #[arg(long)]
    explain: bool,
    /// Print how often each encoding completed
    #[arg(long)]
    table: bool,
}

/// The case being run, for the watchdog.
static CASE: AtomicU64 = AtomicU64::new(0);
/// A case that takes longer hangs.
const PATIENCE: Duration = Duration::from_secs(300);

fn main() -> ExitCode {
    let args = Args::parse();
    std::thread::spawn(watch);
    std::panic::set_hook(Box::new(|panic| {
        eprintln!("case {}: {panic}", CASE.load(Ordering::Relaxed));
    }));
    let how = if args.jit { Schedule::Compiled } else { Schedule::Whole };
    if args.explain {
        explain(args.first, how);
        return ExitCode::SUCCESS;
    }
    let start = Instant::now();
    let mut coverage = Coverage::default();
    let mut rig = Rig::default();
    let mut reference = Rig::default();
    let mut failed = 0u64;
    let mut insns = 0;
    let (mut executions, mut completed) = (0, 0);
    let end = args.first + args.cases;
    for case in args.first..end {
        CASE.store(case, Ordering::Relaxed);
        let outcome = match run(&mut rig, case, how) {
            Some(outcome) => outcome,
            None => {
                failed += 1;
                rig = Rig::default();
                continue;
            }
        };
        insns += outcome.insns;
        executions += outcome.executions;
        completed += outcome.completed.len();
        outcome.completed.iter().for_each(|&code| coverage.count(code));
        if args.check != 0 && case % args.check == 0 && !outcome.faulting {
            let digest = rig.digest();
            // Rarely in a new processor, for making one takes a while.
            let schedule = if case / args.check % 2 == 0 { Schedule::Steps } else { Schedule::Whole };
            let mut new = (case / args.check % 64 == 1).then(Rig::default);
            let other = if args.jit { &mut reference } else { &mut rig };
            let again = run(new.as_mut().unwrap_or(other), case, schedule);
            if again.as_ref().is_some_and(|again| again.faulting) {
                continue;
            }
            if again.as_ref() != Some(&outcome) || new.as_mut().unwrap_or(other).digest() != digest {
                eprintln!("case {case}: not the same by {schedule:?}: {outcome:?}, {again:?}");
                failed += 1;
            }
        }
        if (case + 1 - args.first) % 100_000 == 0 {
            let (covered, all, _) = coverage.summary();
            let seconds = start.elapsed().as_secs();
            eprintln!(
                "{} cases, {executions} executions, {insns} instructions, {covered} of {all} encodings, {seconds} s",
                case + 1 - args.first
            );
        }
    }
    if args.table {
        coverage.table().for_each(|(code, count)| println!("{count:10} {code:?}"));
    }
    let (covered, all, missing) = coverage.summary();
    println!("{executions} executions, {insns} instructions; the first one completed in {completed}");
    println!("encodings completed: {covered} of {all}; not: {missing:?}");
    println!("{} cases, {failed} failed, {} s", args.cases, start.elapsed().as_secs());
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Run case number `case`; `None` if it panicked.
fn run(rig: &mut Rig, case: u64, schedule: Schedule) -> Option<Outcome> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        rig.run(&mut Entropy::from_seed(case), schedule)
    }))
    .ok()
}

/// Print the lines in which two ways to run a case differ.
fn explain(case: u64, how: Schedule) {
    let ends = [how, Schedule::Steps].map(|schedule| {
        let mut rig = Rig::default();
        println!("{schedule:?}: {:?}", run(&mut rig, case, schedule));
        rig.describe()
    });
    for (whole, steps) in ends[0].iter().zip(&ends[1]).filter(|(a, b)| a != b) {
        println!("{how:?}: {whole}\n steps: {steps}");
    }
}

/// End the program if a case hangs.
fn watch() {
    let mut seen = (u64::MAX, Instant::now());
    loop {
        std::thread::sleep(PATIENCE / 10);
        let case = CASE.load(Ordering::Relaxed);
        if case != seen.0 {
            seen = (case, Instant::now());
        } else if seen.1.elapsed() > PATIENCE {
            eprintln!("case {case}: hangs");
            std::process::abort();
        }
    }
}
