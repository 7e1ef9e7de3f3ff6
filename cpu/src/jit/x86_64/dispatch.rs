//! The search for the block that an indirect jump or a return leads to.

use super::stubs::{EIP, Ops, Stubs, in_cpu};
use crate::jit::Leave;
use crate::mmu::flat;
use dynasmrt::{DynasmApi, DynasmLabelApi, dynasm};

/// RCX := 0 if the jump table at `table` (see `jit::jump_table`) has the block at EIP = R8D in a code segment that begins at `base`, and R10 the
/// place it has it in. R9 is lost.
pub(in crate::jit) fn look_up(table: u64, base: u32) -> Vec<u8> {
    let mut ops = Ops::new(0);
    dynasm!(ops
        ; .arch x64
        ; rorx r9d, r8d, 13
        ; lea r9d, [r9 + r8]
        ; movzx r9d, r9w
        ; mov r10, QWORD table as i64
        ; lea r9, [r9 + r9]
        ; lea r10, [r10 + r9 * 8]
    );
    if base == 0 {
        dynasm!(ops ; .arch x64 ; shrx ecx, r8d, r13d);
    } else {
        dynasm!(ops ; .arch x64 ; lea ecx, [r8 + base as i32] ; shrx ecx, ecx, r13d);
    }
    dynasm!(ops
        ; .arch x64
        ; mov rcx, [r13 + rcx * 8 + flat::FETCH]
        ; mov r9, [r10]
        ; lea rcx, [rcx + r9]
        ; lea rcx, [rcx + r8]
    );
    ops.finalize().expect("it has no labels")
}

/// `jmp [r10 + 8]`: to the block that [`look_up`] found.
pub(super) const JUMP_TO_FOUND: [u8; 4] = [0x41, 0xFF, 0x62, 8];

/// The search for the block at EIP = R8D by `look_up`, in a code segment that begins at `base`; leaves for an indirect
/// target, with EIP stored, if there is none. `at` is where this code will be.
pub(in crate::jit) fn dispatch(look_up: &[u8], base: u32, stubs: &Stubs, at: usize) -> Vec<u8> {
    let reason = Leave::Indirect as u32;
    let mut ops = Ops::new(0);
    let distance = |place: usize, end: usize| (place as i64 - (at + end) as i64) as i32;
    dynasm!(ops ; .arch x64 ; again:);
    dynasm!(ops ; .arch x64 ; .bytes look_up ; jrcxz >found);
    if base == 0 {
        // If the block is known, its page has perhaps only not been looked up yet.
        dynasm!(ops
            ; .arch x64
            ; mov ecx, [r10]
            ; lea ecx, [rcx + r8]
            ; jrcxz >known
            ; jmp >miss
            ; known:
        );
        let refill = distance(stubs.refill_fetch, ops.offset().0 + 5);
        dynasm!(ops
            ; .arch x64
            ; .bytes [0xE8]
            ; .bytes refill.to_le_bytes()
            ; jrcxz >miss
            ; jmp <again
        );
    }
    dynasm!(ops
        ; .arch x64
        ; miss:
        ; mov [r11 + in_cpu(EIP)], r8d
        ; mov ecx, reason as i32
    );
    let seek = distance(stubs.seek, ops.offset().0 + 5);
    dynasm!(ops
        ; .arch x64
        ; .bytes [0xE9]
        ; .bytes seek.to_le_bytes()
        ; found:
        ; .bytes JUMP_TO_FOUND
    );
    ops.finalize().expect("labels are local to this function")
}
