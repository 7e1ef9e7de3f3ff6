//! Traps in ring 1, and instructions that only pretend to work there.

use crate::ledger::prove as line;
use crate::startup;
use core::arch::asm;
use guest_kit::catch;
use guest_kit::hypercall::number;
use guest_kit::lguest_data::IF;
use guest_kit::trap;

/// A port that is busy below us: the line control register of the first serial port, which the Host has set.
const BUSY_PORT: u16 = 0x3fb;

/// Gives proofs 10 to 19.
pub fn prove() {
    startup::prove_segments();
    prove_frames();
    let fault = catch!("int $0x21");
    line(15, fault.is_some_and(|f| f.vector == 13 && f.error == 0x10a));
    line(16, ports());
    line(17, flags());
    line(18, privileged());
    line(19, vmcall());
}

fn prove_frames() {
    trap::disable_interrupts();
    let disabled = catch!("ud2");
    trap::enable_interrupts();
    let enabled = catch!("ud2");
    trap::disable_interrupts();
    let [Some(disabled), Some(enabled)] = [disabled, enabled] else {
        line(13, false);
        return line(14, false);
    };
    line(13, disabled.eflags & IF == 0 && enabled.eflags & IF != 0);
    line(14, enabled.irq_enabled == 0);
}

fn ports() -> bool {
    let (byte, word, long): (u32, u32, u32);
    let fault = catch!("inb %dx, %al", "movl %eax, {b}", "movl %ebx, %eax", "inw %dx, %ax", "movl %eax, {w}",
        "inl %dx, %eax", "outb %al, $0x80", "outl %eax, $0x80";
        b = out(reg) byte, w = out(reg) word, inout("eax") 0x1234_5678u32 => long, in("ebx") 0x1234_5678,
        in("dx") BUSY_PORT);
    fault.is_none() && [byte, word, long] == [0x1234_56ff, 0x1234_ffff, 0xffff_ffff]
}

fn flags() -> bool {
    let after: u32;
    let fault = catch!("pushfl", "orl $0x3000, (%esp)", "andl $0xfffffdff, (%esp)", "popfl", "cli", "pushfl",
        "popl {f}"; f = out(reg) after);
    fault.is_none() && after & (IF | trap::IO_LEVEL) == IF
}

fn privileged() -> bool {
    let table = [0u32; 2];
    let table = table.as_ptr();
    let faults = [
        catch!("lgdt ({t})"; t = in(reg) table),
        catch!("lidt ({t})"; t = in(reg) table),
        catch!("movl {z}, %cr3"; z = in(reg) 0),
        catch!("wrmsr"; in("eax") 0, in("ecx") 0x174, in("edx") 0),
    ];
    faults.into_iter().all(|fault| fault.is_some_and(|f| f.vector == 13 && f.error == 0))
}

fn vmcall() -> bool {
    unsafe extern "C" {
        static vmcall_site: [u8; 3];
    }
    let site = &raw const vmcall_site;
    let fault = catch!("calll *{s}"; s = in(reg) site, inout("eax") number::SEND_INTERRUPTS => _);
    // SAFETY: three bytes of the kernel's code, which the Host may just have rewritten.
    let now = unsafe { site.read_volatile() };
    // The new instruction must be what runs the second time, too.
    // SAFETY: the site is a hypercall and a return.
    unsafe { asm!("call {s}", s = in(reg) site, inout("eax") number::SEND_INTERRUPTS => _) };
    fault.is_none() && now == [0xcd, 0x1f, 0x90]
}

/// Gives proof 54: what kernels from 4.0 to 4.8 do before they have a handler.
pub fn prove_cr4() {
    let value: u32;
    let fault = catch!("movl $1, {v}", "movl %cr4, {v}"; v = out(reg) value);
    line(54, fault.is_none() && value == 0);
}
