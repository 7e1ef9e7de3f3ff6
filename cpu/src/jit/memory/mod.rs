//! Memory for compiled code: never writable and executable through the same address.
//!
//! * Dual mapping (the default where the host has it): the same bytes twice, once writable, once executable. A patch
//!   costs a store.
//! * Single mapping: one address whose protection is switched around each write. Slower to patch; for hosts and
//!   emulators that do not see writes through another address.
//!
//! The operating system's part is one small file a system; they agree on `map`, `protect` and `unmap`.

#[cfg(unix)]
mod unix;
#[cfg(windows)]
mod windows;

#[cfg(unix)]
use unix as os;
#[cfg(windows)]
use windows as os;

use std::io;

/// How code memory is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum Mapping {
    /// Twice: writable here, executable there.
    #[default]
    Dual,
    /// Once, either writable or executable.
    Single,
}

/// Protection is switched in pieces of this many bytes, a multiple of any host's page size.
const GRAIN: usize = 1 << 16;

/// A fixed range of code memory.
pub(super) struct CodeMemory {
    writable: *mut u8,
    executable: *mut u8,
    len: usize,
    mapping: Mapping,
}

// SAFETY: the ranges belong to this value alone.
unsafe impl Send for CodeMemory {}

impl CodeMemory {
    /// `len` bytes, a multiple of 64 KiB.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn new(len: usize, mapping: Mapping) -> io::Result<CodeMemory> {
        let (writable, executable) = os::map(len, mapping)?;
        Ok(CodeMemory { writable, executable, len, mapping })
    }

    /// Bytes there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Address at which the byte at `offset` executes.
    pub fn address(&self, offset: usize) -> *const u8 {
        self.executable.wrapping_add(offset)
    }

    /// Put `bytes` at `offset`.
    pub fn write(&mut self, offset: usize, bytes: &[u8]) {
        assert!(offset <= self.len && bytes.len() <= self.len - offset, "code memory overrun");
        let first = offset / GRAIN * GRAIN;
        let len = (offset + bytes.len()).next_multiple_of(GRAIN).min(self.len) - first;
        let pages = self.writable.wrapping_add(first);
        if self.mapping == Mapping::Single {
            os::protect(pages, len, true);
        }
        // SAFETY: the range was checked, is mapped writable now, and nothing executes while we write: compiled code
        // runs on this thread only.
        unsafe { std::ptr::copy_nonoverlapping(bytes.as_ptr(), self.writable.add(offset), bytes.len()) };
        if self.mapping == Mapping::Single {
            os::protect(pages, len, false);
        }
    }

    /// The bytes at `offset`.
    pub fn read(&self, offset: usize, len: usize) -> &[u8] {
        assert!(offset <= self.len && len <= self.len - offset, "code memory overrun");
        // SAFETY: in range, mapped readable in both modes, and written only through `&mut self`.
        unsafe { std::slice::from_raw_parts(self.executable.add(offset), len) }
    }
}

impl Drop for CodeMemory {
    fn drop(&mut self) {
        os::unmap(self.writable, self.executable, self.len);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_written_is_code_executed_in_both_mappings() {
        for mapping in [Mapping::Dual, Mapping::Single] {
            let mut memory = CodeMemory::new(1 << 16, mapping).expect("code memory");
            for value in [1u8, 2, 77] {
                // mov eax, value; ret
                memory.write(128, &[0xB8, value, 0, 0, 0, 0xC3]);
                // SAFETY: the bytes just written are a whole function of this signature.
                let f: extern "sysv64" fn() -> u32 = unsafe { std::mem::transmute(memory.address(128)) };
                assert_eq!(f(), value as u32, "{mapping:?}");
            }
        }
    }
}
