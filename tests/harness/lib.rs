//! Boots a Host with a Guest, in our machine or in QEMU, and reports what both said and how it ended.
//!
//! The same [`Boot`] runs in either, so that every test can be asked of both: set `RINGSIDE_RUNNER=qemu` to run the
//! proofs and attacks there (mutants of the processor exist in our machine only).

pub mod attack;
mod machine;
mod qemu;

use cpu::Engine;
use ringside_expectations::Mutant;
use std::path::PathBuf;

pub use machine::prepare;
pub use qemu::{find as find_qemu, version as qemu_version};

/// What to boot.
#[derive(Clone, Debug)]
pub struct Boot {
    /// The Host's image.
    pub host: PathBuf,
    /// The Host's command line.
    pub host_words: String,
    /// The Guest's image.
    pub guest: PathBuf,
    /// The Guest's command line.
    pub guest_words: String,
    /// The Guest's initial RAM disk, if it has one.
    pub initrd: Option<PathBuf>,
    /// Sectors of a disk of zeros; 0 for no disk.
    pub disk_sectors: u64,
    /// The machine has a network card, with a gateway that answers.
    pub network: bool,
    /// The machine has an entropy source.
    pub entropy: bool,
    /// Images and command lines of more Guests, which have no disk. One that is the Guest's image has its initial RAM disk, too.
    pub neighbours: Vec<(PathBuf, String)>,
    /// The machine has a serial device, so that these have consoles; what is typed there.
    pub consoles: Option<Vec<Vec<u8>>>,
    /// Nobody reads these consoles, and the run is over when the first Guest is off. In QEMU, on systems with pipes that have names.
    pub unread: bool,
    /// What is typed at the Guest's console.
    pub input: Vec<u8>,
    /// A rule of the processor to break.
    pub cpu_mutant: Option<&'static str>,
    /// How our machine executes it; mutants of the processor exist in the interpreter only.
    pub engine: Engine,
    /// Stop after so long, if nothing else ends the run.
    pub limit: Limit,
}

/// How long a run may take.
#[derive(Clone, Copy, Debug)]
pub enum Limit {
    /// Far longer than any run that ends by itself.
    Generous,
    /// For runs that never end: long enough to see that the Host lives.
    Short,
    /// For runs that never end of which a part does: long enough for the first Guest beside another.
    Neighbour,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The machine was powered off.
    PowerOff,
    /// The exit status written to the debug-exit port, as a process would have it.
    Status(u32),
    /// The limit was reached.
    Limit,
    /// The machine stopped in a way no kernel means: triple fault, dead halt, reset.
    Stopped,
}

/// What came of it.
#[derive(Clone, Debug)]
pub struct Report {
    /// Everything on the Guest's console.
    pub console: String,
    /// Everything on the consoles of its neighbours that have one.
    pub neighbours: Vec<String>,
    /// Everything in the Host's log.
    pub host_log: String,
    /// How it ended.
    pub end: End,
    /// How to do it again.
    pub command: String,
}

/// Where to boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runner {
    /// Our machine, in this process.
    Machine,
    /// `qemu-system-i386`.
    Qemu,
}

impl Runner {
    /// The one the environment asks for; our machine by default.
    pub fn from_environment() -> Self {
        match std::env::var("RINGSIDE_RUNNER").as_deref() {
            Ok("qemu") => Self::Qemu,
            _ => Self::Machine,
        }
    }

    /// Runs it.
    ///
    /// # Panics
    /// If an image cannot be read or QEMU cannot be started: the test cannot go on.
    pub fn run(self, boot: &Boot) -> Report {
        match self {
            Self::Machine => machine::run(boot),
            Self::Qemu => qemu::run(boot),
        }
    }

    /// Can it break this rule?
    pub fn knows(self, mutant: Mutant) -> bool {
        match mutant {
            Mutant::Host(_) => true,
            Mutant::Cpu(name) => self == Self::Machine && cpu::Mutant::from_name(name).is_some(),
        }
    }
}

/// The interpreter, and the compiled engine where this computer has one.
pub fn engines() -> Vec<Engine> {
    let mut engines = vec![Engine::Interp, Engine::best()];
    engines.dedup();
    engines
}

/// An image of `roms/`.
pub fn rom(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../roms").join(name)
}

impl Boot {
    /// The Host of `roms/` with this Guest.
    pub fn new(guest: &str, guest_words: &str) -> Self {
        Self {
            host: rom("lguest-host.elf"),
            host_words: String::new(),
            guest: rom(guest),
            guest_words: guest_words.to_owned(),
            initrd: None,
            disk_sectors: 0,
            network: false,
            entropy: false,
            neighbours: Vec::new(),
            consoles: None,
            unread: false,
            input: Vec::new(),
            cpu_mutant: None,
            engine: Engine::best(),
            limit: Limit::Generous,
        }
    }

    /// The built-in Guest, as `ringside` boots it with these words added.
    pub fn linux(words: &str) -> Self {
        let initrd = Some(rom("linux-6.1/initrd.gz"));
        Self { initrd, ..Self::new("linux-6.1/vmlinux", &format!("console=hvc0 quiet loglevel=3 {words}")) }
    }

    /// With a console for each of these neighbours, where this is typed.
    #[must_use]
    pub fn with_consoles(mut self, neighbours: &[(&str, &str)]) -> Self {
        let words = |words: &&str| (self.guest.clone(), (*words).to_owned());
        self.neighbours = neighbours.iter().map(|(other, _)| words(other)).collect();
        self.consoles = Some(neighbours.iter().map(|(_, typed)| typed.as_bytes().to_vec()).collect());
        self
    }

    /// A neighbour's initial RAM disk.
    fn initrd_of(&self, image: &PathBuf) -> Option<&PathBuf> {
        self.initrd.as_ref().filter(|_| *image == self.guest)
    }

    /// The same with one rule broken.
    #[must_use]
    pub fn with_mutant(mut self, mutant: Mutant) -> Self {
        match mutant {
            Mutant::Host(name) => {
                self.host = rom("lguest-host-mutants.elf");
                self.host_words = format!("mutant={name} {}", self.host_words).trim_end().to_owned();
            }
            Mutant::Cpu(name) => {
                self.cpu_mutant = Some(name);
                self.engine = Engine::Interp;
            }
        }
        self
    }
}

/// Runs jobs on all processors; answers in the order of the jobs.
pub fn in_parallel<T: Sync, R: Send>(jobs: &[T], work: impl Fn(&T) -> R + Sync) -> Vec<R> {
    let next = std::sync::atomic::AtomicUsize::new(0);
    let done = std::sync::Mutex::new(Vec::new());
    let workers = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let n = next.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    let Some(job) = jobs.get(n) else { return };
                    let result = work(job);
                    done.lock().expect("a worker panicked").push((n, result));
                }
            });
        }
    });
    let mut done = done.into_inner().expect("a worker panicked");
    done.sort_by_key(|(n, _)| *n);
    done.into_iter().map(|(_, result)| result).collect()
}
