//! An assembler for the ACPI Machine Language (ACPI specification, chapter 20): each function gives the bytes of one
//! construct, and those of a whole are the concatenation of its parts.

/// The bytes of a term.
pub type Aml = Vec<u8>;

/// Arg0.
pub const ARG0: &[u8] = &[0x68];
/// Nowhere: the result is not wanted.
const NO_TARGET: u8 = 0x00;

fn join(parts: &[&[u8]]) -> Aml {
    parts.concat()
}

/// A name: segments of up to four characters separated by dots, with `\` or `^` in front (20.2.2).
pub fn name_string(text: &str) -> Aml {
    let path = text.trim_start_matches(['\\', '^']);
    let mut bytes = text.as_bytes()[..text.len() - path.len()].to_vec();
    let segments: Vec<&str> = path.split('.').filter(|segment| !segment.is_empty()).collect();
    match segments.len() {
        0 => bytes.push(0),
        1 => {}
        2 => bytes.push(0x2E),
        n => bytes.extend([0x2F, n as u8]),
    }
    for segment in segments {
        bytes.extend(segment.bytes().chain(*b"____").take(4));
    }
    bytes
}

/// The length of `body` and of itself in front of it (20.2.4).
fn package(body: &[u8]) -> Aml {
    let len = body.len();
    let follow: usize = match len {
        0..=0x3E => return join(&[&[len as u8 + 1], body]),
        0x3F..=0xFFD => 1,
        0xFFE..=0xF_FFFC => 2,
        _ => 3,
    };
    let total = len + 1 + follow;
    let mut bytes = vec![(follow << 6) as u8 | (total & 0xF) as u8];
    bytes.extend((0..follow).map(|n| (total >> (4 + 8 * n)) as u8));
    bytes.extend(body);
    bytes
}

/// A constant, as short as it goes.
pub fn integer(value: u32) -> Aml {
    let bytes = value.to_le_bytes();
    match value {
        0 | 1 => vec![value as u8],
        2..=0xFF => join(&[&[0x0A], &bytes[..1]]),
        0x100..=0xFFFF => join(&[&[0x0B], &bytes[..2]]),
        _ => join(&[&[0x0C], &bytes]),
    }
}

/// A constant that is the compressed ID of a device: three letters and four hexadecimal digits.
pub fn eisa_id(text: &str) -> Aml {
    let letters = text.bytes().take(3).fold(0u32, |id, letter| id << 5 | u32::from(letter - b'@') & 0x1F);
    let digits = u32::from_str_radix(&text[3..], 16).unwrap_or(0);
    join(&[&[0x0C], &(letters << 16 | digits & 0xFFFF).to_be_bytes()])
}

/// `Name (name, value)`
pub fn name(name: &str, value: &[u8]) -> Aml {
    join(&[&[0x08], &name_string(name), value])
}

/// `Package () { elements }`
pub fn elements(elements: &[Aml]) -> Aml {
    join(&[&[0x12], &package(&join(&[&[elements.len() as u8], &elements.concat()]))])
}

/// `Buffer () { bytes }`
pub fn buffer(bytes: &[u8]) -> Aml {
    join(&[&[0x11], &package(&join(&[&integer(bytes.len() as u32), bytes]))])
}

/// `Scope (name) { body }`
pub fn scope(name: &str, body: &[Aml]) -> Aml {
    join(&[&[0x10], &package(&join(&[&name_string(name), &body.concat()]))])
}

/// `Device (name) { body }`
pub fn device(name: &str, body: &[Aml]) -> Aml {
    join(&[&[0x5B, 0x82], &package(&join(&[&name_string(name), &body.concat()]))])
}

/// `Processor (name, id, 0, 0) {}`
pub fn processor(name: &str, id: u8) -> Aml {
    join(&[&[0x5B, 0x83], &package(&join(&[&name_string(name), &[id], &[0; 5]]))])
}

/// `Method (name, arguments) { body }`
pub fn method(name: &str, arguments: u8, body: &[Aml]) -> Aml {
    join(&[&[0x14], &package(&join(&[&name_string(name), &[arguments], &body.concat()]))])
}

/// `OperationRegion (name, PCI_Config, offset, len)`
pub fn pci_config_region(name: &str, offset: u8, len: u8) -> Aml {
    const PCI_CONFIG: u8 = 2;
    let bounds = join(&[&integer(offset.into()), &integer(len.into())]);
    join(&[&[0x5B, 0x80], &name_string(name), &[PCI_CONFIG], &bounds])
}

/// `Field (region, ByteAcc, NoLock, Preserve)` of bytes with these names.
pub fn byte_fields(region: &str, names: &[&str]) -> Aml {
    const BYTE_ACCESS: u8 = 1;
    let fields: Vec<u8> = names.iter().flat_map(|name| [name_string(name), vec![8]].concat()).collect();
    join(&[&[0x5B, 0x81], &package(&join(&[&name_string(region), &[BYTE_ACCESS], &fields]))])
}

/// `CreateDWordField (buffer, offset, name)`
pub fn dword_field(buffer: &[u8], offset: u8, name: &str) -> Aml {
    join(&[&[0x8A], buffer, &integer(offset.into()), &name_string(name)])
}

/// `Store (value, target)`
pub fn store(value: &[u8], target: &[u8]) -> Aml {
    join(&[&[0x70], value, target])
}

/// `And (a, b)`
pub fn and(a: &[u8], b: &[u8]) -> Aml {
    join(&[&[0x7B], a, b, &[NO_TARGET]])
}

/// `Or (a, b)`
pub fn or(a: &[u8], b: &[u8]) -> Aml {
    join(&[&[0x7D], a, b, &[NO_TARGET]])
}

/// `If (condition) { body }`
pub fn when(condition: &[u8], body: &[Aml]) -> Aml {
    join(&[&[0xA0], &package(&join(&[condition, &body.concat()]))])
}

/// `Return (value)`
pub fn give(value: &[u8]) -> Aml {
    join(&[&[0xA4], value])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        assert_eq!(name_string("\\_S5"), b"\\_S5_");
        assert_eq!(name_string("\\_SB.PCI0"), b"\\\x2E_SB_PCI0");
        assert_eq!(name_string("^A.B.C"), b"^\x2F\x03A___B___C___");
        assert_eq!(name_string("\\"), b"\\\0");
    }

    #[test]
    fn package_lengths_count_themselves() {
        for (len, head) in [
            (0, &[0x01][..]),
            (0x3E, &[0x3F]),
            (0x3F, &[0x41, 0x04]),
            (0xFFD, &[0x4F, 0xFF]),
            (0xFFE, &[0x81, 0x00, 0x01]),
        ] {
            let bytes = package(&vec![0xCC; len]);
            assert_eq!(bytes[..bytes.len() - len], *head, "{len:#x}");
        }
    }

    #[test]
    fn numbers_and_ids() {
        assert_eq!(integer(1), [1]);
        assert_eq!(integer(0x1234), [0x0B, 0x34, 0x12]);
        assert_eq!(eisa_id("PNP0A03"), [0x0C, 0x41, 0xD0, 0x0A, 0x03]);
    }
}
