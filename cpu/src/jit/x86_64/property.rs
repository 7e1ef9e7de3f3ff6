//! What the translator asks of an instruction, a register or a field, whatever the block.

use super::asm::{Mem, R8, RAX, RCX, RDX, Reg, Width};
use super::simd::uses_xmm;
use super::string::{Kind, string};
use super::translate::{ESP, GUEST};
use super::x87;
use crate::Cpu;
use crate::flags::Flags;
use crate::seg::{SegReg, Segment};
use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, Register};
use std::mem::offset_of;

/// Offset in the `Cpu` of a field of a segment register.
pub(super) const fn segment_field(seg: SegReg, field: usize) -> i32 {
    (offset_of!(Cpu, regs.seg) + seg as usize * size_of::<Segment>() + field) as i32
}

/// Offset in the `Cpu` of the flags that are not arithmetic.
pub(super) const SYSTEM_FLAGS: i32 = (offset_of!(Cpu, regs.flags) + Flags::SYSTEM) as i32;

/// The checked operand.
pub(super) const HOST: Mem = Mem { base: RCX, index: Some((R8, 0)), disp: 0 };

pub(super) fn uses_ecx(byte: u8) -> bool {
    matches!(byte, 1 | 5)
}

pub(super) enum Byte {
    Low(Reg),
    High(Reg),
}

pub(super) fn byte_register(n: u8) -> Byte {
    if n < 4 { Byte::Low(GUEST[n as usize]) } else { Byte::High(n) }
}

/// Low bytes of EAX, EDX, EBX need no REX and that of R14 gets one anyway.
pub(super) fn needs_rex(r: Reg) -> Option<Reg> {
    (!(4..8).contains(&r)).then_some(r)
}

/// Width of operand 0 (of operand 1 if that is memory without a size of its own).
pub(super) fn width(insn: &Instruction) -> Option<Width> {
    let size = match insn.op0_kind() {
        OpKind::Register => insn.op0_register().size(),
        OpKind::Memory => insn.memory_size().size(),
        _ => return None,
    };
    match size {
        1 => Some(Width::B),
        2 => Some(Width::W),
        4 => Some(Width::D),
        _ => None,
    }
}

/// The branch keeps all 32 bits of EIP.
pub(super) fn is_wide_branch(insn: &Instruction) -> bool {
    insn.op0_kind() == OpKind::NearBranch32
}

/// The condition's number in the opcode.
pub(super) fn condition(insn: &Instruction) -> Option<u8> {
    use iced_x86::ConditionCode as C;
    Some(match insn.condition_code() {
        C::o => 0,
        C::no => 1,
        C::b => 2,
        C::ae => 3,
        C::e => 4,
        C::ne => 5,
        C::be => 6,
        C::a => 7,
        C::s => 8,
        C::ns => 9,
        C::p => 10,
        C::np => 11,
        C::l => 12,
        C::ge => 13,
        C::le => 14,
        C::g => 15,
        C::None => return None,
    })
    .filter(|_| !matches!(insn.mnemonic(), Mnemonic::Loope | Mnemonic::Loopne))
}

/// Writes every arithmetic flag.
pub(super) fn kills(insn: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(insn.mnemonic(), Add | Sub | Adc | Sbb | And | Or | Xor | Cmp | Test | Neg | Imul | Mul)
        || matches!(insn.mnemonic(), Comiss | Comisd | Ucomiss | Ucomisd)
        || matches!(string(insn), Some((Kind::Compare | Kind::Scan, _)))
        || matches!(insn.mnemonic(), Shl | Sal | Shr | Sar) && insn.op1_kind() != OpKind::Register
        || x87::writes_flags(insn)
}

/// All its registers are general ones.
pub(super) fn is_general(insn: &Instruction) -> bool {
    (0..insn.op_count()).all(|n| {
        let r = insn.op_register(n);
        insn.op_kind(n) != OpKind::Register || r.is_gpr8() || r.is_gpr16() || r.is_gpr32()
    })
}

/// MOV, PUSH and POP of a segment register that have code in line.
pub(super) fn moves_segment(insn: &Instruction) -> bool {
    use Code::*;
    let loads_data = !matches!(insn.op0_register(), Register::CS | Register::SS);
    match insn.code() {
        Mov_Sreg_rm16 | Mov_Sreg_r32m16 | Popd_ES | Popd_DS | Popd_FS | Popd_GS => loads_data,
        Mov_rm16_Sreg | Mov_r32m16_Sreg | Pushd_ES | Pushd_CS | Pushd_SS | Pushd_DS | Pushd_FS | Pushd_GS => {
            true
        }
        _ => false,
    }
}

/// Of those, loads of a segment register from a general one or the stack.
pub(super) fn loads_segment(insn: &Instruction) -> bool {
    let from_register = insn.op_count() == 1 || insn.op1_kind() == OpKind::Register;
    let load = insn.mnemonic() != Mnemonic::Push && insn.op0_register().is_segment_register();
    moves_segment(insn) && load && from_register
}

/// Whether there is a chance that no handler runs. If one does after all, its only effect on groups is that they are
/// checked one by one.
pub(super) fn may_be_in_line(insn: &Instruction) -> bool {
    use Mnemonic::*;
    kills(insn)
        || leaves_flags(insn)
        || reads_only(insn)
        || matches!(insn.mnemonic(), Inc | Dec | Rol | Ror | Shl | Shr | Sar | Div | Idiv | Call | Ret | Jmp)
        || insn.flow_control() == FlowControl::ConditionalBranch
}

/// Touches no arithmetic flag, and has code in line.
pub(super) fn leaves_flags(insn: &Instruction) -> bool {
    use Mnemonic::*;
    uses_xmm(insn)
        || moves_segment(insn)
        || insn.code() == Code::Mov_r32_cr
        || matches!(string(insn), Some((Kind::Move | Kind::Load | Kind::Store, _)))
        || x87::is_listed(insn) && !x87::writes_flags(insn)
        || is_general(insn)
            && matches!(
                insn.mnemonic(),
                Mov | Lea
                    | Movzx
                    | Movsx
                    | Push
                    | Pop
                    | Xchg
                    | Not
                    | Bswap
                    | Cdq
                    | Rdtsc
                    | Cwde
                    | Cbw
                    | Cwd
                    | Nop
                    | Leave
            )
}

/// SETcc and CMOVcc.
pub(super) fn reads_only(insn: &Instruction) -> bool {
    insn.condition_code() != iced_x86::ConditionCode::None && insn.flow_control() == FlowControl::Next
}

/// Whether `insn`, one of those above, may write host register `r`.
pub(super) fn writes(insn: &Instruction, r: Reg) -> bool {
    use Mnemonic::*;
    let names = |n: u32| {
        insn.op_kind(n) == OpKind::Register
            && GUEST.get(insn.op_register(n).full_register32().number()) == Some(&r)
    };
    if let Some((kind, _)) = string(insn) {
        let (source, destination) = (kind != Kind::Scan && kind != Kind::Store, kind != Kind::Load);
        let counts = insn.has_rep_prefix() || insn.has_repne_prefix();
        return counts && r == GUEST[1]
            || source && r == GUEST[6]
            || destination && r == GUEST[7]
            || kind == Kind::Load && r == RAX;
    }
    match insn.mnemonic() {
        _ if x87::is_listed(insn) => r == RAX && insn.code() == Code::Fnstsw_AX,
        Cdq | Cwd | Mul | Rdtsc => r == RAX || r == RDX,
        Imul if insn.op_count() == 1 => r == RAX || r == RDX,
        Cwde | Cbw => r == RAX,
        Push => r == ESP,
        Comiss | Comisd | Ucomiss | Ucomisd => false,
        Pop | Leave => true,
        Xchg => names(0) || names(1),
        Cmp | Test => false,
        _ => insn.op_count() > 0 && names(0),
    }
}

/// Instructions in the middle of a block that may change what the code takes for granted.
pub(super) fn changes_mode(insn: &Instruction) -> bool {
    let target = insn.op0_register();
    (target.is_segment_register() && insn.mnemonic() != Mnemonic::Push)
        || target.is_cr()
        || x87::changes_control(insn)
        || matches!(
            insn.mnemonic(),
            Mnemonic::Cld
                | Mnemonic::Std
                | Mnemonic::Popf
                | Mnemonic::Popfd
                | Mnemonic::Clts
                | Mnemonic::Lmsw
                | Mnemonic::Ldmxcsr
                | Mnemonic::Lds
                | Mnemonic::Les
                | Mnemonic::Lfs
                | Mnemonic::Lgs
                | Mnemonic::Lss
        )
}
