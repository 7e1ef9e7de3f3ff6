//! Memory in bulk and far apart: string instructions, a stride over 16 MiB, two buffers whose addresses differ in one
//! high bit.

use crate::{Random, mix, runtime};

const MIB: usize = (1 << 20) / 4;
/// Words moved by one string instruction: 64 KiB, so it crosses pages.
const BLOCK: usize = 16384;

pub fn movs(arena: &mut [u32], rounds: u32) -> u32 {
    let mut random = Random::new(13);
    arena[..2 * BLOCK].fill_with(|| random.next());
    for round in 0..rounds {
        arena[round as usize % BLOCK] ^= round;
        let (from, to) = arena.split_at_mut(2 * BLOCK);
        // An odd distance, so that source and destination cross pages at different times.
        runtime::move_words(&mut to[3..][..BLOCK], &from[..BLOCK]);
    }
    arena[2 * BLOCK..3 * BLOCK + 3].iter().fold(0, |sum, &word| mix(sum, word))
}

pub fn stos(arena: &mut [u32], rounds: u32) -> u32 {
    for round in 0..rounds {
        runtime::fill_words(&mut arena[round as usize % 64..][..BLOCK], round);
    }
    arena[..BLOCK].iter().fold(0, |sum, &word| mix(sum, word))
}

/// One word in each of 4096 pages, at a slowly changing offset: every access needs another translation.
pub fn stride(arena: &mut [u32], rounds: u32) -> u32 {
    const STEP: usize = 1024;
    let memory = &mut arena[..16 * MIB];
    memory.fill(0);
    let mut sum = 0u32;
    for round in 0..rounds {
        let first = round as usize % STEP;
        for word in memory[first..].iter_mut().step_by(STEP) {
            *word = word.wrapping_add(round);
            sum ^= *word;
        }
        sum = mix(sum, round);
    }
    sum
}

/// Source and destination 1 MiB apart: they share a slot in every direct-mapped table of fewer than 2^8 pages' span.
pub fn two_buffers(arena: &mut [u32], rounds: u32) -> u32 {
    let (from, to) = arena.split_at_mut(MIB);
    let mut random = Random::new(14);
    from.fill_with(|| random.next());
    let mut sum = 0u32;
    for round in 0..rounds {
        for (from, to) in from.iter().zip(&mut *to) {
            *to = from ^ round;
            sum = sum.wrapping_add(*to);
        }
        sum = mix(sum, round);
    }
    sum
}
