//! Attacks on the Host's time, and jumps to nowhere.

use crate::Verdict;
use crate::target::{NOWHERE, SCRATCH};
use core::arch::asm;
use guest_kit::catch;
use guest_kit::descriptor::{Descriptor, gate, selector};
use guest_kit::hypercall::{flush_async, load_idt_entry};
use guest_kit::memory::allocate_frame;
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::trap;

const PAGE_FAULT: u32 = 14;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("hcall-flood", || {
        loop {
            flush_async();
        }
    }),
    ("fault-flood", || {
        loop {
            let _ = catch!("movl ({a}), {a}"; a = inout(reg) NOWHERE => _);
        }
    }),
    ("spin-dark", || {
        trap::disable_interrupts();
        loop {
            // SAFETY: the Host skips it in ring 1.
            unsafe { asm!("cli") };
        }
    }),
    ("halt-dark", || {
        trap::disable_interrupts();
        // SAFETY: the Host does what it can of it.
        unsafe { asm!("hlt") };
        Err("nothing could have woken it")
    }),
    ("reset-port", || {
        // SAFETY: no memory is touched.
        unsafe { asm!("out 0x64, al", in("al") 0xfeu8) };
        Err("it goes on after a reset")
    }),
    ("jump-nowhere", || {
        for vector in 0..trap::VECTORS {
            load_idt_entry(vector, Descriptor { low: 0, high: 0 });
        }
        // SAFETY: the point is that this is not.
        unsafe { asm!("jmp {n}", n = in(reg) NOWHERE) };
        Ok(())
    }),
    ("handler-nowhere", || {
        // Each fault's handler faults again and uses up one page of stack, below which there is none.
        AddressSpace::kernel().map(SCRATCH + 0x1000, allocate_frame(), flags::KERNEL_DATA);
        load_idt_entry(PAGE_FAULT, Descriptor::gate(gate::INTERRUPT, selector::RING1_CS, NOWHERE, 0));
        // SAFETY: nothing returns from here.
        unsafe { asm!("mov esp, {s}", "jmp {n}", s = in(reg) SCRATCH + 0x2000, n = in(reg) NOWHERE) };
        Ok(())
    }),
];
