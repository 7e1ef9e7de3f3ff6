//! A driver of the console on the PCI bus that tells the device nonsense: features, queues, rings, chains.

use crate::Verdict;
use crate::pci::console;
use crate::target::{OUTSIDE, expect};
use guest_kit::hypercall::flush_async;
use guest_kit::memory::allocate_frame;
use guest_kit::pci::Device;
use guest_kit::virtio::{self, Queue, SIZE, negotiate, ready, register};
use guest_kit::virtqueue::{Descriptor, NEXT, WRITE};

/// The queue of what the Guest says.
const OUTPUT: u16 = 1;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("virtio-features", features),
    ("virtio-feature-select", feature_select),
    ("virtio-queue-select", queue_select),
    ("virtio-queue-size", || {
        let queue = Queue::new(console()?, OUTPUT);
        for size in [0, 3, 48, 128, 0x8000, u16::MAX] {
            negotiate(queue.device, [0, 1]);
            expect(!queue.enable(size, queue.places()), "a queue of that size")?;
            ready(queue.device);
            queue.notify();
        }
        Ok(())
    }),
    ("virtio-queue-high", queue_high),
    ("virtio-queue-moves", queue_moves),
    ("virtio-not-ready", not_ready),
    ("virtio-registers", registers),
    ("virtio-reset", reset),
    ("virtio-rings-outside", || rings([OUTSIDE, OUTSIDE, OUTSIDE])),
    ("virtio-rings-wrap", || rings([0xffff_fff0, 0xffff_fffd, 0xffff_fffd])),
    ("virtio-descriptors-outside", || {
        let queue = Queue::new(console()?, OUTPUT);
        let [_, available, used] = queue.places();
        offered(queue, [OUTSIDE, available, used])
    }),
    ("virtio-used-outside", || {
        let queue = Queue::new(console()?, OUTPUT);
        let [descriptors, available, _] = queue.places();
        queue.describe_chain(&[(allocate_frame(), 1, 0)]);
        offered(queue, [descriptors, available, OUTSIDE])
    }),
    ("virtio-rings-over-each-other", || {
        let queue = Queue::new(console()?, OUTPUT);
        offered(queue, [queue.places()[1]; 3])
    }),
    ("virtio-buffer-outside", || stops(buffer(u64::from(OUTSIDE), 64), 0, 1)),
    ("virtio-buffer-device", || stops(buffer(u64::from(console()?.bar), 64), 0, 1)),
    ("virtio-buffer-high", || stops(buffer(1 << 32, 64), 0, 1)),
    ("virtio-head", || stops(buffer(0, 1), u16::MAX, 1)),
    ("virtio-index", || stops(buffer(0, 1), 0, SIZE + 1)),
    ("virtio-loop", || stops(Descriptor { flags: NEXT, ..buffer(0, 1) }, 0, 1)),
    ("virtio-flood", || {
        let mut queue = Queue::of_ready_device(console()?, OUTPUT);
        // As long as a chain may be, in the Guest's memory that nobody uses.
        queue.describe_chain(&[(0x0080_0000, 1 << 20, 0)]);
        loop {
            queue.offer(0, SIZE);
        }
    }),
    ("virtio-next", || stops(Descriptor { flags: NEXT, next: SIZE, ..buffer(0, 1) }, 0, 1)),
];

/// Features nobody offered, or not the one that makes it a virtio 1.0 device.
fn features() -> Verdict {
    let device = console()?;
    expect(negotiate(device, [0, 1]), "the least that can be asked for is refused")?;
    for words in [[0, 0], [2, 1], [u32::MAX, 1], [0, 3], [u32::MAX; 2]] {
        expect(!negotiate(device, words), "features that were not offered")?;
    }
    Ok(())
}

/// There are two words of features.
fn feature_select() -> Verdict {
    let device = console()?;
    negotiate(device, [0, 1]);
    for n in [2u32, 3, u32::MAX - 1, u32::MAX] {
        device.write(register::DRIVER_FEATURE_SELECT, n);
        device.write(register::DRIVER_FEATURES, u32::MAX);
    }
    for (n, word) in [(0u32, 0), (1, 1)] {
        device.write(register::DRIVER_FEATURE_SELECT, n);
        expect(device.read::<u32>(register::DRIVER_FEATURES) == word, "another word was written")?;
    }
    Ok(())
}

/// There are two queues.
fn queue_select() -> Verdict {
    let device = console()?;
    negotiate(device, [0, 1]);
    for n in [2, 3, 64, 0x8001, u16::MAX] {
        let queue = Queue::new(device, n);
        expect(!queue.enable(SIZE, queue.places()), "one queue more")?;
        device.write(register::NOTIFY, n);
    }
    Ok(())
}

/// Rings above 4 GiB.
fn queue_high() -> Verdict {
    let queue = Queue::new(console()?, OUTPUT);
    for offset in register::PLACES {
        negotiate(queue.device, [0, 1]);
        queue.device.write(register::QUEUE_SELECT, OUTPUT);
        queue.device.write(offset + 4, 1u32);
        expect(!queue.enable(SIZE, queue.places()), "rings above 4 GiB")?;
    }
    Ok(())
}

/// A queue in use stays what it was when it was enabled.
fn queue_moves() -> Verdict {
    let mut queue = Queue::of_ready_device(console()?, OUTPUT);
    queue.device.write(register::QUEUE_SIZE, u16::MAX);
    for offset in register::PLACES {
        queue.device.write(offset, OUTSIDE);
    }
    expect(queue.submit(&[(allocate_frame(), 0, 0)]) == Some(0), "the queue is gone")
}

/// Before DRIVER_OK a device touches nothing.
fn not_ready() -> Verdict {
    let mut queue = Queue::new(console()?, OUTPUT);
    negotiate(queue.device, [0, 1]);
    queue.enable(SIZE, queue.places());
    expect(queue.submit(&[(allocate_frame(), 0, 0)]).is_none(), "the device works before it may")?;
    ready(queue.device);
    expect(queue.used() == 1, "what was asked for before is forgotten")
}

/// Every offset there may be something at, and the last ones, in every width.
fn registers() -> Verdict {
    let device = console()?;
    for offset in (0..0x100).chain(0xff0..0x1000) {
        for value in [u32::MAX, 0x5a5a_5a5a, 1] {
            // The word there would speak.
            if offset != 0x44 {
                if offset % 4 == 0 {
                    device.write(offset, value);
                    device.read::<u32>(offset);
                }
                if offset % 2 == 0 {
                    device.write(offset, value as u16);
                    device.read::<u16>(offset);
                }
                device.write(offset, value as u8);
                device.read::<u8>(offset);
            }
        }
    }
    works(device)
}

/// A reset while a chain waits, and after a queue stopped.
fn reset() -> Verdict {
    let device = console()?;
    let mut queue = Queue::of_ready_device(device, OUTPUT);
    queue.describe_chain(&[(OUTSIDE, 1, WRITE)]);
    queue.offer(0, 1);
    for _ in 0..3 {
        device.write(register::STATUS, 0u8);
        device.write(register::QUEUE_SELECT, OUTPUT);
        expect(device.read::<u16>(register::QUEUE_ENABLE) == 0, "a reset left the queue in use")?;
        queue.notify();
        works(device)?;
    }
    Ok(())
}

/// An honest driver gets an answer.
fn works(device: Device) -> Verdict {
    let mut queue = Queue::of_ready_device(device, OUTPUT);
    expect(queue.submit(&[(allocate_frame(), 0, 0)]) == Some(0), "the device does not work any more")
}

/// Rings somewhere else, with nothing offered in them.
fn rings(places: [u32; 3]) -> Verdict {
    offered(Queue::new(console()?, OUTPUT), places)
}

/// Offers a chain in a queue's own page, after telling the device of other places.
fn offered(mut queue: Queue, places: [u32; 3]) -> Verdict {
    negotiate(queue.device, [0, 1]);
    queue.enable(SIZE, places);
    ready(queue.device);
    queue.offer(0, 1);
    flush_async();
    Ok(())
}

fn buffer(address: u64, length: u32) -> Descriptor {
    Descriptor { address, length, flags: 0, next: 0 }
}

/// A queue that is offered this stops, until the device is reset.
fn stops(descriptor: Descriptor, head: u16, advance: u16) -> Verdict {
    let device = console()?;
    let mut queue = Queue::of_ready_device(device, OUTPUT);
    queue.describe(0, descriptor);
    queue.offer(head, advance);
    expect(queue.used() == 0, "the device took it")?;
    virtio::write(queue.page, Descriptor { flags: 0, ..buffer(u64::from(queue.page), 0) });
    queue.offer(0, 1);
    expect(queue.used() == 0, "the queue did not stop")?;
    works(device)
}
