//! Programs that each do something that is easily compiled wrongly. Those that change themselves are in `rewritten_programs`.

use super::tests::{DIRECTORY, TABLE, machine, scatter, unpage};
use crate::Cpu;
use crate::bus::{Bus, BusContext, Width};
use crate::seg::{SegReg, Segment};
use crate::testing::{CODE, STACK, handler, set_descriptor};
use std::any::Any;

/// xor edx, edx; div ecx; sbb esi, esi; mov eax, 1000; jmp back
pub(super) fn divided() -> Cpu {
    let code = [0x31, 0xD2, 0xF7, 0xF1, 0x19, 0xF6, 0xB8, 0xE8, 3, 0, 0, 0xEB, 0xF3];
    machine(3, &code, [7; 8], None)
}

/// mov ecx, 300; mov edi, 0x30000; rep stosb; inc ebx; jmp back
pub(super) fn repeated() -> Cpu {
    let code = [0xB9, 0x2C, 1, 0, 0, 0xBF, 0, 0, 3, 0, 0xF3, 0xAA, 0x43, 0xEB, 0xF1];
    machine(3, &code, [7; 8], None)
}

/// push 1; push 2; call f; jmp back; f: ret 8
pub(super) fn arguments() -> Cpu {
    let code = [0x6A, 1, 0x6A, 2, 0xE8, 2, 0, 0, 0, 0xEB, 0xF5, 0xC2, 8, 0];
    machine(3, &code, [STACK; 8], None)
}

/// A data segment that does not begin at 0: mov ecx, es:[0x30]; mov eax, [0x30]; add [0x40], eax; jmp back
pub(super) fn based() -> Cpu {
    let code = [0x26, 0x8B, 0x0D, 0x30, 0, 0, 0, 0xA1, 0x30, 0, 0, 0, 0x01, 0x05, 0x40, 0, 0, 0, 0xEB, 0xEC];
    let mut cpu = machine(3, &code, [STACK; 8], None);
    let ds = cpu.regs.seg[SegReg::Ds as usize];
    cpu.regs.seg[SegReg::Ds as usize] = Segment::new(ds.selector, 0x8000, u32::MAX, ds.attr);
    cpu.phys_write(0x8030, 5u32);
    cpu.state_changed();
    cpu
}

/// The last byte is one too far: mov ebx, [0x8000]; mov eax, [0x8100]; inc ecx; jmp back
pub(super) fn limited() -> Cpu {
    let code = [0x8B, 0x1D, 0, 0x80, 0, 0, 0xA1, 0, 0x81, 0, 0, 0x41, 0xEB, 0xF2];
    machine(3, &code, [STACK; 8], Some(0x8102))
}

/// Segments that end in different places take turns, and #GP skips what is beyond: mov ds, ecx; add ebx, [0x24000]; inc dword
/// [0x1F000]; xchg ecx, edx; jmp back. Vector 13: add esp, 4; add dword [esp], 6; iret
pub(super) fn ceilings() -> Cpu {
    let code = [0x8E, 0xD9, 0x03, 0x1D, 0, 0x40, 2, 0, 0xFF, 0x05, 0, 0xF0, 1, 0, 0x87, 0xCA, 0xEB, 0xEE];
    let mut cpu = machine(0, &code, [STACK; 8], Some(0x2_FFFF));
    set_descriptor(&mut cpu, 0x50, 0x93, 0, 0x2_3FFF);
    set_descriptor(&mut cpu, 0x58, 0x93, 0, 0x2_FFFF);
    cpu.mem.write_bytes(handler(13) as u64, &[0x83, 0xC4, 4, 0x83, 0x04, 0x24, 6, 0xCF]);
    cpu.phys_write(0x2_4000, 3u32);
    (cpu.regs.gpr[1], cpu.regs.gpr[2]) = (0x50, 0x58);
    cpu
}

/// A double word in two pages that are not neighbours: mov eax, [0x24FFE]; add ebx, eax; inc dword [0x24FFE]; jmp back
pub(super) fn split() -> Cpu {
    let code = [0xA1, 0xFE, 0x4F, 2, 0, 0x01, 0xC3, 0xFF, 0x05, 0xFE, 0x4F, 2, 0, 0xEB, 0xF1];
    let mut cpu = machine(3, &code, [STACK; 8], None);
    cpu.phys_write((TABLE + 4 * 0x25) as u64, 0x3_5007u32);
    cpu.phys_write(0x2_4FFE, 0xFFFFu16);
    cpu.state_changed();
    cpu
}

/// No paging, and double words across the ends of pages: mov [edi], eax; mov [edi + 0x1000], eax; mov edx, [edi + 0xFFD]; mov
/// [esi], edx, where ESI is the end of the page before the code's, of RAM, and of a page of data in turn; add edx, eax; mov
/// [0xFF0], eax; jmp back
pub(super) fn onward() -> Cpu {
    let mut code = vec![0x90, 0x90, 0x40, 0x90]; // nop; nop, which becomes mov al, what AL was; inc eax; nop
    code.extend([0x89, 0x07, 0x89, 0x87, 0, 0x10, 0, 0, 0x8B, 0x97, 0xFD, 0x0F, 0, 0, 0x89, 0x16]);
    code.extend([0x87, 0xCE, 0x87, 0xE9]); // xchg esi, ecx; xchg ecx, ebp
    code.extend([0x01, 0xC2, 0xA3, 0xF0, 0x0F, 0, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(0, &code, [0x4040_4040; 8], None);
    (cpu.regs.gpr[1], cpu.regs.gpr[5]) = (0x3_FFFE, 0x3_0FFD);
    (cpu.regs.gpr[6], cpu.regs.gpr[7]) = (CODE - 2, 0x3_0000);
    cpu.phys_write(0x3_0FFF, 0xB0u8);
    unpage(&mut cpu);
    cpu
}

/// No paging, and a page gets its first code after accesses have gone on into it: mov [0x30FFE], ebx; mov [0x30000], ebx; mov
/// [0x31FF0], ebx; call 0x31000; add ebx, 0x1000000; jmp back. 0x31000: mov al, the uppermost byte of EBX; ret
pub(super) fn written_later() -> Cpu {
    let mut code = Vec::new();
    for at in [0x3_0FFEu32, 0x3_0000, 0x3_1FF0] {
        code.extend([&[0x89, 0x1D][..], &at.to_le_bytes()].concat());
    }
    code.push(0xE8);
    code.extend((0x3_1000 - CODE - code.len() as u32 - 4).to_le_bytes());
    code.extend([0x81, 0xC3, 0, 0, 0, 1]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(0, &code, [0x11B0_0000; 8], None);
    cpu.regs.gpr[4] = STACK;
    cpu.phys_write(0x3_1002, 0xC3u8);
    unpage(&mut cpu);
    cpu
}

/// One page is not where the others are: mov eax, [0x30010]; add al, [0x2F010]; mov [0x30011], ax; push eax; pop dword [0x30FFE]; jmp
/// back
pub(super) fn scattered() -> Cpu {
    let mut code = vec![0xA1, 0x10, 0, 3, 0, 0x02, 0x05, 0x10, 0xF0, 2, 0, 0x66, 0xA3, 0x11, 0, 3, 0];
    code.extend([0x50, 0x8F, 0x05, 0xFE, 0x0F, 3, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(3, &code, [STACK; 8], None);
    scatter(&mut cpu);
    for at in [0x2_F010, 0x3_0010, 0x3_1010u64] {
        cpu.phys_write(at, at as u32 * 0x0101);
    }
    cpu
}

/// The last instruction ends where the code segment does, and a page: inc eax; inc eax. What comes next is a fault and no fetch.
pub(super) fn at_the_end() -> Cpu {
    let mut cpu = machine(3, &[], [STACK; 8], None);
    assert!(cpu.mem.write_bytes(0x3_0FFE, &[0x40, 0x40]));
    let cs = cpu.regs.seg[SegReg::Cs as usize];
    cpu.regs.seg[SegReg::Cs as usize] = Segment::new(cs.selector, 0, 0x3_0FFF, cs.attr & !0x80_0000);
    cpu.regs.eip = 0x3_0FFE;
    cpu.state_changed();
    cpu
}

/// Displacements near both ends of what there is, and so addresses that are neighbours, but in two pages: mov eax, [ebx - 0x80000000]; mov
/// ecx, [ebx + 0x7FFFFFF8]; mov edx, [ebx + 0x7FFFFFF0]; add [ebx + 0x7FFFFFF8], edx; jmp back
pub(super) fn far_apart() -> Cpu {
    let code = [
        &[0x8B, 0x83, 0, 0, 0, 0x80][..],
        &[0x8B, 0x8B, 0xF8, 0xFF, 0xFF, 0x7F],
        &[0x8B, 0x93, 0xF0, 0xFF, 0xFF, 0x7F],
        &[0x01, 0x93, 0xF8, 0xFF, 0xFF, 0x7F],
        &[0xEB, 0xE6],
    ];
    let mut cpu = machine(3, &code.concat(), [STACK; 8], None);
    scatter(&mut cpu);
    cpu.regs.gpr[3] = 0x8003_0008;
    for n in 0..16 {
        cpu.phys_write(0x2_FFE0 + 4 * n, 0x1000 + n as u32);
        cpu.phys_write(0x3_0FE0 + 4 * n, 0x2000 + n as u32);
    }
    cpu
}

/// FS begins elsewhere, and there is no paging: mov eax, fs:[8]; inc eax; mov fs:[0x1008], eax; add cx, fs:[0xFFF]; jmp back
pub(super) fn elsewhere() -> Cpu {
    let mut code = vec![0x64, 0xA1, 8, 0, 0, 0, 0x40, 0x64, 0xA3, 8, 0x10, 0, 0];
    code.extend([0x66, 0x64, 0x03, 0x0D, 0xFF, 0x0F, 0, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(0, &code, [STACK; 8], None);
    let ds = cpu.regs.seg[SegReg::Ds as usize];
    cpu.regs.seg[SegReg::Fs as usize] = Segment::new(ds.selector, 0x1_2000, u32::MAX, ds.attr);
    cpu.phys_write(0x1_2008, 0x1234_5678u32);
    cpu.phys_write(0x2_4008, 0x8765_4321u32);
    unpage(&mut cpu);
    cpu
}

/// push ebp; mov ebp, esp; push eax; push ecx; leave; jmp back
pub(super) fn framed() -> Cpu {
    machine(3, &[0x55, 0x89, 0xE5, 0x50, 0x51, 0xC9, 0xEB, 0xF8], [STACK; 8], None)
}

/// Down and up, across a page's end: std; lodsd; stosd; movsb; cmpsb; scasw; movsd; cld; lodsb; movsw; cmpsd; scasb; stosw; jmp
/// back
pub(super) fn strings() -> Cpu {
    let down = [0xFD, 0xAD, 0xAB, 0xA4, 0xA6, 0x66, 0xAF, 0xA5];
    let up = [0xFC, 0xAC, 0x66, 0xA5, 0xA7, 0xAE, 0x66, 0xAB, 0xEB, 0xEE];
    let mut cpu = machine(3, &[&down[..], &up].concat(), [STACK; 8], None);
    (cpu.regs.gpr[6], cpu.regs.gpr[7]) = (0x3_1004, 0x3_2003);
    cpu
}

/// imul eax, ebx; nop; imul eax, ecx (0); nop; mov eax, ebx; jmp back: hosts agree on SF, but not on ZF.
pub(super) fn product() -> Cpu {
    let code = [0x0F, 0xAF, 0xC3, 0x90, 0x0F, 0xAF, 0xC1, 0x90, 0x89, 0xD8, 0xEB, 0xF4];
    let mut gpr = [0x1234_5677; 8];
    gpr[1] = 0;
    machine(3, &code, gpr, None)
}

/// cmp eax, eax; setbe cl; cmp eax, ebx; setbe dl; jmp back
pub(super) fn conditions() -> Cpu {
    let code = [0x39, 0xC0, 0x0F, 0x96, 0xC1, 0x39, 0xD8, 0x0F, 0x96, 0xC2, 0xEB, 0xF4];
    machine(3, &code, [5; 8], None)
}

/// Loads, an addition, a conversion that truncates, a double word in two pages between them, a store.
pub(super) fn floating() -> Cpu {
    let code = [
        &[0xD9, 0x05, 0, 0x80, 0, 0][..], // fld dword [0x8000]
        &[0xDC, 0x05, 8, 0x80, 0, 0],     // fadd qword [0x8008]
        &[0xD9, 0x2D, 0x10, 0x80, 0, 0],  // fldcw [0x8010]
        &[0xDB, 0x15, 0x14, 0x80, 0, 0],  // fist dword [0x8014]
        &[0xD9, 0x2D, 0x12, 0x80, 0, 0],  // fldcw [0x8012]
        &[0xA1, 0xFE, 0x4F, 2, 0],        // mov eax, [0x24FFE]
        &[0xDD, 0x1D, 0x18, 0x80, 0, 0],  // fstp qword [0x8018]
        &[0xEB, 0xD5],
    ];
    let mut cpu = machine(3, &code.concat(), [STACK; 8], None);
    cpu.fpu.initialize();
    cpu.phys_write(0x8000, 0.5f32.to_bits());
    cpu.phys_write(0x8008, 2.25f64.to_bits());
    cpu.phys_write(0x8010, 0x037F_0F7Fu32);
    cpu
}

/// Two selectors of the same hidden part take turns in FS, between operands of the x87: fld dword fs:[ebx]; mov fs, ecx; fld dword
/// fs:[ebx]; fnstenv [0x30000]; fstp st(0), twice; xchg ecx, edx; jmp back
pub(super) fn alike() -> Cpu {
    let code = [
        &[0x64, 0xD9, 0x03, 0x8E, 0xE1, 0x64, 0xD9, 0x03][..],
        &[0xD9, 0x35, 0, 0, 3, 0],
        &[0xDD, 0xD8, 0xDD, 0xD8, 0x87, 0xCA, 0xEB, 0xEA],
    ];
    let mut cpu = machine(0, &code.concat(), [STACK; 8], None);
    cpu.fpu.initialize();
    for selector in [0x50, 0x58] {
        set_descriptor(&mut cpu, selector, 0x93, 0, u32::MAX);
    }
    (cpu.regs.gpr[1], cpu.regs.gpr[2]) = (0x50, 0x58);
    cpu
}

/// Eight times accesses to four places and something that has no code in line, then branches that are not taken: as many edges as a block
/// can have.
pub(super) fn edges() -> Cpu {
    let accesses = [0x8B, 0x03, 0x8B, 0x43, 4, 0x8B, 0x06, 0x8B, 0x46, 4, 0xF6, 0xE1];
    let mut code = accesses.repeat(8);
    code.extend([0x31, 0xC0, 0x85, 0xC0]); // xor eax, eax; test eax, eax
    code.extend([0x75, 0x00].repeat(5)); // jne to the next instruction
    code.extend([0x75, 0x02, 0xEB, (code.len() as u8 + 4).wrapping_neg(), 0xF4]);
    machine(3, &code, [0, 3, 0, 0x8000, STACK, 0, 0x9000, 0], None)
}

/// Rounding is up, and there is a double word in two pages between: addss xmm0, [0x8000]; mov eax, [0x24FFE]; addss xmm1, xmm0; fld1; addss
/// xmm1, xmm2; fstp dword [0x8010]; jmp back. No group, which would end the block behind the handler.
pub(super) fn rounded() -> Cpu {
    let code = [
        &[0xF3, 0x0F, 0x58, 0x05, 0, 0x80, 0, 0][..],
        &[0xA1, 0xFE, 0x4F, 2, 0],
        &[0xF3, 0x0F, 0x58, 0xC8],
        &[0xD9, 0xE8],
        &[0xF3, 0x0F, 0x58, 0xCA],
        &[0xD9, 0x1D, 0x10, 0x80, 0, 0],
        &[0xEB, 0xE1],
    ];
    let mut cpu = machine(3, &code.concat(), [STACK; 8], None);
    cpu.simd.mxcsr = 0x5F80;
    cpu.simd.xmm[2] = 0.1f32.to_bits().into();
    cpu.fpu.initialize();
    cpu.phys_write(0x8000, 0.1f32.to_bits());
    cpu
}

/// push esp; pop eax; jmp back
pub(super) fn pushed() -> Cpu {
    machine(3, &[0x54, 0x58, 0xEB, 0xFC], [STACK; 8], None)
}

/// mov ax, bx; add eax, 0x10001; jmp back
pub(super) fn halves() -> Cpu {
    machine(3, &[0x66, 0x89, 0xD8, 0x05, 1, 0, 1, 0, 0xEB, 0xF6], [0x1234_5678; 8], None)
}

/// mov ds, ecx; mov eax, [0]; xchg ecx, edx; jmp back, the two selectors having different bases.
pub(super) fn reloaded() -> Cpu {
    let code = [0x8E, 0xD9, 0x8B, 0x05, 0, 0, 0, 0, 0x01, 0xC3, 0x87, 0xCA, 0xEB, 0xF2];
    let mut cpu = machine(0, &code, [STACK; 8], None);
    set_descriptor(&mut cpu, 0x50, 0x93, 0x6000, 0xFFFF);
    set_descriptor(&mut cpu, 0x58, 0x93, 0x6100, 0xFFFF);
    cpu.phys_write(0x6000, 1u32);
    cpu.phys_write(0x6100, 1000u32);
    (cpu.regs.gpr[1], cpu.regs.gpr[2]) = (0x50, 0x58);
    cpu
}

/// Accesses of one group, and in the middle of them, through another register, a store to their page. That page's table entry
/// says another frame by then, and the store is the first that has to look.
pub(super) fn regrouped() -> Cpu {
    let entry = TABLE + 4 * 0x30;
    let code = [
        &[0x0F, 0x01, 0x3B][..], // invlpg [ebx]
        &[0x8B, 0x03],           // mov eax, [ebx]
        &[0x81, 0x35],           // xor dword [entry], 0x1000
        &entry.to_le_bytes(),
        &[0, 0x10, 0, 0],
        &[0x89, 0x0E],       // mov [esi], ecx
        &[0x8B, 0x53, 0x04], // mov edx, [ebx + 4]
        &[0x03, 0x7B, 0x08], // add edi, [ebx + 8]
        &[0x80, 0x25],       // and byte [entry], ~dirty
        &entry.to_le_bytes(),
        &[0xBF],
        &[0xEB, 0xDB], // jmp back
    ]
    .concat();
    let mut cpu = machine(0, &code, [0, 7, 0, 0x30000, STACK, 0, 0x30100, 0], None);
    for n in 0..4 {
        cpu.phys_write(0x30000 + 4 * n, 0x1111_1111u32);
        cpu.phys_write(0x31000 + 4 * n, 0x2222_2222u32);
    }
    cpu
}

/// inc eax; test al, 3; je to inc ebx; dec ecx; js to inc ebx; inc edx; jmp back: blocks that go on behind branches, of which some
/// are taken sometimes.
pub(super) fn sections() -> Cpu {
    let code =
        [0x40, 0xA8, 3, 0x74, 7, 0x49, 0x78, 4, 0x42, 0x42, 0xEB, 0xF4, 0x43, 0x8D, 0x49, 7, 0xEB, 0xEE];
    machine(3, &code, [0, 9, 0, 0, STACK, 0, 0, 0], None)
}

/// Tables that map page 0x30 to frame 0x31, and the rest as [`DIRECTORY`] does; where their directory is.
pub(super) fn second_directory(cpu: &mut Cpu) -> u32 {
    let (directory, table) = (0x22000u32, 0x23000u32);
    cpu.phys_write(directory as u64, table | 7);
    for page in 0..64u32 {
        let frame = if page == 0x30 { 0x31 } else { page };
        cpu.phys_write((table + 4 * page) as u64, frame << 12 | 7);
    }
    directory
}

/// A jump to another page and back, while mov cr3 changes what that page is: inc eax there, inc ebx here.
pub(super) fn remapped() -> Cpu {
    // 0x1000: jmp 0x30000      0x30000: inc eax (or ebx); jmp 0x1005      0x1005: mov cr3, edx; xchg ecx, edx; jmp 0x1000
    let code = [0xE9, 0xFB, 0xEF, 0x02, 0, 0x0F, 0x22, 0xDA, 0x87, 0xCA, 0xEB, 0xF4];
    let mut cpu = machine(0, &code, [0; 8], None);
    let directory2 = second_directory(&mut cpu);
    assert!(cpu.mem.write_bytes(0x30000, &[0x40, 0xE9, 0xFF, 0x0F, 0xFD, 0xFF]));
    assert!(cpu.mem.write_bytes(0x31000, &[0x43, 0xE9, 0xFF, 0x0F, 0xFD, 0xFF]));
    cpu.regs.gpr = [0, DIRECTORY, directory2, 0, STACK, 0, 0, 0];
    cpu
}

/// A loop over two pages, calls and returns, through linked edges and the jump table.
pub(super) fn pages() -> Cpu {
    let mut cpu = machine(0, &[], [5; 8], None);
    cpu.regs.gpr[4] = STACK;
    // 0x9FF0: call 0xA010; dec ecx; jnz 0x9FF0; hlt      0xA010: inc eax; ret
    let code = [0xE8, 0x1B, 0, 0, 0, 0x49, 0x75, 0xF8, 0xF4];
    assert!(cpu.mem.write_bytes(0x9FF0, &code) && cpu.mem.write_bytes(0xA010, &[0x40, 0xC3]));
    cpu.regs.eip = 0x9FF0;
    cpu.regs.gpr[1] = 100;
    cpu
}

/// Port n shows the clock without its low n bits.
struct ClockBus;

impl Bus for ClockBus {
    fn port_read(&mut self, cx: &mut BusContext<'_>, port: u16, _: Width) -> u32 {
        (cx.vtime >> port) as u32
    }
    fn port_steady(&self, port: u16, _: Width, vtime: u64) -> u64 {
        ((vtime >> port) + 1) << port
    }
    fn port_write(&mut self, _: &mut BusContext<'_>, _: u16, _: Width, _: u32) {}
    fn mmio_read(&mut self, _: &mut BusContext<'_>, _: u64, _: Width) -> u32 {
        0
    }
    fn mmio_write(&mut self, _: &mut BusContext<'_>, _: u64, _: Width, _: u32) {}
    fn acknowledge_interrupt(&mut self, _: &mut BusContext<'_>) -> u8 {
        0xFF
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Waits for a bit of the clock to be set, and clear: a: in al, 6; test al, 1; jz a; b: in al, dx; and al, 1; jnz b; inc ebx;
/// jmp a
pub(super) fn waiting() -> Cpu {
    let code = [0xE4, 6, 0xA8, 1, 0x74, 0xFA, 0xEC, 0x24, 1, 0x75, 0xFB, 0x43, 0xEB, 0xF2];
    let mut cpu = machine(0, &code, [6; 8], None);
    cpu.bus = Box::new(ClockBus);
    cpu
}
