//! REP MOVS and REP STOS inside a page (SDM vol. 1, 5.1.8), without a handler: copies and fills of structures.
//!
//! A piece of code shared by all blocks does all iterations or nothing: upwards, with 32-bit addresses, in segments without
//! limits, where the flat view has both pages, where source and destination do not overlap so that what was stored would be read
//! again, and where the budget has room for every iteration. For anything else the handler runs.

use super::string::{Kind, string};

use super::stubs::{BUDGET_BASE, Ops};
use super::translate::Translator;
use crate::decode::{Op, Prefix};
use crate::jit::EmitFault;
use crate::mmu::flat;
use crate::seg::SegReg;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};
use iced_x86::Instruction;

/// Where the code is: MOVS, then STOS, of bytes, words and doublewords.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::jit) struct Repeats([[usize; 3]; 2]);

const BUDGET_BIT: i8 = BUDGET_BASE.trailing_zeros() as i8;
const _: () = assert!(BUDGET_BASE.is_power_of_two());

/// Emit all six. Each is called with the guest's registers where they are. RCX is 1 if it is done, 0 if nothing is done; R8 and R9 are
/// lost.
pub(super) fn emit(ops: &mut Ops) -> Repeats {
    let mut places = Repeats::default();
    for (moves, row) in [true, false].into_iter().zip(&mut places.0) {
        for (scale, place) in row.iter_mut().enumerate() {
            *place = ops.offset().0;
            one(ops, moves, scale as i8);
        }
    }
    places
}

/// Elements of 2 to the power of `scale` bytes.
fn one(ops: &mut Ops, moves: bool, scale: i8) {
    // Flags, EAX and EDX wait on the stack. R8 is the number of bytes, RAX the source, RDX the destination.
    dynasm!(ops
        ; .arch x64
        ; push rdx
        ; push rax
        ; lahf
        ; seto al
        ; push rax
        ; mov rcx, r12
        ; sub rcx, r14
        ; inc rcx
        ; shr rcx, BUDGET_BIT
        ; jz >no
        ; mov ecx, 4096
        ; shr ecx, scale
        ; cmp r14d, ecx
        ; ja >no
        ; mov r8d, r14d
        ; shl r8d, scale
        ; mov ecx, edi
        ; and ecx, 0xFFF
        ; add ecx, r8d
        ; cmp ecx, 4096
        ; ja >no
        ; mov ecx, edi
        ; shr ecx, 12
        ; mov rdx, [r13 + rcx * 8 + flat::WRITE]
        ; test rdx, rdx
        ; jz >no
        ; add rdx, rdi
    );
    if moves {
        dynasm!(ops
            ; .arch x64
            ; mov ecx, esi
            ; and ecx, 0xFFF
            ; add ecx, r8d
            ; cmp ecx, 4096
            ; ja >no
            ; mov ecx, esi
            ; shr ecx, 12
            ; mov rax, [r13 + rcx * 8 + flat::READ]
            ; test rax, rax
            ; jz >no
            ; add rax, rsi
            ; mov rcx, rdx
            ; sub rcx, rax
            ; cmp rcx, r8
            ; jb >no
            ; mov rcx, r8
            ; sub rcx, 32
            ; jb >rest
            ; long:
            ; movups xmm0, [rax]
            ; movups xmm1, [rax + 16]
            ; movups [rdx], xmm0
            ; movups [rdx + 16], xmm1
            ; add rax, 32
            ; add rdx, 32
            ; sub rcx, 32
            ; jae <long
            ; rest:
            ; add rcx, 28
            ; js >bytes
            ; words:
            ; mov r9d, [rax]
            ; mov [rdx], r9d
            ; add rax, 4
            ; add rdx, 4
            ; sub rcx, 4
            ; jns <words
            ; bytes:
            ; add rcx, 4
            ; jz >done
            ; single:
            ; movzx r9d, BYTE [rax]
            ; mov [rdx], r9b
            ; inc rax
            ; inc rdx
            ; dec rcx
            ; jnz <single
            ; done:
            ; add esi, r8d
        );
    } else {
        dynasm!(ops ; .arch x64 ; mov r9, [rsp + 8]);
        match scale {
            0 => dynasm!(ops ; .arch x64 ; movzx r9d, r9b ; imul r9d, r9d, 0x0101_0101),
            1 => dynasm!(ops ; .arch x64 ; movzx r9d, r9w ; imul r9d, r9d, 0x0001_0001),
            _ => {}
        }
        dynasm!(ops
            ; .arch x64
            ; movd xmm0, r9d
            ; pshufd xmm0, xmm0, 0
            ; mov rcx, r8
            ; sub rcx, 32
            ; jb >rest
            ; long:
            ; movups [rdx], xmm0
            ; movups [rdx + 16], xmm0
            ; add rdx, 32
            ; sub rcx, 32
            ; jae <long
            ; rest:
            ; add rcx, 28
            ; js >bytes
            ; words:
            ; mov [rdx], r9d
            ; add rdx, 4
            ; sub rcx, 4
            ; jns <words
            ; bytes:
            ; add rcx, 4
            ; jz >done
            ; single:
            ; mov [rdx], r9b
            ; shr r9d, 8
            ; inc rdx
            ; dec rcx
            ; jnz <single
            ; done:
        );
    }
    dynasm!(ops
        ; .arch x64
        ; add edi, r8d
        // A count of 0 is one instruction, too.
        ; mov ecx, r14d
        ; cmp ecx, 1
        ; adc ecx, -1
        ; sub r12, rcx
        ; xor r14d, r14d
        ; mov ecx, 1
        ; jmp >out
        ; no:
        ; xor ecx, ecx
        ; out:
        ; pop rax
        ; add al, 0x7F
        ; sahf
        ; pop rax
        ; pop rdx
        ; ret
    );
}

impl Translator<'_> {
    /// REP MOVS and REP STOS.
    pub(super) fn repeated(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let (kind, w) = string(insn)?;
        let row = match kind {
            Kind::Move => 0,
            Kind::Store => 1,
            _ => return None,
        };
        let flat = |seg: SegReg, write: bool| {
            let s = self.s.mode.segment(seg);
            self.s.mode.is_unlimited(seg) && !s.dynamic && s.base == 0 && s.may(write)
        };
        if op.has(Prefix::A16)
            || self.has(EmitFault::RepUncounted)
            || self.s.mode.down()
            || !flat(SegReg::Es, true)
            || kind == Kind::Move && !flat(op.ea.seg, false)
        {
            return None;
        }
        let scale = w.bytes().trailing_zeros() as usize;
        self.call_place(self.s.stubs.repeats.0[row][scale]);
        self.check();
        Some(())
    }
}
