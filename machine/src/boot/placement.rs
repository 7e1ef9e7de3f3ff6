//! Which parts of usable RAM are taken by something loaded, and where there is room.

use super::BootError;
use crate::memory_map;
use std::ops::Range;

/// Bookkeeping of a loader.
pub struct Placement {
    ram_size: u64,
    taken: Vec<Range<u64>>,
}

impl Placement {
    /// Nothing is taken yet.
    pub fn new(ram_size: u64) -> Placement {
        Placement { ram_size, taken: Vec::new() }
    }

    fn ram_mib(&self) -> u64 {
        self.ram_size >> 20
    }

    /// Take `range`, which an image insists on.
    ///
    /// # Errors
    /// Part of it is not usable RAM, or is taken.
    pub fn claim(&mut self, what: &'static str, range: Range<u64>) -> Result<(), BootError> {
        let Range { start, end } = range;
        if !memory_map::usable(self.ram_size).any(|usable| usable.start <= start && end <= usable.end) {
            return Err(BootError::OutsideRam { what, start, end, ram_mib: self.ram_mib() });
        }
        if self.taken.iter().any(|t| t.start < end && start < t.end) {
            return Err(BootError::Overlap { what, start, end });
        }
        self.taken.push(range);
        Ok(())
    }

    /// Take the first free `len` bytes at or above `from`, aligned to `align` (a power of two).
    ///
    /// # Errors
    /// There is no such place.
    pub fn allocate(&mut self, what: String, len: u64, align: u64, from: u64) -> Result<u64, BootError> {
        let mut candidates: Vec<u64> = self.taken.iter().map(|t| t.end).collect();
        candidates.extend(memory_map::usable(self.ram_size).map(|usable| usable.start));
        candidates.push(from);
        candidates.sort_unstable();
        let place = candidates.into_iter().map(|at| at.max(from).next_multiple_of(align)).find(|&start| {
            let Some(end) = start.checked_add(len) else { return false };
            memory_map::usable(self.ram_size).any(|usable| usable.start <= start && end <= usable.end)
                && !self.taken.iter().any(|t| t.start < end.max(start + 1) && start < t.end)
        });
        let Some(start) = place else {
            return Err(BootError::NoRoom { what, len, ram_mib: self.ram_mib() });
        };
        self.taken.push(start..start + len);
        Ok(start)
    }

    /// Byte after the last one taken.
    pub fn end(&self) -> u64 {
        self.taken.iter().map(|t| t.end).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const RAM: u64 = 4 << 20;

    #[test]
    fn holes_are_refused() {
        let mut placement = Placement::new(RAM);
        assert!(placement.claim("x", 0x9_F000..0xA_0000).is_err());
        assert!(placement.claim("x", 0x3F_F000..0x40_0001).is_err());
        assert!(placement.claim("x", 0x10_0000..0x10_2000).is_ok());
        assert!(matches!(placement.claim("x", 0x10_1FFF..0x10_3000), Err(BootError::Overlap { .. })));
        assert_eq!(placement.allocate("m".into(), 10, 4096, 0x10_0000), Ok(0x10_2000));
        assert!(matches!(placement.allocate("m".into(), RAM, 4096, 0), Err(BootError::NoRoom { .. })));
    }

    proptest! {
        #[test]
        fn allocations_are_disjoint(requests in prop::collection::vec((0u64..300_000, 0u32..13, 0u64..RAM), 1..40)) {
            let mut placement = Placement::new(RAM);
            for (len, align, from) in requests {
                let before = placement.taken.clone();
                if let Ok(start) = placement.allocate(String::new(), len, 1 << align, from) {
                    let new = start..start + len;
                    prop_assert!(start >= from && start.is_multiple_of(1 << align));
                    prop_assert!(memory_map::usable(RAM).any(|u| u.start <= start && new.end <= u.end));
                    prop_assert!(before.iter().all(|t| t.is_empty() || new.is_empty() || t.end <= start || new.end <= t.start));
                }
            }
        }
    }
}
