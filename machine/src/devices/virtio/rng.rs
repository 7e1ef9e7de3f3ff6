//! The entropy device (virtio 1.0, 5.4): fills what the driver offers.
//!
//! The bytes follow from a seed and nothing else, so that a run can be repeated; they are of no use for real secrets.

use serde::{Deserialize, Serialize};

/// Most bytes given for one buffer.
const PIECE: u64 = 4096;

/// The generator, SplitMix64: its whole state is one word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rng {
    state: u64,
}

impl Rng {
    /// A generator that begins with `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng { state: seed }
    }

    fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// Bytes for a buffer of `room` bytes.
    pub fn bytes(&mut self, room: u64) -> Vec<u8> {
        let len = room.min(PIECE) as usize;
        let mut bytes: Vec<u8> = (0..len.div_ceil(8)).flat_map(|_| self.next().to_le_bytes()).collect();
        bytes.truncate(len);
        bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seed_decides() {
        let mut rng = Rng::new(0);
        // The first output of SplitMix64 from 0, as published with it.
        assert_eq!(rng.bytes(8), 0xE220_A839_7B1D_CDAF_u64.to_le_bytes());
        assert_eq!(rng.bytes(3).len(), 3);
        assert_eq!(rng.bytes(1 << 40).len(), PIECE as usize);
        assert_eq!(Rng::new(7).bytes(100), Rng::new(7).bytes(100));
        assert_ne!(Rng::new(7).bytes(100), Rng::new(8).bytes(100));
    }
}
