//! Speed of the interpreter on REP-free integer code, in million instructions a second.
//!
//! `cargo bench -p ringside-cpu` runs three kernels in ring 3 behind limited segments (so that every access is
//! checked), with 4 KiB paging on: a checksum over memory, a sort-like exchange loop, and calls with stack traffic.

use cpu::bus::EmptyBus;
use cpu::mem::{PhysMem, Ram};
use cpu::regs::{cr0, gpr};
use cpu::seg::Segment;
use cpu::{Cpu, Exit};
use std::time::Instant;

const CODE: u32 = 0x1_0000;
const DATA: u32 = 0x2_0000;
const STACK: u32 = 0x4_0000;
const DIRECTORY: u32 = 0x8_0000;
const TABLE: u32 = 0x8_1000;
const INSNS: u64 = 200_000_000;

/// Name and machine code; each is an endless loop.
const KERNELS: &[(&str, &[u8])] = &[
    (
        "checksum",
        &[
            0xBE, 0x00, 0x00, 0x02, 0x00, // mov esi, DATA
            0xB9, 0x00, 0x04, 0x00, 0x00, // mov ecx, 1024
            0x03, 0x06, // next: add eax, [esi]
            0xC1, 0xC0, 0x05, // rol eax, 5
            0x33, 0xC1, // xor eax, ecx
            0x83, 0xC6, 0x04, // add esi, 4
            0x49, // dec ecx
            0x75, 0xF3, // jnz next
            0xEB, 0xE7, // jmp start
        ],
    ),
    (
        "exchange",
        &[
            0xBE, 0x00, 0x00, 0x02, 0x00, // mov esi, DATA
            0xB9, 0xFF, 0x03, 0x00, 0x00, // mov ecx, 1023
            0x8B, 0x06, // next: mov eax, [esi]
            0x8B, 0x56, 0x04, // mov edx, [esi+4]
            0x3B, 0xC2, // cmp eax, edx
            0x76, 0x05, // jbe keep
            0x89, 0x16, // mov [esi], edx
            0x89, 0x46, 0x04, // mov [esi+4], eax
            0x83, 0xC6, 0x04, // keep: add esi, 4
            0x49, // dec ecx
            0x75, 0xEC, // jnz next
            0x81, 0x06, 0x91, 0xE3, 0x79, 0x9E, // add dword [esi], 0x9e79e391: keeps the data moving
            0xEB, 0xDA, // jmp start
        ],
    ),
    (
        "calls",
        &[
            0xB8, 0x0C, 0x00, 0x00, 0x00, // mov eax, 12
            0xE8, 0x02, 0x00, 0x00, 0x00, // call f
            0xEB, 0xF4, // jmp start
            0x83, 0xF8, 0x02, // f: cmp eax, 2
            0x72, 0x14, // jb done
            0x50, // push eax
            0x48, // dec eax
            0xE8, 0xF4, 0xFF, 0xFF, 0xFF, // call f
            0x87, 0x04, 0x24, // xchg eax, [esp]
            0x83, 0xE8, 0x02, // sub eax, 2
            0xE8, 0xE9, 0xFF, 0xFF, 0xFF, // call f: recursion as in Fibonacci numbers
            0x5A, // pop edx
            0xC3, // ret
            0xC3, // done: ret
        ],
    ),
];

/// Ring 3, segments of 1 MiB, every page mapped for the user one to one.
fn machine(code: &[u8]) -> Cpu {
    let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(1 << 20)), Box::new(EmptyBus));
    assert!(cpu.mem.write_bytes(CODE as u64, code));
    let data: Vec<u8> = (0..4096u32).flat_map(|n| n.wrapping_mul(0x9E37_79B1).to_le_bytes()).collect();
    assert!(cpu.mem.write_bytes(DATA as u64, &data[..4100]));
    assert!(cpu.mem.write_bytes(DIRECTORY as u64, &(TABLE | 7).to_le_bytes()));
    for page in 0..256u32 {
        assert!(cpu.mem.write_bytes((TABLE + 4 * page) as u64, &(page << 12 | 7).to_le_bytes()));
    }
    for (n, seg) in cpu.regs.seg.iter_mut().enumerate() {
        let (selector, kind) = if n == 1 { (0x1B, 0xFB00) } else { (0x23, 0xF300) };
        *seg = Segment::new(selector, 0, 0xF_FFFF, 0x0040_0000 | kind);
    }
    cpu.regs.cpl = 3;
    cpu.regs.cr3 = DIRECTORY;
    cpu.regs.cr0 |= cr0::PE | cr0::PG | cr0::WP;
    cpu.regs.eip = CODE;
    cpu.regs.gpr[gpr::ESP] = STACK;
    cpu.state_changed();
    if std::env::args().any(|a| a == "--jit") {
        cpu.set_engine(cpu::Engine::Jit).expect("a host with a compiled engine");
    }
    cpu
}

fn main() {
    for (name, code) in KERNELS {
        let mut cpu = machine(code);
        let start = Instant::now();
        assert_eq!(cpu.run(INSNS), Exit::Limit);
        let mips = INSNS as f64 / start.elapsed().as_secs_f64() / 1e6;
        println!("{name:10} {mips:7.1} MIPS   ({} exceptions)", cpu.counters.exceptions);
    }
}
