//! The virtio console (8.7): queue 0 takes what was typed, queue 1 what the Guest says.

use crate::death::Outcome;
use crate::guest::Platform;
use crate::mutant::broken;
use crate::ram::GuestRam;
use crate::virtqueue::VirtQueue;

/// The size of a terminal, in characters; 0 if nobody said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

impl Size {
    /// What `size COLUMNS ROWS` says.
    pub fn parse(line: &[u8]) -> Option<Size> {
        let mut words = core::str::from_utf8(line).ok()?.strip_prefix("size ")?.split(' ');
        let (columns, rows) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
        words.next().is_none().then_some(Size { columns, rows })
    }
}

/// Bytes handed to the platform at a time.
const CHUNK: usize = 256;
/// Bytes of a chain the console says at most, and of a turn before the rest has to wait: 64 chains that each name all of RAM 64 times would keep the Host busy for
/// days, and every other Guest waiting (10.3).
const LIMIT: u32 = 64 << 10;

/// Say what the driver put into the output `queue`, as far as there is room. True if it wants an interrupt; true if the rest has to
/// wait for room.
pub fn transmit(queue: &mut VirtQueue, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<(bool, bool)> {
    let mut interrupt = false;
    let mut said = 0;
    loop {
        if platform.console_room() == 0 {
            return Ok((interrupt, queue.is_waiting(ram)?));
        }
        let Some(chain) = queue.pop(ram)? else { return Ok((interrupt, false)) };
        let len = chain.len_of(false).min(LIMIT);
        let begun = queue.begun().min(len);
        let mut at = begun;
        while at < len {
            let n = (len - at).min(CHUNK as u32).min(platform.console_room());
            if n == 0 {
                queue.put_back(at);
                return Ok((interrupt, true));
            }
            let mut bytes = [0; CHUNK];
            let chunk = &mut bytes[..n as usize];
            chain.read(ram, at, chunk)?;
            platform.console_write(chunk);
            at += n;
        }
        interrupt |= queue.push(ram, &chain, 0)?;
        said += len - begun;
        if said >= LIMIT {
            queue.end_turn();
        }
    }
}

/// Put typed bytes into the buffers the driver offered. True if it wants an interrupt.
pub fn receive(queue: &mut VirtQueue, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<bool> {
    let mut interrupt = false;
    while platform.console_ready() {
        let Some(chain) = queue.pop(ram)? else { break };
        let mut written = 0;
        for buffer in chain.buffers() {
            let mut at = 0;
            while at < buffer.len && buffer.writable {
                let Some(byte) = platform.console_read() else { break };
                ram.write(buffer.addr + at, byte)?;
                at += 1;
            }
            written += at;
        }
        if !broken("console-input-dropped") {
            interrupt |= queue.push(ram, &chain, written)?;
        }
    }
    Ok(interrupt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (line, size) in [
            (&b"size 80 25"[..], Some((80, 25))),
            (b"size 65535 0", Some((65535, 0))),
            (b"size 65536 25", None),
            (b"size 80", None),
            (b"size 80 25 1", None),
            (b"size -1 25", None),
            (b"size\xff 80 25", None),
            (b"", None),
        ] {
            assert_eq!(Size::parse(line).map(|s| (s.columns, s.rows)), size, "{line:?}");
        }
    }
}
