//! CRC-32 (ISO 3309) with a table of 256 words: a dependent load for each byte.

use crate::{Random, mix, split_bytes};

const LENGTH: usize = 65536;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (table, rest) = arena.split_at_mut(256);
    for (n, entry) in table.iter_mut().enumerate() {
        *entry = (0..8).fold(n as u32, |c, _| if c & 1 != 0 { c >> 1 ^ 0xEDB8_8320 } else { c >> 1 });
    }
    let (text, _) = split_bytes(rest, LENGTH);
    let mut random = Random::new(1);
    text.fill_with(|| random.next() as u8);
    let mut sum = 0;
    for round in 0..rounds {
        let mut crc = !round;
        for &byte in &*text {
            crc = crc >> 8 ^ table[(crc as u8 ^ byte) as usize];
        }
        sum = mix(sum, !crc);
    }
    sum
}
