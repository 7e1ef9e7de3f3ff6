//! A driver by hand: registers through the decoded range, rings in memory.

use super::super::bench::Bench;
use super::rng::Rng;
use super::*;
use proptest::prelude::*;

const BASE: u64 = 0xFEB0_0000;

struct Rig {
    bench: Bench,
    pci: PciBus,
    virtio: Virtio,
}

impl Rig {
    /// A machine with both devices, their registers at [`BASE`] and the 16 KiB after that.
    fn new() -> Rig {
        let mut rig = Rig { bench: Bench::default(), pci: PciBus::default(), virtio: Virtio::default() };
        rig.virtio.plug_net(&mut rig.pci);
        rig.virtio.plug_rng(&mut rig.pci, 1);
        for (n, slot) in [(0u32, NET_SLOT), (1, RNG_SLOT)] {
            for (register, value) in [(BAR as u32, BASE as u32 + n * BAR_SIZE), (4, 0x0006)] {
                rig.pci.write_address(0x8000_0000 | u32::from(slot) << 11 | register);
                rig.pci.write_data(0, Width::Dword, value);
            }
        }
        rig
    }

    fn read(&mut self, addr: u64, width: Width) -> u32 {
        let place = self.virtio.decode(&self.pci, BASE + addr).unwrap();
        self.virtio.read(&mut self.bench.board(), place, width)
    }

    fn write(&mut self, addr: u64, width: Width, value: u32) {
        let place = self.virtio.decode(&self.pci, BASE + addr).unwrap();
        self.virtio.write(&mut self.bench.board(), &self.pci, place, width, value);
    }

    /// Up to DRIVER_OK, queue n with its areas at 0x1000 (3 n + 1) and on.
    fn start(&mut self, device: u64, queues: u64, features: u32) {
        let at = device * u64::from(BAR_SIZE);
        self.write(at + 0x14, Width::Byte, 3);
        for (select, value) in [(0, features), (1, 1)] {
            self.write(at + 0x08, Width::Dword, select);
            self.write(at + 0x0C, Width::Dword, value);
        }
        self.write(at + 0x14, Width::Byte, 0xB);
        assert_eq!(self.read(at + 0x14, Width::Byte), 0xB);
        for queue in 0..queues {
            self.write(at + 0x16, Width::Word, queue as u32);
            self.write(at + 0x18, Width::Word, 8);
            for n in 0..3 {
                self.write(at + 0x20 + 8 * n, Width::Dword, (0x1000 * (3 * queue + n + 1)) as u32);
            }
            self.write(at + 0x1C, Width::Word, 1);
        }
        self.write(at + 0x14, Width::Byte, 0xF);
    }

    /// Offer one buffer on queue `queue`, as its `n`th.
    fn offer(&mut self, queue: u64, n: u16, buffer: (u64, u32, bool)) {
        let (addr, len, writable) = buffer;
        let at = 0x1000 * (3 * queue + 1) + 16 * u64::from(n);
        let mem = &mut self.bench.mem;
        mem.write_bytes(at, &addr.to_le_bytes());
        mem.write_bytes(at + 8, &len.to_le_bytes());
        mem.write_bytes(at + 12, &[if writable { 2 } else { 0 }, 0, 0, 0]);
        let ring = 0x1000 * (3 * queue + 2);
        mem.write_bytes(ring + 4 + 2 * u64::from(n), &n.to_le_bytes());
        mem.write_bytes(ring + 2, &(n + 1).to_le_bytes());
    }
}

#[test]
fn identity_and_capabilities_lead_to_the_registers() {
    let rig = Rig::new();
    for (slot, id) in [(NET_SLOT, 0x1041_1AF4), (RNG_SLOT, 0x1044_1AF4)] {
        let space = rig.pci.function(devfn(slot, 0)).unwrap();
        assert_eq!(space.read(0, Width::Dword), id);
        let (mut at, mut kinds) = (space.read(0x34, Width::Byte) as usize, Vec::new());
        while at != 0 {
            assert_eq!((space.read(at, Width::Byte), space.read(at + 4, Width::Byte)), (9, 4));
            kinds.push((space.read(at + 3, Width::Byte), space.read(at + 8, Width::Dword)));
            at = space.read(at + 1, Width::Byte) as usize;
        }
        assert_eq!(kinds, [(1, COMMON), (3, ISR), (4, DEVICE), (2, NOTIFY)]);
    }
    assert_eq!(rig.virtio.decode(&rig.pci, BASE - 1), None);
    assert_eq!(rig.virtio.decode(&rig.pci, BASE + u64::from(2 * BAR_SIZE)), None);
}

#[test]
fn entropy_fills_the_buffer_and_interrupts() {
    let mut rig = Rig::new();
    rig.start(1, 1, 0);
    rig.offer(0, 0, (0x8000, 16, true));
    let at = u64::from(BAR_SIZE);
    rig.write(at + 0x3000, Width::Word, 0);
    assert_eq!(rig.bench.mem.slice(0x8000, 16).unwrap(), Rng::new(1).bytes(16));
    assert_eq!((rig.read(at + 0x1000, Width::Byte), rig.read(at + 0x1000, Width::Byte)), (1, 0));
}

#[test]
fn a_frame_goes_to_the_gateway_and_its_answer_comes_back() {
    let mut rig = Rig::new();
    rig.start(0, 2, 1 << 5);
    assert_eq!(rig.read(0x2000, Width::Dword), 0x1200_5452);
    rig.offer(0, 0, (0x8000, 2048, true));
    // Who has 10.0.2.2? Tell 10.0.2.15.
    let mut packet = vec![0; NET_HEADER];
    packet.extend([[0xFF; 6], GUEST_MAC].concat());
    packet.extend([8, 6, 0, 1, 8, 0, 6, 4, 0, 1]);
    packet.extend([&GUEST_MAC[..], &[10, 0, 2, 15], &[0; 6], &[10, 0, 2, 2]].concat());
    rig.bench.mem.write_bytes(0x9000, &packet);
    rig.offer(1, 0, (0x9000, packet.len() as u32, false));
    rig.write(0x3004, Width::Word, 1);
    let reply = rig.bench.mem.slice(0x8000, NET_HEADER + 42).unwrap();
    assert_eq!(&reply[NET_HEADER..NET_HEADER + 6], GUEST_MAC);
    assert_eq!(&reply[NET_HEADER + 20..NET_HEADER + 22], [0, 2]);
    assert_eq!(rig.read(0x1000, Width::Byte), 1);
}

#[test]
fn features_nobody_offered_are_refused() {
    let mut rig = Rig::new();
    for features in [1 << 6, 0x8000_0000] {
        rig.write(0x08, Width::Dword, 0);
        rig.write(0x0C, Width::Dword, features);
        rig.write(0x08, Width::Dword, 1);
        rig.write(0x0C, Width::Dword, 1);
        rig.write(0x14, Width::Byte, 0xB);
        assert_eq!(rig.read(0x14, Width::Byte), 3);
    }
}

proptest! {
    /// A driver that writes anything anywhere harms nobody.
    #[test]
    fn any_driver_is_survived(
        accesses in prop::collection::vec((0u64..0x8000, 0u32..3, prop_oneof![0u32..16, any::<u32>()]), 0..200),
        memory in prop::collection::vec(any::<u8>(), 0x1000),
    ) {
        let mut rig = Rig::new();
        rig.start(0, 2, 0);
        rig.start(1, 1, 0);
        for n in 1..8 {
            rig.bench.mem.write_bytes(0x1000 * n, &memory);
        }
        for (addr, width, value) in accesses {
            let width = [Width::Byte, Width::Word, Width::Dword][width as usize];
            rig.write(addr, width, value);
            rig.read(addr, width);
        }
    }
}
