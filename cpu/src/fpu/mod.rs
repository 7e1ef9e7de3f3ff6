//! The x87 (SDM vol. 1, chapter 8).

mod state;

pub use state::{Extended, Fpu, status};
