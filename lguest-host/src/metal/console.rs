//! Two serial ports: COM1 is Guest 1's console, COM2 the Host's log. Other Guests have theirs elsewhere ([`super::serial_ports`]).

use super::cpu::{inb, outb};
use core::fmt;
use core::sync::atomic::{AtomicBool, Ordering};

/// The Guest's console.
pub const COM1: Port = Port(0x3F8);
/// The log, and in the other direction [`super::control`].
pub const COM2: Port = Port(0x2F8);

/// A 16550.
#[derive(Clone, Copy)]
pub struct Port(u16);

impl Port {
    fn init(self) {
        let Port(base) = self;
        outb(base + 1, 0);
        // 115200 baud, 8 bits, no parity.
        outb(base + 3, 0x80);
        outb(base, 1);
        outb(base + 1, 0);
        outb(base + 3, 3);
        // FIFOs on and empty; an interrupt at 14 bytes, or when none came for the time of four.
        outb(base + 2, 0xC7);
        // DTR, RTS, and OUT2, which lets interrupts out.
        outb(base + 4, 0xB);
        // Interrupt when bytes arrive.
        outb(base + 1, 1);
    }

    /// Send one byte, when there is room.
    pub fn send(self, byte: u8) {
        // A port that is not there reads all ones, which includes "there is room".
        while inb(self.0 + 5) & 0x20 == 0 {}
        outb(self.0, byte);
    }

    /// Whether a byte arrived.
    pub fn has_byte(self) -> bool {
        let status = inb(self.0 + 5);
        status != 0xFF && status & 1 != 0
    }

    /// The byte that arrived.
    pub fn receive(self) -> Option<u8> {
        self.has_byte().then(|| inb(self.0))
    }
}

/// Set both ports up. They interrupt when bytes arrive, so that a sleeping Guest is woken.
pub fn init() {
    COM1.init();
    COM2.init();
}

/// COM1 interrupted, and not every byte was taken since.
static RECEIVED: AtomicBool = AtomicBool::new(true);

/// COM1's interrupt.
pub fn received() {
    RECEIVED.store(true, Ordering::Relaxed);
}

/// Whether COM1 has a byte. Asked at every exit, so the port is looked at only after an interrupt, until it is empty: then the
/// next byte interrupts again.
pub fn typed() -> bool {
    if !RECEIVED.load(Ordering::Relaxed) {
        return false;
    }
    let more = COM1.has_byte();
    RECEIVED.store(more, Ordering::Relaxed);
    more
}

/// Writes to the log.
pub struct Log;

impl fmt::Write for Log {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            COM2.send(byte);
        }
        Ok(())
    }
}

/// A line in the log.
#[macro_export]
macro_rules! log {
    ($($argument:tt)*) => {{
        use core::fmt::Write;
        // The log itself never fails.
        let _ = writeln!($crate::metal::console::Log, $($argument)*);
    }};
}
