//! EFLAGS, instructions and shared words a Guest could use to leave its ring.

use crate::Verdict;
use crate::target::{SCRATCH, expect, probe, probe_with_flags, ring3_space};
use core::arch::asm;
use guest_kit::descriptor::{Descriptor, kind};
use guest_kit::hypercall::{flush_async, send_interrupts, set_clockevent, set_pte};
use guest_kit::lguest_data::{DATA, IF, is_layout_c, noirq_iret};
use guest_kit::memory::{self, allocate_frame};
use guest_kit::paging::{self, AddressSpace};
use guest_kit::trap::{self, IO_LEVEL, NESTED_TASK, VIRTUAL_8086};
use guest_kit::{at, catch};

const TIMER: u32 = 0;
const PATIENCE: u32 = 20_000_000;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("flags-window", || flags_window(IO_LEVEL | NESTED_TASK | VIRTUAL_8086)),
    ("flags-window-io-level", || flags_window(IO_LEVEL)),
    ("privileged-ring-1", privileged_ring_1),
    ("in-widths", in_widths),
    ("debug-flood", || {
        loop {
            single_step()?;
        }
    }),
    ("int-flood", || {
        loop {
            let _ = catch!("int3");
        }
    }),
    ("flags-nested-task", nested_task),
    ("flags-single-step", single_step),
    ("flags-io-level", io_level),
    ("privileged", privileged),
    ("far-host-code", far_host_code),
    ("ldt", local_descriptor),
    ("irq-words", irq_words),
    ("clockevent-storm", clockevent_storm),
];

/// Makes the Host take the frame of the no-interrupt IRET (layout C) for an interrupt, with hostile flags in it.
fn flags_window(hostile: u32) -> Verdict {
    unsafe extern "C" {
        safe fn leave_with_flags(flags: u32);
    }
    expect(is_layout_c(), "needs layout=c")?;
    trap::unmask(TIMER);
    trap::disable_interrupts();
    set_clockevent(50_000);
    let pending = (0..PATIENCE).any(|_| DATA.irq_pending.get() != 0);
    expect(pending, "no interrupt was pending")?;
    set_pte(AddressSpace::kernel().cr3(), &raw const noirq_iret as u32, 0);
    leave_with_flags(IF | hostile | 2);
    let Some(seen) = trap::latest_irq() else { return Err("no interrupt in the window") };
    expect(seen.eip == at!(leave_with_flags_landing), "the interrupt came elsewhere")?;
    expect(seen.handler_eflags & (hostile | IF) == IF, "flags from memory reached the handler")
}

/// NT across a hypercall, and the task return it makes of an IRET.
fn nested_task() -> Verdict {
    let fault = catch!("pushfl", "orl $0x4000, (%esp)", "popfl", "xorl %eax, %eax", "int $0x1f", "iretl";
        out("eax") _);
    expect(fault.is_some_and(|f| f.vector == 10), "a task return from ring 1")
}

/// TF across a hypercall: the step ends in the kernel, not in the Host.
fn single_step() -> Verdict {
    let fault = catch!("pushfl", "orl $0x100, (%esp)", "popfl", "xorl %eax, %eax", "int $0x1f", "nop", "nop", "nop";
        out("eax") _);
    expect(fault.is_some_and(|f| f.vector == 1), "no single step")
}

fn io_level() -> Verdict {
    ring3_space();
    let fault = probe_with_flags(at!(probe_in), IO_LEVEL);
    expect(fault.vector == 13, "IOPL was ours to set")
}

/// Every privileged instruction, from ring 3; from ring 1, an IRET to ring 0.
fn privileged() -> Verdict {
    ring3_space();
    let load = |label: u32| memory::peek(label);
    for label in (at!(probe_privileged)..).step_by(16).take_while(|&label| load(label) & 0xff != 0) {
        let fault = probe(label, 0);
        expect(matches!(fault.vector, 6 | 13), "a privileged instruction ran in ring 3")?;
        expect(fault.eip == label, "another instruction faulted")?;
    }
    let fault = catch!("pushfl", "pushl $0x50", "pushl $0", "iretl");
    expect(fault.is_some_and(|f| f.vector == 13 && f.error == 0x50), "IRET to ring 0")
}

/// Every privileged instruction the Host does not carry out for a kernel that asks with hypercalls.
fn privileged_ring_1() -> Verdict {
    macro_rules! refused {
        ($($code:literal)+) => {$(
            let fault = catch!($code; inout("eax") 0 => _, inout("ecx") 0x10 => _, inout("edx") 0 => _);
            expect(fault.is_some_and(|f| matches!(f.vector, 6 | 13)), $code)?;
        )+};
    }
    refused! {
        "clts" "lgdt 0" "lidt 0" "lmsw %ax" "lldt %ax" "ltr %ax" "movl %eax, %cr0" "movl %eax, %cr2" "movl %eax, %cr3"
        "movl %eax, %cr4" "movl %cr0, %eax" "movl %cr3, %eax" "rdmsr" "wrmsr" "wbinvd" "invd" "invlpg 0" "sysenter"
        "sysexit" "syscall" "sysret" "sti" "rsm"
    }
    Ok(())
}

/// IN of a byte or a word leaves the rest of EAX alone.
fn in_widths() -> Verdict {
    const BEFORE: u32 = 0x1234_5678;
    let (byte, word, long): (u32, u32, u32);
    // SAFETY: nobody is at these ports.
    unsafe {
        asm!("in al, 0x21", inout("eax") BEFORE => byte);
        asm!("in ax, dx", inout("eax") BEFORE => word, in("edx") 0x2f8);
        asm!("in eax, dx", inout("eax") BEFORE => long, in("edx") 0x2f8);
    }
    expect((byte, word, long) == (0x1234_56ff, 0x1234_ffff, u32::MAX), "other bits changed")
}

fn far_host_code() -> Verdict {
    let fault = catch!("lcall $0x50, $0");
    expect(fault.is_some_and(|f| f.vector == 13 && f.error == 0x50), "ring 1 called the Host")?;
    ring3_space();
    let fault = probe(at!(probe_host_code), 0);
    expect(fault.vector == 13 && fault.error == 0x50, "ring 3 called the Host")
}

/// A selector of the local table, which nobody loaded. After reset that table is at address 0, where a Guest can put
/// what it likes: a data segment now, a call gate to ring 0 next.
fn local_descriptor() -> Verdict {
    let space = AddressSpace::new();
    space.map(0, allocate_frame(), paging::flags::USER_DATA);
    space.activate();
    let segment = Descriptor::flat(kind::DATA, 3);
    memory::poke(8, segment.low);
    memory::poke(12, segment.high);
    let fault = catch!("movl $0x0d, %eax", "movl %eax, %fs"; out("eax") _);
    expect(fault.is_some_and(|f| f.vector == 13 && f.error == 0x0c), "there is a local descriptor table")
}

/// Garbage in every shared word but the ring.
fn irq_words() -> Verdict {
    for garbage in [u32::MAX, 0x5555_5555, SCRATCH] {
        DATA.irq_pending.set(garbage);
        DATA.cr2.set(garbage);
        DATA.time.set([garbage; 2]);
        DATA.reserve_mem.set(garbage);
        DATA.irq_enabled.set(garbage);
        DATA.blocked_interrupts.set(garbage);
        set_clockevent(1000);
        flush_async();
    }
    trap::disable_interrupts();
    trap::mask(TIMER);
    Ok(())
}

/// As many interrupts as the Host will give.
fn clockevent_storm() -> Verdict {
    trap::unmask(TIMER);
    DATA.irq_enabled.set(IF);
    for _ in 0..2000 {
        set_clockevent(1);
        send_interrupts();
    }
    // And one more, into a loop that never enters the Host by itself.
    let seen = trap::irq_count(TIMER);
    set_clockevent(10_000);
    let arrived = seen > 0 && (0..PATIENCE).any(|_| trap::irq_count(TIMER) != seen);
    trap::disable_interrupts();
    trap::mask(TIMER);
    expect(arrived, "no interrupt came")
}
