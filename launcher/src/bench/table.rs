//! The tables for people.

use super::BenchArgs;
use super::catalogue::Group;
use super::numbers::{CaseResult, Results};
use super::runner::Place;
use crate::options::later::Engine;

/// Print them to standard output.
pub fn print(results: &Results, args: &BenchArgs, places: &[Place]) {
    let places = measured(results, places);
    header(results, args);
    for group in Group::ALL {
        let cases: Vec<&CaseResult> = results.cases.iter().filter(|case| case.group == group).collect();
        if !cases.is_empty() {
            heading(group, &places);
            for case in cases {
                println!("{}", row(case, group, &places));
            }
            println!();
        }
    }
    means(results, &places);
}

/// The places that have something to show.
fn measured(results: &Results, places: &[Place]) -> Vec<Place> {
    let shows = |place: &Place| results.cases.iter().any(|case| !case.of(*place).is_empty());
    places.iter().copied().filter(shows).collect()
}

fn header(results: &Results, args: &BenchArgs) {
    let bound =
        results.pinned.map_or("not bound to a processor".into(), |n| format!("bound to processor {n}"));
    let (version, clock) = (env!("CARGO_PKG_VERSION"), args.clock.name());
    println!("ringside {version}, {} runs at {} %, {clock} clock, {bound}", args.runs, args.scale);
    if let Some(version) = &results.qemu {
        println!("{version}\n{}", results.qemu_command);
    }
    println!();
}

/// Titles of the columns: times, then what the first place is compared with.
fn heading(group: Group, places: &[Place]) {
    let unit = if group.counts_rounds() { "ns" } else { "s" };
    let mut line =
        format!("{:20} {:>9}", group.name(), if group.counts_rounds() { "rounds" } else { "10^6 insns" });
    for place in places {
        line += &format!(" {:>9} {:>5}", format!("{} {unit}", place.name()), "+-%");
        if matches!(place, Place::Ours(_)) && !group.counts_rounds() {
            line += &format!(" {:>7}", "MIPS");
        }
        if *place == Place::Ours(Engine::Jit) {
            line += &format!(" {:>7}", "comp. %");
        }
    }
    for other in places.iter().skip(1) {
        line += &format!(" {:>10}", format!("{}/{}", other.name(), places[0].name()));
    }
    println!("{line}");
}

fn row(case: &CaseResult, group: Group, places: &[Place]) -> String {
    let amount = match (group.counts_rounds(), case.insns()) {
        (true, _) => case.rounds().to_string(),
        (false, insns) => insns.map_or(String::new(), |n| (n / 1_000_000).to_string()),
    };
    let mut line = format!("{:20} {amount:>10}", case.name);
    for &place in places {
        let time = case.seconds(place).map(|seconds| match group.counts_rounds() {
            true => format!("{:.1}", seconds * 1e9 / case.rounds().max(1) as f64),
            false => format!("{seconds:.3}"),
        });
        let spread = case.spread(place).map(|spread| format!("{:.0}", spread * 100.0));
        line += &format!(" {:>9} {:>5}", time.unwrap_or_default(), spread.unwrap_or_default());
        if matches!(place, Place::Ours(_)) && !group.counts_rounds() {
            line += &format!(" {:>7}", case.mips(place).map_or(String::new(), |mips| format!("{mips:.0}")));
        }
        if place == Place::Ours(Engine::Jit) {
            // Cut off, not rounded: 100 is all.
            let percent = case
                .compiled_percent(place)
                .map(|percent| format!("{:.2}", (percent * 100.0).floor() / 100.0));
            line += &format!(" {:>7}", percent.unwrap_or_default());
        }
    }
    for &other in places.iter().skip(1) {
        let ratio = case.ratio(other, places[0]).map(|ratio| format!("{ratio:.2}"));
        line += &format!(" {:>10}", ratio.unwrap_or_default());
    }
    if !case.agrees() {
        line += "  CHECKSUMS DIFFER";
    }
    line
}

fn means(results: &Results, places: &[Place]) {
    for group in Group::ALL {
        for &ours in places.iter().filter(|place| matches!(place, Place::Ours(_))) {
            if let Some(ratio) = results.mean_ratio(group, Place::Qemu, ours) {
                println!(
                    "{}: {} is {ratio:.2} times as fast as QEMU (geometric mean)",
                    group.name(),
                    ours.name()
                );
            }
            if let Some(ratio) = results.mean_ratio(group, ours, Place::Native) {
                println!(
                    "{}: {} takes {ratio:.2} times as long as native (geometric mean)",
                    group.name(),
                    ours.name()
                );
            }
        }
    }
    for &place in places {
        if let Some(cost) = results.segment_cost(place) {
            let percent = (cost - 1.0) * 100.0;
            println!(
                "segments: {} takes {percent:+.1} % with other than flat ones (geometric mean)",
                place.name()
            );
        }
    }
}
