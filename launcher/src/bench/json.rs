//! The same for programs: one JSON object.

use super::BenchArgs;
use super::catalogue::Group;
use super::numbers::{CaseResult, Results};
use super::runner::Place;
use serde_json::{Map, Value, json};

/// Print it to standard output.
pub fn print(results: &Results, args: &BenchArgs, places: &[Place]) {
    let cases: Vec<Value> = results.cases.iter().map(|result| case(result, places)).collect();
    let object = json!({
        "version": env!("CARGO_PKG_VERSION"),
        "scale_percent": args.scale,
        "runs": args.runs,
        "clock": args.clock.name(),
        "processor": results.pinned,
        "qemu": results.qemu,
        "qemu_command": results.qemu.as_ref().map(|_| &results.qemu_command),
        "cases": cases,
        "geometric_means": means(results, places),
    });
    println!("{object:#}");
}

fn case(case: &CaseResult, places: &[Place]) -> Value {
    let mut times = Map::new();
    for &place in places {
        let Some(median) = case.seconds(place) else { continue };
        let all: Vec<f64> = case.of(place).iter().map(|sample| sample.seconds).collect();
        let value = json!({
            "median_seconds": median,
            "spread": case.spread(place),
            "seconds": all,
            "mips": case.mips(place),
            "compiled_percent": case.compiled_percent(place),
        });
        times.insert(place.name().into(), value);
    }
    json!({
        "name": case.name,
        "group": case.group.name(),
        "rounds": case.rounds(),
        "insns": case.insns(),
        "checksum": case.checksum(),
        "agrees": case.agrees(),
        "places": times,
    })
}

/// How many times as long the second takes as the first, by group.
fn means(results: &Results, places: &[Place]) -> Value {
    let mut means = Map::new();
    for &ours in places.iter().filter(|place| matches!(place, Place::Ours(_))) {
        for group in Group::ALL {
            for other in [Place::Qemu, Place::Native] {
                if let Some(ratio) = results.mean_ratio(group, other, ours) {
                    means.insert(format!("{} {}/{}", group.name(), other.name(), ours.name()), json!(ratio));
                }
            }
        }
        if let Some(cost) = results.segment_cost(ours) {
            means.insert(format!("segments {}", ours.name()), json!(cost));
        }
    }
    Value::Object(means)
}
