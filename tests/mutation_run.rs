//! The recorded mutation run: prints `docs/attacks.md`. Every row of the contract and what shows it; every attack, what must become
//! of it, what is broken, and what happened then.

use harness::Runner;
use harness::attack::{mutation_run, record};

fn main() {
    print!("{}", record(&mutation_run(Runner::Machine)));
}
