//! What a second is: on the wall, or of the processor.
//!
//! On a computer that does other work meanwhile the wall tells of that work, too. Linux tells how long a thread or
//! another program has run; elsewhere there is the wall only.

use std::time::Instant;

/// A clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Clock {
    /// Time on the wall
    Wall,
    /// Time a processor spent on it (Linux)
    Cpu,
}

impl Clock {
    /// What it is called.
    pub fn name(self) -> &'static str {
        match self {
            Clock::Wall => "wall",
            Clock::Cpu => "cpu",
        }
    }

    /// Whether this system has it.
    pub fn exists(self) -> bool {
        self == Clock::Wall || cfg!(target_os = "linux")
    }
}

/// Who is measured.
#[derive(Clone, Copy, Debug)]
pub enum Who {
    /// This thread.
    Us,
    /// Another program, by process number, which only Linux asks for.
    #[cfg_attr(not(target_os = "linux"), expect(dead_code))]
    Child(u32),
}

/// Reads a clock.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    clock: Clock,
    who: Who,
    epoch: Instant,
}

impl Stopwatch {
    /// A stopwatch of `clock` for `who`.
    pub fn new(clock: Clock, who: Who) -> Stopwatch {
        Stopwatch { clock, who, epoch: Instant::now() }
    }

    /// Seconds since some moment.
    pub fn seconds(&self) -> f64 {
        match self.clock {
            Clock::Wall => self.epoch.elapsed().as_secs_f64(),
            Clock::Cpu => cpu_seconds(self.who).unwrap_or_else(|| self.epoch.elapsed().as_secs_f64()),
        }
    }
}

#[cfg(target_os = "linux")]
fn cpu_seconds(who: Who) -> Option<f64> {
    match who {
        Who::Us => {
            let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
            Some(time.tv_sec as f64 + time.tv_nsec as f64 / 1e9)
        }
        // The first number is nanoseconds run; a thread that has ended is missed.
        Who::Child(process) => {
            let tasks = std::fs::read_dir(format!("/proc/{process}/task")).ok()?;
            let times = tasks.filter_map(|task| {
                let text = std::fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
                text.split(' ').next()?.parse::<u64>().ok()
            });
            Some(times.sum::<u64>() as f64 / 1e9)
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn cpu_seconds(_: Who) -> Option<f64> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_goes_on_while_we_work() {
        for clock in [Clock::Wall, Clock::Cpu] {
            for who in [Who::Us, Who::Child(std::process::id())] {
                let watch = Stopwatch::new(clock, who);
                let start = watch.seconds();
                let began = Instant::now();
                let mut sum = 0u64;
                while began.elapsed().as_millis() < 20 {
                    sum = std::hint::black_box(sum.wrapping_mul(3) + 1);
                }
                assert!(watch.seconds() >= start, "{clock:?} {who:?}");
            }
        }
    }
}
