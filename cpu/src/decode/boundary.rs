//! How many bytes an instruction has, and which of them the fetch touches (tests; SDM vol. 2, 2.1, 2.3.11, vol. 3, 4.7,
//! 5.3). Random prefixes and bytes, across the end of a page that another, a missing one or the limit of CS follows.

use super::translate::MAX_LEN;
use super::{Decoded, Fetched, decode_one};
use crate::Cpu;
use crate::fault::Fault;
use crate::regs::cr0;
use crate::seg::{SegReg, Segment};
use crate::testing::flat;
use proptest::prelude::*;

const DIRECTORY: u32 = 0x10000;
const TABLE: u32 = 0x11000;
/// First byte of the page behind the boundary.
const NEXT: u32 = 0x2A000;

const PREFIXES: [u8; 11] = [0x66, 0x67, 0xF0, 0xF2, 0xF3, 0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65];

const ESCAPES: [&[u8]; 4] = [&[], &[0x0F], &[0x0F, 0x38], &[0x0F, 0x3A]];

/// What is behind the page.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Behind {
    Page,
    Nothing,
    BeyondLimit,
}

/// Length of the instruction that begins `bytes`, `None` if it has more than fifteen bytes or than there are.
fn length(bytes: &[u8], big: bool) -> Option<usize> {
    match decode_one(bytes, big) {
        Decoded::Op(op, _) => Some(op.len as usize),
        Decoded::NeedMore => None,
    }
}

/// The length, without asking for a long instruction: most prefixes only add one, whatever follows. Those that can
/// change the rest are the two sizes and the last of the repetitions.
fn length_by_parts(prefixes: &[u8], rest: &[u8], big: bool) -> Option<usize> {
    let mut short: Vec<u8> = [0x66, 0x67].into_iter().filter(|p| prefixes.contains(p)).collect();
    short.extend(prefixes.iter().rfind(|p| matches!(p, 0xF2 | 0xF3)));
    let dropped = prefixes.len() - short.len();
    short.extend(rest);
    let len = dropped + length(&short, big)?;
    (len <= MAX_LEN).then_some(len)
}

fn cpu(code: &[u8], start: u32, big: bool, user: bool, behind: Behind) -> Cpu {
    let mut cpu = flat(&[]);
    assert!(cpu.mem.write_bytes(start as u64, code));
    cpu.phys_write(DIRECTORY as u64, TABLE | 7);
    for page in 0..64 {
        cpu.phys_write((TABLE + 4 * page) as u64, page << 12 | 7);
    }
    if behind == Behind::Nothing {
        cpu.phys_write((TABLE + NEXT / 0x400) as u64, 0u32);
    }
    let limit = if behind == Behind::BeyondLimit { NEXT - 1 } else { u32::MAX };
    cpu.regs.seg[SegReg::Cs as usize] = Segment::new(8, 0, limit, 0x0080_9B00 | (big as u32) << 22);
    cpu.regs.cr3 = DIRECTORY;
    cpu.regs.cr0 |= cr0::PG;
    cpu.regs.eip = start;
    cpu.set_cpl(if user { 3 } else { 0 });
    cpu.state_changed();
    cpu
}

/// Prefixes, an opcode of any map, and bytes enough for the rest.
fn instruction() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let prefix = || prop::sample::select(&PREFIXES[..]);
    let prefixes = prop_oneof![
        3 => prop::collection::vec(prefix(), 0..4),
        2 => prop::collection::vec(prefix(), 4..16),
    ];
    let escape = prop::sample::select(&ESCAPES[..]);
    (prefixes, escape, any::<[u8; 16]>()).prop_map(|(mut prefixes, escape, bytes)| {
        let mut rest = [escape, &bytes].concat();
        while PREFIXES.contains(&rest[0]) {
            prefixes.push(rest.remove(0));
        }
        (prefixes, rest)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16384))]
    #[test]
    fn the_length_does_not_depend_on_what_follows(
        (prefixes, rest) in instruction(),
        other in any::<[u8; 16]>(),
        big in any::<bool>(),
    ) {
        let bytes = [&prefixes[..], &rest].concat();
        let len = length(&bytes, big);
        prop_assert_eq!(len, length_by_parts(&prefixes, &rest, big));
        let needed = len.unwrap_or(MAX_LEN);
        for cut in 0..needed {
            prop_assert_eq!(length(&bytes[..cut], big), None, "cut at {}", cut);
        }
        prop_assert_eq!(length(&bytes[..needed], big), len);
        prop_assert_eq!(length(&[&bytes[..needed], &other].concat(), big), len);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8192))]
    #[test]
    fn the_fetch_touches_no_byte_that_the_instruction_does_not_need(
        (prefixes, rest) in instruction(),
        here in 1..17u32,
        (big, user) in any::<(bool, bool)>(),
        behind in prop::sample::select(&[Behind::Page, Behind::Nothing, Behind::BeyondLimit][..]),
    ) {
        let bytes = [&prefixes[..], &rest].concat();
        let len = length_by_parts(&prefixes, &rest, big);
        let crosses = len.unwrap_or(MAX_LEN) as u32 > here;
        let mut cpu = cpu(&bytes, NEXT - here, big, user, behind);
        let expected = match behind {
            Behind::Nothing if crosses => Err(Fault::pf(if user { 4 } else { 0 })),
            Behind::BeyondLimit if crosses => Err(Fault::GP0),
            _ => len.ok_or(Fault::GP0),
        };
        let got = cpu.code_at_eip().map(|fetched| match fetched {
            Fetched::Block(id) => cpu.blocks.size(id).1 as usize,
            Fetched::Single(op) => op.len as usize,
        });
        match (expected, got) {
            // A block has at least the instruction.
            (Ok(len), Ok(bytes)) => prop_assert!(bytes >= len && (!crosses || bytes == len)),
            (expected, got) => prop_assert_eq!(got, expected),
        }
        if behind == Behind::Nothing && crosses {
            prop_assert_eq!(cpu.fault_address, NEXT);
        }
        let touched = cpu.phys_read::<u32>((TABLE + NEXT / 0x400) as u64) & 0x20 != 0;
        prop_assert_eq!(touched, crosses && behind == Behind::Page);
    }
}
