//! The Guest's PCI bus: configuration space behind ports 0xCF8 and 0xCFC, and the registers of virtio 1.0 devices in BAR 0.
//!
//! Each access leaves ring 1 by a fault, and the Host carries it out: IN and OUT because no port is the Guest's, a move
//! because a device's page is never mapped. So the instructions are spelled out, not left to the compiler.

use crate::paging::AddressSpace;
use core::arch::asm;

/// The address port.
pub const ADDRESS: u16 = 0xcf8;
/// The data port.
pub const DATA: u16 = 0xcfc;
/// Bit of the address port: configuration space is meant.
pub const ENABLE: u32 = 1 << 31;
/// Register of BAR 0.
pub const BAR: u32 = 0x10;
/// Where devices' pages are mapped, behind those of the lguest bus.
const MAPPED: u32 = 0x40_0000;

/// 8, 16 or 32 bits: how wide an access is.
pub trait Width: Copy {
    /// IN.
    fn port_in(port: u16) -> Self;
    /// OUT.
    fn port_out(self, port: u16);
    /// MOV from memory.
    fn load(address: u32) -> Self;
    /// MOV to memory.
    fn store(self, address: u32);
}

macro_rules! width {
    ($type:ty, $class:ident, $register:tt, $in:literal, $out:literal, $modifier:literal) => {
        impl Width for $type {
            fn port_in(port: u16) -> Self {
                let value: $type;
                // SAFETY: what the Host does for it changes nothing the compiler knows of.
                unsafe { asm!($in, out($register) value, in("dx") port, options(att_syntax, nostack)) };
                value
            }
            fn port_out(self, port: u16) {
                // SAFETY: as above.
                unsafe { asm!($out, in($register) self, in("dx") port, options(att_syntax, nostack)) };
            }
            fn load(address: u32) -> Self {
                let value: $type;
                // SAFETY: callers pass mapped addresses of devices.
                unsafe {
                    asm!(concat!("mov ({a}), {v", $modifier, "}"), a = in(reg) address, v = out($class) value,
                        options(att_syntax, nostack));
                }
                value
            }
            fn store(self, address: u32) {
                // SAFETY: as above; a device may then write memory that is only reached by volatile accesses.
                unsafe {
                    asm!(concat!("mov {v", $modifier, "}, ({a})"), a = in(reg) address, v = in($class) self,
                        options(att_syntax, nostack));
                }
            }
        }
    };
}
width!(u8, reg_byte, "al", "inb %dx, %al", "outb %al, %dx", "");
width!(u16, reg, "ax", "inw %dx, %ax", "outw %ax, %dx", ":x");
width!(u32, reg, "eax", "inl %dx, %eax", "outl %eax, %dx", ":e");

/// Selects a word of configuration space for the data port.
pub fn select(bus: u32, slot: u32, function: u32, register: u32) {
    (ENABLE | bus << 16 | slot << 11 | function << 8 | register & 0xfc).port_out(ADDRESS);
}

/// Reads a word of configuration space; all ones where nothing is.
pub fn read(bus: u32, slot: u32, function: u32, register: u32) -> u32 {
    select(bus, slot, function, register);
    u32::port_in(DATA)
}

/// A virtio device on bus 0, with its registers mapped.
#[derive(Clone, Copy)]
pub struct Device {
    /// Its slot.
    pub slot: u32,
    /// Guest-physical address of its registers.
    pub bar: u32,
    /// Kernel address of its registers.
    pub registers: u32,
}

impl Device {
    /// The first device of this kind (virtio's number).
    pub fn find(kind: u32) -> Option<Self> {
        let slot = (1..32).find(|&slot| read(0, slot, 0, 0) == (0x1040 + kind) << 16 | 0x1af4)?;
        let bar = read(0, slot, 0, BAR);
        let registers = AddressSpace::kernel().map_device(MAPPED + slot * 4096, bar, 1);
        Some(Self { slot, bar, registers })
    }

    /// A word of its configuration space.
    pub fn config(self, register: u32) -> u32 {
        read(0, self.slot, 0, register)
    }

    /// Changes one.
    pub fn set_config(self, register: u32, value: u32) {
        select(0, self.slot, 0, register);
        value.port_out(DATA);
    }

    /// Reads a register.
    pub fn read<W: Width>(self, offset: u32) -> W {
        W::load(self.registers + offset)
    }

    /// Writes one.
    pub fn write<W: Width>(self, offset: u32, value: W) {
        value.store(self.registers + offset);
    }
}
