//! Random registers: every mode, with segments, tables and control bits that sometimes fit together and sometimes not.

use crate::code::Places;
use crate::entropy::Entropy;
use crate::world::{self, Addresses, CODE, DATA, STACKS, Selectors, entry};
use cpu::Cpu;
use cpu::flags;
use cpu::fpu::Extended;
use cpu::regs::{EFER_NXE, Msrs, Registers, TableRegister, cr0, cr4, gpr};
use cpu::seg::{Descriptor, SegReg, Segment, is_null};

/// Operating modes, as far as segments and code size are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// Real-address mode.
    Real,
    /// Virtual-8086 mode.
    Virtual,
    /// Protected mode with 32-bit code in this ring.
    Flat(u32),
    /// Protected mode with 16-bit code in this ring.
    Small(u32),
}

impl Mode {
    fn random(e: &mut Entropy<'_>) -> Mode {
        match e.below(16) {
            0 | 1 => Mode::Real,
            2 | 3 => Mode::Virtual,
            4 => Mode::Small(e.below(4)),
            n => Mode::Flat((n - 4) & 3),
        }
    }

    /// Code is 32-bit.
    pub fn big(self) -> bool {
        matches!(self, Mode::Flat(_))
    }

    /// Segment bases are 0.
    pub fn flat(self) -> bool {
        self.big()
    }
}

/// Set all registers of `cpu` but EIP. RAM already holds the tables.
pub fn randomize(cpu: &mut Cpu, e: &mut Entropy<'_>) -> Mode {
    let mode = Mode::random(e);
    let mut r = Registers::reset();
    let places = Addresses { flat: mode.flat() };
    for value in &mut r.gpr {
        *value = places.value(e);
    }
    let stack = if mode.flat() { STACKS } else { 0 };
    r.gpr[gpr::ESP] = if e.one_in(8) { places.value(e) } else { stack + 0x1000 + 4 * e.below(0x3800) };
    if e.one_in(2) {
        r.gpr[gpr::ECX] = e.below(24);
    }
    r.flags.set(random_flags(mode, e));
    control_registers(&mut r, mode, e);
    r.gdtr = TableRegister { base: world::GDT, limit: if e.one_in(16) { e.word() as u16 } else { 0x1FF } };
    r.idtr = match mode {
        Mode::Real => TableRegister { base: 0, limit: 0x3FF },
        _ => TableRegister { base: world::IDT, limit: if e.one_in(16) { e.word() as u16 } else { 0x7FF } },
    };
    segments(&mut r, mode, cpu, e);
    debug_registers(&mut r, e);
    r.msr = Msrs {
        efer: r.msr.efer,
        sysenter_cs: if e.one_in(4) { 0 } else { Selectors.value(e) },
        sysenter_esp: places.value(e),
        sysenter_eip: CODE + e.below(0x1000),
        tsc_offset: e.bits(),
        ..Registers::reset().msr
    };
    r.nmi_blocked = e.one_in(8);
    cpu.regs = r;
    floating_point(cpu, e);
    mode
}

fn random_flags(mode: Mode, e: &mut Entropy<'_>) -> u32 {
    let mut bits = e.word() & (flags::ARITH | flags::DF | flags::IF | flags::IOPL | flags::ID);
    if e.one_in(2) {
        bits &= !flags::DF;
    }
    for (bit, seldom) in [(flags::TF, 12), (flags::AC, 6), (flags::NT, 12), (flags::RF, 12)] {
        if e.one_in(seldom) {
            bits |= bit;
        }
    }
    if e.one_in(16) {
        bits |= e.word() & (flags::VIF | flags::VIP);
    }
    if mode == Mode::Virtual { bits | flags::VM } else { bits }
}

fn control_registers(r: &mut Registers, mode: Mode, e: &mut Entropy<'_>) {
    let protected = mode != Mode::Real;
    r.cr0 = cr0::ET | if protected { cr0::PE } else { 0 };
    for (bit, seldom) in
        [(cr0::MP, 2), (cr0::EM, 16), (cr0::TS, 12), (cr0::NE, 1), (cr0::WP, 2), (cr0::AM, 2)]
    {
        if e.one_in(seldom) {
            r.cr0 |= bit;
        }
    }
    let known = cr4::TSD | cr4::DE | cr4::PSE | cr4::PGE | cr4::PCE | cr4::MCE;
    r.cr4 = e.word() & known;
    if !e.one_in(8) {
        r.cr4 |= cr4::OSFXSR | cr4::OSXMMEXCPT;
    }
    if e.one_in(2) {
        r.msr.efer = EFER_NXE;
    }
    r.cr2 = e.word();
    r.cr3 = world::DIRECTORY;
    if protected && e.one_in(2) {
        r.cr0 |= cr0::PG;
        if e.one_in(2) {
            r.cr4 |= cr4::PAE;
            r.cr3 = world::POINTERS;
            r.pdpte = [world::POINTERS as u64 + 0x1001, 0, 0, world::POINTERS as u64 + 0x1001];
        }
    }
}

/// The descriptor that `selector` names, without any check.
fn named(cpu: &Cpu, selector: u16) -> Segment {
    if is_null(selector) {
        return Segment::null(selector);
    }
    let table = if selector & 4 != 0 { world::LDT } else { world::GDT };
    let at = table as u64 + (selector & 0x1F8) as u64;
    let bytes = cpu.mem.slice(at, 8).and_then(|b| <[u8; 8]>::try_from(b).ok()).unwrap_or_default();
    let raw = u64::from_le_bytes(bytes);
    Segment::from_descriptor(selector, Descriptor { lo: raw as u32, hi: (raw >> 32) as u32 })
}

fn segments(r: &mut Registers, mode: Mode, cpu: &Cpu, e: &mut Entropy<'_>) {
    let select = |n: u32, ring: u32| ((n + ring) << 3 | ring) as u16;
    r.ldtr = if e.one_in(8) { Segment::null(0) } else { named(cpu, select(entry::LDT, 0)) };
    let tss = if e.one_in(8) { entry::TSS16 + 1 } else { entry::TSS32 };
    r.tr = named(cpu, select(tss, 0));
    r.cpl = match mode {
        Mode::Real => 0,
        Mode::Virtual => 3,
        Mode::Flat(ring) | Mode::Small(ring) => ring as u8,
    };
    for reg in SegReg::ALL {
        let real = |dpl| {
            let area = match reg {
                SegReg::Cs => CODE,
                SegReg::Ss => STACKS,
                _ => DATA,
            };
            Segment::real((area >> 4) as u16, dpl)
        };
        r.seg[reg as usize] = match mode {
            Mode::Real => real(0),
            Mode::Virtual => real(3),
            Mode::Flat(ring) if reg == SegReg::Cs => named(cpu, select(entry::CODE32, ring)),
            Mode::Small(ring) if reg == SegReg::Cs => named(cpu, select(entry::CODE16, ring)),
            Mode::Flat(ring) | Mode::Small(ring) if reg == SegReg::Ss => {
                let small = mode == Mode::Small(ring) || e.one_in(16);
                let kind = 0x9300 | ring << 13 | if small { 0 } else { 0x00C0_0000 };
                let (base, limit) = if small { (STACKS, 0xFFFF) } else { (0, u32::MAX) };
                Segment::new(select(entry::DATA32, ring), base, limit, kind)
            }
            Mode::Flat(ring) if !e.one_in(8) => named(cpu, select(entry::DATA32, ring)),
            Mode::Small(_) if !e.one_in(8) => Segment::new(0x20, DATA, 0xFFFF, 0xF300),
            _ => match named(cpu, Selectors.value(e) as u16) {
                segment if segment.descriptor().is_segment() => segment,
                _ => Segment::null(0),
            },
        };
    }
}

fn debug_registers(r: &mut Registers, e: &mut Entropy<'_>) {
    for dr in &mut r.dr {
        *dr = e.pick(&[CODE, DATA, STACKS]) + e.below(0x100);
    }
    if e.one_in(12) {
        r.dr7 = e.word() & 0xFFFF_2FFF | 0x400;
    }
    if e.one_in(8) {
        r.dr6 = e.word() & 0xE00F | 0xFFFF_0FF0;
    }
}

fn floating_point(cpu: &mut Cpu, e: &mut Entropy<'_>) {
    let fpu = &mut cpu.fpu;
    fpu.control = if e.one_in(2) { 0x37F } else { e.word() as u16 & 0x1F3F | 0x40 };
    fpu.status = e.word() as u16 & 0x7F00 | if e.one_in(8) { e.word() as u16 & 0x7F } else { 0 };
    fpu.in_use = if e.one_in(3) { e.word() as u8 } else { 0xFF };
    fpu.update_summary();
    for st in &mut fpu.regs {
        let exponent =
            e.pick(&[0, 1, 0x3FFF, 0x3FFE, 0x4000, 0x403D, 0x403E, 0x7FFE, 0x7FFF, 0x3F80, 0x407F]);
        let significand = e.pick(&[0, 1, 1 << 63, u64::MAX, 3 << 62, 0xFF << 56]);
        let pick = e.word();
        *st = Extended {
            significand: if pick & 3 == 0 { significand } else { e.bits() | (pick as u64 & 0x10) << 59 },
            sign_exponent: if pick & 12 == 0 {
                e.word() as u16
            } else {
                exponent | (pick >> 16) as u16 & 0x8000
            },
        };
    }
    cpu.simd.mxcsr = if e.one_in(2) { 0x1F80 } else { e.word() & 0xFFFF };
    for xmm in &mut cpu.simd.xmm {
        *xmm = (e.bits() as u128) << 64 | e.bits() as u128;
        let special = [0x7FF0, 0x7FF8, 0x0000, 0x8000, 0x3FF0, 0x7F80, 0x3F80, 0x0001];
        if e.one_in(2) {
            for lane in 0..8 {
                if e.one_in(3) {
                    *xmm = *xmm & !(0xFFFF << (16 * lane)) | (e.pick(&special) as u128) << (16 * lane);
                }
            }
        }
    }
}
