//! Names of keys, and characters on a US keyboard, as scan codes of set 2.

/// The most bytes of one keystroke that a keyboard remembers.
const BUFFER: usize = 16;

const SHIFT: u16 = 0x12;

/// Keys with names. Those with two bytes have the prefix E0.
const NAMED: [(&str, u16); 41] = [
    ("esc", 0x76),
    ("enter", 0x5A),
    ("tab", 0x0D),
    ("space", 0x29),
    ("backspace", 0x66),
    ("minus", 0x4E),
    ("shift", SHIFT),
    ("ctrl", 0x14),
    ("alt", 0x11),
    ("caps", 0x58),
    ("num", 0x77),
    ("scroll", 0x7E),
    ("up", 0xE075),
    ("down", 0xE072),
    ("left", 0xE06B),
    ("right", 0xE074),
    ("home", 0xE06C),
    ("end", 0xE069),
    ("pgup", 0xE07D),
    ("pgdn", 0xE07A),
    ("ins", 0xE070),
    ("del", 0xE071),
    ("f1", 0x05),
    ("f2", 0x06),
    ("f3", 0x04),
    ("f4", 0x0C),
    ("f5", 0x03),
    ("f6", 0x0B),
    ("f7", 0x83),
    ("f8", 0x0A),
    ("f9", 0x01),
    ("f10", 0x09),
    ("f11", 0x78),
    ("f12", 0x07),
    ("rshift", 0x59),
    ("rctrl", 0xE014),
    ("ralt", 0xE011),
    ("win", 0xE01F),
    ("menu", 0xE02F),
    ("kpenter", 0xE05A),
    ("kpplus", 0x79),
];

/// Keys by the characters on them: alone, with Shift, and the code.
const CHARACTERS: [(char, char, u16); 50] = [
    ('`', '~', 0x0E),
    ('1', '!', 0x16),
    ('2', '@', 0x1E),
    ('3', '#', 0x26),
    ('4', '$', 0x25),
    ('5', '%', 0x2E),
    ('6', '^', 0x36),
    ('7', '&', 0x3D),
    ('8', '*', 0x3E),
    ('9', '(', 0x46),
    ('0', ')', 0x45),
    ('-', '_', 0x4E),
    ('=', '+', 0x55),
    ('q', 'Q', 0x15),
    ('w', 'W', 0x1D),
    ('e', 'E', 0x24),
    ('r', 'R', 0x2D),
    ('t', 'T', 0x2C),
    ('y', 'Y', 0x35),
    ('u', 'U', 0x3C),
    ('i', 'I', 0x43),
    ('o', 'O', 0x44),
    ('p', 'P', 0x4D),
    ('[', '{', 0x54),
    (']', '}', 0x5B),
    ('\\', '|', 0x5D),
    ('a', 'A', 0x1C),
    ('s', 'S', 0x1B),
    ('d', 'D', 0x23),
    ('f', 'F', 0x2B),
    ('g', 'G', 0x34),
    ('h', 'H', 0x33),
    ('j', 'J', 0x3B),
    ('k', 'K', 0x42),
    ('l', 'L', 0x4B),
    (';', ':', 0x4C),
    ('\'', '"', 0x52),
    ('z', 'Z', 0x1A),
    ('x', 'X', 0x22),
    ('c', 'C', 0x21),
    ('v', 'V', 0x2A),
    ('b', 'B', 0x32),
    ('n', 'N', 0x31),
    ('m', 'M', 0x3A),
    (',', '<', 0x41),
    ('.', '>', 0x49),
    ('/', '?', 0x4A),
    (' ', ' ', 0x29),
    ('\n', '\n', 0x5A),
    ('\t', '\t', 0x0D),
];

/// What the keyboard sends while the keys are pressed in this order and released in the other.
fn keystroke(keys: &[u16]) -> Vec<u8> {
    let mut codes = Vec::new();
    for (key, up) in keys.iter().map(|key| (key, false)).chain(keys.iter().rev().map(|key| (key, true))) {
        let [prefix, code] = key.to_be_bytes();
        codes.extend((prefix != 0).then_some(prefix));
        codes.extend(up.then_some(0xF0));
        codes.push(code);
    }
    codes
}

/// A key or several at once, by names joined with `-`: `enter`, `a`, `ctrl-alt-del`.
pub fn combination(text: &str) -> Result<Vec<u8>, String> {
    let key = |name: &str| {
        let lower = name.to_lowercase();
        let named = NAMED.iter().find(|(known, _)| *known == lower).map(|(_, code)| *code);
        let character =
            || CHARACTERS.iter().find(|(plain, _, _)| lower == plain.to_string()).map(|(_, _, code)| *code);
        named.or_else(character).ok_or_else(|| format!("`{name}` is not the name of a key"))
    };
    let codes = keystroke(&text.split('-').map(key).collect::<Result<Vec<_>, _>>()?);
    if codes.len() > BUFFER {
        return Err("more keys at once than a keyboard remembers".into());
    }
    Ok(codes)
}

/// One keystroke for each character.
pub fn typed(text: &[u8]) -> Result<Vec<Vec<u8>>, String> {
    let keystroke_of = |&byte: &u8| {
        let wanted = char::from(byte);
        let (plain, _, code) = CHARACTERS
            .iter()
            .find(|(plain, shifted, _)| *plain == wanted || *shifted == wanted)
            .ok_or_else(|| format!("no key of a US keyboard types `{}`", byte.escape_ascii()))?;
        Ok(if *plain == wanted { keystroke(&[*code]) } else { keystroke(&[SHIFT, *code]) })
    };
    text.iter().map(keystroke_of).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_go_down_and_up() {
        for (text, codes) in [
            ("enter", &[0x5A, 0xF0, 0x5A][..]),
            ("A", &[0x1C, 0xF0, 0x1C]),
            ("F12", &[0x07, 0xF0, 0x07]),
            ("up", &[0xE0, 0x75, 0xE0, 0xF0, 0x75]),
            ("ctrl-alt-del", &[0x14, 0x11, 0xE0, 0x71, 0xE0, 0xF0, 0x71, 0xF0, 0x11, 0xF0, 0x14]),
        ] {
            assert_eq!(combination(text).unwrap(), codes, "{text}");
        }
        for bad in ["", "-", "enterr", "ctrl-", "up-down-left-right"] {
            assert!(combination(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn text_is_typed() {
        assert_eq!(typed(b"a?").unwrap(), [vec![0x1C, 0xF0, 0x1C], vec![0x12, 0x4A, 0xF0, 0x4A, 0xF0, 0x12]]);
        let printable: Vec<u8> = (0x20..0x7F).chain(*b"\n\t").collect();
        assert_eq!(typed(&printable).unwrap().len(), 97);
        assert!(typed(b"\x07").is_err());
    }
}
