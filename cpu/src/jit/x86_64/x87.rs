//! The x87 in line: the guest's own instruction on the host's own x87, which holds the guest's registers.
//!
//! The list below is the other half of the *committed list* of design.md: moves, IEEE operations and comparisons, whose
//! results, exception flags, condition codes and tags SDM and APM define to the bit. What a host may do otherwise
//! (transcendental functions, partial remainders, FSCALE, BCD, undefined condition codes) stays in software. Each row
//! is tested against the software, and the host is asked before any is used (`host_float`).
//!
//! They run only in modes that have an x87 and all its exceptions masked: then none of them can fault but for its memory
//! operand, whose check comes first. Stack faults, tags, TOP and the status word are the host's business.
//!
//! The guest's registers stay in the host's from the first such instruction to the next handler, search or exit, over
//! any number of blocks (see `host_float`): each block asks once whether they are there. The control word is always in
//! the `Cpu`, too, and so are the pointers to the last instruction, written here.

use super::asm::{R8, R9, RCX, Width, at};
use super::host_float::RESIDENT;
use super::property::segment_field;
use super::slow::Slow;
use super::translate::{Translator, of_cpu};
use crate::Cpu;
use crate::bus::Lines;
use crate::decode::Op;
use crate::fpu::{Fpu, Pointers};
use crate::jit::EmitFault;
use crate::seg::{SegReg, Segment};
use iced_x86::{Code, Instruction, Mnemonic};
use std::mem::offset_of;

/// How an instruction is encoded, and what it does beside.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Form {
    /// Escape byte, digit in ModRM and bytes of an operand that is read.
    Load(u8, u8, u32),
    /// The same for one that is written.
    Store(u8, u8, u32),
    /// Escape byte and ModRM with ST(0), to which a register number is added.
    Stack(u8, u8),
    /// Escape byte and ModRM.
    Fixed(u8, u8),
    /// FLDCW, FNSTCW, FNSTSW to memory and to AX, WAIT.
    LoadControl,
    StoreControl,
    StoreStatus,
    StatusToAx,
    Wait,
}

macro_rules! forms {
    ($code:expr; $($form:ident { $($name:ident $escape:literal $rest:tt;)* })*) => {
        match $code {
            $($(Code::$name => Some(forms!(@ $form $escape $rest)),)*)*
            Code::Fldcw_m2byte => Some(Form::LoadControl),
            Code::Fnstcw_m2byte => Some(Form::StoreControl),
            Code::Fnstsw_m2byte => Some(Form::StoreStatus),
            Code::Fnstsw_AX => Some(Form::StatusToAx),
            Code::Wait => Some(Form::Wait),
            _ => None,
        }
    };
    (@ $form:ident $escape:literal ($digit:literal, $bytes:literal)) => { Form::$form($escape, $digit, $bytes) };
    (@ $form:ident $escape:literal $modrm:literal) => { Form::$form($escape, $modrm) };
}

fn form(code: Code) -> Option<Form> {
    forms! { code;
        Load {
            Fadd_m32fp 0xD8 (0, 4); Fmul_m32fp 0xD8 (1, 4); Fcom_m32fp 0xD8 (2, 4); Fcomp_m32fp 0xD8 (3, 4);
            Fsub_m32fp 0xD8 (4, 4); Fsubr_m32fp 0xD8 (5, 4); Fdiv_m32fp 0xD8 (6, 4); Fdivr_m32fp 0xD8 (7, 4);
            Fiadd_m32int 0xDA (0, 4); Fimul_m32int 0xDA (1, 4); Ficom_m32int 0xDA (2, 4); Ficomp_m32int 0xDA (3, 4);
            Fisub_m32int 0xDA (4, 4); Fisubr_m32int 0xDA (5, 4); Fidiv_m32int 0xDA (6, 4); Fidivr_m32int 0xDA (7, 4);
            Fadd_m64fp 0xDC (0, 8); Fmul_m64fp 0xDC (1, 8); Fcom_m64fp 0xDC (2, 8); Fcomp_m64fp 0xDC (3, 8);
            Fsub_m64fp 0xDC (4, 8); Fsubr_m64fp 0xDC (5, 8); Fdiv_m64fp 0xDC (6, 8); Fdivr_m64fp 0xDC (7, 8);
            Fiadd_m16int 0xDE (0, 2); Fimul_m16int 0xDE (1, 2); Ficom_m16int 0xDE (2, 2); Ficomp_m16int 0xDE (3, 2);
            Fisub_m16int 0xDE (4, 2); Fisubr_m16int 0xDE (5, 2); Fidiv_m16int 0xDE (6, 2); Fidivr_m16int 0xDE (7, 2);
            Fld_m32fp 0xD9 (0, 4); Fld_m64fp 0xDD (0, 8); Fld_m80fp 0xDB (5, 10);
            Fild_m16int 0xDF (0, 2); Fild_m32int 0xDB (0, 4); Fild_m64int 0xDF (5, 8);
        }
        Store {
            Fst_m32fp 0xD9 (2, 4); Fstp_m32fp 0xD9 (3, 4); Fst_m64fp 0xDD (2, 8); Fstp_m64fp 0xDD (3, 8);
            Fstp_m80fp 0xDB (7, 10);
            Fist_m16int 0xDF (2, 2); Fistp_m16int 0xDF (3, 2); Fist_m32int 0xDB (2, 4); Fistp_m32int 0xDB (3, 4);
            Fistp_m64int 0xDF (7, 8);
        }
        Stack {
            Fadd_st0_sti 0xD8 0xC0; Fmul_st0_sti 0xD8 0xC8; Fcom_st0_sti 0xD8 0xD0; Fcomp_st0_sti 0xD8 0xD8;
            Fsub_st0_sti 0xD8 0xE0; Fsubr_st0_sti 0xD8 0xE8; Fdiv_st0_sti 0xD8 0xF0; Fdivr_st0_sti 0xD8 0xF8;
            Fadd_sti_st0 0xDC 0xC0; Fmul_sti_st0 0xDC 0xC8; Fsubr_sti_st0 0xDC 0xE0; Fsub_sti_st0 0xDC 0xE8;
            Fdivr_sti_st0 0xDC 0xF0; Fdiv_sti_st0 0xDC 0xF8;
            Faddp_sti_st0 0xDE 0xC0; Fmulp_sti_st0 0xDE 0xC8; Fsubrp_sti_st0 0xDE 0xE0; Fsubp_sti_st0 0xDE 0xE8;
            Fdivrp_sti_st0 0xDE 0xF0; Fdivp_sti_st0 0xDE 0xF8;
            Fld_sti 0xD9 0xC0; Fxch_st0_sti 0xD9 0xC8; Fst_sti 0xDD 0xD0; Fstp_sti 0xDD 0xD8;
            Fucom_st0_sti 0xDD 0xE0; Fucomp_st0_sti 0xDD 0xE8;
            Fcomi_st0_sti 0xDB 0xF0; Fucomi_st0_sti 0xDB 0xE8; Fcomip_st0_sti 0xDF 0xF0; Fucomip_st0_sti 0xDF 0xE8;
            Fcmovb_st0_sti 0xDA 0xC0; Fcmove_st0_sti 0xDA 0xC8; Fcmovbe_st0_sti 0xDA 0xD0; Fcmovu_st0_sti 0xDA 0xD8;
            Fcmovnb_st0_sti 0xDB 0xC0; Fcmovne_st0_sti 0xDB 0xC8; Fcmovnbe_st0_sti 0xDB 0xD0;
            Fcmovnu_st0_sti 0xDB 0xD8;
        }
        Fixed {
            Fchs 0xD9 0xE0; Fabs 0xD9 0xE1; Ftst 0xD9 0xE4; Fxam 0xD9 0xE5; Fsqrt 0xD9 0xFA; Frndint 0xD9 0xFC;
            Fld1 0xD9 0xE8; Fldl2t 0xD9 0xE9; Fldl2e 0xD9 0xEA; Fldpi 0xD9 0xEB; Fldlg2 0xD9 0xEC; Fldln2 0xD9 0xED;
            Fldz 0xD9 0xEE;
            Fcompp 0xDE 0xD9; Fucompp 0xDA 0xE9;
        }
    }
}

/// What is known of the x87 at a place in a block.
#[derive(Clone, Copy, Default)]
pub(super) struct Known {
    /// The guest's registers are in the host's.
    pub resident: bool,
    /// The pointers have the block's code segment, and this segment of data.
    code_segment: bool,
    data_segment: Option<SegReg>,
}

impl Known {
    /// `seg` has been loaded.
    pub(super) fn forget_selector(&mut self, seg: SegReg) {
        self.data_segment = self.data_segment.filter(|&known| known != seg);
    }
}

const CONTROL: i32 = (offset_of!(Cpu, fpu) + offset_of!(Fpu, control)) as i32;

fn pointer(field: usize) -> i32 {
    (offset_of!(Cpu, fpu) + offset_of!(Fpu, pointers) + field) as i32
}

/// FDECSTP, FINCSTP: condition code 1 is 0 after them. Comparisons into EFLAGS leave it on AMD's processors.
const CLEAR_C1: &[u8] = &[0xD9, 0xF6, 0xD9, 0xF7];

/// Bits of the control word that exist, without the one that is always set.
const CONTROL_BITS: u32 = 0x1F3F;
const PRECISION: u32 = 0x300;
const MASKS: u32 = 0x3F;

impl Translator<'_> {
    /// An x87 instruction.
    pub(super) fn x87(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if !self.s.mode.x87() || !self.s.quirks.x87 {
            return None;
        }
        match form(insn.code())? {
            Form::Load(escape, digit, size) => {
                self.x87_on();
                let mem = self.memory(op, size, false)?;
                self.asm.rm(Width::D, &[escape], digit, mem);
                self.x87_pointers(op, true);
            }
            Form::Store(escape, digit, size) => {
                self.x87_on();
                let mem = self.memory(op, size, true)?;
                self.asm.rm(Width::D, &[escape], digit, mem);
                self.x87_pointers(op, true);
            }
            Form::Stack(escape, modrm) => {
                self.x87_on();
                if writes_flags(insn) {
                    self.asm.bytes(CLEAR_C1);
                }
                // One of the two is ST(0), or there is only one.
                self.asm.bytes(&[escape, modrm | (op.reg[0] | op.reg[1]) & 7]);
                self.x87_pointers(op, false);
            }
            Form::Fixed(escape, modrm) => {
                self.x87_on();
                self.asm.bytes(&[escape, modrm]);
                self.x87_pointers(op, false);
            }
            Form::LoadControl => self.load_control(op)?,
            Form::StoreControl => {
                let mem = self.memory(op, 2, true)?;
                self.asm.load(Width::D, R9, of_cpu(CONTROL));
                self.asm.store(Width::W, mem, R9);
            }
            Form::StoreStatus => {
                self.x87_on();
                let mem = self.memory(op, 2, true)?;
                self.asm.rm(Width::D, &[0xDD], 7, mem);
            }
            Form::StatusToAx => {
                self.x87_on();
                self.asm.bytes(&[0xDF, 0xE0]);
            }
            // Nothing is pending.
            Form::Wait => {}
        }
        Some(())
    }

    /// The guest's registers are in the host's from here on.
    fn x87_on(&mut self) {
        if !self.x87.resident {
            self.x87.resident = true;
            self.asm.load(Width::D, RCX, of_cpu(RESIDENT));
            let site = self.asm.jrcxz();
            self.checks.push((site, Slow::X87(self.asm.pos(), self.float)));
        }
    }

    /// FLDCW of a word that leaves all exceptions masked and asks for a precision that exists.
    fn load_control(&mut self, op: &Op) -> Option<()> {
        self.x87_on();
        let mem = self.memory(op, 2, false)?;
        self.asm.rm(Width::D, &[0x0F, 0xB7], R9, mem);
        self.asm.mov_imm(RCX, PRECISION);
        self.asm.pext(RCX, R9, RCX);
        self.asm.lea(Width::Q, RCX, at(RCX, -1));
        self.check();
        // 2^63, shifted out by any of -63 to -1.
        self.asm.mov_imm(RCX, MASKS);
        self.asm.pext(RCX, R9, RCX);
        self.asm.lea(Width::Q, RCX, at(RCX, -(MASKS as i32)));
        self.asm.mov_imm64(R8, 1 << 63);
        self.asm.shift_x(Width::Q, 1, RCX, R8, RCX);
        self.check();
        self.asm.mov_imm(RCX, CONTROL_BITS);
        self.asm.pext(R8, R9, RCX);
        self.asm.pdep(R8, R8, RCX);
        self.asm.lea(Width::D, R8, at(R8, 0x40));
        self.asm.store(Width::W, of_cpu(CONTROL), R8);
        if !self.has(EmitFault::X87ControlUnseen) {
            self.asm.rm(Width::D, &[0xD9], 5, of_cpu(CONTROL));
        }
        // Nothing is pending.
        for line in [offset_of!(Lines, float_error), offset_of!(Lines, ignore_float_error)] {
            self.asm.store_imm(Width::B, of_cpu((offset_of!(Cpu, lines) + line) as i32), 0);
        }
        Some(())
    }

    /// Remember the instruction just emitted as the last one. If there was a memory operand, R8 has its linear address.
    fn x87_pointers(&mut self, op: &Op, memory: bool) {
        if memory && !self.has(EmitFault::X87DataPointerKept) {
            let segment = self.s.mode.segment(op.ea.seg);
            let grouped = self.planned[self.n].operand.is_some();
            if grouped || segment.dynamic || segment.base != 0 {
                self.offset(&op.ea);
            }
            self.asm.store(Width::D, of_cpu(pointer(offset_of!(Pointers, data))), R8);
            if self.x87.data_segment != Some(op.ea.seg) {
                self.x87.data_segment = Some(op.ea.seg);
                self.copy_selector(op.ea.seg, offset_of!(Pointers, data_segment));
            }
        }
        if !self.x87.code_segment {
            self.x87.code_segment = true;
            self.copy_selector(SegReg::Cs, offset_of!(Pointers, code_segment));
        }
        if self.is_followed_by_another() || self.has(EmitFault::X87PointerKept) {
            return;
        }
        self.asm.store_imm(Width::D, of_cpu(pointer(offset_of!(Pointers, instruction))), self.eip);
        self.asm.store_imm(Width::W, of_cpu(pointer(offset_of!(Pointers, opcode))), op.imm);
    }

    fn copy_selector(&mut self, seg: SegReg, field: usize) {
        let selector = of_cpu(segment_field(seg, offset_of!(Segment, selector)));
        self.asm.rm(Width::D, &[0x0F, 0xB7], RCX, selector);
        self.asm.store(Width::W, of_cpu(pointer(field)), RCX);
    }

    /// The next instruction cannot but become the last one: nobody sees what is remembered of this one.
    fn is_followed_by_another(&self) -> bool {
        let next = self.s.insns.get(self.n + 1).and_then(|insn| form(insn.code()));
        matches!(next, Some(Form::Stack(..) | Form::Fixed(..)))
    }
}

/// Has code in line where there is an x87.
pub(super) fn is_listed(insn: &Instruction) -> bool {
    form(insn.code()).is_some()
}

/// On the list, and its memory operand, if it has one, is not written.
pub(super) fn only_reads(insn: &Instruction) -> bool {
    matches!(form(insn.code()), Some(Form::Load(..) | Form::LoadControl))
}

/// Compares into EFLAGS.
pub(super) fn writes_flags(insn: &Instruction) -> bool {
    matches!(insn.mnemonic(), Mnemonic::Fcomi | Mnemonic::Fcomip | Mnemonic::Fucomi | Mnemonic::Fucomip)
}

/// May change the control word to one that does not mask all exceptions, or back.
pub(super) fn changes_control(insn: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(insn.mnemonic(), Fldcw | Fninit | Fnstenv | Fldenv | Fnsave | Frstor | Fxrstor)
}
