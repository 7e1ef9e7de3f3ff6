//! The processor of Ringside.

pub mod bus;
pub mod mem;
pub mod word;
