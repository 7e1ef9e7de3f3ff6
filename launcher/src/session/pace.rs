//! Idle time at the speed of the wall clock.
//!
//! The machine computes slower than its virtual clock pretends, so that clock falls behind the wall; idle time is
//! where it catches up. What it is behind by more than [`SLACK`] is forgotten: a second of sleep after a minute of
//! work is still a second.

use std::time::{Duration, Instant};

/// How much the virtual clock may catch up by.
const SLACK: Duration = Duration::from_millis(50);

/// A moment at which both clocks were read.
pub struct Pace {
    wall: Instant,
    vtime: u64,
}

impl Pace {
    /// Start with both clocks here.
    pub fn new(wall: Instant, vtime: u64) -> Pace {
        Pace { wall, vtime }
    }

    /// How long to wait for `wake_at` if it is `now` on the wall and `vtime` in the machine.
    pub fn until(&mut self, now: Instant, vtime: u64, wake_at: u64) -> Duration {
        let on_the_wall = self.wall + ticks(vtime.saturating_sub(self.vtime));
        let behind = now.saturating_duration_since(on_the_wall).min(SLACK);
        let ahead = on_the_wall.saturating_duration_since(now);
        *self = Pace { wall: now + ahead - behind, vtime };
        (self.wall + ticks(wake_at.saturating_sub(vtime))).saturating_duration_since(now)
    }

    /// The virtual time that belongs to `now`.
    pub fn vtime_at(&self, now: Instant) -> u64 {
        let passed = now.saturating_duration_since(self.wall).as_nanos();
        self.vtime.saturating_add(u64::try_from(passed).unwrap_or(u64::MAX))
    }
}

/// At most a year, so that sums stay within what a clock can show.
fn ticks(n: u64) -> Duration {
    Duration::from_nanos(n).min(Duration::from_secs(365 * 86_400))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn idle_time_is_wall_time() {
        let start = Instant::now();
        let second = Duration::from_secs(1);
        let mut pace = Pace::new(start, 0);
        assert_eq!(pace.until(start, 0, 1_000_000_000), second);
        // Woken in time, and 20 ms of work that the machine took for 1 ms.
        let now = start + second + Duration::from_millis(20);
        assert_eq!(pace.until(now, 1_001_000_000, 2_001_000_000), second - Duration::from_millis(19));
        // Ten seconds of work: nearly all of it is forgotten.
        let now = now + 10 * second;
        assert_eq!(pace.until(now, 1_100_000_000, 2_100_000_000), second - SLACK);
        assert_eq!(pace.vtime_at(now + second), 1_100_000_000 + 1_050_000_000);
    }
}
