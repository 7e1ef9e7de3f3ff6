//! Binary arithmetic and logic: ADD OR ADC SBB AND SUB XOR CMP, TEST, INC DEC NEG NOT (SDM vol. 1, 5.1.2 and 5.1.4).

use super::operand::{Imm, Mem, Place, Reg, Source};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::flags::Flags;
use crate::word::Word;
use iced_x86::{Code, Instruction, OpKind};

/// A two-operand instruction of the first eight opcode rows: the value and the flags.
trait Binary {
    /// CMP and TEST only set flags.
    const WRITES: bool = true;
    fn compute<W: Word>(flags: &mut Flags, a: W, b: W) -> W;
}

macro_rules! binary {
    ($($name:ident $(, writes = $writes:literal)?: |$flags:ident, $a:ident, $b:ident| $body:expr;)*) => {$(
        struct $name;
        impl Binary for $name {
            $(const WRITES: bool = $writes;)?
            #[inline(always)]
            fn compute<W: Word>($flags: &mut Flags, $a: W, $b: W) -> W { $body }
        }
    )*};
}

fn sum<W: Word>(flags: &mut Flags, a: W, b: W, carry: bool) -> W {
    let r = W::from_u32(a.to_u32().wrapping_add(b.to_u32()).wrapping_add(carry as u32));
    flags.set_add(a, b, r);
    r
}

fn difference<W: Word>(flags: &mut Flags, a: W, b: W, borrow: bool) -> W {
    let r = W::from_u32(a.to_u32().wrapping_sub(b.to_u32()).wrapping_sub(borrow as u32));
    flags.set_sub(a, b, r);
    r
}

fn logic<W: Word>(flags: &mut Flags, r: W) -> W {
    flags.set_logic(r);
    r
}

binary! {
    Add: |f, a, b| sum(f, a, b, false);
    Or: |f, a, b| logic(f, a | b);
    Adc: |f, a, b| { let c = f.cf(); sum(f, a, b, c) };
    Sbb: |f, a, b| { let c = f.cf(); difference(f, a, b, c) };
    And: |f, a, b| logic(f, a & b);
    Sub: |f, a, b| difference(f, a, b, false);
    Xor: |f, a, b| logic(f, a ^ b);
    Cmp, writes = false: |f, a, b| difference(f, a, b, false);
    Test, writes = false: |f, a, b| logic(f, a & b);
}

fn binary<O: Binary, W: Word, D: Place, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    if O::WRITES {
        let b = S::get::<W>(cpu, op)?;
        D::modify::<W>(cpu, op, |cpu, a| O::compute(&mut cpu.regs.flags, a, b))
    } else {
        let a = D::get::<W>(cpu, op)?;
        let b = S::get::<W>(cpu, op)?;
        O::compute(&mut cpu.regs.flags, a, b);
        Ok(())
    }
}

/// A one-operand instruction.
trait Unary {
    fn compute<W: Word>(flags: &mut Flags, a: W) -> W;
}

macro_rules! unary {
    ($($name:ident: |$flags:ident, $a:ident| $body:expr;)*) => {$(
        struct $name;
        impl Unary for $name {
            #[inline(always)]
            fn compute<W: Word>($flags: &mut Flags, $a: W) -> W { $body }
        }
    )*};
}

unary! {
    Inc: |f, a| { let cf = f.cf(); let r = sum(f, a, W::from_u32(1), false); f.set_cf(cf); r };
    Dec: |f, a| { let cf = f.cf(); let r = difference(f, a, W::from_u32(1), false); f.set_cf(cf); r };
    Neg: |f, a| difference(f, W::from_u32(0), a, false);
    Not: |_f, a| !a;
}

fn unary<O: Unary, W: Word, D: Place>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    D::modify::<W>(cpu, op, |cpu, a| O::compute(&mut cpu.regs.flags, a))
}

/// Handlers of one binary instruction: `rm, r` / `r, rm` / `rm, imm`, by whether `rm` is memory.
fn rm_r<O: Binary, W: Word>(mem: bool) -> Handler {
    if mem { binary::<O, W, Mem, Reg<1>> } else { binary::<O, W, Reg<0>, Reg<1>> }
}
fn r_rm<O: Binary, W: Word>(mem: bool) -> Handler {
    if mem { binary::<O, W, Reg<0>, Mem> } else { binary::<O, W, Reg<0>, Reg<1>> }
}
fn rm_imm<O: Binary, W: Word>(mem: bool) -> Handler {
    if mem { binary::<O, W, Mem, Imm> } else { binary::<O, W, Reg<0>, Imm> }
}
fn rm<O: Unary, W: Word>(mem: bool) -> Handler {
    if mem { unary::<O, W, Mem> } else { unary::<O, W, Reg<0>> }
}

/// The regular rows of the opcode map: twenty encodings of one operation.
macro_rules! rows {
    ($insn:ident, $mem:ident; $($op:ident: $rm8_r8:ident $rm16_r16:ident $rm32_r32:ident $r8_rm8:ident $r16_rm16:ident
        $r32_rm32:ident $al:ident $ax:ident $eax:ident $rm8_imm8:ident $alias:ident $rm16_imm16:ident $rm32_imm32:ident
        $rm16_imm8:ident $rm32_imm8:ident;)*) => {
        match $insn.code() {
            $(
                Code::$rm8_r8 => Some(rm_r::<$op, u8>($mem)),
                Code::$rm16_r16 => Some(rm_r::<$op, u16>($mem)),
                Code::$rm32_r32 => Some(rm_r::<$op, u32>($mem)),
                Code::$r8_rm8 => Some(r_rm::<$op, u8>($mem)),
                Code::$r16_rm16 => Some(r_rm::<$op, u16>($mem)),
                Code::$r32_rm32 => Some(r_rm::<$op, u32>($mem)),
                Code::$al | Code::$rm8_imm8 | Code::$alias => Some(rm_imm::<$op, u8>($mem)),
                Code::$ax | Code::$rm16_imm16 | Code::$rm16_imm8 => Some(rm_imm::<$op, u16>($mem)),
                Code::$eax | Code::$rm32_imm32 | Code::$rm32_imm8 => Some(rm_imm::<$op, u32>($mem)),
            )*
            Code::Test_rm8_r8 => Some(rm_r::<Test, u8>($mem)),
            Code::Test_rm16_r16 => Some(rm_r::<Test, u16>($mem)),
            Code::Test_rm32_r32 => Some(rm_r::<Test, u32>($mem)),
            Code::Test_AL_imm8 | Code::Test_rm8_imm8 | Code::Test_rm8_imm8_F6r1 => Some(rm_imm::<Test, u8>($mem)),
            Code::Test_AX_imm16 | Code::Test_rm16_imm16 | Code::Test_rm16_imm16_F7r1 => Some(rm_imm::<Test, u16>($mem)),
            Code::Test_EAX_imm32 | Code::Test_rm32_imm32 | Code::Test_rm32_imm32_F7r1 => Some(rm_imm::<Test, u32>($mem)),
            Code::Inc_rm8 => Some(rm::<Inc, u8>($mem)),
            Code::Inc_rm16 | Code::Inc_r16 => Some(rm::<Inc, u16>($mem)),
            Code::Inc_rm32 | Code::Inc_r32 => Some(rm::<Inc, u32>($mem)),
            Code::Dec_rm8 => Some(rm::<Dec, u8>($mem)),
            Code::Dec_rm16 | Code::Dec_r16 => Some(rm::<Dec, u16>($mem)),
            Code::Dec_rm32 | Code::Dec_r32 => Some(rm::<Dec, u32>($mem)),
            Code::Neg_rm8 => Some(rm::<Neg, u8>($mem)),
            Code::Neg_rm16 => Some(rm::<Neg, u16>($mem)),
            Code::Neg_rm32 => Some(rm::<Neg, u32>($mem)),
            Code::Not_rm8 => Some(rm::<Not, u8>($mem)),
            Code::Not_rm16 => Some(rm::<Not, u16>($mem)),
            Code::Not_rm32 => Some(rm::<Not, u32>($mem)),
            _ => None,
        }
    };
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
    rows! { insn, mem;
        Add: Add_rm8_r8 Add_rm16_r16 Add_rm32_r32 Add_r8_rm8 Add_r16_rm16 Add_r32_rm32 Add_AL_imm8 Add_AX_imm16
            Add_EAX_imm32 Add_rm8_imm8 Add_rm8_imm8_82 Add_rm16_imm16 Add_rm32_imm32 Add_rm16_imm8 Add_rm32_imm8;
        Or: Or_rm8_r8 Or_rm16_r16 Or_rm32_r32 Or_r8_rm8 Or_r16_rm16 Or_r32_rm32 Or_AL_imm8 Or_AX_imm16
            Or_EAX_imm32 Or_rm8_imm8 Or_rm8_imm8_82 Or_rm16_imm16 Or_rm32_imm32 Or_rm16_imm8 Or_rm32_imm8;
        Adc: Adc_rm8_r8 Adc_rm16_r16 Adc_rm32_r32 Adc_r8_rm8 Adc_r16_rm16 Adc_r32_rm32 Adc_AL_imm8 Adc_AX_imm16
            Adc_EAX_imm32 Adc_rm8_imm8 Adc_rm8_imm8_82 Adc_rm16_imm16 Adc_rm32_imm32 Adc_rm16_imm8 Adc_rm32_imm8;
        Sbb: Sbb_rm8_r8 Sbb_rm16_r16 Sbb_rm32_r32 Sbb_r8_rm8 Sbb_r16_rm16 Sbb_r32_rm32 Sbb_AL_imm8 Sbb_AX_imm16
            Sbb_EAX_imm32 Sbb_rm8_imm8 Sbb_rm8_imm8_82 Sbb_rm16_imm16 Sbb_rm32_imm32 Sbb_rm16_imm8 Sbb_rm32_imm8;
        And: And_rm8_r8 And_rm16_r16 And_rm32_r32 And_r8_rm8 And_r16_rm16 And_r32_rm32 And_AL_imm8 And_AX_imm16
            And_EAX_imm32 And_rm8_imm8 And_rm8_imm8_82 And_rm16_imm16 And_rm32_imm32 And_rm16_imm8 And_rm32_imm8;
        Sub: Sub_rm8_r8 Sub_rm16_r16 Sub_rm32_r32 Sub_r8_rm8 Sub_r16_rm16 Sub_r32_rm32 Sub_AL_imm8 Sub_AX_imm16
            Sub_EAX_imm32 Sub_rm8_imm8 Sub_rm8_imm8_82 Sub_rm16_imm16 Sub_rm32_imm32 Sub_rm16_imm8 Sub_rm32_imm8;
        Xor: Xor_rm8_r8 Xor_rm16_r16 Xor_rm32_r32 Xor_r8_rm8 Xor_r16_rm16 Xor_r32_rm32 Xor_AL_imm8 Xor_AX_imm16
            Xor_EAX_imm32 Xor_rm8_imm8 Xor_rm8_imm8_82 Xor_rm16_imm16 Xor_rm32_imm32 Xor_rm16_imm8 Xor_rm32_imm8;
        Cmp: Cmp_rm8_r8 Cmp_rm16_r16 Cmp_rm32_r32 Cmp_r8_rm8 Cmp_r16_rm16 Cmp_r32_rm32 Cmp_AL_imm8 Cmp_AX_imm16
            Cmp_EAX_imm32 Cmp_rm8_imm8 Cmp_rm8_imm8_82 Cmp_rm16_imm16 Cmp_rm32_imm32 Cmp_rm16_imm8 Cmp_rm32_imm8;
    }
}
