//! Page tables and their shadow: accessed and dirty bits, write protection, what a hypercall must make visible.

use crate::ledger::prove as line;
use guest_kit::boot;
use guest_kit::catch;
use guest_kit::hypercall::{self, call_later, flush_tlb, number};
use guest_kit::lguest_data::boot_tables;
use guest_kit::memory::{PAGE, frame_with, peek, poke};
use guest_kit::paging::{AddressSpace, KERNEL_BASE, flags, is_pae, virt_to_phys};

/// An address of the kernel's half that boot did not map.
const SCRATCH: u32 = 0x8100_0000;
/// An address of a program's half.
const PROGRAM: u32 = 0x0040_0000;
/// More address spaces than the Host has shadow roots.
const SPACES: usize = 6;

/// Gives proofs 4 to 9.
pub fn prove() {
    let space = AddressSpace::kernel();
    let (one, two) = (frame_with(1), frame_with(2));

    space.map(SCRATCH, one, flags::KERNEL_DATA);
    let read = peek(SCRATCH) == 1;
    line(4, read && space.entry(SCRATCH) & 0xfff == flags::KERNEL_DATA | flags::ACCESSED);
    poke(SCRATCH, 1);
    line(5, space.entry(SCRATCH) & 0xfff == flags::KERNEL_DATA | flags::ACCESSED | flags::DIRTY);

    let read_only = SCRATCH + 0x1000;
    space.map(read_only, one, flags::PRESENT);
    // The shadow has the page once it was read: only then does the processor know that it is there.
    peek(read_only);
    let fault = catch!("movl {a}, ({a})"; a = in(reg) read_only);
    line(6, fault.is_some_and(|f| f.vector == 14 && f.error == 3 && f.cr2 == read_only));

    let before = peek(SCRATCH);
    space.change(SCRATCH, two | flags::KERNEL_DATA);
    line(7, before == 1 && peek(SCRATCH) == 2);

    let other = SCRATCH + 0x2000;
    space.map(other, one, flags::KERNEL_DATA);
    let before = (peek(SCRATCH), peek(other));
    space.set_entry(SCRATCH, one | flags::KERNEL_DATA);
    space.set_entry(other, two | flags::KERNEL_DATA);
    flush_tlb(true);
    line(8, before == (2, 1) && (peek(SCRATCH), peek(other)) == (1, 2));

    line(9, spaces_stay_apart());
}

fn spaces_stay_apart() -> bool {
    let spaces = [(); SPACES].map(|()| AddressSpace::new());
    for (space, value) in spaces.into_iter().zip(100..) {
        space.map(PROGRAM, frame_with(value), flags::USER_DATA);
    }
    let mut apart = true;
    for _ in 0..3 {
        for (space, value) in spaces.into_iter().zip(100..) {
            space.activate();
            apart &= peek(PROGRAM) == value;
        }
    }
    AddressSpace::kernel().activate();
    apart
}

/// Gives proofs 48 and 49, with PAE.
pub fn prove_pae() {
    let space = AddressSpace::kernel();
    line(48, is_pae() && space.entry(prove_pae as *const () as u32) != 0);

    // Two tables with one entry each, in turn at the same place of the directory.
    let tables = [3, 4].map(|value| frame_with(frame_with(value) | flags::KERNEL_DATA) | flags::TABLE);
    let address = SCRATCH + 0x20_0000;
    space.set_directory_entry(address, tables[0]);
    let before = peek(address);
    space.set_directory_entry(address, tables[1]);
    let (directory, index) = space.directory_place(address);
    hypercall::set_pmd(directory, index);
    line(49, before == 3 && peek(address) == 4);
}

/// Gives proof 50: the Host made page tables before it knew of any of ours.
pub fn prove_boot_tables() {
    unsafe extern "C" {
        static on_boot_tables: u32;
    }
    // SAFETY: a word of boot.s, written before any Rust code ran.
    let ran_there = unsafe { on_boot_tables } == 1;
    let below_the_end = boot_tables().is_some_and(|at| at != 0 && at % PAGE == 0 && at < boot::memory_size());
    line(50, ran_there && below_the_end && boot_tables().is_some_and(maps_the_kernel));
}

/// Do these tables map a page of the kernel to where it is?
fn maps_the_kernel(top: u32) -> bool {
    let space = AddressSpace::kernel();
    let look = |at: u32| {
        space.change(SCRATCH, at & !0xfff | flags::KERNEL_DATA);
        peek(SCRATCH + at % PAGE)
    };
    let physical = virt_to_phys(prove_boot_tables as *const () as u32) & !0xfff;
    let leaf = if is_pae() {
        let directory = look(top + 8 * (KERNEL_BASE >> 30)) & !0xfff;
        look((look(directory + 8 * (physical >> 21)) & !0xfff) + 8 * (physical >> 12 & 511))
    } else {
        let table = look(top + 4 * ((KERNEL_BASE + physical) >> 22)) & !0xfff;
        look(table + 4 * (physical >> 12 & 1023))
    };
    leaf & !0xfff == physical && leaf & 7 == 7
}

/// Gives proofs 26 and 27.
pub fn prove_async_ring() {
    let space = AddressSpace::kernel();
    let (one, two) = (frame_with(1), frame_with(2));
    let now = flags::KERNEL_DATA | flags::ACCESSED | flags::DIRTY;

    space.change(SCRATCH, one | now);
    let before = peek(SCRATCH);
    space.set_entry(SCRATCH, two | now);
    call_later(number::SET_PTE, [space.cr3(), SCRATCH, two | now]);
    let waiting = hypercall::latest_status() == 0;
    hypercall::flush_async();
    let done = hypercall::latest_status() == 0xff;
    line(26, before == 1 && waiting && peek(SCRATCH) == 2 && done);

    // The last of the calls decides. Entries with A and D set take effect without a fault.
    for i in 1..=100 {
        let frame = if i == 100 { one } else { two };
        space.set_entry(SCRATCH, frame | now);
        call_later(number::SET_PTE, [space.cr3(), SCRATCH, frame | now]);
    }
    hypercall::flush_async();
    line(27, peek(SCRATCH) == 1);
}
