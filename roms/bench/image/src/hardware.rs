//! The parts of a PC the image uses: serial port, interrupt controller, timer, power.

use core::arch::asm;

const COM1: u16 = 0x3F8;
/// Line status: transmitter empty.
const THRE: u8 = 0x20;
/// 1193182 Hz divided by this is 1 kHz.
const TIMER_DIVISOR: u16 = 1193;
/// Vector of IRQ 0.
pub const TIMER_VECTOR: usize = 0x20;

const PIIX4_PM: u32 = 0x7113_8086;
const PM_BASE: u32 = 0x600;
/// SLP_EN; the sleep type of S5 is 0 on this chip.
const SLEEP_S5: u16 = 1 << 13;

fn out8(port: u16, value: u8) {
    // SAFETY: the ports used here do not touch memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

fn in8(port: u16) -> u8 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

fn out16(port: u16, value: u16) {
    // SAFETY: as above.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) }
}

fn out32(port: u16, value: u32) {
    // SAFETY: as above.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

fn in32(port: u16) -> u32 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// COM1 at 115200 baud, 8N1, no interrupts.
pub fn open_serial() {
    for (register, value) in [(1, 0), (3, 0x80), (0, 1), (1, 0), (3, 3), (2, 7)] {
        out8(COM1 + register, value);
    }
}

/// Sends bytes.
pub fn send(bytes: &[u8]) {
    for &byte in bytes {
        while in8(COM1 + 5) & THRE == 0 {}
        out8(COM1, byte);
    }
}

/// IRQ 0 at 1 kHz, everything else masked.
pub fn start_timer() {
    for (port, value) in [
        (0x20, 0x11),
        (0xA0, 0x11),
        (0x21, TIMER_VECTOR as u8),
        (0xA1, TIMER_VECTOR as u8 + 8),
        (0x21, 4),
        (0xA1, 2),
        (0x21, 1),
        (0xA1, 1),
        (0x21, 0xFE),
        (0xA1, 0xFF),
    ] {
        out8(port, value);
    }
    out8(0x43, 0x34);
    out8(0x40, TIMER_DIVISOR as u8);
    out8(0x40, (TIMER_DIVISOR >> 8) as u8);
}

fn pci(device: u32, register: u32) -> u32 {
    out32(0xCF8, 1 << 31 | device << 8 | register);
    in32(0xCFC)
}

/// Turns the machine off, by ACPI S5 where there is a PIIX4.
pub fn power_off() -> ! {
    if let Some(device) = (0..256).find(|&device| pci(device, 0) == PIIX4_PM) {
        let mut base = pci(device, 0x40) & 0xFFC0;
        if base == 0 {
            base = PM_BASE;
            out32(0xCFC, base | 1);
        }
        let enable = pci(device, 0x80);
        out32(0xCFC, enable | 1);
        out16(base as u16 + 4, SLEEP_S5);
    }
    loop {
        // SAFETY: nothing is left to do.
        unsafe { asm!("cli", "hlt") }
    }
}
