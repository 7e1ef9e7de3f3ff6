//! The clock against its data sheet.

use super::*;
use crate::devices::bench::Bench;
use proptest::prelude::*;

const START: i64 = 1_700_000_000;
const MIB: u64 = 1 << 20;

fn get(rtc: &mut Mc146818, bench: &mut Bench, index: u8) -> u8 {
    rtc.select(index);
    rtc.read(&mut bench.board())
}

fn put(rtc: &mut Mc146818, bench: &mut Bench, index: u8, value: u8) {
    rtc.select(index);
    rtc.write(&mut bench.board(), value);
}

fn bench() -> (Mc146818, Bench) {
    let mut bench = Bench::default();
    for port in [0x21, 0xA1] {
        bench.interrupts.write_pic(port, 0);
    }
    (Mc146818::new(START, 64 * MIB), bench)
}

#[test]
fn shows_the_date_in_every_format() {
    let (mut rtc, mut bench) = bench();
    let fields = |rtc: &mut Mc146818, bench: &mut Bench| TIME_REGISTERS.map(|index| get(rtc, bench, index));
    assert_eq!(fields(&mut rtc, &mut bench), [0x20, 0x13, 0x22, 0x03, 0x14, 0x11, 0x23, 0x20]);
    put(&mut rtc, &mut bench, REG_B, B_24H | B_DM);
    assert_eq!(fields(&mut rtc, &mut bench), [20, 13, 22, 3, 14, 11, 23, 20]);
    put(&mut rtc, &mut bench, REG_B, 0);
    assert_eq!(get(&mut rtc, &mut bench, 4), 0x90, "10 p.m.");
    bench.now = 41 * TICKS_PER_SECOND;
    assert_eq!(get(&mut rtc, &mut bench, 0), 0x01);
}

#[test]
fn can_be_set() {
    let (mut rtc, mut bench) = bench();
    put(&mut rtc, &mut bench, REG_B, B_24H | B_SET);
    for (index, value) in TIME_REGISTERS.into_iter().zip([0x59, 0x59, 0x23, 0x01, 0x31, 0x12, 0x99, 0x19]) {
        put(&mut rtc, &mut bench, index, value);
    }
    bench.now = 10 * TICKS_PER_SECOND;
    assert_eq!(get(&mut rtc, &mut bench, 0), 0x59, "stands still while SET");
    put(&mut rtc, &mut bench, REG_B, B_24H);
    bench.now = 11 * TICKS_PER_SECOND;
    let year = [get(&mut rtc, &mut bench, CENTURY), get(&mut rtc, &mut bench, 9)];
    assert_eq!(year, [0x20, 0x00]);
    assert_eq!(get(&mut rtc, &mut bench, 6), 7, "2000-01-01 was a Saturday");
}

#[test]
fn update_in_progress_announces_the_update() {
    let (mut rtc, mut bench) = bench();
    assert_eq!(get(&mut rtc, &mut bench, REG_A), 0x26);
    bench.now = TICKS_PER_SECOND - UPDATE_TICKS;
    assert_eq!(get(&mut rtc, &mut bench, REG_A), 0xA6);
    bench.now = TICKS_PER_SECOND;
    assert_eq!(get(&mut rtc, &mut bench, REG_A), 0x26);
}

/// Interrupts taken within `seconds`, each acknowledged by reading register C.
fn interrupts(rtc: &mut Mc146818, bench: &mut Bench, seconds: u64) -> usize {
    let mut count = 0;
    bench.advance(bench.now + seconds * TICKS_PER_SECOND, |board, _| {
        rtc.on_event(board);
        count += 1;
        assert!(board.interrupts.intr());
        rtc.select(REG_C);
        assert_ne!(rtc.read(board) & C_IRQF, 0);
        assert!(!board.interrupts.intr());
    });
    count
}

#[test]
fn interrupts_at_their_rates() {
    let (mut rtc, mut bench) = bench();
    put(&mut rtc, &mut bench, REG_B, B_24H | PERIODIC);
    assert_eq!(interrupts(&mut rtc, &mut bench, 1), 1024);
    put(&mut rtc, &mut bench, REG_A, 0x21);
    assert_eq!(interrupts(&mut rtc, &mut bench, 1), 256);
    put(&mut rtc, &mut bench, REG_A, 0x2F);
    assert_eq!(interrupts(&mut rtc, &mut bench, 10), 20);
    put(&mut rtc, &mut bench, REG_B, B_24H | UPDATE);
    assert_eq!(interrupts(&mut rtc, &mut bench, 10), 10);
    // 22:13 with any second of the next minute, then nothing until tomorrow.
    for (index, value) in [(5, 0x22), (3, 0x15), (1, 0xFF)] {
        put(&mut rtc, &mut bench, index, value);
    }
    put(&mut rtc, &mut bench, REG_B, B_24H | ALARM);
    assert_eq!(interrupts(&mut rtc, &mut bench, 3600), 60);
    assert!(bench.events.is_scheduled(Event::Rtc));
}

#[test]
fn flags_are_there_for_those_who_poll() {
    let (mut rtc, mut bench) = bench();
    bench.now = 2 * TICKS_PER_SECOND;
    assert_eq!(get(&mut rtc, &mut bench, REG_C), PERIODIC | UPDATE);
    assert_eq!(get(&mut rtc, &mut bench, REG_C), 0);
}

#[test]
fn memory_sizes_are_told() {
    for (mib, kib_above_1m, blocks_above_16m) in
        [(1, 0, 0), (8, 7168, 0), (64, 64512, 768), (3072, 65535, 48896)]
    {
        let mut rtc = Mc146818::new(0, mib * MIB);
        let mut bench = Bench::default();
        let mut word = |low| u16::from_le_bytes([low, low + 1].map(|index| get(&mut rtc, &mut bench, index)));
        assert_eq!([word(0x15), word(0x30), word(0x34)], [640, kib_above_1m, blocks_above_16m]);
    }
}

proptest! {
    #[test]
    fn nothing_a_guest_writes_breaks_it(ops in prop::collection::vec((any::<u8>(), any::<u8>(), 0u64..1 << 40), 1..100)) {
        let (mut rtc, mut bench) = bench();
        for (index, value, wait) in ops {
            bench.now += wait;
            while bench.events.pop_due(bench.now).is_some() {
                rtc.on_event(&mut bench.board());
            }
            put(&mut rtc, &mut bench, index % 16, value);
            get(&mut rtc, &mut bench, index % 16);
            prop_assert!(bench.events.next_time() > bench.now);
        }
    }
}
