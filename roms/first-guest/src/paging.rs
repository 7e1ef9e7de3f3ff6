//! Page tables and their shadow: accessed and dirty bits, write protection, what a hypercall must make visible.

use crate::ledger::prove as line;
use guest_kit::catch;
use guest_kit::hypercall::{self, call_later, flush_tlb, number};
use guest_kit::memory::{frame_with, peek, poke};
use guest_kit::paging::{AddressSpace, flags};

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
