//! Names of a Guest kernel's functions, from the symbol table its ELF image carries: for the report of its death.
//!
//! The image is whatever the user gave: every number in it is checked, and names are escaped by whoever prints them.

use crate::image::{u16_at, u32_at};
use core::fmt::{self, Display, Formatter};

/// Bytes of an entry of the symbol table, of a section header, of a program header.
const SYMBOL: usize = 16;
const SECTION: usize = 40;
const SEGMENT: usize = 32;
/// Type of a section with symbols.
const SYMBOL_TABLE: u32 = 2;
/// Types of symbols: a label, a function.
const LABEL: u8 = 0;
const FUNCTION: u8 = 2;
/// From here on section numbers mean something else.
const RESERVED: u16 = 0xFF00;
/// How far behind a label without a size its code reaches at most.
const REACH: u32 = 0x1000;

/// A symbol table.
#[derive(Clone, Copy)]
pub struct Symbols<'a> {
    image: &'a [u8],
    symbols: &'a [[u8; SYMBOL]],
    names: &'a [u8],
}

/// Section `n` of an image: type, contents, and the section it refers to.
fn section(image: &[u8], n: u32) -> Option<(u32, &[u8], u32)> {
    let headers = u32_at(image, 32).ok()? as usize;
    let at = headers.checked_add((n as usize).checked_mul(SECTION)?)?;
    let word = |k: usize| u32_at(image, at.wrapping_add(4 * k)).ok();
    let (kind, start, size, link) = (word(1)?, word(4)? as usize, word(5)? as usize, word(6)?);
    Some((kind, image.get(start..start.checked_add(size)?).unwrap_or(&[]), link))
}

impl<'a> Symbols<'a> {
    /// Those of an ELF image, if it has any.
    pub fn of(image: &'a [u8]) -> Option<Symbols<'a>> {
        if !image.starts_with(b"\x7FELF") {
            return None;
        }
        let count = u16_at(image, 48).ok()? as u32;
        let (_, table, link) = (0..count)
            .filter_map(|n| section(image, n))
            .find(|&(kind, table, _)| kind == SYMBOL_TABLE && !table.is_empty())?;
        let (_, names, _) = section(image, link)?;
        Some(Symbols { image, symbols: table.as_chunks().0, names })
    }

    /// The function `address` is in: its name, and how far behind its start.
    pub fn function(&self, address: u32) -> Option<(&'a [u8], u32)> {
        let mut best: Option<(u32, u32)> = None;
        for symbol in self.symbols {
            let [name, value, size, rest] = core::array::from_fn(|n| u32_at(symbol, 4 * n).unwrap_or(0));
            let (kind, section) = (rest as u8 & 0xF, (rest >> 16) as u16);
            let Some(offset) = address.checked_sub(value) else { continue };
            let code = matches!(kind, LABEL | FUNCTION) && section != 0 && section < RESERVED;
            let inside = offset < if size == 0 { REACH } else { size };
            if code && inside && best.is_none_or(|(_, least)| offset < least) {
                best = Some((name, offset));
            }
        }
        let (name, offset) = best?;
        let name = self.names.get(name as usize..)?.split(|&b| b == 0).next()?;
        (!name.is_empty()).then_some((name, offset))
    }

    /// Where a physical address of the loaded image is linked: a kernel starts before it has page tables.
    pub fn linked(&self, address: u32) -> u32 {
        let (Ok(headers), Ok(count)) = (u32_at(self.image, 28), u16_at(self.image, 44)) else {
            return address;
        };
        for n in 0..count as usize {
            let field = |k: usize| {
                let at = (headers as usize).wrapping_add(n * SEGMENT + 4 * k);
                u32_at(self.image, at).unwrap_or(0)
            };
            // Type LOAD; linear and physical address, bytes in memory.
            if field(0) == 1 && address.wrapping_sub(field(3)) < field(5) {
                return address - field(3) + field(2);
            }
        }
        address
    }
}

/// A function's name as its source has it: Rust's names, which say crate and module, without their hash; others as they are. At most
/// `most` bytes, escaped, for the image is whatever the user gave.
pub struct Plain<'a> {
    /// As the image has it.
    pub name: &'a [u8],
    /// Bytes of it that are said at most.
    pub most: usize,
}

impl Display for Plain<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = self.name.get(..self.most).unwrap_or(self.name);
        let mut rest = match name.strip_prefix(b"_ZN") {
            Some(parts) if parts.first().is_some_and(u8::is_ascii_digit) => parts,
            _ => return write!(f, "{}", name.escape_ascii()),
        };
        let mut between = "";
        while let Some((part, after)) = next_part(rest) {
            rest = after;
            let hash = part.len() == 17 && part.starts_with(b"h") && rest.first() == Some(&b'E');
            if !hash {
                write!(f, "{between}{}", part.escape_ascii())?;
                between = "::";
            }
        }
        Ok(())
    }
}

/// A part of a Rust name, which its length comes before, and what is behind it; what was cut off is not missed.
fn next_part(name: &[u8]) -> Option<(&[u8], &[u8])> {
    let digits = name.iter().take_while(|b| b.is_ascii_digit()).count();
    let length = core::str::from_utf8(name.get(..digits)?).ok()?.parse::<u16>().ok()? as usize;
    let part = name.get(digits..)?;
    part.split_at_checked(length).or(Some((part, &[]))).filter(|(part, _)| !part.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec;
    use std::vec::Vec;

    /// An ELF image with a symbol table: name, value, size, type and section.
    fn image(symbols: &[(&str, u32, u32, u32)]) -> Vec<u8> {
        let mut image = vec![0u8; 0x100];
        image[..4].copy_from_slice(b"\x7FELF");
        let mut names = vec![0u8];
        let mut table = Vec::new();
        for &(name, value, size, rest) in symbols {
            for word in [names.len() as u32, value, size, rest] {
                table.extend(word.to_le_bytes());
            }
            names.extend(name.bytes().chain([0]));
        }
        // Segment 0: linked at 0xC0100000, loaded at 0x100000.
        for (at, word) in
            [(28, 0x40), (44, 1), (0x40, 1), (0x48, 0xC010_0000), (0x4C, 0x10_0000), (0x54, 0x1000)]
        {
            image[at..at + 4].copy_from_slice(&u32::to_le_bytes(word));
        }
        let (table_at, names_at) = (image.len(), image.len() + table.len());
        let (table_len, names_len) = (table.len(), names.len());
        image.extend(table);
        image.extend(names);
        let headers = image.len() as u32;
        for [kind, start, size, link] in
            [[SYMBOL_TABLE as usize, table_at, table_len, 1], [3, names_at, names_len, 0]]
        {
            for word in [0, kind, 0, 0, start, size, link, 0, 0, 0] {
                image.extend((word as u32).to_le_bytes());
            }
        }
        image[32..36].copy_from_slice(&headers.to_le_bytes());
        image[48] = 2;
        image
    }

    const CODE: u32 = 1 << 16;

    #[test]
    fn an_address_is_in_the_function_before_it() {
        let image = image(&[
            ("constant", 0x1000, 0, 0xFFF1 << 16),
            ("first", 0x1000, 0x20, CODE | 2),
            ("inner", 0x1010, 0, CODE),
            ("table", 0x1018, 8, CODE | 1),
            ("label", 0x2000, 0, CODE),
        ]);
        let symbols = Symbols::of(&image).unwrap();
        for (address, found) in [
            (0xFFF, None),
            (0x1000, Some(("first", 0))),
            (0x100F, Some(("first", 15))),
            (0x1019, Some(("inner", 9))),
            (0x2FFF, Some(("label", 0xFFF))),
            (0x3000, None),
            (u32::MAX, None),
        ] {
            assert_eq!(
                symbols.function(address),
                found.map(|(name, n)| (name.as_bytes(), n)),
                "{address:#x}"
            );
        }
        assert_eq!(symbols.linked(0x10_0FFF), 0xC010_0FFF);
        assert_eq!(symbols.linked(0x10_1000), 0x10_1000);
    }

    #[test]
    fn every_cut_and_every_wrong_byte_is_no_more_than_a_wrong_name() {
        let whole = image(&[("first", 0x1000, 0x20, CODE | 2)]);
        for cut in 0..whole.len() {
            if let Some(symbols) = Symbols::of(&whole[..cut]) {
                symbols.function(0x1000);
                symbols.linked(0x10_0000);
            }
        }
        for at in 4..whole.len() {
            for byte in [0, 0x7F, 0x80, 0xFF] {
                let mut image = whole.clone();
                image[at] = byte;
                if let Some(symbols) = Symbols::of(&image) {
                    symbols.function(0x1001);
                    symbols.linked(0x10_0000);
                }
            }
        }
    }

    #[test]
    fn rust_names_are_said_as_in_their_source() {
        for (name, most, said) in [
            ("_ZN9guest_kit4boot5start17h0123456789abcdefE", 80, "guest_kit::boot::start"),
            ("_ZN9guest_kit4boot5start17h0123456789abcdefE", 20, "guest_kit::boot::s"),
            ("_ZN99x", 80, "x"),
            ("_ZN", 80, "_ZN"),
            ("_ZN99999999999999999999x", 80, ""),
            ("do_page_fault", 80, "do_page_fault"),
            ("do_page_fault", 7, "do_page"),
            ("\x1b[2J", 80, "\\x1b[2J"),
        ] {
            assert_eq!(std::format!("{}", Plain { name: name.as_bytes(), most }), said);
        }
    }
}
