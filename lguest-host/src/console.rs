//! The virtio console (8.7): queue 0 takes what was typed, queue 1 what the Guest says.

use crate::death::Outcome;
use crate::guest::Platform;
use crate::mutant::broken;
use crate::ram::GuestRam;
use crate::virtqueue::VirtQueue;

/// Bytes handed to the platform at a time.
const CHUNK: usize = 256;

/// A console.
pub struct Console {
    /// Queue 0.
    pub input: VirtQueue,
    /// Queue 1.
    pub output: VirtQueue,
}

impl Console {
    /// The driver kicked the output queue. True if it wants an interrupt.
    pub fn transmit(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<bool> {
        let mut interrupt = false;
        while let Some(chain) = self.output.pop(ram)? {
            for buffer in chain.buffers() {
                let mut done = 0;
                while done < buffer.len && !buffer.writable {
                    let mut bytes = [0; CHUNK];
                    let n = (buffer.len - done).min(CHUNK as u32);
                    let chunk = &mut bytes[..n as usize];
                    ram.read_bytes(buffer.addr + done, chunk)?;
                    platform.console_write(chunk);
                    done += n;
                }
            }
            interrupt |= self.output.push(ram, &chain, 0)?;
        }
        Ok(interrupt)
    }

    /// Put typed bytes into the buffers the driver offered. True if it wants an interrupt.
    pub fn receive(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<bool> {
        let mut interrupt = false;
        while platform.console_ready() {
            let Some(chain) = self.input.pop(ram)? else { break };
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
                interrupt |= self.input.push(ram, &chain, written)?;
            }
        }
        Ok(interrupt)
    }
}
