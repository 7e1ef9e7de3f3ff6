//! The C library's string functions, a byte at a time: length, search, comparison, copy.

use crate::{Random, mix, split_bytes};

const LENGTH: usize = 65536;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (text, rest) = split_bytes(arena, LENGTH);
    let (copy, _) = split_bytes(rest, LENGTH);
    let mut random = Random::new(5);
    // Words of up to 63 letters, each ended by a NUL.
    text.fill_with(|| if random.next() >> 26 == 0 { 0 } else { b'a' + (random.next() >> 8) as u8 % 26 });
    text[LENGTH - 1] = 0;
    let mut sum = 0;
    for round in 0..rounds {
        let mut at = 0;
        while at < LENGTH {
            let length = length(&text[at..]);
            copy_string(&mut copy[at..], &text[at..]);
            let letter = b'a' + round as u8 % 26;
            let found = find(&text[at..at + length], letter);
            let order = compare(&copy[at..], &text[at + length / 2..]);
            sum = mix(sum, (length * 64 + found) as u32 ^ (order as u32) << 16);
            at += length + 1;
        }
    }
    sum
}

#[inline(never)]
fn length(s: &[u8]) -> usize {
    let mut n = 0;
    while s[n] != 0 {
        n += 1;
    }
    n
}

#[inline(never)]
fn copy_string(to: &mut [u8], from: &[u8]) {
    let mut n = 0;
    loop {
        to[n] = from[n];
        if from[n] == 0 {
            return;
        }
        n += 1;
    }
}

#[inline(never)]
fn find(s: &[u8], byte: u8) -> usize {
    let mut n = 0;
    while n < s.len() && s[n] != byte {
        n += 1;
    }
    n
}

#[inline(never)]
fn compare(a: &[u8], b: &[u8]) -> i32 {
    let mut n = 0;
    while a[n] == b[n] && a[n] != 0 {
        n += 1;
    }
    i32::from(a[n]) - i32::from(b[n])
}
