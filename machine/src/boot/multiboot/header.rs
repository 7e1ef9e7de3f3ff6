//! Section 3.1: the header in the kernel file, and images that are placed by its address fields.

use crate::boot::BootError;
use crate::boot::elf::{Elf, Segment};

const MAGIC: u32 = 0x1BAD_B002;
/// The header lies within this many bytes, aligned to four.
const SEARCH: usize = 8192;
/// Flags 0 to 2 (page-aligned modules, memory information, video mode) are granted or harmless without a display;
/// the rest of the lower half are requirements nobody has defined.
const UNKNOWN_REQUIREMENTS: u32 = 0xFFF8;
const HAS_ADDRESSES: u32 = 1 << 16;

/// The header, and where it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    offset: usize,
    flags: u32,
    /// header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr; zero where the file ends.
    addresses: [u32; 5],
}

fn word(file: &[u8], at: usize) -> Option<u32> {
    let bytes = file.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*bytes))
}

impl Header {
    /// Search `file` for a header with a right checksum.
    pub fn find(file: &[u8]) -> Result<Header, BootError> {
        let mut offsets = (0..SEARCH.min(file.len())).step_by(4);
        let (offset, flags) = offsets
            .find_map(|at| {
                let [magic, flags, checksum] = [word(file, at)?, word(file, at + 4)?, word(file, at + 8)?];
                let valid = magic == MAGIC && magic.wrapping_add(flags).wrapping_add(checksum) == 0;
                valid.then_some((at, flags))
            })
            .ok_or(BootError::NoHeader)?;
        if flags & UNKNOWN_REQUIREMENTS != 0 {
            return Err(BootError::UnknownFlags(flags));
        }
        let addresses = std::array::from_fn(|n| word(file, offset + 12 + 4 * n).unwrap_or(0));
        Ok(Header { offset, flags, addresses })
    }

    /// The address fields are valid: the file need not be ELF.
    pub fn has_addresses(&self) -> bool {
        self.flags & HAS_ADDRESSES != 0
    }

    /// The image that the address fields describe.
    pub fn image<'a>(&self, file: &'a [u8]) -> Result<Elf<'a>, BootError> {
        let [header, load, load_end, bss_end, entry] = self.addresses;
        let before = header.checked_sub(load).ok_or(BootError::Header("load_addr is above header_addr"))?;
        let start = self.offset.checked_sub(before as usize);
        let start = start.ok_or(BootError::Header("load_addr lies before the start of the file"))?;
        let rest = file.get(start..).unwrap_or_default();
        let data = match load_end {
            0 => rest,
            _ => {
                let len = load_end
                    .checked_sub(load)
                    .ok_or(BootError::Header("load_end_addr is below load_addr"))?;
                rest.get(..len as usize)
                    .ok_or(BootError::Header("load_end_addr lies beyond the end of the file"))?
            }
        };
        let load = u64::from(load);
        let end = load + data.len() as u64;
        let bss_end = match bss_end {
            0 => end,
            bss_end => u64::from(bss_end),
        };
        if bss_end < end {
            return Err(BootError::Header("bss_end_addr is below the end of the data"));
        }
        let physical = load..bss_end;
        if !physical.contains(&entry.into()) {
            return Err(BootError::Entry(entry.into()));
        }
        Ok(Elf { entry: entry.into(), segments: vec![Segment { physical, virtual_start: load, data }] })
    }
}
