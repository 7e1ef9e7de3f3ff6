//! Quicksort of 64 Ki random words: unpredictable branches, recursion, swaps.

use crate::{Random, mix};

const WORDS: usize = 65536;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let words = &mut arena[..WORDS];
    let mut sum = 0;
    for round in 0..rounds {
        let mut random = Random::new(3 + 2 * round);
        words.fill_with(|| random.next());
        sort(words);
        sum = words.iter().step_by(997).fold(sum, |sum, &word| mix(sum, word));
    }
    sum
}

fn sort(mut words: &mut [u32]) {
    while words.len() > 12 {
        let split = partition(words);
        let (low, high) = words.split_at_mut(split);
        if low.len() < high.len() {
            sort(low);
            words = high;
        } else {
            sort(high);
            words = low;
        }
    }
    for i in 1..words.len() {
        let mut j = i;
        while j > 0 && words[j - 1] > words[j] {
            words.swap(j - 1, j);
            j -= 1;
        }
    }
}

/// Hoare's, by the median of three: neither part is empty.
fn partition(words: &mut [u32]) -> usize {
    let (first, middle, last) = (words[0], words[words.len() / 2], words[words.len() - 1]);
    let pivot = first.min(middle).max(first.max(middle).min(last));
    let (mut low, mut high) = (0, words.len() - 1);
    loop {
        while words[low] < pivot {
            low += 1;
        }
        while words[high] > pivot {
            high -= 1;
        }
        if low >= high {
            return high + 1;
        }
        words.swap(low, high);
        low += 1;
        high -= 1;
        if low > high {
            return low;
        }
    }
}
