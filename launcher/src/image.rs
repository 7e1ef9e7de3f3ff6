//! What the machine boots: an image with all that goes with it, kept to be loaded again at a reset.

use machine::Machine;
use machine::boot::multiboot::{Module, Multiboot};
use machine::boot::{BootError, Linux, rom};
use std::borrow::Cow;

/// Contents of a file, or of an image that is part of this program.
pub type Bytes = Cow<'static, [u8]>;

/// A multiboot module.
#[derive(Debug)]
pub struct BootModule {
    /// Contents.
    pub data: Bytes,
    /// The string that goes with it.
    pub string: String,
}

impl BootModule {
    /// A Guest's kernel with its command line. The name before it is the same on every computer, and `--` ends it, so
    /// that the Host drops no word of the command line, whatever that is.
    pub fn guest(data: Bytes, command_line: &str) -> BootModule {
        BootModule { data, string: format!("guest -- {command_line}") }
    }
}

/// Something to boot.
#[derive(Debug)]
pub enum Image {
    /// A multiboot kernel.
    Multiboot {
        /// The kernel.
        kernel: Bytes,
        /// Its command line.
        command_line: String,
        /// Its modules.
        modules: Vec<BootModule>,
    },
    /// A Linux bzImage.
    Linux {
        /// The kernel.
        kernel: Bytes,
        /// Its command line.
        command_line: String,
        /// Initial RAM disk, may be empty.
        initrd: Bytes,
        /// Where its random numbers start.
        seed: u64,
    },
    /// Firmware.
    Firmware {
        /// The ROM of the board.
        rom: Bytes,
        /// The ROM of the display adapter.
        vga_bios: Option<Bytes>,
    },
}

impl Image {
    /// Load everything; the machine has just been made or reset.
    pub fn load(&self, machine: &mut Machine) -> Result<(), BootError> {
        match self {
            Image::Multiboot { kernel, command_line, modules } => {
                let modules: Vec<Module<'_>> =
                    modules.iter().map(|m| Module { data: &m.data, string: m.string.as_bytes() }).collect();
                let image = Multiboot { kernel, command_line: command_line.as_bytes(), modules: &modules };
                image.load(machine).map(drop)
            }
            Image::Linux { kernel, command_line, initrd, seed } => {
                let command_line = command_line.as_bytes();
                Linux { kernel, command_line, initrd, seed: *seed }.load(machine).map(drop)
            }
            Image::Firmware { rom, vga_bios } => rom::load(machine, rom, vga_bios.as_deref()),
        }
    }
}
