//! Kinds of virtio devices: what a driver sees of one, and what it does with its queues.

use super::queue::Queue;
use super::rng::Rng;
use super::serial::{self, Serial};
use crate::devices::Board;
use crate::net::{GUEST_MAC, Gateway};
use serde::{Deserialize, Serialize};

/// Feature of network devices: the configuration has a MAC address.
const NET_MAC: u64 = 1 << 5;
/// Bytes before each packet: flags, segmentation, checksum, number of buffers.
pub const NET_HEADER: usize = 12;
/// The longest Ethernet frame, without its checksum.
const LONGEST_FRAME: usize = 1514;

/// What a device is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Queues 0 for reception, 1 for transmission.
    Net(Box<Gateway>),
    /// Queue 0 takes entropy.
    Rng(Rng),
    /// See [`serial`].
    Serial(Serial),
}

/// What the driver sees.
pub struct Identity {
    /// Virtio device number.
    pub id: u16,
    /// PCI class, subclass and interface.
    pub class: u32,
    /// Features, VERSION_1 not among them.
    pub features: u64,
    /// Number of queues.
    pub queues: usize,
}

impl Kind {
    /// What the driver sees.
    pub fn identity(&self) -> Identity {
        match self {
            Kind::Net(_) => Identity { id: 1, class: 0x02_0000, features: NET_MAC, queues: 2 },
            Kind::Serial(serial) => {
                Identity { id: 3, class: 0x07_8000, features: serial::FEATURES, queues: serial.queues() }
            }
            Kind::Rng(_) => Identity { id: 4, class: 0x00_FF00, features: 0, queues: 1 },
        }
    }

    /// A byte of the device configuration.
    pub fn config(&self, at: u32) -> u8 {
        match self {
            Kind::Net(_) => GUEST_MAC.get(at as usize).copied().unwrap_or(0),
            Kind::Serial(serial) => serial.config(at),
            Kind::Rng(_) => 0,
        }
    }

    /// Do what can be done with `queues`, `n` of which was notified; the driver took `features`. True if it wants an interrupt.
    pub fn serve(&mut self, board: &mut Board<'_>, queues: &mut [Queue], n: usize, features: u64) -> bool {
        let mut interrupt = false;
        match (self, queues) {
            (Kind::Rng(rng), [requests]) => {
                while let Some(chain) = requests.pop(board.mem) {
                    let len = chain.write(board.mem, &rng.bytes(chain.room()));
                    interrupt |= requests.push(board.mem, &chain, len);
                }
            }
            (Kind::Net(gateway), [reception, transmission]) => {
                while n == 1
                    && let Some(chain) = transmission.pop(board.mem)
                {
                    let bytes = chain.read(board.mem, NET_HEADER + LONGEST_FRAME);
                    gateway.from_guest(board.now, bytes.get(NET_HEADER..).unwrap_or_default());
                    interrupt |= transmission.push(board.mem, &chain, 0);
                }
                while gateway.has_frame()
                    && let Some(chain) = reception.pop(board.mem)
                    && let Some(frame) = gateway.next_frame(board.now)
                {
                    let mut bytes = vec![0; NET_HEADER];
                    bytes[10] = 1;
                    bytes.extend_from_slice(&frame);
                    let len = chain.write(board.mem, &bytes);
                    interrupt |= reception.push(board.mem, &chain, len);
                }
            }
            (Kind::Serial(serial), queues) => {
                let multiport = features & serial::MULTIPORT != 0;
                interrupt = serial.serve(board.mem, board.outputs, queues, n, multiport);
            }
            _ => {}
        }
        interrupt
    }
}
