//! SSE and SSE2 in line: the guest's own instruction on the host, with the guest's XMM registers in the `Cpu`.
//!
//! The list below is the *committed list* of design.md: integer operations and moves are exact by nature; the floating
//! point ones are IEEE operations whose results, NaNs and flags are the same on every x86 (they are tested against the
//! interpreter's software arithmetic), and they run only while all exceptions are masked, under the guest's MXCSR.
//! Approximations (RCPPS, RSQRTPS) are not on it.

use super::asm::{Mem, RCX, Reg, Width};
use super::host_float::FLOAT;
use super::slow::Slow;
use super::stubs::MXCSR;
use super::translate::{GUEST, Translator, of_cpu};
use crate::Cpu;
use crate::decode::Op;
use crate::simd::Simd;
use iced_x86::{Code, Instruction, OpKind, Register};
use std::mem::offset_of;

/// The host register that operations use.
const XMM0: Reg = 0;

/// How an operation reads its second operand, and what it needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// 128 bits, aligned if in memory.
    Packed,
    /// 128 bits and an immediate.
    PackedImm,
    /// The same, under MXCSR.
    Float,
    FloatImm,
    /// The low 32 or 64 bits, under MXCSR.
    Float4,
    Float4Imm,
    Float8,
    Float8Imm,
    /// The low 64 bits of memory, without MXCSR.
    Packed8,
    /// The destination is only written.
    FloatOver,
    Float8Over,
}

impl Kind {
    fn bytes(self) -> u32 {
        match self {
            Kind::Float4 | Kind::Float4Imm => 4,
            Kind::Float8 | Kind::Float8Imm | Kind::Float8Over | Kind::Packed8 => 8,
            _ => 16,
        }
    }
    fn is_float(self) -> bool {
        !matches!(self, Kind::Packed | Kind::PackedImm | Kind::Packed8)
    }
    fn has_imm(self) -> bool {
        matches!(self, Kind::PackedImm | Kind::FloatImm | Kind::Float4Imm | Kind::Float8Imm)
    }
}

/// Mandatory prefix (0 for none) and opcode after 0F.
type Row = (u8, u8, Kind);

macro_rules! rows {
    ($code:expr; $($name:ident $prefix:literal $opcode:literal $kind:ident;)*) => {
        match $code {
            $(Code::$name => Some(($prefix, $opcode, Kind::$kind)),)*
            _ => None,
        }
    };
}

fn row(code: Code) -> Option<Row> {
    rows! { code;
        Addps_xmm_xmmm128 0 0x58 Float; Addpd_xmm_xmmm128 0x66 0x58 Float;
        Addss_xmm_xmmm32 0xF3 0x58 Float4; Addsd_xmm_xmmm64 0xF2 0x58 Float8;
        Mulps_xmm_xmmm128 0 0x59 Float; Mulpd_xmm_xmmm128 0x66 0x59 Float;
        Mulss_xmm_xmmm32 0xF3 0x59 Float4; Mulsd_xmm_xmmm64 0xF2 0x59 Float8;
        Subps_xmm_xmmm128 0 0x5C Float; Subpd_xmm_xmmm128 0x66 0x5C Float;
        Subss_xmm_xmmm32 0xF3 0x5C Float4; Subsd_xmm_xmmm64 0xF2 0x5C Float8;
        Minps_xmm_xmmm128 0 0x5D Float; Minpd_xmm_xmmm128 0x66 0x5D Float;
        Minss_xmm_xmmm32 0xF3 0x5D Float4; Minsd_xmm_xmmm64 0xF2 0x5D Float8;
        Divps_xmm_xmmm128 0 0x5E Float; Divpd_xmm_xmmm128 0x66 0x5E Float;
        Divss_xmm_xmmm32 0xF3 0x5E Float4; Divsd_xmm_xmmm64 0xF2 0x5E Float8;
        Maxps_xmm_xmmm128 0 0x5F Float; Maxpd_xmm_xmmm128 0x66 0x5F Float;
        Maxss_xmm_xmmm32 0xF3 0x5F Float4; Maxsd_xmm_xmmm64 0xF2 0x5F Float8;
        Sqrtps_xmm_xmmm128 0 0x51 FloatOver; Sqrtpd_xmm_xmmm128 0x66 0x51 FloatOver;
        Sqrtss_xmm_xmmm32 0xF3 0x51 Float4; Sqrtsd_xmm_xmmm64 0xF2 0x51 Float8;
        Cmpps_xmm_xmmm128_imm8 0 0xC2 FloatImm; Cmppd_xmm_xmmm128_imm8 0x66 0xC2 FloatImm;
        Cmpss_xmm_xmmm32_imm8 0xF3 0xC2 Float4Imm; Cmpsd_xmm_xmmm64_imm8 0xF2 0xC2 Float8Imm;
        Cvtdq2ps_xmm_xmmm128 0 0x5B FloatOver; Cvtps2dq_xmm_xmmm128 0x66 0x5B FloatOver;
        Cvttps2dq_xmm_xmmm128 0xF3 0x5B FloatOver; Cvtdq2pd_xmm_xmmm64 0xF3 0xE6 Float8Over;
        Cvttpd2dq_xmm_xmmm128 0x66 0xE6 FloatOver; Cvtpd2dq_xmm_xmmm128 0xF2 0xE6 FloatOver;
        Cvtps2pd_xmm_xmmm64 0 0x5A Float8Over; Cvtpd2ps_xmm_xmmm128 0x66 0x5A FloatOver;
        Cvtss2sd_xmm_xmmm32 0xF3 0x5A Float4; Cvtsd2ss_xmm_xmmm64 0xF2 0x5A Float8;
        Andps_xmm_xmmm128 0 0x54 Packed; Andpd_xmm_xmmm128 0x66 0x54 Packed;
        Andnps_xmm_xmmm128 0 0x55 Packed; Andnpd_xmm_xmmm128 0x66 0x55 Packed;
        Orps_xmm_xmmm128 0 0x56 Packed; Orpd_xmm_xmmm128 0x66 0x56 Packed;
        Xorps_xmm_xmmm128 0 0x57 Packed; Xorpd_xmm_xmmm128 0x66 0x57 Packed;
        Unpcklps_xmm_xmmm128 0 0x14 Packed; Unpcklpd_xmm_xmmm128 0x66 0x14 Packed;
        Unpckhps_xmm_xmmm128 0 0x15 Packed; Unpckhpd_xmm_xmmm128 0x66 0x15 Packed;
        Shufps_xmm_xmmm128_imm8 0 0xC6 PackedImm; Shufpd_xmm_xmmm128_imm8 0x66 0xC6 PackedImm;
        Pshufd_xmm_xmmm128_imm8 0x66 0x70 PackedImm; Pshuflw_xmm_xmmm128_imm8 0xF2 0x70 PackedImm;
        Pshufhw_xmm_xmmm128_imm8 0xF3 0x70 PackedImm;
        Punpcklbw_xmm_xmmm128 0x66 0x60 Packed; Punpcklwd_xmm_xmmm128 0x66 0x61 Packed;
        Punpckldq_xmm_xmmm128 0x66 0x62 Packed; Packsswb_xmm_xmmm128 0x66 0x63 Packed;
        Pcmpgtb_xmm_xmmm128 0x66 0x64 Packed; Pcmpgtw_xmm_xmmm128 0x66 0x65 Packed;
        Pcmpgtd_xmm_xmmm128 0x66 0x66 Packed; Packuswb_xmm_xmmm128 0x66 0x67 Packed;
        Punpckhbw_xmm_xmmm128 0x66 0x68 Packed; Punpckhwd_xmm_xmmm128 0x66 0x69 Packed;
        Punpckhdq_xmm_xmmm128 0x66 0x6A Packed; Packssdw_xmm_xmmm128 0x66 0x6B Packed;
        Punpcklqdq_xmm_xmmm128 0x66 0x6C Packed; Punpckhqdq_xmm_xmmm128 0x66 0x6D Packed;
        Pcmpeqb_xmm_xmmm128 0x66 0x74 Packed; Pcmpeqw_xmm_xmmm128 0x66 0x75 Packed;
        Pcmpeqd_xmm_xmmm128 0x66 0x76 Packed;
        Psrlw_xmm_xmmm128 0x66 0xD1 Packed; Psrld_xmm_xmmm128 0x66 0xD2 Packed;
        Psrlq_xmm_xmmm128 0x66 0xD3 Packed; Paddq_xmm_xmmm128 0x66 0xD4 Packed;
        Pmullw_xmm_xmmm128 0x66 0xD5 Packed; Psubusb_xmm_xmmm128 0x66 0xD8 Packed;
        Psubusw_xmm_xmmm128 0x66 0xD9 Packed; Pminub_xmm_xmmm128 0x66 0xDA Packed;
        Pand_xmm_xmmm128 0x66 0xDB Packed; Paddusb_xmm_xmmm128 0x66 0xDC Packed;
        Paddusw_xmm_xmmm128 0x66 0xDD Packed; Pmaxub_xmm_xmmm128 0x66 0xDE Packed;
        Pandn_xmm_xmmm128 0x66 0xDF Packed; Pavgb_xmm_xmmm128 0x66 0xE0 Packed;
        Psraw_xmm_xmmm128 0x66 0xE1 Packed; Psrad_xmm_xmmm128 0x66 0xE2 Packed;
        Pavgw_xmm_xmmm128 0x66 0xE3 Packed; Pmulhuw_xmm_xmmm128 0x66 0xE4 Packed;
        Pmulhw_xmm_xmmm128 0x66 0xE5 Packed; Psubsb_xmm_xmmm128 0x66 0xE8 Packed;
        Psubsw_xmm_xmmm128 0x66 0xE9 Packed; Pminsw_xmm_xmmm128 0x66 0xEA Packed;
        Por_xmm_xmmm128 0x66 0xEB Packed; Paddsb_xmm_xmmm128 0x66 0xEC Packed;
        Paddsw_xmm_xmmm128 0x66 0xED Packed; Pmaxsw_xmm_xmmm128 0x66 0xEE Packed;
        Pxor_xmm_xmmm128 0x66 0xEF Packed; Psllw_xmm_xmmm128 0x66 0xF1 Packed;
        Pslld_xmm_xmmm128 0x66 0xF2 Packed; Psllq_xmm_xmmm128 0x66 0xF3 Packed;
        Pmuludq_xmm_xmmm128 0x66 0xF4 Packed; Pmaddwd_xmm_xmmm128 0x66 0xF5 Packed;
        Psadbw_xmm_xmmm128 0x66 0xF6 Packed; Psubb_xmm_xmmm128 0x66 0xF8 Packed;
        Psubw_xmm_xmmm128 0x66 0xF9 Packed; Psubd_xmm_xmmm128 0x66 0xFA Packed;
        Psubq_xmm_xmmm128 0x66 0xFB Packed; Paddb_xmm_xmmm128 0x66 0xFC Packed;
        Paddw_xmm_xmmm128 0x66 0xFD Packed; Paddd_xmm_xmmm128 0x66 0xFE Packed;
        Movlps_xmm_m64 0 0x12 Packed8; Movlpd_xmm_m64 0x66 0x12 Packed8;
        Movhps_xmm_m64 0 0x16 Packed8; Movhpd_xmm_m64 0x66 0x16 Packed8;
    }
}

/// Offset of an XMM register in the `Cpu`.
fn xmm(n: u8) -> Mem {
    of_cpu((offset_of!(Cpu, simd) + offset_of!(Simd, xmm)) as i32 + 16 * (n as i32 & 7))
}

impl Translator<'_> {
    /// An instruction on XMM registers.
    pub(super) fn simd(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if !self.s.mode.simd() || (0..insn.op_count()).any(|n| insn.op_register(n).is_mm()) {
            return None;
        }
        if let Some(row) = row(insn.code()) {
            return self.simd_row(insn, op, row);
        }
        self.simd_move(insn, op)
    }

    fn sse_rm(&mut self, prefix: u8, opcode: u8, reg: Reg, mem: Mem) {
        self.sse(prefix, Width::D, opcode, reg, Err(mem));
    }

    /// Mandatory prefix, then REX, then 0F and the opcode.
    fn sse(&mut self, prefix: u8, w: Width, opcode: u8, reg: Reg, rm: Result<Reg, Mem>) {
        if prefix != 0 {
            self.asm.byte(prefix);
        }
        match rm {
            Ok(rm) => self.asm.rr(w, &[0x0F, opcode], reg, rm),
            Err(mem) => self.asm.rm(w, &[0x0F, opcode], reg, mem),
        }
    }

    /// The second operand: in the `Cpu`, or checked memory.
    fn simd_source(&mut self, insn: &Instruction, op: &Op, n: u32, size: u32, aligned: bool) -> Option<Mem> {
        if insn.op_kind(n) == OpKind::Memory {
            return if aligned && size == 16 {
                self.memory16(op, false)
            } else {
                self.memory(op, size, false)
            };
        }
        Some(xmm(op.reg[n as usize]))
    }

    fn simd_row(&mut self, insn: &Instruction, op: &Op, (prefix, opcode, kind): Row) -> Option<()> {
        if kind.is_float() && !self.s.mode.masked() {
            return None;
        }
        if kind.is_float() {
            self.float_on();
        }
        let source = self.simd_source(insn, op, 1, kind.bytes(), true)?;
        let over = matches!(kind, Kind::FloatOver | Kind::Float8Over) || opcode == 0x70;
        if !over {
            self.sse_rm(0, 0x28, XMM0, xmm(op.reg[0])); // movaps
        }
        self.sse_rm(prefix, opcode, XMM0, source);
        if kind.has_imm() {
            self.asm.byte(op.imm as u8);
        }
        self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
        Some(())
    }

    fn simd_move(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        use Code::*;
        let memory_last = insn.op1_kind() == OpKind::Memory;
        let memory_first = insn.op0_kind() == OpKind::Memory;
        match insn.code() {
            Movaps_xmm_xmmm128 | Movapd_xmm_xmmm128 | Movdqa_xmm_xmmm128 | Movups_xmm_xmmm128
            | Movupd_xmm_xmmm128 | Movdqu_xmm_xmmm128 => {
                let aligned =
                    matches!(insn.code(), Movaps_xmm_xmmm128 | Movapd_xmm_xmmm128 | Movdqa_xmm_xmmm128);
                let source = self.simd_source(insn, op, 1, 16, aligned)?;
                self.sse_rm(0, 0x10, XMM0, source); // movups
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Movaps_xmmm128_xmm | Movapd_xmmm128_xmm | Movdqa_xmmm128_xmm | Movups_xmmm128_xmm
            | Movupd_xmmm128_xmm | Movdqu_xmmm128_xmm | Movntps_m128_xmm | Movntpd_m128_xmm
            | Movntdq_m128_xmm => {
                let unaligned =
                    matches!(insn.code(), Movups_xmmm128_xmm | Movupd_xmmm128_xmm | Movdqu_xmmm128_xmm);
                let to = if !memory_first {
                    xmm(op.reg[0])
                } else if unaligned {
                    self.memory(op, 16, true)?
                } else {
                    self.memory16(op, true)?
                };
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[1]));
                self.sse_rm(0, 0x11, XMM0, to);
            }
            Movss_xmm_xmmm32 | Movd_xmm_rm32 if memory_last => {
                let source = self.memory(op, 4, false)?;
                self.sse_rm(0xF3, 0x10, XMM0, source);
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Movsd_xmm_xmmm64 | Movq_xmm_xmmm64 if memory_last => {
                let source = self.memory(op, 8, false)?;
                self.sse_rm(0xF2, 0x10, XMM0, source);
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Movss_xmmm32_xmm | Movd_rm32_xmm if memory_first => {
                let to = self.memory(op, 4, true)?;
                self.sse_rm(0xF3, 0x10, XMM0, xmm(op.reg[1]));
                self.sse_rm(0xF3, 0x11, XMM0, to);
            }
            Movsd_xmmm64_xmm | Movq_xmmm64_xmm | Movlps_m64_xmm | Movlpd_m64_xmm if memory_first => {
                let to = self.memory(op, 8, true)?;
                self.sse_rm(0xF2, 0x10, XMM0, xmm(op.reg[1]));
                self.sse_rm(0xF2, 0x11, XMM0, to);
            }
            Movhps_m64_xmm | Movhpd_m64_xmm => {
                let to = self.memory(op, 8, true)?;
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[1]));
                self.sse_rm(0, 0x17, XMM0, to);
            }
            Movhlps_xmm_xmm | Movlhps_xmm_xmm => {
                let high_to_low = insn.code() == Movhlps_xmm_xmm;
                let from = xmm(op.reg[1]);
                let from = if high_to_low { Mem { disp: from.disp + 8, ..from } } else { from };
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[0]));
                self.sse_rm(0, if high_to_low { 0x12 } else { 0x16 }, XMM0, from);
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            // Between registers: the low lane alone.
            Movss_xmm_xmmm32 | Movss_xmmm32_xmm => {
                self.sse_rm(0xF3, 0x10, XMM0, xmm(op.reg[1]));
                self.sse_rm(0xF3, 0x11, XMM0, xmm(op.reg[0]));
            }
            Movsd_xmm_xmmm64 | Movsd_xmmm64_xmm => {
                self.sse_rm(0xF2, 0x10, XMM0, xmm(op.reg[1]));
                self.sse_rm(0xF2, 0x11, XMM0, xmm(op.reg[0]));
            }
            Movq_xmm_xmmm64 | Movq_xmmm64_xmm => {
                self.sse_rm(0xF2, 0x10, XMM0, xmm(op.reg[1]));
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Movd_xmm_rm32 => {
                self.sse(0x66, Width::D, 0x6E, XMM0, Ok(GUEST[op.reg[1] as usize]));
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Movd_rm32_xmm => self.asm.load(Width::D, GUEST[op.reg[0] as usize], xmm(op.reg[1])),
            Pmovmskb_r32_xmm | Movmskps_r32_xmm | Movmskpd_r32_xmm => {
                let (prefix, opcode) = match insn.code() {
                    Pmovmskb_r32_xmm => (0x66, 0xD7),
                    Movmskps_r32_xmm => (0, 0x50),
                    _ => (0x66, 0x50),
                };
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[1]));
                self.sse(prefix, Width::D, opcode, GUEST[op.reg[0] as usize], Ok(XMM0));
            }
            Psrlw_xmm_imm8 | Psraw_xmm_imm8 | Psllw_xmm_imm8 | Psrld_xmm_imm8 | Psrad_xmm_imm8
            | Pslld_xmm_imm8 | Psrlq_xmm_imm8 | Psllq_xmm_imm8 | Psrldq_xmm_imm8 | Pslldq_xmm_imm8 => {
                let (opcode, n) = match insn.code() {
                    Psrlw_xmm_imm8 => (0x71, 2),
                    Psraw_xmm_imm8 => (0x71, 4),
                    Psllw_xmm_imm8 => (0x71, 6),
                    Psrld_xmm_imm8 => (0x72, 2),
                    Psrad_xmm_imm8 => (0x72, 4),
                    Pslld_xmm_imm8 => (0x72, 6),
                    Psrlq_xmm_imm8 => (0x73, 2),
                    Psllq_xmm_imm8 => (0x73, 6),
                    Psrldq_xmm_imm8 => (0x73, 3),
                    _ => (0x73, 7),
                };
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[0]));
                self.sse(0x66, Width::D, opcode, n, Ok(XMM0));
                self.asm.byte(op.imm as u8);
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Cvtsi2ss_xmm_rm32 | Cvtsi2sd_xmm_rm32 => {
                if !self.s.mode.masked() {
                    return None;
                }
                self.float_on();
                let rm =
                    if memory_last { Err(self.memory(op, 4, false)?) } else { Ok(GUEST[op.reg[1] as usize]) };
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[0]));
                let prefix = if insn.code() == Cvtsi2ss_xmm_rm32 { 0xF3 } else { 0xF2 };
                self.sse(prefix, Width::D, 0x2A, XMM0, rm);
                self.sse_rm(0, 0x29, XMM0, xmm(op.reg[0]));
            }
            Cvttss2si_r32_xmmm32 | Cvtss2si_r32_xmmm32 | Cvttsd2si_r32_xmmm64 | Cvtsd2si_r32_xmmm64 => {
                if !self.s.mode.masked() {
                    return None;
                }
                let (prefix, size) = match insn.code() {
                    Cvttss2si_r32_xmmm32 | Cvtss2si_r32_xmmm32 => (0xF3, 4),
                    _ => (0xF2, 8),
                };
                let truncates = matches!(insn.code(), Cvttss2si_r32_xmmm32 | Cvttsd2si_r32_xmmm64);
                self.float_on();
                let source = self.simd_source(insn, op, 1, size, false)?;
                self.sse_rm(prefix, if truncates { 0x2C } else { 0x2D }, GUEST[op.reg[0] as usize], source);
            }
            Comiss_xmm_xmmm32 | Ucomiss_xmm_xmmm32 | Comisd_xmm_xmmm64 | Ucomisd_xmm_xmmm64 => {
                if !self.s.mode.masked() {
                    return None;
                }
                let (prefix, size) = match insn.code() {
                    Comiss_xmm_xmmm32 | Ucomiss_xmm_xmmm32 => (0, 4),
                    _ => (0x66, 8),
                };
                let quiet = matches!(insn.code(), Ucomiss_xmm_xmmm32 | Ucomisd_xmm_xmmm64);
                self.float_on();
                let source = self.simd_source(insn, op, 1, size, false)?;
                self.sse_rm(0, 0x28, XMM0, xmm(op.reg[0]));
                self.sse_rm(prefix, if quiet { 0x2E } else { 0x2F }, XMM0, source);
            }
            _ => return None,
        }
        Some(())
    }

    // MXCSR: the guest's is in the host's from the first operation that needs it to the next way out of compiled code.

    /// The host computes as the guest wants from here on. Before anything else, for RCX is needed.
    fn float_on(&mut self) {
        if !self.float {
            self.float = true;
            self.asm.load(Width::D, RCX, of_cpu(FLOAT));
            let site = self.asm.jrcxz();
            self.checks.push((site, Slow::Float(self.asm.pos())));
        }
    }

    /// Touches no flag.
    pub(super) fn emit_float_on(&mut self) {
        self.asm.rm(Width::D, &[0x0F, 0xAE], 2, of_cpu(MXCSR)); // ldmxcsr
        self.asm.store_imm(Width::D, of_cpu(FLOAT), 1);
    }
}

/// An instruction on XMM registers, for the rules about flags.
pub(super) fn uses_xmm(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|n| {
        let r = insn.op_register(n);
        insn.op_kind(n) == OpKind::Register && r >= Register::XMM0 && r <= Register::XMM7
    })
}
