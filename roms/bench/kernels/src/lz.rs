//! A small LZ77 compressor and its decompressor over 64 KiB of text-like bytes.
//!
//! Packed form: a byte below 128 is so many literals (plus one); else 4 to 131 bytes repeated from a 16-bit distance.

use crate::{Random, mix, split_bytes};

const LENGTH: usize = 65536;
const BUCKETS: usize = 4096;
const SHORTEST: usize = 4;
const LONGEST: usize = 131;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (text, rest) = split_bytes(arena, LENGTH);
    let (packed, rest) = split_bytes(rest, 2 * LENGTH);
    let (unpacked, rest) = split_bytes(rest, LENGTH);
    let latest = &mut rest[..BUCKETS];
    let mut sum = 0;
    for round in 0..rounds {
        write_text(text, round);
        let length = pack(text, packed, latest);
        let end = unpack(&packed[..length], unpacked);
        let same = text == unpacked;
        sum = mix(sum, length as u32 ^ (end as u32) << 8 ^ u32::from(same));
    }
    sum
}

/// Words of a small vocabulary.
fn write_text(text: &mut [u8], round: u32) {
    let mut random = Random::new(8 + 2 * round);
    let mut at = 0;
    while at < text.len() {
        let word = random.next() >> 24;
        let mut letters = Random::new(word * 77 + 13);
        for _ in 0..3 + word % 9 {
            if at < text.len() {
                text[at] = b'a' + (letters.next() >> 20) as u8 % 26;
                at += 1;
            }
        }
        if at < text.len() {
            text[at] = b' ';
            at += 1;
        }
    }
}

fn bucket(bytes: &[u8]) -> usize {
    let word = u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
    (word.wrapping_mul(0x9E37_79B1) >> 20) as usize
}

#[inline(never)]
fn pack(text: &[u8], packed: &mut [u8], latest: &mut [u32]) -> usize {
    latest.fill(u32::MAX);
    let (mut at, mut out, mut literals) = (0, 0, 0);
    while at + SHORTEST <= text.len() {
        let slot = &mut latest[bucket(&text[at..])];
        let candidate = core::mem::replace(slot, at as u32) as usize;
        let mut length = 0;
        if candidate < at && at - candidate < 65536 {
            let longest = LONGEST.min(text.len() - at);
            while length < longest && text[candidate + length] == text[at + length] {
                length += 1;
            }
        }
        if length < SHORTEST {
            at += 1;
            literals += 1;
            if literals == 128 {
                out = flush(text, packed, at, out, literals);
                literals = 0;
            }
            continue;
        }
        out = flush(text, packed, at, out, literals);
        literals = 0;
        let distance = (at - candidate) as u16;
        packed[out] = 128 + (length - SHORTEST) as u8;
        packed[out + 1..out + 3].copy_from_slice(&distance.to_le_bytes());
        out += 3;
        at += length;
    }
    literals += text.len() - at;
    flush(text, packed, text.len(), out, literals)
}

fn flush(text: &[u8], packed: &mut [u8], at: usize, mut out: usize, literals: usize) -> usize {
    for run in text[at - literals..at].chunks(128) {
        packed[out] = run.len() as u8 - 1;
        out += 1;
        for &byte in run {
            packed[out] = byte;
            out += 1;
        }
    }
    out
}

#[inline(never)]
fn unpack(packed: &[u8], text: &mut [u8]) -> usize {
    let (mut at, mut out) = (0, 0);
    while at < packed.len() {
        let token = packed[at] as usize;
        at += 1;
        if token < 128 {
            for _ in 0..=token {
                text[out] = packed[at];
                at += 1;
                out += 1;
            }
        } else {
            let distance = u16::from_le_bytes([packed[at], packed[at + 1]]) as usize;
            at += 2;
            for _ in 0..token - 128 + SHORTEST {
                text[out] = text[out - distance];
                out += 1;
            }
        }
    }
    out
}
