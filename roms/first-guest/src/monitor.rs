//! The monitor: a prompt on the virtio console for people who want to press the buttons themselves.

use crate::ledger;
use guest_kit::catch;
use guest_kit::console;
use guest_kit::hypercall;
use guest_kit::lguest_data::DATA;
use guest_kit::trap;
use guest_kit::{print, println};

/// Longest line.
const LINE: usize = 32;

/// What can be typed.
struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(),
}

const COMMANDS: &[Command] = &[
    Command { name: "help", help: "this list", run: help },
    Command { name: "hypercall", help: "enter the Host and come back", run: round_trip },
    Command { name: "fault", help: "read an address nobody mapped", run: fault },
    Command { name: "ring3", help: "run programs A and B again", run: crate::programs::prove },
    Command { name: "timer", help: "sleep until a timer interrupt", run: timer },
    Command { name: "poweroff", help: "end this Guest", run: || hypercall::power_down() },
];

/// Reads commands until one of them, or Ctrl-D, ends the Guest.
pub fn run() {
    println!("Your turn: type help. poweroff (or Ctrl-D) ends the Guest.");
    loop {
        print!("ring1> ");
        let mut line = Line::default();
        if !line.read() {
            println!("poweroff");
            return;
        }
        match COMMANDS.iter().find(|c| c.name == line.text().trim()) {
            Some(command) => (command.run)(),
            None if line.text().trim().is_empty() => {}
            None => println!("no such command: {} (try help)", line.text().trim()),
        }
    }
}

/// Gives proof 47.
pub fn prove_input() {
    println!("  type a line:");
    let mut line = Line::default();
    ledger::prove(47, line.read() && !line.text().is_empty());
    println!("  you typed: {}", line.text());
}

/// Instructions between two lines of [`count`], but for a handful.
const WORK: u32 = 500_000;

/// Counts pieces of work for ever, never asleep: whoever reads it knows this Guest's share of the processor.
pub fn count() -> ! {
    for n in 1u32.. {
        // SAFETY: the loop touches nothing but its register.
        unsafe { core::arch::asm!("2: dec {0}", "jnz 2b", inout(reg) WORK / 2 => _) };
        println!("{n}");
    }
    hypercall::power_down()
}

/// A line being typed.
#[derive(Default)]
struct Line {
    bytes: [u8; LINE],
    length: usize,
}

impl Line {
    /// Reads up to the end of the line, with echo and backspace; false for Ctrl-D.
    fn read(&mut self) -> bool {
        loop {
            match console::wait_byte() {
                4 => return false,
                b'\r' | b'\n' => {
                    println!();
                    return true;
                }
                8 | 127 if self.length > 0 => {
                    self.length -= 1;
                    print!("\u{8} \u{8}");
                }
                byte @ b' '..=b'~' if self.length < self.bytes.len() => {
                    self.bytes[self.length] = byte;
                    self.length += 1;
                    print!("{}", byte as char);
                }
                _ => {}
            }
        }
    }

    fn text(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

fn help() {
    for command in COMMANDS {
        println!("  {:10} {}", command.name, command.help);
    }
}

fn round_trip() {
    hypercall::flush_async();
    println!("  ring 1 -> int 0x1f -> Switcher -> Host, ring 0 -> Switcher -> ring 1: back again");
}

fn fault() {
    let fault = catch!("movl ({a}), {a}"; a = inout(reg) 0xdead_0000u32 => _);
    match fault {
        Some(f) => {
            println!("  the Host reflected vector {}, error {}, cr2 {:#010x}", f.vector, f.error, f.cr2)
        }
        None => println!("  no fault?"),
    }
}

fn timer() {
    let seen = trap::irq_count(0);
    trap::unmask(0);
    trap::disable_interrupts();
    hypercall::set_clockevent(10_000_000);
    while trap::irq_count(0) == seen {
        hypercall::halt();
    }
    trap::disable_interrupts();
    trap::mask(0);
    println!("  slept, and irq 0 woke me; irq_enabled is {:#x} again", DATA.irq_enabled.get());
}
