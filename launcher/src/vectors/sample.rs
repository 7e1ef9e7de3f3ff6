//! A hand-made vector file, for tests of the runner inside and outside this crate.

/// Two vectors: 0 is `inc eax` from 41 and expects `eax`; 1 is `ud2` and ends in the handler of #UD.
pub fn file(eax: u32) -> Vec<u8> {
    let mut out = b"X86VEC1\0".to_vec();
    let header = [1, RAM, 2];
    header.iter().for_each(|word| out.extend(word.to_le_bytes()));
    out.extend([0; 32]);
    let mut fields = [0u32; 64];
    for &(n, value) in BASE {
        fields[n as usize] = value;
    }
    fields.iter().for_each(|field| out.extend(field.to_le_bytes()));
    out.extend([0; 8 * 10 + 8 * 16]);
    let pages = [(1, tables()), (2, gates()), (3, vec![HLT; 4096])];
    out.extend((pages.len() as u32).to_le_bytes());
    for (number, bytes) in pages {
        out.extend(u32::to_le_bytes(number));
        out.extend(bytes);
    }
    let inc = delta(&[(EAX, 41)], &[(CODE, &[0x40, HLT])]);
    out.extend(vector(0, 1, &inc, &delta(&[(EAX, eax), (EIP, CODE + 2)], &[])));
    let ud2 = delta(&[], &[(CODE, &[0x0F, 0x0B, HLT])]);
    let mut frame = CODE.to_le_bytes().to_vec();
    // RF is set in the pushed flags.
    frame.extend([8, 0, 0, 0, 2, 0, 1, 0]);
    let handler = delta(&[(ESP, STACK - 12), (EIP, 0x3061)], &[(STACK - 12, &frame)]);
    out.extend(vector(1, 2, &ud2, &handler));
    out
}

const RAM: u32 = 0x40000;
const CODE: u32 = 0xA000;
const STACK: u32 = 0x7FF0;
const HLT: u8 = 0xF4;
const EAX: u8 = 0;
const ESP: u8 = 4;
const EIP: u8 = 8;

/// Ring 0, flat, no paging: number and value of the fields that are not zero.
const BASE: &[(u8, u32)] = &[
    (ESP, STACK),
    (EIP, CODE),
    (9, 2),
    (10, 16),
    (11, 8),
    (12, 16),
    (13, 16),
    (17, 24),
    (18, 0x31),
    (23, 0x1000),
    (24, 0x1F),
    (25, 0x2000),
    (26, 0x7FF),
    (31, 0xFFFF_0FF0),
    (32, 0x400),
    (33, 0x1F80),
    (34, 0x37F),
];

/// Null, code, data, a busy TSS.
fn tables() -> Vec<u8> {
    let gdt = [0, 0x00CF_9B00_0000_FFFF, 0x00CF_9300_0000_FFFF, 0x0000_8B00_4000_0067u64];
    let mut page: Vec<u8> = gdt.iter().flat_map(|entry| entry.to_le_bytes()).collect();
    page.resize(4096, 0);
    page
}

/// An interrupt gate to 0x3000 + 16 n for each vector n.
fn gates() -> Vec<u8> {
    let mut page: Vec<u8> =
        (0..256u64).flat_map(|n| (0x0000_8E00_0008_0000 | (0x3000 + 16 * n)).to_le_bytes()).collect();
    page.resize(4096, 0);
    page
}

fn delta(fields: &[(u8, u32)], ram: &[(u32, &[u8])]) -> Vec<u8> {
    let bitmap = fields.iter().fold(0u64, |map, (n, _)| map | 1 << n);
    let mut out = bitmap.to_le_bytes().to_vec();
    fields.iter().for_each(|(_, value)| out.extend(value.to_le_bytes()));
    out.extend([0, 0]);
    out.extend((ram.len() as u16).to_le_bytes());
    for (at, bytes) in ram {
        out.extend(at.to_le_bytes());
        out.extend((bytes.len() as u16).to_le_bytes());
        out.extend(*bytes);
    }
    out
}

/// The arithmetic flags are not compared.
fn vector(id: u32, code_len: u8, initial: &[u8], expected: &[u8]) -> Vec<u8> {
    let mut body = id.to_le_bytes().to_vec();
    body.extend([1, 0, code_len, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0, 0]);
    body.extend(initial);
    body.extend(expected);
    body.extend([1, 9, 0xD5, 0x08, 0, 0, 0, 0, 0]);
    let mut out = (body.len() as u32).to_le_bytes().to_vec();
    out.extend(body);
    out
}
