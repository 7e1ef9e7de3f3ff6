//! LDMXCSR and STMXCSR (SDM vol. 1, 10.2.3, 10.4.3).

use super::operand::{File, Xmm, load, store};
use super::state::mxcsr;
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use iced_x86::{Code, Instruction};

fn ldmxcsr(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    let value: u32 = load(cpu, op)?;
    if value & !mxcsr::VALID != 0 {
        return Err(Fault::GP0);
    }
    cpu.simd.mxcsr = value;
    Ok(())
}

fn stmxcsr(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    Xmm::ready(cpu)?;
    store(cpu, op, cpu.simd.mxcsr)
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    match insn.code() {
        Code::Ldmxcsr_m32 => Some(ldmxcsr),
        Code::Stmxcsr_m32 => Some(stmxcsr),
        _ => None,
    }
}
