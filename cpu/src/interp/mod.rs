//! The interpreter: one small function per instruction form, grouped by the families of SDM vol. 1, chapter 5.
//!
//! Each family file exports `bind`, a table from iced-x86's encoding names to handlers. [`bind`] asks them in turn;
//! an encoding nobody claims is #UD. Handlers are generic over operand width and operand place ([`operand`]), so a
//! line of a table is a whole instruction.

mod alu;
mod bcd;
mod bit;
mod bulk;
mod exchange;
mod flag;
mod flow;
mod mov;
mod muldiv;
pub(crate) mod operand;
mod run;
mod shift;
mod stack;
mod string;

pub use run::{Exit, FAULTS_IN_A_ROW};

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::system;
use iced_x86::{FlowControl, Instruction};

/// The families, in the order they are asked.
const FAMILIES: &[fn(&Instruction) -> Option<Handler>] = &[
    alu::bind,
    mov::bind,
    flow::bind,
    stack::bind,
    shift::bind,
    string::bind,
    bit::bind,
    muldiv::bind,
    exchange::bind,
    bcd::bind,
    flag::bind,
    crate::simd::bind,
    crate::fpu::bind,
];

/// The handler for `insn`, if this processor has the instruction.
pub(crate) fn handler(insn: &Instruction) -> Option<Handler> {
    FAMILIES.iter().chain(system::FAMILIES).find_map(|family| family(insn))
}

/// The handler for `insn`, and whether control may not simply fall through after it.
pub(crate) fn bind(insn: &Instruction) -> (Handler, bool) {
    match handler(insn) {
        Some(handler) => (handler, insn.flow_control() != FlowControl::Next),
        None => (undefined, true),
    }
}

/// #UD.
pub(crate) fn undefined(_: &mut Cpu, _: &Op) -> Result<(), Fault> {
    Err(Fault::UD)
}
