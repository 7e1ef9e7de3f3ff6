//! A Guest's memory, by guest-physical address. Every access of the Host to it passes through here.
//!
//! The Guest may change any byte at any moment it runs, but it never runs while the Host does: a value read once is
//! stable until the next world switch, yet is copied anyway, so that no check and use can see different values.

use crate::abi::PAGE;
use crate::death::{Category, Outcome, require};
use crate::mutant::broken;

/// A contiguous block of memory that belongs to one Guest.
#[derive(Clone, Copy)]
pub struct GuestRam {
    base: *mut u8,
    len: u32,
}

impl GuestRam {
    /// The `len` bytes at `base`, a multiple of the page size.
    ///
    /// # Safety
    /// 1. They are readable and writable as long as the value and its copies are used.
    /// 2. No Rust reference to any of them exists meanwhile.
    pub const unsafe fn new(base: *mut u8, len: u32) -> GuestRam {
        GuestRam { base, len }
    }

    /// Number of pages: the first page number that is not RAM (`pfn_limit`).
    pub fn pages(&self) -> u32 {
        self.len / PAGE + if broken("pages-one-more") { 1 } else { 0 }
    }

    /// Physical address of the frame behind guest page `pfn`. The Host is mapped one to one.
    pub fn frame(&self, pfn: u32) -> u32 {
        (self.base as usize as u32).wrapping_add(pfn.wrapping_mul(PAGE))
    }

    /// Whether all of `addr..addr + len` is RAM. An object may end exactly at the end.
    pub fn contains(&self, addr: u32, len: u32) -> bool {
        match addr.checked_add(len) {
            Some(end) if broken("ram-ends-early") => end < self.len,
            Some(end) if broken("ram-ends-late") => end <= self.len + 1,
            Some(end) => end <= self.len,
            None => false,
        }
    }

    fn pointer(&self, addr: u32, len: u32, category: Category) -> Outcome<*mut u8> {
        require(self.contains(addr, len), category, addr)?;
        Ok(self.base.wrapping_add(addr as usize))
    }

    /// Copy a value out.
    ///
    /// # Errors
    /// BAD_READ.
    #[inline]
    pub fn read<T: Plain>(&self, addr: u32) -> Outcome<T> {
        let from = self.pointer(addr, size_of::<T>() as u32, Category::BadRead)?;
        // SAFETY: in range by `pointer`; any bytes are a `Plain` value; no references exist (`new`).
        Ok(unsafe { from.cast::<T>().read_unaligned() })
    }

    /// Copy a value in.
    ///
    /// # Errors
    /// BAD_WRITE.
    #[inline]
    pub fn write<T: Plain>(&self, addr: u32, value: T) -> Outcome<()> {
        let to = self.pointer(addr, size_of::<T>() as u32, Category::BadWrite)?;
        // SAFETY: as in `read`.
        unsafe { to.cast::<T>().write_unaligned(value) };
        Ok(())
    }

    /// Copy bytes out.
    ///
    /// # Errors
    /// BAD_READ.
    pub fn read_bytes(&self, addr: u32, to: &mut [u8]) -> Outcome<()> {
        let from = self.pointer(addr, to.len() as u32, Category::BadRead)?;
        // SAFETY: in range by `pointer`; `to` is the Host's own memory.
        unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) };
        Ok(())
    }

    /// Copy bytes in.
    ///
    /// # Errors
    /// BAD_WRITE.
    pub fn write_bytes(&self, addr: u32, from: &[u8]) -> Outcome<()> {
        let to = self.pointer(addr, from.len() as u32, Category::BadWrite)?;
        // SAFETY: in range by `pointer`; `from` is the Host's own memory.
        unsafe { to.copy_from_nonoverlapping(from.as_ptr(), from.len()) };
        Ok(())
    }

    /// Zero everything.
    pub fn clear(&self) {
        // SAFETY: the whole block is ours (`new`).
        unsafe { self.base.write_bytes(0, self.len as usize) };
    }
}

/// Types for which any bytes are a value.
///
/// # Safety
/// Implementors have no padding, no invalid bit patterns, and no pointers.
pub unsafe trait Plain: Copy {}
// SAFETY: integers.
unsafe impl Plain for u8 {}
// SAFETY: integers.
unsafe impl Plain for u16 {}
// SAFETY: integers.
unsafe impl Plain for u32 {}
// SAFETY: integers.
unsafe impl Plain for u64 {}
// SAFETY: arrays of integers.
unsafe impl<T: Plain, const N: usize> Plain for [T; N] {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::death::Death;
    use std::vec;

    #[test]
    fn an_object_may_end_at_the_end_but_not_one_byte_later() {
        let mut bytes = vec![0u8; 8192];
        // SAFETY: `bytes` outlives `ram` and is not used meanwhile.
        let ram = unsafe { GuestRam::new(bytes.as_mut_ptr(), 8192) };
        assert!(ram.write(8188, 7u32).is_ok());
        assert_eq!(ram.read::<u32>(8188), Ok(7));
        assert_eq!(ram.read::<u32>(8189), Err(Death::Killed(Category::BadRead, 8189)));
        assert_eq!(ram.write(u32::MAX - 1, 7u32), Err(Death::Killed(Category::BadWrite, u32::MAX - 1)));
        assert!(!ram.contains(u32::MAX, 1) && ram.contains(8192, 0));
    }
}
