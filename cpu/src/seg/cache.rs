//! The hidden part of segment registers (SDM vol. 3, 3.4.3) and the check every access makes (5.3, 5.4).

use super::Descriptor;
use serde::{Deserialize, Serialize};

/// The six segment registers, in encoding order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum SegReg {
    Es,
    Cs,
    Ss,
    Ds,
    Fs,
    Gs,
}

impl SegReg {
    /// All six, in encoding order.
    pub const ALL: [SegReg; 6] = [SegReg::Es, SegReg::Cs, SegReg::Ss, SegReg::Ds, SegReg::Fs, SegReg::Gs];

    /// From the three-bit encoding; 6 and 7 do not exist.
    pub fn from_encoding(n: u8) -> Option<SegReg> {
        SegReg::ALL.get(n as usize).copied()
    }
}

/// Access may read.
const READ: u8 = 1;
/// Access may write.
const WRITE: u8 = 2;

/// A segment register, LDTR or TR: the selector and what was loaded with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Segment {
    /// The visible selector.
    pub selector: u16,
    /// Linear address of offset 0.
    pub base: u32,
    /// Last valid offset (expand-up) or last *invalid* offset (expand-down), in bytes.
    pub limit: u32,
    /// Descriptor bits 8-15 and 20-23 in their places in the descriptor's high word; 0 if unusable.
    pub attr: u32,
    /// First offset an access may touch. Derived.
    lo: u32,
    /// Last offset an access may touch. Derived.
    hi: u32,
    /// READ and WRITE. Derived.
    rights: u8,
}

impl Segment {
    /// A null selector: every access through it faults.
    pub const fn null(selector: u16) -> Segment {
        Segment { selector, base: 0, limit: 0, attr: 0, lo: 1, hi: 0, rights: 0 }
    }

    /// What a register holds after loading `selector` that names `d`.
    #[inline(always)]
    pub fn from_descriptor(selector: u16, d: Descriptor) -> Segment {
        Segment::new(selector, d.base(), d.limit(), d.hi & 0x00F0_FF00)
    }

    /// A segment with explicit hidden parts; `attr` is laid out as in a descriptor's high word.
    #[inline(always)]
    pub fn new(selector: u16, base: u32, limit: u32, attr: u32) -> Segment {
        let mut s = Segment { selector, base, limit, attr: attr & 0x00F0_FF00, lo: 0, hi: limit, rights: 0 };
        let d = s.descriptor();
        if d.present() && d.is_segment() {
            if d.is_readable() {
                s.rights |= READ;
            }
            if d.is_writable_data() {
                s.rights |= WRITE;
            }
            if d.is_data() && attr & 1 << 10 != 0 {
                // Expand-down: valid offsets lie above the limit. No valid offset at all is lo > hi.
                s.hi = if d.big() { u32::MAX } else { 0xFFFF };
                match limit.checked_add(1) {
                    Some(lo) => s.lo = lo,
                    None => s.rights = 0,
                }
            }
        }
        s
    }

    /// Real-address or virtual-8086 segment: base = selector * 16, 64 KiB, 16-bit, read-write data.
    /// `dpl` is 0 in real mode and 3 in virtual-8086 mode.
    pub fn real(selector: u16, dpl: u8) -> Segment {
        Segment::new(selector, (selector as u32) << 4, 0xFFFF, 0x9300 | (dpl as u32) << 13)
    }

    /// The attributes seen through the accessors of [`Descriptor`]; base and limit fields are not filled in.
    pub const fn descriptor(&self) -> Descriptor {
        Descriptor { lo: 0, hi: self.attr }
    }

    /// Whether the register holds a usable descriptor.
    pub const fn usable(&self) -> bool {
        self.attr & 1 << 15 != 0
    }

    /// D/B bit: 32-bit code or stack.
    pub const fn big(&self) -> bool {
        self.attr & 1 << 22 != 0
    }

    /// Whether `size` bytes at `offset` may be read.
    #[inline(always)]
    pub const fn allows_read(&self, offset: u32, size: u32) -> bool {
        self.rights & READ != 0 && self.in_limit(offset, size)
    }

    /// Whether `size` bytes at `offset` may be written.
    #[inline(always)]
    pub const fn allows_write(&self, offset: u32, size: u32) -> bool {
        self.rights & WRITE != 0 && self.in_limit(offset, size)
    }

    /// Whether `size` (at least 1) bytes at `offset` lie inside the segment, whatever its type.
    ///
    /// In a segment of 4 GiB an access may wrap round its end (SDM vol. 3, 5.3 leaves that to the implementation).
    #[inline(always)]
    pub const fn in_limit(&self, offset: u32, size: u32) -> bool {
        offset >= self.lo && offset as u64 + (size - 1) as u64 <= self.hi as u64
            || self.lo == 0 && self.hi == u32::MAX
    }
}

/// For the compiled engine.
#[cfg(jit)]
impl Segment {
    /// Where the last offset that an access may touch is kept, for compiled code.
    pub(crate) const LAST: usize = std::mem::offset_of!(Segment, hi);

    /// First and last offset that an access may touch.
    pub(crate) const fn bounds(&self) -> (u32, u32) {
        (self.lo, self.hi)
    }

    /// Some access may read.
    pub(crate) const READABLE: u32 = READ as u32;
    /// Some access may write.
    pub(crate) const WRITABLE: u32 = WRITE as u32;
    /// D/B.
    pub(crate) const BIG: u32 = 1 << 2;

    /// Which of `READABLE`, `WRITABLE` and `BIG` it is.
    #[inline(always)]
    pub(crate) const fn class(&self) -> u32 {
        self.rights as u32 | self.attr >> 20 & Segment::BIG
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expand_down_is_the_complement_of_expand_up() {
        for big in [false, true] {
            let attr = 0x9300 | (big as u32) << 22;
            let up = Segment::new(8, 0, 0x1234, attr);
            let down = Segment::new(8, 0, 0x1234, attr | 1 << 10);
            let top = if big { u32::MAX } else { 0xFFFF };
            for offset in [0, 0x1233, 0x1234, 0x1235, 0xFFFE, 0xFFFF, 0x1_0000, u32::MAX - 1, u32::MAX] {
                assert_eq!(
                    down.allows_read(offset, 1),
                    !up.allows_read(offset, 1) && offset <= top,
                    "{offset:#x}"
                );
            }
            assert!(!down.allows_read(top - 2, 4) && down.allows_read(top - 3, 4));
        }
    }

    #[test]
    fn null_segments_refuse_everything() {
        assert!(!Segment::null(3).allows_read(0, 1) && !Segment::null(3).allows_write(0, 1));
    }
}
