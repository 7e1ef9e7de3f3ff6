//! Legacy virtqueues of the lguest bus (8.1, 8.6): rings the Host chose the place of, in memory the Guest can scribble
//! on. Indexes are the Host's own; every number read is checked, every chain is bounded by the queue's size.

use crate::abi::PAGE;
use crate::death::Outcome;
use crate::mutant::unchecked;
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
}

impl VirtQueue {
    /// The queue whose rings start at guest-physical page `pfn`.
    pub const fn new(pfn: u32) -> VirtQueue {
        VirtQueue { base: pfn * PAGE, seen: 0, used: 0, stopped: false }
    }

    /// The driver reset the device: rings and indexes start over.
    pub fn reset(&mut self, ram: &GuestRam) -> Outcome<()> {
        for page in 0..PAGES {
            ram.write(self.base + page * PAGE, [0u8; PAGE as usize])?;
        }
        *self = VirtQueue { seen: 0, used: 0, stopped: false, ..*self };
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

    /// The next chain the driver made available. A driver that breaks a rule of 8.6 stops the queue.
    pub fn pop(&mut self, ram: &GuestRam) -> Outcome<Option<Chain>> {
        let index: u16 = ram.read(self.available() + 2)?;
        let waiting = index.wrapping_sub(self.seen) as u32;
        if waiting == 0 || self.stopped {
            return Ok(None);
        }
        let slot = self.seen as u32 % SIZE;
        let head: u16 = ram.read(self.available() + 4 + 2 * slot)?;
        let honest =
            (waiting <= SIZE || unchecked("QUEUE_INDEX")) && (head_ok(head) || unchecked("QUEUE_HEAD"));
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
            if chain.len == SIZE as usize {
                return Ok(unchecked("QUEUE_LOOP").then_some(chain));
            }
            if chain.len > 0 && !head_ok(n) && !unchecked("QUEUE_NEXT") {
                return Ok(None);
            }
            let at = self.base + n as u32 * DESCRIPTOR;
            let (addr, len): (u64, u32) = (ram.read(at)?, ram.read(at + 8)?);
            let (flags, link): (u16, u16) = (ram.read(at + 12)?, ram.read(at + 14)?);
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

/// A descriptor number is inside the table.
const fn head_ok(n: u16) -> bool {
    (n as u32) < SIZE
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
        let mut queue = VirtQueue::new(0);
        ram.write(0, addr).unwrap();
        ram.write(8, len).unwrap();
        ram.write(12, [flags, next]).unwrap();
        ram.write(queue.available() + 2, 1u16).unwrap();
        check(queue.pop(&ram).unwrap());
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
