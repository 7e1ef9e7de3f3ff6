//! Turning one iced-x86 instruction into an [`Op`]: operands into register numbers, addresses and immediates; the
//! encoding into a handler. Encodings that this processor does not have become #UD (see [`crate::cpuid`]).

use super::{Ea, Op, Prefix};
use crate::fpu;
use crate::interp;
use crate::seg::SegReg;
use iced_x86::{Decoder, DecoderError, DecoderOptions, Instruction, OpKind, Register};

/// Our CPUID knows none of the extensions that re-used old encodings, so F3 0F BC/BD are BSF/BSR and so on.
pub const DECODER_OPTIONS: u32 = DecoderOptions::NO_MPFX_0FBC
    | DecoderOptions::NO_MPFX_0FBD
    | DecoderOptions::NO_WBNOINVD
    | DecoderOptions::FORCE_RESERVED_NOP;

/// Longest instruction, in bytes (SDM vol. 2, 2.3.11).
pub(super) const MAX_LEN: usize = 15;

/// Result of looking at some bytes.
pub(crate) enum Decoded {
    /// A whole instruction (or an invalid one, which executes as #UD). The flag says that control does not simply
    /// fall through to the next instruction, or that the mode may change: the block ends here.
    Op(Op, bool),
    /// The bytes end before the instruction does, or fifteen are not enough for it.
    NeedMore,
}

/// Whether this processor has the encoding of `insn`: if not, it is #UD.
pub fn is_implemented(insn: &Instruction) -> bool {
    interp::handler(insn).is_some()
}

/// A decoder of `bytes`, in a code segment of the given size.
pub(super) fn decoder(bytes: &[u8], big: bool) -> Decoder<'_> {
    Decoder::with_ip(if big { 32 } else { 16 }, bytes, 0, DECODER_OPTIONS)
}

/// Decode the instruction at the start of `bytes` in a code segment of the given size.
pub(crate) fn decode_one(bytes: &[u8], big: bool) -> Decoded {
    decode_next(&mut decoder(bytes, big), bytes, big)
}

/// Decode the next instruction that `decoder` has, which is at the start of `bytes`.
pub(super) fn decode_next(decoder: &mut Decoder<'_>, bytes: &[u8], big: bool) -> Decoded {
    // Branches are relative.
    decoder.set_ip(0);
    let insn = decoder.decode();
    match decoder.last_error() {
        DecoderError::NoMoreBytes => Decoded::NeedMore,
        DecoderError::InvalidInstruction if insn.len() == MAX_LEN && is_too_long(bytes, big) => {
            Decoded::NeedMore
        }
        DecoderError::InvalidInstruction => {
            let mut op = operands(&insn);
            op.run = interp::undefined;
            op.len = (insn.len() as u8).max(1);
            Decoded::Op(op, true)
        }
        _ => {
            let mut op = operands(&insn);
            let (run, ends_block) = interp::bind(&insn);
            op.run = run;
            if let Some(opcode) = fpu::opcode(bytes) {
                op.imm = opcode as u32;
            }
            Decoded::Op(op, ends_block)
        }
    }
}

/// The first `count` instructions of `bytes`.
#[cfg(jit)]
pub(super) fn instructions(bytes: &[u8], big: bool, count: usize) -> Vec<Instruction> {
    decoder(bytes, big).iter().take(count).collect()
}

/// Whether the instruction at the start of `bytes`, invalid within its fifteen bytes, goes on after them: then it is
/// #GP(0) instead of #UD. iced-x86 does not tell, but an instruction so long has a prefix that says nothing about its
/// length, and without that prefix it is just one that misses a byte. Each size prefix counts
/// once, and of the repetitions the last, which may choose the instruction.
fn is_too_long(bytes: &[u8], big: bool) -> bool {
    let mut rest = bytes[..MAX_LEN.min(bytes.len())].to_vec();
    let prefix =
        |b: &&u8| matches!(b, 0x26 | 0x2E | 0x36 | 0x3E | 0x64 | 0x65 | 0x66 | 0x67 | 0xF0 | 0xF2 | 0xF3);
    let prefixes = &rest[..rest.iter().take_while(prefix).count()];
    let says_nothing = |n: &usize| match prefixes[*n] {
        size @ (0x66 | 0x67) => prefixes[n + 1..].contains(&size),
        0xF2 | 0xF3 => prefixes[n + 1..].iter().any(|b| matches!(b, 0xF2 | 0xF3)),
        _ => true,
    };
    let Some(spare) = (0..prefixes.len()).find(says_nothing) else {
        return false;
    };
    rest.remove(spare);
    let mut decoder = decoder(&rest, big);
    let _ = decoder.decode();
    decoder.last_error() == DecoderError::NoMoreBytes
}

fn operands(insn: &Instruction) -> Op {
    let mut op = Op {
        run: interp::undefined,
        ea: Ea::ABSENT,
        imm: 0,
        imm2: 0,
        reg: [0; 3],
        prefix: prefixes(insn),
        len: insn.len() as u8,
        code: insn.code(),
    };
    let mut immediates = 0;
    for n in 0..insn.op_count().min(3) {
        match insn.op_kind(n) {
            OpKind::Register => op.reg[n as usize] = register_number(insn.op_register(n)),
            OpKind::NearBranch16 | OpKind::NearBranch32 => {
                op.imm = insn.near_branch32().wrapping_sub(insn.len() as u32);
            }
            OpKind::FarBranch16 => {
                (op.imm, op.imm2) = (insn.far_branch16() as u32, insn.far_branch_selector())
            }
            OpKind::FarBranch32 => (op.imm, op.imm2) = (insn.far_branch32(), insn.far_branch_selector()),
            OpKind::Memory => op.ea = memory_operand(insn),
            OpKind::MemorySegSI | OpKind::MemorySegESI | OpKind::MemorySegDI | OpKind::MemorySegEDI => {
                op.ea.seg = segment(insn.memory_segment());
                if matches!(insn.op_kind(n), OpKind::MemorySegSI | OpKind::MemorySegDI) {
                    op.prefix |= Prefix::A16;
                }
            }
            OpKind::MemoryESDI => op.prefix |= Prefix::A16,
            OpKind::MemoryESEDI => {}
            _ => {
                let value = insn.immediate(n) as u32;
                if immediates == 0 {
                    op.imm = value
                } else {
                    op.imm2 = value as u16
                }
                immediates += 1;
            }
        }
    }
    op
}

fn prefixes(insn: &Instruction) -> u8 {
    let mut prefix = 0;
    if insn.has_rep_prefix() {
        prefix |= Prefix::REP;
    }
    if insn.has_repne_prefix() {
        prefix |= Prefix::REPNE;
    }
    if insn.has_lock_prefix() {
        prefix |= Prefix::LOCK;
    }
    prefix
}

fn memory_operand(insn: &Instruction) -> Ea {
    let base = insn.memory_base();
    let index = insn.memory_index();
    let a16 = base.size() == 2 || index.size() == 2 || insn.memory_displ_size() == 2;
    let number = |r: Register| if r == Register::None { Ea::NONE } else { register_number(r) };
    Ea {
        seg: segment(insn.memory_segment()),
        base: number(base),
        index: number(index),
        scale: insn.memory_index_scale().trailing_zeros() as u8,
        disp: insn.memory_displacement32(),
        mask: if a16 { 0xFFFF } else { u32::MAX },
    }
}

fn segment(r: Register) -> SegReg {
    SegReg::from_encoding((r as u32).wrapping_sub(Register::ES as u32) as u8).unwrap_or(SegReg::Ds)
}

/// iced-x86's number within the register class: encoding order for every class a 32-bit processor has.
fn register_number(r: Register) -> u8 {
    r.number() as u8
}
