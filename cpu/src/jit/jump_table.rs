//! Where indirect jumps and returns go: compiled code by EIP, a table for each mode.
//!
//! Compiled code looks here by itself; see `look_up` of the backend.

use crate::mmu::flat::fetch_entry;

/// A place of a jump table: compiled code for one EIP.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(super) struct JumpEntry {
    /// EIP plus what the flat view's fetch entry for it must be, negated: compiled code adds all three and looks for zero.
    pub key: u64,
    /// Address of the code.
    pub code: u64,
}

impl JumpEntry {
    /// No fetch entry and EIP add up to the negative of this key. It looks like one of EIP 0, which is never beyond a limit.
    const EMPTY: JumpEntry = JumpEntry { key: 1 << 63, code: 0 };
}

/// The key of `eip` in page `frame` of the backing store.
fn key(eip: u32, frame: u32) -> u64 {
    fetch_entry(frame).wrapping_add(eip as u64).wrapping_neg()
}

/// Places of a jump table.
pub(super) const JUMPS: usize = 1 << 16;

/// Where a jump table keeps `eip`. Compiled code computes the same.
fn place(eip: u32) -> usize {
    eip.wrapping_add(eip.rotate_right(13)) as u16 as usize
}

/// Compiled code by EIP.
pub(super) struct JumpTable(Box<[JumpEntry]>);

impl JumpTable {
    pub fn new() -> JumpTable {
        JumpTable(vec![JumpEntry::EMPTY; JUMPS].into_boxed_slice())
    }

    /// Where it begins, for compiled code.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    pub fn set(&mut self, eip: u32, frame: u32, code: u64) {
        self.0[place(eip)] = JumpEntry { key: key(eip, frame), code };
    }

    /// Code for `eip` in page `frame` of the backing store.
    pub fn find(&self, eip: u32, frame: u32) -> Option<u64> {
        let entry = &self.0[place(eip)];
        (entry.key == key(eip, frame)).then_some(entry.code)
    }

    /// Forget `code`.
    pub fn remove(&mut self, eip: u32, code: u64) {
        let entry = &mut self.0[place(eip)];
        if entry.code == code {
            *entry = JumpEntry::EMPTY;
        }
    }
}
