//! What is told about a run at its end.

mod memory;
pub mod screen;
pub mod stats;
