//! One legacy virtqueue of the lguest bus, at the page the Host chose: descriptors, then the ring of available heads,
//! then on a page of its own the ring of used ones.

use crate::hypercall;
use crate::memory::PAGE;
use crate::paging::AddressSpace;

/// The device writes this buffer.
pub const WRITE: u16 = 2;

/// There is another descriptor.
pub const NEXT: u16 = 1;

/// A buffer, as the device finds it.
#[repr(C, packed)]
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub struct Descriptor {
    pub address: u64,
    pub length: u32,
    pub flags: u16,
    pub next: u16,
}

/// A queue in use.
#[derive(Clone, Copy)]
pub struct VirtQueue {
    ring: u32,
    size: u16,
    used: u32,
    notify: u32,
    seen: u16,
}

impl VirtQueue {
    /// Maps the ring that lies at this page frame, at an offset of the device window.
    pub fn map(offset: u32, frame: u32, size: u16) -> Self {
        let used = (u32::from(size) * 18 + 6).next_multiple_of(PAGE);
        let bytes = used + u32::from(size) * 8 + 6;
        let ring = AddressSpace::kernel().map_device(offset, frame * PAGE, bytes.div_ceil(PAGE));
        Self { ring, size, used: ring + used, notify: frame * PAGE, seen: 0 }
    }

    /// Offers one buffer (guest-physical) and tells the device.
    pub fn offer(&mut self, buffer: u32, length: u32, device_writes: bool) {
        let flags = if device_writes { WRITE } else { 0 };
        self.offer_raw(Descriptor { address: u64::from(buffer), length, flags, next: 0 }, 0, 1);
    }

    /// Offers several buffers (guest-physical address, bytes, whether the device writes) as one chain and tells the device.
    pub fn offer_chain(&mut self, buffers: &[(u32, u32, bool)]) {
        for (n, &(address, length, device_writes)) in (1u16..).zip(buffers).skip(1) {
            let more = usize::from(n) < buffers.len();
            let flags = if device_writes { WRITE } else { 0 } | if more { NEXT } else { 0 };
            let descriptor = Descriptor { address: u64::from(address), length, flags, next: n };
            write(self.ring + u32::from(n - 1) * 16, descriptor);
        }
        if let Some(&(address, length, _)) = buffers.first() {
            self.offer_raw(Descriptor { address: u64::from(address), length, flags: NEXT, next: 1 }, 0, 1);
        }
    }

    /// Writes descriptor 0, offers `head`, moves the index on by `advance`, and tells the device: everything a driver
    /// can get wrong.
    pub fn offer_raw(&mut self, descriptor: Descriptor, head: u16, advance: u16) {
        let available = self.ring + u32::from(self.size) * 16;
        let index: u16 = read(available + 2);
        write(self.ring, descriptor);
        write(available + 4 + u32::from(index % self.size) * 2, head);
        write(available + 2, index.wrapping_add(advance));
        hypercall::notify(self.notify);
    }

    /// The length of the buffer the device finished, if it did.
    pub fn finished(&mut self) -> Option<u32> {
        if read::<u16>(self.used + 2) == self.seen {
            return None;
        }
        let length = read(self.used + 4 + u32::from(self.seen % self.size) * 8 + 4);
        self.seen = self.seen.wrapping_add(1);
        Some(length)
    }
}

fn read<T>(address: u32) -> T {
    // SAFETY: callers pass addresses inside the mapped ring; T is an integer.
    unsafe { (address as *const T).read_volatile() }
}

fn write<T>(address: u32, value: T) {
    // SAFETY: as in read.
    unsafe { (address as *mut T).write_volatile(value) }
}
