//! A split virtqueue, from the device's side (virtio 1.0, 2.4).
//!
//! Rings lie in memory that the driver may change at any time and to anything: every number is checked when it is read, a chain is
//! copied before it is used, and has no more parts than the queue has entries.

use cpu::mem::PhysMem;
use serde::{Deserialize, Serialize};

/// Entries of a queue at most.
pub const MAX_SIZE: u16 = 256;

const DESCRIPTOR: u64 = 16;
const NEXT: u16 = 1;
const WRITE: u16 = 2;
const NO_INTERRUPT: u16 = 1;

/// A queue as the driver set it up, and how far the device has got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Entries: a power of two.
    pub size: u16,
    /// In use.
    pub enabled: bool,
    /// Physical addresses of descriptors, available ring ("driver area"), used ring ("device area").
    pub areas: [u64; 3],
    seen: u16,
    used: u16,
    /// The driver broke a rule: nothing happens until it resets the device.
    stopped: bool,
}

impl Default for Queue {
    fn default() -> Queue {
        Queue { size: MAX_SIZE, enabled: false, areas: [0; 3], seen: 0, used: 0, stopped: false }
    }
}

/// A chain of buffers: physical addresses and lengths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chain {
    head: u16,
    readable: Vec<(u64, u32)>,
    writable: Vec<(u64, u32)>,
}

fn word<const N: usize>(mem: &PhysMem, at: u64) -> Option<[u8; N]> {
    mem.slice(at, N).and_then(|bytes| bytes.first_chunk()).copied()
}

fn u16_at(mem: &PhysMem, at: u64) -> Option<u16> {
    word(mem, at).map(u16::from_le_bytes)
}

impl Chain {
    /// The first `limit` bytes that the driver gave.
    pub fn read(&self, mem: &PhysMem, limit: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        for &(at, len) in &self.readable {
            let n = (len as usize).min(limit - bytes.len());
            bytes.extend_from_slice(mem.slice(at, n).unwrap_or_default());
        }
        bytes
    }

    /// Bytes that fit into what the driver offered.
    pub fn room(&self) -> u64 {
        self.writable.iter().map(|&(_, len)| u64::from(len)).sum()
    }

    /// Put `bytes` where the driver wants them, as many as fit: how many did.
    pub fn write(&self, mem: &mut PhysMem, bytes: &[u8]) -> u32 {
        let mut rest = bytes;
        for &(at, len) in &self.writable {
            let (now, later) = rest.split_at(rest.len().min(len as usize));
            if !now.is_empty() && !mem.write_bytes(at, now) {
                break;
            }
            rest = later;
        }
        (bytes.len() - rest.len()) as u32
    }
}

impl Queue {
    /// The next chain the driver made available. A driver that breaks a rule stops the queue.
    pub fn pop(&mut self, mem: &PhysMem) -> Option<Chain> {
        if !self.enabled || self.stopped {
            return None;
        }
        let [_, driver, _] = self.areas;
        let index = u16_at(mem, driver.wrapping_add(2))?;
        let waiting = index.wrapping_sub(self.seen);
        if waiting == 0 {
            return None;
        }
        let slot = u64::from(self.seen % self.size);
        let head = u16_at(mem, driver.wrapping_add(4 + 2 * slot))?;
        let chain = (waiting <= self.size).then(|| self.gather(mem, head)).flatten();
        match &chain {
            Some(_) => self.seen = self.seen.wrapping_add(1),
            None => self.stopped = true,
        }
        chain
    }

    /// `None` if the chain loops, leaves the table, or leads outside RAM.
    fn gather(&self, mem: &PhysMem, head: u16) -> Option<Chain> {
        let mut chain = Chain { head, ..Chain::default() };
        let mut next = head;
        for _ in 0..self.size {
            if next >= self.size {
                return None;
            }
            let at = self.areas[0].wrapping_add(u64::from(next) * DESCRIPTOR);
            let descriptor: [u8; 16] = word(mem, at)?;
            let [addr_low, addr_high, len, rest] =
                [0, 4, 8, 12].map(|n| u32::from_le_bytes([0, 1, 2, 3].map(|k| descriptor[n + k])));
            let addr = u64::from(addr_high) << 32 | u64::from(addr_low);
            let (flags, link) = (rest as u16, (rest >> 16) as u16);
            mem.slice(addr, len as usize)?;
            let side = if flags & WRITE != 0 { &mut chain.writable } else { &mut chain.readable };
            side.push((addr, len));
            if flags & NEXT == 0 {
                return Some(chain);
            }
            next = link;
        }
        None
    }

    /// Give a chain back with `len` bytes written. True if the driver wants an interrupt.
    pub fn push(&mut self, mem: &mut PhysMem, chain: &Chain, len: u32) -> bool {
        let [_, driver, device] = self.areas;
        let slot = u64::from(self.used % self.size);
        let entry = u64::from(len) << 32 | u64::from(chain.head);
        mem.write_bytes(device.wrapping_add(4 + 8 * slot), &entry.to_le_bytes());
        self.used = self.used.wrapping_add(1);
        mem.write_bytes(device.wrapping_add(2), &self.used.to_le_bytes());
        u16_at(mem, driver).is_some_and(|flags| flags & NO_INTERRUPT == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cpu::mem::Ram;
    use proptest::prelude::*;

    const AREAS: [u64; 3] = [0x1000, 0x2000, 0x3000];

    fn offer(mem: &mut PhysMem, descriptors: &[(u64, u32, u16, u16)]) -> Queue {
        for (n, &(addr, len, flags, next)) in (0u64..).zip(descriptors) {
            mem.write_bytes(AREAS[0] + 16 * n, &addr.to_le_bytes());
            mem.write_bytes(AREAS[0] + 16 * n + 8, &len.to_le_bytes());
            mem.write_bytes(AREAS[0] + 16 * n + 12, &flags.to_le_bytes());
            mem.write_bytes(AREAS[0] + 16 * n + 14, &next.to_le_bytes());
        }
        mem.write_bytes(AREAS[1] + 2, &[1, 0, 0, 0]);
        Queue { size: 8, enabled: true, areas: AREAS, ..Queue::default() }
    }

    #[test]
    fn a_split_chain_is_read_and_written_in_order() {
        let mut mem = PhysMem::new(Ram::zeroed(1 << 16));
        mem.write_bytes(0x5000, b"abcdef");
        let mut queue = offer(&mut mem, &[(0x5000, 2, NEXT, 2), (0x6000, 3, WRITE, 0), (0x5002, 4, NEXT, 1)]);
        let chain = queue.pop(&mem).unwrap();
        assert_eq!((chain.read(&mem, 100), chain.read(&mem, 3)), (b"abcdef".to_vec(), b"abc".to_vec()));
        assert_eq!((chain.room(), chain.write(&mut mem, b"12345")), (3, 3));
        assert_eq!(mem.slice(0x6000, 4), Some(&b"123\0"[..]));
        assert!(queue.push(&mut mem, &chain, 3));
        assert_eq!(mem.slice(AREAS[2] + 2, 10), Some(&[1, 0, 0, 0, 0, 0, 3, 0, 0, 0][..]));
        assert_eq!(queue.pop(&mem), None);
    }

    #[test]
    fn dishonest_chains_stop_the_queue() {
        let loops = [(0x5000, 1, NEXT, 1), (0x5000, 1, NEXT, 0)];
        for bad in [&loops[..], &[(0xFFFF, 2, 0, 0)], &[(u64::MAX, 2, 0, 0)], &[(0x5000, 1, NEXT, 8)]] {
            let mut mem = PhysMem::new(Ram::zeroed(1 << 16));
            let mut queue = offer(&mut mem, bad);
            assert_eq!(queue.pop(&mem), None);
            let honest = offer(&mut mem, &[(0x5000, 1, 0, 0)]);
            assert!(queue.stopped && queue.pop(&mem).is_none() && honest.clone().pop(&mem).is_some());
        }
        let mut mem = PhysMem::new(Ram::zeroed(1 << 16));
        let mut queue = offer(&mut mem, &[(0x5000, 1, 0, 0)]);
        mem.write_bytes(AREAS[1] + 2, &[9, 0]);
        assert_eq!(queue.pop(&mem), None, "more waiting than there are entries");
    }

    proptest! {
        /// Whatever is in the rings, and wherever they are, nothing panics and nothing goes on for ever.
        #[test]
        fn any_memory_is_survived(
            bytes in prop::collection::vec(any::<u8>(), 0x400),
            areas in prop::array::uniform3(prop_oneof![0u64..0x500, any::<u64>()]),
        ) {
            let mut mem = PhysMem::new(Ram::zeroed(0x1000));
            mem.write_bytes(0, &bytes);
            let mut queue = Queue { size: 8, enabled: true, areas, ..Queue::default() };
            for _ in 0..20 {
                let Some(chain) = queue.pop(&mem) else { break };
                let len = chain.write(&mut mem, &bytes);
                queue.push(&mut mem, &chain, len);
            }
        }
    }
}
