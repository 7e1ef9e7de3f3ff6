//! The lguest Host: everything that decides something, without the machine underneath.
//!
//! A Guest is a kernel in ring 1 that knows it is one: it asks by hypercall for what it may not do. The Host gives it
//! memory, shadow page tables, interrupts and a console, and believes nothing it says. The reference for every rule
//! is the lguest interface specification; numbers like "4.7" in comments are its sections.
//!
//! Reading order, along the seven parts of the journey:
//! 1. *Preparation*: `main.rs` and `metal/` boot the machine.
//! 2. *Guest*: [`image`] loads a kernel; [`guest`] is what the Host knows of it.
//! 3. *Drivers*: [`device`] is what a Guest can have, on the [`bus`] of kernels before 4.0 and on [`pci`] after; below them
//!    [`virtqueue`], [`console`], [`block`], [`net`] with its [`switch`], and [`entropy`].
//! 4. *Launcher*: `metal/launch.rs` makes Guests of multiboot modules.
//! 5. *Host*: [`guest::hypercall`], [`shadow`], [`guest::trap`], [`guest::interrupt`].
//! 6. *Switcher*: the crate `switcher-asm`, and `metal/world.rs`, its caller.
//! 7. *Mastery*: `metal/scheduler.rs` runs many Guests fairly, and buries them; `metal/report.rs` says what of, with [`symbols`].
//!
//! Principles
//! 1. Nothing a Guest passes is trusted: copy once, check, use the copy.
//! 2. Misuse kills the Guest that did it, with a reason, and nobody else.
//! 3. No global state but the machine's own: a Guest is a value.

#![no_std]

#[cfg(test)]
extern crate std;

pub mod abi;
pub mod block;
pub mod bus;
pub mod console;
pub mod death;
pub mod descriptor;
pub mod device;
pub mod entropy;
pub mod guest;
pub mod image;
pub mod mutant;
pub mod net;
pub mod pci;
pub mod ram;
pub mod shadow;
pub mod switch;
pub mod symbols;
pub mod virtio_pci;
pub mod virtqueue;
