//! Drivers of the machine's virtio devices: the transport (virtio 1.0, 4.1) and the driver's side of a queue (2.4).
//!
//! A queue has a page for its rings, and a buffer for each descriptor: descriptor n is always buffer n, alone in its chain. The
//! device is hardware and trusted as such; still, numbers it writes are looked at before they are indexes.

use super::frames::Frames;
use super::interrupts;
use super::pci::Function;
use core::sync::atomic::{Ordering, fence};
use lguest_host::abi::PAGE;

const VENDOR: u32 = 0x1AF4;
/// Capability of a vendor's own, and the structures it can tell of.
const VENDOR_SPECIFIC: u8 = 9;
const COMMON: u8 = 1;
const NOTIFY: u8 = 2;
const ISR: u8 = 3;
const DEVICE: u8 = 4;

/// Device status.
const ACKNOWLEDGE: u8 = 1;
const DRIVER: u8 = 2;
const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const FAILED: u8 = 128;
/// Feature: this is version 1.
const VERSION_1: u64 = 1 << 32;

/// How large a queue is.
#[derive(Clone, Copy)]
pub struct Shape {
    /// Entries: a power of two, at most 64.
    pub entries: u16,
    /// Bytes of each buffer.
    pub buffer: u32,
}

/// Where the rings are in their page.
const AVAILABLE: u32 = 1024;
const USED: u32 = 2048;
/// Descriptor: the device writes. Available ring: no interrupts, please.
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

fn read<T: Copy>(address: u32) -> T {
    // SAFETY: callers pass an address in a device's registers or in a queue's page, both mapped one to one, aligned.
    unsafe { (address as *const T).read_volatile() }
}

fn write<T: Copy>(address: u32, value: T) {
    // SAFETY: as `read`.
    unsafe { (address as *mut T).write_volatile(value) }
}

/// A device's registers.
pub struct Transport {
    common: u32,
    notify: u32,
    /// Bytes from the notification register of a queue to that of the next.
    notify_step: u32,
    isr: u32,
    device: u32,
    /// Its interrupt.
    pub line: u8,
}

impl Transport {
    /// Find the device with this virtio number, whose older identity `transitional` was, and agree on those of `features` that it
    /// offers.
    pub fn find(number: u32, transitional: u32, features: u64) -> Option<Transport> {
        let identity = |device: u32| device << 16 | VENDOR;
        let function = Function::find(&[identity(0x1040 + number), identity(transitional)])?;
        let place = |kind: u8| {
            let at = function.capabilities(VENDOR_SPECIFIC).find(|&at| function.byte(at + 3) == kind)?;
            let base = function.memory(function.byte(at + 4) as u32)?;
            Some((base.checked_add(function.read(at + 8))?, at))
        };
        let (notify, capability) = place(NOTIFY)?;
        let transport = Transport {
            common: place(COMMON)?.0,
            notify,
            notify_step: function.read(capability + 16),
            isr: place(ISR)?.0,
            device: place(DEVICE).map_or(0, |(address, _)| address),
            line: function.interrupt_line(),
        };
        function.enable();
        transport.agree(features).then_some(transport)
    }

    fn set_status(&self, status: u8) {
        write(self.common + 0x14, status);
    }

    fn status(&self) -> u8 {
        read(self.common + 0x14)
    }

    fn agree(&self, features: u64) -> bool {
        self.set_status(0);
        while self.status() != 0 {}
        self.set_status(ACKNOWLEDGE | DRIVER);
        for n in 0..2u32 {
            write(self.common, n);
            let offered: u32 = read(self.common + 4);
            write(self.common + 8, n);
            write(self.common + 0xC, offered & ((features | VERSION_1) >> (32 * n)) as u32);
        }
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK);
        let agreed = self.status() & FEATURES_OK != 0;
        if !agreed {
            self.set_status(FAILED);
        }
        agreed
    }

    /// Queues are there: the device may begin, and interrupt.
    pub fn begin(&self) {
        self.set_status(ACKNOWLEDGE | DRIVER | FEATURES_OK | DRIVER_OK);
        interrupts::open(self.line);
    }

    /// A byte of the device's configuration.
    pub fn config(&self, offset: u32) -> u8 {
        if self.device == 0 { 0 } else { read(self.device + offset) }
    }

    /// Why it interrupts, which ends the interrupt. 0 if it does not.
    pub fn interrupted(&self) -> bool {
        read::<u8>(self.isr) != 0
    }

    /// Queue `n`, for a device that writes into its buffers or only reads them; none if it is not there, or not so large.
    pub fn queue(&self, n: u16, device_writes: bool, shape: Shape, frames: &mut Frames) -> Option<Queue> {
        let pages = (shape.entries as u32 * shape.buffer).div_ceil(PAGE);
        let (rings, buffers) = (frames.page(), frames.take(pages)?);
        write(self.common + 0x16, n);
        if read::<u16>(self.common + 0x18) < shape.entries {
            return None;
        }
        write(self.common + 0x18, shape.entries);
        for (offset, address) in [(0x20, rings), (0x28, rings + AVAILABLE), (0x30, rings + USED)] {
            write(self.common + offset, address);
            write(self.common + offset + 4, 0u32);
        }
        let notify = self.notify + read::<u16>(self.common + 0x1E) as u32 * self.notify_step;
        write(self.common + 0x1C, 1u16);
        let queue = Queue {
            number: n,
            shape,
            rings,
            buffers,
            notify,
            available: 0,
            used: 0,
            interrupts: device_writes,
        };
        for n in 0..shape.entries {
            write(rings + 16 * n as u32, queue.buffer(n) as u64);
            write(rings + 16 * n as u32 + 12, if device_writes { WRITE } else { 0 });
        }
        if !device_writes {
            write(rings + AVAILABLE, NO_INTERRUPT);
        }
        Some(queue)
    }
}

/// A queue.
pub struct Queue {
    number: u16,
    shape: Shape,
    rings: u32,
    buffers: u32,
    notify: u32,
    /// Chains made available, and chains taken back, so far.
    available: u16,
    used: u16,
    /// The device is to interrupt when it is done with a chain.
    interrupts: bool,
}

impl Queue {
    /// Address of buffer `n`.
    fn buffer(&self, n: u16) -> u32 {
        self.buffers + self.entry(n) as u32 * self.shape.buffer
    }

    /// Where number `n` of an endless row is.
    fn entry(&self, n: u16) -> u16 {
        n % self.shape.entries
    }

    /// The bytes of buffer `n`, which the device must not have at the moment.
    pub fn bytes(&mut self, n: u16) -> &mut [u8] {
        // SAFETY: the buffers are this queue's alone and mapped one to one; callers give one to the device with `offer` and use it
        // again when it comes back from `taken`.
        unsafe { core::slice::from_raw_parts_mut(self.buffer(n) as *mut u8, self.shape.buffer as usize) }
    }

    /// Let the device interrupt when it is done with a chain, or not. True if it does from now on and did not.
    pub fn want_interrupts(&mut self, on: bool) -> bool {
        let changed = core::mem::replace(&mut self.interrupts, on) != on;
        if changed {
            write(self.rings + AVAILABLE, if on { 0 } else { NO_INTERRUPT });
            fence(Ordering::SeqCst);
        }
        changed && on
    }

    /// Make `len` bytes of buffer `n` available.
    pub fn offer(&mut self, n: u16, len: u32) {
        write(self.rings + 16 * self.entry(n) as u32 + 8, len.min(self.shape.buffer));
        write(self.rings + AVAILABLE + 4 + 2 * self.entry(self.available) as u32, self.entry(n));
        self.available = self.available.wrapping_add(1);
        // The entry, then that it is there.
        fence(Ordering::Release);
        write(self.rings + AVAILABLE + 2, self.available);
    }

    /// Tell the device.
    pub fn notify(&self) {
        fence(Ordering::SeqCst);
        write(self.notify, self.number);
    }

    /// The next buffer that came back, and how many bytes the device wrote.
    pub fn taken(&mut self) -> Option<(u16, u32)> {
        if read::<u16>(self.rings + USED + 2) == self.used {
            return None;
        }
        fence(Ordering::Acquire);
        let [n, len]: [u32; 2] = read(self.rings + USED + 4 + 8 * self.entry(self.used) as u32);
        self.used = self.used.wrapping_add(1);
        Some((self.entry(n as u16), len.min(self.shape.buffer)))
    }

    /// The buffer to offer next, where they come back in order.
    pub fn next(&self) -> u16 {
        self.entry(self.available)
    }

    /// Buffers the device has.
    pub fn outstanding(&self) -> u16 {
        self.available.wrapping_sub(self.used)
    }
}
