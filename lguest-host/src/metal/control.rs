//! What the user's side tells the Host itself: lines on the log's serial port, in the other direction.
//!
//! | line | meaning |
//! |---|---|
//! | `size COLUMNS ROWS` | Guest 1's terminal has this size now |
//!
//! Other lines mean nothing, and nothing on other machines sends any.

use super::console::COM2;
use super::once::Global;
use lguest_host::console::Size;

/// Bytes of a line that are looked at.
const LONGEST: usize = 32;

/// The line that is being said.
struct Line {
    bytes: [u8; LONGEST],
    len: usize,
}

static LINE: Global<Line> = Global::new(Line { bytes: [0; LONGEST], len: 0 });

/// The terminal's size, if it was told since the last call.
pub fn poll() -> Option<Size> {
    let mut size = None;
    LINE.with(|line| {
        while let Some(byte) = COM2.receive() {
            if byte == b'\n' {
                size = Size::parse(line.bytes.get(..line.len).unwrap_or_default()).or(size);
                line.len = 0;
            } else {
                if let Some(slot) = line.bytes.get_mut(line.len) {
                    *slot = byte;
                }
                // One that is too long is none, to its end.
                line.len = line.len.saturating_add(1);
            }
        }
    });
    size
}
