//! The machine's entropy source (virtio 1.0, 5.4): a buffer of it at a time, asked for when the one before is used up.

use super::frames::Frames;
use super::once::Global;
use super::virtio::{Queue, Shape, Transport};
use crate::log;
use lguest_host::mutant::broken;

/// Virtio number of entropy sources, and the identity they had before 1.0.
const NUMBER: u32 = 4;
const TRANSITIONAL: u32 = 0x1005;
/// One buffer at a time.
const REQUEST: Shape = Shape { entries: 1, buffer: 2048 };

struct Entropy {
    source: Transport,
    queue: Queue,
    /// Bytes in the buffer, and how many of them were given away.
    filled: usize,
    given: usize,
}

static ENTROPY: Global<Option<Entropy>> = Global::new(None);

/// Find the source.
pub fn init(frames: &mut Frames) {
    let Some(source) = Transport::find(NUMBER, TRANSITIONAL, 0) else { return };
    let Some(queue) = source.queue(0, true, REQUEST, frames) else { return };
    source.begin();
    log!("entropy source, interrupt {}", source.line);
    ENTROPY.with(|entropy| *entropy = Some(Entropy { source, queue, filled: 0, given: 0 }));
}

/// Whether there is a source.
pub fn is_there() -> bool {
    ENTROPY.with(|entropy| entropy.is_some())
}

/// A physical interrupt on `line`: if it was the source, it is silent from now on. A Guest that waits asks at its next turn.
pub fn interrupt(line: u32) {
    ENTROPY.with(|entropy| {
        if let Some(entropy) = entropy
            && entropy.source.line as u32 == line
        {
            entropy.source.interrupted();
        }
    });
}

/// Whether there is at least a byte. If not, the source is asked for more.
pub fn ready() -> bool {
    ENTROPY.with(|entropy| {
        let Some(entropy) = entropy else { return false };
        if entropy.given == entropy.filled && entropy.queue.outstanding() == 0 {
            entropy.queue.offer(0, REQUEST.buffer);
            entropy.queue.notify();
        }
        if let Some((_, len)) = entropy.queue.taken() {
            (entropy.filled, entropy.given) = (len as usize, 0);
        }
        entropy.given < entropy.filled
    })
}

/// Fill `bytes` as far as there is entropy: the number of bytes. What was given is forgotten here.
pub fn take(bytes: &mut [u8]) -> usize {
    ENTROPY.with(|entropy| {
        let Some(Entropy { queue, filled, given, .. }) = entropy else { return 0 };
        let Some(rest) = queue.bytes(0).get_mut(*given..*filled) else { return 0 };
        let mut count = 0;
        for (to, from) in bytes.iter_mut().zip(rest) {
            *to = if broken("entropy-repeated") { *from } else { core::mem::take(from) };
            count += 1;
        }
        *given += if broken("entropy-repeated") { 0 } else { count };
        count
    })
}
