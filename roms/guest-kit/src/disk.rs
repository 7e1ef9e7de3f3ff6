//! The first disk, on either bus: one request at a time, its header, data and status in one page.

use crate::bus;
use crate::hypercall;
use crate::memory::{PAGE, allocate_frame, peek, poke};
use crate::paging::phys_to_virt;
use crate::pci;
use crate::virtio;
use crate::virtqueue::{VirtQueue, WRITE as DEVICE_WRITES};

/// Bytes of a sector.
pub const SECTOR: u32 = 512;

/// Types of request.
const READ: u32 = 0;
const WRITE: u32 = 1;
const GET_ID: u32 = 8;
/// Added to a write by old kernels: it must not overtake, nor be overtaken.
const BARRIER: u32 = 1 << 31;

/// Where in the page the status byte and the data are; the header is first.
const STATUS: u32 = 16;
const DATA: u32 = SECTOR;
/// A status no device writes.
const NONE: u32 = 0xff;

/// The device's register behind the common ones: its configuration.
const PCI_CONFIG: u32 = 0x3c;

/// How requests travel.
enum Transport {
    /// Rings where the Host put them, notified by hypercall.
    Bus(VirtQueue),
    /// Rings of our own, notified by a register.
    Pci(virtio::Queue),
}

/// The disk.
pub struct Disk {
    transport: Transport,
    /// Guest-physical address of the page.
    page: u32,
    /// Its size in sectors.
    pub sectors: u32,
}

impl Disk {
    /// Finds it on the lguest bus and takes it into use.
    pub fn on_bus() -> Option<Self> {
        let device = bus::Device::find(bus::kind::BLOCK)?;
        device.start();
        Some(Self::new(Transport::Bus(device.queue(0).0), device.config(0)))
    }

    /// Finds it on the PCI bus and takes it into use.
    pub fn on_pci() -> Option<Self> {
        let device = pci::Device::find(virtio::kind::BLOCK)?;
        let queue = virtio::Queue::of_ready_device(device, 0);
        Some(Self::new(Transport::Pci(queue), device.read(PCI_CONFIG)))
    }

    fn new(transport: Transport, sectors: u32) -> Self {
        Self { transport, page: allocate_frame(), sectors }
    }

    /// Has the device answered nothing since it was taken into use?
    pub fn is_fresh(&mut self) -> bool {
        match &mut self.transport {
            Transport::Bus(queue) => queue.finished().is_none(),
            Transport::Pci(queue) => queue.used() == 0,
        }
    }

    /// The word at byte `offset` of the data.
    pub fn word(&self, offset: u32) -> u32 {
        peek(phys_to_virt(self.page) + DATA + offset)
    }

    /// Sets it.
    pub fn set_word(&self, offset: u32, value: u32) {
        poke(phys_to_virt(self.page) + DATA + offset, value);
    }

    /// Makes a request about `bytes` of data, which the device writes or reads; the status it ends with.
    fn request(&mut self, request: u32, sector: u32, bytes: u32, device_writes: bool) -> u32 {
        let header = phys_to_virt(self.page);
        for (n, word) in (0..).zip([request, 0, sector, 0, NONE]) {
            poke(header + 4 * n, word);
        }
        let buffers = [
            (self.page, STATUS, false),
            (self.page + DATA, bytes, device_writes),
            (self.page + STATUS, 1, true),
        ];
        match &mut self.transport {
            Transport::Bus(queue) => {
                queue.offer_chain(&buffers);
                while queue.finished().is_none() {
                    hypercall::send_interrupts();
                }
            }
            // Without an answer the status stays what no device writes.
            Transport::Pci(queue) => {
                let flags = |writes| if writes { DEVICE_WRITES } else { 0 };
                queue.submit(&buffers.map(|(address, length, writes)| (address, length, flags(writes))));
            }
        }
        peek(header + STATUS)
    }

    /// Reads a sector. True if that worked.
    pub fn read(&mut self, sector: u32) -> bool {
        self.request(READ, sector, SECTOR, true) == 0
    }

    /// Writes one.
    pub fn write(&mut self, sector: u32) -> bool {
        self.request(WRITE | BARRIER, sector, SECTOR, false) == 0
    }

    /// Asks for its name, which is then the data.
    pub fn name(&mut self) -> bool {
        self.request(GET_ID, 0, 20, true) == 0
    }
}

const _: () = assert!(DATA + SECTOR <= PAGE);
