//! The protection machinery of SDM vol. 3, one concept a file.

mod debug;
mod interrupt;

pub(crate) use debug::DR6_BS;
