//! The UART against its data sheet.

use super::*;
use crate::devices::bench::Bench;
use proptest::prelude::*;

struct Rig {
    uart: Uart16550,
    bench: Bench,
}

impl Rig {
    fn new() -> Rig {
        let mut bench = Bench::default();
        bench.interrupts.write_pic(0x21, 0);
        Rig { uart: Uart16550::new(0), bench }
    }

    /// 115,200 8N1 with FIFOs at the given FCR, interrupts enabled by IER, DTR, RTS and OUT2 asserted.
    fn open(fcr: u8, ier: u8) -> Rig {
        let mut rig = Rig::new();
        for (register, value) in [(3, 0x83), (0, 1), (1, 0), (3, 3), (2, fcr), (4, 0x0B), (1, ier)] {
            rig.put(register, value);
        }
        rig
    }

    fn get(&mut self, register: u16) -> u8 {
        self.uart.read(&mut self.bench.board(), register)
    }

    fn put(&mut self, register: u16, value: u8) {
        self.uart.write(&mut self.bench.board(), register, value);
    }

    fn send(&mut self, bytes: &[u8]) {
        self.uart.receive(&mut self.bench.board(), bytes);
    }

    fn wait(&mut self, ticks: u64) {
        let Rig { uart, bench } = self;
        bench.advance(bench.now + ticks, |board, event| match event {
            Event::UartReceive(_) => uart.on_receive(board),
            _ => uart.on_timeout(board),
        });
    }

    fn wait_characters(&mut self, n: u64) {
        self.wait(n * self.uart.character_ticks());
    }
}

#[test]
fn a_character_takes_its_time() {
    let mut rig = Rig::open(0x07, 0);
    rig.send(b"x");
    rig.wait(86_805);
    assert_eq!(rig.get(5), 0x60);
    rig.wait(1);
    assert_eq!(rig.get(5), 0x61);
    assert_eq!(rig.get(0), b'x');
    assert_eq!(rig.get(5), 0x60);
}

#[test]
fn transmit_is_immediate_and_interrupts() {
    let mut rig = Rig::open(0x07, 0);
    rig.put(0, b'h');
    assert!(!rig.bench.interrupts.intr());
    rig.put(1, 0x02);
    assert!(rig.bench.interrupts.intr());
    assert_eq!(rig.get(2), 0xC2);
    assert_eq!(rig.get(2), 0xC1, "reading the identification clears it");
    assert!(!rig.bench.interrupts.intr());
    rig.put(0, b'i');
    assert_eq!(rig.get(2), 0xC2);
    assert_eq!(rig.bench.outputs.take(OutputPort::Com1), b"hi");
}

#[test]
fn trigger_level_and_timeout() {
    let mut rig = Rig::open(0x87, 0x01);
    rig.send(b"12345678");
    rig.wait_characters(7);
    assert_eq!(rig.get(2), 0xC1);
    rig.wait_characters(1);
    assert_eq!(rig.get(2), 0xC4);
    assert_eq!(rig.get(0), b'1');
    assert_eq!(rig.get(2), 0xC1, "below the trigger level");
    rig.wait_characters(4);
    assert_eq!(rig.get(2), 0xCC);
    assert!(rig.bench.interrupts.intr());
    assert_eq!(rig.get(0), b'2');
    assert_eq!(rig.get(2), 0xC1, "reading ends the timeout");
}

#[test]
fn nothing_is_lost_while_the_guest_is_slow() {
    let mut rig = Rig::new();
    let text: Vec<u8> = (0..100).collect();
    rig.send(&text);
    rig.wait(1_000_000_000);
    assert_eq!(rig.get(5), 0x60, "nobody listens yet");
    for (register, value) in [(3, 3), (2, 0x07), (4, 0x0B)] {
        rig.put(register, value);
    }
    let mut received = Vec::new();
    for _ in 0..20 {
        rig.wait_characters(40);
        assert!(rig.uart.receiver.len() <= FIFO_SIZE);
        while rig.get(5) & 1 != 0 {
            received.push(rig.get(0));
        }
    }
    assert_eq!(received, text);
    assert_eq!(rig.uart.backlog(), 0);
}

#[test]
fn loopback_returns_bytes_and_modem_lines() {
    let mut rig = Rig::open(0x07, 0x0F);
    rig.get(6);
    rig.put(4, 0x1B);
    assert!(!rig.bench.interrupts.intr(), "OUT2 is forced inactive");
    assert_eq!(rig.get(6) & 0xF0, 0xB0);
    rig.put(4, 0x10);
    assert_eq!(rig.get(6), 0x0B, "CTS, DSR and DCD fell");
    for byte in 0..17 {
        rig.put(0, byte);
    }
    assert_eq!(rig.get(2), 0xC6);
    assert_eq!(rig.get(5), 0x63, "the 17th overran");
    assert_eq!(rig.get(5), 0x61);
    assert_eq!((0..16).map(|_| rig.get(0)).collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    assert!(rig.bench.outputs.take(OutputPort::Com1).is_empty());
}

#[test]
fn interrupts_by_priority() {
    let mut rig = Rig::open(0x01, 0x0F);
    rig.put(4, 0x1F);
    rig.put(4, 0x1B);
    rig.put(0, 1);
    assert_eq!(rig.get(2), 0xC4);
    rig.get(0);
    assert_eq!(rig.get(2), 0xC2);
    assert_eq!(rig.get(2), 0xC0, "RI's trailing edge");
    assert_eq!(rig.get(6) & 0x0F, 0x04);
    assert_eq!(rig.get(2), 0xC1);
}

#[test]
fn out2_gates_the_interrupt_line() {
    let mut rig = Rig::open(0x07, 0x02);
    assert!(rig.bench.interrupts.intr());
    rig.put(4, 0x03);
    assert!(!rig.bench.interrupts.intr());
    rig.put(4, 0x0B);
    assert!(rig.bench.interrupts.intr());
}

#[test]
fn registers_hold_what_they_should() {
    let mut rig = Rig::new();
    for (register, written, read) in [(7, 0xA5, 0xA5), (1, 0xFF, 0x0F), (4, 0xFF, 0x1F), (3, 0xFF, 0xFF)] {
        rig.put(register, written);
        assert_eq!(rig.get(register), read);
    }
    rig.put(0, 0x34);
    rig.put(1, 0x12);
    assert_eq!([rig.get(0), rig.get(1)], [0x34, 0x12]);
}

proptest! {
    #[test]
    fn no_sequence_breaks_it(ops in prop::collection::vec((0u8..4, 0u16..8, any::<u8>()), 1..200)) {
        let mut rig = Rig::new();
        for (op, register, value) in ops {
            match op {
                0 => { rig.get(register); }
                1 => rig.put(register, value),
                2 => rig.send(&[value]),
                _ => rig.wait(u64::from(value) * 1000),
            }
            prop_assert!(rig.uart.receiver.len() <= FIFO_SIZE);
            prop_assert!(rig.bench.events.next_time() > rig.bench.now);
        }
    }
}
