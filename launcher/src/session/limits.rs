//! When a run ends by itself, and how long it runs at a stretch.

use crate::ending::Stop;
use crate::options::MachineOptions;
use machine::Until;
use machine::inputs::Stamp;
use std::time::{Duration, Instant};

/// Instructions in a slice: some hundredths of a second, so that keys and limits are noticed at once.
const SLICE_INSNS: u64 = 1_000_000;
/// Virtual time in a slice, for machines that do little but wake up.
const SLICE_VTIME: u64 = 10_000_000_000;

/// The limits the user set.
pub struct Limits {
    max_insns: Option<u64>,
    timeout: Option<f64>,
    started: Instant,
}

impl Limits {
    /// The limits in `options`, for a run that has just `started`.
    pub fn new(options: &MachineOptions, started: Instant) -> Limits {
        Limits { max_insns: options.max_insns, timeout: options.timeout, started }
    }

    /// The limit that has been reached.
    pub fn reached(&self, at: Stamp, now: Instant) -> Option<Stop> {
        match (self.max_insns, self.timeout) {
            (Some(max), _) if at.insns >= max => Some(Stop::Instructions(max)),
            (_, Some(timeout)) if self.patience(now) == Some(Duration::ZERO) => Some(Stop::Timeout(timeout)),
            _ => None,
        }
    }

    /// The end of the next slice.
    pub fn slice(&self, at: Stamp) -> Until {
        let insns = at.insns.saturating_add(SLICE_INSNS);
        Until {
            insns: self.max_insns.map_or(insns, |max| insns.min(max)),
            vtime: at.vtime.saturating_add(SLICE_VTIME),
        }
    }

    /// What is left of `--timeout`.
    pub fn patience(&self, now: Instant) -> Option<Duration> {
        let timeout = Duration::from_secs_f64(self.timeout?);
        Some(timeout.saturating_sub(now.saturating_duration_since(self.started)))
    }
}
