//! The attack Guest's attacks: how one is booted, beside a neighbour that has work to do; whether it ended as it must; and in a few
//! words how it did end.

use crate::{Boot, End, Limit, Report, Runner, in_parallel, rom};
use ringside_expectations::attacks::{self, Outcome};
use ringside_expectations::{ATTACKS, Attack, CONTRACT, Mutant, Shown};

/// Sectors of the disk, for attacks that want one: 8 MiB.
const DISK: u64 = 16 << 10;

/// Exit status after the Host's last Guest was killed.
const KILLED: u32 = 3;

/// The attack's Guest alone.
pub fn alone(attack: &Attack) -> Boot {
    let mut boot = Boot::new("attack-guest.elf", &format!("attack={} {}", attack.name, attack.words));
    if attack.words.contains("disk") {
        boot.disk_sectors = DISK;
    }
    if attack.words.contains("disk=ro") {
        boot.host_words = "read-only=1".into();
    }
    let has = |word| attack.words.split(' ').any(|w| w == word);
    (boot.network, boot.entropy) = (has("net"), has("rng"));
    if attack.outcome == Outcome::Endless {
        boot.limit = Limit::Short;
    }
    boot
}

/// The same with a neighbour: the first Guest, which powers off when it has given all its proofs, and crashes if one fails.
pub fn beside_neighbour(attack: &Attack) -> Boot {
    let mut boot = alone(attack);
    boot.neighbours = vec![(rom("first-guest.elf"), String::new())];
    boot.host_words += " guest-mem=32";
    if attack.outcome == Outcome::Endless {
        boot.limit = Limit::Neighbour;
    }
    boot
}

/// The attack's own part: whether this Guest ended as it must.
fn ended_as_it_must(attack: &Attack, report: &Report) -> bool {
    let says = |text: &str| report.console.lines().any(|line| line == text);
    let survived = says(&format!("survived {}", attack.name));
    let tried = says(&format!("attack {}", attack.name)) == attack.is_announced();
    tried
        && match attack.outcome {
            Outcome::Killed(category) => {
                !survived && report.host_log.contains(&format!("guest 1 killed: {category}:"))
            }
            Outcome::Crashed(words) => !survived && report.host_log.contains(&format!("guest 1 {words}")),
            Outcome::Survived => survived && report.host_log.contains("guest 1 powered off"),
            Outcome::Endless => !survived && report.end == End::Limit,
        }
}

/// Did it end as it must: exactly this Guest dead, or alive and none the wiser, and everybody else untouched? If not, how.
///
/// # Errors
/// What there is to see of it.
pub fn judge(attack: &Attack, boot: &Boot, report: &Report) -> Result<(), String> {
    let logged = |text: &str| report.host_log.find(text);
    let first = ["killed", "crashed", "halted", "powered off"].map(|end| logged(&format!("guest 1 {end}")));
    let first = first.into_iter().flatten().min();
    let second = logged("guest 2 powered off");
    // The last Guest's death is what the machine reports.
    let clean = attack.outcome == Outcome::Survived || second > first;
    let end = match attack.outcome {
        Outcome::Endless => End::Limit,
        _ if clean => End::PowerOff,
        _ => End::Status(KILLED),
    };
    let untouched = boot.neighbours.is_empty() || second.is_some();
    let sound = untouched && report.end == end && logged("Host panic").is_none();
    if sound && ended_as_it_must(attack, report) {
        return Ok(());
    }
    let tail = |text: &str| {
        let lines: Vec<&str> = text.lines().collect();
        lines[lines.len().saturating_sub(4)..].join("\n    ")
    };
    Err(format!(
        "{}: must be {:?}, was {:?}\n  console:\n    {}\n  Host:\n    {}",
        attack.name,
        attack.outcome,
        report.end,
        tail(&report.console),
        tail(&report.host_log)
    ))
}

/// How a run ended, in a few words that do not depend on addresses or time.
pub fn how(attack: &Attack, report: &Report) -> String {
    let line = |text: &str| {
        let log = report.host_log.lines().chain(report.console.lines());
        log.map(str::trim).find_map(|line| line.split_once(text).map(|(_, rest)| rest.to_owned()))
    };
    if line("Host panic").is_some() {
        return "the Host panics".into();
    }
    let own = line("guest 1 killed: ")
        .map(|rest| format!("killed: {}", rest.split(':').next().unwrap_or_default()))
        .or_else(|| {
            line("guest 1 crashed: CRASH: ")
                .map(|words| format!("crashed: {}", words.get(..40).unwrap_or(&words)))
        })
        .or_else(|| line("guest 1 halted").map(|_| "halted with interrupts off".into()))
        .or_else(|| line(&format!("BROKEN {}: ", attack.name)).map(|what| format!("the Guest: {what}")))
        .or_else(|| {
            let survived = format!("survived {}", attack.name);
            let clean = report.console.lines().any(|line| line == survived);
            line(&survived)
                .map(|_| if clean { "survived" } else { "the console says what nobody wrote" }.into())
        })
        .or_else(|| line("guest 1 powered off").map(|_| "went on as if nothing were".into()));
    let machine = match report.end {
        End::Stopped => Some("the machine stops"),
        End::Limit if line("guest 1 restarts").is_some() => Some("restarts again and again"),
        End::Limit => Some("goes on for ever"),
        End::PowerOff | End::Status(_) => None,
    };
    let neighbour = line("guest 2 killed: ")
        .map(|rest| format!("neighbour killed: {}", rest.split(':').next().unwrap_or_default()))
        .or_else(|| line("guest 2 crashed: ").map(|_| "neighbour harmed".into()))
        .or_else(|| {
            let waits = line("guest 2 started").is_some() && line("guest 2 powered off").is_none();
            (waits && report.end == End::Limit).then(|| "neighbour never done".into())
        });
    let parts: Vec<String> = own.into_iter().chain(machine.map(str::to_owned)).chain(neighbour).collect();
    if parts.is_empty() { "nothing was said".into() } else { parts.join("; ") }
}

/// What became of an attack under a mutant of it.
#[derive(Clone, Debug)]
pub struct Trial {
    /// The attack.
    pub attack: &'static Attack,
    /// What was broken.
    pub mutant: Mutant,
    /// Whether that showed.
    pub noticed: bool,
    /// How it ended.
    pub how: String,
}

/// The mutation run: every attack beside a neighbour under each of its mutants that the runner knows, in the order of the table.
pub fn mutation_run(runner: Runner) -> Vec<Trial> {
    let cases: Vec<(&'static Attack, Mutant)> = ATTACKS
        .iter()
        .flat_map(|attack| attack.mutants.iter().map(move |&mutant| (attack, mutant)))
        .filter(|&(_, mutant)| runner.knows(mutant))
        .collect();
    in_parallel(&cases, |&(attack, mutant)| {
        let report = runner.run(&under(attack, mutant));
        Trial { attack, mutant, noticed: is_noticed(attack, &report), how: how(attack, &report) }
    })
}

/// An attack beside a neighbour, with something broken.
pub fn under(attack: &Attack, mutant: Mutant) -> Boot {
    let boot = beside_neighbour(attack).with_mutant(mutant);
    // What goes on for ever only now need not do so for long.
    if attack.outcome == Outcome::Endless { boot } else { Boot { limit: Limit::Short, ..boot } }
}

/// Whether a run shows by itself that something is broken. That the neighbour's proofs fail does not count, that is what they are
/// for; that it never comes to an end counts for an attack without end.
pub fn is_noticed(attack: &Attack, report: &Report) -> bool {
    let logged = |text: &str| report.host_log.contains(text);
    let waits = !logged("guest 2 powered off") && !logged("guest 2 crashed");
    !ended_as_it_must(attack, report) || logged("Host panic") || attack.outcome == Outcome::Endless && waits
}

/// The record of a mutation run, with the contract before it.
pub fn record(trials: &[Trial]) -> String {
    let mut text = String::from(HEADING);
    text += &format!(
        "\n## The contract: {} rows\n\n| section | about | shown by |\n|---|---|---|\n",
        CONTRACT.len()
    );
    for row in CONTRACT {
        let shown = row.shown.iter().map(|shown| match shown {
            Shown::Attacks(names) => names.join(", "),
            Shown::Proof(number) => format!("proof {number}"),
            Shown::Never(why) => format!("cannot happen: {why}"),
        });
        text += &format!("| {} | {} | {} |\n", row.section, row.about, shown.collect::<Vec<_>>().join("; "));
    }
    text += &format!(
        "\n## The run: {} attacks, {} trials, {} noticed\n\n| attack | must be | broken | then |\n|---|---|---|---|\n",
        ATTACKS.len(),
        trials.len(),
        trials.iter().filter(|trial| trial.noticed).count()
    );
    for attack in ATTACKS {
        let must = match attack.outcome {
            Outcome::Killed(category) => format!("killed: {category}"),
            Outcome::Crashed(words) => words.replace("CRASH: ", ""),
            Outcome::Survived => "survived".into(),
            Outcome::Endless => "goes on for ever, and the neighbour is done".into(),
        };
        for trial in trials.iter().filter(|trial| trial.attack.name == attack.name) {
            let broken = match trial.mutant {
                Mutant::Host(name) => name.to_owned(),
                Mutant::Cpu(name) => format!("processor: {name}"),
            };
            text += &format!("| {} | {must} | {broken} | {} |\n", attack.name, trial.how);
        }
        if let Some((_, why)) = attacks::NO_CHECK.iter().find(|(name, _)| *name == attack.name) {
            text += &format!("| {} | {must} | | {why} |\n", attack.name);
        }
    }
    text
}

const HEADING: &str = "# What a hostile Guest can try, and what shows that each check is needed

Made by `cargo run --release -p ringside-tests --bin attacks >docs/attacks.md`, from the tables in
[`roms/expectations/`](../roms/expectations/src) and a run of each attack of `attack-guest.elf` with its check removed.
`cargo test --release -p ringside-tests --test attacks` runs all of it: with every check in place exactly the attacking Guest
ends as it must, and the first Guest beside it gives all its proofs; with its check removed the attack ends otherwise; and with
the same check removed a Guest that does nothing lives. A `+` is between checks that hide each other: both are removed.
\"Neighbour harmed\": what was removed also makes a proof of the first Guest fail. A proof's number is its place in the table of proofs.
";
