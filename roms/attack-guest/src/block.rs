//! Requests to a disk that are not whole, not allowed, or without end.

use crate::Verdict;
use crate::target::expect;
use guest_kit::memory::allocate_frame;
use guest_kit::pci::Device;
use guest_kit::virtio::{self, Queue, SIZE, kind, negotiate, ready, register};
use guest_kit::virtqueue::WRITE;

const READ_SECTORS: u32 = 0;
const WRITE_SECTORS: u32 = 1;
const FLUSH: u32 = 4;
const SECTOR: u32 = 512;

/// Answers.
const OK: u8 = 0;
const ERROR: u8 = 1;
const UNSUPPORTED: u8 = 2;
/// Memory of the Guest that it has no use for, more than a MiB.
const UNUSED: u32 = 0x0080_0000;

/// What no device answers.
const NOTHING: u8 = 0xee;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("block-range", range),
    ("block-partial", partial),
    ("block-limit", limit),
    ("block-read-only", read_only),
    ("block-unknown", unknown),
    ("block-header", header),
    ("block-no-status", no_status),
    ("block-pieces", pieces),
    ("block-endless", endless),
    ("block-flood", || {
        let mut disk = Driver::new()?;
        disk.header(READ_SECTORS, 0);
        let data = (UNUSED, 1 << 20, WRITE);
        disk.queue.describe_chain(&[(disk.page, 16, 0), data, data, data, data, (disk.status(), 1, WRITE)]);
        loop {
            disk.queue.offer(0, SIZE);
        }
    }),
];

/// A disk with its driver, and a page for header and status.
struct Driver {
    queue: Queue,
    page: u32,
    data: u32,
}

impl Driver {
    fn new() -> Result<Self, &'static str> {
        let device = Device::find(kind::BLOCK).ok_or("no disk")?;
        let queue = Queue::of_ready_device(device, 0);
        Ok(Self { queue, page: allocate_frame(), data: allocate_frame() })
    }

    /// Where the device writes its answer.
    fn status(&self) -> u32 {
        self.page + 16
    }

    /// Puts a header into the page.
    fn header(&self, request: u32, sector: u64) {
        virtio::write(self.page, [request, 0, sector as u32, (sector >> 32) as u32]);
        virtio::write(self.status(), NOTHING);
    }

    /// A request with these bytes of data, all at the same place. What the device answered.
    fn request(&mut self, request: u32, sector: u64, data: &[u32]) -> u8 {
        let direction = if request == WRITE_SECTORS { 0 } else { WRITE };
        self.header(request, sector);
        let mut chain = [(0, 0, 0); SIZE as usize];
        chain[0] = (self.page, 16, 0);
        for (buffer, &length) in chain[1..].iter_mut().zip(data) {
            *buffer = (self.data, length, direction);
        }
        chain[1 + data.len()] = (self.status(), 1, WRITE);
        self.queue.submit(&chain[..data.len() + 2]);
        virtio::read(self.status())
    }
}

/// Sectors that the disk does not have, with numbers that look like others when cut to 32 bits.
fn range() -> Verdict {
    let mut disk = Driver::new()?;
    let sectors = u64::from(disk.queue.device.read::<u32>(0x3c));
    expect(disk.request(READ_SECTORS, sectors - 1, &[SECTOR]) == OK, "the last sector cannot be read")?;
    for sector in [sectors, sectors - 1, u64::MAX, 1 << 32, 1 << 55, (1 << 55) - 1] {
        let data = if sector < sectors { 2 * SECTOR } else { SECTOR };
        for request in [READ_SECTORS, WRITE_SECTORS] {
            expect(disk.request(request, sector, &[data]) == ERROR, "a sector behind the disk's end")?;
        }
    }
    Ok(())
}

fn partial() -> Verdict {
    let mut disk = Driver::new()?;
    [1, SECTOR - 1, SECTOR + 1].into_iter().try_for_each(|length| {
        expect(disk.request(READ_SECTORS, 0, &[length]) == ERROR, "half a sector was read")
    })
}

/// Five MiB in one request, into one and the same place.
fn limit() -> Verdict {
    let mut disk = Driver::new()?;
    disk.data = UNUSED;
    expect(disk.request(READ_SECTORS, 0, &[1 << 20; 3]) == OK, "three MiB are too many")?;
    expect(disk.request(READ_SECTORS, 0, &[1 << 20; 5]) == ERROR, "five MiB in one go")
}

fn read_only() -> Verdict {
    let mut disk = Driver::new()?;
    virtio::write(disk.data, 0x0bad_5eed_u32);
    let answer = disk.request(WRITE_SECTORS, 0, &[SECTOR]);
    disk.request(READ_SECTORS, 0, &[SECTOR]);
    expect(answer == ERROR && virtio::read::<u32>(disk.data) == 0, "a read-only disk was written")
}

fn unknown() -> Verdict {
    let mut disk = Driver::new()?;
    for request in [2, 3, 5, 0x4000_0000, 0x8000_0005, u32::MAX] {
        expect(disk.request(request, 0, &[SECTOR]) == UNSUPPORTED, "a request nobody knows")?;
    }
    expect(disk.request(FLUSH, u64::MAX, &[]) == OK, "a flush is refused")
}

/// A header cut short.
fn header() -> Verdict {
    let mut disk = Driver::new()?;
    for length in [0, 1, 15] {
        disk.header(READ_SECTORS, 0);
        let (header, status) = ((disk.page, length, 0), (disk.status(), 1, WRITE));
        disk.queue.submit(&[header, (disk.data, SECTOR, WRITE), status]);
        expect(virtio::read::<u8>(disk.status()) == ERROR, "a header cut short")?;
    }
    Ok(())
}

/// Nowhere to put the answer.
fn no_status() -> Verdict {
    let mut disk = Driver::new()?;
    disk.header(READ_SECTORS, 0);
    let header = (disk.page, 16, 0);
    for chain in [&[header][..], &[header, (disk.data, 0, WRITE)], &[(disk.page, 0, 0)]] {
        expect(disk.queue.submit(chain) == Some(0), "bytes were written where there is no room")?;
    }
    expect(disk.request(READ_SECTORS, 0, &[SECTOR]) == OK, "the disk does not work any more")
}

/// A request in as many pieces as a queue has room for.
fn pieces() -> Verdict {
    let mut disk = Driver::new()?;
    let pattern = |n: u32| 0x1234_5678_u32.rotate_left(n);
    for word in 0..SECTOR / 4 {
        virtio::write(disk.data + 4 * word, pattern(word));
    }
    expect(disk.request(WRITE_SECTORS, 7, &[SECTOR]) == OK, "a sector cannot be written")?;
    disk.header(READ_SECTORS, 7);
    let into = allocate_frame();
    let mut chain = [(0, 0, 0); SIZE as usize];
    for (at, buffer) in (0..).zip(&mut chain[..16]) {
        *buffer = (disk.page + at, 1, 0);
    }
    // 46 pieces of 11 bytes, one of 6, the answer.
    for (n, buffer) in (0..).zip(&mut chain[16..63]) {
        *buffer = (into + 11 * n, if n == 46 { 6 } else { 11 }, WRITE);
    }
    chain[63] = (disk.status(), 1, WRITE);
    expect(disk.queue.submit(&chain) == Some(SECTOR + 1), "not a whole sector")?;
    let whole = (0..SECTOR / 4).all(|word| virtio::read::<u32>(into + 4 * word) == pattern(word));
    expect(whole && virtio::read::<u8>(disk.status()) == OK, "the pieces do not fit")
}

/// A disk full of available rings: reading one offers the next, for ever, if the Host lets it. The last chain of each
/// ring reads the following sector over ring and header; the others do nothing.
fn endless() -> Verdict {
    const SECTORS: u32 = 1024;
    const HEADER: u32 = 144;
    const IDLE: u16 = 8;
    let mut disk = Driver::new()?;
    let ring = disk.data;
    let fill = |n: u32| {
        virtio::write(ring, [1, (u32::from(SIZE) * (n + 2)) as u16]);
        for slot in 0..SIZE {
            virtio::write(ring + 4 + 2 * u32::from(slot), if slot + 1 == SIZE { 0 } else { IDLE });
        }
        virtio::write(ring + HEADER, [READ_SECTORS, 0, (n + 1) % SECTORS, 0]);
    };
    for n in 0..SECTORS {
        fill(n);
        expect(disk.request(WRITE_SECTORS, u64::from(n), &[SECTOR]) == OK, "a sector cannot be written")?;
    }
    let device = disk.queue.device;
    let queue = Queue::new(device, 0);
    negotiate(device, [0, 1]);
    let [descriptors, _, used] = queue.places();
    queue.enable(SIZE, [descriptors, ring, used]);
    ready(device);
    queue.describe_chain(&[(ring + HEADER, 16, 0), (ring, SECTOR, WRITE), (disk.status(), 1, WRITE)]);
    queue.describe(IDLE, guest_kit::virtqueue::Descriptor { address: 0, length: 0, flags: 0, next: 0 });
    fill(SECTORS - 1);
    queue.notify();
    // Still here. Each way into the Host may do a ring's worth of it, and no more.
    expect(queue.used() != 0, "it did not even begin")?;
    device.write(register::STATUS, 0u8);
    let after = queue.used();
    guest_kit::hypercall::flush_async();
    expect(queue.used() == after, "it goes on after a reset")
}
