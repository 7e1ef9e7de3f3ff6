//! The attack Guest: everything a hostile kernel in ring 1, or its programs in ring 3, can pass to the Host.
//!
//! `attack=NAME` picks one of [`ringside_expectations::ATTACKS`]. The Guest prints `attack NAME` and tries. If it is
//! still alive and saw only what it may, it prints `survived NAME`; if it saw more, `BROKEN NAME: what`. Either way it
//! powers down.

#![no_std]
#![no_main]

mod block;
mod descriptors;
mod devices;
mod endless;
mod flags;
mod hypercalls;
mod network;
mod pages;
mod pci;
mod target;
mod virtio;

use guest_kit::{boot, console, hypercall, println};

core::arch::global_asm!(include_str!("before_init.s"), options(att_syntax));

/// What an attack that came back saw: nothing it may not see, or something.
pub type Verdict = Result<(), &'static str>;

/// The attacks after INIT, by module.
const TABLES: [&[(&str, fn() -> Verdict)]; 10] = [
    hypercalls::TABLE,
    pages::TABLE,
    descriptors::TABLE,
    flags::TABLE,
    devices::TABLE,
    pci::TABLE,
    virtio::TABLE,
    block::TABLE,
    network::TABLE,
    endless::TABLE,
];

/// What boot.s calls, in the Guest's own address space.
#[unsafe(no_mangle)]
extern "C" fn guest_main() -> ! {
    target::load_segments();
    guest_kit::trap::load_gates();
    console::open();
    let name = boot::word_value("attack").unwrap_or("(none)");
    let attack = TABLES.into_iter().flatten().find(|(n, _)| *n == name);
    match attack {
        None => println!("no such attack: {name}"),
        Some((_, run)) => {
            println!("attack {name}");
            match run() {
                Ok(()) => println!("survived {name}"),
                Err(what) => println!("BROKEN {name}: {what}"),
            }
        }
    }
    hypercall::power_down()
}
