//! Many iterations of REP MOVS, REP STOS, REPE and REPNE CMPS and SCAS at once.
//!
//! Only where one by one would do exactly the same: with 32-bit addresses, inside pages that are neighbours in memory at each
//! end (going down, and comparing, inside one page), all of which the fast views vouch for (plain RAM, permitted, no code, no
//! watchpoint, no alignment check). Whatever else comes up is left to the single step, so nothing here can fault, nor end a loop.

use super::string::compare;
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

/// The same going down from the element at `seg:offset`, in its page: the offset of the lowest of them.
fn run_down<W: Word>(cpu: &Cpu, seg: SegReg, offset: u32, write: bool, most: u32) -> Option<(u32, u32)> {
    let (_, 1) = run_of::<W>(cpu, seg, offset, write, 1)? else { return None };
    let linear = cpu.regs.seg[seg as usize].base.wrapping_add(offset);
    let count = most.min((linear & 0xFFF).min(offset) / W::BYTES + 1);
    let below = (count - 1) * W::BYTES;
    let (place, permitted) = run_of::<W>(cpu, seg, offset - below, write, count)?;
    (permitted == count).then_some((place, count))
}

/// [`run_of`] or [`run_down`], as DF says.
fn run<W: Word>(cpu: &Cpu, op: &Op, seg: SegReg, index: usize, write: bool, most: u32) -> Option<(u32, u32)> {
    if op.has(Prefix::A16) {
        return None;
    }
    let run = if cpu.regs.flags.df() { run_down::<W> } else { run_of::<W> };
    run(cpu, seg, cpu.regs.gpr[index], write, most)
}

/// Move an index register `count` elements on.
fn advance<W: Word>(cpu: &mut Cpu, index: usize, count: u32) {
    let bytes = count * W::BYTES;
    let step = if cpu.regs.flags.df() { bytes.wrapping_neg() } else { bytes };
    cpu.regs.gpr[index] = cpu.regs.gpr[index].wrapping_add(step);
}

pub(super) fn stos<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> u32 {
    let Some((to, count)) = run::<W>(cpu, op, SegReg::Es, EDI, true, most) else { return 0 };
    let value = cpu.reg::<W>(EAX as u8);
    cpu.mem.fill_at(to, value, count);
    advance::<W>(cpu, EDI, count);
    count
}

pub(super) fn movs<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> u32 {
    let Some((mut to, most)) = run::<W>(cpu, op, SegReg::Es, EDI, true, most) else { return 0 };
    let Some((mut from, mut count)) = run::<W>(cpu, op, op.ea.seg, ESI, false, most) else { return 0 };
    // A destination just ahead of the source repeats what was stored before: copy up to where that begins.
    if cpu.regs.flags.df() {
        // Of fewer elements the highest ones.
        to += (most - count) * W::BYTES;
        let (first_to, first_from) = (to + (count - 1) * W::BYTES, from + (count - 1) * W::BYTES);
        if first_to < first_from {
            let fewer = count.min((first_from - first_to) / W::BYTES);
            let above = (count - fewer) * W::BYTES;
            (to, from, count) = (to + above, from + above, fewer);
        }
    } else if to > from {
        count = count.min((to - from) / W::BYTES);
    }
    cpu.mem.copy_at(from, to, count * W::BYTES);
    advance::<W>(cpu, ESI, count);
    advance::<W>(cpu, EDI, count);
    count
}

/// Elements looked at in one go: what ends the loop is rarely far.
const FAR: u32 = 4096;

const BLOCK: usize = 32;

/// How many pairs of elements of `a` and `b`, of which `b` may be a block that repeats, come before the first one that is equal,
/// or unequal if not `until_equal`.
fn going_on<W: Word>(a: &[u8], b: &[u8], until_equal: bool) -> usize {
    let size = W::BYTES as usize;
    let repeats = b.len() == BLOCK;
    let ends = |a: &[u8], b: &[u8], at: usize| (W::read_le(a, at) == W::read_le(b, at)) == until_equal;
    let mut at = 0;
    loop {
        let b = if repeats { b } else { b.get(at..).unwrap_or_default() };
        let a = a.get(at..).unwrap_or_default();
        if let (Some(a), Some(b)) = (a.first_chunk::<BLOCK>(), b.first_chunk::<BLOCK>()) {
            // Without a branch an element, so that the compiler takes many at once.
            if !(0..BLOCK).step_by(size).fold(false, |any, n| any | ends(a, b, n)) {
                at += BLOCK;
                continue;
            }
        }
        let rest = a.len().min(b.len()) / size;
        return at / size + (0..rest).take_while(|n| !ends(a, b, n * size)).count();
    }
}

pub(super) fn scas<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> u32 {
    let up = !cpu.regs.flags.df();
    let Some((at, count)) = run::<W>(cpu, op, SegReg::Es, EDI, false, most.min(FAR)).filter(|_| up) else {
        return 0;
    };
    let Some(bytes) = cpu.mem.bytes_at(at, count * W::BYTES) else { return 0 };
    let a = cpu.reg::<W>(EAX as u8);
    let mut wanted = [0; BLOCK];
    (0..BLOCK).step_by(W::BYTES as usize).for_each(|n| a.write_le(&mut wanted, n));
    let count = going_on::<W>(bytes, &wanted, op.has(Prefix::REPNE)) as u32;
    if count != 0 {
        let last = W::read_le(bytes, ((count - 1) * W::BYTES) as usize);
        compare(cpu, a, last);
        advance::<W>(cpu, EDI, count);
    }
    count
}

pub(super) fn cmps<W: Word>(cpu: &mut Cpu, op: &Op, most: u32) -> u32 {
    let up = !cpu.regs.flags.df();
    let b = run::<W>(cpu, op, SegReg::Es, EDI, false, most.min(FAR)).filter(|_| up);
    let Some((b_at, count)) = b else { return 0 };
    let Some((a_at, count)) = run::<W>(cpu, op, op.ea.seg, ESI, false, count) else { return 0 };
    let pieces = (cpu.mem.bytes_at(a_at, count * W::BYTES), cpu.mem.bytes_at(b_at, count * W::BYTES));
    let (Some(a), Some(b)) = pieces else { return 0 };
    let count = going_on::<W>(a, b, op.has(Prefix::REPNE)) as u32;
    if count != 0 {
        let last = ((count - 1) * W::BYTES) as usize;
        let (a, b) = (W::read_le(a, last), W::read_le(b, last));
        compare(cpu, a, b);
        advance::<W>(cpu, ESI, count);
        advance::<W>(cpu, EDI, count);
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
            form in 0..14usize,
            backwards in any::<bool>(),
            from in 0x2F00..0x3100u32,
            apart in -80..80i32,
            count in 0..600u32,
            odd in 0..0x4000u32,
        ) {
            let forms: [&[u8]; 14] = [
                &[0xF3, 0xA4], &[0x66, 0xF3, 0xA5], &[0xF3, 0xA5], &[0xF3, 0xAA], &[0x66, 0xF3, 0xAB], &[0xF3, 0xAB],
                &[0xF3, 0xA6], &[0x66, 0xF3, 0xA7], &[0xF3, 0xA7], &[0xF2, 0xA6],
                &[0xF3, 0xAE], &[0x66, 0xF3, 0xAF], &[0xF2, 0xAF], &[0xF2, 0xAE],
            ];
            let run = |limits: &mut dyn Iterator<Item = u64>| {
                let mut code = forms[form].to_vec();
                code.insert(0, if backwards { 0xFD } else { 0xFC });
                code.push(0xF4);
                let mut cpu = flat(&code);
                // Loops that end at the first difference find few, those that end where there is none find many.
                let equal = [6, 7, 8, 10, 11].contains(&form);
                let byte = |n: u32| match n == odd || n.is_multiple_of(509) {
                    true => 1,
                    false if equal => 0,
                    false => (n * 7 + (n >> 8)) as u8 | 2,
                };
                let pattern: Vec<u8> = (0..0x4000).map(byte).collect();
                cpu.mem.write_bytes(0x2000, &pattern);
                cpu.regs.gpr[EAX] = match form {
                    0..6 => 0x1234_5678,
                    _ if equal => 0,
                    _ => 1,
                };
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
