//! `--engine check`: the first difference between the engines, for whoever has to find out why.

use iced_x86::{Decoder, DecoderOptions, Formatter, Instruction, IntelFormatter};
use machine::check::Divergence;
use std::fmt::Write;

/// Instructions shown at most.
const MOST_INSNS: usize = 8;

/// Everything known about it, in lines.
pub fn text(found: &Divergence) -> String {
    let mut text = format!("{found}\n");
    if !found.reproduced {
        text += "  the same distance in one piece gives no difference: it depends on where runs end\n";
    }
    text += &disassembly(found);
    text
}

fn disassembly(found: &Divergence) -> String {
    let (_, eip, big) = found.place;
    let mut text = String::from("  code there:\n");
    let bits = if big { 32 } else { 16 };
    let mut decoder = Decoder::with_ip(bits, &found.code, u64::from(eip), DecoderOptions::NONE);
    let mut formatter = IntelFormatter::new();
    let mut insn = Instruction::default();
    for _ in 0..MOST_INSNS {
        if !decoder.can_decode() {
            break;
        }
        let start = decoder.position();
        decoder.decode_out(&mut insn);
        let bytes = found.code.get(start..decoder.position()).unwrap_or_default();
        let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
        let mut line = String::new();
        formatter.format(&insn, &mut line);
        // Writing into a string does not fail.
        let _ = writeln!(text, "    {:08x}  {hex:<22}  {line}", insn.ip32());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::check::Difference;
    use machine::inputs::Stamp;

    #[test]
    fn names_place_code_and_difference() {
        let found = Divergence {
            same_at: Stamp { insns: 7, vtime: 7 },
            differ_at: Stamp { insns: 8, vtime: 8 },
            place: (0x1B, 0x1000, true),
            code: vec![0x40, 0x90],
            differences: vec![Difference::new("EAX", "1", "2")],
            reproduced: true,
        };
        let text = text(&found);
        for part in ["after instruction 8", "001b:00001000", "EAX: reference 1, subject 2", "inc eax", "nop"]
        {
            assert!(text.contains(part), "{part}: {text}");
        }
    }
}
