//! ACPI tables (ACPI specification 1.0b, chapter 5; MADT from 2.0): what firmware tells an operating system of the
//! board. Made here when there is no firmware.

mod aml;
mod dsdt;
mod resources;

use super::firmware::{IO_APIC_ID, PM_BASE};
use crate::devices::io_apic;
use crate::devices::piix4_pm::SCI_IRQ;

/// Tables and where they go; the first is the root pointer.
pub struct Tables {
    /// Address and bytes of each.
    pub parts: Vec<(u64, Vec<u8>)>,
}

const HEADER: usize = 36;
const LOCAL_APIC: u32 = 0xFEE0_0000;

/// A table: header, body, and a checksum that makes all bytes add up to 0.
fn table(signature: &[u8; 4], revision: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = signature.to_vec();
    bytes.extend(((HEADER + body.len()) as u32).to_le_bytes());
    bytes.extend([revision, 0]);
    bytes.extend(b"RNGSDERINGSIDE\x01\0\0\0RNGS\x01\0\0\0");
    bytes.extend(body);
    bytes[9] = checksum(&bytes);
    bytes
}

fn checksum(bytes: &[u8]) -> u8 {
    bytes.iter().fold(0u8, |sum, byte| sum.wrapping_add(*byte)).wrapping_neg()
}

/// Fixed ACPI description: where the power-management registers are.
fn fadt(facs: u32, dsdt: u32) -> Vec<u8> {
    const CLOCK_INTERRUPT_APIC: u8 = 1;
    // WBINVD works, C1 works; power and sleep buttons and the clock's alarm are no fixed hardware.
    const FLAGS: u32 = 1 << 0 | 1 << 2 | 1 << 4 | 1 << 5 | 1 << 6;
    const CENTURY: u8 = 0x32;
    let mut body = vec![0; 116 - HEADER];
    let mut put =
        |at: usize, bytes: &[u8]| body[at - HEADER..at - HEADER + bytes.len()].copy_from_slice(bytes);
    put(36, &facs.to_le_bytes());
    put(40, &dsdt.to_le_bytes());
    put(44, &[CLOCK_INTERRUPT_APIC]);
    put(46, &u16::from(SCI_IRQ).to_le_bytes());
    // No SMI command port: the board is always in ACPI mode. PM1a event, PM1a control, PM timer.
    put(56, &u32::from(PM_BASE).to_le_bytes());
    put(64, &u32::from(PM_BASE + 4).to_le_bytes());
    put(76, &u32::from(PM_BASE + 8).to_le_bytes());
    put(88, &[4, 2, 0, 4]);
    // C2 and C3 take longer than they may: they are not there.
    put(96, &101u16.to_le_bytes());
    put(98, &1001u16.to_le_bytes());
    put(108, &[CENTURY]);
    put(112, &FLAGS.to_le_bytes());
    table(b"FACP", 1, &body)
}

/// Firmware ACPI control structure, in RAM: the global lock.
fn facs() -> Vec<u8> {
    let mut bytes = vec![0; 64];
    bytes[..4].copy_from_slice(b"FACS");
    bytes[4..8].copy_from_slice(&64u32.to_le_bytes());
    bytes
}

/// Multiple APIC description: one processor, one I/O APIC, and where ISA interrupts are not at the pin of their number.
fn madt() -> Vec<u8> {
    const ALSO_8259S: u32 = 1;
    let [sci, ..] = u32::from(SCI_IRQ).to_le_bytes();
    let io_apic = (io_apic::BASE as u32).to_le_bytes();
    let entries: [&[u8]; 5] = [
        &[0, 8, 0, 0, 1, 0, 0, 0],
        &[&[1, 12, IO_APIC_ID, 0], &io_apic[..], &[0; 4]].concat(),
        // The timer is at pin 2.
        &[2, 10, 0, 0, 2, 0, 0, 0, 0, 0],
        // The system control interrupt is level-triggered, active high.
        &[2, 10, 0, sci, sci, 0, 0, 0, 0x0D, 0],
        // NMI comes in at LINT1 of every processor.
        &[4, 6, 0xFF, 0, 0, 1],
    ];
    let body = [&LOCAL_APIC.to_le_bytes()[..], &ALSO_8259S.to_le_bytes(), &entries.concat()].concat();
    table(b"APIC", 1, &body)
}

/// The root pointer, which is found by its signature.
fn rsdp(rsdt: u32) -> Vec<u8> {
    let mut bytes = b"RSD PTR \0RNGSDE\0".to_vec();
    bytes.extend(rsdt.to_le_bytes());
    bytes[8] = checksum(&bytes);
    bytes
}

/// All tables for a machine with `ram_size` bytes of RAM: one after the other from `rom_at` on, and the one that is
/// written to at `ram_at`, a multiple of 64.
pub fn tables(ram_size: u64, rom_at: u64, ram_at: u64) -> Tables {
    const ROOT_POINTER_ROOM: u64 = 32;
    let mut at = rom_at + ROOT_POINTER_ROOM;
    let mut parts = vec![(ram_at, facs())];
    let mut place = |bytes: Vec<u8>| {
        let here = at;
        at = (at + bytes.len() as u64).next_multiple_of(16);
        parts.push((here, bytes));
        here as u32
    };
    let dsdt = place(table(b"DSDT", 1, &dsdt::dsdt(ram_size)));
    let fadt = place(fadt(ram_at as u32, dsdt));
    let madt = place(madt());
    let rsdt = place(table(b"RSDT", 1, &[fadt, madt].map(u32::to_le_bytes).concat()));
    parts.push((rom_at, rsdp(rsdt)));
    Tables { parts }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_adds_up_and_the_root_leads_to_all() {
        let Tables { parts } = tables(128 << 20, 0xF_0000, 0x9_FC40);
        let at =
            |addr: u32| &parts.iter().find(|part| part.0 == u64::from(addr)).expect("a table is there").1;
        let word = |bytes: &[u8], n: usize| u32::from_le_bytes(*bytes[n..].first_chunk().unwrap());
        let sums = |bytes: &[u8]| checksum(bytes) == 0;
        let root = at(0xF_0000);
        assert!(sums(root) && root.starts_with(b"RSD PTR "));
        let rsdt = at(word(root, 16));
        let named: Vec<&[u8]> = (HEADER..rsdt.len()).step_by(4).map(|n| &at(word(rsdt, n))[..4]).collect();
        assert_eq!(named, [b"FACP", b"APIC"]);
        let fadt = at(word(rsdt, HEADER));
        assert!(at(word(fadt, 36)).starts_with(b"FACS"));
        let dsdt = at(word(fadt, 40));
        assert!(dsdt.starts_with(b"DSDT"));
        for bytes in [rsdt, fadt, dsdt, at(word(rsdt, HEADER + 4))] {
            assert!(sums(bytes) && word(bytes, 4) as usize == bytes.len());
        }
        let mut ends: Vec<(u64, u64)> = parts.iter().map(|(at, b)| (*at, at + b.len() as u64)).collect();
        ends.sort_unstable();
        assert!(ends.windows(2).all(|pair| pair[0].1 <= pair[1].0));
    }
}
