//! Speed of the interpreter on REP-free integer code: ring 0, flat segments, 4 KiB paging, every check on.
//!
//! Each kernel loops for ever and is run in short slices. The best slice counts: on a machine that does other work
//! too it is the figure that repeats. `cargo bench -p ringside-cpu [KERNEL]` prints one line a kernel.

use cpu::bus::EmptyBus;
use cpu::mem::{PhysMem, Ram};
use cpu::regs::{cr0, gpr};
use cpu::seg::{SegReg, Segment};
use cpu::{Cpu, Exit};
use std::time::Instant;

const RAM: usize = 1 << 20;
const CODE: u32 = 0x1000;
const STACK: u32 = 0x8000;
const DATA: u32 = 0x10000;
const PAGE_DIRECTORY: u32 = 0x80000;
const PAGE_TABLE: u32 = 0x81000;

const SLICES: u32 = 40;
const SLICE_INSNS: u64 = 2_000_000;

/// Dwords summed, rotated and copied: loads, stores, a long block.
const WORDS: &[u8] = &[
    0xBE, 0x00, 0x00, 0x01, 0x00, //       outer: mov esi, DATA
    0xB9, 0x00, 0x04, 0x00, 0x00, //              mov ecx, 1024
    0x31, 0xC0, //                                xor eax, eax
    0x03, 0x06, //                         next:  add eax, [esi]
    0xC1, 0xC0, 0x03, //                          rol eax, 3
    0x33, 0x46, 0x04, //                          xor eax, [esi + 4]
    0x89, 0x86, 0x00, 0x80, 0x00, 0x00, //        mov [esi + 0x8000], eax
    0x83, 0xC6, 0x04, //                          add esi, 4
    0x49, //                                      dec ecx
    0x75, 0xEC, //                                jnz next
    0xEB, 0xDE, //                                jmp outer
];

/// A small function called in a loop: stack traffic, short blocks, an alternating branch.
const CALLS: &[u8] = &[
    0xB9, 0x64, 0x00, 0x00, 0x00, // outer: mov ecx, 100
    0x51, //                         next:  push ecx
    0xE8, 0x06, 0x00, 0x00, 0x00, //        call f
    0x59, //                                pop ecx
    0x49, //                                dec ecx
    0x75, 0xF6, //                          jnz next
    0xEB, 0xEF, //                          jmp outer
    0x55, //                         f:     push ebp
    0x89, 0xE5, //                          mov ebp, esp
    0x8B, 0x45, 0x08, //                    mov eax, [ebp + 8]
    0x8D, 0x44, 0x80, 0x01, //              lea eax, [eax + eax * 4 + 1]
    0xA8, 0x01, //                          test al, 1
    0x74, 0x02, //                          je done
    0x01, 0xC3, //                          add ebx, eax
    0x5D, //                         done:  pop ebp
    0xC3, //                                ret
];

/// Bytes folded to lower case and counted: byte accesses, data-dependent branches, read-modify-write.
const BYTES: &[u8] = &[
    0xBE, 0x00, 0x00, 0x01, 0x00, //                   outer: mov esi, DATA
    0xBF, 0x00, 0x00, 0x02, 0x00, //                          mov edi, 0x20000
    0xB9, 0x00, 0x10, 0x00, 0x00, //                          mov ecx, 4096
    0x0F, 0xB6, 0x06, //                               next:  movzx eax, byte [esi]
    0x46, //                                                  inc esi
    0x3C, 0x41, //                                            cmp al, 'A'
    0x72, 0x06, //                                            jb keep
    0x3C, 0x5A, //                                            cmp al, 'Z'
    0x77, 0x02, //                                            ja keep
    0x0C, 0x20, //                                            or al, 0x20
    0x88, 0x07, //                                     keep:  mov [edi], al
    0x47, //                                                  inc edi
    0x83, 0x04, 0x85, 0x00, 0x40, 0x02, 0x00, 0x01, //        add dword [eax * 4 + 0x24000], 1
    0x49, //                                                  dec ecx
    0x75, 0xE4, //                                            jnz next
    0xEB, 0xD3, //                                            jmp outer
];

const KERNELS: &[(&str, &[u8])] = &[("words", WORDS), ("calls", CALLS), ("bytes", BYTES)];

/// A processor about to run `code`, its first MiB mapped one to one.
fn machine(code: &[u8]) -> Cpu {
    let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(RAM)), Box::new(EmptyBus));
    assert!(cpu.mem.write_bytes(CODE as u64, code));
    cpu.mem.write_ram::<u32>(PAGE_DIRECTORY, PAGE_TABLE | 3);
    for page in 0..RAM as u32 / 4096 {
        cpu.mem.write_ram::<u32>(PAGE_TABLE + page * 4, page << 12 | 3);
    }
    let mut noise = 1u32;
    for at in 0..4096 {
        noise = noise.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        cpu.mem.write_ram::<u8>(DATA + at, (noise >> 24) as u8);
    }
    cpu.regs.cr3 = PAGE_DIRECTORY;
    cpu.regs.cr0 |= cr0::PE | cr0::PG;
    for (n, seg) in cpu.regs.seg.iter_mut().enumerate() {
        let (selector, kind) = if n == SegReg::Cs as usize { (8, 0x9B00) } else { (16, 0x9300) };
        *seg = Segment::new(selector, 0, u32::MAX, 0x00C0_0000 | kind);
    }
    cpu.regs.eip = CODE;
    cpu.regs.gpr[gpr::ESP] = STACK;
    cpu.state_changed();
    if std::env::args().any(|a| a == "--jit") {
        cpu.set_engine(cpu::Engine::Jit).expect("a host with a compiled engine");
    }
    cpu
}

/// Million instructions a second, in the best slice.
fn measure(code: &[u8]) -> f64 {
    let mut cpu = machine(code);
    let best = (1..=SLICES as u64)
        .map(|slice| {
            let start = Instant::now();
            assert_eq!(cpu.run(slice * SLICE_INSNS), Exit::Limit);
            start.elapsed()
        })
        .min()
        .expect("at least one slice");
    let at = cpu.regs.eip.wrapping_sub(CODE) as usize;
    assert!(at < code.len(), "the kernel was left: EIP is {:#x}", cpu.regs.eip);
    SLICE_INSNS as f64 / best.as_secs_f64() / 1e6
}

fn main() {
    // Cargo passes options such as --bench; a name selects one kernel.
    let only = std::env::args().skip(1).find(|arg| !arg.starts_with('-'));
    let chosen: Vec<_> =
        KERNELS.iter().filter(|(name, _)| only.as_deref().is_none_or(|o| o == *name)).collect();
    let mut logs = 0.0;
    for (name, code) in &chosen {
        let mips = measure(code);
        logs += mips.ln();
        println!("{name:10} {mips:8.1} MIPS");
    }
    if !chosen.is_empty() {
        println!("{:10} {:8.1} MIPS", "geomean", (logs / chosen.len() as f64).exp());
    }
}
