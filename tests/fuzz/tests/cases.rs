//! A few thousand cases on every change; `cpu-fuzz` runs as many as one likes.

use fuzz::coverage::Coverage;
use fuzz::entropy::Entropy;
use fuzz::rig::{Rig, Schedule};

/// Enough for nearly every encoding to complete a few times.
const CASES: u64 = 3_000;

/// Each case ends the same interpreted, instruction by instruction, and compiled.
#[test]
fn all_ways_to_run_a_case_agree() {
    let mut rigs = [Rig::default(), Rig::default(), Rig::default()];
    let mut coverage = Coverage::default();
    for case in 0..CASES {
        let mut run = |rig: usize, schedule| rigs[rig].run(&mut Entropy::from_seed(case), schedule);
        let ends = [run(0, Schedule::Whole), run(1, Schedule::Steps), run(2, Schedule::Compiled)];
        if ends.iter().any(|end| end.faulting) {
            continue;
        }
        ends[0].completed.iter().for_each(|&code| coverage.count(code));
        let [whole, steps, compiled] = &mut rigs;
        let whole = whole.digest();
        assert_eq!((&ends[0], whole), (&ends[1], steps.digest()), "case {case} step by step");
        assert_eq!((&ends[0], whole), (&ends[2], compiled.digest()), "case {case} compiled");
    }
    let (covered, all, missing) = coverage.summary();
    assert!(covered * 100 >= all * 99, "{covered} of {all} encodings completed; not {missing:?}");
}

/// A fuzzer's bytes are as good as a number.
#[test]
fn any_bytes_are_a_case() {
    let mut rig = Rig::default();
    let mut bytes = Vec::new();
    for n in 0..200u32 {
        rig.run(&mut Entropy::from_bytes(&bytes), Schedule::Whole);
        bytes.extend((n * 0x9E37_79B9).to_le_bytes());
    }
    rig.run(&mut Entropy::from_bytes(&[0; 4096]), Schedule::Whole);
    rig.run(&mut Entropy::from_bytes(&[0xFF; 4096]), Schedule::Whole);
}
