//! MMX, SSE and SSE2 (SDM vol. 1, chapters 9 to 11), one family a file.
//!
//! * Whether an instruction may execute at all ([`operand`]) comes before the faults of its operands.
//! * Packed values are numbers (`u64`, `u128`); what instructions do with their lanes are pure functions ([`lanes`]).
//! * Nothing beyond SSE2 is bound, so SSE3 and later are #UD by construction.

mod approximate;
mod arithmetic;
mod cacheability;
mod compare;
mod control;
mod convert;
mod exception;
mod integer;
mod lanes;
mod mmx;
mod moves;
mod operand;
#[cfg(all(test, target_arch = "x86_64"))]
mod oracle;
mod shuffle;
mod state;
#[cfg(test)]
mod tests;

pub use state::{Simd, mxcsr};

use crate::decode::Handler;
use iced_x86::Instruction;

/// The families, in the order they are asked.
const FAMILIES: &[fn(&Instruction) -> Option<Handler>] = &[
    moves::bind,
    integer::bind,
    shuffle::bind,
    arithmetic::bind,
    approximate::bind,
    compare::bind,
    convert::bind,
    control::bind,
    mmx::bind,
    cacheability::bind,
];

/// The handler for `insn`, if it is a SIMD instruction this processor has.
pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    FAMILIES.iter().find_map(|family| family(insn))
}
