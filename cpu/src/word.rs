//! Operand widths: the unsigned integers an instruction can work on.

use std::fmt::Debug;
use std::ops::{BitAnd, BitOr, BitXor, Not};

/// An operand of 8, 16, 32 or 64 bits.
pub trait Word:
    Copy
    + Debug
    + PartialEq
    + Eq
    + Default
    + Not<Output = Self>
    + BitAnd<Output = Self>
    + BitOr<Output = Self>
    + BitXor<Output = Self>
    + 'static
{
    /// Width in bits.
    const BITS: u32;
    /// Width in bytes.
    const BYTES: u32 = Self::BITS / 8;
    /// Zero-extended to 32 bits (the low half of a 64-bit word).
    fn to_u32(self) -> u32;
    /// Zero-extended to 64 bits.
    fn to_u64(self) -> u64;
    /// Truncated from 32 bits.
    fn from_u32(v: u32) -> Self;
    /// Truncated from 64 bits.
    fn from_u64(v: u64) -> Self;
    /// Sign-extended to 32 bits.
    fn sign_extend(self) -> u32;
    /// Little-endian read at `at`; zero if out of range.
    fn read_le(bytes: &[u8], at: usize) -> Self;
    /// Little-endian write at `at`; nothing if out of range.
    fn write_le(self, bytes: &mut [u8], at: usize);
}

macro_rules! word {
    ($($t:ty, $signed:ty);*) => {$(
        impl Word for $t {
            const BITS: u32 = <$t>::BITS;
            #[inline(always)]
            fn to_u32(self) -> u32 { self as u32 }
            #[inline(always)]
            fn to_u64(self) -> u64 { self as u64 }
            #[inline(always)]
            fn from_u32(v: u32) -> Self { v as $t }
            #[inline(always)]
            fn from_u64(v: u64) -> Self { v as $t }
            #[inline(always)]
            fn sign_extend(self) -> u32 { self as $signed as i32 as u32 }
            #[inline(always)]
            fn read_le(bytes: &[u8], at: usize) -> Self {
                match bytes.get(at..at + size_of::<$t>()).and_then(|b| b.first_chunk()) {
                    Some(b) => <$t>::from_le_bytes(*b),
                    None => 0,
                }
            }
            #[inline(always)]
            fn write_le(self, bytes: &mut [u8], at: usize) {
                if let Some(b) = bytes.get_mut(at..at + size_of::<$t>()) {
                    b.copy_from_slice(&self.to_le_bytes());
                }
            }
        }
    )*};
}

word!(u8, i8; u16, i16; u32, i32; u64, i64);
