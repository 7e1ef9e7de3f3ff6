//! A driver by hand: registers through the decoded range, rings in memory.

use super::super::bench::Bench;
use super::kind::NET_HEADER;
use super::rng::Rng;
use super::*;
use crate::net::GUEST_MAC;
use crate::outputs::OutputPort;
use proptest::prelude::*;

const BASE: u64 = 0xFEB0_0000;

struct Rig {
    bench: Bench,
    pci: PciBus,
    virtio: Virtio,
}

impl Rig {
    /// A machine with all devices, the registers of each 16 KiB further from [`BASE`] on; the serial one has two ports.
    fn new() -> Rig {
        let mut rig = Rig { bench: Bench::default(), pci: PciBus::default(), virtio: Virtio::default() };
        rig.virtio.plug_net(&mut rig.pci);
        rig.virtio.plug_rng(&mut rig.pci, 1);
        rig.virtio.plug_serial(&mut rig.pci, 2);
        for (n, slot) in [(0u32, NET_SLOT), (1, RNG_SLOT), (2, SERIAL_SLOT)] {
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

/// The serial device by its driver.
impl Rig {
    /// Up to DRIVER_OK, with `n` buffers for messages at 0x40000 and on, 32 bytes apart.
    fn start_serial(&mut self, n: u16) {
        self.start(2, 6, 3);
        for n in 0..n {
            self.offer(2, n, (0x4_0000 + 32 * u64::from(n), 32, true));
        }
    }

    fn notify_serial(&mut self, queue: u64) {
        self.write(u64::from(2 * BAR_SIZE) + u64::from(NOTIFY) + 4 * queue, Width::Word, queue as u32);
    }

    /// Say `bytes` on `queue`, as its `n`th chain.
    fn say(&mut self, queue: u64, n: u16, bytes: &[u8]) {
        self.bench.mem.write_bytes(0x5_0000, bytes);
        self.offer(queue, n % 8, (0x5_0000, bytes.len() as u32, false));
        let ring = 0x1000 * (3 * queue + 2);
        self.bench.mem.write_bytes(ring + 2, &(n + 1).to_le_bytes());
        self.notify_serial(queue);
    }

    fn tell(&mut self, n: u16, port: u32, event: u16, value: u16) {
        self.say(3, n, &message(port, event, value, &[]));
    }

    /// What the driver has been told, the lengths from the used ring.
    fn told(&self) -> Vec<Vec<u8>> {
        let mem = &self.bench.mem;
        let used = mem.slice(0x9000, 2 + 2 + 8 * 8).unwrap();
        let count = usize::from(used[2]);
        let len = |n: usize| usize::from(used[4 + 8 * n + 4]);
        (0..count).map(|n| mem.slice(0x4_0000 + 32 * n as u64, len(n)).unwrap().to_vec()).collect()
    }

    fn type_at(&mut self, port: u8, bytes: &[u8]) {
        self.virtio.type_at(&mut self.bench.board(), &self.pci, port, bytes);
    }
}

fn message(port: u32, event: u16, value: u16, rest: &[u8]) -> Vec<u8> {
    [&port.to_le_bytes()[..], &event.to_le_bytes(), &value.to_le_bytes(), rest].concat()
}

#[test]
fn ports_are_told_of_and_opened() {
    let mut rig = Rig::new();
    rig.start_serial(6);
    assert_eq!(rig.read(u64::from(2 * BAR_SIZE + DEVICE) + 4, Width::Dword), 2);
    rig.tell(0, 0, 0, 1);
    let mut told = vec![message(0, 1, 1, &[]), message(1, 1, 1, &[])];
    assert_eq!(rig.told(), told);
    rig.tell(1, 1, 3, 1);
    told.extend([message(1, 4, 1, &[]), message(1, 6, 1, &[])]);
    assert_eq!(rig.told(), told);
    for port in [0, 1, 2] {
        // Of these, one is not ready and one is not there.
        let size = TerminalSize { columns: 80, rows: 25 };
        rig.virtio.resize(&mut rig.bench.board(), &rig.pci, port, size);
    }
    told.push(message(1, 5, 1, &[80, 0, 25, 0]));
    assert_eq!(rig.told(), told);
    assert_eq!(rig.read(u64::from(2 * BAR_SIZE + ISR), Width::Byte), 1);
}

#[test]
fn each_port_has_its_own_bytes() {
    let mut rig = Rig::new();
    rig.start_serial(0);
    rig.offer(0, 0, (0x6_0000, 4, true));
    rig.offer(4, 0, (0x7_0000, 4, true));
    rig.type_at(1, b"abcdef");
    rig.type_at(2, b"nobody");
    let untouched = [0; 4];
    assert_eq!(rig.bench.mem.slice(0x7_0000, 4), Some(&untouched[..]), "the driver has not opened it");
    rig.tell(0, 1, 6, 1);
    assert_eq!(rig.bench.mem.slice(0x7_0000, 4), Some(&b"abcd"[..]));
    rig.offer(4, 1, (0x7_0010, 4, true));
    rig.notify_serial(4);
    assert_eq!(rig.bench.mem.slice(0x7_0010, 4), Some(&b"ef\0\0"[..]));
    assert_eq!(rig.bench.mem.slice(0x6_0000, 4), Some(&untouched[..]));
    rig.say(1, 0, b"zero");
    rig.say(5, 0, b"one");
    rig.say(5, 1, b"one");
    let outputs = &mut rig.bench.outputs;
    assert_eq!(outputs.take(OutputPort::Serial(0)), b"zero");
    assert_eq!(outputs.take(OutputPort::Serial(1)), b"oneone");
    // A driver that begins anew gets what is still there when it opens the port.
    rig.type_at(1, b"gh");
    rig.write(u64::from(2 * BAR_SIZE) + 0x14, Width::Byte, 0);
    rig.bench.mem.write_bytes(0x1000, &[0; 0x1_2000]);
    rig.start_serial(0);
    rig.offer(4, 0, (0x7_0020, 4, true));
    rig.tell(0, 1, 6, 1);
    assert_eq!(rig.bench.mem.slice(0x7_0020, 4), Some(&b"gh\0\0"[..]));
}

/// However often the driver asks, and whatever it calls a port: nothing piles up, and a chain says no more than its share.
#[test]
fn a_driver_that_never_listens_costs_nothing() {
    let mut rig = Rig::new();
    rig.start_serial(0);
    let size = |rig: &Rig| postcard::to_stdvec(&rig.virtio).unwrap().len();
    let before = size(&rig);
    for n in 0..1000 {
        rig.tell(4 * n, 0, 0, 1);
        rig.tell(4 * n + 1, u32::from(n % 3), 3, 1);
        rig.tell(4 * n + 2, u32::MAX, n, n);
        rig.say(3, 4 * n + 3, b"short");
    }
    assert!(size(&rig) <= before + 16);
    assert_eq!(rig.told(), Vec::<Vec<u8>>::new());
    rig.offer(5, 0, (0x6_0000, 0x8_0000, false));
    rig.notify_serial(5);
    assert_eq!(rig.bench.outputs.take(OutputPort::Serial(1)).len(), 1 << 16);
}

#[test]
fn identity_and_capabilities_lead_to_the_registers() {
    let rig = Rig::new();
    for (slot, id) in [(NET_SLOT, 0x1041_1AF4), (RNG_SLOT, 0x1044_1AF4), (SERIAL_SLOT, 0x1043_1AF4)] {
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
    assert_eq!(rig.virtio.decode(&rig.pci, BASE + u64::from(3 * BAR_SIZE)), None);
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
        accesses in prop::collection::vec((0u64..0xC000, 0u32..3, prop_oneof![0u32..16, any::<u32>()]), 0..200),
        memory in prop::collection::vec(any::<u8>(), 0x1000),
    ) {
        let mut rig = Rig::new();
        rig.start(0, 2, 0);
        rig.start(1, 1, 0);
        rig.start(2, 6, 3);
        rig.type_at(0, &memory);
        rig.type_at(1, &memory);
        for n in 1..20 {
            rig.bench.mem.write_bytes(0x1000 * n, &memory);
        }
        for (addr, width, value) in accesses {
            let width = [Width::Byte, Width::Word, Width::Dword][width as usize];
            rig.write(addr, width, value);
            rig.read(addr, width);
        }
    }
}
