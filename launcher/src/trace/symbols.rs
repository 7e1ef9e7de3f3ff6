//! The nearest symbol below an address, from the symbol tables of the images that were booted.
//!
//! Which images are asked, and in which order, is decided by the privilege level: ring 0 is the Host and its Switcher
//! (or the bare machine's kernel), the others are Guests. Images without symbols, and addresses outside of an image's
//! code, give `?`.

use crate::image::Image;
use object::read::elf::{ElfFile32, ElfSection32};
use object::{LittleEndian as Le, Object, ObjectSection, ObjectSymbol, SectionKind, SymbolSection};
use std::ops::Range;

type Elf<'a> = ElfFile32<'a, Le>;

/// From here on up the Switcher lives, in every address space.
const SWITCHER: u32 = 0xFFC0_0000;

/// Whether the Switcher's code is at `eip`.
pub fn is_switcher(eip: u32) -> bool {
    eip >= SWITCHER
}

/// Symbols of all images of a run.
#[derive(Debug, Default)]
pub struct Symbols {
    /// The Host, or the kernel of a bare machine.
    ring0: Option<Table>,
    guests: Vec<Table>,
    /// What booted is no lguest Host.
    bare: bool,
}

/// Symbols of one image.
#[derive(Debug)]
struct Table {
    name: String,
    code: Vec<Section>,
    /// Physical addresses, and how much further up they are linked: code that runs before paging is found by these.
    offsets: Vec<(Range<u32>, u32)>,
}

/// A section of code. Several may be linked at the same address, for different address spaces.
#[derive(Debug)]
struct Section {
    addresses: Range<u32>,
    /// Start and name, sorted.
    symbols: Vec<(u32, String)>,
}

impl Symbols {
    /// Of everything in `image`.
    pub fn of(image: &Image) -> Symbols {
        let Image::Multiboot { kernel, modules, .. } = image else {
            return Symbols { bare: true, ..Symbols::default() };
        };
        let ring0 = Table::read(kernel, "kernel");
        let bare = !ring0.as_ref().is_some_and(Table::has_switcher);
        let elfs = modules.iter().filter_map(|module| Table::read(&module.data, "guest"));
        let guests = elfs.enumerate().map(|(n, table)| table.numbered(n)).collect();
        Symbols { ring0, guests, bare }
    }

    /// `image!symbol+offset` of code at `eip` that runs at `cpl`.
    pub fn name(&self, cpl: u8, eip: u32) -> String {
        let tables: &[Table] = match (cpl, self.bare) {
            (0, _) | (_, true) => self.ring0.as_slice(),
            _ => &self.guests,
        };
        let found = tables.iter().find_map(|table| table.find(eip).map(|found| (table, found)));
        let image = match (cpl, self.bare) {
            (0, false) if is_switcher(eip) => "switcher",
            (0, false) => "host",
            (0, true) => "kernel",
            _ => found.as_ref().map_or(if cpl == 3 { "user" } else { "guest" }, |(table, _)| &table.name),
        };
        match found {
            Some((_, place)) => format!("{image}!{place}"),
            None => format!("{image}!?+0"),
        }
    }
}

impl Table {
    /// The symbol table of `file`, if it is an ELF file that has one. A damaged table is none.
    fn read(file: &[u8], name: &str) -> Option<Table> {
        let file = Elf::parse(file).ok()?;
        let code = file
            .sections()
            .filter(|section| section.kind() == SectionKind::Text)
            .filter_map(|section| Section::read(&file, &section))
            .collect();
        let offsets = file
            .elf_program_headers()
            .iter()
            .filter_map(|header| {
                let (linked, physical) = (header.p_vaddr.get(Le), header.p_paddr.get(Le));
                let range = range(physical.into(), header.p_memsz.get(Le).into())?;
                Some((range, linked.wrapping_sub(physical)))
            })
            .collect();
        Some(Table { name: name.into(), code, offsets })
    }

    /// The first Guest has no number.
    fn numbered(mut self, n: usize) -> Table {
        if n > 0 {
            self.name = format!("{}{}", self.name, n + 1);
        }
        self
    }

    fn has_switcher(&self) -> bool {
        self.code.iter().any(|section| is_switcher(section.addresses.start))
    }

    /// `symbol+offset` for `eip`; if several sections are there, for each of them.
    fn find(&self, eip: u32) -> Option<String> {
        let physical = self.offsets.iter().filter(|(range, _)| range.contains(&eip));
        let candidates = physical.map(|(_, offset)| eip.wrapping_add(*offset));
        std::iter::once(eip).chain(candidates).find_map(|at| self.find_linked(at))
    }

    fn find_linked(&self, at: u32) -> Option<String> {
        let found = self.code.iter().filter_map(|section| section.find(at));
        let places: Vec<String> = found.map(|(name, offset)| format!("{name}+{offset:x}")).collect();
        (!places.is_empty()).then(|| places.join("|"))
    }
}

impl Section {
    fn read(file: &Elf<'_>, section: &ElfSection32<'_, '_, Le>) -> Option<Section> {
        let addresses = range(section.address(), section.size())?;
        let mut symbols: Vec<(u32, String)> = file
            .symbols()
            .filter(|symbol| symbol.section() == SymbolSection::Section(section.index()))
            .filter_map(|symbol| Some((u32::try_from(symbol.address()).ok()?, symbol.name().ok()?)))
            .filter(|(at, name)| !name.is_empty() && addresses.contains(at))
            .map(|(at, name)| (at, word(name)))
            .collect();
        symbols.sort();
        // Of several names for a place, one is enough.
        symbols.dedup_by_key(|(at, _)| *at);
        Some(Section { addresses, symbols })
    }

    /// The nearest symbol at or below `at`, and the distance.
    fn find(&self, at: u32) -> Option<(&str, u32)> {
        let above = self.symbols.partition_point(|(start, _)| *start <= at);
        let (start, name) = self.symbols.get(above.checked_sub(1)?)?;
        self.addresses.contains(&at).then_some((name, at - start))
    }
}

fn range(start: u64, len: u64) -> Option<Range<u32>> {
    let end = start.checked_add(len)?;
    Some(u32::try_from(start).ok()?..u32::try_from(end).unwrap_or(u32::MAX))
}

/// A name without compiler's ornaments, and without blanks, which separate the fields of a line.
fn word(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name)).replace(char::is_whitespace, "_")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn guest() -> Table {
        let file = include_bytes!("../../../roms/first-guest.elf");
        Table::read(file, "guest").unwrap()
    }

    #[test]
    fn symbols_are_found_at_both_addresses() {
        let table = guest();
        let (start, name) = table.code[0].symbols[0].clone();
        let place = Some(format!("{name}+2"));
        assert_eq!(table.find(start + 2), place);
        assert_ne!(table.find(start - 1).map(|found| found.starts_with(&name)), Some(true));
        let (_, offset) = table.offsets[0];
        assert_eq!(table.find(start.wrapping_sub(offset) + 2), place);
    }

    #[test]
    fn two_programs_at_one_address_are_both_named() {
        assert_eq!(guest().find(0x40_0004), Some("program_a+4|program_b+4".into()));
    }

    #[test]
    fn the_level_chooses_the_image() {
        let symbols = Symbols { ring0: None, guests: vec![guest(), guest().numbered(1)], bare: false };
        let (start, name) = &symbols.guests[0].code[0].symbols[0];
        assert_eq!(symbols.name(1, start + 2), format!("guest!{name}+2"));
        assert_eq!(symbols.name(0, *start), "host!?+0");
        assert_eq!(symbols.name(0, 0xFFC0_1000), "switcher!?+0");
        assert_eq!(symbols.name(3, 0x1000), "user!?+0");
    }

    #[test]
    fn damaged_files_have_no_symbols() {
        let file = include_bytes!("../../../roms/first-guest.elf");
        for len in [0, 4, 52, 100, 1000, file.len() / 2] {
            assert!(Table::read(&file[..len], "x").is_none_or(|table| table.find(0x8010_0000).is_none()));
        }
    }
}
