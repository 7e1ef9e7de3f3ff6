//! Data transfer: MOV, MOVZX/MOVSX, XCHG, BSWAP, LEA, XLAT, CMOVcc, sign extensions, LAHF/SAHF (SDM vol. 1, 5.1.1).

use super::operand::{Imm, Mem, Place, Reg, Source, has_memory};
use crate::Cpu;
use crate::decode::{Ea, Handler, Op};
use crate::fault::Fault;
use crate::flags;
use crate::regs::gpr::{EAX, EDX};
use crate::word::Word;
use iced_x86::{Code, Instruction, Mnemonic};

fn mov<W: Word, D: Place, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = S::get::<W>(cpu, op)?;
    D::set(cpu, op, value)
}

fn movzx<W: Word, F: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = S::get::<F>(cpu, op)?.to_u32();
    cpu.set_reg(op.reg[0], W::from_u32(value));
    Ok(())
}

fn movsx<W: Word, F: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = S::get::<F>(cpu, op)?.sign_extend();
    cpu.set_reg(op.reg[0], W::from_u32(value));
    Ok(())
}

/// The memory form is locked with or without the prefix; it reads and writes as one access.
fn xchg<W: Word, D: Place>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let mut old = W::default();
    let new = cpu.reg::<W>(op.reg[1]);
    D::modify::<W>(cpu, op, |_, value| {
        old = value;
        new
    })?;
    cpu.set_reg(op.reg[1], old);
    Ok(())
}

/// The condition is the low half of the opcode's second byte; the source is read either way.
fn cmov<W: Word, S: Source, const CC: u8>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = S::get::<W>(cpu, op)?;
    if cpu.regs.flags.condition(CC) {
        cpu.set_reg(op.reg[0], value);
    }
    Ok(())
}

fn setcc<D: Place, const CC: u8>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = cpu.regs.flags.condition(CC) as u8;
    D::set(cpu, op, value)
}

fn lea<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.set_reg(op.reg[0], W::from_u32(offset));
    Ok(())
}

/// AL := seg:[(E)BX + AL].
fn xlat(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let table = Ea { index: Ea::NONE, ..op.ea };
    let offset = table.offset(cpu).wrapping_add(cpu.regs.gpr[EAX] & 0xFF) & op.ea.mask;
    let value: u8 = cpu.load(op.ea.seg, offset)?;
    cpu.set_reg(0, value);
    Ok(())
}

fn bswap32(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = cpu.reg::<u32>(op.reg[0]).swap_bytes();
    cpu.set_reg(op.reg[0], value);
    Ok(())
}

/// Undefined by the manual; processors write zero.
fn bswap16(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.set_reg(op.reg[0], 0u16);
    Ok(())
}

fn cbw(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let value = cpu.reg::<u8>(0).sign_extend() as u16;
    cpu.set_reg(0, value);
    Ok(())
}

fn cwde(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.regs.gpr[EAX] = cpu.reg::<u16>(0).sign_extend();
    Ok(())
}

fn cwd(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let sign = (cpu.reg::<u16>(0).sign_extend() >> 16) as u16;
    cpu.set_reg(EDX as u8, sign);
    Ok(())
}

fn cdq(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.regs.gpr[EDX] = ((cpu.regs.gpr[EAX] as i32) >> 31) as u32;
    Ok(())
}

const AH_FLAGS: u32 = flags::SF | flags::ZF | flags::AF | flags::PF | flags::CF;

fn lahf(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let value = (cpu.regs.flags.get() & AH_FLAGS | 2) as u8;
    cpu.set_reg(4, value);
    Ok(())
}

fn sahf(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let value = cpu.reg::<u8>(4) as u32;
    let arith = cpu.regs.flags.arith();
    cpu.regs.flags.set_arith(arith & flags::OF | value & AH_FLAGS);
    Ok(())
}

/// SALC (undocumented D6): AL := CF ? 0xFF : 0.
fn salc(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let value = if cpu.regs.flags.cf() { 0xFFu8 } else { 0 };
    cpu.set_reg(0, value);
    Ok(())
}

fn nop(_: &mut Cpu, _: &Op) -> Result<(), Fault> {
    Ok(())
}

/// Picks the register or the memory form of a handler whose `rm` operand is the source.
macro_rules! from_rm {
    ($mem:expr, $f:ident::<$($t:ty),*>) => {
        if $mem { $f::<$($t,)* Mem> as Handler } else { $f::<$($t,)* Reg<1>> as Handler }
    };
}

/// One line for each condition: CMOVcc in both widths, and SETcc.
macro_rules! conditions {
    ($code:expr, $mem:expr; $($cc:literal $w16:ident $w32:ident $set:ident;)*) => {
        match $code {
            $(
                Code::$w16 => Some(if $mem { cmov::<u16, Mem, $cc> } else { cmov::<u16, Reg<1>, $cc> }),
                Code::$w32 => Some(if $mem { cmov::<u32, Mem, $cc> } else { cmov::<u32, Reg<1>, $cc> }),
                Code::$set => Some(if $mem { setcc::<Mem, $cc> } else { setcc::<Reg<0>, $cc> }),
            )*
            _ => None,
        }
    };
}

fn bind_conditional(code: Code, mem: bool) -> Option<Handler> {
    conditions! { code, mem;
        0x0 Cmovo_r16_rm16 Cmovo_r32_rm32 Seto_rm8;
        0x1 Cmovno_r16_rm16 Cmovno_r32_rm32 Setno_rm8;
        0x2 Cmovb_r16_rm16 Cmovb_r32_rm32 Setb_rm8;
        0x3 Cmovae_r16_rm16 Cmovae_r32_rm32 Setae_rm8;
        0x4 Cmove_r16_rm16 Cmove_r32_rm32 Sete_rm8;
        0x5 Cmovne_r16_rm16 Cmovne_r32_rm32 Setne_rm8;
        0x6 Cmovbe_r16_rm16 Cmovbe_r32_rm32 Setbe_rm8;
        0x7 Cmova_r16_rm16 Cmova_r32_rm32 Seta_rm8;
        0x8 Cmovs_r16_rm16 Cmovs_r32_rm32 Sets_rm8;
        0x9 Cmovns_r16_rm16 Cmovns_r32_rm32 Setns_rm8;
        0xA Cmovp_r16_rm16 Cmovp_r32_rm32 Setp_rm8;
        0xB Cmovnp_r16_rm16 Cmovnp_r32_rm32 Setnp_rm8;
        0xC Cmovl_r16_rm16 Cmovl_r32_rm32 Setl_rm8;
        0xD Cmovge_r16_rm16 Cmovge_r32_rm32 Setge_rm8;
        0xE Cmovle_r16_rm16 Cmovle_r32_rm32 Setle_rm8;
        0xF Cmovg_r16_rm16 Cmovg_r32_rm32 Setg_rm8;
    }
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    let handler: Handler = match insn.code() {
        Mov_rm8_r8 => {
            if mem {
                mov::<u8, Mem, Reg<1>>
            } else {
                mov::<u8, Reg<0>, Reg<1>>
            }
        }
        Mov_rm16_r16 => {
            if mem {
                mov::<u16, Mem, Reg<1>>
            } else {
                mov::<u16, Reg<0>, Reg<1>>
            }
        }
        Mov_rm32_r32 => {
            if mem {
                mov::<u32, Mem, Reg<1>>
            } else {
                mov::<u32, Reg<0>, Reg<1>>
            }
        }
        Mov_r8_rm8 => {
            if mem {
                mov::<u8, Reg<0>, Mem>
            } else {
                mov::<u8, Reg<0>, Reg<1>>
            }
        }
        Mov_r16_rm16 => {
            if mem {
                mov::<u16, Reg<0>, Mem>
            } else {
                mov::<u16, Reg<0>, Reg<1>>
            }
        }
        Mov_r32_rm32 => {
            if mem {
                mov::<u32, Reg<0>, Mem>
            } else {
                mov::<u32, Reg<0>, Reg<1>>
            }
        }
        Mov_AL_moffs8 => mov::<u8, Reg<0>, Mem>,
        Mov_AX_moffs16 => mov::<u16, Reg<0>, Mem>,
        Mov_EAX_moffs32 => mov::<u32, Reg<0>, Mem>,
        Mov_moffs8_AL => mov::<u8, Mem, Reg<1>>,
        Mov_moffs16_AX => mov::<u16, Mem, Reg<1>>,
        Mov_moffs32_EAX => mov::<u32, Mem, Reg<1>>,
        Mov_r8_imm8 => mov::<u8, Reg<0>, Imm>,
        Mov_r16_imm16 => mov::<u16, Reg<0>, Imm>,
        Mov_r32_imm32 => mov::<u32, Reg<0>, Imm>,
        Mov_rm8_imm8 => {
            if mem {
                mov::<u8, Mem, Imm>
            } else {
                mov::<u8, Reg<0>, Imm>
            }
        }
        Mov_rm16_imm16 => {
            if mem {
                mov::<u16, Mem, Imm>
            } else {
                mov::<u16, Reg<0>, Imm>
            }
        }
        Mov_rm32_imm32 => {
            if mem {
                mov::<u32, Mem, Imm>
            } else {
                mov::<u32, Reg<0>, Imm>
            }
        }
        Movzx_r16_rm8 => from_rm!(mem, movzx::<u16, u8>),
        Movzx_r32_rm8 => from_rm!(mem, movzx::<u32, u8>),
        Movzx_r16_rm16 => from_rm!(mem, movzx::<u16, u16>),
        Movzx_r32_rm16 => from_rm!(mem, movzx::<u32, u16>),
        Movsx_r16_rm8 => from_rm!(mem, movsx::<u16, u8>),
        Movsx_r32_rm8 => from_rm!(mem, movsx::<u32, u8>),
        Movsx_r16_rm16 => from_rm!(mem, movsx::<u16, u16>),
        Movsx_r32_rm16 => from_rm!(mem, movsx::<u32, u16>),
        Xchg_rm8_r8 => {
            if mem {
                xchg::<u8, Mem>
            } else {
                xchg::<u8, Reg<0>>
            }
        }
        Xchg_rm16_r16 => {
            if mem {
                xchg::<u16, Mem>
            } else {
                xchg::<u16, Reg<0>>
            }
        }
        Xchg_rm32_r32 => {
            if mem {
                xchg::<u32, Mem>
            } else {
                xchg::<u32, Reg<0>>
            }
        }
        Xchg_r16_AX => xchg::<u16, Reg<0>>,
        Xchg_r32_EAX => xchg::<u32, Reg<0>>,
        Lea_r16_m => lea::<u16>,
        Lea_r32_m => lea::<u32>,
        Xlat_m8 => xlat,
        Bswap_r32 => bswap32,
        Bswap_r16 => bswap16,
        Cbw => cbw,
        Cwde => cwde,
        Cwd => cwd,
        Cdq => cdq,
        Lahf => lahf,
        Sahf => sahf,
        Salc => salc,
        _ if matches!(insn.mnemonic(), Mnemonic::Nop | Mnemonic::Reservednop | Mnemonic::Pause) => nop,
        code => return bind_conditional(code, mem),
    };
    Some(handler)
}
