//! A shadow root: the tables the processor walks while one of the Guest's address spaces is current.
//!
//! The form is PAE, whatever the Guest's own is: a page-directory-pointer table whose four entries never change, so that no CR3
//! load is ever needed for them, and four page directories, which this module treats as one of [`ENTRIES`] entries of 2 MiB
//! each. One entry of a Guest's two-level directory is two of them.

use super::bits;
use super::pool::Pool;
use crate::abi::PAGE;

/// Entries of the four directories together.
pub const ENTRIES: u32 = 2048;
/// Bits of an address below the index of its entry.
pub const SPAN_SHIFT: u32 = 21;
/// Entries of a leaf table.
pub const LEAVES: u32 = 512;
/// Bytes of a page-directory-pointer table, and its alignment.
const POINTERS: u32 = 32;

/// Index of the entry for `address`.
pub const fn index(address: u32) -> u32 {
    address >> SPAN_SHIFT
}

/// Index of `address` in its leaf table.
pub const fn leaf_index(address: u32) -> u32 {
    address >> 12 & (LEAVES - 1)
}

/// Leaves filled together: see [`Root::note`].
pub const GROUP: u32 = 16;
/// Leaf tables of which a root remembers what was filled.
const NOTES: usize = 64;

/// Which groups of a leaf table may hold leaves: a bit each.
#[derive(Clone, Copy)]
struct Note {
    index: u32,
    groups: u32,
}

const NO_NOTE: Note = Note { index: ENTRIES, groups: 0 };

/// A root.
#[derive(Clone, Copy)]
pub struct Root {
    /// Guest-physical address of the table it mirrors; `None` if it was never used.
    pub gpgdir: Option<u32>,
    /// Physical address of the page-directory-pointer table.
    pub cr3: u32,
    /// Physical addresses of the directories.
    directories: [u32; 4],
    /// Its entries that lead somewhere, but for the Switcher's, a bit each: a CR3 load looks at a few of them, not at thousands.
    used: [u32; ENTRIES as usize / 32],
    /// By the index of the entry, modulo their number. An entry that has lost its place to another has none.
    notes: [Note; NOTES],
}

impl Root {
    /// The `n`th root of those whose pointer tables share the page `pointers`. `None` without memory for it.
    pub fn new(pool: &mut Pool, pointers: u32, n: u32) -> Option<Root> {
        let mut directories = [0; 4];
        for (slot, directory) in (0..).zip(&mut directories) {
            *directory = pool.take()?;
            pool.write(pointers, n * POINTERS / 8 + slot, (*directory | bits::PRESENT) as u64);
        }
        let used = [0; ENTRIES as usize / 32];
        let notes = [NO_NOTE; NOTES];
        Some(Root { gpgdir: None, cr3: pointers + n * POINTERS, directories, used, notes })
    }

    fn directory(&self, index: u32) -> u32 {
        self.directories[(index / LEAVES) as usize % 4]
    }

    /// Entry `index`.
    pub fn entry(&self, pool: &Pool, index: u32) -> u32 {
        pool.read(self.directory(index), index % LEAVES) as u32
    }

    /// Set entry `index`, without remembering that it is in use.
    pub fn set(&self, pool: &mut Pool, index: u32, entry: u32) {
        pool.write(self.directory(index), index % LEAVES, entry as u64);
    }

    /// Set entry `index`, to be found again by [`Self::take_used`].
    pub fn set_used(&mut self, pool: &mut Pool, index: u32, entry: u32) {
        self.set(pool, index, entry);
        self.used[(index / 32) as usize % self.used.len()] |= 1 << (index % 32);
    }

    /// The leaf table of `address`, if there is one.
    pub fn leaf_table(&self, pool: &Pool, address: u32) -> Option<u32> {
        let entry = self.entry(pool, index(address));
        (entry & bits::PRESENT != 0).then_some(entry & !(PAGE - 1))
    }

    /// Begin to remember what is filled in the table of entry `index`, which is empty.
    pub fn begin_note(&mut self, index: u32) {
        self.notes[index as usize % NOTES] = Note { index, groups: 0 };
    }

    /// A leaf for `address` was written.
    pub fn note(&mut self, address: u32) {
        let index = index(address);
        let note = &mut self.notes[index as usize % NOTES];
        if note.index == index {
            note.groups |= 1 << (leaf_index(address) / GROUP);
        }
    }

    /// Groups of the table of entry `index` that may hold leaves, if that is known.
    pub fn noted(&self, index: u32) -> Option<u32> {
        let note = &self.notes[index as usize % NOTES];
        (note.index == index).then_some(note.groups)
    }

    /// Only these groups may, from now on.
    pub fn set_noted(&mut self, index: u32, groups: u32) {
        self.notes[index as usize % NOTES] = Note { index, groups };
    }

    /// The first entry in use from `from` on and below `end`.
    pub fn next_used(&self, from: u32, end: u32) -> Option<u32> {
        let mut index = from;
        while index < end {
            let rest = self.used[(index / 32) as usize % (ENTRIES as usize / 32)] >> (index % 32);
            if rest != 0 {
                index += rest.trailing_zeros();
                return (index < end).then_some(index);
            }
            index = (index / 32 + 1) * 32;
        }
        None
    }

    /// The first entry in use from `from` on and below `end`, no longer marked.
    pub fn take_used(&mut self, from: u32, end: u32) -> Option<u32> {
        let index = self.next_used(from, end)?;
        self.used[(index / 32) as usize % self.used.len()] &= !(1 << (index % 32));
        let note = &mut self.notes[index as usize % NOTES];
        if note.index == index {
            *note = NO_NOTE;
        }
        Some(index)
    }
}
