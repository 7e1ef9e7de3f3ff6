//! EFLAGS (SDM vol. 1, 3.4.3), with the six arithmetic flags kept in unevaluated form.
//!
//! Most results are overwritten before anybody looks at their flags. An instruction therefore only stores what the
//! flags can be computed from: the result, its sign, and the vectors of carries out of each bit.

use crate::word::Word;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Carry.
pub const CF: u32 = 1 << 0;
/// Parity of the low byte.
pub const PF: u32 = 1 << 2;
/// Carry out of bit 3.
pub const AF: u32 = 1 << 4;
/// Zero.
pub const ZF: u32 = 1 << 6;
/// Sign.
pub const SF: u32 = 1 << 7;
/// Trap (single step).
pub const TF: u32 = 1 << 8;
/// Interrupt enable.
pub const IF: u32 = 1 << 9;
/// Direction of string instructions.
pub const DF: u32 = 1 << 10;
/// Overflow.
pub const OF: u32 = 1 << 11;
/// I/O privilege level (two bits).
pub const IOPL: u32 = 3 << 12;
/// Nested task.
pub const NT: u32 = 1 << 14;
/// Resume.
pub const RF: u32 = 1 << 16;
/// Virtual-8086 mode.
pub const VM: u32 = 1 << 17;
/// Alignment check.
pub const AC: u32 = 1 << 18;
/// Virtual interrupt flag: a stored bit, for CR4.VME and CR4.PVI have no effect.
pub const VIF: u32 = 1 << 19;
/// Virtual interrupt pending: a stored bit, as VIF.
pub const VIP: u32 = 1 << 20;
/// CPUID may be used.
pub const ID: u32 = 1 << 21;
/// The flags that arithmetic instructions write.
pub const ARITH: u32 = CF | PF | AF | ZF | SF | OF;
/// Every flag this processor implements, besides the always-one bit 1.
pub const ALL: u32 = ARITH | TF | IF | DF | IOPL | NT | RF | VM | AC | VIF | VIP | ID;

/// EFLAGS. Read it whole with [`Flags::get`], write it with [`Flags::set`].
#[derive(Clone, Debug, Default)]
pub struct Flags {
    /// ZF is `zero == 0`.
    zero: u32,
    /// SF is bit 31.
    sign: u32,
    /// PF is the even parity of the low byte.
    parity: u32,
    /// CF is bit 31; OF is bit 31 xor bit 30.
    carry: u32,
    /// AF is bit 4.
    aux: u32,
    /// Everything else, in place.
    system: u32,
}

impl Flags {
    /// Where the system flags are kept, for compiled code.
    #[cfg(jit)]
    pub(crate) const SYSTEM: usize = std::mem::offset_of!(Flags, system);
}

impl PartialEq for Flags {
    fn eq(&self, other: &Flags) -> bool {
        self.get() == other.get()
    }
}
impl Eq for Flags {}

impl Serialize for Flags {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.serialize_u32(self.get())
    }
}
impl<'de> Deserialize<'de> for Flags {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Flags, D::Error> {
        u32::deserialize(d).map(Flags::from_bits)
    }
}

impl Flags {
    /// Flags with exactly these bits set (those that exist).
    pub fn from_bits(bits: u32) -> Flags {
        let mut flags = Flags::default();
        flags.set(bits);
        flags
    }

    /// The EFLAGS register, bit 1 included.
    #[inline]
    pub fn get(&self) -> u32 {
        self.system | 2 | self.arith()
    }

    /// The six arithmetic flags in their EFLAGS positions.
    #[inline]
    pub fn arith(&self) -> u32 {
        (self.carry >> 31)
            | (self.pf() as u32) << 2
            | self.aux & AF
            | (self.zf() as u32) << 6
            | (self.sign >> 31) << 7
            | (self.of() as u32) << 11
    }

    /// Replace the whole register.
    #[inline]
    pub fn set(&mut self, bits: u32) {
        self.system = bits & ALL & !ARITH;
        self.set_arith(bits);
    }

    /// Replace the six arithmetic flags from their EFLAGS positions.
    #[inline]
    pub fn set_arith(&mut self, bits: u32) {
        self.zero = !bits & ZF;
        self.sign = bits << 24;
        self.parity = (bits & PF == 0) as u32;
        self.aux = bits;
        self.set_cf_of(bits & CF != 0, bits & OF != 0);
    }

    /// Replace the flags selected by `mask` with those of `bits`.
    #[inline]
    pub fn merge(&mut self, bits: u32, mask: u32) {
        self.set(self.get() & !mask | bits & mask);
    }

    /// Carry flag.
    #[inline(always)]
    pub fn cf(&self) -> bool {
        self.carry >> 31 != 0
    }
    /// Parity flag.
    #[inline(always)]
    pub fn pf(&self) -> bool {
        (self.parity as u8).count_ones() & 1 == 0
    }
    /// Auxiliary carry flag.
    #[inline(always)]
    pub fn af(&self) -> bool {
        self.aux & AF != 0
    }
    /// Zero flag.
    #[inline(always)]
    pub fn zf(&self) -> bool {
        self.zero == 0
    }
    /// Sign flag.
    #[inline(always)]
    pub fn sf(&self) -> bool {
        self.sign >> 31 != 0
    }
    /// Overflow flag.
    #[inline(always)]
    pub fn of(&self) -> bool {
        (self.carry ^ self.carry << 1) >> 31 != 0
    }
    /// Direction flag.
    #[inline(always)]
    pub fn df(&self) -> bool {
        self.system & DF != 0
    }
    /// I/O privilege level, 0 to 3.
    #[inline(always)]
    pub fn iopl(&self) -> u8 {
        (self.system >> 12) as u8 & 3
    }
    /// Whether any system flag of `mask` (one outside [`ARITH`]) is set.
    #[inline(always)]
    pub fn has(&self, mask: u32) -> bool {
        self.system & mask != 0
    }

    /// Set or clear system flags (outside [`ARITH`]).
    #[inline(always)]
    pub fn put(&mut self, mask: u32, on: bool) {
        let mask = mask & ALL & !ARITH;
        self.system = if on { self.system | mask } else { self.system & !mask };
    }

    /// Set carry and overflow, leaving the rest.
    #[inline(always)]
    pub fn set_cf_of(&mut self, cf: bool, of: bool) {
        self.carry = (cf as u32) << 31 | ((cf != of) as u32) << 30;
    }
    /// Set carry, leaving the rest.
    #[inline(always)]
    pub fn set_cf(&mut self, cf: bool) {
        self.set_cf_of(cf, self.of());
    }
    /// Set or clear the zero flag alone.
    #[inline(always)]
    pub fn set_zf(&mut self, zf: bool) {
        self.zero = !zf as u32;
    }
    /// Set or clear the auxiliary carry flag alone.
    #[inline(always)]
    pub fn set_af(&mut self, af: bool) {
        self.aux = (af as u32) << 4;
    }

    /// SF, ZF and PF from a result; the others are left.
    #[inline(always)]
    pub fn set_szp<W: Word>(&mut self, result: W) {
        let wide = result.sign_extend();
        self.zero = wide;
        self.sign = wide;
        self.parity = wide;
    }

    /// Flags of a logic instruction: CF = OF = AF = 0 (AF is undefined; processors clear it).
    #[inline(always)]
    pub fn set_logic<W: Word>(&mut self, result: W) {
        self.set_szp(result);
        self.carry = 0;
        self.aux = 0;
    }

    /// Flags of `a + b (+ carry in) = r`.
    #[inline(always)]
    pub fn set_add<W: Word>(&mut self, a: W, b: W, r: W) {
        self.set_szp(r);
        self.carry = ((a & b) | ((a | b) & !r)).to_u32() << (32 - W::BITS);
        self.aux = (a ^ b ^ r).to_u32();
    }

    /// Flags of `a - b (- borrow in) = r`.
    #[inline(always)]
    pub fn set_sub<W: Word>(&mut self, a: W, b: W, r: W) {
        self.set_szp(r);
        self.carry = ((!a & b) | ((!a | b) & r)).to_u32() << (32 - W::BITS);
        self.aux = (a ^ b ^ r).to_u32();
    }

    /// The sixteen conditions of Jcc, SETcc and CMOVcc, by the low four bits of the opcode.
    #[inline(always)]
    pub fn condition(&self, code: u8) -> bool {
        let base = match code >> 1 & 7 {
            0 => self.of(),
            1 => self.cf(),
            2 => self.zf(),
            3 => self.cf() | self.zf(),
            4 => self.sf(),
            5 => self.pf(),
            6 => self.sf() != self.of(),
            _ => self.zf() | (self.sf() != self.of()),
        };
        base != (code & 1 != 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_survives_a_round_trip() {
        for n in 0..64u32 {
            let bits =
                [CF, PF, AF, ZF, SF, OF].iter().enumerate().fold(0, |b, (i, f)| b | (f * (n >> i & 1)));
            assert_eq!(Flags::from_bits(bits).get(), bits | 2);
        }
        assert_eq!(Flags::from_bits(u32::MAX).get(), ALL | 2);
    }

    #[test]
    fn add_and_sub_flags_match_the_definition() {
        let mut f = Flags::default();
        for a in 0..=255u8 {
            for b in 0..=255u8 {
                let r = a.wrapping_add(b);
                f.set_add(a, b, r);
                assert_eq!(f.cf(), a.checked_add(b).is_none());
                assert_eq!(f.of(), (a as i8).checked_add(b as i8).is_none());
                assert_eq!(f.af(), (a & 15) + (b & 15) > 15);
                let r = a.wrapping_sub(b);
                f.set_sub(a, b, r);
                assert_eq!(f.cf(), a < b);
                assert_eq!(f.of(), (a as i8).checked_sub(b as i8).is_none());
                assert_eq!(f.af(), a & 15 < b & 15);
                assert_eq!((f.zf(), f.sf()), (a == b, (r as i8) < 0));
            }
        }
    }
}
