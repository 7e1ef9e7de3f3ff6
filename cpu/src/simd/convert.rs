//! Conversions between integers, single and double precision (SDM vol. 1, 10.4.3, 11.4.1.6), packed and scalar, to
//! and from all three register files.

use super::exception::{Env, flag};
use super::lanes::{Lane, Vector, lane, with_lane};
use super::mmx::Mm;
use super::operand::{File, General, Mem, MemLow, Reg, Source, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::softfloat::{Binary, Number, Rounding};
use iced_x86::{Code, Instruction, OpKind};

/// What anything that does not fit an integer becomes.
const INDEFINITE: u32 = 0x8000_0000;

/// A conversion of one value.
trait Conversion {
    type From: Lane;
    type To: Lane;
    fn apply(env: &mut Env, x: Self::From) -> Self::To;
}

macro_rules! conversions {
    ($($name:ident $from:ty => $to:ty: |$env:ident, $x:ident| $body:expr;)*) => {$(
        struct $name;
        impl Conversion for $name {
            type From = $from;
            type To = $to;
            fn apply($env: &mut Env, $x: $from) -> $to { $body }
        }
    )*};
}

conversions! {
    IntegerToSingle i32 => u32: |env, x| from_integer(env, x);
    IntegerToDouble i32 => u64: |env, x| from_integer(env, x);
    SingleToInteger u32 => u32: |env, x| { let mode = env.rounding(); to_integer(env, x, mode) };
    DoubleToInteger u64 => u32: |env, x| { let mode = env.rounding(); to_integer(env, x, mode) };
    TruncateSingle u32 => u32: |env, x| to_integer(env, x, Rounding::TowardZero);
    TruncateDouble u64 => u32: |env, x| to_integer(env, x, Rounding::TowardZero);
    SingleToDouble u32 => u64: |env, x| change_format(env, x);
    DoubleToSingle u64 => u32: |env, x| change_format(env, x);
}

fn from_integer<L: Binary>(env: &mut Env, x: i32) -> L {
    match Number::from_integer(x as i64) {
        Some(number) => env.round(number),
        None => L::zero(false),
    }
}

fn to_integer<L: Binary>(env: &mut Env, x: L, mode: Rounding) -> u32 {
    let x = env.operand(x);
    if x.is_zero() {
        return 0;
    }
    let limit = 0x7FFF_FFFF + x.is_negative() as u128;
    // Far too large numbers are not even rounded.
    let fits = x.unpack().filter(|number| number.exponent < 32).map(|number| number.round_at(0, mode));
    match fits {
        Some((magnitude, inexact, _)) if magnitude <= limit => {
            env.raise(if inexact { flag::INEXACT } else { 0 });
            if x.is_negative() { (magnitude as u32).wrapping_neg() } else { magnitude as u32 }
        }
        _ => {
            env.raise(flag::INVALID);
            INDEFINITE
        }
    }
}

fn change_format<A: Binary, B: Binary>(env: &mut Env, x: A) -> B {
    let x = env.operand(x);
    if x.is_nan() {
        env.raise(if x.is_signaling() { flag::INVALID } else { 0 });
        // The high ends of the fractions coincide.
        let fraction = (x.quieted().to_u64() & (A::QUIET * 2 - 1)) << (63 - A::FRACTION_BITS);
        return B::from_u64(B::infinity(x.is_negative()).to_u64() | fraction >> (63 - B::FRACTION_BITS));
    }
    env.note_denormal(x.is_denormal());
    match x.unpack() {
        Some(number) => env.round(number),
        None if x.is_zero() => B::zero(x.is_negative()),
        None => B::infinity(x.is_negative()),
    }
}

/// The low `COUNT` lanes, to a SIMD register. Its other bits stay if `KEEP`, else they are cleared.
fn convert<C, A, B, S, const COUNT: usize, const KEEP: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault>
where
    C: Conversion,
    A: File,
    B: File,
    S: Source<A>,
{
    Xmm::ready(cpu)?;
    A::ready(cpu)?;
    B::ready(cpu)?;
    let source = S::get(cpu, op)?;
    let mut env = Env::new(cpu);
    let mut result = if KEEP { B::get(cpu, op.reg[0]) } else { B::Vector::ZERO };
    for i in 0..COUNT {
        result = with_lane(result, i, C::apply(&mut env, lane(source, i)));
    }
    // The MMX registers are entered even if the conversion then faults.
    A::touch(cpu);
    B::touch(cpu);
    env.deliver(cpu)?;
    B::set(cpu, op.reg[0], result);
    Ok(())
}

/// Lane 0, to a general register.
fn convert_to_general<C: Conversion<To = u32>, S: Source<Xmm>>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let source = S::get(cpu, op)?;
    let mut env = Env::new(cpu);
    let result = C::apply(&mut env, lane(source, 0));
    env.deliver(cpu)?;
    cpu.set_reg(op.reg[0], result);
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = insn.op1_kind() == OpKind::Memory;
    // register, memory operand; conversion, source and destination files, lanes, other bits
    macro_rules! pick {
        ($reg:ty, $mem:ty; $c:ty, $a:ty, $b:ty, $count:literal, $keep:literal) => {
            if mem {
                convert::<$c, $a, $b, $mem, $count, $keep>
            } else {
                convert::<$c, $a, $b, $reg, $count, $keep>
            }
        };
        ($mem:ty; $c:ty) => {
            if mem { convert_to_general::<$c, $mem> } else { convert_to_general::<$c, Reg<1>> }
        };
    }
    Some(match insn.code() {
        Code::Cvtdq2ps_xmm_xmmm128 => pick!(Reg<1>, Mem; IntegerToSingle, Xmm, Xmm, 4, false),
        Code::Cvtps2dq_xmm_xmmm128 => pick!(Reg<1>, Mem; SingleToInteger, Xmm, Xmm, 4, false),
        Code::Cvttps2dq_xmm_xmmm128 => pick!(Reg<1>, Mem; TruncateSingle, Xmm, Xmm, 4, false),
        Code::Cvtdq2pd_xmm_xmmm64 => pick!(Reg<1>, MemLow<u64>; IntegerToDouble, Xmm, Xmm, 2, false),
        Code::Cvtpd2dq_xmm_xmmm128 => pick!(Reg<1>, Mem; DoubleToInteger, Xmm, Xmm, 2, false),
        Code::Cvttpd2dq_xmm_xmmm128 => pick!(Reg<1>, Mem; TruncateDouble, Xmm, Xmm, 2, false),
        Code::Cvtps2pd_xmm_xmmm64 => pick!(Reg<1>, MemLow<u64>; SingleToDouble, Xmm, Xmm, 2, false),
        Code::Cvtpd2ps_xmm_xmmm128 => pick!(Reg<1>, Mem; DoubleToSingle, Xmm, Xmm, 2, false),
        Code::Cvtss2sd_xmm_xmmm32 => pick!(Reg<1>, MemLow<u32>; SingleToDouble, Xmm, Xmm, 1, true),
        Code::Cvtsd2ss_xmm_xmmm64 => pick!(Reg<1>, MemLow<u64>; DoubleToSingle, Xmm, Xmm, 1, true),
        Code::Cvtsi2ss_xmm_rm32 => pick!(General, MemLow<u32>; IntegerToSingle, Xmm, Xmm, 1, true),
        Code::Cvtsi2sd_xmm_rm32 => pick!(General, MemLow<u32>; IntegerToDouble, Xmm, Xmm, 1, true),
        // From memory, no MMX register is involved.
        Code::Cvtpi2ps_xmm_mmm64 if mem => convert::<IntegerToSingle, Xmm, Xmm, MemLow<u64>, 2, true>,
        Code::Cvtpi2ps_xmm_mmm64 => convert::<IntegerToSingle, Mm, Xmm, Reg<1>, 2, true>,
        Code::Cvtpi2pd_xmm_mmm64 if mem => convert::<IntegerToDouble, Xmm, Xmm, MemLow<u64>, 2, false>,
        Code::Cvtpi2pd_xmm_mmm64 => convert::<IntegerToDouble, Mm, Xmm, Reg<1>, 2, false>,
        Code::Cvtps2pi_mm_xmmm64 => pick!(Reg<1>, MemLow<u64>; SingleToInteger, Xmm, Mm, 2, false),
        Code::Cvttps2pi_mm_xmmm64 => pick!(Reg<1>, MemLow<u64>; TruncateSingle, Xmm, Mm, 2, false),
        Code::Cvtpd2pi_mm_xmmm128 => pick!(Reg<1>, Mem; DoubleToInteger, Xmm, Mm, 2, false),
        Code::Cvttpd2pi_mm_xmmm128 => pick!(Reg<1>, Mem; TruncateDouble, Xmm, Mm, 2, false),
        Code::Cvtss2si_r32_xmmm32 => pick!(MemLow<u32>; SingleToInteger),
        Code::Cvttss2si_r32_xmmm32 => pick!(MemLow<u32>; TruncateSingle),
        Code::Cvtsd2si_r32_xmmm64 => pick!(MemLow<u64>; DoubleToInteger),
        Code::Cvttsd2si_r32_xmmm64 => pick!(MemLow<u64>; TruncateDouble),
        _ => return None,
    })
}
