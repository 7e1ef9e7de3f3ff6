//! The attack Guest's attacks: each ends as the table says, and otherwise when its check in the Host is gone.

use harness::{Boot, End, Limit, Report, Runner, engines, in_parallel};
use ringside_expectations::attacks::Outcome;
use ringside_expectations::{ATTACKS, Attack, Mutant};

/// Sectors of the disk, for attacks that want one: 8 MiB.
const DISK: u64 = 16 << 10;

/// Exit status after the Host's last Guest was killed.
const KILLED: u32 = 3;

fn boot(attack: &Attack) -> Boot {
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

/// Did it end as it must? If not, how.
fn judge(attack: &Attack, report: &Report) -> Result<(), String> {
    let says = |text: &str| report.console.lines().any(|line| line == text);
    let tried = says(&format!("attack {}", attack.name));
    let survived = says(&format!("survived {}", attack.name));
    let killed = |log: &str| !survived && report.host_log.contains(log) && report.end == End::Status(KILLED);
    let as_expected = tried == attack.is_announced()
        && match attack.outcome {
            Outcome::Killed(category) => killed(&format!("killed: {category}:")),
            Outcome::Crashed(words) => killed(words),
            Outcome::Survived => survived && report.end == End::PowerOff,
            Outcome::Endless => !survived && report.end == End::Limit,
        };
    if as_expected {
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

#[test]
fn every_attack_ends_as_it_must() {
    let runner = Runner::from_environment();
    let cases: Vec<_> =
        engines().into_iter().flat_map(|engine| ATTACKS.iter().map(move |attack| (attack, engine))).collect();
    let wrong: Vec<String> = in_parallel(&cases, |&(attack, engine)| {
        judge(attack, &runner.run(&Boot { engine, ..boot(attack) }))
            .map_err(|why| format!("{engine:?}: {why}"))
    })
    .into_iter()
    .filter_map(Result::err)
    .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn each_check_is_needed() {
    let runner = Runner::from_environment();
    let cases: Vec<(&Attack, Mutant)> = ATTACKS
        .iter()
        .flat_map(|attack| attack.mutants.iter().map(move |&mutant| (attack, mutant)))
        .filter(|&(_, mutant)| runner.knows(mutant))
        .collect();
    let idle: Vec<String> = in_parallel(&cases, |&(attack, mutant)| {
        let mut boot = boot(attack).with_mutant(mutant);
        boot.limit = Limit::Short;
        let report = runner.run(&boot);
        let known = !report.host_log.contains("no such mutant");
        let same = judge(attack, &report).is_ok();
        (same || !known).then(|| format!("{} ends the same under {mutant:?} (known: {known})", attack.name))
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(idle.is_empty(), "{} of {} cases:\n{}", idle.len(), cases.len(), idle.join("\n"));
}

/// A Guest that attacks without end, and beside it one that has something to do.
fn beside_neighbour(attack: &Attack) -> Boot {
    let mut boot = boot(attack);
    boot.neighbours = vec![(harness::rom("first-guest.elf"), String::new())];
    boot.host_words += " guest-mem=32";
    boot.limit = Limit::Neighbour;
    boot
}

fn neighbour_was_done(report: &Report) -> bool {
    report.host_log.contains("guest 2 powered off")
}

/// Whatever a Guest does for ever, the one beside it gets its share of the processor.
#[test]
fn a_neighbour_of_endless_attacks_has_its_turns() {
    let endless: Vec<&Attack> = ATTACKS.iter().filter(|a| a.outcome == Outcome::Endless).collect();
    let runner = Runner::from_environment();
    in_parallel(&endless, |&attack| {
        let report = runner.run(&beside_neighbour(attack));
        assert!(neighbour_was_done(&report), "{}: {:?}\n{}", attack.name, report.end, report.host_log);
    });
    // Only because turns end: of the Guest, and of a device in it.
    let needed = [("hcall-flood", "slice-never-ends"), ("block-flood", "device-turns-whole")];
    in_parallel(&needed, |&(name, rule)| {
        let attack = endless.iter().find(|a| a.name == name).expect("in the table");
        let report = runner.run(&beside_neighbour(attack).with_mutant(Mutant::Host(rule)));
        assert!(!neighbour_was_done(&report), "{name} leaves time without {rule}");
        assert!(report.host_log.contains(&format!("deliberately broken: {rule}")), "{}", report.host_log);
    });
}

/// A restarted Guest begins again from its pristine image.
#[test]
fn restart_begins_again() {
    for name in ["restart", "reset-port"] {
        let attack = ATTACKS.iter().find(|a| a.name == name).expect("in the table");
        let report = Runner::from_environment().run(&boot(attack));
        let starts = report.console.matches(&format!("attack {name}\n")).count();
        assert!(starts >= 2, "{name}: {starts} starts\n{}", report.host_log);
    }
}

#[test]
fn names_are_unique() {
    for (n, attack) in ATTACKS.iter().enumerate() {
        assert!(ATTACKS[..n].iter().all(|other| other.name != attack.name), "{} twice", attack.name);
    }
}
