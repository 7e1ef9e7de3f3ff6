//! 32-bit ELF executables: their loadable segments (System V ABI, chapter 5; i386 supplement).

use super::BootError;
use object::elf::{EM_386, FileHeader32, PT_LOAD};
use object::endian::LittleEndian as Le;
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::ops::Range;

/// One PT_LOAD segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Physical addresses it fills.
    pub physical: Range<u64>,
    /// Virtual address of its first byte.
    pub virtual_start: u64,
    /// Contents; what is missing to the length of `physical` is zero.
    pub data: &'a [u8],
}

/// What a loader needs of an ELF file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Elf<'a> {
    /// Physical address of the first instruction.
    pub entry: u64,
    /// Segments that occupy memory, in file order.
    pub segments: Vec<Segment<'a>>,
}

/// Whether `file` starts like an ELF file of any kind.
pub fn is_elf(file: &[u8]) -> bool {
    file.starts_with(&object::elf::ELFMAG)
}

/// Read the headers of `file` and check them against its length.
///
/// # Errors
/// Truncated, inconsistent, or for another machine.
pub fn parse(file: &[u8]) -> Result<Elf<'_>, BootError> {
    let bad = |error: object::Error| BootError::Elf(error.to_string());
    if file.get(4).is_some_and(|&class| class == object::elf::ELFCLASS64.0) {
        return Err(BootError::Elf("64-bit, but the machine is 32-bit".into()));
    }
    let header = FileHeader32::<Le>::parse(file).map_err(bad)?;
    let endian = header.endian().map_err(bad)?;
    if header.e_machine(endian) != EM_386 {
        return Err(BootError::WrongMachine(header.e_machine(endian).0));
    }
    let mut segments = Vec::new();
    for program_header in header.program_headers(endian, file).map_err(bad)? {
        let memory_size = u64::from(program_header.p_memsz(endian));
        if program_header.p_type(endian) != PT_LOAD || memory_size == 0 {
            continue;
        }
        let data = program_header
            .data(endian, file)
            .map_err(|()| BootError::Elf("truncated: a segment lies beyond the end of the file".into()))?;
        if data.len() as u64 > memory_size {
            return Err(BootError::Elf("a segment is larger in the file than in memory".into()));
        }
        let start = u64::from(program_header.p_paddr(endian));
        segments.push(Segment {
            physical: start..start + memory_size,
            virtual_start: program_header.p_vaddr(endian).into(),
            data,
        });
    }
    let entry = physical_entry(header.e_entry(endian).into(), &segments)?;
    Ok(Elf { entry, segments })
}

/// The entry point is a virtual address by the ABI; kernels linked high mean the physical one below it.
fn physical_entry(entry: u64, segments: &[Segment<'_>]) -> Result<u64, BootError> {
    let holds = |segment: &&Segment<'_>, start: u64| {
        (start..start + (segment.physical.end - segment.physical.start)).contains(&entry)
    };
    if let Some(segment) = segments.iter().find(|s| holds(s, s.virtual_start)) {
        return Ok(entry - segment.virtual_start + segment.physical.start);
    }
    let physical = segments.iter().any(|s| s.physical.contains(&entry));
    physical.then_some(entry).ok_or(BootError::Entry(entry))
}
