//! The attack Guest's attacks: each ends as the table says, and otherwise when its check in the Host is gone.

use harness::attack::{Trial, alone, beside_neighbour, how, is_noticed, judge, mutation_run, record, under};
use harness::{Boot, Runner, engines, in_parallel};
use ringside_expectations::attacks::NO_CHECK;
use ringside_expectations::{ATTACKS, Attack, CONTRACT, Mutant, PROOFS, Shown};

/// Alone in one engine, beside a neighbour in the other (where there is one): exactly this Guest dies, or is none the wiser, and the
/// neighbour does all its work and finds everything as it should be.
#[test]
fn every_attack_ends_as_it_must() {
    let runner = Runner::from_environment();
    let engines = engines();
    let (first, best) = (engines[0], engines[engines.len() - 1]);
    let cases: Vec<_> = ATTACKS
        .iter()
        .flat_map(|attack| {
            let alone = Boot { engine: first, ..alone(attack) };
            [(attack, alone), (attack, Boot { engine: best, ..beside_neighbour(attack) })]
        })
        .collect();
    let wrong: Vec<String> = in_parallel(&cases, |(attack, boot)| {
        let how = format!("{:?}, {} neighbours", boot.engine, boot.neighbours.len());
        judge(attack, boot, &runner.run(boot)).map_err(|why| format!("{how}: {why}"))
    })
    .into_iter()
    .filter_map(Result::err)
    .collect();
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

#[test]
fn each_check_is_needed() {
    let trials = mutation_run(Runner::from_environment());
    let idle: Vec<String> = trials
        .iter()
        .filter(|trial| !trial.noticed)
        .map(|trial| format!("{} ends the same under {:?}: {}", trial.attack.name, trial.mutant, trial.how))
        .collect();
    assert!(idle.is_empty(), "{} of {} cases:\n{}", idle.len(), trials.len(), idle.join("\n"));
}

/// What is removed for an attack's sake is a check, not the ground: a Guest that does nothing, with the same words on its command
/// line, lives all the same.
#[test]
fn without_a_check_a_harmless_guest_lives() {
    let runner = Runner::from_environment();
    let nothing = ATTACKS.iter().find(|attack| attack.name == "nothing").expect("in the table");
    let mut cases: Vec<(Mutant, &str)> = ATTACKS
        .iter()
        .filter(|attack| attack.is_announced())
        .flat_map(|attack| attack.mutants.iter().map(|&mutant| (mutant, attack.words)))
        .filter(|&(mutant, _)| runner.knows(mutant))
        .collect();
    cases.sort_by_key(|case| format!("{case:?}"));
    cases.dedup();
    let dead: Vec<String> = in_parallel(&cases, |&(mutant, words)| {
        let attack = Attack { words, ..*nothing };
        let report = runner.run(&under(&attack, mutant));
        is_noticed(&attack, &report).then(|| format!("{mutant:?} {words}: {}", how(&attack, &report)))
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(dead.is_empty(), "{} of {} cases:\n{}", dead.len(), cases.len(), dead.join("\n"));
}

/// Every row of the contract is shown by something, all of which exists; and every attack has a check that it is about.
#[test]
fn every_row_is_shown() {
    let attack = |name: &str| ATTACKS.iter().find(|attack| attack.name == name);
    for row in CONTRACT {
        assert!(!row.shown.is_empty(), "{}", row.about);
        for shown in row.shown {
            match shown {
                Shown::Attacks(names) => {
                    assert!(!names.is_empty(), "{}", row.about);
                    names.iter().for_each(|name| assert!(attack(name).is_some(), "{}: {name}", row.about));
                }
                Shown::Proof(number) => assert!(PROOFS.iter().any(|p| p.number == *number), "{}", row.about),
                Shown::Never(why) => assert!(!why.is_empty() && row.shown.len() > 1, "{}", row.about),
            }
        }
    }
    for attack in ATTACKS {
        let unguarded = NO_CHECK.iter().any(|(name, _)| *name == attack.name);
        assert_eq!(attack.mutants.is_empty(), unguarded, "{}", attack.name);
    }
}

/// The record is of these tables. What happened in a trial may change with every build of the Host; that something did is
/// [`each_check_is_needed`].
#[test]
fn the_record_is_of_these_tables() {
    let recorded = include_str!("../docs/attacks.md");
    let trials: Vec<Trial> = ATTACKS
        .iter()
        .flat_map(|attack| attack.mutants.iter().map(move |&mutant| (attack, mutant)))
        .map(|(attack, mutant)| Trial { attack, mutant, noticed: true, how: String::new() })
        .collect();
    let but_the_last = |text: &str| -> Vec<String> {
        let cut = |line: &str| match line.matches('|').count() {
            5 => line.rsplitn(3, '|').last().unwrap_or_default().to_owned(),
            _ => line.to_owned(),
        };
        text.lines().map(cut).collect()
    };
    let again = "cargo run --release -p ringside-tests --bin attacks >docs/attacks.md";
    assert!(but_the_last(recorded) == but_the_last(&record(&trials)), "the record is old; {again}");
}

/// A restarted Guest begins again from its pristine image.
#[test]
fn restart_begins_again() {
    for name in ["restart", "reset-port"] {
        let attack = ATTACKS.iter().find(|a| a.name == name).expect("in the table");
        let report = Runner::from_environment().run(&alone(attack));
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
