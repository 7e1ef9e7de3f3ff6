//! Task switches in both engines, with tables and tasks that change under them.

use super::tests::{lockstep, machine};
use crate::Cpu;
use crate::regs::gpr::{EBX, EDX, ESI};
use crate::seg::Segment;
use crate::testing::{
    FREE, GDT, IDT, STACK, STACK0, TSS, TSS_SELECTOR, code_of, data_of, handler, set_descriptor, set_gate,
};

/// The second task: its TSS and another that its descriptor names for a while, and its descriptors.
const SECOND: u32 = 0x4800;
const THIRD: u32 = 0x4900;
const TASK: u16 = FREE;
const TASK_CODE: u16 = FREE + 8;
const TASK_STACK: u16 = FREE + 16;
const TASK_DATA: u16 = FREE + 24;
const TASK_LDT: u16 = FREE + 32;
/// Its code, the faults', what the first task changes, and data.
const TASK_AT: u32 = 0xA000;
const FAULTS_AT: u32 = 0xB000;
const LIST: u32 = 0xC000;
const DATA: u32 = 0xE000;

fn ljmp(selector: u16) -> Vec<u8> {
    [&[0xEA, 0, 0, 0, 0][..], &selector.to_le_bytes()].concat()
}

/// A processor with paging in `ring`, whose second task in ring `other` is: inc ebx; lodsb; mov eax, [DATA]; mov eax, fs:[DATA]; ljmp back;
/// jmp to its begin.
fn two_tasks(ring: u8, other: u8, code: &[u8]) -> Cpu {
    let mut cpu = machine(ring, code, [STACK; 8], None);
    let level = (other as u32) << 5;
    set_descriptor(&mut cpu, TSS_SELECTOR, 0xEB, TSS, 103);
    set_descriptor(&mut cpu, TASK, 0xE9, SECOND, 103);
    set_descriptor(&mut cpu, TASK_CODE, 0x9B | level, 0, 0xBFFF);
    set_descriptor(&mut cpu, TASK_STACK, 0x93 | level, 0, u32::MAX);
    set_descriptor(&mut cpu, TASK_DATA, 0x93 | level, 0, 0xF_FFFF);
    set_descriptor(&mut cpu, TASK_LDT, 0x82, GDT, 0xFF);
    let mut task = vec![0x43, 0xAC, 0xA1];
    task.extend(DATA.to_le_bytes());
    task.extend([0x64, 0xA1]);
    task.extend(DATA.to_le_bytes());
    task.extend(ljmp(TSS_SELECTOR));
    task.extend([0xEB, (task.len() as u8 + 2).wrapping_neg()]);
    cpu.mem.write_bytes(TASK_AT as u64, &task);
    let rpl = other as u32;
    for (tss, mark) in [(SECOND, 0), (THIRD, 0x3333_3333)] {
        cpu.phys_write((tss + 4) as u64, 0x7800u32 - (tss - SECOND));
        cpu.phys_write((tss + 8) as u64, data_of(0));
        for (at, value) in [
            (28, cpu.regs.cr3),
            (32, TASK_AT),
            (36, 2),
            (40, mark),
            (56, 0x6800 - (tss - SECOND)),
            (64, DATA + 0x100),
        ] {
            cpu.phys_write((tss + at) as u64, value);
        }
        let selectors = [data_of(other), TASK_CODE, TASK_STACK, TASK_DATA, TASK_DATA, 0];
        for (n, selector) in selectors.into_iter().enumerate() {
            let selector = if selector == 0 { 0 } else { selector as u32 | rpl };
            cpu.phys_write((tss + 72 + 4 * n as u32) as u64, selector);
        }
    }
    cpu.phys_write((TSS + 4) as u64, STACK0);
    cpu.phys_write((TSS + 28) as u64, cpu.regs.cr3);
    for at in 0..0x100u32 {
        cpu.phys_write((DATA + 4 * at) as u64, at * 0x0101_0101);
    }
    cpu
}

/// What the first task changes, each there and back: an address and bits.
fn changes(other: u8) -> Vec<(u32, u32)> {
    let hi = |selector: u16| GDT + selector as u32 + 4;
    let rpl = other as u32;
    vec![
        (DATA, 0x5555_5555),
        // The TSS: trap, EFLAGS, CR3, LDT, registers, GS, DS, ES.
        (SECOND + 100, 1),
        (SECOND + 36, 0x200),
        (SECOND + 36, 0x400),
        (SECOND + 36, 0x100),
        (SECOND + 36, 0x4000),
        (SECOND + 36, 0x1_0000),
        (SECOND + 36, 0x4_0000),
        (SECOND + 36, 0x8D5),
        (SECOND + 28, 8),
        (SECOND + 96, TASK_LDT as u32),
        (SECOND + 60, 0x1234_5678),
        (SECOND + 92, TASK_DATA as u32 | rpl),
        (SECOND + 92, 0xABCD_0000),
        (SECOND + 84, TASK_DATA as u32 | rpl),
        (SECOND + 84, (TASK_DATA ^ data_of(0)) as u32),
        (SECOND + 72, 4),
        (SECOND, 0xFFFF),
        // Its descriptor: another TSS, too small, absent, busy, for ring 0; that of the first task: not busy.
        (hi(TASK) - 4, 0x0100_0000),
        (hi(TASK) - 4, 1),
        (hi(TASK), 0x8000),
        (hi(TASK), 0x200),
        (hi(TASK), 0x6000),
        (hi(TSS_SELECTOR), 0x200),
        // Limit, accessed, conforming, absent, of another ring.
        (hi(TASK_CODE) - 4, 0x8000),
        (hi(TASK_CODE), 0x100),
        (hi(TASK_CODE), 0x400),
        (hi(TASK_STACK), 0x100),
        (hi(TASK_DATA), 0x100),
        (hi(TASK_DATA) - 4, 0x0004_0000),
        (hi(TASK_DATA), 0x200),
        (hi(TASK_DATA), 0x8000),
        (hi(TASK_DATA), 0x6000),
    ]
}

/// What it changes for one switch only, for the second task then has no stack: it must be in ring 3, which has another for faults.
fn fatal() -> [(u32, u32); 5] {
    let hi = |selector: u16| GDT + selector as u32 + 4;
    [
        (SECOND + 96, data_of(0) as u32),
        (hi(TASK_CODE), 0x8000),
        (hi(TASK_CODE), 0x6000),
        (hi(TASK_STACK), 0x8000),
        (hi(TASK_STACK), 0x6000),
    ]
}

/// The first task: ljmp; clts in ring 0; lodsd; test eax, eax; jnz +6; mov esi, LIST; lodsd; xchg eax, ebx; lodsd; xor [ebx], eax; jmp back. Faults in
/// the second one switch back before they return; those in the first skip the jump.
fn changing(ring: u8, other: u8) -> Cpu {
    let mut code = ljmp(TASK);
    code.extend(if ring == 0 { [0x0F, 0x06] } else { [0x90; 2] });
    code.extend([0xAD, 0x85, 0xC0, 0x75, 0x06, 0xBE]);
    code.extend(LIST.to_le_bytes());
    code.extend([0xAD, 0x93, 0xAD, 0x31, 0x03, 0xEB, 0xE6]);
    let mut cpu = two_tasks(ring, other, &code);
    // str eax; cmp ax, TSS_SELECTOR; je +19; and dword [esp + 4], ~0x4000; ljmp; add esp, 4; iretd; add esp, 4; add dword [esp], 7; iretd
    let mut faults = vec![0x0F, 0x00, 0xC8, 0x66, 0x3D];
    faults.extend(TSS_SELECTOR.to_le_bytes());
    faults.extend([0x74, 19, 0x81, 0x64, 0x24, 4]);
    faults.extend((!0x4000u32).to_le_bytes());
    faults.extend(ljmp(TSS_SELECTOR));
    faults.extend([0x83, 0xC4, 4, 0xCF, 0x83, 0xC4, 4, 0x83, 0x04, 0x24, 7, 0xCF]);
    cpu.mem.write_bytes(FAULTS_AT as u64, &faults);
    for vector in 10..14 {
        set_gate(&mut cpu, IDT + 8 * vector, 0x8E, code_of(0), FAULTS_AT, 0);
    }
    cpu.phys_write(handler(1) as u64, 0xCFu8);
    // An interrupt waits: and byte [esp + 9], ~2; iretd
    cpu.mem.write_bytes(handler(0xFF) as u64, &[0x80, 0x64, 0x24, 9, 0xFD, 0xCF]);
    cpu.lines.intr = true;
    // Between two changes the switch is known again.
    let nothing = (DATA + 8, 1);
    let mut list: Vec<_> =
        changes(other).into_iter().flat_map(|c| [c, nothing, c, nothing, nothing]).collect();
    if other == 3 {
        list.extend(fatal().into_iter().flat_map(|c| [c, c, nothing, nothing]));
    }
    // An EIP beyond the limit, which the handler of the fault puts right.
    list.extend([(SECOND + 32, 0x4000), nothing, nothing, nothing]);
    let mut at = LIST;
    for (address, bits) in list {
        cpu.phys_write(at as u64, (bits as u64) << 32 | address as u64);
        at += 8;
    }
    cpu.regs.gpr[ESI] = LIST;
    cpu
}

/// The first task saves EDX and EBX where the second one's FS is described: ljmp; xor edx, 4 << 16; jmp back.
fn overlapping() -> Cpu {
    let mut code = ljmp(TASK);
    code.extend([0x81, 0xF2, 0, 0, 4, 0, 0xEB, 0xF1]);
    let mut cpu = two_tasks(0, 0, &code);
    let tss = GDT + 0x80;
    set_descriptor(&mut cpu, TSS_SELECTOR, 0xEB, tss, 103);
    cpu.regs.tr = Segment::new(TSS_SELECTOR, tss, 103, 0xEB00);
    cpu.phys_write((tss + 28) as u64, cpu.regs.cr3);
    let described = tss + 48;
    cpu.phys_write((SECOND + 88) as u64, described - GDT);
    (cpu.regs.gpr[EDX], cpu.regs.gpr[EBX]) = (0xFFFF, 0x00CF_9300);
    cpu
}

#[test]
fn tasks() {
    let rings = [|| changing(0, 0), || changing(0, 3), || changing(3, 0), || changing(3, 3)];
    for make in rings.into_iter().chain([overlapping as fn() -> Cpu]) {
        for step in [1, 5, 13, 61, 4999] {
            let cpu = lockstep(make, (1..5000).step_by(step).chain([5000]));
            assert_eq!(cpu.insns(), 5000, "it went on");
        }
    }
}
