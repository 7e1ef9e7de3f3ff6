//! The fixed pieces of code: the way in, the ways out, calls of handlers, and the search for an indirect target.
//!
//! Host registers while compiled code runs:
//!
//! | host | holds |
//! |---|---|
//! | RAX RDX RBX RBP RSI RDI | EAX EDX EBX EBP ESI EDI |
//! | R14, R15 | ECX, ESP (RCX is needed for JRCXZ, RSP is the host's stack) |
//! | EFLAGS | the guest's arithmetic flags, always |
//! | R11 | the `Cpu` plus 10: also a shift count, as R13 is |
//! | R12 | 2^44 plus the instructions that may still be retired |
//! | R13 | the flat view, biased (see `mmu::flat`) |
//! | RCX R8 R9 | free |
//! | R10 | free, or the address of the first group of accesses (see `groups`) |
//! | the x87 | the guest's, if the frame says so: see `host_float` |

use super::host_float::{self, CONVENTION, FLOAT, IMAGE, RESIDENT};
use super::repeat::{self, Repeats};
use crate::Cpu;
use crate::jit::{Frame, Leave};
use crate::mmu::flat;
use crate::simd::Simd;
use dynasmrt::{DynasmApi, DynasmLabelApi, VecAssembler, dynasm, x64::X64Relocation};
use std::mem::offset_of;

/// Compiled code counts down from this plus the instructions allowed.
pub(in crate::jit) const BUDGET_BASE: u64 = 1 << 44;

/// R11 is the address of the `Cpu`, a multiple of 64, plus this, and so a shift count of 10: what is left to shift from the page
/// number after a rotation by two.
pub(super) const CPU_BIAS: i32 = 10;
const _: () = assert!(align_of::<Cpu>().is_multiple_of(64));

/// Displacement from R11 of what is at `offset` in the `Cpu`.
pub(super) const fn in_cpu(offset: i32) -> i32 {
    offset - CPU_BIAS
}

/// Offset of a general register in the `Cpu`.
pub(super) const fn gpr(n: usize) -> i32 {
    (offset_of!(Cpu, regs.gpr) + 4 * n) as i32
}
/// Offset of EIP in the `Cpu`.
pub(super) const EIP: i32 = offset_of!(Cpu, regs.eip) as i32;
const FLAGS: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, flags)) as i32;
const BUDGET: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, budget)) as i32;
const HELD: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, held)) as i32;
const DISPATCH: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, dispatch)) as i32;
const VIEW: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, view)) as i32;
/// Offsets of the guest's MXCSR, and of the host's own.
pub(super) const MXCSR: i32 = (offset_of!(Cpu, simd) + offset_of!(Simd, mxcsr)) as i32;
const HOST_MXCSR: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, host_mxcsr)) as i32;
/// Offset of the number of the edge that left.
pub(super) const EDGE: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, edge)) as i32;

/// Places of the fixed pieces in the code memory.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::jit) struct Stubs {
    /// `extern "sysv64" fn(*mut Cpu, entry) -> Leave`.
    pub enter: usize,
    /// Jump here with the reason in ECX and EIP stored: everything goes back to the `Cpu`.
    pub leave: usize,
    /// The same if the reason is that the block at EIP is not known here: the runtime looks for it first.
    pub seek: usize,
    /// Call here with EIP in R8D, instructions of the block not retired in R9D, the `Op` in R10.
    pub call: usize,
    /// The same for an instruction that may change the mode.
    pub call_checked: usize,
    /// As `call_checked`, for INT n, IRET, and far calls, jumps and returns.
    pub interrupt: usize,
    pub iret: usize,
    pub far_call: usize,
    pub far_jump: usize,
    pub far_return: usize,
    /// As `call_checked`, where `load_segment` did nothing.
    pub load_segment_checked: usize,
    /// Call here to load the data segment register with number R9D with the selector in R8D: RCX is 1 if that is done and the
    /// mode is the same, 0 if nothing is done. R9 is lost.
    pub load_segment: usize,
    /// Call here with a linear address in R8D that the flat view has nothing for: RCX is 1 if it has something now, else 0. R9 is
    /// lost.
    pub refill_read: usize,
    pub refill_write: usize,
    pub refill_fetch: usize,
    /// Call here with the linear address of four bytes in R8D, aligned or not: RCX becomes what to add to it, or 0 if not both ends are
    /// in one page that is known. R9 is lost.
    pub quad_read: usize,
    pub quad_write: usize,
    /// See [`super::repeat`].
    pub repeats: Repeats,
    /// Call here to have the guest's x87 registers in the host's. R10 stays.
    pub x87_in: usize,
}

pub(super) type Ops = VecAssembler<X64Relocation>;

/// Everything that is in host registers to the `Cpu`, x87 registers to their image, and the host's own MXCSR back.
fn spill(ops: &mut Ops) {
    dynasm!(ops
        ; .arch x64
        ; mov [r11 + in_cpu(gpr(0))], eax
        ; lahf
        ; seto al
        ; mov [r11 + in_cpu(FLAGS)], ax
        ; mov [r11 + in_cpu(gpr(1))], r14d
        ; mov [r11 + in_cpu(gpr(2))], edx
        ; mov [r11 + in_cpu(gpr(3))], ebx
        ; mov [r11 + in_cpu(gpr(4))], r15d
        ; mov [r11 + in_cpu(gpr(5))], ebp
        ; mov [r11 + in_cpu(gpr(6))], esi
        ; mov [r11 + in_cpu(gpr(7))], edi
        ; cmp QWORD [r11 + in_cpu(RESIDENT)], 0
        ; je >done
        ; cmp DWORD [r11 + in_cpu(FLOAT)], 0
        ; je >x87
        ; stmxcsr [r11 + in_cpu(MXCSR)]
        ; ldmxcsr [r11 + in_cpu(HOST_MXCSR)]
        ; mov DWORD [r11 + in_cpu(FLOAT)], 0
        ; x87:
        ; cmp DWORD [r11 + in_cpu(RESIDENT)], 0
        ; je >done
        ; fnsave [r11 + in_cpu(IMAGE)]
        ; fldcw [r11 + in_cpu(CONVENTION)]
        ; done:
    );
}

fn reload(ops: &mut Ops) {
    dynasm!(ops
        ; .arch x64
        ; movzx eax, WORD [r11 + in_cpu(FLAGS)]
        ; add al, 0x7F
        ; sahf
        ; mov eax, [r11 + in_cpu(gpr(0))]
        ; mov r14d, [r11 + in_cpu(gpr(1))]
        ; mov edx, [r11 + in_cpu(gpr(2))]
        ; mov ebx, [r11 + in_cpu(gpr(3))]
        ; mov r15d, [r11 + in_cpu(gpr(4))]
        ; mov ebp, [r11 + in_cpu(gpr(5))]
        ; mov esi, [r11 + in_cpu(gpr(6))]
        ; mov edi, [r11 + in_cpu(gpr(7))]
    );
}

/// Call `function` with the `Cpu`, R8D, R9D and R12, all registers of the guest staying where they are; its result to RCX.
fn quiet_call(ops: &mut Ops, function: u64) {
    // What the called function may change; while the guest's x87 registers are in the host's, none is called.
    dynasm!(ops
        ; .arch x64
        ; push rax
        ; lahf
        ; seto al
        ; push rax
        ; push rdx
        ; push rsi
        ; push rdi
        ; push r8
        ; push r10
        ; push r11
        ; xor ecx, ecx
        ; cmp DWORD [r11 + in_cpu(RESIDENT)], 0
        ; jne >done
        ; lea rdi, [r11 - CPU_BIAS]
        ; mov esi, r8d
        ; mov edx, r9d
        ; mov rcx, r12
        ; sub rsp, 8
        ; mov rax, QWORD function as i64
        ; cmp DWORD [r11 + in_cpu(FLOAT)], 0
        ; jne >float
        ; call rax
        ; back:
        ; add rsp, 8
        ; mov ecx, eax
        ; done:
        ; pop r11
        ; pop r10
        ; pop r8
        ; pop rdi
        ; pop rsi
        ; pop rdx
        ; pop rax
        ; add al, 0x7F
        ; sahf
        ; pop rax
        ; ret
        ; float:
        ; stmxcsr [r11 + in_cpu(MXCSR)]
        ; ldmxcsr [r11 + in_cpu(HOST_MXCSR)]
        ; call rax
        ; mov r11, [rsp + 8]
        ; ldmxcsr [r11 + in_cpu(MXCSR)]
        ; jmp <back
    );
}

/// Addresses of the runtime's functions.
#[derive(Clone, Copy)]
pub(in crate::jit) struct Runtime {
    pub call: u64,
    pub call_checked: u64,
    pub seek: u64,
    pub interrupt: u64,
    pub iret: u64,
    pub far_call: u64,
    pub far_jump: u64,
    pub far_return: u64,
    pub load_segment: u64,
    pub load_segment_checked: u64,
    pub refill_read: u64,
    pub refill_write: u64,
    pub refill_fetch: u64,
}

/// The fixed pieces, and where each begins.
pub(in crate::jit) fn fixed(runtime: Runtime) -> (Vec<u8>, Stubs) {
    let mut ops = Ops::new(0);
    let mut stubs = Stubs { enter: ops.offset().0, ..Stubs::default() };
    dynasm!(ops
        ; .arch x64
        ; push rbx
        ; push rbp
        ; push r12
        ; push r13
        ; push r14
        ; push r15
        ; sub rsp, 8
        ; lea r11, [rdi + CPU_BIAS]
        ; mov r9, rsi
        ; mov r12, [r11 + in_cpu(BUDGET)]
        ; mov r13, [r11 + in_cpu(VIEW)]
        ; fnstcw [r11 + in_cpu(CONVENTION)]
    );
    reload(&mut ops);
    dynasm!(ops ; .arch x64 ; jmp r9);

    stubs.leave = ops.offset().0;
    spill(&mut ops);
    dynasm!(ops
        ; .arch x64
        ; mov [r11 + in_cpu(BUDGET)], r12
        ; mov eax, ecx
        ; ->out:
        ; add rsp, 8
        ; pop r15
        ; pop r14
        ; pop r13
        ; pop r12
        ; pop rbp
        ; pop rbx
        ; ret
    );

    stubs.seek = ops.offset().0;
    spill(&mut ops);
    dynasm!(ops
        ; .arch x64
        ; mov [r11 + in_cpu(BUDGET)], r12
        ; push rcx
        ; push r11
        ; lea rdi, [r11 - CPU_BIAS]
        ; mov esi, ecx
        ; mov rax, QWORD runtime.seek as i64
        ; call rax
        ; pop r11
        ; pop rcx
        ; test rax, rax
        ; jz >unknown
        ; mov r9, rax
    );
    reload(&mut ops);
    dynasm!(ops
        ; .arch x64
        ; jmp r9
        ; unknown:
        ; mov eax, ecx
        ; jmp ->out
    );

    let calls = [
        (&mut stubs.call, runtime.call),
        (&mut stubs.call_checked, runtime.call_checked),
        (&mut stubs.interrupt, runtime.interrupt),
        (&mut stubs.iret, runtime.iret),
        (&mut stubs.far_call, runtime.far_call),
        (&mut stubs.far_jump, runtime.far_jump),
        (&mut stubs.far_return, runtime.far_return),
        (&mut stubs.load_segment_checked, runtime.load_segment_checked),
    ];
    for (place, function) in calls {
        *place = ops.offset().0;
        spill(&mut ops);
        dynasm!(ops
            ; .arch x64
            ; mov [r11 + in_cpu(EIP)], r8d
            ; lea rcx, [r12 + r9]
            ; mov [r11 + in_cpu(BUDGET)], rcx
            ; mov [r11 + in_cpu(HELD)], r12
        );
        dynasm!(ops
            ; .arch x64
            ; push r11
            ; lea rdi, [r11 - CPU_BIAS]
            ; mov rsi, r10
            ; mov rax, QWORD function as i64
            ; call rax
            ; pop r11
            ; test eax, eax
            ; jnz >leave
            ; mov r12, [r11 + in_cpu(HELD)]
        );
        reload(&mut ops);
        dynasm!(ops
            ; .arch x64
            ; ret
            ; leave:
            ; add rsp, 8
            ; cmp eax, Leave::Moved as i32
            ; jne ->out
            ; mov r12, [r11 + in_cpu(HELD)]
            ; mov r13, [r11 + in_cpu(VIEW)]
            ; mov r8d, [r11 + in_cpu(EIP)]
        );
        reload(&mut ops);
        dynasm!(ops ; .arch x64 ; jmp QWORD [r11 + in_cpu(DISPATCH)]);
    }
    let refills = [
        (&mut stubs.refill_read, runtime.refill_read),
        (&mut stubs.refill_write, runtime.refill_write),
        (&mut stubs.refill_fetch, runtime.refill_fetch),
    ];
    for (place, function) in refills {
        *place = ops.offset().0;
        quiet_call(&mut ops, function);
    }
    stubs.load_segment = ops.offset().0;
    quiet_call(&mut ops, runtime.load_segment);
    for (place, table) in [(&mut stubs.quad_read, flat::READ), (&mut stubs.quad_write, flat::WRITE)] {
        *place = ops.offset().0;
        dynasm!(ops
            ; .arch x64
            ; lea ecx, [r8 + 3]
            ; shrx r9d, r8d, r13d
            ; shrx ecx, ecx, r13d
            ; not rcx
            ; lea rcx, [rcx + r9 + 1]
            ; mov r9, [r13 + r9 * 8 + table]
            ; shlx rcx, r9, rcx
            ; ret
        );
    }
    stubs.repeats = repeat::emit(&mut ops);
    stubs.x87_in = ops.offset().0;
    spill(&mut ops);
    dynasm!(ops
        ; .arch x64
        ; push r10
        ; push r11
        ; sub rsp, 8
        ; lea rdi, [r11 - CPU_BIAS]
        ; mov rax, QWORD host_float::fill as *const () as i64
        ; call rax
        ; add rsp, 8
        ; pop r11
        ; pop r10
        ; frstor [r11 + in_cpu(IMAGE)]
    );
    reload(&mut ops);
    dynasm!(ops ; .arch x64 ; ret);
    (ops.finalize().expect("labels are local to this function"), stubs)
}
