//! DNS (RFC 1035), as far as a guest's resolver asks: one question of class IN. Names are looked up outside; what is asked for
//! besides IPv4 addresses has no answers.

use super::wire::{Ip, u16_at};

/// Port of servers.
pub const PORT: u16 = 53;
const ADDRESS: u16 = 1;
const INTERNET: u16 = 1;
const TTL_SECONDS: u32 = 60;
/// Response; recursion available; no such name.
const RESPONSE: u8 = 0x80;
const AVAILABLE: u8 = 0x80;
const NAME_ERROR: u8 = 3;
const NOT_IMPLEMENTED: u8 = 4;

/// A question.
#[derive(Debug, PartialEq, Eq)]
pub struct Question {
    /// The name, with dots.
    pub name: String,
    /// It asks for IPv4 addresses.
    pub address: bool,
    /// Where it ends in the query.
    end: usize,
}

/// The question of a query; `None` if it has not exactly one, of printable labels.
pub fn question(query: &[u8]) -> Option<Question> {
    let (flags, questions) = (*query.get(2)?, u16_at(query, 4)?);
    // A standard query.
    if flags & 0xF8 != 0 || questions != 1 {
        return None;
    }
    let (mut at, mut labels) = (12, Vec::new());
    loop {
        let length = usize::from(*query.get(at)?);
        at += 1;
        if length == 0 {
            break;
        }
        let label = query.get(at..at + length)?;
        if length > 63 || !label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return None;
        }
        labels.push(String::from_utf8_lossy(label).into_owned());
        at += length;
    }
    let name = labels.join(".");
    let address = u16_at(query, at)? == ADDRESS && u16_at(query, at + 2)? == INTERNET;
    (name.len() < 254).then_some(Question { name, address, end: at + 4 })
}

fn header(query: &[u8], code: u8, answers: u16) -> Vec<u8> {
    let mut bytes = query.get(..12).unwrap_or(&[0; 12]).to_vec();
    bytes[2] = bytes[2] & 0x79 | RESPONSE;
    bytes[3] = AVAILABLE | code;
    bytes[6..8].copy_from_slice(&answers.to_be_bytes());
    bytes[8..12].fill(0);
    bytes
}

/// The answer to `query`: these addresses, or that there is no such name.
pub fn answer(query: &[u8], addresses: Option<&[Ip]>) -> Vec<u8> {
    let Some(question) = question(query) else {
        let mut bytes = header(query, NOT_IMPLEMENTED, 0);
        bytes[4..6].fill(0);
        return bytes;
    };
    let list = addresses.unwrap_or_default();
    let list = &list[..list.len().min(16)];
    let mut bytes = header(query, if addresses.is_some() { 0 } else { NAME_ERROR }, list.len() as u16);
    bytes.extend_from_slice(&query[12..question.end]);
    for ip in list {
        // The name is at offset 12.
        bytes.extend([0xC0, 12]);
        bytes.extend([0, 1, 0, 1]);
        bytes.extend(TTL_SECONDS.to_be_bytes());
        bytes.extend([0, 4]);
        bytes.extend(ip);
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUERY: &[u8] = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x02ab\x03org\0\0\x01\0\x01";

    #[test]
    fn a_name_and_its_addresses() {
        let asked = question(QUERY).unwrap();
        assert_eq!((asked.name.as_str(), asked.address, asked.end), ("ab.org", true, QUERY.len()));
        let bytes = answer(QUERY, Some(&[[1, 2, 3, 4]]));
        assert_eq!(&bytes[..12], b"\x12\x34\x81\x80\0\x01\0\x01\0\0\0\0");
        assert!(bytes.ends_with(b"\xC0\x0C\0\x01\0\x01\0\0\0\x3C\0\x04\x01\x02\x03\x04"));
        assert_eq!(answer(QUERY, None)[3], AVAILABLE | NAME_ERROR);
    }

    proptest! {
        #[test]
        fn any_query_is_survived(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = question(&bytes);
            prop_assert!(answer(&bytes, Some(&[])).len() >= 12);
        }
    }
}
