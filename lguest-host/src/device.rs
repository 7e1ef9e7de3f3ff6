//! Kinds of virtio devices (8.7): what a driver sees of one and what it does with its queues, whichever bus it is on.

use crate::block::Disk;
use crate::console::{self, Size};
use crate::death::Outcome;
use crate::entropy;
use crate::guest::Platform;
use crate::net::{Mac, Nic};
use crate::ram::GuestRam;
use crate::virtqueue::{SIZE, VirtQueue};

/// Most devices of a Guest: a console, four disks, a network card, an entropy source.
pub const DEVICES: usize = 7;
/// Most queues of a device.
pub const QUEUES: usize = 2;

/// Features of the block device: most buffers of a request, read-only, flush.
const BLOCK_SEG_MAX: u32 = 1 << 2;
const BLOCK_READ_ONLY: u32 = 1 << 5;
const BLOCK_FLUSH: u32 = 1 << 9;
/// Feature of the network card: its configuration has its address.
const NET_MAC: u32 = 1 << 5;
/// Feature of the console: its configuration has the terminal's size.
const CONSOLE_SIZE: u32 = 1;
/// Feature of the console: single characters can be said before there is a driver. Only PCI has the register for it.
const CONSOLE_EMERGENCY_WRITE: u32 = 1 << 2;

/// What a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Queue 0 takes what was typed, queue 1 what the Guest says, on a terminal of this size.
    Console(Size),
    /// Queue 0 takes requests.
    Block(Disk),
    /// Queue 0 takes what arrives, queue 1 what the Guest sends.
    Net(Nic),
    /// Queue 0 takes entropy.
    Entropy,
}

/// What a Guest has beside its console.
#[derive(Clone, Copy, Debug, Default)]
pub struct Equipment<'a> {
    /// Its disks.
    pub disks: &'a [Disk],
    /// Its network card's address, if it has one.
    pub mac: Option<Mac>,
    /// It has an entropy source.
    pub entropy: bool,
}

impl<'a> Equipment<'a> {
    /// All devices, in the order of both buses. Before each packet there are `header` bytes, which differ between them.
    pub fn kinds(self, header: u32) -> impl Iterator<Item = Kind> + use<'a> {
        let disks = self.disks.iter().map(|&disk| Kind::Block(disk));
        let net = self.mac.map(|mac| Kind::Net(Nic { mac, header }));
        let entropy = self.entropy.then_some(Kind::Entropy);
        [Kind::Console(Size::default())].into_iter().chain(disks).chain(net).chain(entropy).take(DEVICES)
    }
}

/// What the driver sees of a kind of device on one of the buses.
#[derive(Clone, Copy)]
pub struct Offer {
    /// Features, VERSION_1 not among them.
    pub features: u32,
    /// Bytes of device configuration.
    pub config: u32,
}

/// What the driver sees of a kind of device.
pub struct Identity {
    /// Virtio device number.
    pub id: u16,
    /// PCI class and subclass.
    pub class: u16,
    /// Number of queues.
    pub queues: usize,
    /// On the PCI bus.
    pub pci: Offer,
    /// On the lguest bus, as the kernels before 4.0 knew the device.
    pub bus: Offer,
}

impl Kind {
    /// What the driver sees.
    pub const fn identity(self) -> Identity {
        match self {
            Kind::Console(_) => Identity {
                id: 3,
                class: 0x0700,
                queues: 2,
                pci: Offer { features: CONSOLE_SIZE | CONSOLE_EMERGENCY_WRITE, config: 12 },
                bus: Offer { features: 0, config: 0 },
            },
            Kind::Block(Disk { read_only, .. }) => {
                let features = BLOCK_SEG_MAX | BLOCK_FLUSH | if read_only { BLOCK_READ_ONLY } else { 0 };
                Identity {
                    id: 2,
                    class: 0x0180,
                    queues: 1,
                    pci: Offer { features, config: 36 },
                    bus: Offer { features, config: 16 },
                }
            }
            Kind::Net(_) => {
                let offer = Offer { features: NET_MAC, config: 8 };
                Identity { id: 1, class: 0x0200, queues: 2, pci: offer, bus: offer }
            }
            Kind::Entropy => {
                let offer = Offer { features: 0, config: 0 };
                Identity { id: 4, class: 0x00FF, queues: 1, pci: offer, bus: offer }
            }
        }
    }

    /// The word of device configuration at `offset`.
    pub const fn config(self, offset: u32) -> u32 {
        match (self, offset) {
            (Kind::Console(size), 0) => size.columns as u32 | (size.rows as u32) << 16,
            (Kind::Block(disk), 0) => disk.sectors,
            // Most buffers, beside header and status.
            (Kind::Block(_), 12) => SIZE - 2,
            (Kind::Net(Nic { mac: [a, b, c, d, ..], .. }), 0) => u32::from_le_bytes([a, b, c, d]),
            (Kind::Net(Nic { mac: [.., e, f], .. }), 4) => u32::from_le_bytes([e, f, 0, 0]),
            _ => 0,
        }
    }

    /// Do what the driver asked for in the queues it `kicked`, as bits, and hand over what came from outside. The queues whose
    /// driver wants an interrupt, as bits; those whose turn ended before they were empty stay kicked.
    ///
    /// # Errors
    /// BAD_READ, BAD_WRITE: rings outside the Guest's RAM.
    pub fn serve(
        self,
        mut queues: [Option<&mut VirtQueue>; QUEUES],
        kicked: &mut u32,
        ram: &GuestRam,
        platform: &mut dyn Platform,
    ) -> Outcome<u32> {
        let asked = core::mem::take(kicked);
        for queue in queues.iter_mut().flatten() {
            queue.begin_turn();
        }
        let [first, second] = queues.each_mut().map(Option::as_mut);
        let mut irqs = 0;
        match self {
            Kind::Console(_) => {
                if asked & 1 != 0 {
                    platform.console_wanted();
                }
                if let Some(queue) = first
                    && (asked & 1 != 0 || platform.console_ready())
                {
                    irqs |= console::receive(queue, ram, platform)? as u32;
                }
                if let Some(queue) = second
                    && asked & 2 != 0
                {
                    let (interrupt, waits) = console::transmit(queue, ram, platform)?;
                    irqs |= (interrupt as u32) << 1;
                    *kicked |= (waits as u32) << 1;
                }
            }
            Kind::Block(disk) => {
                if let Some(queue) = first
                    && asked & 1 != 0
                {
                    irqs |= disk.serve(queue, ram, platform)? as u32;
                }
            }
            Kind::Net(nic) => {
                if let Some(queue) = second
                    && asked & 2 != 0
                {
                    irqs |= (nic.transmit(queue, ram, platform)? as u32) << 1;
                }
                if asked & 1 != 0 {
                    platform.frames_wanted();
                }
                if let Some(queue) = first {
                    irqs |= nic.receive(queue, ram, platform)? as u32;
                }
            }
            Kind::Entropy => {
                if let Some(queue) = first
                    && asked & 1 != 0
                {
                    let (interrupt, waits) = entropy::serve(queue, ram, platform)?;
                    irqs |= interrupt as u32;
                    *kicked |= waits as u32;
                }
            }
        }
        for (n, queue) in queues.iter().enumerate() {
            *kicked |= (queue.as_ref().is_some_and(|q| q.is_interrupted()) as u32) << n;
        }
        Ok(irqs)
    }
}
