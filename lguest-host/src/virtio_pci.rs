//! The registers of a virtio 1.0 device on the Guest's PCI bus (8.5): common configuration, notification, interrupt status,
//! device configuration, one after the other in BAR 0.
//!
//! Every number is the Guest's. A queue is made of what the driver wrote when it is enabled; its rings are looked at with the
//! checks of [`crate::virtqueue`].

use crate::console::Size;
use crate::death::Outcome;
use crate::device::{Kind, QUEUES};
use crate::guest::Platform;
use crate::mutant::{broken, unchecked};
use crate::ram::GuestRam;
use crate::virtqueue::{SIZE, VirtQueue};

/// Bytes of the registers before those of the device itself.
pub const DEVICE: u32 = 0x3C;
const NOTIFY: u32 = 0x38;
const ISR: u32 = 0x3A;
/// Interrupt status: a queue, the configuration.
const ISR_QUEUE: u8 = 1;
const ISR_CONFIGURATION: u8 = 2;

const VERSION_1: u64 = 1 << 32;
const STATUS_DRIVER_OK: u8 = 4;
const STATUS_FEATURES_OK: u8 = 8;
const STATUS_NEEDS_RESET: u8 = 64;
/// A queue as the driver describes it.
#[derive(Clone, Copy, Debug)]
struct QueueRegisters {
    size: u16,
    /// Descriptors, available ring, used ring: low and high word of each.
    places: [u32; 6],
    queue: Option<VirtQueue>,
}

impl QueueRegisters {
    const fn new() -> QueueRegisters {
        QueueRegisters { size: SIZE as u16, places: [0; 6], queue: None }
    }

    fn enable(&mut self) {
        let [descriptors, high0, available, high1, used, high2] = self.places;
        let size = self.size as u32;
        let sound = (high0 | high1 | high2 == 0 || unchecked("QUEUE_PLACE"))
            && (size.is_power_of_two() && size <= SIZE || unchecked("QUEUE_SIZE"));
        self.queue = sound.then(|| VirtQueue::new(descriptors, available, used, size));
    }
}

/// A device and its registers.
#[derive(Clone, Copy, Debug)]
pub struct VirtioPci {
    /// What it is.
    pub kind: Kind,
    device_feature_select: u32,
    driver_feature_select: u32,
    driver_features: [u32; 2],
    status: u8,
    queue_select: u16,
    isr: u8,
    queues: [QueueRegisters; QUEUES],
    /// Queues the driver has notified, as bits.
    kicked: u32,
    /// A character for the console, said without a queue.
    said: Option<u8>,
    /// The configuration is another one, and the driver does not know.
    changed: bool,
}

impl VirtioPci {
    /// A device after reset.
    pub const fn new(kind: Kind) -> VirtioPci {
        VirtioPci {
            kind,
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: [0; 2],
            status: 0,
            queue_select: 0,
            isr: 0,
            queues: [QueueRegisters::new(); QUEUES],
            kicked: 0,
            said: None,
            // Linux asks for the size when it is told of another one, and not before.
            changed: matches!(kind, Kind::Console(Size { columns: 1.., .. })),
        }
    }

    /// The console's terminal has this size now.
    pub fn resize(&mut self, size: Size) {
        if let Kind::Console(old) = &mut self.kind
            && *old != size
        {
            *old = size;
            self.changed = true;
        }
    }

    fn offered(&self) -> u64 {
        self.kind.identity().pci.features as u64 | VERSION_1
    }

    fn queue_registers(&mut self) -> Option<&mut QueueRegisters> {
        let n = self.queue_select as usize;
        if unchecked("QUEUE_SELECT") {
            return self.queues.get_mut(n % QUEUES);
        }
        if n < self.kind.identity().queues { self.queues.get_mut(n) } else { None }
    }

    /// Read a register, of 1, 2 or 4 bytes; one that is not there is 0.
    pub fn read(&mut self, offset: u32, bytes: u32) -> u32 {
        let identity = self.kind.identity();
        let offered = self.offered();
        let value = match offset {
            0x00 => self.device_feature_select,
            0x04 if self.device_feature_select < 2 => (offered >> (32 * self.device_feature_select)) as u32,
            0x08 => self.driver_feature_select,
            0x0C => self.driver_features.get(self.driver_feature_select as usize).copied().unwrap_or(0),
            0x10 | 0x1A => 0xFFFF,
            0x12 => identity.queues as u32,
            0x14 => self.status as u32,
            0x16 => self.queue_select as u32,
            0x18 => self.queue_registers().map_or(0, |q| q.size as u32),
            0x1C => self.queue_registers().map_or(0, |q| q.queue.is_some() as u32),
            0x20..=0x34 if offset.is_multiple_of(4) => {
                let n = (offset as usize - 0x20) / 4;
                self.queue_registers().and_then(|q| q.places.get(n).copied()).unwrap_or(0)
            }
            _ if offset >= DEVICE => {
                let at = offset - DEVICE;
                self.kind.config(at & !3) >> (8 * (at & 3))
            }
            ISR => core::mem::take(&mut self.isr) as u32,
            _ => 0,
        };
        value & mask(bytes)
    }

    /// Write a register, of 1, 2 or 4 bytes.
    pub fn write(&mut self, offset: u32, value: u32, bytes: u32) {
        let value = value & mask(bytes);
        match offset {
            0x00 => self.device_feature_select = value,
            0x08 => self.driver_feature_select = value,
            0x0C => {
                let n = self.driver_feature_select & if unchecked("FEATURE_SELECT") { 1 } else { u32::MAX };
                if let Some(word) = self.driver_features.get_mut(n as usize) {
                    *word = value;
                }
            }
            0x14 if value == 0 && broken("reset-keeps-queues") => self.status = 0,
            0x14 if value == 0 => *self = VirtioPci::new(self.kind),
            0x14 => self.set_status(value as u8),
            0x16 => self.queue_select = value as u16,
            0x18 => {
                if let Some(queue) = self.queue_registers() {
                    queue.size = value as u16;
                }
            }
            0x1C if value == 1 => {
                if let Some(queue) = self.queue_registers() {
                    queue.enable();
                }
            }
            0x20..=0x34 if offset.is_multiple_of(4) => {
                let n = (offset as usize - 0x20) / 4;
                if let Some(place) = self.queue_registers().and_then(|q| q.places.get_mut(n)) {
                    *place = value;
                }
                if broken("queue-moves-while-enabled")
                    && let Some(queue) = self.queue_registers().filter(|q| q.queue.is_some())
                {
                    queue.enable();
                }
            }
            NOTIFY if value < QUEUES as u32 => self.kicked |= 1 << value,
            _ if offset == DEVICE + 8 && matches!(self.kind, Kind::Console(_)) => {
                self.said = Some(value as u8)
            }
            _ => {}
        }
    }

    /// A driver that takes features nobody offered is not told that they are fine.
    fn set_status(&mut self, status: u8) {
        let taken = self.driver_features[0] as u64 | (self.driver_features[1] as u64) << 32;
        let offered = self.offered();
        let fine = taken & !offered == 0 && taken & VERSION_1 != 0 || broken("features-not-checked");
        self.status = if fine { status } else { status & !STATUS_FEATURES_OK } & !STATUS_NEEDS_RESET;
    }

    /// There was more to do than fits into a turn.
    pub const fn is_waiting(&self) -> bool {
        self.status & STATUS_DRIVER_OK != 0 && self.kicked != 0
    }

    /// Do what the driver asked for since the last time, and hand over what came from outside. True if it wants an interrupt.
    ///
    /// # Errors
    /// BAD_READ, BAD_WRITE: rings outside the Guest's RAM.
    pub fn serve(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<bool> {
        if let Some(byte) = self.said.take() {
            platform.console_write(&[byte]);
        }
        if self.status & STATUS_DRIVER_OK == 0 && !broken("driver-ok-ignored") {
            return Ok(false);
        }
        let queues = self.queues.each_mut().map(|registers| registers.queue.as_mut());
        let used = self.kind.serve(queues, &mut self.kicked, ram, platform)? != 0;
        let changed = core::mem::take(&mut self.changed);
        self.isr |= if used { ISR_QUEUE } else { 0 } | if changed { ISR_CONFIGURATION } else { 0 };
        Ok(used || changed)
    }
}

/// The bits of a value of so many bytes.
pub const fn mask(bytes: u32) -> u32 {
    match bytes {
        1 => 0xFF,
        2 => 0xFFFF,
        _ => u32::MAX,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: Kind = Kind::Console(Size { columns: 80, rows: 25 });

    /// What a driver does up to DRIVER_OK; the status it reads after FEATURES_OK.
    fn negotiate(device: &mut VirtioPci, features: [u32; 2]) -> u32 {
        device.write(0x14, 0, 1);
        device.write(0x14, 3, 1);
        for (n, word) in (0..).zip(features) {
            device.write(0x08, n, 4);
            device.write(0x0C, word, 4);
        }
        device.write(0x14, 0xB, 1);
        device.read(0x14, 1)
    }

    #[test]
    fn only_offered_features_are_accepted() {
        let mut device = VirtioPci::new(CONSOLE);
        for (features, status) in [([5, 1], 0xB), ([0, 1], 0xB), ([4, 0], 3), ([6, 1], 3), ([0, 3], 3)] {
            assert_eq!(negotiate(&mut device, features), status, "{features:?}");
        }
    }

    #[test]
    fn queues_that_make_no_sense_are_not_enabled() {
        for (size, high, enabled) in [(64, 0, 1), (1, 0, 1), (0, 0, 0), (48, 0, 0), (128, 0, 0), (64, 1, 0)] {
            let mut device = VirtioPci::new(CONSOLE);
            device.write(0x16, 1, 2);
            device.write(0x18, size, 2);
            device.write(0x24, high, 4);
            device.write(0x1C, 1, 2);
            assert_eq!(device.read(0x1C, 2), enabled, "{size} {high}");
        }
        let mut device = VirtioPci::new(CONSOLE);
        device.write(0x16, 2, 2);
        device.write(0x1C, 1, 2);
        assert_eq!((device.read(0x18, 2), device.read(0x1C, 2)), (0, 0), "there is no queue 2");
    }

    #[test]
    fn reading_the_interrupt_status_clears_it() {
        let mut device = VirtioPci::new(CONSOLE);
        device.isr = 1;
        assert_eq!((device.read(ISR, 1), device.read(ISR, 1)), (1, 0));
    }
}
