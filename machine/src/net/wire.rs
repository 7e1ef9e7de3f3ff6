//! Packets as bytes: Ethernet, ARP (RFC 826), IPv4 (RFC 791), ICMP (RFC 792), UDP (RFC 768), TCP (RFC 9293). Everything is checked
//! for length before it is read; checksums are made, and not looked at: nothing is lost or changed on this wire.

use serde::{Deserialize, Serialize};

/// A hardware address.
pub type Mac = [u8; 6];
/// An Internet address.
pub type Ip = [u8; 4];

/// An Internet address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Endpoint {
    /// Address.
    pub ip: Ip,
    /// Port.
    pub port: u16,
}

/// Everybody's hardware address.
pub const BROADCAST: Mac = [0xFF; 6];
pub const ARP: u16 = 0x0806;
pub const IPV4: u16 = 0x0800;
pub const ICMP: u8 = 1;
pub const TCP: u8 = 6;
pub const UDP: u8 = 17;

/// Flags of a TCP segment.
pub mod flag {
    pub const FIN: u8 = 0x01;
    pub const SYN: u8 = 0x02;
    pub const RST: u8 = 0x04;
    pub const PSH: u8 = 0x08;
    pub const ACK: u8 = 0x10;
}

/// `N` bytes from `at` on.
pub fn array<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..)?.first_chunk().copied()
}

/// A word in network order.
pub fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    array(bytes, at).map(u16::from_be_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array(bytes, at).map(u32::from_be_bytes)
}

/// An Ethernet frame.
pub struct Frame<'a> {
    pub source: Mac,
    pub kind: u16,
    pub payload: &'a [u8],
}

/// Take a frame apart.
pub fn frame(bytes: &[u8]) -> Option<Frame<'_>> {
    Some(Frame { source: array(bytes, 6)?, kind: u16_at(bytes, 12)?, payload: bytes.get(14..)? })
}

/// Put a frame together.
pub fn make_frame(to: Mac, from: Mac, kind: u16, payload: &[u8]) -> Vec<u8> {
    [&to[..], &from[..], &kind.to_be_bytes()[..], payload].concat()
}

/// An ARP request: who asks, and for whom.
pub struct ArpRequest {
    pub mac: Mac,
    pub ip: Ip,
    pub wanted: Ip,
}

const ARP_HEADER: [u8; 6] = [0, 1, 8, 0, 6, 4];

/// Take an ARP request apart.
pub fn arp_request(bytes: &[u8]) -> Option<ArpRequest> {
    let right = bytes.get(..6)? == ARP_HEADER && u16_at(bytes, 6)? == 1;
    let request = ArpRequest { mac: array(bytes, 8)?, ip: array(bytes, 14)?, wanted: array(bytes, 24)? };
    right.then_some(request)
}

/// The answer: `wanted` is at `mac`.
pub fn arp_reply(request: &ArpRequest, mac: Mac) -> Vec<u8> {
    [&ARP_HEADER[..], &[0, 2], &mac, &request.wanted, &request.mac, &request.ip].concat()
}

/// An IPv4 packet. Fragments are not reassembled.
pub struct Packet<'a> {
    pub source: Ip,
    pub to: Ip,
    pub protocol: u8,
    pub payload: &'a [u8],
    /// The whole packet.
    pub bytes: &'a [u8],
}

/// Take a packet apart; `None` for fragments and nonsense.
pub fn packet(bytes: &[u8]) -> Option<Packet<'_>> {
    let header = usize::from(bytes.first()? & 0xF) * 4;
    let total = usize::from(u16_at(bytes, 2)?);
    // More fragments, or a fragment's offset.
    let fragment = u16_at(bytes, 6)? & 0x3FFF != 0;
    if bytes[0] >> 4 != 4 || header < 20 || total < header || fragment {
        return None;
    }
    Some(Packet {
        source: array(bytes, 12)?,
        to: array(bytes, 16)?,
        protocol: *bytes.get(9)?,
        payload: bytes.get(header..total)?,
        bytes: bytes.get(..total)?,
    })
}

/// The Internet checksum (RFC 1071) over all parts but the last of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let mut sum = 0u32;
    for part in parts {
        for pair in part.chunks(2) {
            sum += u32::from(pair[0]) << 8 | pair.get(1).map_or(0, |&low| u32::from(low));
            sum = (sum & 0xFFFF) + (sum >> 16);
        }
    }
    !(sum as u16)
}

/// Put a packet together.
pub fn make_packet(protocol: u8, from: Ip, to: Ip, payload: &[u8]) -> Vec<u8> {
    let total = (20 + payload.len()) as u16;
    let mut header = [0x45, 0, 0, 0, 0, 0, 0x40, 0, 64, protocol, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    header[2..4].copy_from_slice(&total.to_be_bytes());
    header[12..16].copy_from_slice(&from);
    header[16..20].copy_from_slice(&to);
    let sum = checksum(&[&header]);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    [&header[..], payload].concat()
}

/// Checksum of a transport header and its data, with the pseudo header.
fn transport_checksum(protocol: u8, from: Ip, to: Ip, bytes: &[u8]) -> [u8; 2] {
    let length = (bytes.len() as u16).to_be_bytes();
    checksum(&[&from, &to, &[0, protocol], &length, bytes]).to_be_bytes()
}

/// An ICMP message with its checksum.
pub fn make_icmp(kind: u8, code: u8, rest: &[u8]) -> Vec<u8> {
    let mut bytes = [&[kind, code, 0, 0], rest].concat();
    let sum = checksum(&[&bytes]);
    bytes[2..4].copy_from_slice(&sum.to_be_bytes());
    bytes
}

/// A datagram: both ports, and what it says.
pub fn datagram(bytes: &[u8]) -> Option<(u16, u16, &[u8])> {
    let length = usize::from(u16_at(bytes, 4)?);
    Some((u16_at(bytes, 0)?, u16_at(bytes, 2)?, bytes.get(8..length)?))
}

/// A whole IPv4 packet with a datagram.
pub fn make_datagram(from: Endpoint, to: Endpoint, data: &[u8]) -> Vec<u8> {
    let length = ((8 + data.len()) as u16).to_be_bytes();
    let mut bytes =
        [&from.port.to_be_bytes()[..], &to.port.to_be_bytes()[..], &length[..], &[0, 0], data].concat();
    let sum = match transport_checksum(UDP, from.ip, to.ip, &bytes) {
        // None would mean "no checksum".
        [0, 0] => [0xFF; 2],
        sum => sum,
    };
    bytes[6..8].copy_from_slice(&sum);
    make_packet(UDP, from.ip, to.ip, &bytes)
}

/// A TCP segment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment<'a> {
    pub from: u16,
    pub to: u16,
    pub sequence: u32,
    pub acknowledged: u32,
    pub flags: u8,
    pub window: u16,
    /// The option that says how much fits into a segment.
    pub most: Option<u16>,
    pub data: &'a [u8],
}

/// Take a segment apart.
pub fn segment(bytes: &[u8]) -> Option<Segment<'_>> {
    let header = usize::from(bytes.get(12)? >> 4) * 4;
    let mut options = bytes.get(20..header)?;
    let mut most = None;
    while let &[kind, ref rest @ ..] = options {
        match kind {
            0 => break,
            1 => options = rest,
            _ => {
                let length = usize::from(*rest.first()?).max(2);
                if kind == 2 {
                    most = u16_at(options, 2);
                }
                options = options.get(length..)?;
            }
        }
    }
    Some(Segment {
        from: u16_at(bytes, 0)?,
        to: u16_at(bytes, 2)?,
        sequence: u32_at(bytes, 4)?,
        acknowledged: u32_at(bytes, 8)?,
        flags: *bytes.get(13)?,
        window: u16_at(bytes, 14)?,
        most,
        data: bytes.get(header..)?,
    })
}

/// A whole IPv4 packet with a segment.
pub fn make_segment(from: Ip, to: Ip, s: &Segment<'_>) -> Vec<u8> {
    let option = s.most.map(|most| [&[2, 4][..], &most.to_be_bytes()[..]].concat()).unwrap_or_default();
    let mut bytes = [
        &s.from.to_be_bytes()[..],
        &s.to.to_be_bytes()[..],
        &s.sequence.to_be_bytes()[..],
        &s.acknowledged.to_be_bytes()[..],
        &[(20 + option.len() as u8) << 2, s.flags],
        &s.window.to_be_bytes()[..],
        &[0; 4],
        &option,
        s.data,
    ]
    .concat();
    let sum = transport_checksum(TCP, from, to, &bytes);
    bytes[16..18].copy_from_slice(&sum);
    make_packet(TCP, from, to, &bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn checksums_of_known_packets() {
        // The example of RFC 1071, section 3.
        assert_eq!(!checksum(&[&[0x00, 0x01, 0xF2, 0x03, 0xF4, 0xF5, 0xF6, 0xF7]]), 0xDDF2);
        let packet = make_packet(UDP, [10, 0, 2, 2], [10, 0, 2, 15], b"x");
        assert_eq!(checksum(&[&packet[..20]]), 0);
    }

    proptest! {
        #[test]
        fn what_is_made_is_what_is_read(
            data in prop::collection::vec(any::<u8>(), 0..100), sequence: u32, window: u16, most: Option<u16>,
        ) {
            let (a, b) = ([10, 0, 2, 2], [10, 0, 2, 15]);
            let made = Segment { from: 1, to: 2, sequence, acknowledged: !sequence, flags: 0x18, window, most, data: &data };
            let bytes = make_segment(a, b, &made);
            let read = packet(&bytes).unwrap();
            prop_assert_eq!((read.source, read.to, read.protocol), (a, b, TCP));
            prop_assert_eq!(segment(read.payload), Some(made));
            prop_assert_eq!(transport_checksum(TCP, a, b, read.payload), [0, 0]);
        }

        #[test]
        fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = (frame(&bytes).is_some(), arp_request(&bytes).is_some(), datagram(&bytes), segment(&bytes));
            if let Some(packet) = packet(&bytes) {
                prop_assert!(packet.payload.len() < bytes.len());
            }
        }
    }
}
