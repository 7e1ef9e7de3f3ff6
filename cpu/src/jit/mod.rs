//! The compiled engine: blocks of the interpreter's own decoder, turned into host code.
//!
//! It is indistinguishable from the interpreter, counts included: the same blocks, the same TLB, the same handlers for
//! everything that has no code in line, and exits at the same instructions. `docs/jit.md` explains the design.
//!
//! | file | what |
//! |---|---|
//! | `run` | from the run loop into compiled code and back |
//! | `calls` | what compiled code calls: handlers, the search for a block |
//! | `ahead` | how far a block goes behind its branches |
//! | `cache/` | compiled blocks, the edges between them, the modes they are for |
//! | `jump_table` | indirect targets |
//! | `mode` | what code takes for granted |
//! | `poll` | loops that wait for a port |
//! | `quick` | INT, exceptions, IRET and segment loads, if nothing is unusual |
//! | `memory/` | memory that holds code |
//! | `stats`, `dump` | counts and listings for people |
//! | `fault`, `emit_fault` | deliberate defects, for tests of the tests |
//! | `x86_64/` | the backend: everything that knows the host |

mod ahead;
mod cache;
mod calls;
mod dump;
mod emit_fault;
mod fault;
mod jump_table;
mod memory;
mod mode;
mod poll;
#[cfg(test)]
mod programs;
mod quick;
#[cfg(test)]
mod quick_tests;
#[cfg(test)]
mod rewritten_programs;
mod run;
mod stats;
#[cfg(test)]
mod task_tests;
#[cfg(test)]
mod tests;
mod x86_64;
#[cfg(test)]
mod x87_tests;

use crate::fault::Fault;
use x86_64 as backend;

pub(crate) use cache::Jit;
use cache::{EDGES, MOST_SECTIONS};
pub use dump::CompiledBlock;
pub use emit_fault::EmitFault;
pub use fault::JitFault;
pub use memory::Mapping;
use mode::Mode;

/// Whether compiled code can run on this host.
pub(crate) fn is_supported() -> bool {
    backend::is_supported()
}
pub use stats::JitStats;

/// Why compiled code came back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(crate) enum Leave {
    /// The next block has more instructions than may be retired.
    Budget = 1,
    /// An edge that leads nowhere yet; its number is in the frame.
    Edge = 2,
    /// An indirect target that the jump table does not know.
    Indirect = 3,
    /// A handler asked for attention, or changed the mode. The `Cpu` is up to date.
    Attention = 4,
    /// Not a way out: go on with the block at EIP, through the frame's view and dispatch.
    Moved = 5,
}

/// What compiled code and the runtime hand to each other; part of the `Cpu`.
#[derive(Debug, Default)]
pub(crate) struct Frame {
    /// Arithmetic flags: bits 8 to 15 as LAHF gives them, bit 0 is OF.
    pub flags: u16,
    /// Number of the edge that left.
    pub edge: u32,
    /// MXCSR while no guest instruction is executed in line.
    pub host_mxcsr: u32,
    /// Host addresses of groups of accesses.
    pub hosts: [u64; backend::SLOTS],
    /// For an instruction with two memory operands.
    pub spare: u32,
    /// Instructions that may still be retired, plus the backend's base.
    pub budget: u64,
    /// While a handler runs: the same, with the rest of the block already taken off.
    pub held: u64,
    /// Instruction count at which nothing may be retired any more.
    pub end: u64,
    /// The same plus the backend's base: less the budget, the instructions retired.
    pub time: u64,
    /// Biased address of the flat view.
    pub view: u64,
    /// The encoding of the instruction whose handler made compiled code leave.
    pub left_by: u16,
    /// For [`Leave::Moved`]: where the search for the block at EIP begins.
    pub dispatch: u64,
    /// The guest's x87 registers on their way to the host's and back.
    pub float: backend::HostFloat,
    /// The fault of the fetch that made compiled code leave.
    pub fault: Option<Fault>,
}
