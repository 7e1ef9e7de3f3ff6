//! From bytes to executable blocks. There is one decode path: iced-x86 reads the bytes, [`translate`] turns each
//! instruction into an [`Op`], and a straight run of ops in one page is a [`Block`]. Both engines work on blocks.

mod block;
#[cfg(test)]
mod boundary;
mod fetch;
mod op;
#[cfg(jit)]
mod rewritten;
mod translate;

#[cfg(jit)]
pub(crate) use block::Dropped;
pub use block::{Block, BlockCache};
pub(crate) use fetch::Fetched;
pub(crate) use op::{Ea, Handler, Op, Prefix};
#[cfg(jit)]
pub(crate) use rewritten::Change;
pub use translate::{DECODER_OPTIONS, is_implemented};
pub(crate) use translate::{Decoded, decode_one};
