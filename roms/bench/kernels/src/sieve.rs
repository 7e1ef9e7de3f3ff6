//! Sieve of Eratosthenes, a byte a number: byte stores with a stride, byte loads in order.

use crate::{mix, split_bytes};

const NUMBERS: usize = 1_000_000;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (composite, _) = split_bytes(arena, NUMBERS);
    let mut sum = 0;
    for round in 0..rounds {
        composite[..NUMBERS].fill(0);
        let mut count = 0;
        for n in 2..NUMBERS {
            if composite[n] != 0 {
                continue;
            }
            count += 1;
            if n < 1000 {
                let mut multiple = n * n;
                while multiple < NUMBERS {
                    composite[multiple] = 1;
                    multiple += n;
                }
            }
        }
        sum = mix(sum, count + round);
    }
    sum
}
