//! The first Guest: a small kernel in ring 1 that proves, line by line, that the Host, the Switcher and the processor
//! below it keep the rules of lguest, and runs two programs in ring 3 that speak for themselves.
//!
//! The lines are those of [`ringside_expectations::PROOFS`]. Each becomes FAIL, or the run ends before it, when the
//! rule it tests is broken; a test breaks them one by one. Nothing printed depends on time, so the transcript is the
//! same bytes on every machine.
//!
//! Words of the command line: `interactive` (a monitor prompt after the proofs), `input` (wait for one typed line),
//! `layout=a` and `layout=c` (the lguest_data of kernels up to 3.0 and from 4.1 on, B being that between), `pae` (page tables of
//! three levels), `disk` (what is on the first disk is overwritten), `pci` (it is the one on the PCI bus), `busy` (after the proofs, count for ever).

#![no_std]
#![no_main]

mod disk;
mod interrupts;
mod ledger;
mod monitor;
mod paging;
mod probes;
mod programs;
mod startup;
mod traps;

use guest_kit::boot;
use guest_kit::{console, hypercall, println};

core::arch::global_asm!(include_str!("ring3.s"), options(att_syntax));
core::arch::global_asm!(".globl before_init", "before_init:", "ret");

/// What boot.s calls, in the Guest's own address space.
#[unsafe(no_mangle)]
extern "C" fn guest_main() -> ! {
    startup::load_segments();
    guest_kit::trap::load_gates();
    if !console::open() {
        println!("no console on the lguest bus: going on with the early one");
    }
    println!("You are in ring 1: a kernel that is not Linux, a Guest of the Rust Host in ring 0 below.");
    println!(
        "Each line is a promise of Host and processor, tried on the spot; two programs in ring 3 join in."
    );
    println!("Every trap, page and interrupt here crosses the Switcher. Watch it with: ringside --trace -");
    println!();
    startup::prove();
    paging::prove();
    traps::prove();
    interrupts::prove();
    probes::prove();
    programs::prove();
    if boot::has_word("pae") {
        paging::prove_pae();
    }
    if boot::has_word("layout=a") {
        paging::prove_boot_tables();
    }
    if boot::has_word("layout=c") {
        traps::prove_cr4();
    }
    if boot::has_word("disk") {
        disk::prove();
    }
    if boot::has_word("pci") {
        disk::prove_device_page();
    }
    if boot::has_word("input") {
        monitor::prove_input();
    }
    println!();
    let all = ledger::close();
    if boot::has_word("busy") {
        monitor::count();
    }
    if boot::has_word("interactive") {
        monitor::run();
    }
    if !all {
        // One without a console is heard, too.
        hypercall::shutdown(c"a proof failed", hypercall::Shutdown::PowerOff);
    }
    hypercall::power_down()
}
