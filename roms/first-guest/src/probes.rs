//! Ring 3, one rule at a time: a few instructions of ring3.s are run and must end in exactly the right trap.

use crate::ledger::prove as line;
use guest_kit::at;
use guest_kit::descriptor::{gate, selector};
use guest_kit::hypercall::flush_tlb;
use guest_kit::lguest_data::IF;
use guest_kit::memory::{allocate_frame, frame_with, poke};
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::ring3::{Context, Page, copy_of};
use guest_kit::trap::{self, Fault, SYSCALL, TRAP_FLAG};

/// Linear addresses of the probes' space.
const CODE: u32 = 0x0040_1000;
const DATA: u32 = 0x0040_2000;
const STACK: u32 = 0x0040_3000;
const KERNEL_ONLY: u32 = 0x0040_4000;
const READ_ONLY: u32 = 0x0040_5000;
const ABSENT: u32 = 0x0040_6000;

const PAGE_FAULT: u32 = 14;
const PROTECTION: u32 = 13;

/// An address space with one page of each kind.
fn make_space() -> AddressSpace {
    let space = AddressSpace::new();
    space.map(CODE, copy_of(Page::Probes), flags::USER_CODE);
    space.map(DATA, frame_with(1), flags::USER_DATA);
    space.map(STACK, allocate_frame(), flags::USER_DATA);
    space.map(KERNEL_ONLY, frame_with(0x5ec_2e7), flags::KERNEL_DATA);
    space.map(READ_ONLY, frame_with(7), flags::USER_CODE);
    space
}

/// Runs a probe from this label with these values in eax and ecx.
fn probe(label: u32, eax: u32, ecx: u32) -> (Context, Fault) {
    let mut context = Context::new(label, STACK + 0x1000);
    (context.eax, context.ecx) = (eax, ecx);
    let fault = context.run();
    (context, fault)
}

fn is_fault(fault: Fault, vector: u32, error: u32) -> bool {
    fault.vector == vector && fault.error == error
}

fn is_page_fault(fault: Fault, error: u32, address: u32) -> bool {
    is_fault(fault, PAGE_FAULT, error) && fault.cr2 == address
}

/// Gives proofs 28 to 40.
pub fn prove() {
    let space = make_space();
    space.activate();

    let mut context = Context::new(at!(probe_segments), STACK + 0x1000);
    (context.ds, context.es) = (u32::from(selector::RING1_DS), u32::from(selector::RING1_DS));
    line(28, context.run().vector == SYSCALL && context.eax & 0xffff == 0 && context.ecx & 0xffff == 0);

    prove_syscalls();
    prove_pages(space);
    prove_privilege();
    prove_instructions();

    let (before, _) = probe(at!(probe_read), DATA, 0);
    let mut flushed = before.ecx == 1;
    // New entries and used ones: the Host may take the latter along without being asked, but none that is not there any more.
    for (value, used) in (2..18).zip([0, flags::ACCESSED].into_iter().cycle()) {
        space.set_entry(DATA, frame_with(value) | flags::USER_DATA | used);
        flush_tlb(false);
        let (after, _) = probe(at!(probe_read), DATA, 0);
        flushed &= after.ecx == value && space.entry(DATA) & flags::ACCESSED != 0;
    }
    line(40, flushed);

    AddressSpace::kernel().activate();
}

/// A direct trap saves the processor's own IF, which is always set; the Host saves `irq_enabled`, here 0.
fn prove_syscalls() {
    let masked = |kind| {
        trap::set_syscall_gate(kind);
        let mut context = Context::new(at!(probe_syscall), STACK + 0x1000);
        context.eflags &= !IF;
        let fault = context.run();
        (fault, trap::latest_stack_pointer())
    };
    let (direct, direct_stack) = masked(gate::TRAP);
    line(29, direct.vector == SYSCALL && direct.eflags & IF != 0);
    let (reflected, reflected_stack) = masked(gate::INTERRUPT);
    line(30, reflected.vector == SYSCALL && reflected.eflags & IF == 0);
    trap::set_syscall_gate(gate::TRAP);
    let bottom = trap::stack_top() - size_of::<Context>() as u32;
    line(31, direct_stack == bottom && reflected_stack == bottom);
}

/// The kernel touches its page first, and the program reads the read-only one, so that the shadow has both.
fn prove_pages(space: AddressSpace) {
    poke(KERNEL_ONLY, 0x5ec_2e7);
    let (_, fault) = probe(at!(probe_read), KERNEL_ONLY, 0);
    line(32, is_page_fault(fault, 5, KERNEL_ONLY));

    let (reader, _) = probe(at!(probe_read), READ_ONLY, 0);
    let (_, fault) = probe(at!(probe_write), READ_ONLY, 8);
    line(33, reader.ecx == 7 && is_page_fault(fault, 7, READ_ONLY));

    let (mut context, fault) = probe(at!(probe_write), ABSENT + 0x124, 0xcafe);
    let missing = is_page_fault(fault, 6, ABSENT + 0x124);
    space.map(ABSENT, allocate_frame(), flags::USER_DATA);
    line(34, missing && context.run().vector == SYSCALL && context.edx == 0xcafe);
}

fn prove_privilege() {
    let refused = |label, error| is_fault(probe(label, 0, 0).1, PROTECTION, error);
    line(35, refused(at!(probe_hlt), 0) && refused(at!(probe_cli), 0) && refused(at!(probe_in), 0));
    line(36, refused(at!(probe_host_code), u32::from(selector::HOST_CS)));
    line(37, refused(at!(probe_hypercall), 0xfa));
}

fn prove_instructions() {
    let (_, fault) = probe(at!(probe_divide), 1, 0);
    line(38, is_fault(fault, 0, 0) && fault.eip == at!(probe_divide_at));

    let (mut context, fault) = probe(at!(probe_step), 0, 0);
    let stepped = is_fault(fault, 1, 0) && fault.eip == at!(probe_step_stop) && fault.eflags & TRAP_FLAG != 0;
    context.eflags &= !TRAP_FLAG;
    line(39, stepped && context.run().vector == SYSCALL);
}
