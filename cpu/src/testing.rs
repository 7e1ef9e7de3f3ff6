//! A processor ready to run a few bytes of flat 32-bit code, for tests: in ring 0 without any tables ([`flat`]), or in
//! any ring with GDT, IDT and TSS ([`in_ring`]).

use crate::Cpu;
use crate::bus::EmptyBus;
use crate::decode::{Decoded, decode_one};
use crate::fault::Fault;
use crate::mem::{PhysMem, Ram};
use crate::regs::{TableRegister, cr0, gpr};
use crate::seg::{SegReg, Segment};

/// Where [`flat`] puts the code.
pub(crate) const CODE: u32 = 0x1000;
/// Initial ESP.
pub(crate) const STACK: u32 = 0x8000;

/// Protected mode, flat segments, no paging, 256 KiB of RAM, `code` at [`CODE`], ESP at [`STACK`].
pub(crate) fn flat(code: &[u8]) -> Cpu {
    let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(0x40000)), Box::new(EmptyBus));
    assert!(cpu.mem.write_bytes(CODE as u64, code));
    cpu.regs.cr0 |= cr0::PE;
    for (n, seg) in cpu.regs.seg.iter_mut().enumerate() {
        let code = n == SegReg::Cs as usize;
        let (selector, kind) = if code { (8, 0x9B00) } else { (16, 0x9300) };
        *seg = Segment::new(selector, 0, u32::MAX, 0x00C0_0000 | kind);
    }
    cpu.regs.eip = CODE;
    cpu.regs.gpr[gpr::ESP] = STACK;
    cpu.state_changed();
    cpu
}

/// What the instruction with these bytes does, without delivering its fault or moving EIP.
pub(crate) fn execute(cpu: &mut Cpu, code: &[u8]) -> Result<(), Fault> {
    match decode_one(code, true) {
        Decoded::Op(op, _) => (op.run)(cpu, &op),
        Decoded::NeedMore => panic!("{code:x?} is not a whole instruction"),
    }
}

/// The GDT of [`in_ring`]; its limit leaves room for more descriptors from [`FREE`] on.
pub(crate) const GDT: u32 = 0x2000;
/// Its IDT: vector `n` is an interrupt gate of DPL 0 to [`handler`] in ring 0.
pub(crate) const IDT: u32 = 0x3000;
/// Its 32-bit TSS.
pub(crate) const TSS: u32 = 0x4000;
/// Selector of the TSS.
pub(crate) const TSS_SELECTOR: u16 = 0x48;
/// Ring-0 stack of the TSS.
pub(crate) const STACK0: u32 = 0x7000;
/// First unused selector of the GDT.
pub(crate) const FREE: u16 = 0x50;

/// Selector of the flat code segment of `ring`.
pub(crate) const fn code_of(ring: u8) -> u16 {
    8 + 17 * ring as u16
}
/// Selector of the flat data segment of `ring`.
pub(crate) const fn data_of(ring: u8) -> u16 {
    16 + 17 * ring as u16
}
/// Where the handler of vector `n` is: a HLT.
pub(crate) const fn handler(n: u8) -> u32 {
    0x5000 + 16 * n as u32
}

/// Put a descriptor in the GDT. `kind` is bits 8-15 of its high word.
pub(crate) fn set_descriptor(cpu: &mut Cpu, selector: u16, kind: u32, base: u32, limit: u32) {
    let (raw, granular) = if limit > 0xF_FFFF { (limit >> 12, 0x80_0000) } else { (limit, 0) };
    let lo = base << 16 | raw & 0xFFFF;
    let hi = base & 0xFF00_0000 | base >> 16 & 0xFF | 0x40_0000 | granular | raw & 0xF_0000 | kind << 8;
    cpu.phys_write((GDT + (selector & !7) as u32) as u64, (hi as u64) << 32 | lo as u64);
}

/// Put a gate in the GDT or the IDT at `at`. `kind` is bits 8-15 of its high word, `count` its parameter count.
pub(crate) fn set_gate(cpu: &mut Cpu, at: u32, kind: u32, selector: u16, offset: u32, count: u32) {
    let lo = (selector as u32) << 16 | offset & 0xFFFF;
    let hi = offset & 0xFFFF_0000 | kind << 8 | count;
    cpu.phys_write(at as u64, (hi as u64) << 32 | lo as u64);
}

/// [`flat`] in `ring` with tables.
pub(crate) fn in_ring(ring: u8, code: &[u8]) -> Cpu {
    let mut cpu = flat(code);
    for r in 0..4 {
        set_descriptor(&mut cpu, code_of(r), 0x9B | (r as u32) << 5, 0, u32::MAX);
        set_descriptor(&mut cpu, data_of(r), 0x93 | (r as u32) << 5, 0, u32::MAX);
    }
    set_descriptor(&mut cpu, TSS_SELECTOR, 0x8B, TSS, 103);
    cpu.phys_write((TSS + 4) as u64, STACK0);
    cpu.phys_write((TSS + 8) as u64, data_of(0));
    for n in 0..=255 {
        set_gate(&mut cpu, IDT + 8 * n as u32, 0x8E, code_of(0), handler(n), 0);
        cpu.phys_write(handler(n) as u64, 0xF4u8);
    }
    cpu.regs.gdtr = TableRegister { base: GDT, limit: 0xFF };
    cpu.regs.idtr = TableRegister { base: IDT, limit: 0x7FF };
    cpu.regs.tr = Segment::new(TSS_SELECTOR, TSS, 103, 0x8B00);
    for (n, seg) in cpu.regs.seg.iter_mut().enumerate() {
        let code = n == SegReg::Cs as usize;
        let (selector, kind) = if code { (code_of(ring), 0x9B) } else { (data_of(ring), 0x93) };
        *seg = Segment::new(selector, 0, u32::MAX, 0x00C0_0000 | (kind | (ring as u32) << 5) << 8);
    }
    cpu.regs.cpl = ring;
    cpu.state_changed();
    cpu
}

/// Double words of the stack, from its top.
pub(crate) fn stack<const N: usize>(cpu: &mut Cpu) -> [u32; N] {
    let esp = cpu.regs.gpr[gpr::ESP];
    std::array::from_fn(|n| cpu.phys_read((esp + 4 * n as u32) as u64))
}
