//! Where a case's choices come from: a number (then endlessly many), or the bytes a fuzzer offers.

/// A source of choices.
pub struct Entropy<'a> {
    /// Used up first.
    bytes: &'a [u8],
    state: u64,
}

impl Entropy<'static> {
    /// Choices that follow from `seed` alone.
    pub fn from_seed(seed: u64) -> Entropy<'static> {
        Entropy { bytes: &[], state: seed.wrapping_mul(0xD134_2543_DE82_EF95) }
    }
}

impl<'a> Entropy<'a> {
    /// Choices taken from `bytes`; when they are used up, always the same ones follow.
    pub fn from_bytes(bytes: &'a [u8]) -> Entropy<'a> {
        Entropy { bytes, state: bytes.len() as u64 }
    }

    /// 64 random bits (SplitMix64), mixed with the next bytes if there are any.
    pub fn bits(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        if let Some((head, tail)) = self.bytes.split_first_chunk() {
            self.bytes = tail;
            return u64::from_le_bytes(*head);
        }
        let mut z = self.state;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    /// 32 random bits.
    pub fn word(&mut self) -> u32 {
        self.bits() as u32
    }

    /// A number below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u32) -> u32 {
        ((self.word() as u64 * bound as u64) >> 32) as u32
    }

    /// True once in `n` times.
    pub fn one_in(&mut self, n: u32) -> bool {
        self.below(n) == 0
    }

    /// One of `choices`, which are not empty.
    pub fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// Fill `buffer`.
    pub fn fill(&mut self, buffer: &mut [u8]) {
        for chunk in buffer.chunks_mut(8) {
            let bits = self.bits().to_le_bytes();
            chunk.copy_from_slice(&bits[..chunk.len()]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_says_everything_and_bytes_come_first() {
        let draw = |mut e: Entropy| [e.bits(), e.bits()];
        assert_eq!(draw(Entropy::from_seed(7)), draw(Entropy::from_seed(7)));
        assert_ne!(draw(Entropy::from_seed(7)), draw(Entropy::from_seed(8)));
        assert_eq!(draw(Entropy::from_bytes(&[1, 0, 0, 0, 0, 0, 0, 0, 9]))[0], 1);
    }

    #[test]
    fn below_stays_below() {
        let mut e = Entropy::from_seed(1);
        let mut seen = [false; 5];
        (0..200).for_each(|_| seen[e.below(5) as usize] = true);
        assert_eq!(seen, [true; 5]);
    }
}
