//! Boot protocols: how an image gets into memory and what the processor looks like at its first instruction.
//!
//! Each protocol is a file. They share where things may be put ([`Placement`]) and how ELF files are read ([`elf`]).
//! Every image is untrusted: whatever is in it ends in a loaded machine or a [`BootError`] of one line.

pub mod acpi;
pub mod elf;
pub mod firmware;
mod interrupt_services;
pub mod linux;
pub mod multiboot;
mod placement;
pub mod rom;

pub use linux::Linux;
pub use multiboot::Multiboot;
pub use placement::Placement;

use crate::machine::Machine;
use cpu::bus::Lines;
use cpu::regs::Registers;
use cpu::seg::{SegReg, Segment};

/// Segment registers over all 4 GiB, as both 32-bit protocols ask for: code in CS, data in the rest.
fn flat_segments(code_selector: u16, data_selector: u16) -> [Segment; 6] {
    let mut seg = [Segment::new(data_selector, 0, u32::MAX, 0x00C0_9300); 6];
    seg[SegReg::Cs as usize] = Segment::new(code_selector, 0, u32::MAX, 0x00C0_9B00);
    seg
}

/// Let the processor go on from `regs`, as if just reset otherwise.
fn start(machine: &mut Machine, regs: Registers) {
    machine.cpu.reset();
    machine.cpu.regs = regs;
    machine.with_chipset(|chipset, cx| {
        *cx.lines = Lines::default();
        chipset.update_lines(cx.lines);
    });
    machine.cpu.state_changed();
}

/// An image cannot be booted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BootError {
    /// None of the protocols knows it.
    #[error("not a multiboot kernel: no valid multiboot header in the first 8 KiB")]
    NoHeader,
    /// The header asks for something a boot loader may not ignore.
    #[error("the multiboot header requires features this loader does not have (flags {0:#010x})")]
    UnknownFlags(u32),
    /// The file is not the ELF it claims to be.
    #[error("bad ELF file: {0}")]
    Elf(String),
    /// An ELF for another machine.
    #[error("the ELF file is for machine type {0}, not for 32-bit x86")]
    WrongMachine(u16),
    /// Addresses in the header contradict each other or the file.
    #[error("bad multiboot header: {0}")]
    Header(&'static str),
    /// Something is to be loaded where there is no RAM.
    #[error("{what} at {start:#x}..{end:#x} is not in usable RAM ({ram_mib} MiB)")]
    OutsideRam {
        /// Which part of the image.
        what: &'static str,
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
        /// Size of RAM.
        ram_mib: u64,
    },
    /// Two things are to be loaded at the same place.
    #[error("{what} at {start:#x}..{end:#x} overlaps another part of the image")]
    Overlap {
        /// Which part of the image.
        what: &'static str,
        /// First byte.
        start: u64,
        /// Byte after the last.
        end: u64,
    },
    /// RAM is full.
    #[error("{what} ({len} bytes) does not fit in what is left of {ram_mib} MiB of RAM")]
    NoRoom {
        /// What does not fit.
        what: String,
        /// Its size.
        len: u64,
        /// Size of RAM.
        ram_mib: u64,
    },
    /// The entry point is not in what was loaded.
    #[error("the entry point {0:#x} is outside the loaded image")]
    Entry(u64),
    /// A Linux image of a kind that cannot be loaded.
    #[error("bad Linux image: {0}")]
    Linux(&'static str),
    /// A Linux command line longer than the kernel takes.
    #[error("the command line has {len} bytes, the kernel takes {max}")]
    CommandLine {
        /// Its length.
        len: usize,
        /// What the kernel takes.
        max: usize,
    },
    /// Firmware of a size that no ROM has.
    #[error(
        "a ROM image of {0} bytes: must be a multiple of 4 KiB, or a smaller power of two, up to 256 KiB; is it truncated?"
    )]
    RomSize(u64),
    /// Firmware with nothing where the processor starts.
    #[error("a ROM image without code in its last 16 bytes, where the processor starts; is it truncated?")]
    RomBlank,
}
