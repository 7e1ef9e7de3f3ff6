//! `ringside bench`: checksums agree between places, and the report is what its readers expect.

use crate::rig::ringside;
use serde_json::Value;

#[test]
fn every_place_finds_the_same() {
    let only = "sieve,crc32@limited,lists@based,rep-movs,x87,sse2,int80,task-switch,patch-text,hypercall";
    let outcome = ringside(["bench", "--only", only, "--scale", "1", "--runs", "1", "--json"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    let report: Value = serde_json::from_str(&outcome.stdout).expect("JSON");
    let cases = report["cases"].as_array().expect("a list");
    assert_eq!(cases.len(), only.split(',').count());
    for case in cases {
        assert_eq!(case["agrees"], true, "{case}");
        assert!(case["insns"].as_u64() > Some(1000), "{case}");
        let places = case["places"].as_object().expect("an object");
        for (name, place) in places {
            // The native build may be done with so little before anybody hears that it began.
            let least = if name == "native" { Some(0.0) } else { Some(f64::MIN_POSITIVE) };
            assert!(place["median_seconds"].as_f64() >= least, "{name}: {case}");
        }
    }
    // What compiled code has not retired is the first visits of each block, even in a kernel that changes its code.
    for case in cases.iter().filter(|case| case["places"]["jit"].is_object()) {
        let percent = case["places"]["jit"]["compiled_percent"].as_f64().expect("a number");
        let others = (100.0 - percent) / 100.0 * case["insns"].as_f64().expect("a number");
        assert!((0.0..6_000.0).contains(&others), "{others}: {case}");
    }
    // The checksums of these rounds, for all times. Taken in QEMU, too.
    let checksum = |name| cases.iter().find(|case| case["name"] == name).map(|case| &case["checksum"]);
    for (name, sum) in [("int80", "00004e20"), ("patch-text", "007b7960"), ("task-switch", "0001e942")] {
        assert_eq!(checksum(name), Some(&Value::from(sum)), "{name}");
    }
}

#[test]
fn tables_are_for_people() {
    let outcome = ringside(["bench", "--only", "popf", "--scale", "1", "--runs", "2", "--no-native"]);
    assert_eq!(outcome.status, 0, "{outcome:?}");
    assert!(outcome.stdout.contains("2 runs at 1 %") && outcome.stdout.contains("popf"), "{outcome:?}");
}

#[test]
fn mistakes_are_told_in_one_line() {
    for (args, part) in [
        (&["bench", "--only", "no-such"][..], "no-such: no such case or group"),
        (&["bench", "--scale", "0"], "--scale"),
        (&["bench", "--runs", "0"], "--runs"),
        (&["bench", "--engine", "check"], "comparing is not measuring"),
        (&["bench", "unexpected"], "unexpected"),
    ] {
        ringside(args).assert_refused(part);
    }
}
