//! Segments (SDM vol. 3, chapter 3): selectors, descriptors, and the hidden part of segment registers.

mod cache;
mod descriptor;
#[cfg(test)]
mod model;

pub use cache::{SegReg, Segment};
pub use descriptor::{Descriptor, SystemType, is_null, selector_index_bits};
