//! The backend for x86-64 hosts.
//!
//! `translate` and `stubs` are what the engine needs from any backend: code for a block, and the fixed pieces around
//! it. Nothing outside this folder knows the host's instructions or registers.

mod asm;
mod groups;
mod host;
mod simd;
mod stubs;
mod translate;

pub(super) use groups::SLOTS;
pub(super) use host::{Quirks, is_supported};
pub(super) use stubs::{BUDGET_BASE, Stubs, dispatch, fixed};
pub(super) use translate::{EdgeSite, Source, translate};

/// Let the jump at `place` lead to `target`: the four bytes to write there.
pub(super) fn jump_distance(place: usize, target: usize) -> [u8; 4] {
    ((target as i64 - place as i64 - 4) as i32).to_le_bytes()
}
