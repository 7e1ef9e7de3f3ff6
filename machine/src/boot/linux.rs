//! The 32-bit entry of the Linux/x86 boot protocol, version 2.02 and later (kernel documentation, "The Linux/x86 Boot
//! Protocol"): a bzImage, its command line and an initial RAM disk.
//!
//! The real-mode part of the image is not run. What it would have asked the BIOS is in the *zero page* we make.

use super::{BootError, Placement};
use crate::machine::Machine;
use crate::memory_map::{self, HIGH_START};
use cpu::flags::Flags;
use cpu::regs::{Registers, TableRegister, cr0, gpr};
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Offsets in the setup header, which are the same in the file and in the zero page.
mod offset {
    pub const SETUP_SECTS: usize = 0x1F1;
    pub const SYSSIZE: usize = 0x1F4;
    pub const BOOT_FLAG: usize = 0x1FE;
    pub const JUMP_LENGTH: usize = 0x201;
    pub const MAGIC: usize = 0x202;
    pub const VERSION: usize = 0x206;
    pub const TYPE_OF_LOADER: usize = 0x210;
    pub const LOADFLAGS: usize = 0x211;
    pub const RAMDISK_IMAGE: usize = 0x218;
    pub const RAMDISK_SIZE: usize = 0x21C;
    pub const CMD_LINE_PTR: usize = 0x228;
    pub const INITRD_ADDR_MAX: usize = 0x22C;
    pub const CMDLINE_SIZE: usize = 0x238;
    pub const SETUP_DATA: usize = 0x250;
    pub const XLOADFLAGS: usize = 0x236;
    pub const PREF_ADDRESS: usize = 0x258;
    pub const INIT_SIZE: usize = 0x260;
    pub const E820_ENTRIES: usize = 0x1E8;
    pub const E820_TABLE: usize = 0x2D0;
}

const LOADED_HIGH: u8 = 0x01;
/// In `xloadflags`: there is a 64-bit entry.
const XLF_KERNEL_64: u32 = 1;
/// "Undefined loader": we have no assigned number.
const LOADER_TYPE: u8 = 0xFF;
const E820_ENTRY: usize = 20;
const ZERO_PAGE_LEN: usize = 4096;
/// Zero page, GDT and command line lie in conventional memory, clear of the BIOS data area.
const LOW_FROM: u64 = 0x1_0000;
const BOOT_CS: u16 = 0x10;
const BOOT_DS: u16 = 0x18;
const FLAT_CODE: u64 = 0x00CF_9B00_0000_FFFF;
const FLAT_DATA: u64 = 0x00CF_9300_0000_FFFF;

/// A kernel and what goes with it.
#[derive(Clone, Copy, Debug)]
pub struct Linux<'a> {
    /// The bzImage.
    pub kernel: &'a [u8],
    /// Its command line.
    pub command_line: &'a [u8],
    /// Initial RAM disk; may be empty.
    pub initrd: &'a [u8],
    /// Where the kernel's random numbers start. A machine that repeats itself has no other entropy: without this the
    /// kernel looks for some in the jitter of a clock that has none, for seconds.
    pub seed: u64,
}

/// Whether `file` has a Linux setup header.
pub fn is_linux(file: &[u8]) -> bool {
    file.get(offset::BOOT_FLAG..offset::BOOT_FLAG + 2) == Some(&[0x55, 0xAA])
        && file.get(offset::MAGIC..offset::MAGIC + 4) == Some(b"HdrS")
}

fn field(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..).and_then(|rest| rest.first_chunk::<4>()).map_or(0, |b| u32::from_le_bytes(*b))
}

/// The image taken apart.
struct Image<'a> {
    /// Setup header, from offset 0x1F1 to its own end.
    header: &'a [u8],
    protected: &'a [u8],
    version: u16,
}

impl<'a> Image<'a> {
    fn parse(file: &'a [u8]) -> Result<Image<'a>, BootError> {
        if !is_linux(file) {
            return Err(BootError::Linux("no setup header"));
        }
        let version = field(file, offset::VERSION) as u16;
        if version < 0x0202 {
            return Err(BootError::Linux("boot protocol older than 2.02"));
        }
        if field(file, offset::LOADFLAGS) as u8 & LOADED_HIGH == 0 {
            return Err(BootError::Linux("a zImage; only a bzImage can be loaded"));
        }
        let sectors = match file[offset::SETUP_SECTS] {
            0 => 4,
            n => usize::from(n),
        };
        let protected = file.get((sectors + 1) * 512..).filter(|p| !p.is_empty());
        let protected = protected.ok_or(BootError::Linux("truncated: nothing after the setup sectors"))?;
        // The size in the header, in units of 16 bytes, is rounded up.
        let paragraphs = u64::from(field(file, offset::SYSSIZE));
        if version >= 0x0204 && paragraphs > (protected.len() as u64).div_ceil(16) {
            return Err(BootError::Linux("truncated: shorter than its header says"));
        }
        let header_end = offset::MAGIC + usize::from(file[offset::JUMP_LENGTH]);
        let header = file.get(offset::SETUP_SECTS..header_end.min(offset::E820_TABLE));
        let header = header.ok_or(BootError::Linux("truncated: the setup header is not complete"))?;
        Ok(Image { header, protected, version })
    }

    /// A header field, or `default` for a protocol older than `since`.
    fn get(&self, at: usize, since: u16, default: u32) -> u32 {
        if self.version >= since { field(self.header, at - offset::SETUP_SECTS) } else { default }
    }

    /// Byte after the memory the kernel needs before it knows the memory map.
    fn end(&self) -> u64 {
        let loaded = HIGH_START + self.protected.len() as u64;
        let preferred = u64::from(self.get(offset::PREF_ADDRESS, 0x020A, 0)).max(HIGH_START);
        loaded.max(preferred + u64::from(self.get(offset::INIT_SIZE, 0x020A, 0)))
    }
}

/// What can be known of an image without a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Footprint {
    /// Byte after the memory the kernel needs before it knows the memory map.
    pub end: u64,
    /// It has a 64-bit entry, and so is a 64-bit kernel.
    pub is_64bit: bool,
}

/// What `file` needs.
///
/// # Errors
/// It is no bzImage, or cut short.
pub fn footprint(file: &[u8]) -> Result<Footprint, BootError> {
    let image = Image::parse(file)?;
    let is_64bit = image.get(offset::XLOADFLAGS, 0x020C, 0) & XLF_KERNEL_64 != 0;
    Ok(Footprint { end: image.end(), is_64bit })
}

impl Linux<'_> {
    /// Load everything into `machine` and set its processor to the kernel's 32-bit entry, which is returned. The
    /// machine must have just been made or reset.
    ///
    /// # Errors
    /// The kernel is malformed, or something does not fit. Memory may have been written then.
    pub fn load(&self, machine: &mut Machine) -> Result<u32, BootError> {
        let image = Image::parse(self.kernel)?;
        let max = image.get(offset::CMDLINE_SIZE, 0x0206, 255) as usize;
        let len = self.command_line.len();
        if len > max {
            return Err(BootError::CommandLine { len, max });
        }
        let ram_size = machine.cpu.mem.ram_size();
        super::firmware::set_up(machine);
        let mut placement = Placement::new(ram_size);
        placement.claim("the kernel with its working memory", HIGH_START..image.end())?;
        let initrd = self.place_initrd(&image, &mut placement, ram_size)?;
        let mut low = |what: &str, len: usize| placement.allocate(what.into(), len as u64, 16, LOW_FROM);
        let zero_page_at = low("the zero page", ZERO_PAGE_LEN)?;
        let gdt_at = low("the boot GDT", 32)?;
        let command_line_at = low("the command line", len + 1)?;
        let seed = rng_seed(self.seed);
        let seed_at = low("the random seed", seed.len())?;

        let mut zero_page =
            zero_page(&image, ram_size, command_line_at as u32, initrd as u32, self.initrd.len() as u32);
        if image.version >= 0x0209 {
            zero_page[offset::SETUP_DATA..][..8].copy_from_slice(&seed_at.to_le_bytes());
        }
        let gdt = [0, 0, FLAT_CODE, FLAT_DATA].map(u64::to_le_bytes).concat();
        let command_line = [self.command_line, b"\0"].concat();
        let parts: [(u64, &[u8]); 6] = [
            (HIGH_START, image.protected),
            (initrd, self.initrd),
            (zero_page_at, &zero_page),
            (gdt_at, &gdt),
            (command_line_at, &command_line),
            (seed_at, &seed),
        ];
        for (at, bytes) in parts {
            let stored = machine.with_chipset(|_, cx| cx.mem.write_bytes(at, bytes));
            debug_assert!(stored, "placed in RAM");
        }
        enter(machine, zero_page_at as u32, gdt_at as u32);
        Ok(HIGH_START as u32)
    }

    /// As high as kernel and RAM allow, out of the way of whatever the kernel unpacks.
    fn place_initrd(
        &self,
        image: &Image<'_>,
        placement: &mut Placement,
        ram_size: u64,
    ) -> Result<u64, BootError> {
        let len = self.initrd.len() as u64;
        if len == 0 {
            return Ok(0);
        }
        let highest = u64::from(image.get(offset::INITRD_ADDR_MAX, 0x0203, 0x37FF_FFFF)) + 1;
        let no_room =
            || BootError::NoRoom { what: "the initial RAM disk".into(), len, ram_mib: ram_size >> 20 };
        let start = highest.min(ram_size).checked_sub(len).ok_or_else(no_room)? & !0xFFF;
        placement.claim("the initial RAM disk", start..start + len).map_err(|_| no_room())?;
        Ok(start)
    }
}

/// A `setup_data` node of type SETUP_RNG_SEED, the last of its list, with 32 bytes made of `seed`.
fn rng_seed(seed: u64) -> Vec<u8> {
    const TYPE: u32 = 9;
    const LEN: u32 = 32;
    let words = (0..4u64).map(|n| xxh3_64_with_seed(&n.to_le_bytes(), seed));
    let data = words.flat_map(u64::to_le_bytes);
    [0; 8].into_iter().chain(TYPE.to_le_bytes()).chain(LEN.to_le_bytes()).chain(data).collect()
}

fn zero_page(image: &Image<'_>, ram_size: u64, command_line: u32, initrd: u32, initrd_len: u32) -> Vec<u8> {
    let mut page = vec![0; ZERO_PAGE_LEN];
    let mut put = |at: usize, bytes: &[u8]| page[at..at + bytes.len()].copy_from_slice(bytes);
    // screen_info: an 80 by 25 VGA text screen in mode 3.
    put(0x06, &[0x03, 80]);
    put(0x0E, &[25, 1, 16]);
    put(offset::SETUP_SECTS, image.header);
    put(offset::TYPE_OF_LOADER, &[LOADER_TYPE]);
    put(offset::RAMDISK_IMAGE, &initrd.to_le_bytes());
    put(offset::RAMDISK_SIZE, &initrd_len.to_le_bytes());
    put(offset::CMD_LINE_PTR, &command_line.to_le_bytes());
    let map = memory_map::entries(ram_size);
    put(offset::E820_ENTRIES, &[map.len() as u8]);
    for (n, (range, kind)) in map.into_iter().enumerate() {
        let at = offset::E820_TABLE + E820_ENTRY * n;
        put(at, &range.start.to_le_bytes());
        put(at + 8, &(range.end - range.start).to_le_bytes());
        put(at + 16, &(kind as u32).to_le_bytes());
    }
    page
}

/// "32-bit boot protocol": flat segments, interrupts off, ESI to the zero page, EBP, EDI and EBX zero.
fn enter(machine: &mut Machine, zero_page: u32, gdt: u32) {
    let mut regs = Registers::reset();
    regs.gpr = [0; 8];
    regs.gpr[gpr::ESI] = zero_page;
    regs.seg = super::flat_segments(BOOT_CS, BOOT_DS);
    regs.gdtr = TableRegister { base: gdt, limit: 31 };
    regs.idtr = TableRegister { base: 0, limit: 0 };
    regs.cr0 = cr0::PE | cr0::ET;
    regs.flags = Flags::default();
    regs.eip = HIGH_START as u32;
    super::start(machine, regs);
}

#[cfg(test)]
mod tests;
