//! Virtqueues (8.6): rings in memory the Guest can scribble on, whoever chose their place. Indexes are the Host's own; every
//! number read is checked, every chain is bounded by the queue's size.

use crate::abi::PAGE;
use crate::death::Outcome;
use crate::mutant::{broken, unchecked};
use crate::ram::GuestRam;

/// Entries of a queue at most, and of each on the lguest bus.
pub const SIZE: u32 = 64;
/// Pages of the rings on the lguest bus: descriptors and available ring, then used ring.
pub const PAGES: u32 = 2;

const DESCRIPTOR: u32 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

/// A queue: guest-physical addresses of its rings, and how far the Host has got.
#[derive(Clone, Copy, Debug)]
pub struct VirtQueue {
    descriptors: u32,
    available: u32,
    used_ring: u32,
    size: u32,
    seen: u16,
    used: u16,
    /// Chains that may still be taken in this turn: what a chain brings may land in the rings and offer the next one, for ever.
    budget: u32,
    /// Bytes of the next chain that were used in an earlier turn.
    begun: u32,
    /// The driver broke a rule: nothing happens any more until it resets the device.
    stopped: bool,
}

/// One buffer of a chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Buffer {
    /// Guest-physical address; the whole buffer is RAM.
    pub addr: u32,
    /// Bytes.
    pub len: u32,
    /// The device may write it (and may not read it).
    pub writable: bool,
}

/// A chain, copied and checked whole before any of it is used.
pub struct Chain {
    head: u16,
    buffers: [Buffer; SIZE as usize],
    len: usize,
}

impl Chain {
    /// Its buffers in order.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers[..self.len]
    }

    fn side(&self, writable: bool) -> impl Iterator<Item = &Buffer> {
        self.buffers().iter().filter(move |b| b.writable == writable || broken("chain-sides-mixed"))
    }

    /// Bytes of all buffers the device may write, or of all it may read.
    pub fn len_of(&self, writable: bool) -> u32 {
        self.side(writable).fold(0, |sum: u32, b| sum.saturating_add(b.len))
    }

    /// Addresses and lengths of the pieces that `len` bytes from `at` on are in.
    fn pieces(&self, writable: bool, mut at: u32, mut len: u32) -> impl Iterator<Item = (u32, u32)> {
        self.side(writable).filter_map(move |b| {
            let skipped = at.min(b.len);
            at -= skipped;
            let n = len.min(b.len - skipped);
            len = if broken("chain-one-piece") { 0 } else { len - n };
            (n != 0).then_some((b.addr + skipped, n))
        })
    }

    /// Copy what the driver gave, from byte `at` on, however it is split.
    pub fn read(&self, ram: &GuestRam, at: u32, bytes: &mut [u8]) -> Outcome<()> {
        let mut rest = bytes;
        for (addr, n) in self.pieces(false, at, rest.len() as u32) {
            let Some((piece, more)) = core::mem::take(&mut rest).split_at_mut_checked(n as usize) else {
                break;
            };
            ram.read_bytes(addr, piece)?;
            rest = more;
        }
        Ok(())
    }

    /// Copy to where the driver wants it, from byte `at` on, however it is split.
    pub fn write(&self, ram: &GuestRam, at: u32, bytes: &[u8]) -> Outcome<()> {
        let mut rest = bytes;
        for (addr, n) in self.pieces(true, at, bytes.len() as u32) {
            let Some((piece, more)) = rest.split_at_checked(n as usize) else { break };
            ram.write_bytes(addr, piece)?;
            rest = more;
        }
        Ok(())
    }
}

impl VirtQueue {
    /// The queue of `size` entries, at most [`SIZE`], with its rings at these places.
    pub const fn new(descriptors: u32, available: u32, used_ring: u32, size: u32) -> VirtQueue {
        VirtQueue {
            descriptors,
            available,
            used_ring,
            size,
            seen: 0,
            used: 0,
            budget: SIZE,
            begun: 0,
            stopped: false,
        }
    }

    /// The queue of the lguest bus whose rings start at guest-physical page `pfn`.
    pub const fn on_bus(pfn: u32) -> VirtQueue {
        let base = pfn * PAGE;
        VirtQueue::new(base, base + SIZE * DESCRIPTOR, base + PAGE, SIZE)
    }

    /// The driver reset its device on the lguest bus: rings and indexes start over.
    pub fn reset(&mut self, ram: &GuestRam) -> Outcome<()> {
        for page in 0..PAGES {
            ram.write(self.descriptors + page * PAGE, [0u8; PAGE as usize])?;
        }
        *self = VirtQueue { seen: 0, used: 0, budget: SIZE, begun: 0, stopped: false, ..*self };
        Ok(())
    }

    /// Address of the rings, which is what a driver on the lguest bus notifies.
    pub const fn address(&self) -> u32 {
        self.descriptors
    }

    /// A new turn: as many chains as an honest driver can have offered (10.3).
    pub const fn begin_turn(&mut self) {
        self.budget = SIZE;
    }

    /// What is waiting has to wait for the next turn.
    pub fn end_turn(&mut self) {
        if !broken("device-turns-whole") {
            self.budget = 0;
        }
    }

    /// The turn ended before the queue was known to be empty.
    pub const fn is_interrupted(&self) -> bool {
        self.budget == 0
    }

    /// The driver made chains available that were not taken.
    pub fn is_waiting(&self, ram: &GuestRam) -> Outcome<bool> {
        let index: u16 = ram.read(self.available.wrapping_add(2))?;
        Ok(index != self.seen && !self.stopped)
    }

    /// A descriptor number is inside the table.
    const fn is_entry(&self, n: u16) -> bool {
        (n as u32) < self.size
    }

    /// The next chain the driver made available. A driver that breaks a rule of 8.6 stops the queue.
    pub fn pop(&mut self, ram: &GuestRam) -> Outcome<Option<Chain>> {
        let index: u16 = ram.read(self.available.wrapping_add(2))?;
        let waiting = index.wrapping_sub(self.seen) as u32;
        if waiting == 0 || self.stopped || self.budget == 0 {
            return Ok(None);
        }
        if !unchecked("QUEUE_BUDGET") {
            self.budget -= 1;
        }
        let slot = self.seen as u32 % self.size;
        let head: u16 = ram.read(self.available.wrapping_add(4 + 2 * slot))?;
        let honest = (waiting <= self.size || unchecked("QUEUE_INDEX"))
            && (self.is_entry(head) || unchecked("QUEUE_HEAD"));
        let chain = if honest { self.gather(ram, head)? } else { None };
        match chain {
            Some(_) => self.seen = self.seen.wrapping_add(1),
            None => self.stopped = true,
        }
        Ok(chain)
    }

    /// Copy the chain at `head`; `None` if it loops, leaves the table, or points outside RAM.
    fn gather(&self, ram: &GuestRam, head: u16) -> Outcome<Option<Chain>> {
        let mut chain = Chain { head, buffers: [Buffer::default(); SIZE as usize], len: 0 };
        let mut next = Some(head);
        while let Some(n) = next {
            if chain.len == self.size as usize {
                return Ok(unchecked("QUEUE_LOOP").then_some(chain));
            }
            if chain.len > 0 && !self.is_entry(n) && !unchecked("QUEUE_NEXT") {
                return Ok(None);
            }
            let at = self.descriptors.wrapping_add(n as u32 * DESCRIPTOR);
            let (addr, len): (u64, u32) = (ram.read(at)?, ram.read(at.wrapping_add(8))?);
            let (flags, link): (u16, u16) = (ram.read(at.wrapping_add(12))?, ram.read(at.wrapping_add(14))?);
            let inside = addr <= u32::MAX as u64 && ram.contains(addr as u32, len);
            if !inside && !unchecked("QUEUE_RANGE") {
                return Ok(None);
            }
            chain.buffers[chain.len] = Buffer { addr: addr as u32, len, writable: flags & WRITE != 0 };
            chain.len += 1;
            next = (flags & NEXT != 0).then_some(link);
        }
        Ok(Some(chain))
    }

    /// The chain just taken is the next one again, `begun` bytes of it are done. The driver may have changed it until then.
    pub const fn put_back(&mut self, begun: u32) {
        self.seen = self.seen.wrapping_sub(1);
        self.begun = begun;
    }

    /// Bytes of the chain just taken that were done before it was put back.
    pub const fn begun(&self) -> u32 {
        self.begun
    }

    /// Give a chain back with `len` bytes written. True if the driver wants an interrupt.
    pub fn push(&mut self, ram: &GuestRam, chain: &Chain, len: u32) -> Outcome<bool> {
        let slot = self.used as u32 % self.size;
        ram.write(self.used_ring.wrapping_add(4 + 8 * slot), [chain.head as u32, len])?;
        self.used = self.used.wrapping_add(1);
        self.begun = 0;
        ram.write(self.used_ring.wrapping_add(2), self.used)?;
        let flags: u16 = ram.read(self.available)?;
        Ok(flags & NO_INTERRUPT == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    /// Runs `check` on a queue at page 0 whose available ring offers descriptor 0, set to these values.
    fn offered(addr: u64, len: u32, flags: u16, next: u16, check: impl FnOnce(Option<Chain>)) {
        let mut bytes = vec![0u8; 4 * PAGE as usize];
        // SAFETY: `bytes` outlives `ram` and is not used meanwhile.
        let ram = unsafe { GuestRam::new(bytes.as_mut_ptr(), 4 * PAGE) };
        let mut queue = VirtQueue::on_bus(0);
        ram.write(0, addr).unwrap();
        ram.write(8, len).unwrap();
        ram.write(12, [flags, next]).unwrap();
        ram.write(queue.available + 2, 1u16).unwrap();
        check(queue.pop(&ram).unwrap());
    }

    #[test]
    fn a_turn_ends_however_much_is_offered() {
        let mut bytes = vec![0u8; 4 * PAGE as usize];
        // SAFETY: `bytes` outlives `ram` and is not used meanwhile.
        let ram = unsafe { GuestRam::new(bytes.as_mut_ptr(), 4 * PAGE) };
        let mut queue = VirtQueue::on_bus(0);
        let turn = |queue: &mut VirtQueue| {
            let mut served = 0u16;
            // Each chain offers the next, as one that reads a sector of a disk over the rings can.
            ram.write(queue.available + 2, queue.seen.wrapping_add(1)).unwrap();
            while queue.pop(&ram).unwrap().is_some() {
                served += 1;
                ram.write(queue.available + 2, queue.seen.wrapping_add(1)).unwrap();
            }
            served
        };
        assert_eq!((turn(&mut queue), queue.is_interrupted()), (SIZE as u16, true));
        assert_eq!(turn(&mut queue), 0);
        queue.begin_turn();
        assert_eq!(turn(&mut queue), SIZE as u16);
    }

    #[test]
    fn honest_chains_come_whole_and_others_not_at_all() {
        offered(0x3000, 0x1000, WRITE, 0, |chain| {
            let chain = chain.unwrap();
            assert_eq!(chain.buffers(), [Buffer { addr: 0x3000, len: 0x1000, writable: true }]);
        });
        for (addr, len, flags, next) in [
            (0x3000, 0x1001, 0, 0),
            (0xFFFF_F000, 0x1000, 0, 0),
            (0x1_0000_3000, 1, 0, 0),
            (0x3000, 1, NEXT, 0),
            (0x3000, 1, NEXT, SIZE as u16),
        ] {
            offered(addr, len, flags, next, |chain| {
                assert!(chain.is_none(), "{addr:#x} {len:#x} {flags} {next}")
            });
        }
    }
}
