//! The virtio entropy source (8.7): the machine's own, shared by all Guests; no byte is given twice.

use crate::death::Outcome;
use crate::guest::Platform;
use crate::mutant::broken;
use crate::ram::GuestRam;
use crate::virtqueue::VirtQueue;

/// Bytes of a chain that are filled at most: what Linux asks for at a time, and what one Guest can take from the others.
const PIECE: usize = 64;

/// Fill the buffers in `queue`, as far as there is entropy. True if the driver wants an interrupt; and true if it has to wait,
/// because the machine has no entropy left for now.
///
/// # Errors
/// BAD_READ, BAD_WRITE: the rings are outside the Guest's RAM.
pub fn serve(queue: &mut VirtQueue, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<(bool, bool)> {
    let mut interrupt = false;
    while platform.entropy_ready() {
        let Some(chain) = queue.pop(ram)? else { return Ok((interrupt, false)) };
        let mut bytes = [0; PIECE];
        let room = (chain.len_of(true) as usize).min(PIECE);
        let wanted = bytes.get_mut(..room).unwrap_or_default();
        let given = platform.entropy(wanted);
        if !broken("entropy-not-written") {
            chain.write(ram, 0, bytes.get(..given).unwrap_or_default())?;
        }
        interrupt |= queue.push(ram, &chain, given as u32)?;
    }
    Ok((interrupt, queue.is_waiting(ram)?))
}
