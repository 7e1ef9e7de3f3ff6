//! What compiled code takes for granted: the segment registers, by value.
//!
//! A system uses few combinations of bases, limits and rights, so they are constants of the code: a flat segment costs
//! nothing, a limited one three instructions. FS and GS, whose bases change with the thread, are known by class only.
//! Each combination is a *mode* with a number; code is found by place, EIP and mode.

use crate::regs::Registers;
use crate::seg::{SegReg, Segment};

/// What code of a mode knows of one segment register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct KnownSegment {
    /// Linear address of offset 0; of no meaning if `dynamic`.
    pub base: u32,
    /// First and last valid offset.
    pub bounds: (u32, u32),
    /// An access may read.
    pub readable: bool,
    /// An access may write.
    pub writable: bool,
    /// D/B.
    pub big: bool,
    /// The base must be looked up.
    pub dynamic: bool,
}

impl KnownSegment {
    fn of(s: &Segment) -> KnownSegment {
        KnownSegment {
            base: s.base,
            bounds: s.bounds(),
            readable: s.readable(),
            writable: s.writable(),
            big: s.big(),
            dynamic: false,
        }
    }

    /// FS and GS: the base is left open; only segments of 4 GiB are of use then.
    fn by_class(s: &Segment) -> KnownSegment {
        let known = KnownSegment { base: 0, dynamic: true, ..KnownSegment::of(s) };
        if known.is_flat() { known } else { KnownSegment { bounds: (1, 0), ..known } }
    }

    /// Every offset is valid.
    pub fn is_flat(&self) -> bool {
        self.bounds == (0, u32::MAX)
    }
}

/// Everything code of a mode knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mode {
    /// By [`SegReg`].
    pub segments: [KnownSegment; 6],
}

impl Mode {
    pub fn of(regs: &Registers) -> Mode {
        Mode {
            segments: std::array::from_fn(|n| {
                let s = &regs.seg[n];
                if n >= SegReg::Fs as usize { KnownSegment::by_class(s) } else { KnownSegment::of(s) }
            }),
        }
    }

    pub fn cs(&self) -> &KnownSegment {
        &self.segments[SegReg::Cs as usize]
    }

    pub fn ss(&self) -> &KnownSegment {
        &self.segments[SegReg::Ss as usize]
    }
}

/// A place of a jump table: compiled code for one EIP.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct JumpEntry {
    /// EIP, negated; compiled code adds and looks for zero.
    pub eip: u32,
    /// What the flat view's fetch entry must hold plus [`FRAME_BIAS`], negated; 0 in an empty place.
    pub frame: u32,
    /// Address of the code.
    pub code: u64,
}

/// So that the frame of an empty place, all zeros, is that of no page.
pub(super) const FRAME_BIAS: u32 = 1 << 30;

fn frame_key(frame: u32) -> u32 {
    (frame + 1 + FRAME_BIAS).wrapping_neg()
}

/// Places of a jump table.
pub(super) const JUMPS: usize = 1 << 16;

/// Where a jump table keeps `eip`. Compiled code computes the same.
fn place(eip: u32) -> usize {
    eip.wrapping_add(eip.rotate_right(13)) as u16 as usize
}

/// Compiled code by EIP.
pub(super) struct JumpTable(Box<[JumpEntry]>);

impl JumpTable {
    pub fn new() -> JumpTable {
        JumpTable(vec![JumpEntry::default(); JUMPS].into_boxed_slice())
    }

    /// Where it begins, for compiled code.
    pub fn address(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    pub fn set(&mut self, eip: u32, frame: u32, code: u64) {
        let entry = JumpEntry { eip: eip.wrapping_neg(), frame: frame_key(frame), code };
        self.0[place(eip)] = entry;
    }

    /// Code for `eip` in page `frame` of the backing store.
    pub fn find(&self, eip: u32, frame: u32) -> Option<u64> {
        let entry = &self.0[place(eip)];
        (entry.eip == eip.wrapping_neg() && entry.frame == frame_key(frame)).then_some(entry.code)
    }

    /// Forget `code`.
    pub fn remove(&mut self, eip: u32, code: u64) {
        let entry = &mut self.0[place(eip)];
        if entry.code == code {
            *entry = JumpEntry::default();
        }
    }
}
