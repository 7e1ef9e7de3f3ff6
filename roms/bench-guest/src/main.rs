//! The bench Guest: how long the Host takes for what Guests ask of it all day. Speaks like `bench.elf`:
//!
//! ```text
//! bench start NAME
//! bench done NAME CHECKSUM ROUNDS
//! ```
//!
//! Words of the command line: `NAME[=ROUNDS]` picks from [`TABLE`], `scale=PERCENT` scales the rounds of all that say
//! none; without a name everything runs.

#![no_std]
#![no_main]

use core::arch::asm;
use guest_kit::memory::{frame_with, peek};
use guest_kit::paging::{AddressSpace, flags};
use guest_kit::{boot, catch, console, hypercall, println};

core::arch::global_asm!(".globl before_init", "before_init:", "ret");

/// One operation: its name, the rounds of a full run, and the loop, from rounds to a checksum.
type Operation = (&'static str, u32, fn(u32) -> u32);

/// Every operation, in the order they run.
const TABLE: [Operation; 5] = [
    ("hypercall", 200_000, round_trips),
    ("guest-trap", 100_000, reflected_traps),
    ("guest-pte", 100_000, page_table_entries),
    ("guest-cr3", 100_000, address_spaces),
    ("guest-work", 20_000, work),
];

/// An address of the kernel's half that boot did not map.
const SCRATCH: u32 = 0x8100_0000;

/// What boot.s calls, in the Guest's own address space.
#[unsafe(no_mangle)]
extern "C" fn guest_main() -> ! {
    guest_kit::trap::load_gates();
    console::open();
    let scale: u64 = boot::word_value("scale").and_then(|s| s.parse().ok()).unwrap_or(100);
    let wanted = |name: &str| boot::has_word(name) || boot::word_value(name).is_some();
    let all = !TABLE.iter().any(|(name, ..)| wanted(name));
    for (name, rounds, run) in TABLE {
        if all || wanted(name) {
            let scaled = ((u64::from(rounds) * scale / 100) as u32).max(1);
            let rounds = boot::word_value(name).and_then(|n| n.parse().ok()).unwrap_or(scaled);
            println!("bench start {name}");
            let sum = run(rounds);
            println!("bench done {name} {sum:08x} {rounds}");
        }
    }
    hypercall::power_down()
}

/// A hypercall that does next to nothing: two world switches.
fn round_trips(rounds: u32) -> u32 {
    for _ in 0..rounds {
        hypercall::task_switched(false);
    }
    rounds
}

/// An exception of ring 1: to the Host, back to the Guest's handler, and on.
fn reflected_traps(rounds: u32) -> u32 {
    (0..rounds).filter(|_| catch!("ud2").is_some_and(|f| f.vector == 6)).count() as u32
}

/// A page mapped elsewhere, the Host told, and the page used: its shadow is made anew.
fn page_table_entries(rounds: u32) -> u32 {
    let space = AddressSpace::kernel();
    let frames = [frame_with(1), frame_with(2)];
    space.map(SCRATCH, frames[0], flags::KERNEL_DATA);
    (0..rounds).fold(0, |sum: u32, round| {
        space.change(SCRATCH, frames[round as usize & 1] | flags::KERNEL_DATA);
        sum.wrapping_add(peek(SCRATCH))
    })
}

/// Two address spaces by turns, and a page of each that the other has elsewhere.
fn address_spaces(rounds: u32) -> u32 {
    const PROGRAM: u32 = 0x0040_0000;
    let kernel = AddressSpace::kernel();
    let spaces = [AddressSpace::new(), AddressSpace::new()];
    for (space, value) in spaces.into_iter().zip(1..) {
        space.map(PROGRAM, frame_with(value), flags::USER_DATA);
    }
    let sum = (0..rounds).fold(0, |sum: u32, round| {
        spaces[round as usize & 1].activate();
        sum.wrapping_add(peek(PROGRAM))
    });
    kernel.activate();
    sum
}

/// A thousand steps of plain code in ring 1 and a hypercall: what a Guest does between two of them.
fn work(rounds: u32) -> u32 {
    let mut sum = 1u32;
    for round in 0..rounds {
        // SAFETY: registers only.
        unsafe {
            asm!("2:", "imul {s}, {s}, 69069", "add {s}, {n}", "dec {n}", "jnz 2b", s = inout(reg) sum,
                n = inout(reg) 1000 => _, options(nomem, nostack));
        }
        sum ^= round;
        hypercall::task_switched(false);
    }
    sum
}
