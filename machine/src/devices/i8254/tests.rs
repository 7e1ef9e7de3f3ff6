//! The 8254 against its data sheet.

use super::*;
use crate::devices::bench::Bench;
use crate::time::TICKS_PER_SECOND;
use proptest::prelude::*;

fn program(pit: &mut I8254, bench: &mut Bench, channel: u16, mode: u8, count: u16) {
    pit.write(&mut bench.board(), 3, (channel as u8) << 6 | 0x30 | mode << 1);
    for byte in count.to_le_bytes() {
        pit.write(&mut bench.board(), channel, byte);
    }
}

fn read16(pit: &mut I8254, bench: &mut Bench, channel: u16) -> u16 {
    let low = pit.read(&mut bench.board(), channel);
    u16::from_le_bytes([low, pit.read(&mut bench.board(), channel)])
}

/// Rising edges of channel 0's output within the next `ticks`.
fn edges(pit: &mut I8254, bench: &mut Bench, ticks: u64) -> usize {
    let (mut count, mut before) = (0, pit.output(bench.now, 0));
    bench.advance(bench.now + ticks, |board, _| {
        pit.on_event(board);
        let after = pit.output(board.now, 0);
        count += usize::from(after && !before);
        before = after;
    });
    count
}

#[test]
fn periodic_modes_keep_their_rate_without_drift() {
    for mode in [2, 3] {
        let (mut pit, mut bench) = (I8254::new(), Bench::default());
        program(&mut pit, &mut bench, 0, mode, 11932);
        let expected = (100 * PIT_HZ / 11932) as usize;
        assert!(edges(&mut pit, &mut bench, 100 * TICKS_PER_SECOND).abs_diff(expected) <= 1);
    }
}

#[test]
fn mode_0_fires_once_at_the_count() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    program(&mut pit, &mut bench, 0, 0, 1000);
    assert!(!pit.output(0, 0));
    assert_eq!(bench.events.next_time(), vtime_of(1001, PIT_HZ), "one clock to load, then the count");
    assert_eq!(edges(&mut pit, &mut bench, TICKS_PER_SECOND), 1);
    assert!(pit.output(bench.now, 0));
    assert!(!bench.events.is_scheduled(Event::PitOutput));
    // The first byte of a new count takes the output low and stops counting.
    pit.write(&mut bench.board(), 0, 0);
    assert!(!pit.output(bench.now, 0));
    assert!(!bench.events.is_scheduled(Event::PitOutput));
}

#[test]
fn mode_2_is_low_for_one_clock_and_mode_3_for_half() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    for (mode, low) in [(2, 1), (3, 3)] {
        program(&mut pit, &mut bench, 0, mode, 7);
        let first = vtime_of(clock_at(bench.now, PIT_HZ) + 1, PIT_HZ);
        let clock = clock_at(first, PIT_HZ);
        let levels = (clock..clock + 14).filter(|&t| !pit.output(vtime_of(t, PIT_HZ), 0));
        assert_eq!(levels.count(), 2 * low);
        bench.now = vtime_of(clock + 14, PIT_HZ);
    }
}

#[test]
fn a_new_count_waits_for_the_period_to_end() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    program(&mut pit, &mut bench, 0, 2, 100);
    bench.now = vtime_of(51, PIT_HZ);
    for byte in [20, 0] {
        pit.write(&mut bench.board(), 0, byte);
    }
    assert_eq!(read16(&mut pit, &mut bench, 0), 50);
    bench.now = vtime_of(101, PIT_HZ);
    assert_eq!(read16(&mut pit, &mut bench, 0), 20);
    bench.now = vtime_of(122, PIT_HZ);
    assert_eq!(read16(&mut pit, &mut bench, 0), 19);
}

#[test]
fn mode_4_strobes_low_for_one_clock() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    program(&mut pit, &mut bench, 0, 4, 10);
    assert_eq!(edges(&mut pit, &mut bench, TICKS_PER_SECOND), 1);
    assert!(pit.output(vtime_of(10, PIT_HZ), 0));
}

#[test]
fn the_gate_of_channel_2_holds_and_triggers() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    program(&mut pit, &mut bench, 2, 0, 100);
    bench.now = vtime_of(500, PIT_HZ);
    assert!(!pit.output(bench.now, 2), "gate low: does not count");
    pit.set_gate2(bench.now, true);
    assert!(!pit.output(vtime_of(590, PIT_HZ), 2));
    pit.set_gate2(vtime_of(590, PIT_HZ), false);
    pit.set_gate2(vtime_of(1000, PIT_HZ), true);
    assert!(!pit.output(vtime_of(1009, PIT_HZ), 2));
    assert!(pit.output(vtime_of(1010, PIT_HZ), 2));
    // Mode 1: each rising gate starts a pulse.
    bench.now = vtime_of(2000, PIT_HZ);
    program(&mut pit, &mut bench, 2, 1, 10);
    assert!(pit.output(bench.now, 2));
    pit.set_gate2(bench.now, false);
    pit.set_gate2(bench.now, true);
    assert!(!pit.output(vtime_of(2010, PIT_HZ), 2));
    assert!(pit.output(vtime_of(2011, PIT_HZ), 2));
}

#[test]
fn latch_and_read_back_freeze_what_is_read() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    program(&mut pit, &mut bench, 0, 2, 1000);
    bench.now = vtime_of(101, PIT_HZ);
    pit.write(&mut bench.board(), 3, 0x00);
    bench.now = vtime_of(301, PIT_HZ);
    assert_eq!(read16(&mut pit, &mut bench, 0), 900);
    assert_eq!(read16(&mut pit, &mut bench, 0), 700);
    // Read-back of status and count of channel 0: status comes first.
    pit.write(&mut bench.board(), 3, 0xC2);
    bench.now = vtime_of(501, PIT_HZ);
    assert_eq!(pit.read(&mut bench.board(), 0), 0x80 | 0x30 | 2 << 1);
    assert_eq!(read16(&mut pit, &mut bench, 0), 700);
}

#[test]
fn bcd_counts_in_decimal() {
    let (mut pit, mut bench) = (I8254::new(), Bench::default());
    pit.write(&mut bench.board(), 3, 0x35);
    for byte in [0x00, 0x10] {
        pit.write(&mut bench.board(), 0, byte);
    }
    bench.now = vtime_of(2, PIT_HZ);
    assert_eq!(read16(&mut pit, &mut bench, 0), 0x0999);
}

proptest! {
    #[test]
    fn events_never_lie_in_the_past(ops in prop::collection::vec((0u16..4, any::<u8>(), 0u64..5_000_000), 1..200)) {
        let (mut pit, mut bench) = (I8254::new(), Bench::default());
        for (register, value, wait) in ops {
            let until = bench.now + wait;
            bench.advance(until, |board, _| pit.on_event(board));
            pit.write(&mut bench.board(), register, value);
            pit.set_gate2(bench.now, value & 1 != 0);
            pit.read(&mut bench.board(), register % 3);
            prop_assert!(bench.events.next_time() > bench.now);
        }
    }
}
