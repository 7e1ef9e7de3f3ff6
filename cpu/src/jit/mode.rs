//! What compiled code takes for granted: the segment registers, by value, whether SSE works, whether
//! there is paging, and the direction of string instructions.
//!
//! A system uses few combinations of bases, limits and rights, so they are constants of the code: a flat segment costs
//! nothing, nor do limited ones that begin at 0 and end in the same place: their code has a view that ends there too
//! (see `mmu::flat`). Others cost three instructions. FS and GS, whose bases change with the thread, are known by class only.
//! Each combination is a *mode* with a number; code is found by place, EIP and mode.

use crate::Cpu;
use crate::regs::{cr0, cr4};
use crate::seg::{SegReg, Segment};
use crate::simd::mxcsr;

/// What code of a mode knows of one segment register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownSegment {
    /// Linear address of offset 0; of no meaning if `dynamic`.
    pub base: u32,
    /// First and last valid offset; the last is open if `dynamic` and not flat.
    pub bounds: (u32, u32),
    /// An access may read.
    pub readable: bool,
    /// An access may write.
    pub writable: bool,
    /// D/B.
    pub big: bool,
    /// Base and limit must be looked up.
    pub dynamic: bool,
}

impl KnownSegment {
    /// Every offset is valid.
    pub fn is_flat(&self) -> bool {
        self.bounds == (0, u32::MAX)
    }

    /// Whether accesses, with writes if `write`, can be in line.
    pub fn may(&self, write: bool) -> bool {
        self.bounds.0 == 0 && self.readable && (self.writable || !write)
    }
}

/// FS and GS: every offset is valid; the first valid offset is 0.
const FLAT: u32 = 8;
const FROM_ZERO: u32 = 16;
/// Of the processor.
const SIMD: u32 = 1;
const MASKED: u32 = 2;
const V86: u32 = 4;
/// RDTSC does not fault.
const TIME: u32 = 8;
const CPL_SHIFT: u32 = 4;
/// DF.
const DOWN: u32 = 64;
const PAGED: u32 = 128;
const X87: u32 = 256;

fn bit(bit: u32, on: bool) -> u32 {
    if on { bit } else { 0 }
}

/// Everything code of a mode knows, in as few words as possible, for they are compared often: base, bounds and rights
/// of ES, CS, SS, DS; class of FS and GS; the processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode([u32; 19]);

/// What is known of FS or GS.
#[inline(always)]
fn dynamic_class(s: &Segment) -> u32 {
    let (first, last) = s.bounds();
    s.class() | bit(FLAT, first == 0 && last == u32::MAX) | bit(FROM_ZERO, first == 0)
}

/// Whether code that knows segment register number `seg` as it is goes on if it becomes `new`.
#[inline(always)]
pub(super) fn is_known_alike(seg: usize, old: &Segment, new: &Segment) -> bool {
    if seg >= SegReg::Fs as usize {
        return dynamic_class(old) == dynamic_class(new);
    }
    old.base == new.base && old.bounds() == new.bounds() && old.class() == new.class()
}

/// What is known of the processor beside its segments.
#[inline(always)]
fn processor(cpu: &Cpu) -> u32 {
    let masks = mxcsr::FLAGS << mxcsr::MASKS_SHIFT;
    let float = cpu.regs.cr0 & (cr0::EM | cr0::TS) == 0;
    let simd = float && cpu.regs.cr4 & cr4::OSFXSR != 0;
    bit(SIMD, simd)
        | bit(MASKED, cpu.simd.mxcsr & masks == masks)
        | bit(V86, cpu.regs.v86())
        | bit(TIME, cpu.regs.cr4 & cr4::TSD == 0 || cpu.regs.cpl == 0)
        | bit(X87, float && cpu.fpu.runs_masked())
        | (cpu.regs.cpl as u32) << CPL_SHIFT
        | bit(DOWN, cpu.regs.flags.df())
        | bit(PAGED, cpu.regs.cr0 & cr0::PG != 0)
}

impl Mode {
    /// The mode the processor is in.
    pub fn of(cpu: &Cpu) -> Mode {
        let mut words = [0; 19];
        for n in 0..4 {
            let s = &cpu.regs.seg[n];
            let (first, last) = s.bounds();
            words[4 * n..4 * n + 4].copy_from_slice(&[s.base, first, last, s.class()]);
        }
        for n in 4..6 {
            words[12 + n] = dynamic_class(&cpu.regs.seg[n]);
        }
        words[18] = processor(cpu);
        Mode(words)
    }

    /// Whether the processor is in this mode: [`Mode::of`] and a comparison, with nothing in memory between them. The processor tells
    /// most modes apart; segments are compared without a branch a word.
    #[inline]
    pub fn holds(&self, cpu: &Cpu) -> bool {
        if processor(cpu) != self.0[18] {
            return false;
        }
        let mut difference = 0;
        for n in 0..4 {
            let s = &cpu.regs.seg[n];
            let (first, last) = s.bounds();
            let words = &self.0[4 * n..4 * n + 4];
            difference |=
                (s.base ^ words[0]) | (first ^ words[1]) | (last ^ words[2]) | (s.class() ^ words[3]);
        }
        for n in 4..6 {
            difference |= dynamic_class(&cpu.regs.seg[n]) ^ self.0[12 + n];
        }
        difference == 0
    }

    pub fn segment(&self, seg: SegReg) -> KnownSegment {
        let n = seg as usize;
        let known = |base, bounds, rights: u32, dynamic| KnownSegment {
            base,
            bounds,
            readable: rights & Segment::READABLE != 0,
            writable: rights & Segment::WRITABLE != 0,
            big: rights & Segment::BIG != 0,
            dynamic,
        };
        if n < 4 {
            let words = &self.0[4 * n..];
            return known(words[0], (words[1], words[2]), words[3], false);
        }
        let class = self.0[12 + n];
        let first = (class & FROM_ZERO == 0) as u32;
        let last = if class & FLAT != 0 { u32::MAX } else { 0 };
        known(0, (first, last), class, true)
    }

    /// A lie: the segments other than FS and GS begin at 0.
    pub fn ignore_bases(&mut self) {
        for n in 0..4 {
            self.0[4 * n] = 0;
        }
    }

    /// The first page that accesses by DS, ES and SS cannot reach, or not whole: the view of the code has nothing from there on.
    /// Only if none of them is flat, for that would be slow then.
    pub fn ceiling(&self) -> Option<u32> {
        let end = |s: KnownSegment| s.base == 0 && s.readable && s.bounds.0 == 0;
        let data = self.segment(SegReg::Ds);
        let above = |seg| end(self.segment(seg)) && self.segment(seg).is_flat();
        let wanted = end(data) && !data.is_flat() && !above(SegReg::Es) && !above(SegReg::Ss);
        // Not the segments of real mode and the like: there are many, and they end soon.
        (wanted && data.bounds.1 > 0xFFFF).then(|| ((data.bounds.1 as u64 + 1) >> 12) as u32)
    }

    /// Whether every offset is valid, or those that are not are above the ceiling.
    pub fn is_unlimited(&self, seg: SegReg) -> bool {
        let s = self.segment(seg);
        let data = self.segment(SegReg::Ds);
        let same = !s.dynamic && s.base == 0 && s.bounds == data.bounds;
        s.is_flat() || same && self.ceiling().is_some()
    }

    pub fn cs(&self) -> KnownSegment {
        self.segment(SegReg::Cs)
    }

    /// The last EIP that may be executed. Its limit says so whatever is in CS: no guest gets a segment that goes down there, but a
    /// snapshot may have one.
    pub fn code_limit(&self) -> u32 {
        match self.cs().bounds {
            (0, last) => last,
            (first, _) => first - 1,
        }
    }

    pub fn ss(&self) -> KnownSegment {
        self.segment(SegReg::Ss)
    }

    /// Instructions on XMM registers execute: CR0.EM and TS are clear, CR4.OSFXSR is set.
    pub fn simd(&self) -> bool {
        self.0[18] & SIMD != 0
    }

    /// No SIMD floating-point exception can be raised.
    pub fn masked(&self) -> bool {
        self.0[18] & MASKED != 0
    }

    /// x87 instructions execute, and no exception can be raised or pending: CR0.EM and TS are clear, the control word
    /// masks all. Its precision is none of the reserved ones.
    pub fn x87(&self) -> bool {
        self.0[18] & X87 != 0
    }

    /// RDTSC does not fault.
    pub fn time(&self) -> bool {
        self.0[18] & TIME != 0
    }

    /// Virtual-8086 mode.
    pub fn v86(&self) -> bool {
        self.0[18] & V86 != 0
    }

    /// String instructions go down.
    pub fn down(&self) -> bool {
        self.0[18] & DOWN != 0
    }

    /// Paging is on.
    pub fn paged(&self) -> bool {
        self.0[18] & PAGED != 0
    }

    /// Current privilege level.
    pub fn cpl(&self) -> u32 {
        self.0[18] >> CPL_SHIFT & 3
    }
}
