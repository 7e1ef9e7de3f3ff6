//! What a driver of a virtio 1.0 device does: negotiation, and queues whose rings lie in a page of our own.

use crate::memory::allocate_frame;
use crate::paging::phys_to_virt;
use crate::pci::Device;
use crate::virtqueue::{Descriptor, NEXT};

/// Virtio's numbers of devices.
#[allow(missing_docs)]
pub mod kind {
    pub const NET: u32 = 1;
    pub const BLOCK: u32 = 2;
    pub const CONSOLE: u32 = 3;
    pub const ENTROPY: u32 = 4;
}

/// Offsets of the common registers, and where a queue's number is written to notify it.
#[allow(missing_docs)]
pub mod register {
    pub const DEVICE_FEATURE_SELECT: u32 = 0x00;
    pub const DRIVER_FEATURE_SELECT: u32 = 0x08;
    pub const DRIVER_FEATURES: u32 = 0x0c;
    pub const STATUS: u32 = 0x14;
    pub const QUEUE_SELECT: u32 = 0x16;
    pub const QUEUE_SIZE: u32 = 0x18;
    pub const QUEUE_ENABLE: u32 = 0x1c;
    /// Low words of the places of descriptors, available ring, used ring; the high ones are behind each.
    pub const PLACES: [u32; 3] = [0x20, 0x28, 0x30];
    pub const NOTIFY: u32 = 0x38;
    /// What the device itself has.
    pub const DEVICE: u32 = 0x3c;
}

/// Bits of the status.
#[allow(missing_docs)]
pub mod status {
    pub const DRIVER: u8 = 3;
    pub const DRIVER_OK: u8 = 4;
    pub const FEATURES_OK: u8 = 8;
}

/// Entries of a queue.
pub const SIZE: u16 = 64;
/// Where in its page a queue's rings are.
const AVAILABLE: u32 = 0x400;
const USED: u32 = 0x800;

/// Resets a device and takes these features (low and high word). True if it agrees.
pub fn negotiate(device: Device, features: [u32; 2]) -> bool {
    device.write(register::STATUS, 0u8);
    device.write(register::STATUS, status::DRIVER);
    for (n, word) in (0u32..).zip(features) {
        device.write(register::DRIVER_FEATURE_SELECT, n);
        device.write(register::DRIVER_FEATURES, word);
    }
    device.write(register::STATUS, status::DRIVER | status::FEATURES_OK);
    device.read::<u8>(register::STATUS) & status::FEATURES_OK != 0
}

/// The last step: from now on the device works.
pub fn ready(device: Device) {
    device.write(register::STATUS, status::DRIVER | status::FEATURES_OK | status::DRIVER_OK);
}

/// A queue of a device.
#[derive(Clone, Copy)]
pub struct Queue {
    /// Whose.
    pub device: Device,
    number: u16,
    /// Guest-physical address of its page.
    pub page: u32,
    offered: u16,
}

impl Queue {
    /// Queue `number`, not yet told to the device.
    pub fn new(device: Device, number: u16) -> Self {
        Self { device, number, page: allocate_frame(), offered: 0 }
    }

    /// A device negotiated with nothing but VERSION_1, and its queue `number` with honest rings; the device is ready.
    pub fn of_ready_device(device: Device, number: u16) -> Self {
        let queue = Self::new(device, number);
        negotiate(device, [0, 1]);
        queue.enable(SIZE, queue.places());
        ready(device);
        queue
    }

    /// Where an honest driver puts descriptors, available ring and used ring.
    pub fn places(self) -> [u32; 3] {
        [self.page, self.page + AVAILABLE, self.page + USED]
    }

    /// Tells the device, with this size and these places. True if it is enabled then.
    pub fn enable(self, size: u16, places: [u32; 3]) -> bool {
        self.device.write(register::QUEUE_SELECT, self.number);
        self.device.write(register::QUEUE_SIZE, size);
        for (offset, place) in register::PLACES.into_iter().zip(places) {
            self.device.write(offset, place);
        }
        self.device.write(register::QUEUE_ENABLE, 1u16);
        self.device.read::<u16>(register::QUEUE_ENABLE) == 1
    }

    /// Writes descriptor `n`.
    pub fn describe(self, n: u16, descriptor: Descriptor) {
        write(self.page + u32::from(n) * 16, descriptor);
    }

    /// Writes a chain of buffers (address, length, flags) from descriptor 0 on, ready to be offered.
    pub fn describe_chain(self, buffers: &[(u32, u32, u16)]) {
        for (n, &(address, length, flags)) in (0u16..).zip(buffers) {
            let more = if usize::from(n) + 1 < buffers.len() { NEXT } else { 0 };
            let (address, flags) = (u64::from(address), flags | more);
            self.describe(n, Descriptor { address, length, flags, next: n + 1 });
        }
    }

    /// Offers the chain that begins with descriptor `head`, moves the index on by `advance`, and notifies the device.
    pub fn offer(&mut self, head: u16, advance: u16) {
        write(self.page + AVAILABLE + 4 + u32::from(self.offered % SIZE) * 2, head);
        self.offered = self.offered.wrapping_add(advance);
        write(self.page + AVAILABLE + 2, self.offered);
        self.notify();
    }

    /// Notifies the device.
    pub fn notify(self) {
        self.device.write(register::NOTIFY, self.number);
    }

    /// Chains the device is done with.
    pub fn used(self) -> u16 {
        read(self.page + USED + 2)
    }

    /// Offers one chain of buffers and waits for nothing: the bytes the device wrote, if it is done at once.
    pub fn submit(&mut self, buffers: &[(u32, u32, u16)]) -> Option<u32> {
        self.describe_chain(buffers);
        let slot = u32::from(self.used() % SIZE);
        let before = self.used();
        self.offer(0, 1);
        (self.used() == before.wrapping_add(1)).then(|| self.length(slot))
    }

    /// The bytes the device wrote into the chain at this place of the used ring.
    pub fn length(self, slot: u32) -> u32 {
        read(self.page + USED + 4 + slot * 8 + 4)
    }
}

/// Reads guest-physical memory that a device may have written.
pub fn read<T>(physical: u32) -> T {
    // SAFETY: callers pass addresses inside frames of their own; T is an integer or an array of them.
    unsafe { (phys_to_virt(physical) as *const T).read_volatile() }
}

/// Writes guest-physical memory for a device.
pub fn write<T>(physical: u32, value: T) {
    // SAFETY: as in `read`.
    unsafe { (phys_to_virt(physical) as *mut T).write_volatile(value) }
}
