//! The one thing the machine asks of the operating system: a block of zeroed memory at an address that stays.

use cpu::mem::Ram;
use std::io;

/// Zeroed memory for `len` bytes of guest RAM. Pages cost nothing until they are touched.
///
/// # Errors
/// The operating system refuses.
#[cfg(not(target_arch = "wasm32"))]
pub fn allocate(len: usize) -> io::Result<Ram> {
    let mut mapping = memmap2::MmapMut::map_anon(len)?;
    let base = std::ptr::NonNull::from(&mut mapping[..]).cast();
    // SAFETY: the mapping is `len` bytes long, writable, does not move when its owner does, is unmapped when the
    // owner is dropped, and is touched by nobody else once it has been boxed away.
    Ok(unsafe { Ram::from_raw_parts(base, len, Box::new(mapping)) })
}

/// Zeroed memory for `len` bytes of guest RAM.
///
/// # Errors
/// None here; on other hosts the operating system may refuse.
#[cfg(target_arch = "wasm32")]
pub fn allocate(len: usize) -> io::Result<Ram> {
    Ok(Ram::zeroed(len))
}
