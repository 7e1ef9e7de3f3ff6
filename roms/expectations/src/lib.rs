//! What the Guests prove and attempt, and what each mutant must break. The Guests print from these tables and the
//! end-to-end tests check against them, so neither can drift.
//!
//! Plain data, `no_std`: the same source is compiled into the Guests (i586) and into the tests. It lives in the Guests'
//! workspace, because a package from outside would put its absolute path into the images' symbol names.

#![no_std]

pub mod attacks;
pub mod contract;
pub mod proofs;

pub use attacks::{ATTACKS, Attack};
pub use contract::{CONTRACT, Row, Shown};
pub use proofs::{PROOFS, Proof};

/// One rule broken on purpose, in the Host (`mutant=NAME` on the command line of `lguest-host-mutants.elf`) or in our
/// processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// A rule of the Host.
    Host(&'static str),
    /// A rule of the processor.
    Cpu(&'static str),
}
