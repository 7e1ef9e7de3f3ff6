//! Devices on the lguest bus: descriptors in the page behind the end of RAM, rings at places the Host chose.

use crate::boot;
use crate::hypercall;
use crate::memory::PAGE;
use crate::paging::AddressSpace;
use crate::virtqueue::VirtQueue;

/// Virtio device numbers.
#[allow(missing_docs)]
pub mod kind {
    pub const BLOCK: u8 = 2;
    pub const CONSOLE: u8 = 3;
}

/// Bytes of a descriptor before its queues, and of a queue.
const HEADER: u32 = 5;
const QUEUE: u32 = 8;
/// Where the status is.
const STATUS: u32 = 4;
/// Bytes of the device window a device's rings are mapped in, and one ring.
const WINDOW: u32 = 0x10_0000;

/// Device status bits.
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;

/// A device.
#[derive(Clone, Copy)]
pub struct Device {
    /// Linear address of the descriptor page.
    page: u32,
    /// Where the descriptor begins in it.
    at: u32,
    number: u32,
}

impl Device {
    /// The first device of a kind.
    pub fn find(kind: u8) -> Option<Self> {
        let page = AddressSpace::kernel().map_device(0, boot::memory_size(), 1);
        let mut device = Self { page, at: 0, number: 0 };
        while device.byte(0) != kind {
            let (queues, features, config) = (device.byte(1), device.byte(2), device.byte(3));
            device.at += HEADER + QUEUE * u32::from(queues) + 2 * u32::from(features) + u32::from(config);
            device.number += 1;
            if device.byte(0) == 0 || device.at >= PAGE {
                return None;
            }
        }
        Some(device)
    }

    fn byte(self, offset: u32) -> u8 {
        let at = self.page + (self.at + offset) % PAGE;
        // SAFETY: `find` mapped the page; any byte is an integer.
        unsafe { (at as *const u8).read_volatile() }
    }

    fn word(self, offset: u32) -> u32 {
        u32::from_le_bytes([0, 1, 2, 3].map(|i| self.byte(offset + i)))
    }

    /// Writes the status, and tells the Host, as kernels up to 3.0 do every time.
    fn set_status(self, status: u8) {
        let at = self.page + (self.at + STATUS) % PAGE;
        // SAFETY: as in `byte`.
        unsafe { (at as *mut u8).write_volatile(status) };
        hypercall::notify(boot::memory_size() + self.at);
    }

    /// Takes it into use: reset, acknowledged, driven.
    pub fn start(self) {
        let mut status = 0;
        for step in [0, ACKNOWLEDGE, DRIVER, DRIVER_OK] {
            status |= step;
            self.set_status(status);
        }
    }

    /// Forgets all that happened to it.
    pub fn reset(self) {
        self.set_status(0);
    }

    /// Queue `n` and its irq.
    pub fn queue(self, n: u32) -> (VirtQueue, u32) {
        let lengths = self.word(HEADER + QUEUE * n);
        let frame = self.word(HEADER + QUEUE * n + 4);
        let window = WINDOW * (1 + 2 * self.number + n);
        (VirtQueue::map(window, frame, lengths as u16), lengths >> 16)
    }

    /// A word of the device's configuration.
    pub fn config(self, offset: u32) -> u32 {
        let (queues, features) = (u32::from(self.byte(1)), u32::from(self.byte(2)));
        self.word(HEADER + QUEUE * queues + 2 * features + offset)
    }
}
