//! Images good and bad.

use super::*;
use crate::machine::Config;
use proptest::prelude::*;

fn machine() -> Machine {
    Machine::new(Config { ram: 8 << 20, rtc: 0 }).unwrap()
}

/// A bzImage of protocol 2.10 with one setup sector and `protected` bytes of code.
fn image(protected: usize, init_size: u32) -> Vec<u8> {
    let mut file = vec![0; 1024];
    let mut put = |at: usize, bytes: &[u8]| file[at..at + bytes.len()].copy_from_slice(bytes);
    put(0x1F1, &[1]);
    put(0x1F4, &(protected.div_ceil(16) as u32).to_le_bytes());
    put(0x1FE, &[0x55, 0xAA, 0xEB, 0x66]);
    put(0x202, b"HdrS\x0A\x02");
    put(0x211, &[1]);
    put(0x22C, &0x00FF_FFFFu32.to_le_bytes());
    put(0x238, &100u32.to_le_bytes());
    put(0x258, &0x0010_0000u32.to_le_bytes());
    put(0x260, &init_size.to_le_bytes());
    file.extend((0..protected).map(|n| n as u8));
    file
}

fn load(machine: &mut Machine, kernel: &[u8], initrd: &[u8]) -> Result<u32, BootError> {
    Linux { kernel, command_line: b"console=ttyS0", initrd, seed: 1 }.load(machine)
}

#[test]
fn zero_page_and_entry_state() {
    let mut machine = machine();
    let file = image(5000, 0x10_0000);
    assert_eq!(load(&mut machine, &file, &[7; 5000]), Ok(0x10_0000));
    let mem = &machine.cpu.mem;
    assert_eq!(mem.slice(0x10_0000, 5000), Some(&file[1024..]));
    let regs = &machine.cpu.regs;
    assert_eq!((regs.eip, regs.cs().selector, regs.ss().selector, regs.cr0), (0x10_0000, 0x10, 0x18, 0x11));
    let page = mem.slice(regs.gpr[gpr::ESI].into(), 4096).unwrap();
    assert_eq!(page[0x1F1..0x210], file[0x1F1..0x210]);
    assert_eq!(page[0x210], 0xFF);
    assert_eq!(mem.slice(field(page, 0x228).into(), 14), Some(&b"console=ttyS0\0"[..]));
    let initrd = field(page, 0x218);
    assert_eq!((initrd, field(page, 0x21C)), (0x7F_E000, 5000));
    assert_eq!(mem.slice(initrd.into(), 5000), Some(&[7; 5000][..]));
    assert_eq!((page[0x1E8], field(page, 0x2D0 + 8)), (4, 0x9_FC00));
    let seed = mem.slice(field(page, 0x250).into(), 48).unwrap();
    assert_eq!((seed[..8].to_vec(), field(seed, 8), field(seed, 12)), (vec![0; 8], 9, 32));
    assert_eq!(seed, rng_seed(1));
    assert_ne!(seed, rng_seed(2));
    let gdt = mem.slice(regs.gdtr.base.into(), 32).unwrap();
    assert_eq!(gdt[16..24], FLAT_CODE.to_le_bytes());
}

#[test]
fn what_cannot_be_loaded_says_why() {
    let mut machine = machine();
    let message = |result: Result<u32, BootError>| result.unwrap_err().to_string();
    assert_eq!(message(load(&mut machine, b"x", b"")), "bad Linux image: no setup header");
    let file = image(100, 0x10_0000);
    assert_eq!(
        message(load(&mut machine, &file[..1024], b"")),
        "bad Linux image: truncated: nothing after the setup sectors"
    );
    assert_eq!(
        message(load(&mut machine, &file[..1024 + 90], b"")),
        "bad Linux image: truncated: shorter than its header says"
    );
    for (at, byte, text) in
        [(0x206, 1, "boot protocol older than 2.02"), (0x211, 0, "a zImage; only a bzImage can be loaded")]
    {
        let mut file = file.clone();
        file[at] = byte;
        assert_eq!(message(load(&mut machine, &file, b"")), format!("bad Linux image: {text}"));
    }
    assert_eq!(
        message(load(&mut machine, &file, &vec![0; 7 << 20])),
        "the initial RAM disk (7340032 bytes) does not fit in what is left of 8 MiB of RAM"
    );
    assert!(matches!(load(&mut machine, &image(1, 8 << 20), b""), Err(BootError::OutsideRam { .. })));
    let long = Linux { kernel: &file, command_line: &[b'x'; 101], initrd: b"", seed: 1 }.load(&mut machine);
    assert_eq!(message(long), "the command line has 101 bytes, the kernel takes 100");
}

proptest! {
    #[test]
    fn any_damage_loads_or_is_an_error(
        damage in prop::collection::vec((0x1F0usize..0x270, any::<u8>()), 0..8), cut in 0usize..2000
    ) {
        let mut file = image(500, 0x10_0000);
        for (at, byte) in damage {
            file[at] = byte;
        }
        file.truncate(cut);
        let mut machine = machine();
        if load(&mut machine, &file, b"initrd").is_ok() {
            prop_assert_eq!(machine.cpu.regs.eip, 0x10_0000);
        }
    }
}
