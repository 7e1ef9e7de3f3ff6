//! The MMX registers (SDM vol. 1, 9.2, 9.5; vol. 3, 12.1-12.2): the significands of the x87 registers.
//!
//! Every MMX instruction makes R0 the top of the stack and all registers valid (EMMS: empty). A written register gets
//! an exponent of all ones, so that the x87 takes it for a NaN or infinity.

use super::operand::{File, load};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::fpu::{Extended, status};
use crate::regs::cr0;
use iced_x86::{Code, Instruction};

/// MM0 to MM7.
pub(super) struct Mm;

impl File for Mm {
    type Vector = u64;

    #[inline(always)]
    fn ready(cpu: &mut Cpu) -> Result<(), Fault> {
        if cpu.regs.cr0 & cr0::EM != 0 {
            return Err(Fault::UD);
        }
        if cpu.task_switched() {
            return Err(Fault::NM);
        }
        cpu.wait_for_float_error()
    }
    #[inline(always)]
    fn get(cpu: &Cpu, n: u8) -> u64 {
        cpu.fpu.regs[n as usize & 7].significand
    }
    #[inline(always)]
    fn set(cpu: &mut Cpu, n: u8, value: u64) {
        cpu.fpu.regs[n as usize & 7] = Extended { significand: value, sign_exponent: 0xFFFF };
        Self::touch(cpu);
    }
    #[inline(always)]
    fn touch(cpu: &mut Cpu) {
        cpu.fpu.status &= !(7 << status::TOP_SHIFT);
        cpu.fpu.in_use = 0xFF;
    }
    #[inline(always)]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u64, Fault> {
        load(cpu, op)
    }
}

fn emms(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    Mm::ready(cpu)?;
    Mm::touch(cpu);
    cpu.fpu.in_use = 0;
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    match insn.code() {
        Code::Emms => Some(emms),
        _ => None,
    }
}
