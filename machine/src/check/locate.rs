//! From two moments, one before and one after, to the instruction between them.

use super::{Difference, Divergence, Pair, compare, divergence};
use crate::inputs::Stamp;
use crate::machine::Until;

impl Pair {
    /// `differences` were found after `start`. Goes back to the snapshot and halves the distance.
    pub(super) fn locate(&mut self, start: Stamp, differences: Vec<Difference>) -> Divergence {
        let end = self.reference.now();
        let (mut same, mut differ) = (self.snapshot_at, end.insns.max(self.subject.now().insns));
        let mut found = self.differences_at(differ);
        if found.is_empty() {
            // In one piece it does not happen: what is known is the comparison that failed.
            self.rerun(start.insns);
            return divergence(&mut self.reference, start, end, differences, false);
        }
        while same + 1 < differ {
            let middle = same + (differ - same) / 2;
            let differences = self.differences_at(middle);
            if differences.is_empty() {
                same = middle;
            } else {
                (differ, found) = (middle, differences);
            }
        }
        self.rerun(differ);
        let differ_at = self.reference.now();
        self.rerun(same);
        let same_at = self.reference.now();
        divergence(&mut self.reference, same_at, differ_at, found, true)
    }

    fn differences_at(&mut self, insns: u64) -> Vec<Difference> {
        self.rerun(insns);
        compare::everything(&mut self.reference, &mut self.subject)
    }

    /// Both from the snapshot to `insns`, with what entered and happened in between.
    fn rerun(&mut self, insns: u64) {
        let (snapshot, entered, jumps) = (self.snapshot.clone(), self.entered.clone(), self.jumps.clone());
        for machine in [&mut self.reference, &mut self.subject] {
            // The snapshot is of a machine built alike.
            let _ = machine.restore(&snapshot);
            machine.inputs.timed.clear();
            for input in &entered {
                machine.inputs.add(input.at, input.input.clone());
            }
        }
        for jump in jumps.iter().filter(|jump| jump.at <= insns) {
            self.run_both(jump.at);
            self.jump(*jump);
        }
        self.run_both(insns);
    }

    fn run_both(&mut self, insns: u64) {
        for machine in [&mut self.reference, &mut self.subject] {
            machine.run(Until::insns(insns));
        }
    }
}
