//! Loads, stores, exchanges, conditional moves and constants (SDM vol. 1, 8.3.3).

use super::super::constants::{LN2, LOG2_10, LOG2_E, LOG10_2, PI, rounded};
use super::super::environment::{Env, flag};
use super::super::extended::Operand;
use super::super::state::status::C1;
use super::super::wide::Wide;
use super::operand::{Decimal, Float, Integer, Load, Store, Whole};
use super::{execute, index, ready};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use iced_x86::{Code, Instruction};

/// FLD, FILD, FBLD.
fn load<L: Load>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let operand = L::load(cpu, op)?;
    execute(cpu, op, |fpu| {
        let mut denormal = false;
        fpu.push_with(|env| {
            if !L::ARITHMETIC {
                return operand.value;
            }
            // Widening is arithmetic: a NaN becomes quiet. A denormal is noted, but even unmasked it is loaded.
            denormal = operand.denormal;
            match env.one(Operand { denormal: false, ..operand }) {
                Ok(_) => operand.value,
                Err(nan) => nan,
            }
        });
        if denormal {
            fpu.raise(flag::DENORMAL);
        }
    })
}

/// FST, FIST, FBSTP and their kin; then pop `POPS` times.
fn store<S: Store, const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let mut env = cpu.fpu.env();
    let bits = match cpu.fpu.get(0) {
        Some(value) => S::convert(&mut env, value),
        None => {
            env.stack_underflow();
            Some(S::indefinite())
        }
    };
    let bits = bits.filter(|_| !env.stopped());
    match bits {
        Some(bits) => S::store(cpu, op, bits)?,
        // Faults of the access come before exceptions of the x87 (SDM vol. 3, table 6-2), as on silicon.
        None => S::probe(cpu, op)?,
    }
    execute(cpu, op, |fpu| {
        fpu.settle(&env);
        if bits.is_some() {
            (0..POPS).for_each(|_| fpu.pop());
        }
    })
}

/// FLD ST(i).
fn load_register(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| match fpu.get(index(op)) {
        Some(value) => fpu.push_with(|_| value),
        // An empty source counts before a full destination.
        None => fpu.push_anyway(Env::stack_underflow),
    })
}

/// FST ST(i), FSTP ST(i).
fn store_register<const POPS: usize>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let i = index(op);
    execute(cpu, op, |fpu| _ = fpu.binary::<POPS>(i, fpu.operand(0), fpu.operand(0), |_, a, _| a.value))
}

/// FSTPNCE: FSTP ST(i) with no check for an empty register, which is only popped (an alias that manuals leave out; as
/// on silicon).
fn store_register_unchecked(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let i = index(op);
    execute(cpu, op, |fpu| {
        if let Some(value) = fpu.get(0) {
            fpu.set(i, value);
        }
        fpu.set_condition(C1, 0);
        fpu.pop();
    })
}

/// FXCH. Empty registers become the indefinite first.
fn exchange(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let i = index(op);
    execute(cpu, op, |fpu| {
        let mut env = fpu.env();
        let mut filled = |value: Option<_>| value.unwrap_or_else(|| env.stack_underflow());
        let (a, b) = (filled(fpu.get(0)), filled(fpu.get(i)));
        if fpu.settle(&env) {
            fpu.set(0, b);
            fpu.set(i, a);
        }
    })
}

/// FCMOVcc, `CONDITION` being the code of the integer instructions.
fn conditional_move<const CONDITION: u8>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let (moves, i) = (cpu.regs.flags.condition(CONDITION), index(op));
    execute(cpu, op, |fpu| {
        // Unlike other instructions it leaves C1 alone unless there is a stack fault.
        let c1 = fpu.status & C1;
        let mut fine = false;
        fpu.binary::<0>(0, fpu.operand(0), fpu.operand(i), |_, a, b| {
            fine = true;
            if moves { b.value } else { a.value }
        });
        if fine {
            fpu.set_condition(C1, c1);
        }
    })
}

/// What FLD1 to FLDZ push.
trait Constant {
    const VALUE: Wide;
}

fn constant<C: Constant>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| fpu.push_with(|env| rounded(env, C::VALUE)))
}

fn one(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    execute(cpu, op, |fpu| fpu.push_with(|_| crate::fpu::Extended::from_integer(1)))
}

macro_rules! constants {
    ($($name:ident = $value:expr;)*) => {$(
        struct $name;
        impl Constant for $name {
            const VALUE: Wide = $value;
        }
    )*};
}

constants! {
    Log2Ten = LOG2_10;
    Log2E = LOG2_E;
    Pi = PI;
    Log10Two = LOG10_2;
    LnTwo = LN2;
    Zero = Wide::ZERO;
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Fld_m32fp => load::<Float<u32>>,
        Code::Fld_m64fp => load::<Float<u64>>,
        Code::Fld_m80fp => load::<Whole>,
        Code::Fild_m16int => load::<Integer<u16>>,
        Code::Fild_m32int => load::<Integer<u32>>,
        Code::Fild_m64int => load::<Integer<u64>>,
        Code::Fbld_m80bcd => load::<Decimal>,
        Code::Fst_m32fp => store::<Float<u32>, 0>,
        Code::Fst_m64fp => store::<Float<u64>, 0>,
        Code::Fstp_m32fp => store::<Float<u32>, 1>,
        Code::Fstp_m64fp => store::<Float<u64>, 1>,
        Code::Fstp_m80fp => store::<Whole, 1>,
        Code::Fist_m16int => store::<Integer<u16>, 0>,
        Code::Fist_m32int => store::<Integer<u32>, 0>,
        Code::Fistp_m16int => store::<Integer<u16>, 1>,
        Code::Fistp_m32int => store::<Integer<u32>, 1>,
        Code::Fistp_m64int => store::<Integer<u64>, 1>,
        Code::Fbstp_m80bcd => store::<Decimal, 1>,
        Code::Fld_sti => load_register,
        Code::Fst_sti => store_register::<0>,
        Code::Fstpnce_sti => store_register_unchecked,
        Code::Fstp_sti | Code::Fstp_sti_DFD0 | Code::Fstp_sti_DFD8 => store_register::<1>,
        Code::Fxch_st0_sti | Code::Fxch_st0_sti_DDC8 | Code::Fxch_st0_sti_DFC8 => exchange,
        Code::Fcmovb_st0_sti => conditional_move::<0x2>,
        Code::Fcmovnb_st0_sti => conditional_move::<0x3>,
        Code::Fcmove_st0_sti => conditional_move::<0x4>,
        Code::Fcmovne_st0_sti => conditional_move::<0x5>,
        Code::Fcmovbe_st0_sti => conditional_move::<0x6>,
        Code::Fcmovnbe_st0_sti => conditional_move::<0x7>,
        Code::Fcmovu_st0_sti => conditional_move::<0xA>,
        Code::Fcmovnu_st0_sti => conditional_move::<0xB>,
        Code::Fld1 => one,
        Code::Fldl2t => constant::<Log2Ten>,
        Code::Fldl2e => constant::<Log2E>,
        Code::Fldpi => constant::<Pi>,
        Code::Fldlg2 => constant::<Log10Two>,
        Code::Fldln2 => constant::<LnTwo>,
        Code::Fldz => constant::<Zero>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::Cpu;
    use crate::fault::Fault;
    use crate::fpu::state::status::{C1, ES, SF};
    use crate::seg::{SegReg, Segment};
    use crate::testing::{execute, flat};

    const FSTP_QWORD_AT_8000: &[u8] = &[0xDD, 0x1D, 0x00, 0x80, 0x00, 0x00];
    const FLD_ST1: &[u8] = &[0xD9, 0xC1];
    const FSTPNCE_ST2: &[u8] = &[0xD9, 0xDA];

    /// All exceptions unmasked; registers as `in_use` says.
    fn unmasked(in_use: u8) -> Cpu {
        let mut cpu = flat(&[]);
        cpu.fpu.initialize();
        cpu.fpu.set_control(0x0340);
        cpu.fpu.in_use = in_use;
        cpu
    }

    /// An empty register would be a stack fault, but the memory cannot be written.
    #[test]
    fn memory_faults_come_before_x87_exceptions() {
        let mut cpu = unmasked(0);
        cpu.regs.seg[SegReg::Ds as usize] = Segment::new(0x10, 0, 0x7FFF, 0x0040_9300);
        assert_eq!(execute(&mut cpu, FSTP_QWORD_AT_8000), Err(Fault::GP0));
        assert_eq!(cpu.fpu.status, 0);
        cpu.regs.seg[SegReg::Ds as usize] = Segment::new(0x10, 0, 0x8007, 0x0040_9300);
        assert_eq!(execute(&mut cpu, FSTP_QWORD_AT_8000), Ok(()));
        assert_eq!(cpu.fpu.status & (ES | SF), ES | SF);
    }

    #[test]
    fn an_empty_source_counts_before_a_full_destination() {
        let mut cpu = unmasked(0b1000_0001);
        assert_eq!(execute(&mut cpu, FLD_ST1), Ok(()));
        assert_eq!(cpu.fpu.status & (SF | C1), SF);
    }

    #[test]
    fn fstpnce_only_pops_an_empty_register() {
        for (in_use, stored) in [(0, 0), (1, 42)] {
            let mut cpu = unmasked(in_use);
            cpu.fpu.regs[0].significand = 42;
            assert_eq!(execute(&mut cpu, FSTPNCE_ST2), Ok(()));
            let found = (cpu.fpu.regs[2].significand, cpu.fpu.in_use, cpu.fpu.top());
            assert_eq!(found, (stored, in_use << 2, 1));
            assert_eq!(cpu.fpu.status & (ES | SF), 0);
        }
    }
}
