//! String instructions MOVS CMPS SCAS LODS STOS with REP, REPE, REPNE (SDM vol. 1, 5.1.8; vol. 2, REP).
//!
//! A repeated instruction completes iteration by iteration: a fault leaves the finished ones done, and EIP on the
//! instruction. Each iteration counts as one retired instruction; the loop stops at `stop_at` with EIP still on the
//! instruction and RF set (SDM vol. 3, 17.3.1.1), so an event is taken between two iterations at its exact count.

use super::bulk::{self, Bulk};
use crate::Cpu;
use crate::decode::{Handler, Op, Prefix};
use crate::fault::Fault;
use crate::flags::RF;
use crate::regs::gpr::{EAX, ECX, EDI, ESI};
use crate::seg::SegReg;
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// One iteration. `Ok(false)` ends a REPE/REPNE loop.
type Step = fn(&mut Cpu, &Op) -> Result<bool, Fault>;

/// Bits of ESI, EDI and ECX that count.
#[inline(always)]
fn address_mask(op: &Op) -> u32 {
    if op.has(Prefix::A16) { 0xFFFF } else { u32::MAX }
}

#[inline(always)]
fn index(cpu: &Cpu, op: &Op, reg: usize) -> u32 {
    cpu.regs.gpr[reg] & address_mask(op)
}

/// Move an index register one element on, in the direction of DF.
#[inline(always)]
fn advance<W: Word>(cpu: &mut Cpu, op: &Op, reg: usize) {
    let step = if cpu.regs.flags.df() { W::BYTES.wrapping_neg() } else { W::BYTES };
    let mask = address_mask(op);
    let r = &mut cpu.regs.gpr[reg];
    *r = *r & !mask | r.wrapping_add(step) & mask;
}

fn movs<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<bool, Fault> {
    let value: W = cpu.load(op.ea.seg, index(cpu, op, ESI))?;
    cpu.store(SegReg::Es, index(cpu, op, EDI), value)?;
    advance::<W>(cpu, op, ESI);
    advance::<W>(cpu, op, EDI);
    Ok(true)
}

fn stos<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<bool, Fault> {
    let value = cpu.reg::<W>(EAX as u8);
    cpu.store(SegReg::Es, index(cpu, op, EDI), value)?;
    advance::<W>(cpu, op, EDI);
    Ok(true)
}

fn lods<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<bool, Fault> {
    let value: W = cpu.load(op.ea.seg, index(cpu, op, ESI))?;
    cpu.set_reg(EAX as u8, value);
    advance::<W>(cpu, op, ESI);
    Ok(true)
}

/// Whether a compare loop goes on: REPE while equal, REPNE while not.
#[inline(always)]
fn goes_on(cpu: &Cpu, op: &Op) -> bool {
    cpu.regs.flags.zf() != op.has(Prefix::REPNE)
}

pub(super) fn compare<W: Word>(cpu: &mut Cpu, a: W, b: W) {
    let r = W::from_u32(a.to_u32().wrapping_sub(b.to_u32()));
    cpu.regs.flags.set_sub(a, b, r);
}

fn cmps<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<bool, Fault> {
    let a: W = cpu.load(op.ea.seg, index(cpu, op, ESI))?;
    let b: W = cpu.load(SegReg::Es, index(cpu, op, EDI))?;
    compare(cpu, a, b);
    advance::<W>(cpu, op, ESI);
    advance::<W>(cpu, op, EDI);
    Ok(goes_on(cpu, op))
}

fn scas<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<bool, Fault> {
    let b: W = cpu.load(SegReg::Es, index(cpu, op, EDI))?;
    let a = cpu.reg::<W>(EAX as u8);
    compare(cpu, a, b);
    advance::<W>(cpu, op, EDI);
    Ok(goes_on(cpu, op))
}

/// Run `step`, or `bulk` where it can, as often as the prefix says, within `stop_at`.
///
/// The run loop gave the rest of the block room for one count an instruction: after more than one iteration, or with
/// EIP still here, it must look around before it goes on.
#[inline(always)]
fn repeat(cpu: &mut Cpu, op: &Op, step: Step, bulk: Bulk) -> Result<(), Fault> {
    if !op.has(Prefix::REP | Prefix::REPNE) {
        return step(cpu, op).map(drop);
    }
    let mask = address_mask(op);
    // The run loop counts the last iteration.
    let mut left = index(cpu, op, ECX);
    if left == 0 {
        return Ok(());
    }
    let first = cpu.insns;
    loop {
        let room = u32::try_from(cpu.stop_at - cpu.insns).unwrap_or(u32::MAX);
        let most = left.min(room);
        // One is what a step does.
        let at_once = if most > 1 { bulk(cpu, op, most) } else { 0 };
        let (done, more) = match at_once {
            0 => (1, step(cpu, op)?),
            done => (done, true),
        };
        left -= done;
        cpu.insns += done as u64 - 1;
        let ecx = &mut cpu.regs.gpr[ECX];
        *ecx = *ecx & !mask | left;
        if left == 0 || !more {
            cpu.attention |= cpu.insns != first;
            return Ok(());
        }
        if cpu.insns + 1 >= cpu.stop_at || cpu.attention {
            cpu.next_eip = cpu.regs.eip;
            cpu.regs.flags.put(RF, true);
            cpu.attention = true;
            return Ok(());
        }
        cpu.insns += 1;
    }
}

macro_rules! repeated {
    ($($name:ident = $step:ident, $bulk:path;)*) => {$(
        fn $name<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
            repeat(cpu, op, $step::<W>, $bulk)
        }
    )*};
}

repeated! {
    rep_movs = movs, bulk::movs::<W>;
    rep_stos = stos, bulk::stos::<W>;
    rep_lods = lods, bulk::none;
    rep_cmps = cmps, bulk::cmps::<W>;
    rep_scas = scas, bulk::scas::<W>;
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    Some(match insn.code() {
        Movsb_m8_m8 => rep_movs::<u8>,
        Movsw_m16_m16 => rep_movs::<u16>,
        Movsd_m32_m32 => rep_movs::<u32>,
        Stosb_m8_AL => rep_stos::<u8>,
        Stosw_m16_AX => rep_stos::<u16>,
        Stosd_m32_EAX => rep_stos::<u32>,
        Lodsb_AL_m8 => rep_lods::<u8>,
        Lodsw_AX_m16 => rep_lods::<u16>,
        Lodsd_EAX_m32 => rep_lods::<u32>,
        Cmpsb_m8_m8 => rep_cmps::<u8>,
        Cmpsw_m16_m16 => rep_cmps::<u16>,
        Cmpsd_m32_m32 => rep_cmps::<u32>,
        Scasb_AL_m8 => rep_scas::<u8>,
        Scasw_AX_m16 => rep_scas::<u16>,
        Scasd_EAX_m32 => rep_scas::<u32>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::flags::RF;
    use crate::regs::gpr::{EAX, ECX, EDI, ESI};
    use crate::seg::SegReg;
    use crate::testing::{CODE, flat};

    /// nop; rep stosb; inc eax; nop; hlt. Wherever a run is cut, EIP, ECX and the count agree.
    #[test]
    fn a_run_can_be_cut_at_every_iteration_in_the_middle_of_a_block() {
        const ITERATIONS: u32 = 5;
        for limit in 1..=7 {
            let mut cpu = flat(&[0x90, 0xF3, 0xAA, 0x40, 0x90, 0xF4]);
            cpu.regs.gpr[ECX] = ITERATIONS;
            assert_eq!(cpu.run(limit), Exit::Limit);
            assert_eq!(cpu.insns(), limit);
            let done = (limit as u32 - 1).min(ITERATIONS);
            assert_eq!(cpu.regs.gpr[ECX], ITERATIONS - done, "limit {limit}");
            let eip = if limit <= ITERATIONS as u64 { 1 } else { limit as u32 - 3 };
            assert_eq!(cpu.regs.eip - CODE, eip, "limit {limit}");
            assert_eq!(cpu.regs.gpr[EAX], (limit == 7) as u32, "limit {limit}");
        }
    }
    /// The breakpoint is met before the first iteration; resumed with RF set, the instruction runs to its end.
    #[test]
    fn a_code_breakpoint_on_a_repeated_instruction_hits_once() {
        let mut cpu = flat(&[0xF3, 0xAA, 0xF4]);
        cpu.regs.gpr[ECX] = 5;
        cpu.regs.dr[0] = CODE;
        cpu.regs.dr7 |= 1;
        cpu.regs.flags.put(RF, true);
        assert_eq!(cpu.run(100), Exit::Halted);
        assert_eq!((cpu.insns(), cpu.regs.gpr[ECX], cpu.regs.flags.has(RF)), (6, 0, false));
    }

    /// With 16-bit addresses CX counts, DI wraps at 64 KiB, and the upper halves stay.
    #[test]
    fn sixteen_bit_addresses_wrap_and_leave_the_upper_halves() {
        let mut cpu = flat(&[0x67, 0xF3, 0xAA]);
        (cpu.regs.gpr[ECX], cpu.regs.gpr[EDI]) = (0xABCD_0003, 0x1234_FFFE);
        cpu.regs.gpr[EAX] = 0x55;
        assert_eq!(cpu.run(3), Exit::Limit);
        assert_eq!((cpu.regs.gpr[ECX], cpu.regs.gpr[EDI]), (0xABCD_0000, 0x1234_0001));
        assert_eq!([0xFFFE, 0xFFFF, 0].map(|at| cpu.phys_read::<u8>(at)), [0x55; 3]);
    }

    /// fs: movsb reads through FS and still writes through ES.
    #[test]
    fn an_override_moves_the_source_only() {
        let mut cpu = flat(&[0x64, 0xA4]);
        cpu.regs.seg[SegReg::Fs as usize].base = 0x100;
        (cpu.regs.gpr[ESI], cpu.regs.gpr[EDI]) = (0x9000, 0x9200);
        cpu.phys_write(0x9100, 0x77u8);
        assert_eq!(cpu.run(1), Exit::Limit);
        assert_eq!([0x9200, 0x9300].map(|at| cpu.phys_read::<u8>(at)), [0x77, 0]);
    }
}
