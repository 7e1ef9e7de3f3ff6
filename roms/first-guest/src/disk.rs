//! The disk: its sectors keep what is written, and it has an end.

use crate::ledger::prove as line;
use guest_kit::boot;
use guest_kit::disk::{Disk, SECTOR};
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::pci;
use guest_kit::virtio::kind;

/// A word that no empty disk has, different in each place.
fn pattern(offset: u32) -> u32 {
    0x5ec7_0000 | offset
}

fn open() -> Option<Disk> {
    if boot::has_word("pci") { Disk::on_pci() } else { Disk::on_bus() }
}

/// Gives proofs 51 to 53.
pub fn prove() {
    let Some(mut disk) = open() else {
        line(51, false);
        line(52, false);
        return line(53, false);
    };
    let offsets = || (0..SECTOR).step_by(4);
    let sector = disk.sectors - 1;
    for offset in offsets() {
        disk.set_word(offset, pattern(offset));
    }
    let written = disk.write(sector);
    for offset in offsets() {
        disk.set_word(offset, 0);
    }
    let read = disk.read(sector) && offsets().all(|offset| disk.word(offset) == pattern(offset));
    let named = disk.name() && disk.word(0).to_le_bytes() == *b"disk";
    line(51, written && read && named);
    line(52, !disk.read(disk.sectors) && !disk.write(disk.sectors) && disk.read(0));
    let mut again = open();
    line(
        53,
        again.as_mut().is_some_and(|disk| disk.is_fresh() && disk.read(sector) && disk.word(4) == pattern(4)),
    );
}

/// Gives proof 55: kernels from 4.0 on map devices' pages as if they had been used.
pub fn prove_device_page() {
    const QUEUES: u32 = 0x12;
    let Some(console) = pci::Device::find(kind::CONSOLE) else { return line(55, false) };
    let used = flags::KERNEL_DATA | flags::ACCESSED | flags::DIRTY;
    AddressSpace::kernel().change(console.registers, console.bar | used);
    line(55, console.read::<u16>(QUEUES) == 2);
}
