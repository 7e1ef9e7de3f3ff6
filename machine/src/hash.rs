//! The hash of RAM: an order-independent combination of page hashes, kept up from dirty pages.
//!
//! A page contributes the hash of its number and bytes, and nothing if it is all zero; contributions are added
//! modulo 2^64. So a page that did not change costs nothing, and fresh RAM hashes to 0.

use cpu::mem::PhysMem;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

/// Page hashes and their sum.
#[derive(Default)]
pub(crate) struct RamHash {
    pages: Vec<u64>,
    sum: u64,
}

impl RamHash {
    /// Take `dirty` pages of `mem` into account; the first call must name every page.
    pub fn update(&mut self, mem: &PhysMem, dirty: &[u32]) -> u64 {
        self.pages.resize(mem.page_count(), 0);
        for &page in dirty {
            let Some(slot) = self.pages.get_mut(page as usize) else { continue };
            let new = mem.page(page as usize).map_or(0, |bytes| page_hash(page, bytes));
            self.sum = self.sum.wrapping_sub(std::mem::replace(slot, new)).wrapping_add(new);
        }
        self.sum
    }
}

fn page_hash(page: u32, bytes: &[u8]) -> u64 {
    if is_zero(bytes) { 0 } else { xxh3_64_with_seed(bytes, u64::from(page)) }
}

/// Whether all bytes are zero, eight at a time.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    let (words, rest) = bytes.as_chunks::<8>();
    words.iter().all(|w| u64::from_ne_bytes(*w) == 0) && rest.iter().all(|b| *b == 0)
}

/// The state hash from the walk over everything else and the hash of RAM.
pub(crate) fn combine(walk: &[u8], ram: u64) -> u64 {
    xxh3_64_with_seed(walk, xxh3_64(&ram.to_le_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu::mem::{PAGE_SIZE, Ram};

    fn memory() -> PhysMem {
        PhysMem::new(Ram::zeroed(8 * PAGE_SIZE))
    }

    #[test]
    fn the_way_to_a_content_does_not_matter() {
        let (mut one, mut two) = (memory(), memory());
        let (mut a, mut b) = (RamHash::default(), RamHash::default());
        assert_eq!(a.update(&one, &[]), 0);
        one.write_bytes(0x1000, b"x");
        one.write_bytes(0x5000, b"y");
        let both = a.update(&one, &[1, 5]);
        two.write_bytes(0x5000, b"y");
        let only_y = b.update(&two, &[5]);
        two.write_bytes(0x1000, b"x");
        assert_eq!(b.update(&two, &[1]), both);
        one.write_bytes(0x1000, b"\0");
        assert_eq!(a.update(&one, &[1]), only_y);
    }

    #[test]
    fn a_page_counts_at_its_place() {
        let mut mem = memory();
        let mut hash = RamHash::default();
        mem.write_bytes(0x1000, b"x");
        let here = hash.update(&mem, &[1]);
        mem.write_bytes(0x1000, b"\0");
        mem.write_bytes(0x2000, b"x");
        assert_ne!(hash.update(&mem, &[1, 2]), here);
    }
}
