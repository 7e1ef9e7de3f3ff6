//! Kernels good and bad.

use super::*;
use crate::machine::Config;
use proptest::prelude::*;

const MIB: u64 = 1 << 20;

fn machine(mib: u64) -> Machine {
    Machine::new(Config { ram: mib * MIB, rtc: 0 }).unwrap()
}

fn words(words: &[u32]) -> Vec<u8> {
    words.iter().flat_map(|w| w.to_le_bytes()).collect()
}

fn header(flags: u32) -> Vec<u8> {
    words(&[0x1BAD_B002, flags, 0u32.wrapping_sub(0x1BAD_B002).wrapping_sub(flags)])
}

/// An ELF file with one segment at `physical`, linked at `linked`, whose contents start with a multiboot header.
fn elf_kernel(linked: u32, physical: u32, contents: usize, memory: u32) -> Vec<u8> {
    let mut file = b"\x7FELF\x01\x01\x01\0\0\0\0\0\0\0\0\0".to_vec();
    file.extend(words(&[0x0003_0002, 1, linked + 12, 52, 0, 0, 0x0020_0034, 0x0028_0001, 0]));
    file.extend(words(&[1, 84, linked, physical, contents as u32, memory, 7, 4096]));
    file.extend(header(3));
    file.resize(84 + contents, 0x90);
    file
}

/// A flat file with address fields: header first, loaded at 1 MiB.
fn flat_kernel(addresses: [u32; 5]) -> Vec<u8> {
    let mut file = header(0x1_0003);
    file.extend(words(&addresses));
    file.resize(64, 0xF4);
    file
}

fn load(machine: &mut Machine, kernel: &[u8], modules: &[Module<'_>]) -> Result<u32, BootError> {
    Multiboot { kernel, command_line: b"root=here quiet", modules }.load(machine)
}

fn read(machine: &Machine, at: u32, len: usize) -> &[u8] {
    machine.cpu.mem.slice(at.into(), len).unwrap()
}

fn word_at(machine: &Machine, at: u32) -> u32 {
    u32::from_le_bytes(read(machine, at, 4).try_into().unwrap())
}

fn string_at(machine: &Machine, at: u32) -> String {
    let bytes = read(machine, at, 256);
    String::from_utf8(bytes.iter().copied().take_while(|b| *b != 0).collect()).unwrap()
}

#[test]
fn a_high_linked_kernel_starts_at_its_physical_entry() {
    let mut machine = machine(8);
    assert!(machine.cpu.mem.write_bytes(0x10_0000, &[0xCC; 0x3000]));
    let kernel = elf_kernel(0xC010_0000, 0x10_0000, 0x20, 0x2000);
    assert_eq!(load(&mut machine, &kernel, &[]), Ok(0x10_000C));
    assert_eq!(read(&machine, 0x10_0000, 0x20), &kernel[84..]);
    assert!(read(&machine, 0x10_0020, 0x1FE0).iter().all(|b| *b == 0), "the rest of the segment is cleared");
    assert_eq!(word_at(&machine, 0x10_2000), 0xCCCC_CCCC);
    let regs = &machine.cpu.regs;
    assert_eq!((regs.eip, regs.gpr[gpr::EAX], regs.cr0), (0x10_000C, 0x2BAD_B002, 0x11));
    assert!(!regs.flags.has(flags::IF) && machine.cpu.lines.a20);
    assert!(regs.gdtr.limit == 0 && regs.gpr[gpr::ESP] > 0xB000_0000, "undefined things are poisoned");
    assert!(regs.cs().allows_read(u32::MAX - 3, 4) && regs.cs().big() && regs.ss().allows_write(0, 4));
}

#[test]
fn boot_information_describes_everything() {
    let mut machine = machine(8);
    let modules = [
        Module { data: &[0xAA; 5000], string: b"guest mem=32" },
        Module { data: b"", string: b"" },
        Module { data: b"initrd", string: b"initrd.gz" },
    ];
    load(&mut machine, &elf_kernel(0x10_0000, 0x10_0000, 0x20, 0x1800), &modules).unwrap();
    let info = machine.cpu.regs.gpr[gpr::EBX];
    assert!(info.is_multiple_of(4) && u64::from(info) < memory_map::LOW_END);
    assert_eq!(word_at(&machine, info), 0x24D);
    assert_eq!([word_at(&machine, info + 4), word_at(&machine, info + 8)], [639, 7 * 1024]);
    assert_eq!(string_at(&machine, word_at(&machine, info + 16)), "root=here quiet");
    assert_eq!(string_at(&machine, word_at(&machine, info + 64)), "Ringside");

    assert_eq!(word_at(&machine, info + 20), 3);
    let list = word_at(&machine, info + 24);
    for (n, module) in (0..).zip(&modules) {
        let [start, end, string] = [0, 4, 8].map(|field| word_at(&machine, list + 16 * n + field));
        assert!(start.is_multiple_of(4096) && start >= 0x10_1800);
        assert_eq!(read(&machine, start, (end - start) as usize), module.data);
        assert_eq!(string_at(&machine, string).as_bytes(), module.string);
    }

    let (mut entry, end) = (word_at(&machine, info + 48), word_at(&machine, info + 44));
    let end = entry + end;
    let mut usable = Vec::new();
    while entry < end {
        if word_at(&machine, entry + 20) == 1 {
            let start = u64::from(word_at(&machine, entry + 4));
            usable.push(start..start + u64::from(word_at(&machine, entry + 12)));
        }
        entry += word_at(&machine, entry) + 4;
    }
    assert_eq!(usable, memory_map::usable(8 * MIB).collect::<Vec<_>>());
}

#[test]
fn address_fields_place_a_flat_file() {
    let mut machine = machine(2);
    let kernel = flat_kernel([0x10_0000, 0x10_0000, 0, 0x10_1000, 0x10_0020]);
    assert_eq!(load(&mut machine, &kernel, &[]), Ok(0x10_0020));
    assert_eq!(read(&machine, 0x10_0000, 64), kernel);
    for (addresses, message) in [
        ([0x10_0000, 0x10_1000, 0, 0, 0x10_0020], "load_addr is above header_addr"),
        ([0x10_1000, 0x10_0000, 0, 0, 0x10_0020], "load_addr lies before the start of the file"),
        ([0x10_0000, 0x10_0000, 0x10_1000, 0, 0x10_0020], "load_end_addr lies beyond the end of the file"),
        ([0x10_0000, 0x10_0000, 0x1000, 0, 0x10_0020], "load_end_addr is below load_addr"),
        ([0x10_0000, 0x10_0000, 0, 0x10_0010, 0x10_0020], "bss_end_addr is below the end of the data"),
    ] {
        assert_eq!(load(&mut machine, &flat_kernel(addresses), &[]), Err(BootError::Header(message)));
    }
    let outside = flat_kernel([0x10_0000, 0x10_0000, 0, 0, 0x20_0000]);
    assert_eq!(load(&mut machine, &outside, &[]), Err(BootError::Entry(0x20_0000)));
}

#[test]
fn what_does_not_fit_is_named() {
    let mut machine = machine(2);
    let kernel = elf_kernel(0x10_0000, 0x10_0000, 0x20, 0x1000);
    let big = Module { data: &vec![0; 2 << 20], string: b"vmlinux quiet" };
    let message = |result: Result<u32, BootError>| result.unwrap_err().to_string();
    assert_eq!(
        message(load(&mut machine, &kernel, &[big])),
        "module 1 \"vmlinux quiet\" (2097152 bytes) does not fit in what is left of 2 MiB of RAM"
    );
    for at in [0xA_0000, 0x9_FC00, 0xF_F000, 0x1F_F001, 0x20_0000, 0xFFFF_F000] {
        let error = load(&mut machine, &elf_kernel(at, at, 0x20, 0x1000), &[]).unwrap_err();
        assert!(matches!(error, BootError::OutsideRam { .. }), "{at:#x}: {error}");
    }
    let error = load(&mut machine, &elf_kernel(0x10_0000, 0x10_0000, 0x20, u32::MAX), &[]).unwrap_err();
    assert!(matches!(error, BootError::OutsideRam { .. }));
}

#[test]
fn garbage_is_refused() {
    let mut machine = machine(2);
    assert_eq!(load(&mut machine, b"", &[]), Err(BootError::NoHeader));
    assert_eq!(load(&mut machine, &[0x55; 20_000], &[]), Err(BootError::NoHeader));
    assert_eq!(load(&mut machine, &header(8), &[]), Err(BootError::UnknownFlags(8)));
    assert!(matches!(load(&mut machine, &header(3), &[]), Err(BootError::Elf(_))));
    let kernel = elf_kernel(0x10_0000, 0x10_0000, 0x1000, 0x1000);
    let truncated = load(&mut machine, &kernel[..0x400], &[]).unwrap_err().to_string();
    assert_eq!(truncated, "bad ELF file: truncated: a segment lies beyond the end of the file");
    for (at, byte, message) in [
        (4, 2, "bad ELF file: 64-bit, but the machine is 32-bit"),
        (18, 0x28, "the ELF file is for machine type 40, not for 32-bit x86"),
    ] {
        let mut kernel = kernel.clone();
        kernel[at] = byte;
        assert_eq!(load(&mut machine, &kernel, &[]).unwrap_err().to_string(), message);
    }
}

proptest! {
    #[test]
    fn any_damage_loads_or_is_an_error(
        damage in prop::collection::vec((0usize..200, any::<u8>()), 0..12), cut in 0usize..400, flat in any::<bool>()
    ) {
        let mut kernel = match flat {
            true => flat_kernel([0x10_0000, 0x10_0000, 0, 0x10_1000, 0x10_0020]),
            false => elf_kernel(0x10_0000, 0x10_0000, 0x100, 0x1000),
        };
        for (at, byte) in damage {
            if let Some(b) = kernel.get_mut(at) { *b = byte; }
        }
        kernel.truncate(cut);
        let mut machine = machine(2);
        if let Ok(entry) = load(&mut machine, &kernel, &[Module { data: b"x", string: b"y" }]) {
            prop_assert_eq!(machine.cpu.regs.eip, entry);
        }
    }
}
