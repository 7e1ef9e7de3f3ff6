//! Copying a piece of memory that is known to be long, and as fast as the host can whatever the distance.
//!
//! What is fast differs. Intel's REP MOVS knows that whole lines are overwritten, which a loop of stores cannot say: for a page it is
//! twice as fast as memmove. AMD's (Zen 3) is no faster than a loop, and twenty times slower where the destination is less than a line
//! ahead of the source, modulo 4 KiB; glibc's memmove uses it all the same. There a loop whose stores are aligned is fast at any
//! distance.

/// Copy inside `bytes`; the caller has checked the ranges.
#[cfg(target_arch = "x86_64")]
pub(super) fn copy(bytes: &mut [u8], from: usize, to: usize, len: usize) {
    const WORTH_IT: usize = 512;
    if len < WORTH_IT || from.abs_diff(to) < len {
        bytes.copy_within(from..from + len, to);
        return;
    }
    let base = bytes.as_mut_ptr();
    // SAFETY: both ranges lie in `bytes` and do not overlap, and `len` is at least 64.
    unsafe {
        if x86_64::string_instructions_are_fast() {
            x86_64::by_string_instruction(base.add(from), base.add(to), len);
        } else {
            x86_64::by_lines(base.add(from), base.add(to), len);
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
pub(super) fn copy(bytes: &mut [u8], from: usize, to: usize, len: usize) {
    bytes.copy_within(from..from + len, to);
}

#[cfg(target_arch = "x86_64")]
mod x86_64 {
    use std::arch::x86_64::{__cpuid, __m128i, _mm_loadu_si128, _mm_storeu_si128};
    use std::sync::LazyLock;

    pub fn string_instructions_are_fast() -> bool {
        static INTEL: LazyLock<bool> = LazyLock::new(|| {
            let leaf = __cpuid(0);
            [leaf.ebx, leaf.edx, leaf.ecx].map(u32::to_le_bytes).concat() == b"GenuineIntel"
        });
        *INTEL
    }

    /// # Safety
    /// `len` bytes can be read at `from` and written at `to`, which do not overlap.
    pub unsafe fn by_string_instruction(from: *const u8, to: *mut u8, len: usize) {
        // SAFETY: as promised; DF is clear in Rust code.
        unsafe {
            std::arch::asm!(
                "rep movsb",
                inout("rsi") from => _, inout("rdi") to => _, inout("rcx") len => _,
                options(nostack, preserves_flags),
            );
        }
    }

    const LANE: usize = size_of::<__m128i>();
    const LINE: usize = 4 * LANE;

    /// # Safety
    /// As [`by_string_instruction`], and `len` is at least 64.
    pub unsafe fn by_lines(from: *const u8, to: *mut u8, len: usize) {
        // By value, so that it does not become a call of memcpy, which is what is to be avoided.
        let line = |at: usize| {
            // SAFETY: callers below ask for lines that end at `len` or before.
            unsafe {
                let from = from.add(at).cast::<__m128i>();
                let to = to.add(at).cast::<__m128i>();
                let lanes = [0, 1, 2, 3].map(|n| _mm_loadu_si128(from.add(n)));
                for (n, lane) in lanes.into_iter().enumerate() {
                    _mm_storeu_si128(to.add(n), lane);
                }
            }
        };
        line(0);
        // From here on stores are aligned.
        let mut at = LANE - to.addr() % LANE;
        while at + LINE <= len {
            line(at);
            at += LINE;
        }
        line(len - LINE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes out is what `copy_within` leaves, at all alignments and on either side of what is copied in lines.
    fn is_copy_within(copy: impl Fn(&mut [u8], usize, usize, usize)) {
        let pattern: Vec<u8> = (0..4096u32).map(|n| (n * 7 + (n >> 8)) as u8).collect();
        for from in [0, 1, 15, 16, 2000] {
            for to in [1000, 1003, 1008, 1015, 1016, 3000] {
                for len in [0, 64, 65, 79, 80, 127, 128, 511, 512, 513, 700, 960] {
                    let (mut ours, mut theirs) = (pattern.clone(), pattern.clone());
                    copy(&mut ours, from, to, len);
                    theirs.copy_within(from..from + len, to);
                    assert_eq!(ours, theirs, "{len} bytes from {from} to {to}");
                }
            }
        }
    }

    #[test]
    fn a_copy_is_a_copy() {
        is_copy_within(copy);
    }

    #[cfg(target_arch = "x86_64")]
    #[test]
    fn either_way_is_a_copy() {
        for way in [x86_64::by_lines, x86_64::by_string_instruction] {
            is_copy_within(|bytes, from, to, len| {
                let base = bytes.as_mut_ptr();
                if len >= 64 && from.abs_diff(to) >= len {
                    // SAFETY: the ranges lie in the 4096 bytes, apart.
                    unsafe { way(base.add(from), base.add(to), len) }
                } else {
                    bytes.copy_within(from..from + len, to);
                }
            });
        }
    }
}
