//! The lguest bus (8.1, 8.2): a page of device descriptors behind the end of the Guest's RAM, rings at places the Host chose, and
//! NOTIFY.
//!
//! | page behind RAM | content |
//! |---|---|
//! | 0 | descriptors |
//! | 1, 2 | rings of the first queue: the console's input |
//! | 3, 4 | rings of the second: its output |
//! | ... | two pages for each queue of each other device |
//!
//! The page is for the Guest to read; the Host never believes it again after writing it, but for the status byte a NOTIFY is about.

use crate::abi::PAGE;
use crate::death::{Category, Outcome, require};
use crate::device::{DEVICES, Equipment, Kind, QUEUES};
use crate::guest::Platform;
use crate::mutant::broken;
use crate::net::BUS_HEADER;
use crate::ram::GuestRam;
use crate::virtqueue::{PAGES, SIZE, VirtQueue};

/// Pages of the Guest's memory that are not RAM to it: descriptors and rings.
pub const BUS_PAGES: u32 = 1 + PAGES * (DEVICES * QUEUES) as u32;

/// Virtual interrupt of the first queue; each queue has its own.
const FIRST_IRQ: u32 = 1;
/// Bytes of a descriptor before its queues, of a queue in it, and where it has its status.
const HEADER: u32 = 5;
const QUEUE: u32 = 8;
const STATUS: u32 = 4;
const STATUS_FAILED: u8 = 0x80;
/// Longest early-console string.
const STRING: u32 = 4096;

/// A device.
#[derive(Clone, Copy)]
struct Device {
    kind: Kind,
    /// Guest-physical address of its descriptor.
    descriptor: u32,
    queues: [Option<VirtQueue>; QUEUES],
    /// Virtual interrupt of its first queue.
    irq: u32,
    /// Queues the driver has notified, as bits.
    kicked: u32,
    /// The driver gave up: nothing happens until it resets the device.
    failed: bool,
}

impl Device {
    /// What the driver wrote into the status byte. 3.0 tells of every change, 3.1 and later of few (8.2).
    fn status(&mut self, ram: &GuestRam) -> Outcome<()> {
        let status = ram.read::<u8>(self.descriptor + STATUS)?;
        if status == 0 && !broken("bus-reset-ignored") {
            for queue in self.queues.iter_mut().flatten() {
                queue.reset(ram)?;
            }
        }
        self.failed = status & STATUS_FAILED != 0;
        Ok(())
    }

    fn serve(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<u32> {
        if self.failed {
            self.kicked = 0;
            return Ok(0);
        }
        let queues = self.queues.each_mut().map(Option::as_mut);
        Ok(self.kind.serve(queues, &mut self.kicked, ram, platform)? << self.irq)
    }
}

/// A Guest's devices.
pub struct Bus {
    /// Guest-physical address of the descriptor page, which is the size of RAM.
    page: u32,
    devices: [Option<Device>; DEVICES],
    /// A driver wants something: asked at every exit.
    busy: bool,
}

impl Bus {
    /// Write the descriptors behind `ram_size` bytes of RAM: a console, and this.
    ///
    /// # Errors
    /// BAD_WRITE if there is no room: the Host made it too small.
    pub fn new(ram: &GuestRam, ram_size: u32, equipment: Equipment<'_>) -> Outcome<Bus> {
        let mut bus = Bus { page: ram_size, devices: [None; DEVICES], busy: false };
        let mut pfn = ram_size / PAGE + 1;
        let mut irq = FIRST_IRQ;
        let mut at = ram_size;
        for (slot, kind) in bus.devices.iter_mut().zip(equipment.kinds(BUS_HEADER)) {
            let identity = kind.identity();
            let mut device =
                Device { kind, descriptor: at, queues: [None; QUEUES], irq, kicked: 0, failed: false };
            let feature_bytes = (32 - identity.bus.features.leading_zeros()).div_ceil(8);
            let lengths =
                [identity.id as u8, identity.queues as u8, feature_bytes as u8, identity.bus.config as u8];
            ram.write(at, lengths)?;
            at += HEADER;
            for queue in device.queues.iter_mut().take(identity.queues) {
                ram.write(at, SIZE | irq << 16)?;
                ram.write(at + 4, pfn)?;
                *queue = Some(VirtQueue::on_bus(pfn));
                (at, pfn, irq) = (at + QUEUE, pfn + PAGES, irq + 1);
            }
            ram.write_bytes(at, &identity.bus.features.to_le_bytes()[..feature_bytes as usize])?;
            // What the Host offers, and room for what the driver takes.
            at += 2 * feature_bytes;
            for offset in (0..identity.bus.config).step_by(4) {
                ram.write(at + offset, kind.config(offset))?;
            }
            at += identity.bus.config;
            *slot = Some(device);
        }
        Ok(bus)
    }

    /// NOTIFY(addr): a queue, a descriptor, or a string for the early console.
    ///
    /// # Errors
    /// NOTIFY_RANGE; BAD_READ, BAD_WRITE only if the Host's own layout is wrong.
    pub fn notify(&mut self, ram: &GuestRam, addr: u32, platform: &mut dyn Platform) -> Outcome<()> {
        self.busy = true;
        for device in self.devices.iter_mut().flatten() {
            let kick = |queue: &Option<VirtQueue>| queue.is_some_and(|q| q.address() == addr);
            if let Some(n) = device.queues.iter().position(kick) {
                device.kicked |= 1 << n;
                return Ok(());
            }
            if addr == device.descriptor {
                return device.status(ram);
            }
        }
        require(addr < self.page, Category::NotifyRange, addr)?;
        self.print(ram, addr, platform)
    }

    /// Early console: a NUL-terminated string. Address 0 says nothing.
    fn print(&self, ram: &GuestRam, addr: u32, platform: &mut dyn Platform) -> Outcome<()> {
        for n in 0..if addr == 0 { 0 } else { STRING } {
            match ram.read::<u8>(addr.wrapping_add(n)) {
                Ok(byte) if byte != 0 => platform.console_write(&[byte]),
                _ => break,
            }
        }
        Ok(())
    }

    /// Whether a driver wants something. Asked at every exit.
    pub const fn is_busy(&self) -> bool {
        self.busy
    }

    /// Let every device do what there is to do. The virtual interrupts to raise, as bits.
    ///
    /// # Errors
    /// As [`Kind::serve`].
    pub fn serve(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<u32> {
        self.busy = false;
        let mut irqs = 0;
        for device in self.devices.iter_mut().flatten() {
            irqs |= device.serve(ram, platform)?;
            self.busy |= device.kicked != 0;
        }
        Ok(irqs)
    }
}
