//! The benchmark as a multiboot kernel: runs the kernels in ring 3, with 4 KiB pages and a timer of 1 kHz, and system
//! operations where they belong. On COM1 it says
//!
//! ```text
//! bench start NAME
//! bench done NAME CHECKSUM ROUNDS
//! ```
//!
//! so that whoever listens can take the time, and powers off. Checksums do not depend on time: they are the same on
//! every machine.
//!
//! The command line is that of [`bench_kernels::chosen`]; without a name, everything runs, behind flat segments.

#![no_std]
#![no_main]

mod hardware;
mod operations;
mod tables;

use bench_kernels::{ARENA_WORDS, Chosen, KERNELS, Kernel, chosen};
use core::arch::{asm, global_asm};
use core::ffi::CStr;
use core::fmt::{self, Write};
use core::panic::PanicInfo;
use operations::{OPERATIONS, Operation};
use tables::{SEGMENTS, Segments};

global_asm!(include_str!("boot.s"), options(att_syntax));

const MULTIBOOT_MAGIC: u32 = 0x2BAD_B002;
/// Bit of the multiboot information's flags: it has a command line.
const HAS_COMMAND_LINE: u32 = 1 << 2;

static mut ARENA: [u32; ARENA_WORDS] = [0; ARENA_WORDS];

/// What ring 3 shall do.
#[derive(Clone, Copy)]
enum Job {
    None,
    Kernel(fn(&mut [u32], u32) -> u32, u32),
    Operation(unsafe extern "C" fn(u32) -> u32, u32),
}

static mut JOB: Job = Job::None;

unsafe extern "C" {
    fn enter_ring3(code: u32, data: u32) -> u32;
}

/// What boot.s calls.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(magic: u32, information: *const u32) -> ! {
    hardware::open_serial();
    let mut buffer = [0; 512];
    let line = if magic == MULTIBOOT_MAGIC { command_line(information, &mut buffer) } else { "" };
    // SAFETY: once, and interrupts are off.
    unsafe { tables::install() };
    hardware::start_timer();
    // SAFETY: every gate is in its place.
    unsafe { asm!("sti") };
    let mut any = false;
    for choice in chosen(line) {
        any = true;
        run(&choice);
    }
    if !any {
        let scale = line.split_ascii_whitespace().find_map(|w| w.strip_prefix("scale=")?.parse().ok());
        let all = KERNELS.iter().map(|k| k.name).chain(OPERATIONS.iter().map(|o| o.name));
        for name in all {
            run(&Chosen { name, segments: None, rounds: None, scale: scale.unwrap_or(100) });
        }
    }
    hardware::power_off()
}

/// The command line, copied: the loader may have put it where the arena is.
fn command_line(information: *const u32, buffer: &mut [u8; 512]) -> &str {
    // SAFETY: the boot loader's promise: flags at 0, and at 16 the address of a C string if they say so.
    let text = unsafe {
        if *information & HAS_COMMAND_LINE == 0 {
            return "";
        }
        CStr::from_ptr(*information.add(4) as *const _)
    };
    let bytes = text.to_bytes();
    let length = bytes.len().min(buffer.len());
    buffer[..length].copy_from_slice(&bytes[..length]);
    core::str::from_utf8(&buffer[..length]).unwrap_or("")
}

fn run(choice: &Chosen) {
    let kernel = KERNELS.iter().find(|k| k.name == choice.name);
    let operation = OPERATIONS.iter().find(|o| o.name == choice.name);
    let wanted = choice.segments.unwrap_or("flat");
    let segments = SEGMENTS.iter().find(|s| s.name == wanted);
    match (kernel, operation, segments) {
        (Some(Kernel { run, rounds, .. }), _, Some(segments)) => {
            let rounds = choice.rounds_of(*rounds);
            measure(choice, rounds, || in_ring3(Job::Kernel(*run, rounds), segments))
        }
        (_, Some(&Operation { run, rounds, ring3, .. }), Some(segments)) => {
            let rounds = choice.rounds_of(rounds);
            measure(choice, rounds, || match ring3 {
                true => in_ring3(Job::Operation(run, rounds), segments),
                // SAFETY: a loop of ring 0, which is here.
                false => unsafe { run(rounds) },
            });
        }
        _ => println(format_args!("bench unknown {}@{wanted}", choice.name)),
    }
}

fn measure(choice: &Chosen, rounds: u32, run: impl FnOnce() -> u32) {
    let (at, segments) = choice.segments.map_or(("", ""), |s| ("@", s));
    println(format_args!("bench start {}{at}{segments}", choice.name));
    let sum = run();
    println(format_args!("bench done {}{at}{segments} {sum:08x} {rounds}", choice.name));
}

fn in_ring3(job: Job, segments: &Segments) -> u32 {
    // SAFETY: ring 3 reads it only when it is entered, which is now.
    unsafe {
        (&raw mut JOB).write_volatile(job);
        enter_ring3(segments.code.into(), segments.data.into())
    }
}

/// What ring 3 runs.
#[unsafe(no_mangle)]
extern "C" fn ring3_main() -> u32 {
    // SAFETY: the only one who uses the arena; the job was written before ring 3 was entered.
    unsafe {
        match (&raw const JOB).read_volatile() {
            Job::None => 0,
            Job::Kernel(run, rounds) => run(&mut *(&raw mut ARENA), rounds),
            Job::Operation(run, rounds) => run(rounds),
        }
    }
}

/// An exception nobody expects.
#[unsafe(no_mangle)]
extern "C" fn exception(vector: u32, error: u32, eip: u32, cs: u32) -> ! {
    println(format_args!("bench exception {vector} error {error:#x} at {cs:04x}:{eip:08x}"));
    hardware::power_off()
}

/// A line, collected so that COM1 is written by ring 0 at once.
struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn println(what: fmt::Arguments) {
    let mut line = Line { bytes: [0; 160], length: 0 };
    // What does not fit is not needed.
    let _ = line.write_fmt(what);
    hardware::send(&line.bytes[..line.length]);
    hardware::send(b"\n");
}

/// A panic in ring 3 cannot speak: the port faults, and the exception tells.
#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    println(format_args!("bench panic {:?}", info.location()));
    hardware::power_off()
}
