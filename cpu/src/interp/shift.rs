//! Shifts and rotates (SDM vol. 1, 5.1.5). Counts are masked to five bits; a masked count of zero changes nothing.
//!
//! OF is defined for a count of one; for others processors compute it from the last step, as here.

use super::operand::{Cl, Imm, Mem, Place, Reg, Source, has_memory};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::flags::Flags;
use crate::word::Word;
use iced_x86::{Code, Instruction, OpKind, Register};

/// One of the eight operations of opcode group 2. `count` is 1 to 31.
trait Shift {
    fn compute<W: Word>(flags: &mut Flags, value: W, count: u32) -> W;
}

macro_rules! shifts {
    ($($name:ident: |$flags:ident, $value:ident, $count:ident| $body:block)*) => {$(
        struct $name;
        impl Shift for $name {
            #[inline(always)]
            fn compute<W: Word>($flags: &mut Flags, $value: W, $count: u32) -> W $body
        }
    )*};
}

fn top_bit<W: Word>(value: W) -> bool {
    value.to_u32() >> (W::BITS - 1) & 1 != 0
}

shifts! {
    Shl: |flags, value, count| {
        let wide = value.to_u64() << count;
        let r = W::from_u64(wide);
        flags.set_logic(r);
        let cf = wide >> W::BITS & 1 != 0;
        flags.set_cf_of(cf, cf != top_bit(r));
        r
    }
    Shr: |flags, value, count| {
        let r = W::from_u64(value.to_u64() >> count);
        flags.set_logic(r);
        // OF is the old top bit after a shift by one; after more it is the top two bits of the result, both zero.
        flags.set_cf_of(value.to_u64() >> (count - 1) & 1 != 0, top_bit(r) != (r.to_u32() >> (W::BITS - 2) & 1 != 0));
        r
    }
    Sar: |flags, value, count| {
        let wide = value.sign_extend() as i32 as i64;
        let r = W::from_u64((wide >> count) as u64);
        flags.set_logic(r);
        flags.set_cf_of(wide >> (count - 1) & 1 != 0, false);
        r
    }
    Rol: |flags, value, count| {
        let n = count % W::BITS;
        let v = value.to_u64();
        let r = W::from_u64(v << n | v >> (W::BITS - n));
        let cf = r.to_u32() & 1 != 0;
        flags.set_cf_of(cf, cf != top_bit(r));
        r
    }
    Ror: |flags, value, count| {
        let n = count % W::BITS;
        let v = value.to_u64();
        let r = W::from_u64(v >> n | v << (W::BITS - n));
        flags.set_cf_of(top_bit(r), top_bit(r) != (r.to_u32() >> (W::BITS - 2) & 1 != 0));
        r
    }
    Rcl: |flags, value, count| {
        let n = count % (W::BITS + 1);
        if n == 0 {
            let cf = flags.cf();
            flags.set_cf_of(cf, cf != top_bit(value));
            return value;
        }
        let v = value.to_u64() | (flags.cf() as u64) << W::BITS;
        let rotated = v << n | v >> (W::BITS + 1 - n);
        let r = W::from_u64(rotated);
        let cf = rotated >> W::BITS & 1 != 0;
        flags.set_cf_of(cf, cf != top_bit(r));
        r
    }
    Rcr: |flags, value, count| {
        let n = count % (W::BITS + 1);
        if n == 0 {
            let cf = flags.cf();
            flags.set_cf_of(cf, top_bit(value) != (value.to_u32() >> (W::BITS - 2) & 1 != 0));
            return value;
        }
        let v = value.to_u64() | (flags.cf() as u64) << W::BITS;
        let rotated = v >> n | v << (W::BITS + 1 - n);
        let r = W::from_u64(rotated);
        flags.set_cf_of(rotated >> W::BITS & 1 != 0, top_bit(r) != (r.to_u32() >> (W::BITS - 2) & 1 != 0));
        r
    }
}

fn shift<O: Shift, W: Word, D: Place, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let count = S::get::<u8>(cpu, op)? as u32 & 31;
    if count == 0 {
        // Memory is still accessed as for any read-modify-write.
        return D::modify::<W>(cpu, op, |_, value| value);
    }
    D::modify::<W>(cpu, op, |cpu, value| O::compute(&mut cpu.regs.flags, value, count))
}

/// SHLD and SHRD: `value` and `filler` side by side, shifted. A count above the width, possible with 16 bits only, is
/// undefined; silicon (AMD Zen 4) goes on with another `filler` and clears CF, as here.
fn double<W: Word, D: Place, S: Source, const LEFT: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let count = S::get::<u8>(cpu, op)? as u32 & 31;
    if count == 0 {
        return D::modify::<W>(cpu, op, |_, value| value);
    }
    let filler = cpu.reg::<W>(op.reg[1]);
    D::modify::<W>(cpu, op, |cpu, value| {
        let (v, f) = (value.to_u64() as u128, filler.to_u64() as u128);
        let (r, cf) = if LEFT {
            let shifted = (v << (2 * W::BITS) | f << W::BITS | f) << count;
            (W::from_u64((shifted >> (2 * W::BITS)) as u64), shifted >> (3 * W::BITS) & 1 != 0)
        } else {
            let wide = f << (2 * W::BITS) | f << W::BITS | v;
            (W::from_u64((wide >> count) as u64), wide >> (count - 1) & 1 != 0)
        };
        cpu.regs.flags.set_logic(r);
        if count <= W::BITS {
            cpu.regs.flags.set_cf_of(cf, top_bit(r) != top_bit(value));
        } else {
            cpu.regs.flags.set_cf_of(false, !LEFT && top_bit(r) != (r.to_u32() >> (W::BITS - 2) & 1 != 0));
        }
        r
    })
}

/// The three count operands of one operation: 1 or imm8 (both arrive as an immediate), and CL.
fn group<O: Shift, W: Word>(mem: bool, by_cl: bool) -> Handler {
    match (mem, by_cl) {
        (false, false) => shift::<O, W, Reg<0>, Imm>,
        (false, true) => shift::<O, W, Reg<0>, Cl>,
        (true, false) => shift::<O, W, Mem, Imm>,
        (true, true) => shift::<O, W, Mem, Cl>,
    }
}

fn double_group<W: Word, const LEFT: bool>(mem: bool, by_cl: bool) -> Handler {
    match (mem, by_cl) {
        (false, false) => double::<W, Reg<0>, Imm, LEFT>,
        (false, true) => double::<W, Reg<0>, Cl, LEFT>,
        (true, false) => double::<W, Mem, Imm, LEFT>,
        (true, true) => double::<W, Mem, Cl, LEFT>,
    }
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    let last = insn.op_count().checked_sub(1)?;
    let cl = insn.op_kind(last) == OpKind::Register && insn.op_register(last) == Register::CL;
    Some(match insn.code() {
        Shl_rm8_1 | Shl_rm8_CL | Shl_rm8_imm8 | Sal_rm8_1 | Sal_rm8_CL | Sal_rm8_imm8 => {
            group::<Shl, u8>(mem, cl)
        }
        Shl_rm16_1 | Shl_rm16_CL | Shl_rm16_imm8 | Sal_rm16_1 | Sal_rm16_CL | Sal_rm16_imm8 => {
            group::<Shl, u16>(mem, cl)
        }
        Shl_rm32_1 | Shl_rm32_CL | Shl_rm32_imm8 | Sal_rm32_1 | Sal_rm32_CL | Sal_rm32_imm8 => {
            group::<Shl, u32>(mem, cl)
        }
        Shr_rm8_1 | Shr_rm8_CL | Shr_rm8_imm8 => group::<Shr, u8>(mem, cl),
        Shr_rm16_1 | Shr_rm16_CL | Shr_rm16_imm8 => group::<Shr, u16>(mem, cl),
        Shr_rm32_1 | Shr_rm32_CL | Shr_rm32_imm8 => group::<Shr, u32>(mem, cl),
        Sar_rm8_1 | Sar_rm8_CL | Sar_rm8_imm8 => group::<Sar, u8>(mem, cl),
        Sar_rm16_1 | Sar_rm16_CL | Sar_rm16_imm8 => group::<Sar, u16>(mem, cl),
        Sar_rm32_1 | Sar_rm32_CL | Sar_rm32_imm8 => group::<Sar, u32>(mem, cl),
        Rol_rm8_1 | Rol_rm8_CL | Rol_rm8_imm8 => group::<Rol, u8>(mem, cl),
        Rol_rm16_1 | Rol_rm16_CL | Rol_rm16_imm8 => group::<Rol, u16>(mem, cl),
        Rol_rm32_1 | Rol_rm32_CL | Rol_rm32_imm8 => group::<Rol, u32>(mem, cl),
        Ror_rm8_1 | Ror_rm8_CL | Ror_rm8_imm8 => group::<Ror, u8>(mem, cl),
        Ror_rm16_1 | Ror_rm16_CL | Ror_rm16_imm8 => group::<Ror, u16>(mem, cl),
        Ror_rm32_1 | Ror_rm32_CL | Ror_rm32_imm8 => group::<Ror, u32>(mem, cl),
        Rcl_rm8_1 | Rcl_rm8_CL | Rcl_rm8_imm8 => group::<Rcl, u8>(mem, cl),
        Rcl_rm16_1 | Rcl_rm16_CL | Rcl_rm16_imm8 => group::<Rcl, u16>(mem, cl),
        Rcl_rm32_1 | Rcl_rm32_CL | Rcl_rm32_imm8 => group::<Rcl, u32>(mem, cl),
        Rcr_rm8_1 | Rcr_rm8_CL | Rcr_rm8_imm8 => group::<Rcr, u8>(mem, cl),
        Rcr_rm16_1 | Rcr_rm16_CL | Rcr_rm16_imm8 => group::<Rcr, u16>(mem, cl),
        Rcr_rm32_1 | Rcr_rm32_CL | Rcr_rm32_imm8 => group::<Rcr, u32>(mem, cl),
        Shld_rm16_r16_imm8 | Shld_rm16_r16_CL => double_group::<u16, true>(mem, cl),
        Shld_rm32_r32_imm8 | Shld_rm32_r32_CL => double_group::<u32, true>(mem, cl),
        Shrd_rm16_r16_imm8 | Shrd_rm16_r16_CL => double_group::<u16, false>(mem, cl),
        Shrd_rm32_r32_imm8 | Shrd_rm32_r32_CL => double_group::<u32, false>(mem, cl),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::flags::{CF, OF, PF, SF};
    use crate::regs::gpr::{EAX, EDX};
    use crate::testing::{execute, flat};

    /// shld ax, dx, n and shrd ax, dx, n on both sides of the width, as captured from a physical processor.
    #[test]
    fn double_shifts_of_a_word_by_more_than_sixteen() {
        let cases = [
            (0xA4, 0x5678, 0x3D34, 16, 0x3D34, 0),
            (0xA4, 0x5678, 0x3D34, 18, 0xF4D0, SF),
            (0xA4, 0x5678, 0x3D34, 22, 0x4D0F, PF),
            (0xA4, 0x5679, 0x3421, 16, 0x3421, CF | PF),
            (0xAC, 0x5678, 0x3D34, 15, 0x7A68, CF),
            (0xAC, 0x5678, 0x3D34, 19, 0x87A6, SF | PF | OF),
            (0xAC, 0xE00F, 0x0C58, 24, 0x580C, PF | OF),
        ];
        for (opcode, value, filler, count, result, flags) in cases {
            let mut cpu = flat(&[]);
            (cpu.regs.gpr[EAX], cpu.regs.gpr[EDX]) = (value, filler);
            assert_eq!(execute(&mut cpu, &[0x66, 0x0F, opcode, 0xD0, count]), Ok(()));
            // OF is undefined except by the rule for large counts.
            let defined = CF | PF | SF | if count > 16 { OF } else { 0 };
            assert_eq!(
                (cpu.regs.gpr[EAX], cpu.regs.flags.get() & defined),
                (result, flags),
                "{opcode:#x} {count}"
            );
        }
    }
}
