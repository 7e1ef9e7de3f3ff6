//! `--engine check`: the engines agree on what the program is for, and the run is that of one machine.

use crate::rig::{ringside, rom};

#[test]
fn both_modes_run_a_guest_to_its_end() {
    let alone = ringside([rom("first-guest.elf").as_str(), "--hash"]);
    for engine in ["check=lockstep", "check", "check=random"] {
        let outcome = ringside([
            rom("first-guest.elf").as_str(),
            "--engine",
            engine,
            "--stats",
            "--hash",
            "--timeout",
            "600",
        ]);
        assert_eq!(
            (outcome.status, outcome.stdout.as_str()),
            (0, alone.stdout.as_str()),
            "{engine}: {outcome:?}"
        );
        let checked = outcome.stderr.lines().find_map(|line| line.strip_prefix("checked_insns="));
        let checked: u64 = checked.and_then(|n| n.parse().ok()).expect("a count");
        assert!(checked > 1_000_000, "{outcome:?}");
        if engine == "check=lockstep" {
            // Nothing is injected, so this is the run of one machine.
            assert_eq!(outcome.hash(), alone.hash());
        }
    }
}
