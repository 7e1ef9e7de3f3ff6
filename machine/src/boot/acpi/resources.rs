//! Resource descriptors (ACPI specification, 6.4): the templates that `_CRS` and `_PRS` give.

use super::aml::{Aml, buffer};

/// A buffer of descriptors and the end tag.
pub fn template(descriptors: &[Vec<u8>]) -> Aml {
    const END_TAG: [u8; 2] = [0x79, 0];
    buffer(&[descriptors.concat().as_slice(), &END_TAG].concat())
}

/// Fixed I/O ports, all 16 bits decoded.
pub fn ports(start: u16, len: u8) -> Vec<u8> {
    let [low, high] = start.to_le_bytes();
    vec![0x47, 0x01, low, high, low, high, 0x01, len]
}

/// An ISA interrupt.
pub fn irq(n: u8) -> Vec<u8> {
    let [low, high] = (1u16 << n).to_le_bytes();
    vec![0x22, low, high]
}

/// PCI interrupts, any one of them: level-triggered, active low, shared.
pub fn interrupts(numbers: &[u32]) -> Vec<u8> {
    const CONSUMER_LOW_SHARED: u8 = 0x0D;
    let numbers: Vec<u8> = numbers.iter().flat_map(|n| n.to_le_bytes()).collect();
    let mut bytes = vec![0x89, numbers.len() as u8 + 2, 0, CONSUMER_LOW_SHARED, numbers.len() as u8 / 4];
    bytes.extend(numbers);
    bytes
}

/// Where the number of the first interrupt is in a template that begins with [`interrupts`].
pub const FIRST_INTERRUPT: u8 = 5;

/// Kinds of address range that a bridge passes on.
#[derive(Clone, Copy)]
enum Space {
    Memory = 0,
    Io = 1,
    Bus = 2,
}

/// Both ends are fixed.
const FIXED: u8 = 0x0C;

fn words(space: Space, flags: u8, first: u16, last: u16) -> Vec<u8> {
    let len = (u32::from(last) - u32::from(first) + 1) as u16;
    let numbers = [0, first, last, 0, len].map(u16::to_le_bytes).concat();
    [&[0x88, 0x0D, 0x00, space as u8, FIXED, flags], numbers.as_slice()].concat()
}

/// PCI bus numbers.
pub fn buses(first: u8, last: u8) -> Vec<u8> {
    words(Space::Bus, 0, first.into(), last.into())
}

/// A window of I/O ports, all of each.
pub fn port_window(first: u16, last: u16) -> Vec<u8> {
    const ENTIRE_RANGE: u8 = 0x03;
    words(Space::Io, ENTIRE_RANGE, first, last)
}

/// A window of memory, writable and not cached.
pub fn memory_window(first: u32, last: u32) -> Vec<u8> {
    const READ_WRITE: u8 = 0x01;
    let numbers = [0, first, last, 0, last - first + 1].map(u32::to_le_bytes).concat();
    [&[0x87, 0x17, 0x00, Space::Memory as u8, FIXED, READ_WRITE], numbers.as_slice()].concat()
}
