//! Time: the time-stamp counter calibrated against the PIT, the PIT as the Host's tick, the RTC for the date.

use super::cpu::{inb, outb, rdtsc};
use super::{interrupts, once::Global};

/// PIT input, in Hz.
const PIT_HZ: u64 = 1_193_182;
/// How long the calibration takes, in PIT ticks: 10 ms.
const CALIBRATION: u64 = PIT_HZ / 100;
/// The longest a Guest runs without an exit, in nanoseconds.
pub const TICK: u64 = 1_000_000;
/// The longest the timer can be set to, in nanoseconds.
pub const LONGEST: u64 = 50_000_000;
/// The shortest distance the timer is set to: faster clock events wait for it (10.3).
const SHORTEST: u64 = 20_000;
/// Fraction bits of [`Clock::scale`].
const FRACTION: u32 = 24;

struct Clock {
    khz: u32,
    /// Nanoseconds a time-stamp, times 2^24: time is read at every exit, and a division is slow.
    scale: u32,
    start: u64,
    boot_seconds: u32,
    /// When the timer is going to interrupt, if it is.
    armed: Option<u64>,
}

static CLOCK: Global<Clock> = Global::new(Clock { khz: 1, scale: 0, start: 0, boot_seconds: 0, armed: None });

/// Calibrate, read the date, start the interrupt controllers.
pub fn init() {
    let khz = calibrate();
    let boot_seconds = read_date();
    // The slowest processor with a time-stamp counter has 60 MHz, so the scale fits.
    let scale = ((1_000_000u64 << FRACTION) / khz.max(60_000) as u64) as u32;
    CLOCK.with(|clock| *clock = Clock { khz, scale, start: rdtsc(), boot_seconds, armed: None });
    interrupts::init();
}

/// Count time-stamps while channel 2, which interrupts nobody, counts down once.
fn calibrate() -> u32 {
    outb(0x61, inb(0x61) & !2 | 1);
    outb(0x43, 0xB0);
    outb(0x42, CALIBRATION as u8);
    outb(0x42, (CALIBRATION >> 8) as u8);
    // Opening the gate anew starts the count.
    outb(0x61, inb(0x61) & !1);
    outb(0x61, inb(0x61) | 1);
    let before = rdtsc();
    while inb(0x61) & 0x20 == 0 {}
    let ticks = rdtsc() - before;
    ((ticks / CALIBRATION.max(1) * PIT_HZ + ticks % CALIBRATION * PIT_HZ / CALIBRATION) / 1000) as u32
}

/// Rate of the time-stamp counter.
pub fn tsc_khz() -> u32 {
    CLOCK.with(|clock| clock.khz)
}

/// Nanoseconds since [`init`].
pub fn now() -> u64 {
    CLOCK.with(|clock| {
        let ticks = rdtsc() - clock.start;
        let scale = clock.scale as u64;
        ((ticks & 0xFFFF_FFFF) * scale >> FRACTION) + ((ticks >> 32) * scale << (32 - FRACTION))
    })
}

/// Seconds since 1970 and nanoseconds.
pub fn wall_clock() -> (u32, u32) {
    let now = now();
    let boot = CLOCK.with(|clock| clock.boot_seconds);
    (boot.wrapping_add((now / 1_000_000_000) as u32), (now % 1_000_000_000) as u32)
}

/// See that the timer interrupts once, by `at` or soon after; it is `now`. If it is going to interrupt before, so much the
/// better: the caller will ask again.
pub fn interrupt_by(now: u64, at: u64) {
    CLOCK.with(|clock| {
        if clock.armed.is_some_and(|armed| now < armed && armed <= at) {
            return;
        }
        let delay = at.saturating_sub(now).clamp(SHORTEST, LONGEST);
        clock.armed = Some(now + delay);
        let count = (delay * PIT_HZ / 1_000_000_000).max(1);
        outb(0x43, 0x30);
        outb(0x40, count as u8);
        outb(0x40, (count >> 8) as u8);
    });
}

/// The timer interrupted.
pub fn timer_fired() {
    CLOCK.with(|clock| clock.armed = None);
}

/// Register `n` of the RTC.
fn cmos(n: u8) -> u32 {
    outb(0x70, n);
    inb(0x71) as u32
}

/// Seconds since 1970 by the RTC (MC146818): read when no update is in progress, until two readings agree.
fn read_date() -> u32 {
    let read = || [0u8, 2, 4, 7, 8, 9, 0x32].map(cmos);
    let mut last = read();
    for _ in 0..1000 {
        let updating = cmos(0xA) & 0x80 != 0;
        let again = read();
        if !updating && again == last {
            break;
        }
        last = again;
    }
    let mode = cmos(0xB);
    let number = |v: u32| if mode & 4 != 0 { v } else { (v >> 4) * 10 + (v & 0xF) };
    let [second, minute, mut hour, day, month, year, century] = last;
    let afternoon = mode & 2 == 0 && hour & 0x80 != 0;
    hour = number(hour & 0x7F);
    if mode & 2 == 0 {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let century = number(century);
    let year = number(year) + if (19..=21).contains(&century) { century * 100 } else { 2000 };
    days_since_1970(year, number(month), number(day)) * 86400
        + hour * 3600
        + number(minute) * 60
        + number(second)
}

/// Days from 1970-01-01 to a date of the Gregorian calendar.
fn days_since_1970(year: u32, month: u32, day: u32) -> u32 {
    // Count years from March, so that the leap day is the last.
    let (y, m) = if month > 2 { (year, month - 3) } else { (year.wrapping_sub(1), month + 9) };
    let days = y * 365 + y / 4 - y / 100 + y / 400 + (153 * m + 2) / 5 + day.wrapping_sub(1);
    days.wrapping_sub(719_468)
}
