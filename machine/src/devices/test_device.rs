//! The board's test equipment, at the addresses of QEMU's `pc-testdev` (hw/misc/pc-testdev.c), for which suites of
//! processor tests are written: a register to be read back, the interrupt lines as ports, memory behind the bus.

use super::Board;
use cpu::bus::Width;
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// Memory that is reached through the bus, like a device's registers.
pub const MEMORY: Range<u64> = 0xFF00_0000..0xFF01_0000;

/// What the test equipment holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestDevice {
    register: [u8; 4],
    /// Empty until something is written.
    memory: Vec<u8>,
}

impl TestDevice {
    /// One byte of the register.
    pub fn read(&self, offset: u16) -> u8 {
        self.register[usize::from(offset & 3)]
    }

    /// One byte of the register.
    pub fn write(&mut self, offset: u16, value: u8) {
        self.register[usize::from(offset & 3)] = value;
    }

    /// Drive an interrupt request line: any value but zero is high.
    pub fn drive_line(&self, board: &mut Board<'_>, line: u16, value: u32) {
        board.interrupts.set_irq((line & 0xF) as u8, value != 0);
    }

    /// Read memory; `offset` is below the length of [`MEMORY`].
    pub fn read_memory(&self, offset: u64, width: Width) -> u32 {
        let byte = |n: u64| self.memory.get((offset + n) as usize).copied().unwrap_or(0);
        (0..u64::from(width.bytes())).rev().fold(0, |value, n| value << 8 | u32::from(byte(n)))
    }

    /// Write memory; `offset` is below the length of [`MEMORY`].
    pub fn write_memory(&mut self, offset: u64, width: Width, value: u32) {
        self.memory.resize((MEMORY.end - MEMORY.start) as usize, 0);
        let bytes = value.to_le_bytes();
        for (slot, byte) in self.memory.iter_mut().skip(offset as usize).zip(&bytes[..width.bytes() as usize])
        {
            *slot = *byte;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::bench::Bench;

    #[test]
    fn memory_and_register_are_read_back() {
        let mut device = TestDevice::default();
        assert_eq!(device.read_memory(0xFFFC, Width::Dword), 0);
        device.write_memory(0xFFFC, Width::Dword, 0x1234_5678);
        device.write_memory(0xFFFF, Width::Dword, 0xAB);
        assert_eq!(device.read_memory(0xFFFC, Width::Dword), 0xAB34_5678);
        assert_eq!(device.read_memory(0xFFFE, Width::Word), 0xAB34);
        device.write(2, 0x55);
        assert_eq!([0, 2].map(|at| device.read(at)), [0, 0x55]);
    }

    #[test]
    fn a_line_reaches_the_interrupt_controller() {
        let (mut bench, device) = (Bench::default(), TestDevice::default());
        for (port, value) in [(0x20, 0x11), (0x21, 8), (0x21, 4), (0x21, 1)] {
            bench.interrupts.write_pic(port, value);
        }
        assert!(!bench.interrupts.intr());
        device.drive_line(&mut bench.board(), 5, 1);
        assert!(bench.interrupts.intr());
        assert_eq!(bench.interrupts.acknowledge(), 13);
    }
}
