//! The kernels as a 32-bit Linux program without a C library: what the processor underneath can do.
//!
//! Takes the image's command line as arguments and prints what the image prints.

#![no_std]
#![no_main]

use bench_kernels::{ARENA_WORDS, KERNELS, Kernel, chosen};
use core::arch::{asm, global_asm};
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::panic::PanicInfo;

const WRITE: u32 = 4;
const EXIT: u32 = 1;

global_asm!(
    ".globl _start",
    "_start: movl %esp, %eax",
    "andl $-16, %esp",
    "subl $12, %esp",
    "pushl %eax",
    "call program",
    options(att_syntax)
);

static mut ARENA: [u32; ARENA_WORDS] = [0; ARENA_WORDS];

/// `stack` is what the kernel leaves there: the number of arguments and pointers to them.
#[unsafe(no_mangle)]
extern "C" fn program(stack: *const usize) -> ! {
    // SAFETY: the process starts with a count and that many pointers to C strings, the program's own name first.
    let arguments = unsafe { core::slice::from_raw_parts(stack.add(1).cast::<*const c_char>(), *stack) };
    // SAFETY: as above.
    let arguments = arguments.iter().skip(1).map(|&a| unsafe { CStr::from_ptr(a) }.to_str().unwrap_or("?"));
    let mut line = Line::default();
    for argument in arguments {
        // A line too long is cut, and what it asked for is not run.
        let _ = write!(line, "{argument} ");
    }
    let mut any = false;
    for choice in chosen(line.text()) {
        any = true;
        match KERNELS.iter().find(|k| k.name == choice.name) {
            Some(kernel) => measure(kernel, choice.rounds_of(kernel.rounds)),
            None => say(format_args!("bench unknown {}\n", choice.name)),
        }
    }
    if !any {
        let scale = line.text().trim().strip_prefix("scale=").and_then(|s| s.parse().ok()).unwrap_or(100);
        for kernel in KERNELS {
            measure(kernel, (u64::from(kernel.rounds) * scale / 100).max(1) as u32);
        }
    }
    exit(0)
}

fn measure(kernel: &Kernel, rounds: u32) {
    say(format_args!("bench start {}\n", kernel.name));
    // SAFETY: the only reference while the kernel runs.
    let sum = unsafe {
        let arena = &mut *(&raw mut ARENA);
        (kernel.run)(arena, rounds)
    };
    say(format_args!("bench done {} {sum:08x} {rounds}\n", kernel.name));
}

/// Text of at most 512 bytes.
struct Line {
    bytes: [u8; 512],
    length: usize,
}

impl Default for Line {
    fn default() -> Self {
        Self { bytes: [0; 512], length: 0 }
    }
}

impl Line {
    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let end = self.length + text.len();
        self.bytes.get_mut(self.length..end).ok_or(fmt::Error)?.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

fn say(what: fmt::Arguments) {
    let mut line = Line::default();
    // What does not fit is not needed.
    let _ = line.write_fmt(what);
    system_call(WRITE, [1, line.bytes.as_ptr() as u32, line.length as u32]);
}

fn exit(status: u32) -> ! {
    loop {
        system_call(EXIT, [status, 0, 0]);
    }
}

fn system_call(number: u32, arguments: [u32; 3]) -> u32 {
    let result;
    // SAFETY: the two calls used read memory that is passed to them, or never return.
    unsafe {
        asm!("int 0x80", inout("eax") number => result, in("ebx") arguments[0], in("ecx") arguments[1],
            in("edx") arguments[2]);
    }
    result
}

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    say(format_args!("bench panic: {info}\n"));
    exit(1)
}
