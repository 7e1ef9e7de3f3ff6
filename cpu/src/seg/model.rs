//! Segments against a straight-line model (tests): random descriptors, loads and accesses. The model is written from
//! SDM vol. 3, 5.3 to 5.6 and vol. 2, MOV: it looks at the raw fields, and at each byte of an access by itself.

use super::SegReg;
use crate::Cpu;
use crate::fault::Fault;
use crate::regs::gpr;
use crate::testing::{FREE, GDT, execute, in_ring};
use crate::word::Word;
use proptest::prelude::*;

/// Where the LDT is; the descriptor is its first.
const LDT: u32 = 0x8000;
/// RAM of the test processor ends here; no device is behind it.
const RAM: u32 = 0x40000;
/// RAM filled with a pattern that tells addresses apart.
const PATTERN: std::ops::Range<u32> = 0x10000..0x30000;

/// The fields of a descriptor; `kind` is S and the type, `0b1_0010` a data segment that may be written.
#[derive(Clone, Copy, Debug)]
struct Fields {
    base: u32,
    raw_limit: u32,
    granular: bool,
    big: bool,
    kind: u32,
    dpl: u8,
    present: bool,
}

impl Fields {
    fn encoded(self) -> u64 {
        let (base, limit) = (self.base as u64, self.raw_limit as u64);
        limit & 0xFFFF
            | (base & 0xFF_FFFF) << 16
            | (self.kind as u64) << 40
            | (self.dpl as u64) << 45
            | (self.present as u64) << 47
            | (limit >> 16) << 48
            | (self.big as u64) << 54
            | (self.granular as u64) << 55
            | (base >> 24) << 56
    }

    fn is_data(self) -> bool {
        self.kind >> 3 == 0b10
    }
    fn is_code(self) -> bool {
        self.kind >> 3 == 0b11
    }
    fn may_write(self) -> bool {
        self.is_data() && self.kind & 2 != 0
    }
    fn may_read(self) -> bool {
        self.is_data() || self.is_code() && self.kind & 2 != 0
    }

    /// Segments of 4 GiB are rings; in all others an offset beyond 4 GiB is beyond the limit.
    fn contains(self, offset: u64) -> bool {
        let limit = if self.granular { self.raw_limit as u64 * 4096 + 4095 } else { self.raw_limit as u64 };
        if self.is_data() && self.kind & 4 != 0 {
            let top = if self.big { 0xFFFF_FFFF } else { 0xFFFF };
            return limit < offset && offset <= top;
        }
        offset <= limit || limit == 0xFFFF_FFFF
    }

    /// MOV of `selector`, which names this descriptor, to a segment register.
    fn load(self, seg: SegReg, selector: u16, cpl: u8) -> Result<(), Fault> {
        let (rpl, code) = ((selector & 3) as u8, selector & 0xFFFC);
        if seg == SegReg::Ss {
            if rpl != cpl || self.dpl != cpl || !self.may_write() {
                return Err(Fault::gp(code));
            }
            return if self.present { Ok(()) } else { Err(Fault::ss(code)) };
        }
        if !self.may_read() {
            return Err(Fault::gp(code));
        }
        let conforming = self.is_code() && self.kind & 4 != 0;
        if !conforming && (rpl > self.dpl || cpl > self.dpl) {
            return Err(Fault::gp(code));
        }
        if self.present { Ok(()) } else { Err(Fault::np(code)) }
    }

    fn allows(self, t: Try) -> bool {
        let right = if t.write { self.may_write() } else { self.may_read() };
        right && (0..t.size as u64).all(|n| self.contains(t.offset as u64 + n))
    }
}

/// What a selector names.
#[derive(Clone, Copy, Debug)]
enum Name {
    InGdt,
    InLdt,
    Null,
    BeyondGdt,
    BeyondLdt,
}

impl Name {
    fn selector(self, rpl: u16) -> u16 {
        rpl | match self {
            Name::InGdt => FREE,
            Name::InLdt => 4,
            Name::Null => 0,
            Name::BeyondGdt => 0x100,
            Name::BeyondLdt => 8 | 4,
        }
    }
}

#[derive(Clone, Copy, Debug)]
struct Try {
    offset: u32,
    /// In bytes.
    size: u32,
    write: bool,
}

fn attempt<W: Word>(cpu: &mut Cpu, seg: SegReg, t: Try, value: u64) -> Result<u64, Fault> {
    if t.write {
        cpu.store(seg, t.offset, W::from_u64(value)).map(|()| 0)
    } else {
        cpu.load::<W>(seg, t.offset).map(Word::to_u64)
    }
}

fn fields() -> impl Strategy<Value = Fields> {
    let base = prop_oneof![3 => PATTERN, 1 => any::<u32>()];
    let raw_limit = prop_oneof![3 => 0..0x2_0000u32, 1 => 0..0x10_0000u32, 1 => Just(0xF_FFFF), 1 => Just(0)];
    // Mostly code and data segments.
    let kind = prop_oneof![7 => 16..32u32, 1 => 0..16u32];
    (base, raw_limit, any::<bool>(), any::<bool>(), kind, 0..4u8, prop::bool::weighted(0.9)).prop_map(
        |(base, raw_limit, granular, big, kind, dpl, present)| Fields {
            base,
            raw_limit,
            granular,
            big,
            kind,
            dpl,
            present,
        },
    )
}

fn name() -> impl Strategy<Value = Name> {
    prop_oneof![
        8 => Just(Name::InGdt),
        8 => Just(Name::InLdt),
        1 => Just(Name::Null),
        1 => Just(Name::BeyondGdt),
        1 => Just(Name::BeyondLdt),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]
    #[test]
    fn loads_and_accesses_do_what_the_model_does(
        fields in fields(),
        name in name(),
        (rpl, cpl, at_own_level) in (0..4u16, 0..4u8, any::<bool>()),
        seg in prop::sample::select(&[SegReg::Es, SegReg::Ss, SegReg::Ds, SegReg::Fs, SegReg::Gs][..]),
        tries in prop::collection::vec((0..6u8, -9..9i32, any::<u32>(), 0..4u8, any::<bool>()), 1..24),
    ) {
        // Levels drawn at random seldom let SS be loaded.
        let (rpl, cpl) = if at_own_level { (fields.dpl as u16, fields.dpl) } else { (rpl, cpl) };
        let selector = name.selector(rpl);
        let mut cpu = in_ring(cpl, &[]);
        let pattern: Vec<u8> = PATTERN.map(|n| (n.wrapping_mul(0x9E37_79B1) >> 24) as u8).collect();
        prop_assert!(cpu.mem.write_bytes(PATTERN.start as u64, &pattern));
        let at = (if selector & 4 == 0 { GDT + FREE as u32 } else { LDT }) as u64;
        cpu.phys_write(at, fields.encoded());
        cpu.regs.ldtr = super::Segment::new(0x60, LDT, 7, 0x8200);
        cpu.regs.gpr[gpr::EAX] = selector as u32;

        let before = cpu.regs.seg;
        let expected = match name {
            Name::InGdt | Name::InLdt => fields.load(seg, selector, cpl),
            Name::Null if seg == SegReg::Ss => Err(Fault::gp(0)),
            Name::Null => Ok(()),
            Name::BeyondGdt | Name::BeyondLdt => Err(Fault::gp(selector & 0xFFFC)),
        };
        // mov seg, ax
        prop_assert_eq!(execute(&mut cpu, &[0x8E, 0xC0 | (seg as u8) << 3]), expected);
        let loaded = expected.is_ok() && !matches!(name, Name::Null);
        let accessed = if loaded { 1 << 40 } else { 0 };
        prop_assert_eq!(cpu.phys_read::<u64>(at), fields.encoded() | accessed);
        if expected.is_err() {
            prop_assert_eq!(cpu.regs.seg, before);
            return Ok(());
        }

        for (n, (near, delta, random, size, write)) in tries.into_iter().enumerate() {
            let limit = if fields.granular { fields.raw_limit << 12 | 0xFFF } else { fields.raw_limit };
            let offset = [0, limit, limit, 0xFFFF, random % 0x2_0000, random][near as usize].wrapping_add_signed(delta);
            let t = Try { offset, size: 1 << size, write };
            let value = (n as u64 + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
            let place = |n: u32| fields.base.wrapping_add(offset).wrapping_add(n);
            let there = |cpu: &mut Cpu| (0..t.size).map(|n| cpu.phys_read::<u8>(place(n) as u64)).collect::<Vec<_>>();
            let old = there(&mut cpu);
            let got = match t.size {
                1 => attempt::<u8>(&mut cpu, seg, t, value),
                2 => attempt::<u16>(&mut cpu, seg, t, value),
                4 => attempt::<u32>(&mut cpu, seg, t, value),
                _ => attempt::<u64>(&mut cpu, seg, t, value),
            };
            if !(loaded && fields.allows(t)) {
                let refused = if seg == SegReg::Ss { Fault::ss(0) } else { Fault::gp(0) };
                prop_assert_eq!(got, Err(refused), "{:x?}", t);
                prop_assert_eq!(there(&mut cpu), old);
            } else if write {
                prop_assert_eq!(got, Ok(0), "{:x?}", t);
                for (n, byte) in (0..).zip(there(&mut cpu)).filter(|&(n, _)| place(n) < RAM) {
                    prop_assert_eq!(byte, (value >> (8 * n)) as u8, "{:x?}", t);
                }
            } else {
                let value = old.iter().rev().fold(0, |value, &byte| value << 8 | byte as u64);
                prop_assert_eq!(got, Ok(value), "{:x?}", t);
            }
        }
    }
}
