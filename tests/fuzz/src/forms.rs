//! Every encoding the processor knows, found by decoding all opcodes under all prefixes that select one.

use crate::entropy::Entropy;
use cpu::decode::{DECODER_OPTIONS, is_implemented};
use iced_x86::{Code, Decoder, DecoderError, Instruction};
use std::collections::BTreeMap;
use std::sync::OnceLock;

/// The first bytes of an instruction: enough to make it a certain encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seed {
    bytes: [u8; 5],
    len: u8,
}

impl Seed {
    /// Its bytes: perhaps a prefix, the opcode, a ModRM byte.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len as usize]
    }
}

/// One encoding: iced-x86's name, and bytes that make it in 16-bit and in 32-bit code.
pub struct Form {
    /// The name.
    pub code: Code,
    seeds: [Vec<Seed>; 2],
}

impl Form {
    /// Some first bytes of this encoding in code of the given size, if it exists there.
    pub fn seed(&self, big: bool, e: &mut Entropy<'_>) -> Option<Seed> {
        let seeds = &self.seeds[big as usize];
        if seeds.is_empty() { None } else { Some(e.pick(seeds)) }
    }
}

/// Seeds kept of one encoding in one size of code.
const SEEDS: usize = 512;

/// All encodings the processor knows, ordered by name.
pub fn all() -> &'static [Form] {
    static FORMS: OnceLock<Vec<Form>> = OnceLock::new();
    FORMS.get_or_init(enumerate)
}

fn enumerate() -> Vec<Form> {
    let mut forms: BTreeMap<usize, Form> = BTreeMap::new();
    for big in [false, true] {
        for prefix in [&[][..], &[0x66], &[0x67], &[0xF3], &[0xF2], &[0x66, 0x67]] {
            for opcode in 0..=0x1FF_u32 {
                for modrm in 0..=255 {
                    let mut seed = prefix.to_vec();
                    if opcode > 0xFF {
                        seed.push(0x0F);
                    }
                    seed.extend([opcode as u8, modrm]);
                    let Some(insn) = decode(&seed, big) else { continue };
                    if !is_implemented(&insn) {
                        continue;
                    }
                    let mut bytes = [0; 5];
                    bytes[..seed.len()].copy_from_slice(&seed);
                    let form = forms
                        .entry(insn.code() as usize)
                        .or_insert_with(|| Form { code: insn.code(), seeds: [Vec::new(), Vec::new()] });
                    let seeds = &mut form.seeds[big as usize];
                    if seeds.len() < SEEDS {
                        // Without a ModRM byte, what follows the opcode is drawn anew each time.
                        let len = seed.len().min(insn.len()) as u8;
                        let seed = Seed { bytes, len };
                        if seeds.last().is_none_or(|last| last.bytes() != seed.bytes()) {
                            seeds.push(seed);
                        }
                    }
                }
            }
        }
    }
    forms.into_values().collect()
}

/// The instruction that starts with `seed`, filled up with zeros. A prefix alone is none.
fn decode(seed: &[u8], big: bool) -> Option<Instruction> {
    let mut bytes = [0; 15];
    bytes[..seed.len()].copy_from_slice(seed);
    let mut decoder = Decoder::with_ip(if big { 32 } else { 16 }, &bytes, 0, DECODER_OPTIONS);
    let insn = decoder.decode();
    let opcode = seed[seed.len() - 2];
    let is_prefix = matches!(opcode, 0x26 | 0x2E | 0x36 | 0x3E | 0x64..=0x67 | 0xF0 | 0xF2 | 0xF3)
        && !seed[..seed.len() - 2].contains(&0x0F);
    (decoder.last_error() == DecoderError::None && !is_prefix).then_some(insn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seeds_decode_to_their_form() {
        let mut e = Entropy::from_seed(0);
        assert!(all().len() > 900, "{}", all().len());
        for form in all() {
            for big in [false, true] {
                let Some(seed) = form.seed(big, &mut e) else { continue };
                let mut bytes = seed.bytes().to_vec();
                bytes.resize(15, 0);
                let mut decoder = Decoder::with_ip(if big { 32 } else { 16 }, &bytes, 0, DECODER_OPTIONS);
                assert_eq!(decoder.decode().code(), form.code, "{:x?}", seed.bytes());
            }
        }
    }
}
