//! Traps that arrive while the kernel is in ring 1, and the table of gates.
//!
//! A fault the kernel provokes on purpose is caught: [`catch!`](crate::catch) names the place to go on at, and the
//! handler records what happened. Interrupts are counted per irq; a console interrupt needs no more than to wake the
//! kernel, which then looks at its queue. Anything else is a bug of the Guest.

use crate::cell::Global;
use crate::descriptor::{Descriptor, gate, selector};
use crate::hypercall;
use crate::lguest_data::{DATA, IF};
use crate::ring3::Context;
use core::arch::asm;

core::arch::global_asm!(include_str!("trap.s"), options(att_syntax));

/// First vector of the virtual interrupts: irq n arrives at `IRQ_BASE + n`.
pub const IRQ_BASE: u32 = 0x20;
/// Vectors trap.s has a stub for (besides 0x80).
pub const VECTORS: u32 = 64;
/// The system-call vector.
pub const SYSCALL: u32 = 0x80;

/// What a trap told: vector, error code, where, and the address for a page fault.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Fault {
    pub vector: u32,
    pub error: u32,
    pub eip: u32,
    pub eflags: u32,
    pub cr2: u32,
    /// `irq_enabled` as the handler found it: an interrupt gate leaves 0.
    pub irq_enabled: u32,
}

/// Where a provoked fault goes on, 0 for nowhere.
#[unsafe(export_name = "recovery")]
static RECOVERY: Global<u32> = Global::new(0);
/// The stack pointer there: what the faulting code had pushed is gone.
#[unsafe(export_name = "recovery_stack")]
static RECOVERY_STACK: Global<u32> = Global::new(0);
static CAUGHT: Global<Option<Fault>> = Global::new(None);

/// Interrupts seen per irq, and the frame of the latest one.
static IRQ_COUNT: [Global<u32>; 32] = [const { Global::new(0) }; 32];
static LATEST_IRQ: Global<Option<Interrupted>> = Global::new(None);

/// What an interrupt found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs)]
pub struct Interrupted {
    pub eip: u32,
    pub eflags: u32,
    /// `irq_enabled` as the handler found it: an interrupt gate leaves 0.
    pub enabled: u32,
    /// EFLAGS of the handler itself.
    pub handler_eflags: u32,
}

unsafe extern "C" {
    static trap_stubs: u8;
    static syscall_stub: u8;
    static trap_stack_top: u8;
    static trap_stack_pointer: Global<u32>;
}

/// The address of a vector's stub.
pub fn stub(vector: u32) -> u32 {
    match vector {
        SYSCALL => &raw const syscall_stub as u32,
        _ => &raw const trap_stubs as u32 + vector * 16,
    }
}

/// Loads every gate and the stack for traps from ring 3. System calls are a direct trap; `int3` and `into` are open to
/// ring 3; all else is an interrupt gate for the kernel.
pub fn load_gates() {
    for vector in (0..VECTORS).filter(|v| ![2, 8, 15, 31].contains(v)) {
        let dpl = if matches!(vector, 3 | 4) { 3 } else { 0 };
        let gate = Descriptor::gate(gate::INTERRUPT, selector::RING1_CS, stub(vector), dpl);
        hypercall::load_idt_entry(vector, gate);
    }
    set_syscall_gate(gate::TRAP);
    hypercall::set_stack(selector::RING1_DS, stack_top(), 2);
}

/// Loads the gate of the system-call vector: a trap gate is direct, an interrupt gate reflected by the Host.
pub fn set_syscall_gate(kind: u32) {
    hypercall::load_idt_entry(SYSCALL, Descriptor::gate(kind, selector::RING1_CS, stub(SYSCALL), 3));
}

/// Top of the stack for traps from ring 3.
pub fn stack_top() -> u32 {
    &raw const trap_stack_top as u32
}

/// Where the latest trap from ring 3 left its stack: the bottom of a [`Context`].
pub fn latest_stack_pointer() -> u32 {
    // SAFETY: a word of trap.s, always initialised.
    unsafe { trap_stack_pointer.get() }
}

/// A trap in ring 1; called by trap.s with the frame on the stack.
#[unsafe(no_mangle)]
extern "C" fn kernel_trap(frame: &mut Context) {
    if frame.vector >= IRQ_BASE {
        let irq = &IRQ_COUNT[(frame.vector - IRQ_BASE) as usize & 31];
        irq.set(irq.get().wrapping_add(1));
        let enabled = DATA.irq_enabled.get();
        let handler_eflags: u32;
        // SAFETY: reads EFLAGS.
        unsafe { asm!("pushfd", "pop {f}", f = out(reg) handler_eflags) };
        LATEST_IRQ.set(Some(Interrupted { eip: frame.eip, eflags: frame.eflags, enabled, handler_eflags }));
        // What layout C makes of an interrupt in its window: the frame may be one a hostile kernel wrote.
        frame.eflags &= !(NESTED_TASK | VIRTUAL_8086);
        return;
    }
    let fault = frame.fault();
    let recovery = RECOVERY.get();
    if recovery == 0 {
        panic!("trap in ring 1: {fault:x?}");
    }
    CAUGHT.set(Some(fault));
    RECOVERY.set(0);
    frame.eip = recovery;
    frame.eflags &= !(TRAP_FLAG | NESTED_TASK);
}

/// EFLAGS.TF.
pub const TRAP_FLAG: u32 = 0x100;
/// EFLAGS.NT.
pub const NESTED_TASK: u32 = 0x4000;
/// EFLAGS.IOPL.
pub const IO_LEVEL: u32 = 0x3000;
/// EFLAGS.VM.
pub const VIRTUAL_8086: u32 = 0x2_0000;

/// The fault the latest [`catch!`](crate::catch) caught.
pub fn take_caught() -> Option<Fault> {
    let caught = CAUGHT.get();
    CAUGHT.set(None);
    caught
}

/// Runs assembly (AT&T syntax) that may fault, and answers with the fault.
#[macro_export]
macro_rules! catch {
    ($($code:literal),+ $(; $($operands:tt)*)?) => {{
        // SAFETY: the code is the caller's; a fault goes on at label 33, where the stack is put right; the handler
        // restores every other register.
        #[allow(unused_unsafe)]
        unsafe {
            core::arch::asm!(
                "movl %esp, recovery_stack", "movl $33f, recovery", $($code,)+
                "33:", "movl $0, recovery", "movl recovery_stack, %esp",
                $($($operands)*,)? options(att_syntax));
        }
        $crate::trap::take_caught()
    }};
}

/// Interrupts seen on one irq.
pub fn irq_count(irq: u32) -> u32 {
    IRQ_COUNT[irq as usize & 31].get()
}

/// What the latest interrupt in ring 1 found.
pub fn latest_irq() -> Option<Interrupted> {
    LATEST_IRQ.get()
}

/// Counts an interrupt that ended a run of ring 3.
pub fn count_irq(irq: u32) {
    let count = &IRQ_COUNT[irq as usize & 31];
    count.set(count.get().wrapping_add(1));
}

/// Lets an irq through.
pub fn unmask(irq: u32) {
    DATA.blocked_interrupts.set(DATA.blocked_interrupts.get() & !(1 << irq));
}

/// Holds an irq back.
pub fn mask(irq: u32) {
    DATA.blocked_interrupts.set(DATA.blocked_interrupts.get() | 1 << irq);
}

/// What `sti` would do; a waiting interrupt arrives with the next exit, and this makes one.
pub fn enable_interrupts() {
    DATA.irq_enabled.set(IF);
    if DATA.irq_pending.get() != 0 {
        hypercall::send_interrupts();
    }
}

/// What `cli` would do.
pub fn disable_interrupts() {
    DATA.irq_enabled.set(0);
}
