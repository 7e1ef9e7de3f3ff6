//! The virtio network card (8.7): frames between a Guest's memory and the Host's [`crate::switch`].
//!
//! The card computes nothing: no checksums, no segments, one buffer a frame. So the header before each frame says nothing either.

use crate::death::Outcome;
use crate::guest::Platform;
use crate::mutant::{broken, unchecked};
use crate::ram::GuestRam;
use crate::virtqueue::VirtQueue;

/// The hardware address of a card.
pub type Mac = [u8; 6];

/// Bytes of the longest Ethernet frame, without its checksum.
pub const FRAME: usize = 1514;
/// Bytes of the shortest: two addresses and a type.
pub const SHORTEST: usize = 14;

/// Bytes of the header before each frame on the lguest bus.
pub const BUS_HEADER: u32 = 10;
/// On PCI: the number of buffers comes last in it, which is one.
pub const PCI_HEADER: u32 = 12;

/// A Guest's card.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nic {
    /// Its address.
    pub mac: Mac,
    /// Bytes before each frame: [`BUS_HEADER`] or [`PCI_HEADER`].
    pub header: u32,
}

impl Nic {
    /// Send what the driver put into `queue`. What is no frame is forgotten. True if the driver wants an interrupt.
    ///
    /// # Errors
    /// BAD_READ, BAD_WRITE: the rings are outside the Guest's RAM.
    pub fn transmit(
        self,
        queue: &mut VirtQueue,
        ram: &GuestRam,
        platform: &mut dyn Platform,
    ) -> Outcome<bool> {
        let mut interrupt = false;
        while let Some(chain) = queue.pop(ram)? {
            let mut bytes = [0; FRAME];
            let len = chain.len_of(false).saturating_sub(self.header) as usize;
            let len = if unchecked("FRAME_LENGTH") { len.min(FRAME) } else { len };
            if let Some(frame) = bytes.get_mut(..len).filter(|frame| frame.len() >= SHORTEST) {
                chain.read(ram, self.header, frame)?;
                platform.frame_send(frame);
            }
            interrupt |= queue.push(ram, &chain, 0)?;
        }
        Ok(interrupt)
    }

    /// Hand what arrived to the driver, as far as it has room. A frame its buffer is too small for is lost. True if the driver
    /// wants an interrupt.
    ///
    /// # Errors
    /// As for [`Self::transmit`].
    pub fn receive(
        self,
        queue: &mut VirtQueue,
        ram: &GuestRam,
        platform: &mut dyn Platform,
    ) -> Outcome<bool> {
        let mut interrupt = false;
        while platform.frame_ready() {
            let Some(chain) = queue.pop(ram)? else { break };
            let mut bytes = [0; FRAME];
            let len = platform.frame_receive(&mut bytes);
            let frame = bytes.get(..len).unwrap_or_default();
            let mut header = [0; PCI_HEADER as usize];
            header[BUS_HEADER as usize] = 1;
            let needed = self.header + frame.len() as u32;
            let fits = chain.len_of(true) >= needed || unchecked("FRAME_ROOM");
            let written = if fits && !broken("frames-not-delivered") {
                chain.write(ram, 0, &header[..self.header as usize])?;
                chain.write(ram, self.header, frame)?;
                needed
            } else {
                0
            };
            interrupt |= queue.push(ram, &chain, written)?;
        }
        Ok(interrupt)
    }
}
