//! Random instructions in random processor states.
//!
//! A *case* is made from [`entropy`]: RAM full of tables and a few patches ([`world`]), registers ([`state`]), and code
//! in which every encoding the processor knows is equally likely ([`forms`], [`code`]), on a bus that answers anything
//! ([`bus`]). A [`rig`] runs it. Whatever the case: no panic, no hang, and the same final state however the run is cut
//! ([`rig::Schedule`]), in a new processor as in one that has run a million cases before.
//!
//! One core, two drivers: `cpu-fuzz` (any toolchain, deterministic, a case is a number) and the cargo test. A case can also
//! be made of bytes ([`entropy::Entropy::from_bytes`]), as a coverage-guided fuzzer offers them.

pub mod bus;
pub mod code;
pub mod coverage;
pub mod entropy;
pub mod forms;
pub mod rig;
pub mod state;
pub mod world;
