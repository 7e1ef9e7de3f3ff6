//! Legacy virtqueues of the lguest bus (8.1, 8.6): rings the Host chose the place of, in memory the Guest can scribble
//! on. Indexes are the Host's own; every number read is checked, every chain is bounded by the queue's size.

use crate::abi::PAGE;
use crate::death::Outcome;
use crate::ram::GuestRam;

/// Entries of a queue.
pub const SIZE: u32 = 64;
/// Pages of its rings: descriptors and available ring, then used ring.
pub const PAGES: u32 = 2;

const DESCRIPTOR: u32 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

/// A queue at a fixed place.
#[derive(Clone, Copy, Debug)]
pub struct VirtQueue {
    base: u32,
    seen: u16,
    used: u16,
}

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// Guest-physical address.
    pub addr: u32,
    /// Bytes.
    pub len: u32,
    /// The device may write it (and may not read it).
    pub writable: bool,
}

/// A chain being walked.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    /// First descriptor: what goes into the used ring.
    pub head: u16,
    next: Option<u16>,
    left: u32,
}

impl VirtQueue {
    /// The queue whose rings start at guest-physical page `pfn`.
    pub const fn new(pfn: u32) -> VirtQueue {
        VirtQueue { base: pfn * PAGE, seen: 0, used: 0 }
    }

    /// The driver reset the device: rings and indexes start over.
    pub fn reset(&mut self, ram: &GuestRam) -> Outcome<()> {
        for page in 0..PAGES {
            ram.write(self.base + page * PAGE, [0u8; PAGE as usize])?;
        }
        *self = VirtQueue { seen: 0, used: 0, ..*self };
        Ok(())
    }

    /// Address of the rings, which is what the driver notifies.
    pub const fn address(&self) -> u32 {
        self.base
    }

    const fn available(&self) -> u32 {
        self.base + SIZE * DESCRIPTOR
    }

    const fn used_ring(&self) -> u32 {
        self.base + PAGE
    }

    /// The next chain the driver made available. A queue that claims more than it can hold gives none.
    pub fn pop(&mut self, ram: &GuestRam) -> Outcome<Option<Chain>> {
        let index: u16 = ram.read(self.available() + 2)?;
        let waiting = index.wrapping_sub(self.seen);
        if waiting == 0 || waiting as u32 > SIZE {
            return Ok(None);
        }
        let slot = self.seen as u32 % SIZE;
        let head: u16 = ram.read(self.available() + 4 + 2 * slot)?;
        self.seen = self.seen.wrapping_add(1);
        Ok(Some(Chain { head, next: Some(head), left: SIZE }))
    }

    /// Undo the last [`Self::pop`].
    pub fn unpop(&mut self) {
        self.seen = self.seen.wrapping_sub(1);
    }

    /// The chain's next buffer; `None` at its end, or where it breaks a rule.
    pub fn next_buffer(&self, ram: &GuestRam, chain: &mut Chain) -> Outcome<Option<Buffer>> {
        let Some(n) = chain.next.filter(|&n| (n as u32) < SIZE && chain.left > 0) else { return Ok(None) };
        chain.left -= 1;
        let at = self.base + n as u32 * DESCRIPTOR;
        let (addr, len): (u64, u32) = (ram.read(at)?, ram.read(at + 8)?);
        let (flags, next): (u16, u16) = (ram.read(at + 12)?, ram.read(at + 14)?);
        chain.next = (flags & NEXT != 0).then_some(next);
        let addr = u32::try_from(addr).ok().filter(|&addr| ram.contains(addr, len));
        Ok(addr.map(|addr| Buffer { addr, len, writable: flags & WRITE != 0 }))
    }

    /// Give a chain back with `len` bytes written. True if the driver wants an interrupt.
    pub fn push(&mut self, ram: &GuestRam, chain: &Chain, len: u32) -> Outcome<bool> {
        let slot = self.used as u32 % SIZE;
        ram.write(self.used_ring() + 4 + 8 * slot, [chain.head as u32, len])?;
        self.used = self.used.wrapping_add(1);
        ram.write(self.used_ring() + 2, self.used)?;
        let flags: u16 = ram.read(self.available())?;
        Ok(flags & NO_INTERRUPT == 0)
    }
}
