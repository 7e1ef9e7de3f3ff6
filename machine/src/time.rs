//! Virtual time: one tick is one nanosecond, and every slower clock of the PC is derived from it by division.
//!
//! A derived clock has no state of its own: its count is `floor(vtime * hz / 10^9)` in 128-bit arithmetic, so it
//! never drifts, cannot overflow, and reads the same after a snapshot, a replay or a jump over idle time.

/// Ticks of virtual time in one second.
pub const TICKS_PER_SECOND: u64 = 1_000_000_000;

/// Number of periods of a clock of `hz` that are complete at `vtime`.
pub fn clock_at(vtime: u64, hz: u64) -> u64 {
    saturate(u128::from(vtime) * u128::from(hz) / u128::from(TICKS_PER_SECOND))
}

/// First virtual time at which a clock of `hz` has completed `count` periods.
pub fn vtime_of(count: u64, hz: u64) -> u64 {
    saturate((u128::from(count) * u128::from(TICKS_PER_SECOND)).div_ceil(u128::from(hz.max(1))))
}

fn saturate(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_second_is_a_second() {
        assert_eq!(clock_at(TICKS_PER_SECOND, 1_193_182), 1_193_182);
        assert_eq!(clock_at(TICKS_PER_SECOND - 1, 1_193_182), 1_193_181);
        assert_eq!(vtime_of(1_193_182, 1_193_182), TICKS_PER_SECOND);
    }

    proptest! {
        #[test]
        fn vtime_of_is_the_first_instant(count in 0u64..1 << 40, hz in 1u64..100_000_000) {
            let at = vtime_of(count, hz);
            prop_assert!(clock_at(at, hz) >= count);
            prop_assert!(at == 0 || clock_at(at - 1, hz) < count);
        }
    }
}
