//! Bit work: population counts, reversal, scans, Gray codes, shifts by a variable, bit tests in a map.

use crate::{Random, mix};

const WORDS: usize = 16384;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (words, rest) = arena.split_at_mut(WORDS);
    let map = &mut rest[..1024];
    let mut random = Random::new(9);
    words.fill_with(|| random.next());
    let mut sum = 0u32;
    for round in 0..rounds {
        map.fill(0);
        for &word in &*words {
            let word = word ^ round;
            let gray = word ^ word >> 1;
            let bit = gray & 0x7FFF;
            let slot = &mut map[(bit / 32) as usize];
            if *slot >> (bit % 32) & 1 == 0 {
                *slot |= 1 << (bit % 32);
                sum = sum.wrapping_add(word.count_ones());
            } else {
                sum ^= word.reverse_bits();
            }
            let low = (word | 1 << 31).trailing_zeros();
            let high = (word | 1).leading_zeros();
            sum = sum.rotate_left(low).wrapping_add(gray >> (high & 31));
        }
        sum = mix(sum, map[round as usize % 1024]);
    }
    sum
}
