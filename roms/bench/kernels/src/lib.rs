//! The benchmark's kernels: what a program in ring 3 does all day, small enough to understand a number.
//!
//! A kernel gets a seed-filled arena and a number of rounds, and returns a checksum that depends on everything it did.
//! It is the same on every machine and engine; a wrong one is a wrong emulation. Rounds are chosen so that a kernel
//! takes a little more than 10^9 instructions; they and the list are fixed, so that numbers of different days can be compared.
//!
//! The code is plain: no vectors except in `sse2`, no floating point except in `x87`, no allocation, no panic in the
//! measured paths worth mentioning.

#![no_std]

mod bignum;
mod bits;
mod bytecode;
mod calls;
mod crc32;
mod gcd;
mod hash;
mod lists;
mod lz;
mod matmul;
mod memory;
mod queens;
mod quicksort;
mod records;
pub mod runtime;
mod sha256;
mod sieve;
mod sse2;
mod strings;
mod words;
mod x87;

pub use words::{Chosen, chosen};

/// What a kernel stresses, and so which target it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Integer code; the geometric mean is over these.
    Integer,
    /// Floating point and vectors.
    Float,
    /// Bulk and far-apart memory accesses.
    Memory,
}

/// One kernel.
#[derive(Clone, Copy)]
pub struct Kernel {
    /// Its name on command lines and in tables.
    pub name: &'static str,
    /// What it stresses.
    pub kind: Kind,
    /// Rounds of a full run.
    pub rounds: u32,
    /// The code: arena and rounds to checksum.
    pub run: fn(&mut [u32], u32) -> u32,
}

/// Words of the arena every kernel gets: 32 MiB.
pub const ARENA_WORDS: usize = 8 << 20;

/// Every kernel, in the order they run.
pub const KERNELS: &[Kernel] = &[
    Kernel { name: "sieve", kind: Kind::Integer, rounds: 62, run: sieve::run },
    Kernel { name: "crc32", kind: Kind::Integer, rounds: 2_200, run: crc32::run },
    Kernel { name: "sha256", kind: Kind::Integer, rounds: 210, run: sha256::run },
    Kernel { name: "quicksort", kind: Kind::Integer, rounds: 90, run: quicksort::run },
    Kernel { name: "matmul", kind: Kind::Integer, rounds: 165, run: matmul::run },
    Kernel { name: "strings", kind: Kind::Integer, rounds: 900, run: strings::run },
    Kernel { name: "calls", kind: Kind::Integer, rounds: 90, run: calls::run },
    Kernel { name: "lists", kind: Kind::Integer, rounds: 4_500, run: lists::run },
    Kernel { name: "hash", kind: Kind::Integer, rounds: 570, run: hash::run },
    Kernel { name: "lz", kind: Kind::Integer, rounds: 190, run: lz::run },
    Kernel { name: "records", kind: Kind::Integer, rounds: 4_400_000, run: records::run },
    Kernel { name: "bits", kind: Kind::Integer, rounds: 1_250, run: bits::run },
    Kernel { name: "bytecode", kind: Kind::Integer, rounds: 41, run: bytecode::run },
    Kernel { name: "queens", kind: Kind::Integer, rounds: 540, run: queens::run },
    Kernel { name: "bignum", kind: Kind::Integer, rounds: 4_300, run: bignum::run },
    Kernel { name: "gcd", kind: Kind::Integer, rounds: 3_500, run: gcd::run },
    Kernel { name: "x87", kind: Kind::Float, rounds: 420, run: x87::run },
    Kernel { name: "sse2", kind: Kind::Float, rounds: 22_000, run: sse2::run },
    Kernel { name: "rep-movs", kind: Kind::Memory, rounds: 65_000, run: memory::movs },
    Kernel { name: "rep-stos", kind: Kind::Memory, rounds: 65_000, run: memory::stos },
    Kernel { name: "stride", kind: Kind::Memory, rounds: 32_000, run: memory::stride },
    Kernel { name: "two-buffers", kind: Kind::Memory, rounds: 560, run: memory::two_buffers },
];

/// The same numbers for everybody, from a seed: xorshift.
#[derive(Clone, Copy)]
pub(crate) struct Random(u32);

impl Random {
    pub(crate) fn new(seed: u32) -> Self {
        Self(seed | 1)
    }

    pub(crate) fn next(&mut self) -> u32 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 17;
        self.0 ^= self.0 << 5;
        self.0
    }
}

/// Mixes a value into a checksum.
pub(crate) fn mix(sum: u32, value: u32) -> u32 {
    (sum ^ value).wrapping_mul(0x0100_0193).rotate_left(5)
}

/// The first `bytes` bytes of the arena, as bytes, and the rest of it.
pub(crate) fn split_bytes(arena: &mut [u32], bytes: usize) -> (&mut [u8], &mut [u32]) {
    let (front, rest) = arena.split_at_mut(bytes.div_ceil(4));
    // SAFETY: u32 has no padding, and bytes need no alignment; the length is that of the same memory.
    let front = unsafe { core::slice::from_raw_parts_mut(front.as_mut_ptr().cast::<u8>(), front.len() * 4) };
    (front, rest)
}
