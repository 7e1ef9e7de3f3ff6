//! Packed values as sequences of lanes (SDM vol. 1, 4.6 and 9.2.4): pure functions, generic over the size of the
//! vector (64-bit MMX, 128-bit SSE) and the type of its lanes.

use std::ops::{BitAnd, BitOr, BitXor, Not};

/// An integer that a vector is divided into.
pub(super) trait Lane: Copy {
    const BYTES: usize;
    /// The lane in little-endian `bytes` of its size.
    fn read(bytes: &[u8]) -> Self;
    fn write(self, bytes: &mut [u8]);
}

macro_rules! lane {
    ($($t:ty)*) => {$(
        impl Lane for $t {
            const BYTES: usize = size_of::<$t>();
            #[inline(always)]
            fn read(bytes: &[u8]) -> Self {
                let mut raw = [0; size_of::<$t>()];
                raw.copy_from_slice(bytes);
                <$t>::from_le_bytes(raw)
            }
            #[inline(always)]
            fn write(self, bytes: &mut [u8]) {
                bytes.copy_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}

lane!(u8 i8 u16 i16 u32 i32 u64 i64);

/// A packed value.
pub(super) trait Vector:
    Copy + BitAnd<Output = Self> + BitOr<Output = Self> + BitXor<Output = Self> + Not<Output = Self>
{
    type Bytes: AsRef<[u8]> + AsMut<[u8]>;
    const BYTES: usize;
    const ZERO: Self;
    fn to_bytes(self) -> Self::Bytes;
    fn from_bytes(bytes: Self::Bytes) -> Self;
    /// The least significant 64 bits.
    fn low64(self) -> u64;
    /// Zero-extended from 64 bits.
    fn from_low64(v: u64) -> Self;
    /// The vector as one number shifted left (positive) or right (negative) by `bytes`, zeros coming in.
    fn shift_bytes(self, bytes: i32) -> Self;
}

macro_rules! vector {
    ($($t:ty)*) => {$(
        impl Vector for $t {
            type Bytes = [u8; size_of::<$t>()];
            const BYTES: usize = size_of::<$t>();
            const ZERO: Self = 0;
            #[inline(always)]
            fn to_bytes(self) -> Self::Bytes {
                self.to_le_bytes()
            }
            #[inline(always)]
            fn from_bytes(bytes: Self::Bytes) -> Self {
                <$t>::from_le_bytes(bytes)
            }
            #[inline(always)]
            fn low64(self) -> u64 {
                self as u64
            }
            #[inline(always)]
            fn from_low64(v: u64) -> Self {
                v as $t
            }
            #[inline(always)]
            fn shift_bytes(self, bytes: i32) -> Self {
                let bits = bytes.unsigned_abs().saturating_mul(8);
                let shifted = if bytes < 0 { self.checked_shr(bits) } else { self.checked_shl(bits) };
                shifted.unwrap_or(0)
            }
        }
    )*};
}

vector!(u64 u128);

/// Number of lanes of type `L` in a `V`.
pub(super) const fn count<V: Vector, L: Lane>() -> usize {
    V::BYTES / L::BYTES
}

/// A vector whose lane `i` is `f(i)`.
#[inline(always)]
pub(super) fn build<V: Vector, L: Lane>(mut f: impl FnMut(usize) -> L) -> V {
    let mut bytes = V::ZERO.to_bytes();
    for (i, out) in bytes.as_mut().chunks_exact_mut(L::BYTES).enumerate() {
        f(i).write(out);
    }
    V::from_bytes(bytes)
}

/// Lane `i`, counted modulo the number of lanes.
#[inline(always)]
pub(super) fn lane<V: Vector, L: Lane>(v: V, i: usize) -> L {
    let at = i % count::<V, L>() * L::BYTES;
    L::read(&v.to_bytes().as_ref()[at..at + L::BYTES])
}

/// `v` with lane `i`, counted modulo the number of lanes, replaced.
#[inline(always)]
pub(super) fn with_lane<V: Vector, L: Lane>(v: V, i: usize, value: L) -> V {
    let mut bytes = v.to_bytes();
    let at = i % count::<V, L>() * L::BYTES;
    value.write(&mut bytes.as_mut()[at..at + L::BYTES]);
    V::from_bytes(bytes)
}

/// `f` of each lane.
#[inline(always)]
pub(super) fn map<V: Vector, L: Lane>(a: V, f: impl Fn(L) -> L) -> V {
    build(|i| f(lane(a, i)))
}

/// `f` of each pair of corresponding lanes.
#[inline(always)]
pub(super) fn zip<V: Vector, L: Lane>(a: V, b: V, f: impl Fn(L, L) -> L) -> V {
    build(|i| f(lane(a, i), lane(b, i)))
}

/// All ones where `f` holds, else zero (the packed comparisons).
#[inline(always)]
pub(super) fn mask<V: Vector, L: Lane>(a: V, b: V, f: impl Fn(L, L) -> bool) -> V {
    let mut bytes = V::ZERO.to_bytes();
    for (i, out) in bytes.as_mut().chunks_exact_mut(L::BYTES).enumerate() {
        out.fill(if f(lane(a, i), lane(b, i)) { 0xFF } else { 0 });
    }
    V::from_bytes(bytes)
}

/// Narrow the lanes of `a`, then those of `b`, into one vector.
#[inline(always)]
pub(super) fn pack<V: Vector, W: Lane, N: Lane>(a: V, b: V, f: impl Fn(W) -> N) -> V {
    let half = count::<V, W>();
    build(|i| f(if i < half { lane(a, i) } else { lane(b, i - half) }))
}

/// Alternate the lanes of the low halves of `a` and `b`, `a` first.
#[inline(always)]
pub(super) fn interleave_low<V: Vector, L: Lane>(a: V, b: V) -> V {
    interleave::<V, L>(a, b, 0)
}

/// Alternate the lanes of the high halves of `a` and `b`, `a` first.
#[inline(always)]
pub(super) fn interleave_high<V: Vector, L: Lane>(a: V, b: V) -> V {
    interleave::<V, L>(a, b, count::<V, L>() / 2)
}

#[inline(always)]
fn interleave<V: Vector, L: Lane>(a: V, b: V, first: usize) -> V {
    build(|i| lane::<V, L>(if i % 2 == 0 { a } else { b }, first + i / 2))
}

/// The most significant bit of each lane, lane 0 in bit 0.
#[inline(always)]
pub(super) fn signs<V: Vector, L: Lane>(v: V) -> u32 {
    let bytes = v.to_bytes();
    let tops = bytes.as_ref().iter().skip(L::BYTES - 1).step_by(L::BYTES);
    tops.enumerate().fold(0, |bits, (i, top)| bits | (*top as u32 >> 7) << i)
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: u64 = 0x0706_0504_0302_0100;
    const B: u64 = 0x1716_1514_1312_1110;

    #[test]
    fn lanes_are_little_endian() {
        assert_eq!(lane::<u64, u16>(A, 1), 0x0302);
        assert_eq!(lane::<u64, u16>(A, 5), 0x0302);
        assert_eq!(with_lane::<u64, u8>(A, 7, 0xFF), 0xFF06_0504_0302_0100);
        assert_eq!(build::<u64, u32>(|i| i as u32 + 1), 0x0000_0002_0000_0001);
    }

    #[test]
    fn zip_does_not_carry_between_lanes() {
        assert_eq!(zip(0xFFu64, 1, u8::wrapping_add), 0);
        assert_eq!(zip(0xFFu64, 1, u16::wrapping_add), 0x100);
        assert_eq!(map(1u64, |x: i32| x.wrapping_neg()), 0xFFFF_FFFF);
    }

    #[test]
    fn interleave_takes_the_first_operand_first() {
        assert_eq!(interleave_low::<u64, u8>(A, B), 0x1303_1202_1101_1000);
        assert_eq!(interleave_high::<u64, u16>(A, B), 0x1716_0706_1514_0504);
    }

    #[test]
    fn pack_puts_the_first_operand_low() {
        let saturate = |x: i16| x.clamp(0, 255) as u8;
        assert_eq!(pack(0x0001_FFFF_0100_0002u64, 0x7FFF_8000_00FF_0000, saturate), 0xFF00_FF00_0100_FF02);
    }

    #[test]
    fn masks_and_signs() {
        assert_eq!(mask(A, 0x0706_0504_0302_0101u64, |a: u8, b| a == b), 0xFFFF_FFFF_FFFF_FF00);
        assert_eq!(signs::<u64, u8>(0x8000_0000_0000_0080), 0x81);
        assert_eq!(signs::<u128, u64>(1 << 127), 2);
    }

    #[test]
    fn byte_shifts_run_out_of_bits() {
        assert_eq!(1u128.shift_bytes(15), 1 << 120);
        assert_eq!((1u128 << 120).shift_bytes(-15), 1);
        assert_eq!(u128::MAX.shift_bytes(16), 0);
        assert_eq!(u128::MAX.shift_bytes(-255), 0);
    }
}
