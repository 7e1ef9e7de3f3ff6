//! Guest kernels (3.1 to 3.4): ELF or bzImage into guest RAM, boot parameters, command line, initrd.

use crate::abi::PAGE;
use crate::mutant::broken;
use crate::ram::GuestRam;

/// Why an image cannot be a Guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// It ends before something it promises.
    Truncated,
    /// An ELF, but not a 32-bit x86 executable.
    NotI386,
    /// A segment or the whole kernel does not fit into the Guest's RAM.
    TooLarge,
    /// The initrd does not fit behind the kernel.
    InitrdTooLarge,
    /// The command line is longer than a page.
    CommandLineTooLong,
    /// A bzImage with a 64-bit kernel.
    Is64Bit,
    /// `mem=` on the command line: kernels before 4.0 look for their devices behind what they take to be their RAM.
    MemWord,
}

impl ImageError {
    /// For the log.
    pub const fn text(self) -> &'static str {
        match self {
            ImageError::Truncated => "the image is cut short",
            ImageError::NotI386 => "the image is an ELF, but not a 32-bit x86 executable",
            ImageError::TooLarge => "the kernel does not fit into the Guest's RAM (see guest-mem=)",
            ImageError::InitrdTooLarge => "the initrd does not fit into the Guest's RAM (see guest-mem=)",
            ImageError::CommandLineTooLong => "the command line is longer than a page",
            ImageError::Is64Bit => "the kernel is 64-bit",
            ImageError::MemWord => {
                "mem= on its command line would hide its devices; use guest-mem= on the Host's"
            }
        }
    }
}

/// Whether a module starts a Guest: an ELF or a bzImage. Anything else is an initrd.
pub fn is_kernel(image: &[u8]) -> bool {
    image.starts_with(b"\x7FELF") || is_bzimage(image)
}

fn is_bzimage(image: &[u8]) -> bool {
    image.get(0x202..0x206) == Some(b"HdrS")
}

const COMMAND_LINE: u32 = 0x1000;
const BZIMAGE_LOAD: u32 = 0x10_0000;

/// Little-endian, at an offset of an image.
pub(crate) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, ImageError> {
    let b = bytes.get(at..).and_then(|b| b.first_chunk()).ok_or(ImageError::Truncated)?;
    Ok(u16::from_le_bytes(*b))
}

/// As [`u16_at`].
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, ImageError> {
    let b = bytes.get(at..).and_then(|b| b.first_chunk()).ok_or(ImageError::Truncated)?;
    Ok(u32::from_le_bytes(*b))
}

/// Copies bytes to a guest-physical address, or fails with the error given.
type Put<'a> = dyn Fn(u32, &[u8], ImageError) -> Result<(), ImageError> + 'a;

/// Everything that makes a Guest's memory.
pub struct Boot<'a> {
    /// The kernel.
    pub image: &'a [u8],
    /// Its initrd, if any.
    pub initrd: Option<&'a [u8]>,
    /// Its command line.
    pub command_line: &'a [u8],
    /// Bytes of RAM it is told of.
    pub ram_size: u32,
}

/// A Guest's memory, filled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Where it starts.
    pub entry: u32,
    /// Bytes of RAM it is told of.
    pub ram_size: u32,
    /// Where the initial RAM disk begins, or RAM ends.
    pub free_end: u32,
}

impl Boot<'_> {
    /// Fill zeroed `ram`.
    ///
    /// # Errors
    /// See [`ImageError`].
    pub fn load(&self, ram: &GuestRam) -> Result<Loaded, ImageError> {
        let fits = |addr: u32, len: usize| {
            u32::try_from(len)
                .ok()
                .and_then(|len| addr.checked_add(len))
                .is_some_and(|end| end <= self.ram_size)
        };
        let put = |addr: u32, bytes: &[u8], error: ImageError| {
            if !fits(addr, bytes.len()) {
                return Err(error);
            }
            ram.write_bytes(addr, bytes).map_err(|_| error)
        };
        let (entry, end) =
            if is_bzimage(self.image) { self.load_bzimage(&put)? } else { self.load_elf(&put, &fits)? };

        let mut ramdisk = (0, 0);
        if let Some(initrd) = self.initrd {
            let size = (initrd.len() as u32).next_multiple_of(PAGE);
            let at =
                self.ram_size.checked_sub(size).filter(|&at| at >= end).ok_or(ImageError::InitrdTooLarge)?;
            put(at, initrd, ImageError::InitrdTooLarge)?;
            ramdisk = (at, size);
        }
        if self.command_line.split(u8::is_ascii_whitespace).any(|word| word.starts_with(b"mem=")) {
            return Err(ImageError::MemWord);
        }
        if self.command_line.len() >= PAGE as usize {
            return Err(ImageError::CommandLineTooLong);
        }
        put(COMMAND_LINE, self.command_line, ImageError::CommandLineTooLong)?;
        self.boot_params(&put, ramdisk)?;
        let free_end = if ramdisk.1 == 0 { self.ram_size } else { ramdisk.0 };
        Ok(Loaded { entry, ram_size: self.ram_size, free_end })
    }

    fn load_elf(&self, put: &Put, fits: &dyn Fn(u32, usize) -> bool) -> Result<(u32, u32), ImageError> {
        const EXEC: u16 = 2;
        const I386: u16 = 3;
        const LOAD: u32 = 1;
        let image = self.image;
        let class32 = image.get(4) == Some(&1) && image.get(5) == Some(&1);
        if !class32 || u16_at(image, 16)? != EXEC || u16_at(image, 18)? != I386 || u16_at(image, 42)? != 32 {
            return Err(ImageError::NotI386);
        }
        let (headers, count) = (u32_at(image, 28)? as usize, u16_at(image, 44)?);
        let mut end = 0;
        for n in 0..count as usize {
            let h = headers.checked_add(n * 32).ok_or(ImageError::Truncated)?;
            if u32_at(image, h)? != LOAD {
                continue;
            }
            let (offset, paddr) = (u32_at(image, h + 4)? as usize, u32_at(image, h + 12)?);
            let (file, memory) = (u32_at(image, h + 16)? as usize, u32_at(image, h + 20)? as usize);
            let stop = offset.checked_add(file).ok_or(ImageError::Truncated)?;
            let bytes = image.get(offset..stop).ok_or(ImageError::Truncated)?;
            if !fits(paddr, memory.max(file)) {
                return Err(ImageError::TooLarge);
            }
            put(paddr, bytes, ImageError::TooLarge)?;
            end = end.max(paddr + memory.max(file) as u32);
        }
        Ok((u32_at(image, 24)?, end))
    }

    fn load_bzimage(&self, put: &Put) -> Result<(u32, u32), ImageError> {
        let sectors = match self.image.get(0x1F1) {
            Some(0) => 4,
            Some(&n) => n as usize,
            None => return Err(ImageError::Truncated),
        };
        // Boot protocol 2.12, `xloadflags`: there is a 64-bit entry.
        if u16_at(self.image, 0x206)? >= 0x20C && u16_at(self.image, 0x236)? & 1 != 0 {
            return Err(ImageError::Is64Bit);
        }
        let kernel = self.image.get((sectors + 1) * 512..).ok_or(ImageError::Truncated)?;
        put(BZIMAGE_LOAD, kernel, ImageError::TooLarge)?;
        Ok((u32_at(self.image, 0x214)?, BZIMAGE_LOAD + kernel.len() as u32))
    }

    /// The zero page (3.2): the image's own header if it has one, then what lguest needs.
    fn boot_params(&self, put: &Put, (initrd, initrd_size): (u32, u32)) -> Result<(), ImageError> {
        let mut loadflags = 0;
        if is_bzimage(self.image) {
            let end = 0x202 + *self.image.get(0x201).ok_or(ImageError::Truncated)? as usize;
            let header = self.image.get(0x1F1..end.max(0x1F1)).ok_or(ImageError::Truncated)?;
            put(0x1F1, header, ImageError::TooLarge)?;
            loadflags = *self.image.get(0x211).ok_or(ImageError::Truncated)?;
        }
        let byte = |at: u32, value: u8| put(at, &[value], ImageError::TooLarge);
        let half = |at: u32, value: u16| put(at, &value.to_le_bytes(), ImageError::TooLarge);
        let word = |at: u32, value: u32| put(at, &value.to_le_bytes(), ImageError::TooLarge);
        put(0x202, b"HdrS", ImageError::TooLarge)?;
        half(0x1F2, 0)?;
        half(0x1FA, 0)?;
        half(0x206, 0x0207)?;
        byte(0x210, 0xFF)?;
        byte(0x211, loadflags | 0x40)?;
        word(0x218, initrd)?;
        word(0x21C, initrd_size)?;
        word(0x228, COMMAND_LINE)?;
        word(0x230, 0x100_0000)?;
        word(0x23C, if broken("boot-params") { 0 } else { 1 })?;
        // One range of RAM from zero.
        byte(0x1E8, 1)?;
        word(0x2D0, 0)?;
        word(0x2D4, 0)?;
        word(0x2D8, self.ram_size)?;
        word(0x2DC, 0)?;
        word(0x2E0, 1)
    }
}

/// The command line of a module's string: without the leading file name a loader may pass. The first word is one if
/// it has a slash or a dot, as QEMU's have, or if `--` comes next, which ends the name.
pub fn command_line(string: &[u8]) -> &[u8] {
    let string = string.trim_ascii();
    let (first, rest) = first_word(string);
    if first == b"--" {
        return rest;
    }
    let (second, after) = first_word(rest);
    match second {
        _ if first.contains(&b'=') => string,
        b"--" => after,
        _ if first.contains(&b'/') || first.contains(&b'.') => rest,
        _ => string,
    }
}

/// The first word, and what follows it and the spaces behind it.
fn first_word(string: &[u8]) -> (&[u8], &[u8]) {
    let end = string.iter().position(|&b| b == b' ').unwrap_or(string.len());
    (&string[..end], string[end..].trim_ascii_start())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;

    #[test]
    fn command_lines_lose_the_file_name() {
        for (string, line) in [
            ("/boot/guest.elf interactive", "interactive"),
            ("roms/first-guest.elf", ""),
            ("attack=crash", "attack=crash"),
            ("guest.elf -- a.b c", "a.b c"),
            ("guest -- console=hvc0", "console=hvc0"),
            ("guest -- -- single", "-- single"),
            ("guest --", ""),
            ("console=hvc0 quiet", "console=hvc0 quiet"),
            ("console=hvc0 -- single", "console=hvc0 -- single"),
            ("-- x", "x"),
            ("", ""),
        ] {
            assert_eq!(command_line(string.as_bytes()), line.as_bytes(), "{string}");
        }
    }

    #[test]
    fn every_cut_of_an_image_is_an_error_or_loads() {
        let mut elf = vec![0u8; 0x100];
        elf[..6].copy_from_slice(b"\x7FELF\x01\x01");
        elf[16] = 2;
        elf[18] = 3;
        elf[24..28].copy_from_slice(&0x10_0000u32.to_le_bytes());
        elf[28] = 52;
        elf[42] = 32;
        elf[44] = 1;
        elf[52] = 1;
        elf[52 + 12..52 + 16].copy_from_slice(&0x10_0000u32.to_le_bytes());
        elf[52 + 16..52 + 20].copy_from_slice(&0x100u32.to_le_bytes());
        elf[52 + 20..52 + 24].copy_from_slice(&0x200u32.to_le_bytes());
        let mut bytes = vec![0u8; 2 << 20];
        // SAFETY: `bytes` outlives `ram` and is not used meanwhile.
        let ram = unsafe { GuestRam::new(bytes.as_mut_ptr(), 2 << 20) };
        for cut in 4..elf.len() {
            let boot = Boot { image: &elf[..cut], initrd: None, command_line: b"", ram_size: 2 << 20 };
            assert!(boot.load(&ram).is_err(), "{cut}");
        }
        let boot = Boot { image: &elf, initrd: Some(&[1; 5000]), command_line: b"x", ram_size: 2 << 20 };
        let free_end = (2 << 20) - 8192;
        assert_eq!(boot.load(&ram), Ok(Loaded { entry: 0x10_0000, ram_size: 2 << 20, free_end }));
        assert_eq!(ram.read(0x218), Ok(free_end));
        let boot = Boot { image: &elf, initrd: None, command_line: b"quiet mem=1M", ram_size: 2 << 20 };
        assert_eq!(boot.load(&ram), Err(ImageError::MemWord));
        let boot = Boot { image: &elf, initrd: None, command_line: b"", ram_size: 0x10_0100 };
        assert_eq!(boot.load(&ram), Err(ImageError::TooLarge));
    }
}
