//! Near control transfer: JMP, CALL, RET, Jcc, LOOPcc, JCXZ (SDM vol. 1, 5.1.7).
//!
//! A 16-bit operand size truncates the target to 16 bits. The target is checked against the limit of CS before
//! anything is committed.

use super::operand::{Mem, Reg, Source, has_memory};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::gpr::ECX;
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// Target of a relative branch.
#[inline(always)]
fn relative<W: Word>(cpu: &Cpu, op: &Op) -> u32 {
    W::from_u32(cpu.next_eip.wrapping_add(op.imm)).to_u32()
}

fn jmp<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.branch(relative::<W>(cpu, op))
}

fn jcc<W: Word, const CC: u8>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    if cpu.regs.flags.condition(CC) { cpu.branch(relative::<W>(cpu, op)) } else { Ok(()) }
}

fn jmp_indirect<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let target = S::get::<W>(cpu, op)?.to_u32();
    cpu.branch(target)
}

fn call_to<W: Word>(cpu: &mut Cpu, target: u32) -> Result<(), Fault> {
    let back = cpu.next_eip;
    cpu.branch(target)?;
    cpu.push(W::from_u32(back))
}

fn call<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    call_to::<W>(cpu, relative::<W>(cpu, op))
}

fn call_indirect<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let target = S::get::<W>(cpu, op)?.to_u32();
    call_to::<W>(cpu, target)
}

fn ret<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let target = cpu.peek::<W>(0)?.to_u32();
    cpu.branch(target)?;
    cpu.drop_stack(W::BYTES + (op.imm & 0xFFFF));
    Ok(())
}

/// LOOPcc: the counter has the address size `C`, the target the operand size `W`.
fn loop_while<W: Word, C: Word>(
    cpu: &mut Cpu,
    op: &Op,
    condition: impl FnOnce(&Cpu) -> bool,
) -> Result<(), Fault> {
    let count = C::from_u32(cpu.regs.gpr[ECX].wrapping_sub(1));
    if count != C::default() && condition(cpu) {
        cpu.branch(relative::<W>(cpu, op))?;
    }
    cpu.set_reg(ECX as u8, count);
    Ok(())
}

fn loop_<W: Word, C: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    loop_while::<W, C>(cpu, op, |_| true)
}
fn loope<W: Word, C: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    loop_while::<W, C>(cpu, op, |cpu| cpu.regs.flags.zf())
}
fn loopne<W: Word, C: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    loop_while::<W, C>(cpu, op, |cpu| !cpu.regs.flags.zf())
}
fn jcxz<W: Word, C: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    if cpu.reg::<C>(ECX as u8) == C::default() { cpu.branch(relative::<W>(cpu, op)) } else { Ok(()) }
}

macro_rules! jumps {
    ($code:expr; $($cc:literal $s16:ident $s32:ident $n16:ident $n32:ident;)*) => {
        match $code {
            $(
                Code::$s16 | Code::$n16 => Some(jcc::<u16, $cc>),
                Code::$s32 | Code::$n32 => Some(jcc::<u32, $cc>),
            )*
            _ => None,
        }
    };
}

fn bind_conditional(code: Code) -> Option<Handler> {
    jumps! { code;
        0x0 Jo_rel8_16 Jo_rel8_32 Jo_rel16 Jo_rel32_32;
        0x1 Jno_rel8_16 Jno_rel8_32 Jno_rel16 Jno_rel32_32;
        0x2 Jb_rel8_16 Jb_rel8_32 Jb_rel16 Jb_rel32_32;
        0x3 Jae_rel8_16 Jae_rel8_32 Jae_rel16 Jae_rel32_32;
        0x4 Je_rel8_16 Je_rel8_32 Je_rel16 Je_rel32_32;
        0x5 Jne_rel8_16 Jne_rel8_32 Jne_rel16 Jne_rel32_32;
        0x6 Jbe_rel8_16 Jbe_rel8_32 Jbe_rel16 Jbe_rel32_32;
        0x7 Ja_rel8_16 Ja_rel8_32 Ja_rel16 Ja_rel32_32;
        0x8 Js_rel8_16 Js_rel8_32 Js_rel16 Js_rel32_32;
        0x9 Jns_rel8_16 Jns_rel8_32 Jns_rel16 Jns_rel32_32;
        0xA Jp_rel8_16 Jp_rel8_32 Jp_rel16 Jp_rel32_32;
        0xB Jnp_rel8_16 Jnp_rel8_32 Jnp_rel16 Jnp_rel32_32;
        0xC Jl_rel8_16 Jl_rel8_32 Jl_rel16 Jl_rel32_32;
        0xD Jge_rel8_16 Jge_rel8_32 Jge_rel16 Jge_rel32_32;
        0xE Jle_rel8_16 Jle_rel8_32 Jle_rel16 Jle_rel32_32;
        0xF Jg_rel8_16 Jg_rel8_32 Jg_rel16 Jg_rel32_32;
    }
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    let handler: Handler = match insn.code() {
        Jmp_rel8_16 | Jmp_rel16 => jmp::<u16>,
        Jmp_rel8_32 | Jmp_rel32_32 => jmp::<u32>,
        Jmp_rm16 => {
            if mem {
                jmp_indirect::<u16, Mem>
            } else {
                jmp_indirect::<u16, Reg<0>>
            }
        }
        Jmp_rm32 => {
            if mem {
                jmp_indirect::<u32, Mem>
            } else {
                jmp_indirect::<u32, Reg<0>>
            }
        }
        Call_rel16 => call::<u16>,
        Call_rel32_32 => call::<u32>,
        Call_rm16 => {
            if mem {
                call_indirect::<u16, Mem>
            } else {
                call_indirect::<u16, Reg<0>>
            }
        }
        Call_rm32 => {
            if mem {
                call_indirect::<u32, Mem>
            } else {
                call_indirect::<u32, Reg<0>>
            }
        }
        Retnw | Retnw_imm16 => ret::<u16>,
        Retnd | Retnd_imm16 => ret::<u32>,
        Loop_rel8_16_CX => loop_::<u16, u16>,
        Loop_rel8_32_CX => loop_::<u32, u16>,
        Loop_rel8_16_ECX => loop_::<u16, u32>,
        Loop_rel8_32_ECX => loop_::<u32, u32>,
        Loope_rel8_16_CX => loope::<u16, u16>,
        Loope_rel8_32_CX => loope::<u32, u16>,
        Loope_rel8_16_ECX => loope::<u16, u32>,
        Loope_rel8_32_ECX => loope::<u32, u32>,
        Loopne_rel8_16_CX => loopne::<u16, u16>,
        Loopne_rel8_32_CX => loopne::<u32, u16>,
        Loopne_rel8_16_ECX => loopne::<u16, u32>,
        Loopne_rel8_32_ECX => loopne::<u32, u32>,
        Jcxz_rel8_16 => jcxz::<u16, u16>,
        Jcxz_rel8_32 => jcxz::<u32, u16>,
        Jecxz_rel8_16 => jcxz::<u16, u32>,
        Jecxz_rel8_32 => jcxz::<u32, u32>,
        code => return bind_conditional(code),
    };
    Some(handler)
}
