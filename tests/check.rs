//! The compiled engine is the interpreter: pairs of machines run the images, compared all the way; and a pair of which
//! one is broken on purpose is found out.
//!
//! `RINGSIDE_CHECK_SCALE` makes the benchmark's part of the runs longer (percent of a full run of 10^9 instructions a
//! kernel; 1 by default has a tenth of a kernel's rounds at least).

use cpu::{Engine, Mutant};
use harness::{Boot, in_parallel, prepare, rom};
use machine::boot::multiboot::Multiboot;
use machine::check::{Divergence, Injection, Mode, Pair, PairStats};
use machine::{Config, Machine, MachineExit, Until};

/// More than any run here takes, if it ends at all.
const LIMIT: u64 = 20_000_000_000;
/// A broken engine must be found out within so many instructions.
#[cfg(target_arch = "x86_64")]
const PATIENCE: u64 = 40_000_000;

const LOCKSTEP: Mode = Mode::Lockstep;

fn random(seed: u64, nmi: bool) -> Mode {
    Mode::Random(Injection { seed, time: true, nmi })
}

/// The engine to check: the compiled one where there is one.
fn subject(mut machine: Machine) -> Machine {
    if let Err(why) = machine.cpu.set_engine(Engine::Jit) {
        println!("the interpreter against itself: {why}");
    }
    machine.cpu.compile_after(1);
    machine
}

/// The benchmark's image with this command line.
fn bench(words: &str) -> Machine {
    let image = std::fs::read(rom("bench.elf")).expect("the image is committed");
    let mut machine = Machine::new(Config { ram: 64 << 20, rtc: 0 }).expect("64 MiB of RAM");
    let image = Multiboot { kernel: &image, command_line: words.as_bytes(), modules: &[] };
    image.load(&mut machine).expect("a multiboot kernel");
    machine
}

/// Host and a Guest.
fn lguest(guest: &str, words: &str) -> Machine {
    prepare(&Boot::new(guest, words))
}

/// How a run ended and what it compared, or where the two parted.
type Outcome = Result<(MachineExit, PairStats), Box<Divergence>>;

fn run(mut pair: Pair, limit: u64) -> Outcome {
    let exit = pair.run(Until { insns: limit, vtime: u64::MAX })?;
    Ok((exit, pair.stats()))
}

/// A part of the benchmark that takes every kernel and operation, and segments of all kinds.
fn everything() -> String {
    let scale = std::env::var("RINGSIDE_CHECK_SCALE").unwrap_or_else(|_| "1".into());
    if scale == "1" { SHORT.to_owned() } else { format!("scale={scale}") }
}

const SHORT: &str = "scale=1 sieve=1 crc32=2 sha256=1 quicksort=1 matmul=1 strings=2 calls=1 lists=4 hash=1 lz=1 \
     records=4000 bits=2 bytecode=1 queens=1 bignum=6 gcd=6 x87=1 sse2=4 rep-movs=20 rep-stos=20 stride=2 \
     two-buffers=1 int80=500 call-gate=500 page-fault=500 segment-load=500 segment-access=500 self-modify=300 \
     patch-text=300 code-and-data=500 popf=500 sti-cli=500 cr3=100 invlpg=500 task-switch=100 port=500 cpuid=300 \
     straight-line=2 rewrite-all=2 many-blocks=2 write-next=500 into-middle=500 limit-churn=500 paging-churn=300 \
     crc32@limited=1 strings@limited=1 calls@limited=1 lz@based=1 records@based=2000 gcd@based=2 hash@based=1";

/// As many different instructions as possible in little time.
#[cfg(target_arch = "x86_64")]
const MIXED: &str = "crc32=1 records=1000 bits=1 bignum=1 gcd=1 strings=1 hash=1 queens=1 crc32@limited=1 gcd@based=1 \
     self-modify=100 patch-text=100 segment-access=300 x87=1 sse2=1 lz=1 sha256=1 int80=100 page-fault=100 lists=1";

#[test]
fn the_benchmark_is_the_same_in_both_engines() {
    let words = everything();
    let done = in_parallel(&[LOCKSTEP, random(1, false)], |&mode| {
        let pair = Pair::new(bench(&words), subject(bench(&words)), mode).expect("alike");
        (mode, run(pair, LIMIT))
    });
    report(done);
}

#[test]
fn host_and_guests_are_the_same_in_both_engines() {
    let modes = [LOCKSTEP, random(2, false), random(3, true)];
    let guests = [("first-guest.elf", ""), ("bench-guest.elf", "scale=1")];
    let jobs: Vec<_> =
        modes.iter().flat_map(|mode| guests.iter().map(move |guest| (*mode, *guest))).collect();
    let done = in_parallel(&jobs, |&(mode, (guest, words))| {
        let pair = Pair::new(lguest(guest, words), subject(lguest(guest, words)), mode).expect("alike");
        (mode, run(pair, LIMIT))
    });
    report(done);
}

/// Two Guests, each with somebody who types at its console.
#[test]
fn consoles_of_two_guests_are_the_same_in_both_engines() {
    let boot = Boot {
        input: b"the first\n".to_vec(),
        ..Boot::new("first-guest.elf", "input").with_consoles(&[("input", "the second\n")])
    };
    let done = in_parallel(&[LOCKSTEP, random(6, false)], |&mode| {
        let pair = Pair::new(prepare(&boot), subject(prepare(&boot)), mode).expect("alike");
        (mode, run(pair, LIMIT))
    });
    report(done);
}

fn report(done: Vec<(Mode, Outcome)>) {
    for (mode, outcome) in done {
        let (exit, stats) = outcome.unwrap_or_else(|found| panic!("{mode:?}: {found}"));
        assert_eq!(exit, MachineExit::PowerOff, "{mode:?}");
        println!("{mode:?}: {stats:?}");
        assert!(stats.insns > 1_000_000, "{mode:?}: {stats:?}");
    }
}

/// Proves that the comparison sees what the processor does wrong: a subject with a mutant, whatever its engine.
#[test]
fn every_mutant_of_the_processor_is_found_out() {
    let jobs: Vec<_> =
        Mutant::ALL.iter().flat_map(|m| [LOCKSTEP, random(4, false)].map(|mode| (m, mode))).collect();
    let missed = in_parallel(&jobs, |((name, mutant), mode)| {
        let mut broken = subject(lguest("first-guest.elf", ""));
        broken.cpu.mutant = Some(*mutant);
        let pair = Pair::new(lguest("first-guest.elf", ""), broken, *mode).expect("alike");
        match run(pair, LIMIT) {
            Err(_) => None,
            Ok(_) => Some(format!("{name} in {mode:?}")),
        }
    });
    assert_eq!(missed.into_iter().flatten().collect::<Vec<_>>(), Vec::<String>::new());
}

/// Each deliberate miscompilation that changes code on this host is found out, in either mode, in one of two images;
/// and so are twenty at least.
#[cfg(all(target_arch = "x86_64", any(unix, windows)))]
#[test]
fn every_miscompilation_is_found_out() {
    use cpu::JitFault;
    let jobs: Vec<_> =
        JitFault::ALL.iter().flat_map(|f| [LOCKSTEP, random(5, false)].map(|mode| (f, mode))).collect();
    let found = in_parallel(&jobs, |((name, fault), mode)| {
        let images: [fn() -> Machine; 2] = [|| bench(MIXED), || lguest("first-guest.elf", "")];
        let mut effects = 0;
        for image in images {
            let mut broken = subject(image());
            broken.cpu.set_jit_fault(Some(*fault));
            let mut pair = Pair::new(image(), broken, *mode).expect("alike");
            let outcome = pair.run(Until { insns: PATIENCE, vtime: u64::MAX });
            effects += pair.subject().cpu.jit_fault_effects();
            if let Err(found) = outcome {
                let mode = if *mode == LOCKSTEP { "lockstep" } else { "random" };
                let first = found.differences.first().map(ToString::to_string).unwrap_or_default();
                println!("{name:28} {mode:8} after {:>9} instructions: {first}", found.differ_at.insns);
                return Found::Yes;
            }
        }
        if effects == 0 { Found::NotThere } else { Found::No }
    });
    let names = |wanted: Found| -> Vec<String> {
        let these = jobs.iter().zip(&found).filter(|(_, found)| **found == wanted);
        these.map(|(((name, _), mode), _)| format!("{name} in {mode:?}")).collect()
    };
    println!("no code of this host is changed by: {:#?}", names(Found::NotThere));
    assert_eq!(names(Found::No), Vec::<String>::new());
    assert!(names(Found::Yes).len() >= 2 * 20, "{:?}", names(Found::Yes));
}

/// What became of a miscompilation.
#[cfg(all(target_arch = "x86_64", any(unix, windows)))]
#[derive(Clone, Copy, PartialEq, Eq)]
enum Found {
    Yes,
    No,
    /// No code came out otherwise.
    NotThere,
}
