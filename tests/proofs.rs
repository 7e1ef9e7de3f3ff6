//! The first Guest's proofs: all hold, and each falls with its mutant.

use harness::{Boot, End, Limit, Runner, engines, in_parallel, rom};
use ringside_expectations::{Mutant, PROOFS, Proof};

const GUEST: &str = "first-guest.elf";

fn line(verdict: &str, proof: &Proof) -> String {
    format!("{verdict} {:2} {}\n", proof.number, proof.text)
}

/// What a Guest with these words on its command line proves.
fn proofs_with(words: &str) -> impl Iterator<Item = &'static Proof> {
    PROOFS.iter().filter(move |p| p.only_with.is_none_or(|word| words.split(' ').any(|w| w == word)))
}

/// The Guest, with a disk to prove something about.
fn boot(words: &str) -> Boot {
    Boot { disk_sectors: 64, ..Boot::new(GUEST, words) }
}

/// Words of the command line: every layout of the shared structure, both formats of page tables. What is proved without them
/// holds with them.
const VARIANTS: [&str; 6] =
    ["", "layout=c", "layout=a disk", "pae disk", "layout=a pae", "layout=c pae disk pci"];

#[test]
fn every_proof_holds() {
    let variants = VARIANTS.iter().flat_map(|words| engines().into_iter().map(move |engine| (words, engine)));
    for (words, engine) in variants {
        let report = Runner::from_environment().run(&Boot { engine, ..boot(words) });
        let context = format!("{}\n{}\n{}", report.command, report.console, report.host_log);
        assert_eq!(report.end, End::PowerOff, "{context}");
        for proof in proofs_with(words) {
            assert!(report.console.contains(&line("ok  ", proof)), "proof {} of {context}", proof.number);
        }
        let last = format!("first guest: {} proofs, 0 failed\n", proofs_with(words).count());
        assert!(report.console.ends_with(&last), "{context}");
    }
}

/// One Host, a Guest of each kind: each proves what it would alone, though only the first is heard doing so.
#[test]
fn guests_of_every_kind_side_by_side() {
    for engine in engines() {
        let neighbours = VARIANTS.iter().map(|words| (rom(GUEST), words.replace("disk", ""))).collect();
        let report = Runner::from_environment().run(&Boot { engine, neighbours, ..boot("pae disk") });
        let context = format!("{}\n{}\n{}", report.command, report.console, report.host_log);
        assert_eq!(report.end, End::PowerOff, "{context}");
        let last = format!("first guest: {} proofs, 0 failed\n", proofs_with("pae disk").count());
        assert!(report.console.ends_with(&last), "{context}");
        for n in 1..=VARIANTS.len() + 1 {
            assert!(report.host_log.contains(&format!("guest {n} powered off")), "guest {n} of {context}");
        }
    }
}

#[test]
fn what_is_typed_arrives() {
    let mut boot = Boot::new(GUEST, "input");
    boot.input = b"spoken from outside\n".to_vec();
    let report = Runner::from_environment().run(&boot);
    let proof = PROOFS.iter().find(|p| p.only_with == Some("input")).expect("a proof about input");
    assert!(report.console.contains(&line("ok  ", proof)), "{}\n{}", report.command, report.console);
    assert!(report.console.contains("you typed: spoken from outside\n"), "{}", report.console);
    assert_eq!(report.end, End::PowerOff);
}

#[test]
fn the_monitor_obeys() {
    let mut boot = Boot::new(GUEST, "interactive");
    boot.input = b"help\nhypercall\nfault\ntimer\nring3\nnonsense\npoweroff\n".to_vec();
    let report = Runner::from_environment().run(&boot);
    for answer in
        ["poweroff   end this Guest", "back again", "vector 14", "irq 0 woke me", "no such command: nonsense"]
    {
        assert!(report.console.contains(answer), "{answer:?} is missing:\n{}", report.console);
    }
    assert_eq!(report.end, End::PowerOff, "{}", report.console);
}

/// Under a mutant of a proof its line is FAIL, or the Guest died before it got there.
#[test]
fn each_proof_falls_with_its_mutant() {
    let runner = Runner::from_environment();
    let cases: Vec<(&Proof, Mutant)> = PROOFS
        .iter()
        .filter(|proof| proof.only_with != Some("input"))
        .flat_map(|proof| proof.mutants.iter().map(move |&mutant| (proof, mutant)))
        .filter(|&(_, mutant)| runner.knows(mutant))
        .collect();
    let survivors: Vec<String> = in_parallel(&cases, |&(proof, mutant)| {
        let mut boot = boot(proof.only_with.unwrap_or_default()).with_mutant(mutant);
        boot.limit = Limit::Short;
        let report = runner.run(&boot);
        let known = !report.host_log.contains("no such mutant");
        let held = report.console.contains(&line("ok  ", proof));
        (held || !known).then(|| format!("proof {} holds under {mutant:?} (known: {known})", proof.number))
    })
    .into_iter()
    .flatten()
    .collect();
    assert!(survivors.is_empty(), "{} of {} cases:\n{}", survivors.len(), cases.len(), survivors.join("\n"));
}

#[test]
fn the_table_is_in_order() {
    for (proof, number) in PROOFS.iter().zip(1..) {
        assert_eq!(proof.number, number);
        assert!(!proof.mutants.is_empty() || proof.only_with.is_some(), "{}: no mutant", proof.number);
        assert!(proof.text.len() <= 100, "{}: too long for a line", proof.number);
    }
}
