//! The lguest Host as a kernel: a multiboot image that any PC, QEMU or Ringside boots.
//!
//! `metal/boot.s` gets here with a stack and the Host's GDT. What follows is the Launcher's part: find memory, make a
//! Guest of each module, then run them until none is left.

#![no_std]
#![no_main]

mod metal;

use metal::{clock, console, cpu, frames, launch, multiboot, paging, power, scheduler, tables};

/// Called by `boot.s` with what the boot loader left in EAX and EBX.
#[unsafe(no_mangle)]
extern "C" fn host_main(magic: u32, info: u32) -> ! {
    console::init();
    tables::init();
    let Some(boot) = multiboot::Info::read(magic, info) else {
        panic!("not started by a multiboot loader (eax is {magic:#x})");
    };
    #[cfg(feature = "mutants")]
    if let Some(name) = boot.option("mutant=") {
        log!("deliberately broken: {name}");
        lguest_host::mutant::select(name);
    }
    cpu::shut_side_doors();
    let mut frames = frames::Frames::new(&boot);
    paging::init(&mut frames);
    clock::init();
    log!("lguest Host: {} KiB of memory, TSC {} kHz", frames.free() * 4, clock::tsc_khz());
    let guests = launch::guests(&boot, &mut frames);
    let end = scheduler::run(guests);
    power::off(end)
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    log!("Host panic: {info}");
    power::off(power::End::Panic)
}
