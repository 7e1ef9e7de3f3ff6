//! `--screen`: the colour text screen of the VGA, 80 by 25 characters of code page 437.

use machine::Machine;
use machine::memory_map::TEXT;

const COLUMNS: usize = 80;
const ROWS: usize = 25;

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
    let cells = machine.cpu.mem.slice(TEXT.start, COLUMNS * ROWS * 2).unwrap_or_default();
    let characters: Vec<char> = CODE_PAGE.chars().collect();
    let mut screen = String::new();
    for row in cells.chunks(COLUMNS * 2) {
        // A character and its attribute.
        let line: String =
            row.iter().step_by(2).filter_map(|&code| characters.get(usize::from(code))).collect();
        screen.push_str(line.trim_end());
        screen.push('\n');
    }
    screen
}

#[cfg(test)]
mod tests {
    use super::*;
    use machine::Config;

    #[test]
    fn characters_are_where_they_belong() {
        assert_eq!(CODE_PAGE.chars().count(), 256);
        let mut machine = Machine::new(Config { ram: 1 << 20, rtc: 0 }).unwrap();
        machine.with_chipset(|_, cx| assert!(cx.mem.write_bytes(TEXT.start + 162, b"A\x07\xDB\x07")));
        let screen = text(&machine);
        assert_eq!(screen.lines().count(), ROWS);
        assert_eq!(screen.lines().nth(1), Some(" A█"));
    }
}
