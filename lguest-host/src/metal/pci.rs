//! The machine's PCI bus 0 (configuration mechanism 1): finding functions, and their configuration space.

use super::cpu::{inl, outl};

const ADDRESS: u16 = 0xCF8;
const DATA: u16 = 0xCFC;
const ENABLE: u32 = 1 << 31;
/// Slots of 8 functions.
const FUNCTIONS: u32 = 256;

/// Offsets in configuration space.
const COMMAND: u32 = 0x04;
const STATUS: u32 = 0x06;
const BAR: u32 = 0x10;
const CAPABILITIES: u32 = 0x34;
const INTERRUPT_LINE: u32 = 0x3C;

/// Memory space, bus master.
const MEMORY_AND_MASTER: u32 = 2 | 4;
const HAS_CAPABILITIES: u8 = 0x10;
/// Base address: it is of ports; it has two words.
const IS_PORTS: u32 = 1;
const IS_64_BIT: u32 = 4;

/// A function of a device on bus 0.
#[derive(Clone, Copy)]
pub struct Function(u32);

impl Function {
    /// The first with one of these identities: device number above, vendor below.
    pub fn find(identities: &[u32]) -> Option<Function> {
        (0..FUNCTIONS).map(Function).find(|function| identities.contains(&function.read(0)))
    }

    fn select(self, register: u32) {
        outl(ADDRESS, ENABLE | self.0 << 8 | register & 0xFC);
    }

    /// The word of configuration space at `register`, a multiple of 4.
    pub fn read(self, register: u32) -> u32 {
        self.select(register);
        inl(DATA)
    }

    /// Set that word.
    pub fn write(self, register: u32, value: u32) {
        self.select(register);
        outl(DATA, value);
    }

    /// A byte of configuration space.
    pub fn byte(self, register: u32) -> u8 {
        (self.read(register & !3) >> (8 * (register & 3))) as u8
    }

    /// Let the function answer at its addresses and reach memory.
    pub fn enable(self) {
        // The upper half is the status register, where ones clear bits.
        self.write(COMMAND, self.read(COMMAND) & 0xFFFF | MEMORY_AND_MASTER);
    }

    /// The memory behind base address `n`, if the firmware put it where the Host can reach it.
    pub fn memory(self, n: u32) -> Option<u32> {
        let bar = |n: u32| if n < 6 { self.read(BAR + 4 * n) } else { 0 };
        let (low, high) = (bar(n), bar(n + 1));
        let reachable = low & IS_PORTS == 0 && (low & IS_64_BIT == 0 || high == 0);
        (reachable && low & !15 != 0).then_some(low & !15)
    }

    /// The interrupt line the firmware chose; 255 is none.
    pub fn interrupt_line(self) -> u8 {
        self.byte(INTERRUPT_LINE)
    }

    /// Where its capabilities are that have this `id`.
    pub fn capabilities(self, id: u8) -> impl Iterator<Item = u32> {
        let has = self.byte(STATUS) & HAS_CAPABILITIES != 0;
        let mut at = if has { self.byte(CAPABILITIES) } else { 0 };
        // A list that loops has to end: there is room for no more than these.
        let mut left = 48;
        core::iter::from_fn(move || {
            while at >= 0x40 && left != 0 {
                let here = (at & 0xFC) as u32;
                (at, left) = (self.byte(here + 1), left - 1);
                if self.byte(here) == id {
                    return Some(here);
                }
            }
            None
        })
    }
}
