//! MUL IMUL DIV IDIV (SDM vol. 1, 5.1.2). SF ZF AF PF after a multiplication, and all flags after a division, are
//! undefined; they are left as processors leave them.

use super::operand::{Imm, Mem, Reg, Source, has_memory};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::gpr::{EAX, EDX};
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// The double-width accumulator: AX, DX:AX or EDX:EAX.
fn accumulator<W: Word>(cpu: &Cpu) -> u64 {
    if W::BITS == 8 {
        cpu.reg::<u16>(EAX as u8) as u64
    } else {
        cpu.reg::<W>(EAX as u8).to_u64() | cpu.reg::<W>(EDX as u8).to_u64() << W::BITS
    }
}

/// Low half to (E)AX or AL, high half to (E)DX or AH.
fn set_accumulator<W: Word>(cpu: &mut Cpu, low: W, high: W) {
    cpu.set_reg(EAX as u8, low);
    cpu.set_reg(if W::BITS == 8 { 4 } else { EDX as u8 }, high);
}

fn set_product_flags<W: Word>(cpu: &mut Cpu, low: W, overflow: bool) {
    cpu.regs.flags.set_szp(low);
    cpu.regs.flags.set_af(false);
    cpu.regs.flags.set_cf_of(overflow, overflow);
}

fn signed<W: Word>(value: W) -> i64 {
    value.sign_extend() as i32 as i64
}

fn mul<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let b = S::get::<W>(cpu, op)?;
    let product = cpu.reg::<W>(EAX as u8).to_u64() * b.to_u64();
    let high = W::from_u64(product >> W::BITS);
    set_accumulator(cpu, W::from_u64(product), high);
    set_product_flags(cpu, W::from_u64(product), high != W::default());
    Ok(())
}

fn imul_accumulator<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let b = S::get::<W>(cpu, op)?;
    let product = signed(cpu.reg::<W>(EAX as u8)) * signed(b);
    let low = W::from_u64(product as u64);
    set_accumulator(cpu, low, W::from_u64((product >> W::BITS) as u64));
    set_product_flags(cpu, low, signed(low) != product);
    Ok(())
}

/// IMUL r, rm (the other factor is r) and IMUL r, rm, imm.
fn imul<W: Word, A: Source, B: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let a = A::get::<W>(cpu, op)?;
    let b = B::get::<W>(cpu, op)?;
    let product = signed(a) * signed(b);
    let low = W::from_u64(product as u64);
    cpu.set_reg(op.reg[0], low);
    set_product_flags(cpu, low, signed(low) != product);
    Ok(())
}

fn div<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let divisor = S::get::<W>(cpu, op)?.to_u64();
    let dividend = accumulator::<W>(cpu);
    let quotient = dividend.checked_div(divisor).ok_or(Fault::DE)?;
    if quotient >> W::BITS != 0 {
        return Err(Fault::DE);
    }
    set_accumulator(cpu, W::from_u64(quotient), W::from_u64(dividend % divisor));
    Ok(())
}

fn idiv<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let divisor = signed(S::get::<W>(cpu, op)?);
    let unused = 64 - 2 * W::BITS;
    let dividend = ((accumulator::<W>(cpu) << unused) as i64) >> unused;
    let quotient = dividend.checked_div(divisor).ok_or(Fault::DE)?;
    let low = W::from_u64(quotient as u64);
    if signed(low) != quotient {
        return Err(Fault::DE);
    }
    set_accumulator(cpu, low, W::from_u64(dividend.wrapping_rem(divisor) as u64));
    Ok(())
}

macro_rules! by_source {
    ($mem:expr, $f:ident::<$w:ty>) => {
        if $mem { $f::<$w, Mem> as Handler } else { $f::<$w, Reg<0>> as Handler }
    };
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    Some(match insn.code() {
        Mul_rm8 => by_source!(mem, mul::<u8>),
        Mul_rm16 => by_source!(mem, mul::<u16>),
        Mul_rm32 => by_source!(mem, mul::<u32>),
        Imul_rm8 => by_source!(mem, imul_accumulator::<u8>),
        Imul_rm16 => by_source!(mem, imul_accumulator::<u16>),
        Imul_rm32 => by_source!(mem, imul_accumulator::<u32>),
        Imul_r16_rm16 => {
            if mem {
                imul::<u16, Reg<0>, Mem>
            } else {
                imul::<u16, Reg<0>, Reg<1>>
            }
        }
        Imul_r32_rm32 => {
            if mem {
                imul::<u32, Reg<0>, Mem>
            } else {
                imul::<u32, Reg<0>, Reg<1>>
            }
        }
        Imul_r16_rm16_imm16 | Imul_r16_rm16_imm8 => {
            if mem {
                imul::<u16, Mem, Imm>
            } else {
                imul::<u16, Reg<1>, Imm>
            }
        }
        Imul_r32_rm32_imm32 | Imul_r32_rm32_imm8 => {
            if mem {
                imul::<u32, Mem, Imm>
            } else {
                imul::<u32, Reg<1>, Imm>
            }
        }
        Div_rm8 => by_source!(mem, div::<u8>),
        Div_rm16 => by_source!(mem, div::<u16>),
        Div_rm32 => by_source!(mem, div::<u32>),
        Idiv_rm8 => by_source!(mem, idiv::<u8>),
        Idiv_rm16 => by_source!(mem, idiv::<u16>),
        Idiv_rm32 => by_source!(mem, idiv::<u32>),
        _ => return None,
    })
}
