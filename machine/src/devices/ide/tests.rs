//! The channel as a driver uses it.

use super::*;
use crate::devices::bench::Bench;
use crate::events::Event;
use crate::media::{Medium, SECTOR};
use cpu::mem::{PhysMem, Ram};
use proptest::prelude::*;
use std::sync::Arc;

const SECTORS: u64 = 5000;
const BSY: u8 = 0x80;
const DRQ: u8 = 0x08;
const READY: u8 = 0x50;
const ERR: u8 = 0x01;

struct Rig {
    bench: Bench,
    ide: Ide,
    pci: PciBus,
}

/// Each sector begins with its number.
fn image(sectors: u64) -> Vec<u8> {
    (0..sectors).flat_map(|n| (n as u32).to_le_bytes().into_iter().chain([n as u8; SECTOR - 4])).collect()
}

impl Rig {
    fn new(disks: usize) -> Rig {
        let mut rig = Rig { bench: Bench::default(), ide: Ide::default(), pci: PciBus::default() };
        rig.pci.plug(PLACE, config_space());
        for (at, value) in [(0x04, 5), (0x20, 0xC001), (0x40, 0x8000_8000)] {
            rig.pci.write_address(0x8000_0900 | at);
            rig.pci.write_data(0, Width::Dword, value);
        }
        for n in 0..disks {
            rig.ide.connect(n, SECTORS);
            rig.bench.media.push(Medium::new(Arc::new(image(SECTORS)), SECTORS, true));
        }
        for (port, value) in
            [(0x20, 0x11), (0x21, 0), (0x21, 4), (0x21, 1), (0xA0, 0x11), (0xA1, 8), (0xA1, 2), (0xA1, 1)]
        {
            rig.bench.interrupts.write_pic(port, value);
        }
        rig
    }

    fn get(&mut self, port: u16, width: Width) -> u32 {
        let port = Decoder::of(&self.pci).port(port).expect("a port of the function");
        self.ide.read(&mut self.bench.board(), port, width)
    }

    fn put(&mut self, port: u16, width: Width, value: u32) {
        let port = Decoder::of(&self.pci).port(port).expect("a port of the function");
        self.ide.write(&mut self.bench.board(), port, width, value);
    }

    fn inb(&mut self, port: u16) -> u8 {
        self.get(port, Width::Byte) as u8
    }

    fn outb(&mut self, port: u16, value: u8) {
        self.put(port, Width::Byte, value.into());
    }

    /// Registers 2 to 6, then the command.
    fn command(&mut self, opcode: u8, count: u8, lba: u32, device: u8) {
        let bytes = [
            count,
            lba as u8,
            (lba >> 8) as u8,
            (lba >> 16) as u8,
            device | (lba >> 24) as u8 & 0x0F,
            opcode,
        ];
        for (register, byte) in (0x1F2..).zip(bytes) {
            self.outb(register, byte);
        }
    }

    fn command48(&mut self, opcode: u8, count: u16, lba: u64) {
        self.outb(0x1F6, 0x40);
        for shift in [8, 0] {
            self.outb(0x1F2, (count >> shift) as u8);
            for (n, register) in (0x1F3..=0x1F5).enumerate() {
                self.outb(register, (lba >> (3 * shift) >> (8 * n)) as u8);
            }
        }
        self.outb(0x1F7, opcode);
    }

    /// Let the drive finish what it is at.
    fn wait(&mut self) {
        let Rig { bench, ide, pci } = self;
        let until = bench.now + 100_000;
        bench.advance(until, |board, event| match event {
            Event::Ide(n) => ide.on_event(board, pci, n),
            other => panic!("{other:?}"),
        });
    }

    fn interrupted(&mut self) -> bool {
        let irq = self.bench.interrupts.intr();
        if irq {
            assert_eq!(self.bench.interrupts.acknowledge(), 8 + 6, "IRQ 14");
            self.bench.interrupts.write_pic(0xA0, 0x20);
            self.bench.interrupts.write_pic(0x20, 0x20);
        }
        irq
    }

    fn read_block(&mut self, len: usize) -> Vec<u8> {
        (0..len / 4).flat_map(|_| self.get(0x1F0, Width::Dword).to_le_bytes()).collect()
    }

    fn write_block(&mut self, bytes: &[u8]) {
        for pair in bytes.chunks(2) {
            self.put(0x1F0, Width::Word, u16::from_le_bytes([pair[0], pair[1]]).into());
        }
    }

    fn memory(&self, at: u64, len: usize) -> Vec<u8> {
        self.bench.mem.slice(at, len).unwrap().to_vec()
    }

    /// A table of descriptors at 0x1000.
    fn describe(&mut self, regions: &[(u32, u16)]) {
        for (n, (at, len)) in regions.iter().enumerate() {
            let last = if n + 1 == regions.len() { 0x8000_0000 } else { 0 };
            let entry = [*at, u32::from(*len) | last].map(u32::to_le_bytes).concat();
            assert!(self.bench.mem.write_bytes(0x1000 + 8 * n as u64, &entry));
        }
        self.put(0xC004, Width::Dword, 0x1000);
    }

    fn disk(&self) -> Vec<u8> {
        let mut bytes = vec![0; SECTORS as usize * SECTOR];
        self.bench.media[0].read(0, &mut bytes);
        bytes
    }
}

fn words(bytes: &[u8]) -> Vec<u16> {
    bytes.chunks(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]])).collect()
}

#[test]
fn nothing_is_decoded_until_enabled() {
    let mut pci = PciBus::default();
    pci.plug(PLACE, config_space());
    for port in [0x1F0, 0x3F6, 0x170, 0x376, 0x0000, 0xC000] {
        assert_eq!(Decoder::of(&pci).port(port), None);
    }
    pci.write_address(0x8000_0904);
    pci.write_data(0, Width::Dword, 1);
    assert_eq!(Decoder::of(&pci).port(0x1F0), None);
    pci.write_address(0x8000_0940);
    pci.write_data(0, Width::Word, 0x8000);
    assert_eq!(Decoder::of(&pci).port(0x1F7), Some(Port::Command(0, 7)));
    assert_eq!(Decoder::of(&pci).port(0x177), None);
}

#[test]
fn signatures_and_who_is_there() {
    let mut rig = Rig::new(1);
    let signature =
        |rig: &mut Rig| [0x1F1, 0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F7].map(|port| rig.inb(port));
    assert_eq!(signature(&mut rig), [1, 1, 1, 0, 0, 0xA0, READY]);
    assert_eq!(rig.inb(0x177), 0x7F, "no drive, not busy");
    rig.outb(0x1F6, 0xB0);
    assert_eq!(rig.inb(0x1F7), 0, "device 0 answers for an absent device 1");
    rig.outb(0x1F4, 0x55);
    rig.outb(0x3F6, 0x04);
    assert_eq!(rig.inb(0x3F6), BSY);
    rig.wait();
    assert_eq!(rig.inb(0x3F6), BSY, "as long as the reset bit is set");
    rig.outb(0x3F6, 0x00);
    rig.wait();
    assert_eq!(signature(&mut rig), [1, 1, 1, 0, 0, 0xA0, READY]);
    assert!(!rig.interrupted());
    rig.outb(0x1F7, 0x90);
    assert_eq!(rig.inb(0x1F7), BSY);
    rig.wait();
    assert!(rig.interrupted());
    assert_eq!(signature(&mut rig), [1, 1, 1, 0, 0, 0xA0, READY]);
}

#[test]
fn identify_describes_the_disk() {
    let mut rig = Rig::new(1);
    rig.command(0xC6, 8, 0, 0xA0);
    rig.wait();
    rig.command(0xEC, 0, 0, 0xA0);
    rig.wait();
    assert_eq!(rig.inb(0x3F6), READY | DRQ);
    let data = rig.read_block(512);
    assert_eq!(rig.inb(0x1F7), READY);
    let id = words(&data);
    assert_eq!((id[1], id[3], id[6]), (4, 16, 63));
    assert_eq!(u32::from(id[60]) | u32::from(id[61]) << 16, SECTORS as u32);
    assert_eq!((id[59], id[100], id[47]), (0x108, SECTORS as u16, 0x8010));
    assert_eq!(id[27].to_be_bytes(), *b"Ri");
    assert_eq!(data.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)), 0);
}

#[test]
fn pio_reads_by_sector_and_by_block() {
    let mut rig = Rig::new(1);
    // An interrupt for each sector.
    rig.command(0x20, 3, 70, 0xE0);
    for n in 70..73 {
        assert_eq!(rig.inb(0x3F6), BSY);
        rig.wait();
        assert!(rig.interrupted());
        assert_eq!(rig.inb(0x1F7), READY | DRQ);
        assert_eq!(rig.read_block(512), image(SECTORS)[n * 512..][..512]);
    }
    assert_eq!(rig.inb(0x1F7), READY);
    rig.wait();
    assert!(!rig.interrupted());
    // Blocks of four: two interrupts for six sectors.
    rig.command(0xC6, 4, 0, 0xE0);
    rig.wait();
    assert!(rig.interrupted());
    rig.command48(0x29, 6, 100);
    for (first, count) in [(100, 4), (104, 2)] {
        rig.wait();
        assert!(rig.interrupted());
        assert_eq!(rig.read_block(count * 512), image(SECTORS)[first * 512..][..count * 512]);
        rig.inb(0x1F7);
    }
    // Cylinder 1, head 2, sector 3.
    rig.command(0x20, 1, 0x00_0103, 0xA2);
    rig.wait();
    assert_eq!(words(&rig.read_block(512))[0], 16 * 63 + 2 * 63 + 2);
}

#[test]
fn pio_writes_reach_the_medium() {
    let mut rig = Rig::new(1);
    rig.command(0x30, 2, 9, 0xE0);
    assert_eq!(rig.inb(0x1F7), READY | DRQ, "the first sector is asked for at once");
    assert!(!rig.interrupted());
    for fill in [0xA1, 0xA2] {
        rig.write_block(&[fill; 512]);
        assert_eq!(rig.inb(0x3F6), BSY);
        rig.wait();
        assert!(rig.interrupted());
        assert_eq!(rig.inb(0x1F7) & !DRQ, READY);
    }
    let mut expected = image(SECTORS);
    expected[9 * 512..10 * 512].fill(0xA1);
    expected[10 * 512..11 * 512].fill(0xA2);
    assert_eq!(rig.disk(), expected);
    rig.command(0xE7, 0, 0, 0xE0);
    assert!(rig.bench.outputs.take_seen(), "the owner is asked before the flush ends");
    assert!(rig.bench.media[0].take_flush());
    assert_eq!(rig.bench.media[0].take_written().len(), 1);
    rig.wait();
    assert!(rig.interrupted());
}

#[test]
fn dma_follows_the_table() {
    let mut rig = Rig::new(1);
    rig.describe(&[(0x8000, 512), (0x9002, 1024)]);
    rig.command(0xC8, 3, 7, 0xE0);
    rig.wait();
    assert!(!rig.interrupted(), "the engine is not started");
    rig.outb(0xC000, 0x09);
    rig.wait();
    assert_eq!(rig.inb(0xC002), 0x04);
    assert!(rig.interrupted());
    assert_eq!(rig.inb(0x1F7), READY);
    assert_eq!(rig.memory(0x8000, 512), image(SECTORS)[7 * 512..8 * 512]);
    assert_eq!(rig.memory(0x9002, 1024), image(SECTORS)[8 * 512..10 * 512]);
    rig.outb(0xC000, 0);
    rig.outb(0xC002, 0x04);
    assert_eq!(rig.inb(0xC002), 0);
    // And back, one sector further; this time the engine is started first, and the table is longer than the data.
    rig.describe(&[(0x8000, 512), (0x9002, 0)]);
    rig.outb(0xC000, 0x01);
    rig.command48(0x35, 3, 8);
    rig.wait();
    assert_eq!(rig.inb(0xC002), 0x05, "still active");
    assert_eq!(rig.disk()[8 * 512..11 * 512], image(SECTORS)[7 * 512..10 * 512]);
}

#[test]
fn tables_that_lead_nowhere_leave_the_drive_waiting() {
    for (regions, status) in [(&[(0x8000u32, 512u16)][..], 0), (&[(0x4000_0000, 0)], 0x02)] {
        let mut rig = Rig::new(1);
        rig.describe(regions);
        rig.outb(0xC000, 0x09);
        rig.command(0xC8, 2, 0, 0xE0);
        rig.wait();
        assert_eq!((rig.inb(0xC002), rig.interrupted()), (status, false));
        assert_eq!(rig.inb(0x1F7), READY | DRQ);
        rig.outb(0x3F6, 4);
        rig.outb(0x3F6, 0);
        rig.wait();
        assert_eq!(rig.inb(0x1F7), READY);
    }
}

#[test]
fn errors() {
    let mut rig = Rig::new(1);
    let cases: [(u8, u8, u32, u8, u8); 8] = [
        (0x20, 1, SECTORS as u32, 0xE0, 0x10),
        (0xC8, 2, SECTORS as u32 - 1, 0xE0, 0x10),
        (0x40, 1, 0x0FFF_FFFF, 0xE0, 0x10),
        (0x20, 1, 0, 0xA0, 0x10),
        (0xC4, 1, 0, 0xE0, 0x04),
        (0xC6, 3, 0, 0xE0, 0x04),
        (0xA1, 0, 0, 0xE0, 0x04),
        (0xEF, 0x45, 0, 0xE0, 0x04),
    ];
    rig.outb(0xC000, 0x09);
    rig.outb(0x1F1, 0x03);
    for (opcode, count, lba, device, error) in cases {
        rig.command(opcode, count, lba, device);
        rig.wait();
        assert!(rig.interrupted(), "{opcode:#x}");
        assert_eq!((rig.inb(0x1F7), rig.inb(0x1F1)), (READY | ERR, error), "{opcode:#x}");
    }
}

#[test]
fn interrupts_can_be_turned_off_and_are_acknowledged_by_status() {
    let mut rig = Rig::new(1);
    rig.outb(0x3F6, 0x02);
    rig.command(0x10, 0, 0, 0xE0);
    rig.wait();
    assert!(!rig.interrupted());
    rig.outb(0x3F6, 0x00);
    assert!(rig.interrupted());
    rig.inb(0x1F7);
    rig.command(0x10, 0, 0, 0xE0);
    rig.wait();
    rig.inb(0x3F6);
    assert!(rig.bench.interrupts.intr());
    rig.inb(0x1F7);
    assert!(!rig.bench.interrupts.intr());
}

proptest! {
    /// Whatever a guest does to the ports, and whatever its tables say.
    #[test]
    fn any_traffic_is_survived(
        disks in 0usize..5, memory in prop::collection::vec(any::<u32>(), 64),
        ops in prop::collection::vec((any::<bool>(), 0u16..12, 0usize..3, any::<u32>(), 0u64..3000), 1..200),
    ) {
        let mut rig = Rig::new(disks);
        rig.bench.mem = PhysMem::new(Ram::zeroed(1 << 20));
        let bytes: Vec<u8> = memory.iter().flat_map(|word| (word & 0x800F_FFFF).to_le_bytes()).collect();
        rig.bench.mem.write_bytes(0x1000, &bytes);
        rig.put(0xC004, Width::Dword, 0x1000);
        const OPCODES: [u8; 12] = [0x20, 0x24, 0x30, 0x35, 0xC4, 0xC5, 0xC6, 0xC8, 0xCA, 0xEC, 0x90, 0xE7];
        for (write, port, width, value, wait) in ops {
            let width = [Width::Byte, Width::Word, Width::Dword][width];
            let value = if port == 7 { OPCODES[value as usize % OPCODES.len()].into() } else { value & 0x0101_0F7F };
            let port = [0x1F0, 0x1F1, 0x1F2, 0x1F3, 0x1F4, 0x1F5, 0x1F6, 0x1F7, 0x3F6, 0xC000, 0xC002, 0x1F0][usize::from(port)];
            if write { rig.put(port, width, value) } else { rig.get(port, width); }
            let until = rig.bench.now + wait;
            let Rig { bench, ide, pci } = &mut rig;
            bench.advance(until, |board, event| if let Event::Ide(n) = event { ide.on_event(board, pci, n) });
        }
    }
}
