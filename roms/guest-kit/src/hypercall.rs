//! The hypercalls: `int $0x1f` from ring 1, number in EAX, arguments in EBX, ECX, EDX; and the ring of asynchronous
//! calls, which the Host empties whenever a synchronous one enters it.

use crate::cell::Global;
use crate::descriptor::Descriptor;
use crate::lguest_data::DATA;
use crate::paging::{is_pae, virt_to_phys};
use core::arch::asm;
use core::ffi::CStr;

/// Numbers of the 3.1+ ABI.
#[allow(missing_docs)]
pub mod number {
    pub const FLUSH_ASYNC: u32 = 0;
    pub const LGUEST_INIT: u32 = 1;
    pub const SHUTDOWN: u32 = 2;
    pub const NEW_PGTABLE: u32 = 4;
    pub const FLUSH_TLB: u32 = 5;
    pub const LOAD_IDT_ENTRY: u32 = 6;
    pub const SET_STACK: u32 = 7;
    pub const TS: u32 = 8;
    pub const SET_CLOCKEVENT: u32 = 9;
    pub const HALT: u32 = 10;
    pub const SET_PMD: u32 = 13;
    pub const SET_PTE: u32 = 14;
    pub const SET_PGD: u32 = 15;
    pub const LOAD_TLS: u32 = 16;
    pub const NOTIFY: u32 = 17;
    pub const LOAD_GDT_ENTRY: u32 = 18;
    pub const SEND_INTERRUPTS: u32 = 19;
}

/// A call and its four arguments, as a slot of the ring holds them.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Call(pub [u32; 5]);

impl Call {
    /// A slot nobody used.
    pub const EMPTY: Self = Self([0; 5]);

    /// A call with up to three arguments.
    pub const fn new(number: u32, arguments: [u32; 3]) -> Self {
        Self([number, arguments[0], arguments[1], arguments[2], 0])
    }
}

/// Makes a call.
pub fn call(number: u32, arguments: [u32; 3]) {
    // SAFETY: what a call does to memory the Guest sees (page tables, shared words) is only reached by volatile access.
    unsafe {
        asm!("int 0x1f", inout("eax") number => _, in("ebx") arguments[0], in("ecx") arguments[1],
            in("edx") arguments[2]);
    }
}

/// Makes a call with a fourth argument, in ESI.
pub fn call_with_four(number: u32, arguments: [u32; 4]) {
    // SAFETY: as in `call`; esi is exchanged by hand because the compiler reserves it.
    unsafe {
        asm!("xchg esi, {fourth}", "int 0x1f", "xchg esi, {fourth}", fourth = inout(reg) arguments[3] => _,
            inout("eax") number => _, in("ebx") arguments[0], in("ecx") arguments[1], in("edx") arguments[2]);
    }
}

/// Where the next asynchronous call goes; the Host keeps its own count.
static CURSOR: Global<usize> = Global::new(0);

/// Queues a call in the ring; a full ring makes it synchronous.
pub fn call_later(number: u32, arguments: [u32; 3]) {
    let slot = CURSOR.get();
    if DATA.hcall_status[slot].get() != 0xff {
        let [a, b, c] = arguments;
        return call_with_four(number, [a, b, c, 0]);
    }
    DATA.hcalls[slot].set(Call::new(number, arguments));
    DATA.hcall_status[slot].set(0);
    CURSOR.set((slot + 1) % DATA.hcalls.len());
}

/// Status of the slot used by the latest queued call: 0 waiting, 0xFF done.
pub fn latest_status() -> u8 {
    DATA.hcall_status[(CURSOR.get() + DATA.hcalls.len() - 1) % DATA.hcalls.len()].get()
}

/// Enters the Host, which empties the ring first.
pub fn flush_async() {
    call(number::FLUSH_ASYNC, [0; 3]);
}

/// How the Guest ends.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub enum Shutdown {
    PowerOff = 1,
    Restart = 2,
}

/// Ends the Guest; `text` is "Power down" for a clean end.
pub fn shutdown(text: &CStr, reason: Shutdown) -> ! {
    call(number::SHUTDOWN, [virt_to_phys(text.as_ptr() as u32), reason as u32, 0]);
    loop {
        call(number::HALT, [0; 3]);
    }
}

/// Ends the Guest cleanly.
pub fn power_down() -> ! {
    shutdown(c"Power down", Shutdown::PowerOff)
}

/// Switches to another page directory.
pub fn new_pgtable(directory: u32) {
    call(number::NEW_PGTABLE, [directory, 0, 0]);
}

/// Drops the shadow of ring 3's part of the current tables, or of everything.
pub fn flush_tlb(everything: bool) {
    call(number::FLUSH_TLB, [u32::from(everything), 0, 0]);
}

/// Tells the Host of a changed page-table entry; 0 only drops its shadow.
pub fn set_pte(directory: u32, address: u32, entry: u32) {
    if is_pae() {
        call_with_four(number::SET_PTE, [directory, address, entry, 0]);
    } else {
        call(number::SET_PTE, [directory, address, entry]);
    }
}

/// Tells the Host of a changed top-level entry.
pub fn set_pgd(directory: u32, index: u32) {
    call(number::SET_PGD, [directory, index, 0]);
}

/// Tells the Host of a changed entry of a page directory, with PAE.
pub fn set_pmd(directory: u32, index: u32) {
    call(number::SET_PMD, [directory, index, 0]);
}

/// Loads a gate.
pub fn load_idt_entry(vector: u32, gate: Descriptor) {
    call(number::LOAD_IDT_ENTRY, [vector, gate.low, gate.high]);
}

/// Loads a segment descriptor.
pub fn load_gdt_entry(index: u32, descriptor: Descriptor) {
    call(number::LOAD_GDT_ENTRY, [index, descriptor.low, descriptor.high]);
}

/// Loads the three TLS descriptors.
pub fn load_tls(table: &[Descriptor; 3]) {
    call(number::LOAD_TLS, [virt_to_phys(table.as_ptr() as u32), 0, 0]);
}

/// The ring-1 stack for traps from ring 3.
pub fn set_stack(selector: u16, top: u32, pages: u32) {
    call(number::SET_STACK, [u32::from(selector), top, pages]);
}

/// Shall the next use of the FPU trap?
pub fn task_switched(trap: bool) {
    call(number::TS, [if trap { 8 } else { 0 }, 0, 0]);
}

/// Irq 0 after so many nanoseconds, once; 0 is never.
pub fn set_clockevent(nanoseconds: u32) {
    call(number::SET_CLOCKEVENT, [nanoseconds, 0, 0]);
}

/// Sleeps, interrupts enabled, until one comes.
pub fn halt() {
    call(number::HALT, [0; 3]);
}

/// Tells a device something: a descriptor, a ring, or a string for the early console.
pub fn notify(physical: u32) {
    call(number::NOTIFY, [physical, 0, 0]);
}

/// Gives the Host a chance to deliver what is pending.
pub fn send_interrupts() {
    call(number::SEND_INTERRUPTS, [0; 3]);
}
