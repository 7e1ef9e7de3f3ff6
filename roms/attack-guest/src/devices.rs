//! A driver that gets its virtqueue wrong on purpose. The device may stop; it may not touch what is not the Guest's.

use crate::Verdict;
use crate::target::{OUTSIDE, end_of_ram};
use guest_kit::console;
use guest_kit::hypercall::flush_async;
use guest_kit::virtqueue::{Descriptor, NEXT, WRITE};

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("queue-outside", || offer(buffer(u64::from(OUTSIDE), 64), 0, 1)),
    ("queue-straddles", || offer(buffer(u64::from(end_of_ram()) - 32, 64), 0, 1)),
    ("queue-wraps", || offer(buffer(0xffff_fff0, 0x20), 0, 1)),
    ("queue-high", || offer(buffer(1 << 32, 64), 0, 1)),
    ("queue-long", || offer(buffer(0, u32::MAX), 0, 1)),
    ("queue-head", || offer(buffer(0, 1), u16::MAX, 1)),
    ("queue-index", || offer(buffer(0, 1), 0, 1000)),
    ("queue-loop", || offer(Descriptor { flags: NEXT, ..buffer(0x1000, 1) }, 0, 1)),
    ("queue-next", || offer(Descriptor { flags: NEXT, next: u16::MAX, ..buffer(0x1000, 1) }, 0, 1)),
    ("queue-backwards", || offer(Descriptor { flags: WRITE, ..buffer(0x1000, 16) }, 0, 1)),
];

fn buffer(address: u64, length: u32) -> Descriptor {
    Descriptor { address, length, flags: 0, next: 0 }
}

fn offer(descriptor: Descriptor, head: u16, advance: u16) -> Verdict {
    let Some(mut queue) = console::take_output_queue() else { return Err("no console") };
    queue.offer_raw(descriptor, head, advance);
    flush_async();
    Ok(())
}
