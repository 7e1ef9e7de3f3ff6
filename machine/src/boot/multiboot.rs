//! The Multiboot Specification, version 0.6.96: kernels as ELF files or with the address fields of their header.
//!
//! What the specification leaves undefined at entry is poisoned, so that a kernel that relies on it fails here and
//! not first on somebody's PC.

use super::{BootError, Placement, elf};
use crate::machine::Machine;
use crate::memory_map;
use cpu::flags::{self, Flags};
use cpu::regs::{Registers, TableRegister, cr0, gpr};

mod header;
mod info;

use header::Header;

/// EAX at entry.
const BOOT_MAGIC: u32 = 0x2BAD_B002;
/// Modules are loaded from here on, above whatever kernels put into the first megabyte.
const MODULES_FROM: u64 = memory_map::HIGH_START;
/// Boot information avoids the real-mode interrupt table and BIOS data area.
const INFO_FROM: u64 = 0x1000;
const PAGE: u64 = 4096;

/// A kernel and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Multiboot<'a> {
    /// The kernel file.
    pub kernel: &'a [u8],
    /// Its command line.
    pub command_line: &'a [u8],
    /// Modules in order.
    pub modules: &'a [Module<'a>],
}

/// One boot module.
#[derive(Clone, Copy, Debug)]
pub struct Module<'a> {
    /// Contents of the file.
    pub data: &'a [u8],
    /// Its string, by convention a file name and arguments.
    pub string: &'a [u8],
}

/// Whether `file` holds a multiboot header.
pub fn is_multiboot(file: &[u8]) -> bool {
    Header::find(file).is_ok()
}

impl Multiboot<'_> {
    /// Load everything into `machine` and set its processor to the kernel's first instruction. The machine must have
    /// just been made or reset. Returns the entry point.
    ///
    /// # Errors
    /// The kernel is malformed, or something does not fit. Memory may have been written then.
    pub fn load(&self, machine: &mut Machine) -> Result<u32, BootError> {
        let ram_size = machine.cpu.mem.ram_size();
        let mut placement = Placement::new(ram_size);
        let header = Header::find(self.kernel)?;
        let image =
            if header.has_addresses() { header.image(self.kernel)? } else { elf::parse(self.kernel)? };
        for segment in &image.segments {
            placement.claim("a kernel segment", segment.physical.clone())?;
        }
        let entry = u32::try_from(image.entry).map_err(|_| BootError::Entry(image.entry))?;

        super::firmware::set_up(machine);
        let mut modules = Vec::with_capacity(self.modules.len());
        for (n, module) in self.modules.iter().enumerate() {
            let name =
                format!("module {} \"{}\"", n + 1, String::from_utf8_lossy(module.string).escape_debug());
            let len = module.data.len() as u64;
            let start = placement.allocate(name, len, PAGE, placement.end().max(MODULES_FROM))?;
            modules.push(info::LoadedModule { range: start..start + len, string: module.string });
        }
        let len = info::length(self.command_line, &modules, ram_size);
        let info_at = placement.allocate("the boot information".into(), len, 4, INFO_FROM)?;
        let info = info::build(info_at, self.command_line, &modules, ram_size);

        for segment in &image.segments {
            store(machine, segment.physical.start, segment.data);
            let zeros = segment.physical.end - segment.physical.start - segment.data.len() as u64;
            clear(machine, segment.physical.start + segment.data.len() as u64, zeros);
        }
        for (loaded, module) in modules.iter().zip(self.modules) {
            store(machine, loaded.range.start, module.data);
        }
        store(machine, info_at, &info);
        enter(machine, entry, info_at as u32);
        Ok(entry)
    }
}

/// [`Placement`] has seen to it that this is RAM.
fn store(machine: &mut Machine, start: u64, bytes: &[u8]) {
    let stored = machine.with_chipset(|_, cx| cx.mem.write_bytes(start, bytes));
    debug_assert!(stored);
}

fn clear(machine: &mut Machine, start: u64, len: u64) {
    const ZEROS: [u8; PAGE as usize] = [0; PAGE as usize];
    let mut at = start;
    while at < start + len {
        let n = (PAGE - at % PAGE).min(start + len - at);
        store(machine, at, &ZEROS[..n as usize]);
        at += n;
    }
}

/// Section 3.2, "Machine state". Everything it does not fix gets a value that hurts.
fn enter(machine: &mut Machine, entry: u32, info: u32) {
    const POISON: u32 = 0xBAD0_0BAD;
    let mut regs = Registers::reset();
    regs.gpr = std::array::from_fn(|n| POISON ^ (n as u32) << 12);
    regs.gpr[gpr::EAX] = BOOT_MAGIC;
    regs.gpr[gpr::EBX] = info;
    // No descriptor table has these selectors, and the null limit makes any load of a segment fault.
    regs.seg = super::flat_segments(0x7AD0, 0x7AD8);
    regs.gdtr = TableRegister { base: POISON, limit: 0 };
    regs.idtr = TableRegister { base: POISON, limit: 0 };
    regs.cr0 = cr0::PE | cr0::ET;
    regs.flags = Flags::from_bits(flags::ARITH);
    regs.eip = entry;
    super::start(machine, regs);
}

#[cfg(test)]
mod tests;
