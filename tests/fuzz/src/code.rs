//! Random code: instructions of all encodings alike, with operands that often reach memory.

use crate::entropy::Entropy;
use crate::forms;
use cpu::decode::DECODER_OPTIONS;
use iced_x86::{Code, Decoder};

/// Where displacements, far pointers and immediates like to point.
pub trait Places {
    /// An address, a selector or a number that is likely to mean something.
    fn value(&self, e: &mut Entropy<'_>) -> u32;
}

/// One random instruction for code of the given size. Returns its encoding if it is one the processor knows.
pub fn instruction(big: bool, places: &dyn Places, e: &mut Entropy<'_>, out: &mut Vec<u8>) -> Option<Code> {
    if e.one_in(32) {
        let mut bytes = [0; 15];
        e.fill(&mut bytes);
        let len = 1 + e.below(15) as usize;
        out.extend(&bytes[..len]);
        return None;
    }
    let forms = forms::all();
    let form = &forms[e.below(forms.len() as u32) as usize];
    let seed = form.seed(big, e)?;
    let mut bytes = [0u8; 32];
    e.fill(&mut bytes[16..]);
    let mut len = 0;
    if e.one_in(4) {
        // More prefixes: segments, address size, LOCK, repetition. Some change the encoding.
        for _ in 0..1 + e.below(2) {
            bytes[len] = e.pick(&[0x26, 0x2E, 0x36, 0x3E, 0x64, 0x65, 0x67, 0xF0, 0xF2, 0xF3, 0x66]);
            len += 1;
        }
    }
    for &byte in seed.bytes() {
        bytes[len] = byte;
        len += 1;
    }
    for n in len..16 {
        bytes[n] = bytes[n + 16 - len];
    }
    let mut decoder = Decoder::with_ip(if big { 32 } else { 16 }, &bytes[..15], 0, DECODER_OPTIONS);
    let insn = decoder.decode();
    let offsets = decoder.get_constant_offsets(&insn);
    let mut put = |at: usize, size: usize, value: u32| {
        bytes[at..at + size.min(4)].copy_from_slice(&value.to_le_bytes()[..size.min(4)]);
    };
    if offsets.has_displacement() && offsets.displacement_size() > 1 && !e.one_in(8) {
        put(offsets.displacement_offset(), offsets.displacement_size(), places.value(e));
    }
    if offsets.has_immediate() && e.one_in(2) {
        put(offsets.immediate_offset(), offsets.immediate_size(), places.value(e));
    }
    if offsets.has_immediate2() && e.one_in(2) {
        put(offsets.immediate_offset2(), offsets.immediate_size2(), places.value(e));
    }
    out.extend(&bytes[..insn.len()]);
    Some(insn.code())
}
