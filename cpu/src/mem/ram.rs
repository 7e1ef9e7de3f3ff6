//! The bytes behind physical memory, at a host address that never moves.
//!
//! The interpreter indexes this as a slice; compiled code will address it by base register plus offset, so the base
//! must stay put while the machine lives. Whoever provides the bytes (an anonymous mapping, a vector) is kept as owner.

use std::any::Any;
use std::ops::{Deref, DerefMut};
use std::ptr::NonNull;

/// A fixed block of host memory, zero-filled at first.
pub struct Ram {
    base: NonNull<u8>,
    len: usize,
    _owner: Box<dyn Any + Send>,
}

// SAFETY: `Ram` is the only user of its bytes (see `from_raw_parts`) and its owner is `Send`.
unsafe impl Send for Ram {}

impl Ram {
    /// RAM in an ordinary zeroed vector. Works on every host, wasm included.
    pub fn zeroed(len: usize) -> Ram {
        let mut owner = vec![0u8; len];
        let base = NonNull::from(owner.as_mut_slice()).cast();
        // SAFETY: the vector is never touched again except to be freed, and its buffer does not move.
        unsafe { Ram::from_raw_parts(base, len, Box::new(owner)) }
    }

    /// RAM in memory that somebody else allocated, such as an anonymous mapping.
    ///
    /// # Safety
    /// 1. `base..base + len` is readable and writable until `owner` is dropped, and does not move.
    /// 2. Nothing else reads or writes it in that time.
    pub unsafe fn from_raw_parts(base: NonNull<u8>, len: usize, owner: Box<dyn Any + Send>) -> Ram {
        Ram { base, len, _owner: owner }
    }
}

impl Deref for Ram {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        // SAFETY: `from_raw_parts` guarantees the range; `&self` excludes writers.
        unsafe { std::slice::from_raw_parts(self.base.as_ptr(), self.len) }
    }
}

impl DerefMut for Ram {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `from_raw_parts` guarantees the range; `&mut self` makes this the only reference.
        unsafe { std::slice::from_raw_parts_mut(self.base.as_ptr(), self.len) }
    }
}
