//! Cache control and ordering (SDM vol. 1, 10.4.6, 11.4.4), and the byte-masked stores.
//!
//! There is one processor and no cache: fences do nothing, CLFLUSH only checks its operand like a read, and prefetches
//! are the NOPs they were before SSE.

use super::lanes::{Vector, lane};
use super::mmx::Mm;
use super::operand::{File, Xmm};
use crate::Cpu;
use crate::decode::{Handler, Op, Prefix};
use crate::fault::Fault;
use crate::regs::gpr;
use iced_x86::{Code, Instruction, Mnemonic};

fn fence(_: &mut Cpu, _: &Op) -> Result<(), Fault> {
    Ok(())
}

fn clflush(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.load::<u8>(op.ea.seg, offset).map(|_| ())
}

/// MASKMOVQ, MASKMOVDQU: the bytes of register 1 whose byte in register 2 has its top bit set, to `seg:[(E)DI]`. The
/// whole operand must be writable, whatever the mask (which the manual leaves open); it is checked for
/// alignment by quadwords, as on silicon.
fn masked_store<F: File>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    F::ready(cpu)?;
    // Processors enter the MMX registers even if the store then faults.
    F::touch(cpu);
    let edi = cpu.regs.gpr[gpr::EDI];
    let offset = if op.has(Prefix::A16) { edi & 0xFFFF } else { edi };
    let (data, mask) = (F::get(cpu, op.reg[1]), F::get(cpu, op.reg[2]));
    for i in (0..F::Vector::BYTES).step_by(8) {
        cpu.probe_write::<u64>(op.ea.seg, offset.wrapping_add(i as u32))?;
    }
    for i in 0..F::Vector::BYTES {
        if lane::<_, i8>(mask, i) < 0 {
            cpu.store(op.ea.seg, offset.wrapping_add(i as u32), lane::<_, u8>(data, i))?;
        }
    }
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    match insn.code() {
        Code::Clflush_m8 => Some(clflush),
        Code::Maskmovq_rDI_mm_mm => Some(masked_store::<Mm>),
        Code::Maskmovdqu_rDI_xmm_xmm => Some(masked_store::<Xmm>),
        // Each has eight encodings.
        _ if matches!(insn.mnemonic(), Mnemonic::Sfence | Mnemonic::Lfence | Mnemonic::Mfence) => Some(fence),
        _ => None,
    }
}
