//! Virtio devices over PCI (virtio 1.0, 4.1), modern interface only: configuration space with vendor capabilities, and one range of
//! registers behind base address 4, laid out as QEMU's `disable-legacy=on` devices have them:
//!
//! | offset | what |
//! |---|---|
//! | 0x0000 | common configuration |
//! | 0x1000 | interrupt status |
//! | 0x2000 | device configuration |
//! | 0x3000 | notification: queue n at 0x3000 + 4 n |
//!
//! A device acts when it is notified, at once; interrupts are INTA#. One machine has one device of a kind at most, each only if
//! asked for.

mod kind;
mod queue;
mod rng;
mod serial;

use super::Board;
use super::pci::{ConfigSpace, PciBus, devfn};
use crate::net::{Gateway, ToOutside};
use cpu::bus::Width;
use kind::Kind;
use queue::Queue;
pub use rng::Rng;
use serde::{Deserialize, Serialize};
use serial::Serial;
pub use serial::{MAX_PORTS, TerminalSize};

/// Slots on bus 0.
pub const NET_SLOT: u8 = 3;
/// See [`NET_SLOT`].
pub const RNG_SLOT: u8 = 4;
/// See [`NET_SLOT`].
pub const SERIAL_SLOT: u8 = 5;

/// Base address 4 in configuration space, and the size of what is behind it.
pub const BAR: usize = 0x20;
/// Bytes behind base address 4.
pub const BAR_SIZE: u32 = 0x4000;
/// Command register: memory space, bus master.
const COMMAND: usize = 0x04;
const MSE: u32 = 0x02;
const BME: u32 = 0x04;

const COMMON: u32 = 0;
const ISR: u32 = 0x1000;
const DEVICE: u32 = 0x2000;
const NOTIFY: u32 = 0x3000;

/// Feature: this is version 1.
const VERSION_1: u64 = 1 << 32;
/// Status bits.
const FEATURES_OK: u8 = 8;
const DRIVER_OK: u8 = 4;
const NO_VECTOR: u32 = 0xFFFF;

/// One device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtioPci {
    slot: u8,
    kind: Kind,
    device_feature_select: u32,
    driver_feature_select: u32,
    driver_features: [u32; 2],
    queue_select: u16,
    status: u8,
    isr: u8,
    queues: Vec<Queue>,
}

/// All virtio devices of the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Virtio {
    devices: Vec<VirtioPci>,
}

/// Configuration space after reset.
fn config_space(kind: &Kind) -> ConfigSpace {
    let identity = kind.identity();
    let mut space = ConfigSpace::new(0x1AF4, 0x1040 + identity.id, identity.class, 1);
    space.allow(COMMAND, &[0x06, 0x04]);
    // There is a list of capabilities.
    space.set(0x06, &[0x10]);
    let [size_low, size_high, ..] = BAR_SIZE.wrapping_neg().to_le_bytes();
    space.allow(BAR, &[size_low, size_high, 0xFF, 0xFF]);
    space.set(0x2C, &[0xF4, 0x1A, 0x00, 0x11]);
    space.set(0x34, &[0x40]);
    space.set(0x3D, &[1]);
    // Kind of structure, offset and length in the range of base address 4.
    let capabilities = [(1, COMMON, 0x38), (3, ISR, 1), (4, DEVICE, 0x40), (2, NOTIFY, 0x1000)];
    let mut at = 0x40;
    for (n, (kind, offset, len)) in (1..).zip(capabilities) {
        let size = if kind == 2 { 20 } else { 16 };
        let next = if n == capabilities.len() { 0 } else { (at + size) as u8 };
        space.set(at, &[0x09, next, size as u8, kind, 4, 0, 0, 0]);
        space.set(at + 8, &u32::to_le_bytes(offset));
        space.set(at + 12, &u32::to_le_bytes(len));
        if kind == 2 {
            // Notifications of queue n are 4 n further.
            space.set(at + 16, &[4]);
        }
        at += size;
    }
    space
}

impl VirtioPci {
    fn new(slot: u8, kind: Kind) -> VirtioPci {
        let queues = vec![Queue::default(); kind.identity().queues];
        VirtioPci {
            slot,
            kind,
            device_feature_select: 0,
            driver_feature_select: 0,
            driver_features: [0; 2],
            queue_select: 0,
            status: 0,
            isr: 0,
            queues,
        }
    }

    /// The driver wrote 0 to the status register, or the machine was reset.
    fn reset(&mut self) {
        let mut kind = std::mem::replace(&mut self.kind, Kind::Rng(Rng::new(0)));
        if let Kind::Serial(serial) = &mut kind {
            serial.reset();
        }
        *self = VirtioPci::new(self.slot, kind);
    }

    fn queue(&mut self) -> Option<&mut Queue> {
        self.queues.get_mut(usize::from(self.queue_select))
    }

    /// Features the driver took.
    fn taken(&self) -> u64 {
        u64::from(self.driver_features[1]) << 32 | u64::from(self.driver_features[0])
    }

    fn features(&self) -> u64 {
        self.kind.identity().features | VERSION_1
    }

    fn read(&mut self, offset: u32, width: Width) -> u32 {
        let value = match offset {
            0x00 => self.device_feature_select,
            0x04 if self.device_feature_select < 2 => {
                (self.features() >> (32 * self.device_feature_select)) as u32
            }
            0x08 => self.driver_feature_select,
            0x0C => self.driver_features.get(self.driver_feature_select as usize).copied().unwrap_or(0),
            // No message-signalled interrupts.
            0x10 | 0x1A => NO_VECTOR,
            0x12 => self.queues.len() as u32,
            0x14 => u32::from(self.status),
            0x16 => u32::from(self.queue_select),
            0x18 => self.queue().map_or(0, |q| u32::from(q.size)),
            0x1C => self.queue().map_or(0, |q| u32::from(q.enabled)),
            0x1E => u32::from(self.queue_select),
            0x20..=0x34 if offset.is_multiple_of(4) => {
                let n = (offset as usize - 0x20) / 4;
                self.queue().map_or(0, |q| (q.areas[n / 2] >> (32 * (n % 2))) as u32)
            }
            ISR => u32::from(std::mem::take(&mut self.isr)),
            _ if (DEVICE..NOTIFY).contains(&offset) => (0..width.bytes())
                .map(|n| u32::from(self.kind.config(offset - DEVICE + n)) << (8 * n))
                .fold(0, |value, byte| value | byte),
            _ => 0,
        };
        value & width.ones()
    }

    /// True if a queue was notified: its number.
    fn write(&mut self, offset: u32, value: u32) -> Option<usize> {
        match offset {
            0x00 => self.device_feature_select = value,
            0x08 => self.driver_feature_select = value,
            0x0C => {
                if let Some(word) = self.driver_features.get_mut(self.driver_feature_select as usize) {
                    *word = value;
                }
            }
            0x14 if value & 0xFF == 0 => self.reset(),
            0x14 => {
                let taken = self.taken();
                let fine = taken & !self.features() == 0 && taken & VERSION_1 != 0;
                self.status = if fine { value as u8 } else { value as u8 & !FEATURES_OK };
            }
            0x16 => self.queue_select = value as u16,
            0x18 => {
                let size = value as u16;
                if let Some(queue) = self.queue()
                    && !queue.enabled
                    && size.is_power_of_two()
                    && size <= queue::MAX_SIZE
                {
                    queue.size = size;
                }
            }
            0x1C if value & 0xFFFF == 1 => {
                if let Some(queue) = self.queue() {
                    queue.enabled = true;
                }
            }
            0x20..=0x34 if offset.is_multiple_of(4) => {
                let n = (offset as usize - 0x20) / 4;
                if let Some(queue) = self.queue()
                    && !queue.enabled
                {
                    let shift = 32 * (n % 2);
                    queue.areas[n / 2] =
                        queue.areas[n / 2] & !(0xFFFF_FFFF << shift) | u64::from(value) << shift;
                }
            }
            _ if offset >= NOTIFY => return Some((offset - NOTIFY) as usize / 4),
            _ => {}
        }
        None
    }

    /// Do what can be done with `queue`, if the driver is ready and the function may reach memory.
    fn serve(&mut self, board: &mut Board<'_>, queue: usize) {
        if self.status & DRIVER_OK == 0 {
            return;
        }
        let features = self.taken();
        let interrupt = self.kind.serve(board, &mut self.queues, queue, features);
        self.isr |= u8::from(interrupt);
    }
}

/// Whether the function at `slot` has these bits of its command register.
fn commanded(pci: &PciBus, slot: u8, bits: u32) -> bool {
    pci.function(devfn(slot, 0)).is_some_and(|space| space.read(COMMAND, Width::Word) & bits == bits)
}

impl Virtio {
    fn plug(&mut self, pci: &mut PciBus, slot: u8, kind: Kind) {
        pci.plug(devfn(slot, 0), config_space(&kind));
        self.devices.retain(|device| device.slot != slot);
        self.devices.push(VirtioPci::new(slot, kind));
    }

    /// Put in a network device, and behind it a gateway.
    pub fn plug_net(&mut self, pci: &mut PciBus) {
        self.plug(pci, NET_SLOT, Kind::Net(Box::default()));
    }

    /// Put in an entropy device.
    pub fn plug_rng(&mut self, pci: &mut PciBus, seed: u64) {
        self.plug(pci, RNG_SLOT, Kind::Rng(Rng::new(seed)));
    }

    /// Put in a serial device with `ports` ports.
    pub fn plug_serial(&mut self, pci: &mut PciBus, ports: usize) {
        self.plug(pci, SERIAL_SLOT, Kind::Serial(Serial::new(ports)));
    }

    /// Slots of the devices there are.
    pub fn slots(&self) -> impl Iterator<Item = u8> {
        self.devices.iter().map(|device| device.slot)
    }

    /// RESET of the machine: the devices stay in, and the gateway forgets its guests.
    pub fn reset(&mut self, pci: &mut PciBus) {
        for device in &mut self.devices {
            device.reset();
            if let Kind::Net(gateway) = &mut device.kind {
                gateway.forget();
            }
            pci.plug(devfn(device.slot, 0), config_space(&device.kind));
        }
    }

    /// The device that answers at physical address `addr`, and the offset in its registers.
    pub fn decode(&self, pci: &PciBus, addr: u64) -> Option<(usize, u32)> {
        self.devices.iter().enumerate().find_map(|(n, device)| {
            let space = pci.function(devfn(device.slot, 0))?;
            let base = u64::from(space.read(BAR, Width::Dword) & BAR_SIZE.wrapping_neg());
            let offset = addr.checked_sub(base)?;
            let here =
                base != 0 && offset < u64::from(BAR_SIZE) && space.read(COMMAND, Width::Word) & MSE != 0;
            here.then_some((n, offset as u32))
        })
    }

    /// Read a register.
    pub fn read(&mut self, board: &mut Board<'_>, (n, offset): (usize, u32), width: Width) -> u32 {
        let Some(device) = self.devices.get_mut(n) else { return width.ones() };
        let value = device.read(offset, width);
        board.interrupts.set_intx(device.slot, 0, device.isr != 0);
        value
    }

    /// Write a register.
    pub fn write(
        &mut self,
        board: &mut Board<'_>,
        pci: &PciBus,
        (n, offset): (usize, u32),
        width: Width,
        value: u32,
    ) {
        let Some(device) = self.devices.get_mut(n) else { return };
        if let Some(queue) = device.write(offset, value & width.ones())
            && commanded(pci, device.slot, BME)
        {
            device.serve(board, queue);
        }
        self.settle(board, n);
    }

    /// What device `n` has for interrupts, timers and the outside.
    fn settle(&mut self, board: &mut Board<'_>, n: usize) {
        let Some(device) = self.devices.get_mut(n) else { return };
        board.interrupts.set_intx(device.slot, 0, device.isr != 0);
        if let Kind::Net(gateway) = &mut device.kind {
            match gateway.next_timer() {
                Some(at) => board.events.schedule(crate::events::Event::Network, at),
                None => board.events.cancel(crate::events::Event::Network),
            }
            for message in gateway.take_messages() {
                board.outputs.emit_network(message);
            }
        }
    }

    /// Let the device for which `f` has something to do do it, and hand over what it then has for its driver.
    fn with_device(&mut self, board: &mut Board<'_>, pci: &PciBus, mut f: impl FnMut(&mut Kind) -> bool) {
        let Some(n) = self.devices.iter_mut().position(|device| f(&mut device.kind)) else { return };
        let device = &mut self.devices[n];
        if commanded(pci, device.slot, BME) {
            device.serve(board, 0);
        }
        self.settle(board, n);
    }

    /// Let the gateway, if there is one, do something.
    fn with_gateway(&mut self, board: &mut Board<'_>, pci: &PciBus, f: impl Fn(&mut Gateway)) {
        self.with_device(board, pci, |kind| match kind {
            Kind::Net(gateway) => {
                f(gateway);
                true
            }
            _ => false,
        });
    }

    /// Let the serial device, if there is one, do something.
    fn with_serial(&mut self, board: &mut Board<'_>, pci: &PciBus, f: impl Fn(&mut Serial)) {
        self.with_device(board, pci, |kind| match kind {
            Kind::Serial(serial) => {
                f(serial);
                true
            }
            _ => false,
        });
    }

    /// The user typed `bytes` at port `n` of the serial device.
    pub fn type_at(&mut self, board: &mut Board<'_>, pci: &PciBus, n: u8, bytes: &[u8]) {
        self.with_serial(board, pci, |serial| serial.receive(n, bytes));
    }

    /// The terminal at port `n` of the serial device has this size now.
    pub fn resize(&mut self, board: &mut Board<'_>, pci: &PciBus, n: u8, size: TerminalSize) {
        self.with_serial(board, pci, |serial| serial.resize(n, size));
    }

    /// [`crate::events::Event::Network`].
    pub fn on_timer(&mut self, board: &mut Board<'_>, pci: &PciBus) {
        let now = board.now;
        self.with_gateway(board, pci, |gateway| gateway.on_timer(now));
    }

    /// Something from the outside.
    pub fn from_outside(&mut self, board: &mut Board<'_>, pci: &PciBus, message: &crate::net::FromOutside) {
        let now = board.now;
        self.with_gateway(board, pci, |gateway| gateway.from_outside(now, message));
    }

    /// Whether the outside has been asked for something that may still come.
    pub fn awaits_outside(&self) -> bool {
        self.devices.iter().any(|d| matches!(&d.kind, Kind::Net(gateway) if gateway.awaits_outside()))
    }
}

/// Told to the outside through [`crate::outputs::Outputs`].
pub type Message = ToOutside;

#[cfg(test)]
mod tests;
