//! Physical interrupts: the 8259 pair, and the one server for all of them.
//!
//! An interrupt that ends a Guest's turn has been acknowledged by the processor, so it is served exactly once, from the
//! vector the Switcher brought back. In HLT it comes through the Host's own IDT to the same server.

use super::cpu::{inb, outb};
use super::tables::IRQ_BASE;
use super::{clock, console, entropy, network, serial_ports};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};
use lguest_host::mutant::broken;

const MASTER: u16 = 0x20;
const SLAVE: u16 = 0xA0;
const END_OF_INTERRUPT: u8 = 0x20;
/// Edge/level control: a bit for each line whose interrupts last until the device is served.
const LEVEL: u16 = 0x4D0;
const TIMER: u32 = 0;
/// The slave's line at the master.
const CASCADE: u32 = 2;
const COM1: u32 = 4;
const COM2: u32 = 3;

/// Programme the controllers: vectors 0x20 to 0x2F, only the timer and the serial ports open.
pub fn init() {
    for (port, base, wire) in [(MASTER, IRQ_BASE as u8, 4), (SLAVE, IRQ_BASE as u8 + 8, 2)] {
        outb(port, 0x11);
        outb(port + 1, base);
        outb(port + 1, wire);
        outb(port + 1, 1);
    }
    outb(MASTER + 1, !(1 << TIMER | 1 << COM1 | 1 << COM2));
    outb(SLAVE + 1, 0xFF);
}

/// A device has news that is nobody's turn's: the network, serial ports, the control line. At first nobody knows: what came before the controllers
/// were set up has not interrupted.
static NEWS: AtomicBool = AtomicBool::new(true);

/// Whether a device has interrupted since the last call. Asked at every exit.
pub fn has_news() -> bool {
    NEWS.load(Ordering::Relaxed) && NEWS.swap(false, Ordering::Relaxed)
}

/// Let the interrupts of a PCI device on `line` in.
pub fn open(line: u8) {
    if line >= 16 {
        return;
    }
    for (controller, bits) in (0..).zip((1u16 << line).to_le_bytes()) {
        outb(LEVEL + controller, inb(LEVEL + controller) | bits);
    }
    if line >= 8 {
        outb(SLAVE + 1, inb(SLAVE + 1) & !(1 << (line - 8)));
        outb(MASTER + 1, inb(MASTER + 1) & !(1 << CASCADE));
    } else {
        outb(MASTER + 1, inb(MASTER + 1) & !(1 << line));
    }
}

/// Serve physical interrupt `n`. There is little to do but to acknowledge: the scheduler looks at clock, console and network at
/// every turn.
#[unsafe(no_mangle)]
pub extern "C" fn serve_irq(n: u32) {
    if is_spurious(n) {
        return;
    }
    match n {
        TIMER => clock::timer_fired(),
        COM1 => console::received(),
        COM2 => NEWS.store(true, Ordering::Relaxed),
        line => {
            network::interrupt(line);
            entropy::interrupt(line);
            serial_ports::interrupt(line);
            NEWS.store(true, Ordering::Relaxed);
        }
    }
    if n >= 8 {
        outb(SLAVE, END_OF_INTERRUPT);
    }
    outb(MASTER, END_OF_INTERRUPT);
}

/// The last line of each controller also reports requests that went away; those are not in service.
fn is_spurious(n: u32) -> bool {
    if n != 7 && n != 15 {
        return false;
    }
    let port = if n == 7 { MASTER } else { SLAVE };
    outb(port, 0x0B);
    let spurious = inb(port) & 0x80 == 0;
    if spurious && n == 15 {
        outb(MASTER, END_OF_INTERRUPT);
    }
    spurious
}

/// Sleep until a physical interrupt. One that was raised since the caller looked ends the sleep at once, because STI
/// lets nothing in before HLT has begun.
pub fn wait() {
    if broken("sleep-begins-late") {
        // SAFETY: as below.
        return unsafe { asm!("sti", "2: loop 2b", "hlt", "cli", inout("ecx") 50_000 => _) };
    }
    // SAFETY: the IDT serves every interrupt that is open; interrupts are off again afterwards.
    unsafe { asm!("sti", "hlt", "cli") }
}
