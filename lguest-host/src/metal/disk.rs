//! The machine's hard disks: ATA by programmed I/O (ATA/ATAPI-6), which every PC of the time has.
//!
//! Nothing interrupts; a command is waited for. A disk that does not answer is given up after a bounded time.

use super::cpu::{inb, inw, outb, outw};
use lguest_host::block::SECTOR;

/// Disks at most: master and slave of two channels.
pub const DISKS: usize = 4;
/// Command block and device control of the two channels.
const CHANNELS: [(u16, u16); 2] = [(0x1F0, 0x3F6), (0x170, 0x376)];

const BUSY: u8 = 0x80;
const FAULT: u8 = 0x20;
const REQUEST: u8 = 0x08;
const ERROR: u8 = 0x01;
/// Device control: no interrupts.
const NO_INTERRUPT: u8 = 2;
/// Device: LBA, and the two bits that were always set.
const LBA: u8 = 0xE0;
const SLAVE: u8 = 0x10;

const READ_SECTORS: u8 = 0x20;
const WRITE_SECTORS: u8 = 0x30;
const FLUSH_CACHE: u8 = 0xE7;
const IDENTIFY: u8 = 0xEC;
/// What 28 bits can address.
const LARGEST: u32 = 1 << 28;
/// Looks at the status before a disk is given up.
const PATIENCE: u32 = 10_000_000;

/// Select disk `number`, send a command for `sector`, and wait. The command block, or nothing if it failed.
fn command(number: u32, sector: u32, command: u8) -> Option<u16> {
    let &(block, control) = CHANNELS.get((number / 2) as usize)?;
    let [low, middle, high, top] = sector.to_le_bytes();
    outb(control, NO_INTERRUPT);
    outb(block + 6, LBA | if number & 1 != 0 { SLAVE } else { 0 } | top & 0xF);
    // An empty channel floats.
    if inb(block + 7) == 0xFF {
        return None;
    }
    settled(block)?;
    outb(block + 2, 1);
    outb(block + 3, low);
    outb(block + 4, middle);
    outb(block + 5, high);
    outb(block + 7, command);
    Some(block)
}

/// Wait until the disk is no longer busy; its status then, which may tell of an error of the last command.
fn settled(block: u16) -> Option<u8> {
    (0..PATIENCE).map(|_| inb(block + 7)).find(|status| status & BUSY == 0)
}

/// Wait until the disk is no longer busy and shows `wanted`.
fn ready(block: u16, wanted: u8) -> Option<()> {
    for _ in 0..PATIENCE {
        let status = settled(block)?;
        if status & (ERROR | FAULT) != 0 || status == 0 && wanted != 0 {
            return None;
        }
        if status & wanted == wanted {
            return Some(());
        }
    }
    None
}

fn receive(block: u16, bytes: &mut [u8; SECTOR]) -> Option<()> {
    ready(block, REQUEST)?;
    for pair in bytes.as_chunks_mut::<2>().0 {
        *pair = inw(block).to_le_bytes();
    }
    Some(())
}

/// Sectors of disk `number`; nothing if there is none.
pub fn sectors(number: u32) -> Option<u32> {
    let mut bytes = [0; SECTOR];
    receive(command(number, 0, IDENTIFY)?, &mut bytes)?;
    // Words 60 and 61.
    let size = bytes.get(120..).and_then(|b| b.first_chunk()).map_or(0, |b| u32::from_le_bytes(*b));
    (size != 0).then_some(size.min(LARGEST))
}

/// Read a sector.
pub fn read(number: u32, sector: u32, bytes: &mut [u8; SECTOR]) -> bool {
    command(number, sector, READ_SECTORS).and_then(|block| receive(block, bytes)).is_some()
}

/// Write a sector.
pub fn write(number: u32, sector: u32, bytes: &[u8; SECTOR]) -> bool {
    let send = |block: u16| {
        ready(block, REQUEST)?;
        for &pair in bytes.as_chunks::<2>().0 {
            outw(block, u16::from_le_bytes(pair));
        }
        ready(block, 0)
    };
    command(number, sector, WRITE_SECTORS).and_then(send).is_some()
}

/// See that everything written is on the disk.
pub fn flush(number: u32) -> bool {
    command(number, 0, FLUSH_CACHE).and_then(|block| ready(block, 0)).is_some()
}
