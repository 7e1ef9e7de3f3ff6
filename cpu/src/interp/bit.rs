//! Bit test and scan: BT BTS BTR BTC BSF BSR (SDM vol. 1, 5.1.6).

use super::operand::{Mem, Place, Reg, Source, has_memory};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// What happens to the bit after it was copied to CF.
trait Change {
    const WRITES: bool = true;
    fn apply<W: Word>(value: W, bit: W) -> W;
}

struct Keep;
struct Set;
struct Reset;
struct Complement;

impl Change for Keep {
    const WRITES: bool = false;
    fn apply<W: Word>(value: W, _: W) -> W {
        value
    }
}
impl Change for Set {
    fn apply<W: Word>(value: W, bit: W) -> W {
        value | bit
    }
}
impl Change for Reset {
    fn apply<W: Word>(value: W, bit: W) -> W {
        value & !bit
    }
}
impl Change for Complement {
    fn apply<W: Word>(value: W, bit: W) -> W {
        value ^ bit
    }
}

fn test<C: Change, W: Word>(cpu: &mut Cpu, value: W, index: u32) -> W {
    let bit = W::from_u32(1 << (index % W::BITS));
    cpu.regs.flags.set_cf(value & bit != W::default());
    C::apply(value, bit)
}

/// Register or memory operand with the bit number taken modulo the width.
fn modulo<C: Change, W: Word, D: Place, const BY_IMM: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let index = if BY_IMM { op.imm } else { cpu.reg::<W>(op.reg[1]).to_u32() };
    if C::WRITES {
        D::modify::<W>(cpu, op, |cpu, value| test::<C, W>(cpu, value, index))
    } else {
        let value = D::get::<W>(cpu, op)?;
        test::<C, W>(cpu, value, index);
        Ok(())
    }
}

/// Memory operand with a signed bit number in a register: reaches as far as the number says.
fn far<C: Change, W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let index = cpu.reg::<W>(op.reg[1]).sign_extend() as i32;
    let distance = (index >> W::BITS.trailing_zeros()).wrapping_mul(W::BYTES as i32) as u32;
    let offset = op.ea.offset(cpu).wrapping_add(distance) & op.ea.mask;
    if C::WRITES {
        let (value, place) = cpu.load_to_modify::<W>(op.ea.seg, offset)?;
        let new = test::<C, W>(cpu, value, index as u32);
        cpu.commit(place, new)
    } else {
        let value = cpu.load::<W>(op.ea.seg, offset)?;
        test::<C, W>(cpu, value, index as u32);
        Ok(())
    }
}

fn by_register<C: Change, W: Word>(mem: bool) -> Handler {
    if mem { far::<C, W> } else { modulo::<C, W, Reg<0>, false> }
}

fn by_immediate<C: Change, W: Word>(mem: bool) -> Handler {
    if mem { modulo::<C, W, Mem, true> } else { modulo::<C, W, Reg<0>, true> }
}

/// BSF and BSR: a zero source sets ZF and leaves the destination.
fn scan<W: Word, S: Source, const REVERSE: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = S::get::<W>(cpu, op)?.to_u32();
    if value != 0 {
        let index = if REVERSE { 31 - value.leading_zeros() } else { value.trailing_zeros() };
        cpu.set_reg(op.reg[0], W::from_u32(index));
    }
    cpu.regs.flags.set_zf(value == 0);
    Ok(())
}

fn scanner<W: Word, const REVERSE: bool>(mem: bool) -> Handler {
    if mem { scan::<W, Mem, REVERSE> } else { scan::<W, Reg<1>, REVERSE> }
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    Some(match insn.code() {
        Bt_rm16_r16 => by_register::<Keep, u16>(mem),
        Bt_rm32_r32 => by_register::<Keep, u32>(mem),
        Bt_rm16_imm8 => by_immediate::<Keep, u16>(mem),
        Bt_rm32_imm8 => by_immediate::<Keep, u32>(mem),
        Bts_rm16_r16 => by_register::<Set, u16>(mem),
        Bts_rm32_r32 => by_register::<Set, u32>(mem),
        Bts_rm16_imm8 => by_immediate::<Set, u16>(mem),
        Bts_rm32_imm8 => by_immediate::<Set, u32>(mem),
        Btr_rm16_r16 => by_register::<Reset, u16>(mem),
        Btr_rm32_r32 => by_register::<Reset, u32>(mem),
        Btr_rm16_imm8 => by_immediate::<Reset, u16>(mem),
        Btr_rm32_imm8 => by_immediate::<Reset, u32>(mem),
        Btc_rm16_r16 => by_register::<Complement, u16>(mem),
        Btc_rm32_r32 => by_register::<Complement, u32>(mem),
        Btc_rm16_imm8 => by_immediate::<Complement, u16>(mem),
        Btc_rm32_imm8 => by_immediate::<Complement, u32>(mem),
        Bsf_r16_rm16 => scanner::<u16, false>(mem),
        Bsf_r32_rm32 => scanner::<u32, false>(mem),
        Bsr_r16_rm16 => scanner::<u16, true>(mem),
        Bsr_r32_rm32 => scanner::<u32, true>(mem),
        _ => return None,
    })
}
