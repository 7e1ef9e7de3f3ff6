//! The x87 (SDM vol. 1, chapter 8).
//!
//! Three layers. Values: [`extended`] (the register format) and pure functions on values, one family a file, which
//! record exceptions in an [`environment`]. State: [`state`] and [`stack`], which decide from the recorded exceptions
//! what becomes of a result; [`image`], its forms in memory. Instructions: [`insn`], the handlers.

mod arithmetic;
mod compare;
mod constants;
mod decimal;
mod environment;
mod exponential;
mod extended;
mod image;
mod insn;
mod integer;
#[cfg(all(test, target_arch = "x86_64"))]
pub(crate) mod oracle;
mod remainder;
mod scale;
mod stack;
mod state;
mod trigonometry;
mod wide;

pub use extended::Extended;
pub use state::{Fpu, Pointers, status};

pub(crate) use insn::{bind, opcode};
