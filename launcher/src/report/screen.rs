//! `--screen`: the text screen of the VGA, in characters of code page 437.

use machine::Machine;

/// Code page 437. The control codes have pictures; NUL is a blank.
const CODE_PAGE: &str = concat!(
    " ☺☻♥♦♣♠•◘○◙♂♀♪♫☼►◄↕‼¶§▬↨↑↓→←∟↔▲▼",
    " !\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~⌂",
    "ÇüéâäàåçêëèïîìÄÅÉæÆôöòûùÿÖÜ¢£¥₧ƒáíóúñÑªº¿⌐¬½¼¡«»",
    "░▒▓│┤╡╢╖╕╣║╗╝╜╛┐└┴┬├─┼╞╟╚╔╩╦╠═╬╧╨╤╥╙╘╒╓╫╪┘┌█▄▌▐▀",
    "αßΓπΣσµτΦΘΩδ∞φε∩≡±≥≤⌠⌡÷≈°∙·√ⁿ²■\u{a0}",
);

/// The screen as text, a line for each row, without blanks at the ends of lines.
pub fn text(machine: &Machine) -> String {
    let Some(screen) = machine.text_screen() else {
        return "(the screen shows pixels, not text)\n".into();
    };
    let characters: Vec<char> = CODE_PAGE.chars().collect();
    let row = |codes: &[u8]| -> String {
        codes.iter().filter_map(|&code| characters.get(usize::from(code))).collect()
    };
    screen.rows().map(|codes| row(codes).trim_end().to_owned() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Config;
    use machine::memory_map::TEXT;

    #[test]
    fn characters_are_where_they_belong() {
        assert_eq!(CODE_PAGE.chars().count(), 256);
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        machine.with_chipset(|_, cx| assert!(cx.mem.write_bytes(TEXT.start + 162, b"A\x07\xDB\x07")));
        let screen = text(&machine);
        assert_eq!(screen.lines().count(), 25);
        assert_eq!(screen.lines().nth(1), Some(" A█"));
    }
}
