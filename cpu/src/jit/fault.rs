//! Deliberate miscompilations. A check that compares engines must find each of them; a test seeds one at a time.
//!
//! Most are the right translation of another instruction: the table says which. The rest break what translation rests
//! on: what is known of segments, and that code is forgotten when its bytes change. None can do harm outside the
//! guest: a wrong instruction goes through the same checks of the same memory.

use super::mode::Mode;
use crate::decode::Op;
use iced_x86::{Code, Instruction};

/// One miscompilation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JitFault(Kind);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// Each of these instructions becomes its neighbour.
    Swapped(&'static [(Code, Code)]),
    /// Something of the operands of these instructions is wrong.
    Operand(&'static [Code], Wrong),
    /// Every segment of data begins at 0.
    BaseIgnored,
    /// Compiled code stays when its bytes change.
    StaleCode,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wrong {
    Immediate,
    Displacement,
    Scale,
    Register,
    Order,
    HighByte,
}

macro_rules! swapped {
    ($name:literal: $($from:ident => $to:ident),*) => {
        ($name, JitFault(Kind::Swapped(&[$((Code::$from, Code::$to)),*])))
    };
}

macro_rules! operand {
    ($name:literal: $wrong:ident in $($code:ident),*) => {
        ($name, JitFault(Kind::Operand(&[$(Code::$code),*], Wrong::$wrong)))
    };
}

impl JitFault {
    /// Every miscompilation with its name.
    pub const ALL: &[(&str, JitFault)] = &[
        swapped!("add-as-adc": Add_rm32_r32 => Adc_rm32_r32, Add_r32_rm32 => Adc_r32_rm32),
        swapped!("sub-as-sbb": Sub_rm32_r32 => Sbb_rm32_r32, Sub_r32_rm32 => Sbb_r32_rm32),
        swapped!("adc-as-add": Adc_rm32_r32 => Add_rm32_r32, Adc_r32_rm32 => Add_r32_rm32,
            Adc_rm32_imm8 => Add_rm32_imm8),
        swapped!("and-as-or": And_rm32_r32 => Or_rm32_r32, And_r32_rm32 => Or_r32_rm32),
        swapped!("xor-as-or": Xor_rm32_r32 => Or_rm32_r32, Xor_r32_rm32 => Or_r32_rm32),
        swapped!("cmp-as-sub": Cmp_rm32_r32 => Sub_rm32_r32, Cmp_r32_rm32 => Sub_r32_rm32),
        swapped!("cmp8-as-sub8": Cmp_rm8_imm8 => Sub_rm8_imm8, Cmp_rm8_r8 => Sub_rm8_r8),
        swapped!("test-as-cmp": Test_rm32_r32 => Cmp_rm32_r32),
        swapped!("shl-as-rol": Shl_rm32_imm8 => Rol_rm32_imm8),
        swapped!("shr-as-sar": Shr_rm32_imm8 => Sar_rm32_imm8),
        swapped!("shr-cl-as-ror-cl": Shr_rm32_CL => Ror_rm32_CL),
        swapped!("rol-as-ror": Rol_rm32_imm8 => Ror_rm32_imm8, Ror_rm32_imm8 => Rol_rm32_imm8),
        swapped!("inc-as-dec": Inc_r32 => Dec_r32, Inc_rm32 => Dec_rm32),
        swapped!("neg-as-not": Neg_rm32 => Not_rm32),
        swapped!("movzx-as-movsx": Movzx_r32_rm8 => Movsx_r32_rm8, Movzx_r32_rm16 => Movsx_r32_rm16),
        swapped!("mul-as-imul": Mul_rm32 => Imul_rm32),
        swapped!("jb-as-jbe": Jb_rel8_32 => Jbe_rel8_32, Jb_rel32_32 => Jbe_rel32_32),
        swapped!("je-as-jne": Je_rel8_32 => Jne_rel8_32, Je_rel32_32 => Jne_rel32_32),
        swapped!("cmov-as-its-opposite": Cmove_r32_rm32 => Cmovne_r32_rm32, Cmovb_r32_rm32 => Cmovae_r32_rm32),
        swapped!("setcc-as-its-opposite": Sete_rm8 => Setne_rm8, Setb_rm8 => Setae_rm8, Setne_rm8 => Sete_rm8),
        swapped!("bts-as-bt": Bts_rm32_r32 => Bt_rm32_r32, Bts_rm32_imm8 => Bt_rm32_imm8),
        swapped!("bsf-as-bsr": Bsf_r32_rm32 => Bsr_r32_rm32),
        operand!("immediate-off-by-one": Immediate in Mov_r32_imm32),
        operand!("added-immediate-off-by-one": Immediate in Add_rm32_imm8, Sub_rm32_imm8),
        operand!("stored-immediate-off-by-one": Immediate in Mov_rm32_imm32),
        operand!("load-displaced": Displacement in Mov_r32_rm32),
        operand!("store-displaced": Displacement in Mov_rm32_r32),
        operand!("lea-displaced": Displacement in Lea_r32_m),
        operand!("scale-ignored": Scale in Mov_r32_rm32, Mov_rm32_r32, Add_r32_rm32, Lea_r32_m),
        operand!("another-register-pushed": Register in Push_r32),
        operand!("another-register-popped": Register in Pop_r32),
        operand!("operands-in-the-wrong-order": Order in Sub_rm32_r32, Mov_rm32_r32),
        operand!("high-byte-as-low": HighByte in Mov_r8_rm8, Mov_rm8_r8, Movzx_r32_rm8, Test_rm8_imm8),
        swapped!("fadd-as-fsub": Fadd_m64fp => Fsub_m64fp, Faddp_sti_st0 => Fsubp_sti_st0, Fadd_st0_sti => Fsub_st0_sti),
        swapped!("fsub-as-fsubr": Fsub_m64fp => Fsubr_m64fp, Fsubp_sti_st0 => Fsubrp_sti_st0,
            Fsub_st0_sti => Fsubr_st0_sti),
        swapped!("fmul-as-fdiv": Fmul_m64fp => Fdiv_m64fp, Fmulp_sti_st0 => Fdivp_sti_st0,
            Fmul_st0_sti => Fdiv_st0_sti),
        swapped!("fstp-as-fst": Fstp_m64fp => Fst_m64fp, Fstp_sti => Fst_sti),
        swapped!("fxch-as-fld": Fxch_st0_sti => Fld_sti),
        swapped!("fldz-as-fld1": Fldz => Fld1),
        swapped!("fild-as-fld": Fild_m32int => Fld_m32fp),
        swapped!("fsqrt-as-fabs": Fsqrt => Fabs),
        operand!("double-load-displaced": Displacement in Fld_m64fp),
        operand!("another-x87-register": Register in Fld_sti, Fadd_st0_sti, Fmul_st0_sti),
        ("base-ignored", JitFault(Kind::BaseIgnored)),
        ("stale-code", JitFault(Kind::StaleCode)),
    ];

    /// Find one by name.
    pub fn from_name(name: &str) -> Option<JitFault> {
        JitFault::ALL.iter().find(|(n, _)| *n == name).map(|&(_, fault)| fault)
    }

    /// Compiled code stays when its bytes change.
    pub(super) fn keeps_stale_code(self) -> bool {
        self.0 == Kind::StaleCode
    }

    /// Change what is about to be translated.
    pub(super) fn seed(self, ops: &mut [Op], insns: &mut [Instruction], mode: &mut Mode) {
        for (op, insn) in ops.iter_mut().zip(insns) {
            match self.0 {
                Kind::Swapped(table) => {
                    if let Some((_, to)) = table.iter().find(|(from, _)| *from == insn.code()) {
                        insn.set_code(*to);
                    }
                }
                Kind::Operand(codes, wrong) if codes.contains(&insn.code()) => wrong.seed(op),
                _ => {}
            }
        }
        if self.0 == Kind::BaseIgnored {
            mode.ignore_bases();
        }
    }
}

impl Wrong {
    fn seed(self, op: &mut Op) {
        match self {
            Wrong::Immediate => op.imm = op.imm.wrapping_add(1),
            Wrong::Displacement => op.ea.disp = op.ea.disp.wrapping_add(4),
            Wrong::Scale => op.ea.scale = 0,
            Wrong::Register => op.reg[0] ^= 1,
            Wrong::Order => op.reg.swap(0, 1),
            Wrong::HighByte => op.reg = op.reg.map(|r| r & 3),
        }
    }
}

impl crate::Cpu {
    /// Miscompile from now on, if the compiled engine is in use. `None` compiles as it should.
    pub fn set_jit_fault(&mut self, fault: Option<JitFault>) {
        if let Some(jit) = &mut self.jit {
            jit.fault = fault;
        }
    }

    /// Blocks whose code came out otherwise than it should: what has no code in line on this host cannot be
    /// miscompiled.
    pub fn jit_fault_effects(&self) -> u64 {
        self.jit.as_ref().map_or(0, |jit| jit.fault_effects)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for (n, (name, fault)) in JitFault::ALL.iter().enumerate() {
            assert_eq!(JitFault::from_name(name), Some(*fault));
            assert!(JitFault::ALL[..n].iter().all(|(other, _)| other != name), "{name}");
        }
        assert_eq!(JitFault::from_name("no-such-fault"), None);
    }
}
