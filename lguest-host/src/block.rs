//! The virtio block device (8.7): requests are read whole from the Guest's memory, wherever it split them.

use crate::death::Outcome;
use crate::guest::Platform;
use crate::mutant::{broken, unchecked};
use crate::ram::GuestRam;
use crate::virtqueue::{Chain, VirtQueue};

/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Bytes of a request's header: type, priority, sector.
const HEADER: u32 = 16;
/// Bytes of data in a request at most, and after which the rest has to wait: the Host has other Guests to serve (10.3).
const LIMIT: u32 = 4 << 20;
/// Bytes of a disk's name.
const NAME: usize = 20;

const READ: u32 = 0;
const WRITE: u32 = 1;
const FLUSH: u32 = 4;
const GET_ID: u32 = 8;
/// What kernels up to 2.6.36 add: not before what was asked for earlier, nothing later before this. Requests never overtake.
const BARRIER: u32 = 1 << 31;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Ok = 0,
    Error = 1,
    Unsupported = 2,
}

/// One of the machine's disks, as a Guest has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// The machine's number of it.
    pub number: u32,
    /// Its size.
    pub sectors: u32,
    /// The Guest must not write it.
    pub read_only: bool,
}

impl Disk {
    /// Carry out the requests in `queue`. True if the driver wants an interrupt.
    ///
    /// # Errors
    /// BAD_READ, BAD_WRITE: the rings are outside the Guest's RAM.
    pub fn serve(self, queue: &mut VirtQueue, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<bool> {
        let mut interrupt = false;
        let mut moved = 0;
        while let Some(chain) = queue.pop(ram)? {
            moved += chain.len_of(true).min(LIMIT) + chain.len_of(false).min(LIMIT);
            let room = chain.len_of(true);
            // Without a byte for the status there is nobody to tell.
            let written = match room.checked_sub(1) {
                Some(at) => {
                    let (status, data) = self.request(&chain, at, ram, platform)?;
                    let status = if broken("disk-errors-hidden") { Status::Ok } else { status };
                    chain.write(ram, at, &[status as u8])?;
                    data + 1
                }
                None if broken("status-unasked") => 1,
                None => 0,
            };
            interrupt |= queue.push(ram, &chain, written)?;
            if moved >= LIMIT {
                queue.end_turn();
            }
        }
        Ok(interrupt)
    }

    /// One request with `room` bytes for what is read. How it ended, and the bytes of data written to the Guest.
    fn request(
        self,
        chain: &Chain,
        room: u32,
        ram: &GuestRam,
        platform: &mut dyn Platform,
    ) -> Outcome<(Status, u32)> {
        let mut header = [0; HEADER as usize];
        let given = match chain.len_of(false).checked_sub(HEADER) {
            Some(given) => given,
            None if unchecked("BLOCK_HEADER") => 0,
            None => return Ok((Status::Error, 0)),
        };
        chain.read(ram, 0, &mut header)?;
        let [kind, _, low, high] = words(&header);
        let sector = low as u64 | (high as u64) << 32;
        let barrier = if broken("barriers-unsupported") { 0 } else { BARRIER };
        match kind & !barrier {
            READ => match self.range(sector, room) {
                Some((first, count)) => {
                    for n in 0..count {
                        let mut bytes = [0; SECTOR];
                        if !platform.disk_read(self.number, first + n, &mut bytes) {
                            return Ok((Status::Error, n * SECTOR as u32));
                        }
                        chain.write(ram, n * SECTOR as u32, &bytes)?;
                    }
                    Ok((Status::Ok, room))
                }
                None => Ok((Status::Error, 0)),
            },
            WRITE => match self.range(sector, given) {
                Some((first, count)) if !self.read_only || broken("read-only-ignored") => {
                    for n in 0..count {
                        let mut bytes = [0; SECTOR];
                        chain.read(ram, HEADER + n * SECTOR as u32, &mut bytes)?;
                        if !broken("disk-writes-lost") && !platform.disk_write(self.number, first + n, &bytes)
                        {
                            return Ok((Status::Error, 0));
                        }
                    }
                    Ok((Status::Ok, 0))
                }
                _ => Ok((Status::Error, 0)),
            },
            FLUSH if platform.disk_flush(self.number) => Ok((Status::Ok, 0)),
            FLUSH => Ok((Status::Error, 0)),
            GET_ID => {
                let mut name = [0; NAME];
                name[..5].copy_from_slice(b"disk-");
                name[5] = b'1' + self.number as u8;
                let n = room.min(NAME as u32);
                chain.write(ram, 0, &name[..n as usize])?;
                Ok((Status::Ok, n))
            }
            _ => Ok((Status::Unsupported, 0)),
        }
    }

    /// Sectors that `bytes` from `sector` on are, if they are whole, not too many, and on the disk.
    fn range(self, sector: u64, bytes: u32) -> Option<(u32, u32)> {
        let count = bytes / SECTOR as u32;
        let end = sector.checked_add(count as u64)?;
        let sound = (bytes.is_multiple_of(SECTOR as u32) || unchecked("BLOCK_WHOLE"))
            && (bytes <= LIMIT || unchecked("BLOCK_LIMIT"))
            && (end <= self.sectors as u64 || unchecked("BLOCK_RANGE"));
        sound.then_some((sector as u32, count))
    }
}

fn words(header: &[u8; HEADER as usize]) -> [u32; 4] {
    let (words, _) = header.as_chunks::<4>();
    core::array::from_fn(|n| words.get(n).map_or(0, |w| u32::from_le_bytes(*w)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_with_the_disk() {
        let disk = Disk { number: 0, sectors: 100, read_only: false };
        for (sector, bytes, range) in [
            (0, 512, Some((0, 1))),
            (99, 512, Some((99, 1))),
            (100, 0, Some((100, 0))),
            (99, 1024, None),
            (0, 511, None),
            (u64::MAX, 512, None),
            (1 << 55, 512, None),
            (1 << 32, 512, None),
            (0, LIMIT + 512, None),
        ] {
            assert_eq!(disk.range(sector, bytes), range, "{sector} {bytes}");
        }
    }
}
