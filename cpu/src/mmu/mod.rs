//! Paging (SDM vol. 3, chapter 4): the walk, the TLB as architectural state, and linear memory access.

mod access;
#[cfg(jit)]
pub(crate) mod flat;
#[cfg(test)]
mod model;
mod peek;
#[cfg(test)]
mod sequences;
mod tlb;
#[cfg(jit)]
mod usual;
mod walk;
mod wide;

pub(crate) use tlb::View;
pub use tlb::{Tlb, TlbEntry};
pub(crate) use walk::MAX_PHYS_BITS;

/// What an access wants to do with a linear address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Data read.
    Read,
    /// Data write.
    Write,
    /// Instruction fetch.
    Fetch,
}

/// Page-fault error code bits (SDM vol. 3, 4.7).
#[allow(missing_docs)]
pub mod pf_error {
    pub const PRESENT: u16 = 1;
    pub const WRITE: u16 = 2;
    pub const USER: u16 = 4;
    pub const RESERVED: u16 = 8;
    pub const FETCH: u16 = 16;
}
