//! What is told about a run at its end.

pub mod compiled;
pub mod divergence;
mod memory;
pub mod screen;
pub mod stats;
