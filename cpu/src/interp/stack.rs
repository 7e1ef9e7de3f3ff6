//! The stack: PUSH POP PUSHA POPA ENTER LEAVE (SDM vol. 1, 6.2 and 6.5). Segment registers are in `system`.

use super::operand::{Imm, Mem, Place, Reg, Source, has_memory};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::gpr::{EBP, ESP};
use crate::seg::SegReg;
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// PUSH ESP stores the value before the push.
fn push<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = S::get::<W>(cpu, op)?;
    cpu.push(value)
}

/// POP ESP leaves the popped value.
fn pop_reg<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = cpu.peek::<W>(0)?;
    cpu.drop_stack(W::BYTES);
    Reg::<0>::set(cpu, op, value)
}

/// An address based on ESP uses ESP after the pop.
fn pop_mem<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = cpu.peek::<W>(0)?;
    let esp = cpu.regs.gpr[ESP];
    cpu.drop_stack(W::BYTES);
    let offset = op.ea.offset(cpu);
    let stored = cpu.store(op.ea.seg, offset, value);
    if stored.is_err() {
        cpu.regs.gpr[ESP] = esp;
    }
    stored
}

/// Pushes EAX ECX EDX EBX, the old ESP, EBP ESI EDI.
fn pusha<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let mask = cpu.regs.stack_mask();
    let mut sp = cpu.sp();
    for n in 0..8u8 {
        sp = sp.wrapping_sub(W::BYTES) & mask;
        let value = cpu.reg::<W>(n);
        cpu.store(SegReg::Ss, sp, value)?;
    }
    cpu.set_sp(sp);
    Ok(())
}

/// Pops them in reverse, throwing ESP away.
fn popa<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let mut values = [W::default(); 8];
    for (n, value) in values.iter_mut().enumerate() {
        *value = cpu.peek(n as u32 * W::BYTES)?;
    }
    for (n, value) in (0..8u8).rev().zip(values) {
        if n as usize != ESP {
            cpu.set_reg(n, value);
        }
    }
    cpu.drop_stack(8 * W::BYTES);
    Ok(())
}

/// ENTER size, level: builds a frame with copies of `level - 1` outer frame pointers.
fn enter<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let (size, level) = (op.imm & 0xFFFF, (op.imm2 & 31) as u32);
    let mask = cpu.regs.stack_mask();
    let mut sp = cpu.sp().wrapping_sub(W::BYTES) & mask;
    let ebp = cpu.reg::<W>(EBP as u8);
    cpu.store(SegReg::Ss, sp, ebp)?;
    // The frame pointer is all of ESP, of which a 16-bit stack moves the low half.
    let frame = W::from_u32(cpu.regs.gpr[ESP] & !mask | sp);
    if level > 0 {
        let mut outer = cpu.regs.gpr[EBP];
        for _ in 1..level {
            outer = outer.wrapping_sub(W::BYTES);
            let pointer: W = cpu.load(SegReg::Ss, outer & mask)?;
            sp = sp.wrapping_sub(W::BYTES) & mask;
            cpu.store(SegReg::Ss, sp, pointer)?;
        }
        sp = sp.wrapping_sub(W::BYTES) & mask;
        cpu.store(SegReg::Ss, sp, frame)?;
    }
    sp = sp.wrapping_sub(size) & mask;
    // The new top must be writable even though nothing is stored there (SDM vol. 2, ENTER); it need not be aligned.
    cpu.probe_write::<u8>(SegReg::Ss, sp)?;
    cpu.set_reg(EBP as u8, frame);
    cpu.set_sp(sp);
    Ok(())
}

fn leave<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let mask = cpu.regs.stack_mask();
    let frame = cpu.regs.gpr[EBP] & mask;
    let value: W = cpu.load(SegReg::Ss, frame)?;
    cpu.set_sp(frame.wrapping_add(W::BYTES));
    cpu.set_reg(EBP as u8, value);
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    Some(match insn.code() {
        Push_r16 => push::<u16, Reg<0>>,
        Push_r32 => push::<u32, Reg<0>>,
        Push_rm16 => {
            if mem {
                push::<u16, Mem>
            } else {
                push::<u16, Reg<0>>
            }
        }
        Push_rm32 => {
            if mem {
                push::<u32, Mem>
            } else {
                push::<u32, Reg<0>>
            }
        }
        Push_imm16 | Pushw_imm8 => push::<u16, Imm>,
        Pushd_imm32 | Pushd_imm8 => push::<u32, Imm>,
        Pop_r16 => pop_reg::<u16>,
        Pop_r32 => pop_reg::<u32>,
        Pop_rm16 => {
            if mem {
                pop_mem::<u16>
            } else {
                pop_reg::<u16>
            }
        }
        Pop_rm32 => {
            if mem {
                pop_mem::<u32>
            } else {
                pop_reg::<u32>
            }
        }
        Pushaw => pusha::<u16>,
        Pushad => pusha::<u32>,
        Popaw => popa::<u16>,
        Popad => popa::<u32>,
        Enterw_imm16_imm8 => enter::<u16>,
        Enterd_imm16_imm8 => enter::<u32>,
        Leavew => leave::<u16>,
        Leaved => leave::<u32>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::regs::gpr::{EBP, ESP};
    use crate::seg::{SegReg, Segment};
    use crate::testing::{execute, flat};

    /// enter 8, 1 on a 16-bit stack: SP moves and wraps, but the frame pointer is the whole ESP, as on silicon.
    #[test]
    fn the_frame_pointer_is_the_whole_esp_on_a_16_bit_stack() {
        let mut cpu = flat(&[]);
        cpu.regs.seg[SegReg::Ss as usize] = Segment::new(16, 0, 0xFFFF, 0x9300);
        (cpu.regs.gpr[ESP], cpu.regs.gpr[EBP]) = (0x1234_8000, 0x5678_9000);
        assert_eq!(execute(&mut cpu, &[0xC8, 0x08, 0x00, 0x01]), Ok(()));
        assert_eq!((cpu.regs.gpr[ESP], cpu.regs.gpr[EBP]), (0x1234_7FF0, 0x1234_7FFC));
        assert_eq!([0x7FF8, 0x7FFC].map(|at| cpu.phys_read::<u32>(at)), [0x1234_7FFC, 0x5678_9000]);
    }
}
