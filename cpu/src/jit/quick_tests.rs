//! Transfers between rings in both engines, with tables that change under them.

use super::tests::{lockstep, machine};
use crate::Cpu;
use crate::testing::{FREE, GDT, IDT, STACK, TSS, code_of, data_of, handler, set_descriptor, set_gate};

/// A processor with paging in ring 3 whose vectors 0x30, 0x32 and 0x34 lead to rings 0, 1 and 3; `handlers` are their code.
fn gated(code: &[u8], handlers: [&[u8]; 3]) -> Cpu {
    let mut cpu = machine(3, code, [STACK; 8], None);
    for (n, (ring, code)) in [0, 1, 3].into_iter().zip(handlers).enumerate() {
        let vector = 0x30 + 2 * n as u8;
        let kind = if ring == 3 { 0xEF } else { 0xEE };
        set_gate(&mut cpu, IDT + 8 * vector as u32, kind, code_of(ring), handler(vector), 0);
        cpu.mem.write_bytes(handler(vector) as u64, code);
    }
    cpu.phys_write((TSS + 12) as u64, 0x6800u32);
    cpu.phys_write((TSS + 16) as u64, data_of(1));
    cpu
}

/// int 0x30; int 0x32; int 0x34; mov eax, DS of ring 3; mov ds, eax; push es; pop fs; mov ecx, fs; jmp back. In ring 0: inc
/// ebx; iretd; in ring 1: int 0x30; mov eax, DS of ring 1; mov ds, eax (which the return takes away); iretd; in ring 3: mov
/// gs, [esp + 4] (a code segment); iretd
pub(super) fn rings() -> Cpu {
    let [data3, data1] = [data_of(3) as u8, data_of(1) as u8];
    let mut code = vec![0xCD, 0x30, 0xCD, 0x32, 0xCD, 0x34, 0xB8, data3, 0, 0, 0, 0x8E, 0xD8];
    code.extend([0x06, 0x0F, 0xA1, 0x8C, 0xE1]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let ring1 = [0xCD, 0x30, 0xB8, data1, 0, 0, 0, 0x8E, 0xD8, 0xCF];
    gated(&code, [&[0x43, 0xCF], &ring1, &[0x8E, 0x6C, 0x24, 4, 0xCF]])
}

/// Tables that change: int 0x30; mov fs, bx; mov es, bx; mov eax, es:[0]; jmp back. In ring 0: nop; xor byte [esi], 1; inc edx;
/// iretd, where ESI is a base, its accessed bit, the base of ring 0's stack, and a gate's offset in turn
pub(super) fn tables() -> Cpu {
    let code = [0xCD, 0x30, 0x8E, 0xE3, 0x8E, 0xC3, 0x26, 0xA1, 0, 0, 0, 0, 0xEB, 0xF2];
    let ring0 = [0x90, 0x80, 0x36, 1, 0x87, 0xF7, 0x87, 0xFD, 0x87, 0xE9, 0x42, 0xCF];
    let mut cpu = gated(&code, [&ring0, &[0xCF], &[0xCF]]);
    set_descriptor(&mut cpu, FREE, 0xF3, 0x8000, 0xFFFF);
    set_descriptor(&mut cpu, FREE + 8, 0x93, 0, u32::MAX);
    cpu.phys_write((TSS + 8) as u64, FREE + 8);
    let gdt = GDT + FREE as u32;
    cpu.regs.gpr = [0, gdt + 5, 0, (FREE | 3) as u32, STACK, IDT + 8 * 0x30, gdt + 8 + 2, gdt + 2];
    cpu
}

/// An interrupt waits for IF: int 0x30; jmp back. In ring 0: inc ebx; mov eax, ebx; and eax, 1; shl eax, 9; xor [esp + 8], eax;
/// iretd. The interrupt: and byte [esp + 9], ~2; iretd
pub(super) fn awaited() -> Cpu {
    let ring0 = [0x43, 0x89, 0xD8, 0x83, 0xE0, 1, 0xC1, 0xE0, 9, 0x31, 0x44, 0x24, 8, 0xCF];
    let mut cpu = gated(&[0xCD, 0x30, 0xEB, 0xFC], [&ring0, &[0xCF], &[0xCF]]);
    cpu.mem.write_bytes(handler(0xFF) as u64, &[0x80, 0x64, 0x24, 9, 0xFD, 0xCF]);
    cpu.lines.intr = true;
    cpu
}

/// A call gate to ring 0, another to ring 1: lcall FREE + 16; lcall FREE + 24; mov es, bx; mov eax, es:[0]; jmp back, where EBX is a
/// null selector and a good one in turn. In ring 0: xchg ebx, edx; push fs; pop fs; lret; in ring 1: xor byte [esi], 0x20 (the DPL
/// of the first gate); mov ax, ds; lret. #GP: add esp, 4; add dword [esp], its length; iretd
pub(super) fn calls() -> Cpu {
    let mut code = Vec::new();
    for selector in [FREE + 16, FREE + 24] {
        code.extend([0x9A, 0, 0, 0, 0]);
        code.extend((selector | 3).to_le_bytes());
    }
    code.extend([0x8E, 0xC3, 0x26, 0x8A, 0x05, 0, 0, 0, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let ring0 = [0x87, 0xDA, 0x0F, 0xA0, 0x0F, 0xA1, 0xCB];
    let mut cpu = gated(&code, [&ring0, &[0x80, 0x36, 0x20, 0x66, 0x8C, 0xD8, 0xCB], &[0xCF]]);
    cpu.mem.write_bytes(handler(13) as u64, &[0x83, 0xC4, 4, 0x83, 0x04, 0x24, 7, 0xCF]);
    let gdt = GDT + FREE as u32 + 16;
    set_gate(&mut cpu, gdt, 0xEC, code_of(0), handler(0x30), 0);
    set_gate(&mut cpu, gdt + 8, 0xEC, code_of(1), handler(0x32), 0);
    (cpu.regs.gpr[3], cpu.regs.gpr[2], cpu.regs.gpr[6]) = (0, data_of(3) as u32, gdt + 5);
    cpu
}

/// In ring 0: cli; inc eax; sti; sti; inc ebx; jmp back
pub(super) fn held_off() -> Cpu {
    machine(0, &[0xFA, 0x40, 0xFB, 0xFB, 0x43, 0xEB, 0xF9], [STACK; 8], None)
}

/// Transfers between all rings, with tables that change under them.
#[test]
fn transfers() {
    for make in [rings, tables, awaited, calls, held_off] {
        for step in [1, 5, 13] {
            let cpu = lockstep(make, (1..1200).step_by(step));
            assert!(cpu.insns() > 1180, "it went on: {}", cpu.insns());
        }
    }
}
