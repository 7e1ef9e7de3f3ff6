//! What every Guest kernel of ours needs: the way from the Host's entry state into its own address space, hypercalls,
//! page tables, traps, ring 3, console and disk of the lguest bus, and virtio devices on the PCI bus.
//!
//! A Guest is a kernel in ring 1. It runs at its own kernel address ([`paging::KERNEL_BASE`], not Linux's), asks the
//! Host for everything ring 0 would do by hypercall, and owns every page of its memory. It is single-threaded:
//! interrupts only count (see [`trap`]), so its statics are reached through [`cell::Global`].
//!
//! Prints no time, frequency or CPUID value anywhere: the same bytes must come out of every machine.

#![no_std]

pub mod boot;
pub mod bus;
pub mod cell;
pub mod console;
pub mod descriptor;
pub mod disk;
pub mod hypercall;
pub mod lguest_data;
pub mod memory;
pub mod paging;
pub mod pci;
pub mod ring3;
pub mod trap;
pub mod virtio;
pub mod virtqueue;

use core::panic::PanicInfo;

/// A panic is a bug of the Guest: say where and shut down as crashed.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println!("guest panic: {info}");
    hypercall::shutdown(c"Guest panic", hypercall::Shutdown::PowerOff)
}
