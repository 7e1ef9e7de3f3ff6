//! The state the Host starts a Guest in, and segments.

use crate::ledger::prove as line;
use core::arch::asm;
use guest_kit::boot::{self, EntryState};
use guest_kit::catch;
use guest_kit::cell::Global;
use guest_kit::descriptor::{Descriptor, entry, kind, selector};
use guest_kit::hypercall;
use guest_kit::lguest_data::DATA;
use guest_kit::paging::AddressSpace;

/// `hardware_subarch` of lguest, in `boot_params`.
const SUBARCH_LGUEST: u32 = 1;

/// The segments of ring 3; those of ring 1 are there from the start.
pub fn load_segments() {
    hypercall::load_gdt_entry(entry::RING3_CODE, Descriptor::flat(kind::CODE, 3));
    hypercall::load_gdt_entry(entry::RING3_DATA, Descriptor::flat(kind::DATA, 3));
}

/// Proofs 1 to 3 and 10 to 12 are about what was there first; paging comes between them by number only.
pub fn prove() {
    line(1, entry_registers() && boot_params());
    let reserved = DATA.reserve_mem.get();
    line(2, reserved != 0 && reserved.is_multiple_of(4096) && DATA.tsc_khz.get() != 0);
    let gone = catch!("movl ({a}), {a}"; a = inout(reg) 0x10_0000 => _);
    let gone = gone.is_some_and(|f| f.vector == 14 && f.error == 0 && f.cr2 == 0x10_0000);
    line(3, gone && AddressSpace::kernel().entry(prove as *const () as u32) != 0);
}

fn entry_registers() -> bool {
    let expected = EntryState {
        eax: 0,
        ebx: 0,
        ecx: 0,
        edx: 0,
        esi: 0,
        edi: 0,
        ebp: 0,
        esp: 0,
        cs: u32::from(selector::RING1_CS),
        ds: u32::from(selector::RING1_DS),
        es: u32::from(selector::RING1_DS),
        fs: 0,
        gs: 0,
        ss: u32::from(selector::RING1_DS),
        eflags: 0x202,
    };
    boot::registers() == expected
}

fn boot_params() -> bool {
    let one_range = boot::boot_param::<u8>(0x1e8) == 1;
    let from_zero = boot::boot_param::<u64>(0x2d0) == 0;
    let is_ram = boot::boot_param::<u32>(0x2e0) == 1;
    let magic = boot::boot_param::<u32>(0x202) == u32::from_le_bytes(*b"HdrS");
    one_range && from_zero && is_ram && magic && boot::boot_param::<u32>(0x23c) == SUBARCH_LGUEST
}

/// Segment proofs.
pub fn prove_segments() {
    static WITNESS: Global<u32> = Global::new(0x5e9_ba5e);
    const LIMIT: u32 = 0xff;
    let selector = (entry::FREE << 3 | 1) as u16;
    let base = WITNESS.as_ptr() as u32;
    hypercall::load_gdt_entry(entry::FREE, Descriptor::segment(base, LIMIT, kind::DATA, 0));
    // What LAR shows of an accessed, writable data segment of DPL 1 that is present, 32-bit, byte-granular.
    line(10, access_rights(selector) == Some(0x0040_b300));
    let value: u32;
    let fault = catch!("movw {s:x}, %gs", "movl %gs:0, {v:e}", "movw {n:x}, %gs";
        s = in(reg) selector, v = out(reg) value, n = in(reg) 0u16);
    line(11, fault.is_none() && value == WITNESS.get() && segment_limit(selector) == Some(LIMIT));
    let fault = catch!("movw %ax, %es"; in("ax") selector::HOST_DS);
    // SAFETY: the kernel's own data segment again, whatever the attempt left.
    unsafe { asm!("mov es, {s:x}", s = in(reg) selector::RING1_DS) };
    line(12, fault.is_some_and(|f| f.vector == 13 && f.error == u32::from(selector::HOST_DS)));
}

fn access_rights(selector: u16) -> Option<u32> {
    let (rights, visible): (u32, u8);
    // SAFETY: LAR only reads a descriptor.
    unsafe {
        asm!("lar {r:e}, {s:e}", "setz {z}", r = out(reg) rights, s = in(reg) u32::from(selector),
            z = out(reg_byte) visible);
    }
    (visible != 0).then_some(rights & 0x00f0_ff00)
}

fn segment_limit(selector: u16) -> Option<u32> {
    let (limit, visible): (u32, u8);
    // SAFETY: LSL only reads a descriptor.
    unsafe {
        asm!("lsl {l:e}, {s:e}", "setz {z}", l = out(reg) limit, s = in(reg) u32::from(selector),
            z = out(reg_byte) visible);
    }
    (visible != 0).then_some(limit)
}
