//! SSE2: double and single precision sums over arrays, packed integers, shuffles, saturation.

use crate::{Random, mix};
use core::arch::x86::*;

const WORDS: usize = 4096;

pub fn run(arena: &mut [u32], rounds: u32) -> u32 {
    let (a, rest) = arena.split_at_mut(WORDS);
    let b = &mut rest[..WORDS];
    let mut random = Random::new(12);
    // Numbers near 1 in either precision.
    a.fill_with(|| random.next() & 0x007F_FFFF | 0x3F80_0000);
    b.fill_with(|| random.next() & 0x007F_FFFF | 0x3F80_0000);
    let mut sum = 0;
    for round in 0..rounds {
        // SAFETY: the machine has SSE2, and whoever runs this has enabled it.
        sum = mix(sum, unsafe { integers(a, b) ^ doubles(a, b) ^ singles(a, b) } ^ round);
        a[round as usize % WORDS] ^= sum & 0xFFFF;
    }
    sum
}

fn vectors(words: &[u32]) -> impl Iterator<Item = *const u32> {
    words.chunks_exact(4).map(<[u32]>::as_ptr)
}

#[target_feature(enable = "sse2")]
#[inline(never)]
unsafe fn integers(a: &[u32], b: &[u32]) -> u32 {
    let mut sum = _mm_setzero_si128();
    for (a, b) in vectors(a).zip(vectors(b)) {
        // SAFETY: each pointer is to four words.
        let (a, b) = unsafe { (_mm_loadu_si128(a.cast()), _mm_loadu_si128(b.cast())) };
        let products = _mm_madd_epi16(a, _mm_shuffle_epi32::<0b01_00_11_10>(b));
        let packed = _mm_packus_epi16(_mm_srli_epi16::<3>(a), _mm_adds_epi16(a, b));
        let larger = _mm_cmpgt_epi32(a, b);
        sum = _mm_add_epi32(sum, _mm_xor_si128(products, _mm_and_si128(larger, packed)));
        sum = _mm_add_epi32(sum, _mm_sad_epu8(a, b));
    }
    let folded = _mm_xor_si128(sum, _mm_srli_si128::<8>(sum));
    _mm_cvtsi128_si32(_mm_xor_si128(folded, _mm_srli_si128::<4>(folded))) as u32
}

#[target_feature(enable = "sse2")]
#[inline(never)]
unsafe fn doubles(a: &[u32], b: &[u32]) -> u32 {
    let mut sum = _mm_setzero_pd();
    for (a, b) in vectors(a).zip(vectors(b)) {
        // SAFETY: each pointer is to four words.
        let (a, b) = unsafe { (_mm_loadu_ps(a.cast()), _mm_loadu_ps(b.cast())) };
        let (x, y) = (_mm_cvtps_pd(a), _mm_cvtps_pd(b));
        sum = _mm_add_pd(sum, _mm_mul_pd(x, _mm_sub_pd(y, x)));
        sum = _mm_add_sd(sum, _mm_div_sd(x, y));
    }
    let bits = _mm_castpd_si128(_mm_add_pd(sum, _mm_unpackhi_pd(sum, sum)));
    _mm_cvtsi128_si32(_mm_xor_si128(bits, _mm_srli_si128::<4>(bits))) as u32
}

#[target_feature(enable = "sse2")]
#[inline(never)]
unsafe fn singles(a: &[u32], b: &[u32]) -> u32 {
    let mut sum = _mm_setzero_ps();
    for (a, b) in vectors(a).zip(vectors(b)) {
        // SAFETY: each pointer is to four words.
        let (a, b) = unsafe { (_mm_loadu_ps(a.cast()), _mm_loadu_ps(b.cast())) };
        sum = _mm_add_ps(sum, _mm_mul_ps(a, b));
        sum = _mm_sub_ps(sum, _mm_min_ps(_mm_sqrt_ps(a), b));
    }
    let bits = _mm_castps_si128(_mm_add_ps(sum, _mm_movehl_ps(sum, sum)));
    _mm_cvtsi128_si32(_mm_xor_si128(bits, _mm_srli_si128::<4>(bits))) as u32
}
