//! Packed integer arithmetic, comparison, logic, conversion and shifts of MMX, SSE and SSE2 (SDM vol. 1, 9.4 and
//! 11.4.2), and the bitwise instructions on packed floating-point values, which are the same thing.

use super::lanes::{Lane, Vector, build, interleave_high, interleave_low, lane, map, mask, pack, zip};
use super::mmx::Mm;
use super::operand::{File, Imm, Mem, MemLow, Reg, Source, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use iced_x86::{Code, Instruction, OpKind};

/// `destination = f(destination, source)`, for both register files.
pub(super) trait Packed {
    fn apply<V: Vector>(a: V, b: V) -> V;
}

fn packed<O: Packed, F: File, S: Source<F>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    let b = S::get(cpu, op)?;
    let a = F::get(cpu, op.reg[0]);
    F::set(cpu, op.reg[0], O::apply(a, b));
    Ok(())
}

fn handler<O: Packed>(insn: &Instruction) -> Handler {
    let mmx = insn.op0_register().is_mm();
    match insn.op1_kind() {
        OpKind::Register if mmx => packed::<O, Mm, Reg<1>>,
        OpKind::Register => packed::<O, Xmm, Reg<1>>,
        OpKind::Memory if insn.memory_size().size() == 4 => packed::<O, Mm, MemLow<u32>>,
        OpKind::Memory if mmx => packed::<O, Mm, Mem>,
        OpKind::Memory => packed::<O, Xmm, Mem>,
        _ if mmx => packed::<O, Mm, Imm>,
        _ => packed::<O, Xmm, Imm>,
    }
}

/// A line is an instruction: its encodings, and what it computes.
macro_rules! packed {
    ($($($code:ident)+: |$a:pat_param, $b:pat_param| $body:expr;)*) => {
        pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
            match insn.code() {
                $($(Code::$code)|+ => {
                    struct Operation;
                    impl Packed for Operation {
                        #[inline(always)]
                        fn apply<V: Vector>($a: V, $b: V) -> V { $body }
                    }
                    Some(handler::<Operation>(insn))
                })*
                _ => None,
            }
        }
    };
}

packed! {
    Paddb_mm_mmm64 Paddb_xmm_xmmm128: |a, b| zip(a, b, u8::wrapping_add);
    Paddw_mm_mmm64 Paddw_xmm_xmmm128: |a, b| zip(a, b, u16::wrapping_add);
    Paddd_mm_mmm64 Paddd_xmm_xmmm128: |a, b| zip(a, b, u32::wrapping_add);
    Paddq_mm_mmm64 Paddq_xmm_xmmm128: |a, b| zip(a, b, u64::wrapping_add);
    Paddsb_mm_mmm64 Paddsb_xmm_xmmm128: |a, b| zip(a, b, i8::saturating_add);
    Paddsw_mm_mmm64 Paddsw_xmm_xmmm128: |a, b| zip(a, b, i16::saturating_add);
    Paddusb_mm_mmm64 Paddusb_xmm_xmmm128: |a, b| zip(a, b, u8::saturating_add);
    Paddusw_mm_mmm64 Paddusw_xmm_xmmm128: |a, b| zip(a, b, u16::saturating_add);
    Psubb_mm_mmm64 Psubb_xmm_xmmm128: |a, b| zip(a, b, u8::wrapping_sub);
    Psubw_mm_mmm64 Psubw_xmm_xmmm128: |a, b| zip(a, b, u16::wrapping_sub);
    Psubd_mm_mmm64 Psubd_xmm_xmmm128: |a, b| zip(a, b, u32::wrapping_sub);
    Psubq_mm_mmm64 Psubq_xmm_xmmm128: |a, b| zip(a, b, u64::wrapping_sub);
    Psubsb_mm_mmm64 Psubsb_xmm_xmmm128: |a, b| zip(a, b, i8::saturating_sub);
    Psubsw_mm_mmm64 Psubsw_xmm_xmmm128: |a, b| zip(a, b, i16::saturating_sub);
    Psubusb_mm_mmm64 Psubusb_xmm_xmmm128: |a, b| zip(a, b, u8::saturating_sub);
    Psubusw_mm_mmm64 Psubusw_xmm_xmmm128: |a, b| zip(a, b, u16::saturating_sub);

    Pmullw_mm_mmm64 Pmullw_xmm_xmmm128: |a, b| zip(a, b, i16::wrapping_mul);
    Pmulhw_mm_mmm64 Pmulhw_xmm_xmmm128: |a, b| zip(a, b, |x: i16, y| ((x as i32 * y as i32) >> 16) as i16);
    Pmulhuw_mm_mmm64 Pmulhuw_xmm_xmmm128: |a, b| zip(a, b, |x: u16, y| ((x as u32 * y as u32) >> 16) as u16);
    Pmuludq_mm_mmm64 Pmuludq_xmm_xmmm128: |a, b| zip(a, b, |x: u64, y| (x as u32 as u64) * (y as u32 as u64));
    Pmaddwd_mm_mmm64 Pmaddwd_xmm_xmmm128: |a, b| {
        let product = |i| lane::<V, i16>(a, i) as i32 * lane::<V, i16>(b, i) as i32;
        build(|i| product(2 * i).wrapping_add(product(2 * i + 1)))
    };
    Psadbw_mm_mmm64 Psadbw_xmm_xmmm128: |a, b| {
        let distance = |i| lane::<V, u8>(a, i).abs_diff(lane(b, i)) as u64;
        build(|i| (8 * i..8 * i + 8).map(distance).sum::<u64>())
    };
    Pavgb_mm_mmm64 Pavgb_xmm_xmmm128: |a, b| zip(a, b, |x: u8, y| (x as u16 + y as u16).div_ceil(2) as u8);
    Pavgw_mm_mmm64 Pavgw_xmm_xmmm128: |a, b| zip(a, b, |x: u16, y| (x as u32 + y as u32).div_ceil(2) as u16);
    Pminub_mm_mmm64 Pminub_xmm_xmmm128: |a, b| zip(a, b, u8::min);
    Pminsw_mm_mmm64 Pminsw_xmm_xmmm128: |a, b| zip(a, b, i16::min);
    Pmaxub_mm_mmm64 Pmaxub_xmm_xmmm128: |a, b| zip(a, b, u8::max);
    Pmaxsw_mm_mmm64 Pmaxsw_xmm_xmmm128: |a, b| zip(a, b, i16::max);

    Pcmpeqb_mm_mmm64 Pcmpeqb_xmm_xmmm128: |a, b| mask(a, b, |x: u8, y| x == y);
    Pcmpeqw_mm_mmm64 Pcmpeqw_xmm_xmmm128: |a, b| mask(a, b, |x: u16, y| x == y);
    Pcmpeqd_mm_mmm64 Pcmpeqd_xmm_xmmm128: |a, b| mask(a, b, |x: u32, y| x == y);
    Pcmpgtb_mm_mmm64 Pcmpgtb_xmm_xmmm128: |a, b| mask(a, b, |x: i8, y| x > y);
    Pcmpgtw_mm_mmm64 Pcmpgtw_xmm_xmmm128: |a, b| mask(a, b, |x: i16, y| x > y);
    Pcmpgtd_mm_mmm64 Pcmpgtd_xmm_xmmm128: |a, b| mask(a, b, |x: i32, y| x > y);

    Pand_mm_mmm64 Pand_xmm_xmmm128 Andps_xmm_xmmm128 Andpd_xmm_xmmm128: |a, b| a & b;
    Pandn_mm_mmm64 Pandn_xmm_xmmm128 Andnps_xmm_xmmm128 Andnpd_xmm_xmmm128: |a, b| !a & b;
    Por_mm_mmm64 Por_xmm_xmmm128 Orps_xmm_xmmm128 Orpd_xmm_xmmm128: |a, b| a | b;
    Pxor_mm_mmm64 Pxor_xmm_xmmm128 Xorps_xmm_xmmm128 Xorpd_xmm_xmmm128: |a, b| a ^ b;

    Packsswb_mm_mmm64 Packsswb_xmm_xmmm128: |a, b| pack(a, b, |x: i16| x.clamp(-0x80, 0x7F) as i8);
    Packssdw_mm_mmm64 Packssdw_xmm_xmmm128: |a, b| pack(a, b, |x: i32| x.clamp(-0x8000, 0x7FFF) as i16);
    Packuswb_mm_mmm64 Packuswb_xmm_xmmm128: |a, b| pack(a, b, |x: i16| x.clamp(0, 0xFF) as u8);
    Punpcklbw_mm_mmm32 Punpcklbw_xmm_xmmm128: |a, b| interleave_low::<V, u8>(a, b);
    Punpcklwd_mm_mmm32 Punpcklwd_xmm_xmmm128: |a, b| interleave_low::<V, u16>(a, b);
    Punpckldq_mm_mmm32 Punpckldq_xmm_xmmm128 Unpcklps_xmm_xmmm128: |a, b| interleave_low::<V, u32>(a, b);
    Punpcklqdq_xmm_xmmm128 Unpcklpd_xmm_xmmm128: |a, b| interleave_low::<V, u64>(a, b);
    Punpckhbw_mm_mmm64 Punpckhbw_xmm_xmmm128: |a, b| interleave_high::<V, u8>(a, b);
    Punpckhwd_mm_mmm64 Punpckhwd_xmm_xmmm128: |a, b| interleave_high::<V, u16>(a, b);
    Punpckhdq_mm_mmm64 Punpckhdq_xmm_xmmm128 Unpckhps_xmm_xmmm128: |a, b| interleave_high::<V, u32>(a, b);
    Punpckhqdq_xmm_xmmm128 Unpckhpd_xmm_xmmm128: |a, b| interleave_high::<V, u64>(a, b);

    Psllw_mm_mmm64 Psllw_mm_imm8 Psllw_xmm_xmmm128 Psllw_xmm_imm8: |a, n| shl::<V, u16>(a, n);
    Pslld_mm_mmm64 Pslld_mm_imm8 Pslld_xmm_xmmm128 Pslld_xmm_imm8: |a, n| shl::<V, u32>(a, n);
    Psllq_mm_mmm64 Psllq_mm_imm8 Psllq_xmm_xmmm128 Psllq_xmm_imm8: |a, n| shl::<V, u64>(a, n);
    Psrlw_mm_mmm64 Psrlw_mm_imm8 Psrlw_xmm_xmmm128 Psrlw_xmm_imm8: |a, n| shr::<V, u16>(a, n);
    Psrld_mm_mmm64 Psrld_mm_imm8 Psrld_xmm_xmmm128 Psrld_xmm_imm8: |a, n| shr::<V, u32>(a, n);
    Psrlq_mm_mmm64 Psrlq_mm_imm8 Psrlq_xmm_xmmm128 Psrlq_xmm_imm8: |a, n| shr::<V, u64>(a, n);
    Psraw_mm_mmm64 Psraw_mm_imm8 Psraw_xmm_xmmm128 Psraw_xmm_imm8: |a, n| shr::<V, i16>(a, n);
    Psrad_mm_mmm64 Psrad_mm_imm8 Psrad_xmm_xmmm128 Psrad_xmm_imm8: |a, n| shr::<V, i32>(a, n);
    Pslldq_xmm_imm8: |a, n| a.shift_bytes(count(n) as i32);
    Psrldq_xmm_imm8: |a, n| a.shift_bytes(-(count(n) as i32));
}

/// The shift count in the low half of `v`. All 64 bits of it matter: a huge one shifts everything out.
fn count<V: Vector>(v: V) -> u32 {
    v.low64().min(255) as u32
}

fn shl<V: Vector, L: Shift>(a: V, n: V) -> V {
    map(a, |x: L| x.shl(count(n)))
}

fn shr<V: Vector, L: Shift>(a: V, n: V) -> V {
    map(a, |x: L| x.shr(count(n)))
}

/// Shifts by any count; right shifts of signed lanes keep the sign.
trait Shift: Lane {
    fn shl(self, n: u32) -> Self;
    fn shr(self, n: u32) -> Self;
}

macro_rules! shift {
    ($($t:ty, $out:expr;)*) => {$(
        impl Shift for $t {
            #[inline(always)]
            fn shl(self, n: u32) -> Self {
                self.checked_shl(n).unwrap_or(0)
            }
            #[inline(always)]
            fn shr(self, n: u32) -> Self {
                self.checked_shr(n).unwrap_or($out(self))
            }
        }
    )*};
}

shift! {
    u16, |_| 0;
    u32, |_| 0;
    u64, |_| 0;
    i16, |x| x >> 15;
    i32, |x| x >> 31;
}
