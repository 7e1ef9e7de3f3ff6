//! Programs that change their own code: by stores, and by what the processor itself writes.

use super::tests::{DIRECTORY, machine};
use crate::Cpu;
use crate::testing::{CODE, GDT, STACK};

/// mov byte [next], imm: the block changes itself, its successor, a block it is linked to.
pub(super) fn modified() -> Cpu {
    let target = CODE + 0x40;
    let mut code = vec![0xC6, 0x05];
    code.extend((CODE + 8).to_le_bytes());
    code.extend([0x77, 0xB0, 0x11]); // mov byte [CODE+8], 0x77; mov al, 0x11 (becomes 0x77)
    code.extend([0xFE, 0x05]);
    code.extend(target.to_le_bytes()); // inc byte [target]
    code.extend([0xE8, 0x40 - 20, 0, 0, 0]); // call target
    code.extend([0xEB, 0x100u16.wrapping_sub(22) as u8]); // again
    code.resize(0x40, 0x90);
    code.extend([0x40, 0xC3]); // inc eax, which becomes inc ecx, ... , push, pop
    machine(0, &code, [0x6000; 8], None)
}

/// A main program that calls a function at CODE + 0x80 again and again, after it did something to some bytes of it: `changes` are
/// the store without its address, where in the function, and the immediate byte.
fn rewriting(changes: &[([u8; 2], u32, u8)], function: &[u8]) -> Cpu {
    let mut code = Vec::new();
    for (store, at, value) in changes {
        code.extend(store);
        code.extend((CODE + 0x80 + at).to_le_bytes());
        code.push(*value);
    }
    code.extend([0xE8, 0x7B - code.len() as u8, 0, 0, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    code.resize(0x80, 0x90);
    code.extend(function);
    let mut cpu = machine(3, &code, [0x1234_5678; 8], None);
    cpu.regs.gpr[4] = STACK;
    cpu.phys_write(0x8000, 0x1122_3344u32);
    cpu.phys_write(0x8004, 0x5566_7788u32);
    cpu
}

const ADD_BYTE: [u8; 2] = [0x80, 0x05];
const XOR_BYTE: [u8; 2] = [0x80, 0x35];

/// Every kind of constant that may change in an instruction does, in each turn.
pub(super) fn constants() -> Cpu {
    let function = [
        &[0xBA, 1, 0, 0, 0][..],            // 0: mov edx, 1
        &[0x05, 5, 0, 0, 0],                // 5: add eax, 5
        &[0x3D, 0, 0, 0, 0x40],             // 10: cmp eax, 0x40000000
        &[0x83, 0xDF, 0x7E],                // 15: sbb edi, 0x7E, which becomes negative
        &[0x68, 7, 0, 0, 0],                // 18: push 7
        &[0x5D],                            // 23: pop ebp
        &[0x6B, 0xF6, 3],                   // 24: imul esi, esi, 3
        &[0xC6, 0x05, 0x10, 0x80, 0, 0, 9], // 27: mov byte [0x8010], 9
        &[0x8B, 0x0D, 0, 0x80, 0, 0],       // 34: mov ecx, [0x8000]
        &[0x8D, 0x9B, 0, 1, 0, 0],          // 40: lea ebx, [ebx + 0x100]
        &[0x83, 0xEC, 8, 0x83, 0xC4, 8],    // 46: sub esp, 8; add esp, 8
        &[0xC1, 0xE0, 1],                   // 52: shl eax, 1
        &[0xC3],
    ];
    let changes = [
        (ADD_BYTE, 2, 3),
        (ADD_BYTE, 7, 1),
        (ADD_BYTE, 14, 0x11),
        (ADD_BYTE, 17, 1),
        (ADD_BYTE, 22, 0x21),
        (ADD_BYTE, 26, 2),
        (ADD_BYTE, 33, 5),
        (XOR_BYTE, 36, 4),
        (ADD_BYTE, 43, 1),
        (XOR_BYTE, 48, 4),
        (XOR_BYTE, 51, 4),
        (ADD_BYTE, 54, 1),
    ];
    rewriting(&changes, &function.concat())
}

/// A function that has three versions in turn: nop; inc ebx; add ebx, eax; inc ebp; ret, and dec esi or a jump to inc ebp in place of
/// inc ebx. Three masks take turns in AL, DL and DH: xor [at], al; xchg al, dl; xchg dl, dh; call; jmp back
pub(super) fn versions() -> Cpu {
    let mut cpu = rewriting(&[(XOR_BYTE, 1, 0), (ADD_BYTE, 2, 0)], &[0x90, 0x43, 1, 0xC3, 0x45, 0xC3]);
    let mut code = vec![0x30, 0x05];
    code.extend((CODE + 0x81).to_le_bytes());
    code.extend([0x86, 0xC2, 0x86, 0xD6, 0x90, 0x90, 0x90, 0x90]);
    assert!(cpu.mem.write_bytes(CODE.into(), &code));
    // 0x4E is dec esi; 0xEB is a jump, and 1 its displacement.
    cpu.regs.gpr[0] = 0x43 ^ 0x4E;
    cpu.regs.gpr[2] = (0x4E ^ 0xEB) | (0xEB ^ 0x43) << 8;
    cpu
}

/// The code at CODE, and behind it a call of `target` and a jump back.
fn calling(code: &mut Vec<u8>, target: u32) {
    code.push(0xE8);
    code.extend((target.wrapping_sub(CODE + code.len() as u32 + 4)).to_le_bytes());
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
}

/// A page table entry is the constant of an instruction, and where the accesses before it go, and sometimes beyond, is its page: walks
/// set its bits, the program clears them. xor ebp, 0xFEC; and byte [0x210C0], 0x9F; mov cr3, edi; add ebx, ecx; call 0x210B6; jmp back.
/// 0x210B6: mov eax, [ebp]; mov edx, [ebp + 4]; mov esi, [ebp + 8]; mov ecx, the entry; nop; add eax, [eax]; ret
pub(super) fn walked() -> Cpu {
    let mut code =
        vec![0x81, 0xF5, 0xEC, 0x0F, 0, 0, 0x80, 0x25, 0xC0, 0x10, 2, 0, 0x9F, 0x0F, 0x22, 0xDF, 0x01, 0xCB];
    calling(&mut code, 0x2_10B6);
    let mut cpu = machine(0, &code, [0, 0, 0, 0, STACK, 0x3_0010, 0, DIRECTORY], None);
    let function = [0x8B, 0x45, 0, 0x8B, 0x55, 4, 0x8B, 0x75, 8, 0xB9, 0x67, 0, 3, 0, 0x67, 0x90, 3, 0, 0xC3];
    assert!(cpu.mem.write_bytes(0x2_10B6, &function));
    for at in [0x3_0010, 0x3_0FFC] {
        cpu.phys_write(at, 0x3_0100u32);
    }
    cpu
}

/// The entry of an instruction's own page is its constant: the fetch sets its A bit. and byte [0x21084], 0xDF; mov cr3, edi; add ebx,
/// ecx; call 0x21083; jmp back. 0x21083: mov ecx, the entry; ret
pub(super) fn walked_by_the_fetch() -> Cpu {
    let mut code = vec![0x80, 0x25, 0x84, 0x10, 2, 0, 0xDF, 0x0F, 0x22, 0xDF, 0x01, 0xCB];
    calling(&mut code, 0x2_1083);
    let mut cpu = machine(0, &code, [0, 0, 0, 0, STACK, 0, 0, DIRECTORY], None);
    assert!(cpu.mem.write_bytes(0x2_1083, &[0xB9, 0x67, 0x10, 2, 0, 0xC3]));
    cpu
}

/// Half a descriptor is the constant of an instruction behind the load that sets its accessed bit. and byte es:[GDT + 0x55], 0xFE;
/// call GDT + 0x50; jmp back. GDT + 0x50: mov ds, eax; add ebx, the upper half; ret
pub(super) fn loaded() -> Cpu {
    let mut code = vec![0x26, 0x80, 0x25];
    code.extend((GDT + 0x55).to_le_bytes());
    code.push(0xFE);
    calling(&mut code, GDT + 0x50);
    let mut cpu = machine(0, &code, [0x50, 0, 0, 0, STACK, 0, 0, 0], None);
    let function = [0x8E, 0xD8, 0x81, 0xC3, 0, 0x92, 0x40, 0, 0xC3];
    assert!(cpu.mem.write_bytes(u64::from(GDT) + 0x50, &function));
    cpu
}

/// A block whose accesses are in two pages in turns 64 to 127, and that goes on behind a branch, which is taken in turns 0 to 31, into code
/// that is another in each odd turn: a plain block has more in it than the other. loop: inc edi; mov eax, edi; and eax, 1; shl eax, 3; xor
/// [b], al; mov ebp, edi; and ebp, 64; add ebp, 0x8FBC; jmp on; on: mov eax, [ebp]; mov ecx, [ebp + 4]; mov edx, [ebp + 8]; test edi, 96;
/// je loop; b: inc ebx (or dec ebx); inc esi; jmp loop
pub(super) fn plain_versions() -> Cpu {
    let mut code = vec![0x47, 0x89, 0xF8, 0x83, 0xE0, 1, 0xC1, 0xE0, 3, 0x30, 0x05];
    code.extend((CODE + 45).to_le_bytes());
    code.extend([0x89, 0xFD, 0x83, 0xE5, 64, 0x81, 0xC5, 0xBC, 0x8F, 0, 0, 0xEB, 0]);
    code.extend([0x8B, 0x45, 0, 0x8B, 0x4D, 4, 0x8B, 0x55, 8]);
    code.extend([0xF7, 0xC7, 96, 0, 0, 0, 0x74, 0xD3]);
    code.extend([0x43, 0x46, 0xEB, 0xCF]);
    machine(3, &code, [0, 0, 0, 0, STACK, 0, 0, 0], None)
}
