//! Drivers that do anything at all. Whatever they write into registers and rings, the Host does not fail, does a bounded amount
//! of work at a time, and at worst kills the Guest; and a driver that starts over and behaves is served.

use super::tests::{RAM, Rig};
use super::*;
use crate::block::Disk;
use crate::death::Category;
use crate::device::Equipment;

/// Sectors of the disk: 64 KiB.
const SECTORS: u32 = 128;
/// What two buses may do in one turn, at most: a full turn of a queue and the one chain that goes over it.
const MOST_PRINTED: usize = 2 * (2 << 16);
/// As many frames: a queue's turn, on two buses.
const MOST_FRAMES: usize = 2 * 64;
const MOST_SECTORS: u32 = 2 * 2 * (4 << 20) / SECTOR as u32;

/// A generator of numbers (xorshift64*), the same in every run.
struct Random(u64);

impl Random {
    /// For each `seed` but 0 other numbers.
    fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }

    fn next(&mut self) -> u32 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 32) as u32
    }

    fn below(&mut self, n: u32) -> u32 {
        self.next() % n
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u32) as usize]
    }

    /// A number that means something somewhere, or any.
    fn number(&mut self) -> u32 {
        match self.below(4) {
            0 => self.of(&[0, 1, 2, 3, 4, 8, 11, 15, 64, 65, 0xFFFF, 0x8000_0000, u32::MAX]),
            1 => self.below(RAM / 16) * 16,
            2 => self.of(&[RAM - 1, RAM, RAM + BUS, RAM + (1 << 20), 0u32.wrapping_sub(16)]),
            _ => self.next(),
        }
    }
}

/// Console, disk, network card, entropy source.
const DEVICES: u32 = 4;
/// Bytes behind RAM that are the lguest bus's.
const BUS: u32 = crate::bus::BUS_PAGES * PAGE;
/// Offsets of registers that do something.
const REGISTERS: [u32; 18] = [
    0x00, 0x04, 0x08, 0x0C, 0x14, 0x16, 0x18, 0x1C, 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3A, 0x3C,
    0x44,
];

/// The registers of the device in slot `n`.
fn bar(n: u32) -> u32 {
    RAM + (1 << 20) + n * PAGE
}

/// What a driver does, right or wrong.
fn step(rig: &mut Rig, random: &mut Random) {
    let device = random.below(DEVICES);
    let width = random.of(&[1, 2, 4]);
    match random.below(14) {
        0 => {
            let port = 0xCF8 + random.below(8) as u16;
            let select = 0x8000_0000 | random.below(DEVICES + 2) << 11 | random.below(64) << 2;
            let value = if random.below(2) == 0 { select } else { random.number() };
            rig.guest.pci.port_out(port, value, width);
            rig.guest.pci.port_in(port, width);
        }
        1 => {
            let (offset, value) = (random.of(&REGISTERS), random.number());
            rig.guest.pci.write(bar(device) + offset, value, width);
        }
        2 => {
            rig.guest.pci.read(bar(device) + random.below(PAGE), width);
        }
        3 | 4 => set_up(rig, random, device),
        5..=11 => fill_ring(rig, random),
        12 => {
            rig.desk.typed.extend(core::iter::repeat_n(b'x', random.below(20) as usize));
            rig.desk.arrived.push(std::vec![7; 14 + random.below(1501) as usize]);
            rig.desk.entropy += random.below(300) as usize;
            let room = random.below(6000);
            rig.desk.room = (room < 3000).then_some(room);
        }
        _ => {
            let address =
                if random.below(2) == 0 { RAM + random.below(BUS / PAGE) * PAGE } else { random.number() };
            let _ = rig.guest.bus.notify(&rig.ram, address, &mut rig.desk);
        }
    }
    let queue = random.below(2);
    rig.guest.pci.write(bar(device) + 0x38, queue, 2);
}

/// A driver that gets everything right, but now and then the place of its rings.
fn set_up(rig: &mut Rig, random: &mut Random, device: u32) {
    let queue = random.below(2);
    let page = random.below(4) * PAGE;
    let used = random.of(&[0x800, 0x800, 0x400, 0x401, 0]);
    let size = random.of(&[64, 64, 32, 1]);
    rig.guest.pci.port_out(0xCF8, 0x8000_0000 | (device + 1) << 11 | 0x10, 4);
    rig.guest.pci.port_out(0xCFC, bar(device), 4);
    for (offset, value) in [(0x14, 0), (0x14, 3), (0x08, 1), (0x0C, 1), (0x14, 0xB)] {
        rig.guest.pci.write(bar(device) + offset, value, 4);
    }
    let available = if random.below(30) == 0 { random.number() } else { page + 0x400 };
    let enable =
        [(0x16, queue), (0x18, size), (0x20, page), (0x28, available), (0x30, page + used), (0x1C, 1)];
    for (offset, value) in enable {
        rig.guest.pci.write(bar(device) + offset, value, if offset < 0x20 { 2 } else { 4 });
    }
    rig.guest.pci.write(bar(device) + 0x14, 0xF, 1);
}

/// Descriptors and an available ring in one of the pages where queues are, each number right more often than not.
fn fill_ring(rig: &mut Rig, random: &mut Random) {
    let page = random.of(&[
        0,
        PAGE,
        2 * PAGE,
        3 * PAGE,
        RAM + PAGE,
        RAM + 3 * PAGE,
        RAM + 5 * PAGE,
        RAM + 7 * PAGE,
        RAM + 9 * PAGE,
    ]);
    let put = |at: u32, value: u32, bytes: u32| match bytes {
        2 => rig.ram.write(page + at, value as u16).unwrap(),
        _ => rig.ram.write(page + at, value).unwrap(),
    };
    for n in 0..8 {
        let data = 4 * PAGE + random.below(16) * PAGE;
        put(16 * n, if random.below(8) == 0 { random.number() } else { data }, 4);
        put(16 * n + 4, if random.below(16) == 0 { random.number() } else { 0 }, 4);
        let length = random.of(&[0, 1, 16, 512, 1024, PAGE, 8 * PAGE]);
        put(16 * n + 8, if random.below(16) == 0 { random.number() } else { length }, 4);
        put(16 * n + 12, random.of(&[0, 1, 1, 2, 3, 3]), 2);
        put(16 * n + 14, if random.below(16) == 0 { random.next() } else { random.below(8) }, 2);
        let (kind, sector) = (random.of(&[0, 0, 1, 4, 8, 99]), random.below(SECTORS + 2));
        let _ = rig.ram.write(data, [kind, 0, sector, 0]);
    }
    let request = random.below(2) == 0;
    if request {
        // A request to the disk as it should be: header, data, answer.
        let (data, length) = (4 * PAGE + random.below(16) * PAGE, 512 * random.below(9));
        let direction = random.of(&[1, 3]);
        for (n, [address, length, flags]) in
            (0..).zip([[page + 0xC00, 16, 1], [data, length, direction], [page + 0xC10, 1, 2]])
        {
            rig.ram.write(page + 16 * n, [address, 0, length, flags | (n + 1) << 16]).unwrap();
        }
        let kind = if direction == 1 { 1 } else { random.of(&[0, 0, 0, 4, 8]) };
        rig.ram.write(page + 0xC00, [kind, 0, random.below(SECTORS + 2), 0]).unwrap();
    }
    for n in 0..64 {
        let honest = if request { 0 } else { random.below(8) };
        let head = if random.below(256) == 0 { random.next() } else { honest };
        rig.ram.write(page + 0x404 + 2 * n, head as u16).unwrap();
    }
    let index: u16 = rig.ram.read(page + 0x402).unwrap();
    rig.ram.write(page + 0x402, index.wrapping_add(random.of(&[0, 1, 1, 3, 8, 64, 65]))).unwrap();
}

/// A Guest with a device of each kind on both buses.
fn rig() -> Rig {
    let mut rig = Rig::new();
    let disks = [Disk { number: 0, sectors: SECTORS, read_only: false }];
    let equipment = Equipment { disks: &disks, mac: Some([2, 0, 0, 0, 0, 1]), entropy: true };
    rig.guest.bus = Bus::new(&rig.ram, RAM, equipment).unwrap();
    rig.guest.pci = Pci::new(RAM, equipment);
    rig
}

/// One turn of all devices: what it came to.
fn turn(rig: &mut Rig) -> Outcome<u32> {
    (rig.desk.printed, rig.desk.sectors, rig.desk.sent) = Default::default();
    let bus = rig.guest.bus.serve(&rig.ram, &mut rig.desk)?;
    Ok(bus | rig.guest.pci.serve(&rig.ram, &mut rig.desk)?)
}

#[test]
fn a_turn_is_bounded_and_ends_well_or_with_a_death() {
    let (mut printed, mut sectors, mut interrupts, mut deaths, mut sent, mut received) = (0, 0, 0, 0, 0, 0);
    for seed in 1..=3000 {
        let mut random = Random::new(seed);
        let mut rig = rig();
        for _ in 0..300 {
            step(&mut rig, &mut random);
            let waiting = rig.desk.arrived.len();
            let outcome = turn(&mut rig);
            received += waiting - rig.desk.arrived.len();
            sent += rig.desk.sent.len();
            assert!(rig.desk.sent.len() <= MOST_FRAMES, "{} frames, seed {seed}", rig.desk.sent.len());
            assert!(rig.desk.sent.iter().all(|frame| (14..=1514).contains(&frame.len())), "seed {seed}");
            assert!(rig.desk.printed.len() <= MOST_PRINTED, "{} bytes, seed {seed}", rig.desk.printed.len());
            assert!(rig.desk.sectors <= MOST_SECTORS, "{} sectors, seed {seed}", rig.desk.sectors);
            printed += rig.desk.printed.len();
            sectors += rig.desk.sectors;
            match outcome {
                Ok(irqs) => interrupts += u32::from(irqs != 0),
                Err(Death::Killed(Category::BadRead | Category::BadWrite, _)) => {
                    deaths += 1;
                    break;
                }
                Err(other) => panic!("{other:?}, seed {seed}"),
            }
        }
    }
    // Or it would prove nothing.
    assert!(printed > 1_000_000 && sectors > 10_000, "{printed} bytes, {sectors} sectors");
    assert!(sent > 200 && received > 1000, "{sent} frames sent, {received} received");
    assert!(interrupts > 1000 && deaths > 10, "{interrupts} interrupts, {deaths} deaths");
}

#[test]
fn a_driver_that_starts_over_is_served() {
    for seed in 1..=50 {
        let mut random = Random::new(seed);
        let mut rig = rig();
        for _ in 0..100 {
            step(&mut rig, &mut random);
            if turn(&mut rig).is_err() {
                break;
            }
        }
        (rig.desk.typed, rig.desk.arrived, rig.desk.room) = Default::default();
        // The console's output queue, made anew: one chain of one byte.
        rig.guest.pci.port_out(0xCF8, 0x8000_0810, 4);
        rig.guest.pci.port_out(0xCFC, bar(0), 4);
        rig.guest.pci.port_out(0xCF8, 0x8000_1010, 4);
        rig.guest.pci.port_out(0xCFC, bar(1), 4);
        for device in 0..DEVICES {
            rig.guest.pci.write(bar(device) + 0x14, 0, 1);
        }
        rig.ram.write(0, [0u8; PAGE as usize]).unwrap();
        rig.ram.write(PAGE, *b"!").unwrap();
        for (offset, value, bytes) in [
            (0x08, 1, 4),
            (0x0C, 1, 4),
            (0x14, 0xB, 1),
            (0x16, 1, 2),
            (0x28, 0x400, 4),
            (0x30, 0x800, 4),
            (0x1C, 1, 2),
            (0x14, 0xF, 1),
        ] {
            rig.guest.pci.write(bar(0) + offset, value, bytes);
        }
        rig.ram.write(0, [PAGE, 0, 1, 0]).unwrap();
        rig.ram.write(0x402, 1u16).unwrap();
        rig.guest.pci.write(bar(0) + 0x38, 1, 2);
        rig.desk.printed.clear();
        let outcome = rig.guest.pci.serve(&rig.ram, &mut rig.desk);
        assert_eq!((outcome, rig.desk.printed.as_slice()), (Ok(1 << 1), &b"!"[..]), "seed {seed}");
        assert_eq!(rig.ram.read::<u16>(0x802), Ok(1), "seed {seed}");
    }
}
