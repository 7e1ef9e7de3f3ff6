//! Many iterations of REP MOVS and REP STOS at once.
//!
//! Only where one by one would do exactly the same: upwards, with 32-bit addresses, inside pages that are neighbours in memory at each
//! end, all of which the fast views vouch for (plain RAM, permitted, no code, no watchpoint, no alignment check). Whatever else
//! comes up is left to the single step, so nothing here can fault.

use crate::Cpu;
use crate::decode::{Op, Prefix};
use crate::regs::gpr::{EAX, EDI, ESI};
use crate::seg::SegReg;
use crate::word::Word;

/// Executes up to `most` iterations; returns how many, 0 if the next must be done singly.
pub(super) type Bulk = fn(&mut Cpu, &Op, most: u32) -> u32;

/// No bulk form.
pub(super) fn none(_: &mut Cpu, _: &Op, _: u32) -> u32 {
    0
}

fn possible(cpu: &Cpu, op: &Op) -> bool {
    !op.has(Prefix::A16) && !cpu.regs.flags.df()
}

/// Backing-store offset of `seg:offset` and how many elements, at most `most`, lie there in a row: in its page, and in those behind
/// it that are neighbours in the backing store, too.
fn run_of<W: Word>(cpu: &Cpu, seg: SegReg, offset: u32, write: bool, most: u32) -> Option<(u32, u32)> {
    let s = &cpu.regs.seg[seg as usize];
    let linear = s.base.wrapping_add(offset);
    let fast = |linear: u32| {
        let fast = cpu.tlb.fast(cpu.view, linear);
        let tag = if write { fast.write } else { fast.read };
        (tag == linear & !0xFFF).then_some(fast.delta)
    };
    let delta = fast(linear)?;
    let in_page = 0x1000 - (linear & 0xFFF);
    let mut bytes = in_page;
    while in_page.is_multiple_of(W::BYTES)
        && bytes / W::BYTES < most
        && linear.checked_add(bytes).is_some_and(|next| fast(next) == Some(delta))
    {
        bytes += 0x1000;
    }
    let permitted = |&count: &u32| {
        let len = count * W::BYTES;
        count != 0 && if write { s.allows_write(offset, len) } else { s.allows_read(offset, len) }
    };
    let count = [bytes, in_page].map(|bytes| most.min(bytes / W::BYTES)).into_iter().find(permitted)?;
    Some((linear.wrapping_add(delta), count))
}

pub(super) fn stos<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> u32 {
    if !possible(cpu, op) {
        return 0;
    }
    let Some((to, count)) = run_of::<W>(cpu, SegReg::Es, cpu.regs.gpr[EDI], true, most) else { return 0 };
    let value = cpu.reg::<W>(EAX as u8);
    cpu.mem.fill_at(to, value, count);
    cpu.regs.gpr[EDI] = cpu.regs.gpr[EDI].wrapping_add(count * W::BYTES);
    count
}

pub(super) fn movs<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> u32 {
    if !possible(cpu, op) {
        return 0;
    }
    let Some((to, count)) = run_of::<W>(cpu, SegReg::Es, cpu.regs.gpr[EDI], true, most) else { return 0 };
    let Some((from, count)) = run_of::<W>(cpu, op.ea.seg, cpu.regs.gpr[ESI], false, count) else { return 0 };
    // A destination just above the source repeats what was stored before: copy up to where that begins.
    let apart = to.wrapping_sub(from) / W::BYTES;
    let count = if to > from { count.min(apart) } else { count };
    let len = count * W::BYTES;
    cpu.mem.copy_at(from, to, len);
    for reg in [ESI, EDI] {
        cpu.regs.gpr[reg] = cpu.regs.gpr[reg].wrapping_add(len);
    }
    count
}

#[cfg(test)]
mod tests {
    use crate::regs::gpr::{EAX, ECX, EDI, ESI};
    use crate::testing::flat;
    use proptest::prelude::*;

    proptest! {
        /// A REP instruction in one go leaves what it leaves iteration by iteration.
        #[test]
        fn bulk_is_what_single_steps_are(
            form in 0..6usize,
            backwards in any::<bool>(),
            from in 0x2F00..0x3100u32,
            apart in -80..80i32,
            count in 0..600u32,
        ) {
            let forms: [&[u8]; 6] = [
                &[0xF3, 0xA4], &[0x66, 0xF3, 0xA5], &[0xF3, 0xA5], &[0xF3, 0xAA], &[0x66, 0xF3, 0xAB], &[0xF3, 0xAB],
            ];
            let run = |limits: &mut dyn Iterator<Item = u64>| {
                let mut code = forms[form].to_vec();
                code.insert(0, if backwards { 0xFD } else { 0xFC });
                code.push(0xF4);
                let mut cpu = flat(&code);
                let pattern: Vec<u8> = (0..0x4000u32).map(|n| (n * 7 + (n >> 8)) as u8).collect();
                cpu.mem.write_bytes(0x2000, &pattern);
                cpu.regs.gpr[EAX] = 0x1234_5678;
                cpu.regs.gpr[ECX] = count;
                cpu.regs.gpr[ESI] = from;
                cpu.regs.gpr[EDI] = from.wrapping_add_signed(apart);
                for limit in limits {
                    cpu.run(limit);
                }
                (cpu.regs.clone(), cpu.insns(), cpu.mem.slice(0x2000, 0x4000).map(<[u8]>::to_vec))
            };
            let whole = run(&mut std::iter::once(5000));
            let single = run(&mut (1..5000));
            prop_assert_eq!(whole, single);
        }
    }
}
