//! Stacks, segment descriptors and gates that would lead out of ring 1.

use crate::Verdict;
use crate::target::{
    OUTSIDE, SCRATCH, access_rights, code_segment, end_of_ram, expect, probe, ring3_space, trap_on_stack,
};
use core::arch::asm;
use guest_kit::descriptor::{Descriptor, entry, gate, kind, selector};
use guest_kit::hypercall::{flush_async, load_gdt_entry, load_idt_entry, load_tls, set_stack};
use guest_kit::lguest_data::IF;
use guest_kit::memory::allocate_frame;
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::trap::{self, SYSCALL};
use guest_kit::{at, catch};

const NOTHING: Descriptor = Descriptor { low: 0, high: 0 };
/// The free entry as a selector for ring 1.
const FREE: u16 = (entry::FREE << 3 | 1) as u16;
/// The first thread-local entry, the same.
const TLS: u16 = (entry::TLS << 3 | 1) as u16;
const UNDEFINED: u32 = 6;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("stack-segment-0", || stack(selector::HOST_DS, trap::stack_top(), 1)),
    ("stack-segment-3", || stack(selector::RING3_DS, trap::stack_top(), 1)),
    ("stack-pages", || stack(selector::RING1_DS, trap::stack_top(), 3)),
    ("stack-aligned", || {
        AddressSpace::kernel().map(SCRATCH, allocate_frame(), flags::KERNEL_DATA);
        stack(selector::RING1_DS, SCRATCH + 0x1000, 1)
    }),
    ("stack-null", || trap_on_segment(1)),
    ("stack-code", || trap_on_segment(selector::RING1_CS)),
    ("double-fault", double_fault),
    ("stack-page", || stack(selector::RING1_DS, SCRATCH + 0x1000, 1)),
    ("stack-outside", || {
        AddressSpace::kernel().map(SCRATCH, OUTSIDE, flags::KERNEL_DATA);
        trap_on_stack(at!(probe_undefined))
    }),
    ("stack-across-end", || {
        AddressSpace::kernel().map(SCRATCH, end_of_ram() - 4096, flags::KERNEL_DATA);
        AddressSpace::kernel().map(SCRATCH + 0x1000, end_of_ram(), flags::KERNEL_DATA);
        set_stack(selector::RING1_DS, SCRATCH + 0x1008, 0);
        ring3_space();
        probe(at!(probe_undefined), 0);
        Ok(())
    }),
    ("stack-unmapped", || trap_on_stack(at!(probe_undefined))),
    ("stack-unmapped-direct", || trap_on_stack(at!(probe_syscall))),
    ("gdt-index", || segment(32, Descriptor::flat(kind::DATA, 1))),
    ("gdt-max", || segment(u32::MAX, Descriptor::flat(kind::DATA, 1))),
    ("gdt-host-entries", gdt_host_entries),
    ("gdt-dpl-0", gdt_dpl_0),
    ("gdt-conforming", gdt_conforming),
    ("gdt-tss", || jump_to_system(Descriptor::segment(task_state(), 0x67, gate::TSS, 1))),
    ("gdt-call-gate", || jump_to_system(to_ring_0(gate::CALL))),
    ("gdt-call-gate-16", || jump_to_system(to_ring_0(gate::CALL16))),
    ("tls-dpl-0", || {
        load_tls(&[Descriptor::flat(kind::CODE, 0), NOTHING, NOTHING]);
        expect(far_call(TLS) == Some(u32::from(TLS)), "DPL 0 did not become 1")
    }),
    ("tls-call-gate", || {
        load_tls(&[to_ring_0(gate::CALL), NOTHING, NOTHING]);
        refused(TLS)
    }),
    ("gdt-task-gate", || jump_to_system(Descriptor::gate(gate::TASK, selector::TSS, 0, 1))),
    ("idt-index", || open_gate(256, gate::TRAP)),
    ("idt-max", || open_gate(u32::MAX, gate::TRAP)),
    ("idt-task-gate", || open_gate(UNDEFINED, gate::TASK)),
    ("idt-call-gate", || open_gate(UNDEFINED, gate::CALL)),
    ("idt-ignored", || {
        [2, 8, 15, 31].into_iter().try_for_each(|vector| open_gate(vector, gate::TASK))?;
        flush_async();
        Ok(())
    }),
    ("idt-selector", idt_selector),
    ("idt-dpl", idt_dpl),
    ("no-gate", || {
        load_idt_entry(UNDEFINED, NOTHING);
        let _ = catch!("ud2");
        Ok(())
    }),
    ("unloadable-gs", || {
        segment(entry::FREE, Descriptor::flat(kind::DATA, 1))?;
        // SAFETY: nothing is reached through gs.
        unsafe { asm!("mov gs, {s:x}", s = in(reg) FREE) };
        segment(entry::FREE, NOTHING)
    }),
    ("unloadable-es", || {
        segment(entry::FREE, Descriptor::flat(kind::DATA, 1))?;
        // SAFETY: the descriptor is as flat as the one it replaces.
        unsafe { asm!("mov es, {s:x}", s = in(reg) FREE) };
        segment(entry::FREE, NOTHING)
    }),
    ("unloadable-fs", || {
        segment(entry::FREE, Descriptor::flat(kind::DATA, 1))?;
        // SAFETY: nothing is reached through fs.
        unsafe { asm!("mov fs, {s:x}", s = in(reg) FREE) };
        segment(entry::FREE, NOTHING)
    }),
    ("unloadable-ds", || {
        segment(entry::FREE, Descriptor::flat(kind::DATA, 1))?;
        // SAFETY: the descriptor is as flat as the one it replaces.
        unsafe { asm!("mov ds, {s:x}", s = in(reg) FREE) };
        segment(entry::FREE, NOTHING)
    }),
    ("unloadable-ss", || segment(entry::RING1_DATA, NOTHING)),
    ("unloadable-cs", || segment(entry::RING1_CODE, NOTHING)),
    ("ring-2", ring_2),
];

fn stack(selector: u16, top: u32, pages: u32) -> Verdict {
    set_stack(selector, top, pages);
    Ok(())
}

/// A trap from ring 3 that the Host reflects to a stack segment which is none.
fn trap_on_segment(selector: u16) -> Verdict {
    set_stack(selector, trap::stack_top(), 0);
    ring3_space();
    probe(at!(probe_undefined), 0);
    Err("a trap was taken on a stack that is none")
}

/// A system call straight from ring 3 to a stack segment that is none: an invalid TSS, whose handler wants the same stack.
fn double_fault() -> Verdict {
    for vector in [10, 11, 12] {
        load_idt_entry(vector, Descriptor::gate(gate::TRAP, selector::RING1_CS, trap::stub(vector), 0));
    }
    set_stack(FREE, trap::stack_top(), 0);
    ring3_space();
    probe(at!(probe_syscall), 0);
    Err("a system call was taken on a stack that is none")
}

fn segment(index: u32, descriptor: Descriptor) -> Verdict {
    load_gdt_entry(index, descriptor);
    Ok(())
}

fn open_gate(vector: u32, kind: u32) -> Verdict {
    load_idt_entry(vector, Descriptor::gate(kind, selector::RING1_CS, trap::stub(3), 3));
    Ok(())
}

/// The Host's own entries are accepted and never take effect.
fn gdt_host_entries() -> Verdict {
    for (index, kind) in [(10, kind::CODE), (11, kind::DATA), (16, kind::DATA), (31, kind::DATA)] {
        load_gdt_entry(index, Descriptor::flat(kind, 3));
        expect(access_rights((index << 3 | 1) as u16).is_none(), "an entry of the Host's is ours")?;
    }
    Ok(())
}

/// Calls a far address; answers the code segment found there, or nothing if a fault came instead.
fn far_call(selector: u16) -> Option<u32> {
    let pointer = [at!(far_target), u32::from(selector)];
    let cs: u32;
    let fault = catch!("lcalll *({p})"; p = in(reg) &raw const pointer, out("eax") cs);
    fault.is_none().then_some(cs & 0xffff)
}

fn gdt_dpl_0() -> Verdict {
    load_gdt_entry(entry::FREE, Descriptor::flat(kind::CODE, 0));
    expect(far_call(FREE) == Some(u32::from(FREE)), "DPL 0 did not become 1")
}

fn gdt_conforming() -> Verdict {
    load_gdt_entry(entry::FREE, Descriptor::flat(kind::CONFORMING_CODE, 0));
    let dpl = access_rights(FREE).map(|r| r >> 13 & 3);
    expect(dpl == Some(1), "DPL 0 did not become 1")
}

/// A gate to ring 0, if it were one.
fn to_ring_0(kind: u32) -> Descriptor {
    Descriptor::gate(kind, selector::HOST_CS, at!(far_target), 1)
}

/// A task that would run in ring 0.
fn task_state() -> u32 {
    let state = guest_kit::paging::phys_to_virt(allocate_frame());
    let words = [(28, 0), (32, at!(far_target)), (36, 2), (76, u32::from(selector::HOST_CS))];
    for (offset, word) in words {
        guest_kit::memory::poke(state + offset, word);
    }
    state
}

/// System descriptors never become present, with the accessed bit set or not.
fn jump_to_system(descriptor: Descriptor) -> Verdict {
    load_gdt_entry(entry::FREE, descriptor);
    refused(FREE)
}

fn refused(selector: u16) -> Verdict {
    let pointer = [at!(far_target), u32::from(selector)];
    let fault = catch!("lcalll *({p})"; p = in(reg) &raw const pointer, out("eax") _);
    let refused =
        fault.is_some_and(|f| matches!(f.vector, 11 | 13) && f.error & !3 == u32::from(selector) & !3);
    expect(
        refused && access_rights(selector).is_none_or(|r| r & 0x8000 == 0),
        "a system descriptor is in force",
    )
}

/// A direct trap runs in ring 1, whatever selector its gate asked for.
fn idt_selector() -> Verdict {
    load_idt_entry(SYSCALL, Descriptor::gate(gate::TRAP, selector::HOST_CS, trap::stub(SYSCALL), 3));
    ring3_space();
    let fault = probe(at!(probe_syscall), 0);
    expect(
        fault.vector == SYSCALL && code_segment() == u32::from(selector::RING1_CS),
        "the kernel is in ring 0",
    )
}

/// `int n` for vectors with an error code is never open to ring 3: it would push none.
fn idt_dpl() -> Verdict {
    const VECTORS: [u32; 7] = [8, 10, 11, 12, 13, 14, 17];
    for vector in VECTORS {
        let gate = Descriptor::gate(gate::INTERRUPT, selector::RING1_CS, trap::stub(vector), 3);
        load_idt_entry(vector, gate);
    }
    ring3_space();
    for (vector, label) in VECTORS.into_iter().zip((at!(probe_interrupts)..).step_by(4)) {
        let fault = probe(label, 0);
        expect(fault.vector == 13 && fault.error == vector * 8 + 2, "ring 3 can fake a fault")?;
    }
    Ok(())
}

/// Ring 2 exists in the processor but not in lguest.
fn ring_2() -> Verdict {
    load_gdt_entry(entry::FREE, Descriptor::flat(kind::CODE, 2));
    load_gdt_entry(entry::FREE + 1, Descriptor::flat(kind::DATA, 2));
    let _ = catch!("pushl {s}", "pushl $0", "pushl {f}", "pushl {c}", "pushl {t}", "iretl";
        s = in(reg) (entry::FREE + 1) << 3 | 2, c = in(reg) entry::FREE << 3 | 2, f = in(reg) IF | 2,
        t = in(reg) at!(ring_2_target));
    Err("ring 2 came back")
}
