//! The MMX registers as a register file (SDM vol. 1, 9.2; vol. 3, 12.1).

use super::operand::{File, load};
use crate::Cpu;
use crate::decode::Op;
use crate::fault::Fault;
use crate::regs::cr0;
use crate::seg::SegReg;

/// MM0 to MM7.
pub(super) struct Mm;

impl File for Mm {
    type Vector = u64;

    #[inline(always)]
    fn ready(cpu: &mut Cpu) -> Result<(), Fault> {
        if cpu.regs.cr0 & cr0::EM != 0 {
            return Err(Fault::UD);
        }
        if cpu.regs.cr0 & cr0::TS != 0 { Err(Fault::NM) } else { Ok(()) }
    }
    #[inline(always)]
    fn get(cpu: &Cpu, n: u8) -> u64 {
        cpu.simd.mm[n as usize & 7]
    }
    #[inline(always)]
    fn set(cpu: &mut Cpu, n: u8, value: u64) {
        cpu.simd.mm[n as usize & 7] = value;
    }
    #[inline(always)]
    fn load(cpu: &mut Cpu, op: &Op) -> Result<u64, Fault> {
        load(cpu, op)
    }
    fn probe_write(cpu: &mut Cpu, seg: SegReg, offset: u32) -> Result<(), Fault> {
        cpu.probe_write::<u64>(seg, offset)
    }
}
