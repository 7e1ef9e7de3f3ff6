//! The backend for x86-64 hosts.
//!
//! `translate` and `stubs` are what the engine needs from any backend: code for a block, and the fixed pieces around
//! it. Nothing outside this folder knows the host's instructions or registers.
//!
//! | file | what |
//! |---|---|
//! | `translate` | a block from its first instruction to its last; which instructions have code in line |
//! | `integer` `shift` `stack` `string` `repeat` `flow` `simd` `x87` | that code, by family |
//! | `operand` `groups` | memory operands, and the checks that neighbours share |
//! | `checks` `edges` | what happens when a check fails; ways to other blocks |
//! | `segment` `control` | moves to and from segment registers; reads of control registers |
//! | `wrong_flags` | flags that are put right only where somebody could see them |
//! | `property` | questions about an instruction |
//! | `asm` `stubs` | the assembler, the fixed pieces |
//! | `host` `ask_x87` `host_float` | what this host does; the guest's registers in its x87 |

mod ask_x87;
mod asm;
mod checks;
mod control;
mod dispatch;
mod edges;
mod flow;
mod grouped;
mod groups;
mod host;
mod host_float;
mod integer;
mod operand;
mod property;
mod repeat;
mod segment;
mod shift;
mod simd;
mod slow;
mod stack;
mod string;
mod stubs;
mod translate;
mod wrong_flags;
mod x87;

pub(super) use dispatch::{dispatch, look_up};
pub(super) use groups::SLOTS;
pub(super) use host::{Quirks, is_supported};
pub(super) use host_float::HostFloat;
pub(super) use stubs::{BUDGET_BASE, Runtime, Stubs, fixed};
pub(super) use translate::{EdgeSite, Scratch, Source, translate};

/// Let the jump at `place` lead to `target`: the four bytes to write there.
pub(super) fn jump_distance(place: usize, target: usize) -> [u8; 4] {
    ((target as i64 - place as i64 - 4) as i32).to_le_bytes()
}
