//! What firmware leaves behind, for the boot protocols that start a kernel without any: chipset registers, the BIOS data
//! area, interrupt services, ACPI tables.
//!
//! It programs the parts through their ports, as firmware does, so nothing here is a way in that a guest has not.

use super::{acpi, interrupt_services};
use crate::devices::pci::devfn;
use crate::devices::{ide, io_apic, piix3, piix4_pm, virtio};
use crate::machine::Machine;
use crate::memory_map::{LOW_END, write_rom};
use cpu::bus::{Bus, BusContext, Width};

/// Where the registers of the power-management function are.
pub const PM_BASE: u16 = 0x600;
/// Where the bus-master registers of the IDE function are.
const BUS_MASTER_BASE: u32 = 0xC000;
/// The processor is APIC number 0.
pub const IO_APIC_ID: u8 = 1;
/// ACPI tables: the root pointer is searched for from 0xE0000 on, at multiples of 16.
const ACPI_ROM: u64 = 0xF_0000;
/// The one that is written to lies in the extended BIOS data area.
const ACPI_RAM: u64 = LOW_END + 0x40;

/// Registers in configuration space: place, offset, width, value.
const PCI: [(u8, u8, Width, u32); 8] = [
    // PIRQA and B to IRQ 10, C and D to IRQ 11.
    (piix3::PLACE, 0x60, Width::Dword, 0x0B0B_0A0A),
    (ide::PLACE, ide::BMIBA as u8, Width::Dword, BUS_MASTER_BASE),
    (ide::PLACE, ide::IDETIM[0] as u8, Width::Word, 0x8000),
    (ide::PLACE, ide::IDETIM[1] as u8, Width::Word, 0x8000),
    (ide::PLACE, 0x04, Width::Word, 0x0005),
    (piix4_pm::PLACE, 0x40, Width::Dword, PM_BASE as u32),
    (piix4_pm::PLACE, 0x80, Width::Byte, 1),
    (piix4_pm::PLACE, 0x04, Width::Word, 0x0001),
];

/// Where the registers of virtio devices are, one after the other.
const VIRTIO_BASE: u32 = 0xFEB0_0000;

/// The interrupt of a slot's INTA#: slots are wired one further each, slot 1 to PIRQA.
fn interrupt_of(slot: u8) -> u32 {
    if (slot - 1) & 3 < 2 { 10 } else { 11 }
}

/// The same for a virtio device, the `n`th.
fn virtio_registers(n: u32, slot: u8) -> [(u8, u8, Width, u32); 3] {
    let place = devfn(slot, 0);
    [
        (place, virtio::BAR as u8, Width::Dword, VIRTIO_BASE + n * virtio::BAR_SIZE),
        (place, 0x3C, Width::Byte, interrupt_of(slot)),
        (place, 0x04, Width::Word, 0x0006),
    ]
}

/// Ports: edge/level control has IRQ 10 and 11 as level-triggered; ACPI mode is on.
const PORTS: [(u16, Width, u32); 2] = [(0x4D1, Width::Byte, 0x0C), (PM_BASE + 4, Width::Word, 0x0001)];

/// BIOS data area: the serial ports, the segment of its extension, and the kilobytes below that.
const BIOS_DATA: [(u64, u16); 4] =
    [(0x400, 0x3F8), (0x402, 0x2F8), (0x40E, (LOW_END >> 4) as u16), (0x413, (LOW_END >> 10) as u16)];

/// Leave everything as firmware does. The machine has just been made or reset.
pub fn set_up(machine: &mut Machine) {
    let ram_size = machine.cpu.mem.ram_size();
    machine.with_chipset(|chipset, cx| {
        let virtio =
            (0..).zip(chipset.devices.virtio.slots()).flat_map(|(n, slot)| virtio_registers(n, slot));
        let registers: Vec<_> = PCI.into_iter().chain(virtio).collect();
        for (place, offset, width, value) in registers {
            chipset.port_write(
                cx,
                0xCF8,
                Width::Dword,
                0x8000_0000 | u32::from(place) << 8 | u32::from(offset & 0xFC),
            );
            chipset.port_write(cx, 0xCFC + u16::from(offset & 3), width, value);
        }
        for (port, width, value) in PORTS.into_iter().chain(interrupt_services::PORTS) {
            chipset.port_write(cx, port, width, value);
        }
        chipset.mmio_write(cx, io_apic::BASE, Width::Dword, 0);
        chipset.mmio_write(cx, io_apic::BASE + 0x10, Width::Dword, u32::from(IO_APIC_ID) << 24);
        interrupt_services::install(cx);
        write_tables(cx, ram_size);
    });
}

fn write_tables(cx: &mut BusContext<'_>, ram_size: u64) {
    for (at, value) in BIOS_DATA {
        cx.mem.write_bytes(at, &value.to_le_bytes());
    }
    // The extended BIOS data area begins with its size in KiB.
    cx.mem.write_bytes(LOW_END, &[1]);
    for (at, bytes) in acpi::tables(ram_size, ACPI_ROM, ACPI_RAM).parts {
        let stored =
            if at < ACPI_ROM { cx.mem.write_bytes(at, &bytes) } else { write_rom(cx.mem, at, &bytes) };
        debug_assert!(stored, "the tables fit");
    }
}
