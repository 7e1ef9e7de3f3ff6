//! What attacks share: addresses that are nobody's, a program to attack from, small questions to the processor.

use core::arch::asm;
use guest_kit::boot;
use guest_kit::descriptor::{Descriptor, entry, kind, selector};
use guest_kit::hypercall;
use guest_kit::memory::{PAGE, allocate_frame};
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::ring3::{Context, Page, copy_of};
use guest_kit::trap::Fault;

/// Guest-physical, far beyond any Guest's RAM.
pub const OUTSIDE: u32 = 0x7000_0000;
/// Pages behind the RAM a Guest is told of, which are its RAM all the same: descriptors and queues of the lguest bus.
const BUS_PAGES: u32 = 29;

/// Guest-physical, where all RAM of this Guest ends.
pub fn end_of_ram() -> u32 {
    boot::memory_size() + BUS_PAGES * PAGE
}

/// A kernel address nothing is mapped at.
pub const SCRATCH: u32 = 0x8100_0000;
/// The same for ring 3.
pub const NOWHERE: u32 = 0x5000_0000;

const CODE: u32 = 0x0040_1000;
const STACK: u32 = 0x0040_3000;

/// The segments of ring 3.
pub fn load_segments() {
    hypercall::load_gdt_entry(entry::RING3_CODE, Descriptor::flat(kind::CODE, 3));
    hypercall::load_gdt_entry(entry::RING3_DATA, Descriptor::flat(kind::DATA, 3));
}

/// An address space with the probes in it, now current.
pub fn ring3_space() -> AddressSpace {
    let space = AddressSpace::new();
    space.map(CODE, copy_of(Page::Probes), flags::USER_CODE);
    space.map(STACK, allocate_frame(), flags::USER_DATA);
    space.activate();
    space
}

/// Runs a probe with this value in eax.
pub fn probe(label: u32, eax: u32) -> Fault {
    let mut context = Context::new(label, STACK + 0x1000);
    context.eax = eax;
    context.run()
}

/// The same with these EFLAGS.
pub fn probe_with_flags(label: u32, eflags: u32) -> Fault {
    let mut context = Context::new(label, STACK + 0x1000);
    context.eflags |= eflags;
    context.run()
}

/// Puts the ring-1 stack at SCRATCH without asking the Host to pin it, and traps from ring 3.
pub fn trap_on_stack(label: u32) -> crate::Verdict {
    hypercall::set_stack(selector::RING1_DS, SCRATCH + 0x1000, 0);
    ring3_space();
    probe(label, 0);
    Ok(())
}

/// The code segment the kernel runs in right now.
pub fn code_segment() -> u32 {
    let cs: u32;
    // SAFETY: reads a register.
    unsafe { asm!("mov {c:e}, cs", c = out(reg) cs, options(nomem, nostack, preserves_flags)) };
    cs & 0xffff
}

/// What LAR shows of a selector.
pub fn access_rights(selector: u16) -> Option<u32> {
    let (rights, visible): (u32, u8);
    // SAFETY: LAR only reads a descriptor.
    unsafe {
        asm!("lar {r:e}, {s:e}", "setz {z}", r = out(reg) rights, s = in(reg) u32::from(selector),
            z = out(reg_byte) visible);
    }
    (visible != 0).then_some(rights)
}

/// `Err(what)` unless the condition holds.
pub fn expect(holds: bool, what: &'static str) -> crate::Verdict {
    if holds { Ok(()) } else { Err(what) }
}
