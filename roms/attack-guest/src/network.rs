//! Frames that are none, are somebody else's, or have no room; and entropy nobody should get.

use crate::Verdict;
use crate::target::{OUTSIDE, expect};
use guest_kit::hypercall::flush_async;
use guest_kit::memory::allocate_frame;
use guest_kit::pci::Device;
use guest_kit::virtio::{self, Queue, SIZE, kind, negotiate, ready, register};
use guest_kit::virtqueue::WRITE;

/// Bytes before each frame.
const HEADER: u32 = 12;
/// Bytes of the longest frame.
const LONGEST: u32 = 1514;
const PAGE: u32 = 4096;
/// Calls in which an answer comes, wherever the Host runs.
const PATIENCE: u32 = 100_000;

/// Who is there on every network of a machine: the gateway, and the server of names.
const GATEWAY: [u8; 4] = [10, 0, 2, 2];
const NAMES: [u8; 4] = [10, 0, 2, 3];
const OWN: [u8; 4] = [10, 0, 2, 15];

/// What no device writes.
const NOTHING: u8 = 0xee;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("net-answers", || Card::new()?.works()),
    ("net-not-own", not_own),
    ("net-lengths", lengths),
    ("net-no-room", no_room),
    ("net-rings-outside", || {
        let mut card = Card::new()?;
        let [_, available, used] = card.transmit.places();
        negotiate(card.transmit.device, [0, 1]);
        card.transmit.enable(SIZE, [OUTSIDE, available, used]);
        ready(card.transmit.device);
        card.transmit.offer(0, 1);
        flush_async();
        Ok(())
    }),
    ("net-flood", || {
        let mut card = Card::new()?;
        let frame = card.question(card.mac, GATEWAY);
        card.transmit.describe_chain(&[(frame, HEADER + LONGEST, 0)]);
        loop {
            card.transmit.offer(0, SIZE);
        }
    }),
    ("entropy-fills", entropy_fills),
    ("entropy-no-room", entropy_no_room),
    ("entropy-flood", || {
        let mut queue = entropy()?;
        queue.describe_chain(&[(allocate_frame(), PAGE, WRITE)]);
        loop {
            queue.offer(0, SIZE);
        }
    }),
];

/// A network card with its driver.
struct Card {
    receive: Queue,
    transmit: Queue,
    mac: [u8; 6],
    page: u32,
}

impl Card {
    fn new() -> Result<Self, &'static str> {
        let device = Device::find(kind::NET).ok_or("no network card")?;
        let mac = [0, 1, 2, 3, 4, 5].map(|n| device.read::<u8>(register::DEVICE + n));
        let (receive, transmit) = (Queue::new(device, 0), Queue::new(device, 1));
        negotiate(device, [0, 1]);
        for queue in [receive, transmit] {
            expect(queue.enable(SIZE, queue.places()), "a queue is refused")?;
        }
        ready(device);
        receive.notify();
        Ok(Self { receive, transmit, mac, page: allocate_frame() })
    }

    /// A page with a frame behind room for its header: `sender` asks everybody who has `address` (ARP).
    fn question(&self, sender: [u8; 6], address: [u8; 4]) -> u32 {
        let mut bytes = [0; (HEADER + 42) as usize];
        let mut rest = &mut bytes[HEADER as usize..];
        for piece in
            [&[0xff; 6][..], &sender, &[8, 6, 0, 1, 8, 0, 6, 4, 0, 1], &self.mac, &OWN, &[0; 6], &address]
        {
            let (here, more) = rest.split_at_mut(piece.len());
            here.copy_from_slice(piece);
            rest = more;
        }
        virtio::write(self.page, bytes);
        self.page
    }

    /// Sends `len` bytes at `frame`, header included.
    fn send(&mut self, frame: u32, len: u32) -> Verdict {
        expect(self.transmit.submit(&[(frame, len, 0)]) == Some(0), "a frame is not taken")
    }

    /// Who answers the next question: offers a buffer of so many bytes at the end of a page, and waits. The address in the answer,
    /// and the length the device tells.
    fn answer(&mut self, room: u32) -> Result<([u8; 4], u32), &'static str> {
        let page = allocate_frame();
        virtio::write(page, [NOTHING; PAGE as usize]);
        let buffer = page + PAGE - room;
        let written = wait(&mut self.receive, buffer, room).ok_or("no answer")?;
        let before: [u8; 8] = virtio::read(buffer - 8);
        expect(before == [NOTHING; 8], "bytes before the buffer were written")?;
        let sender = if room >= HEADER + 42 { virtio::read(buffer + HEADER + 28) } else { [0; 4] };
        Ok((sender, written))
    }

    /// An honest question is answered, and by who was asked.
    fn works(&mut self) -> Verdict {
        let frame = self.question(self.mac, GATEWAY);
        self.send(frame, HEADER + 42)?;
        let (sender, written) = self.answer(HEADER + LONGEST)?;
        expect(sender == GATEWAY && written >= HEADER + 42, "that is no answer")
    }
}

/// Offers one buffer the device writes, and gives it time: the bytes it wrote.
fn wait(queue: &mut Queue, buffer: u32, room: u32) -> Option<u32> {
    let slot = u32::from(queue.used() % SIZE);
    let before = queue.used();
    queue.describe_chain(&[(buffer, room, WRITE)]);
    queue.offer(0, 1);
    for _ in 0..PATIENCE {
        if queue.used() != before {
            return Some(queue.length(slot));
        }
        flush_async();
    }
    None
}

/// A Guest speaks under its own address only: the first answer is to the honest question.
fn not_own() -> Verdict {
    let mut card = Card::new()?;
    let [a, b, c, d, e, f] = card.mac;
    for sender in [[a, b, c, d, e, f ^ 1], [0xff; 6], [0; 6]] {
        let frame = card.question(sender, NAMES);
        card.send(frame, HEADER + 42)?;
    }
    card.works()
}

/// What is shorter or longer than a frame, or not even a header, goes nowhere.
fn lengths() -> Verdict {
    let mut card = Card::new()?;
    let frame = card.question(card.mac, NAMES);
    for len in [0, 1, HEADER - 1, HEADER, HEADER + 13, HEADER + LONGEST + 1, PAGE] {
        card.send(frame, len)?;
    }
    // A chain as long as a queue, all of it one page: far more than a frame.
    card.transmit.describe_chain(&[(frame, PAGE, 0); SIZE as usize]);
    card.transmit.offer(0, 1);
    card.works()
}

/// A frame for which the driver's buffer is too small is lost, and nothing is written.
fn no_room() -> Verdict {
    let mut card = Card::new()?;
    for room in [0, 1, HEADER, HEADER + 41] {
        let frame = card.question(card.mac, NAMES);
        card.send(frame, HEADER + 42)?;
        let (_, written) = card.answer(room)?;
        expect(written == 0, "a piece of a frame arrived")?;
    }
    card.works()
}

/// The entropy source's queue.
fn entropy() -> Result<Queue, &'static str> {
    Ok(Queue::of_ready_device(Device::find(kind::ENTROPY).ok_or("no entropy source")?, 0))
}

/// Each request gets bytes, which are others than the last one's, and no more than it has room for.
fn entropy_fills() -> Verdict {
    let mut queue = entropy()?;
    let mut last = [0u8; 32];
    let page = allocate_frame();
    for _ in 0..200 {
        virtio::write(page, [NOTHING; 64]);
        expect(wait(&mut queue, page, 32) == Some(32), "no entropy")?;
        let (bytes, behind): ([u8; 32], [u8; 32]) = (virtio::read(page), virtio::read(page + 32));
        expect(bytes != [NOTHING; 32] && bytes != [0; 32], "nothing was written")?;
        expect(bytes != last, "the same bytes again")?;
        expect(behind == [NOTHING; 32], "too much was written")?;
        last = bytes;
    }
    Ok(())
}

/// Buffers of no bytes, and buffers the device may not write.
fn entropy_no_room() -> Verdict {
    let mut queue = entropy()?;
    let page = allocate_frame();
    virtio::write(page, [NOTHING; 64]);
    expect(wait(&mut queue, page, 0) == Some(0), "bytes that fit nowhere")?;
    expect(queue.submit(&[(page, 64, 0)]) == Some(0), "bytes where none may be written")?;
    expect(virtio::read::<[u8; 64]>(page) == [NOTHING; 64], "it was written all the same")?;
    expect(wait(&mut queue, page, 64).is_some_and(|len| len > 0), "the source does not work any more")
}
