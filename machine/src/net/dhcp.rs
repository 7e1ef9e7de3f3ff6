//! DHCP (RFC 2131, 2132): an address for whoever asks, the same for the same hardware address.

use super::wire::{Endpoint, Ip, Mac, array, make_datagram};
use super::{DNS, GATEWAY, NETWORK};

/// Ports of servers and of clients.
pub const SERVER: u16 = 67;
const CLIENT: u16 = 68;
const COOKIE: [u8; 4] = [99, 130, 83, 99];
/// Addresses are given from here on.
const FIRST: u8 = 15;
/// Guests at most.
const MOST: usize = 16;
const LEASE_SECONDS: u32 = 86_400;

const MESSAGE_TYPE: u8 = 53;
const DISCOVER: u8 = 1;
const OFFER: u8 = 2;
const REQUEST: u8 = 3;
const ACK: u8 = 5;

/// The value of option `wanted`.
fn option(mut options: &[u8], wanted: u8) -> Option<&[u8]> {
    while let &[kind, ref rest @ ..] = options {
        match kind {
            0 => options = rest,
            255 => break,
            _ => {
                let (&length, rest) = rest.split_first()?;
                let value = rest.get(..usize::from(length))?;
                if kind == wanted {
                    return Some(value);
                }
                options = &rest[value.len()..];
            }
        }
    }
    None
}

/// The address of the guest with this hardware address; all places may be taken.
fn address(leases: &mut Vec<Mac>, mac: Mac) -> Option<Ip> {
    let n = leases.iter().position(|&known| known == mac).unwrap_or(leases.len());
    if n == leases.len() {
        if n == MOST {
            return None;
        }
        leases.push(mac);
    }
    let [a, b, c, _] = NETWORK;
    Some([a, b, c, FIRST + n as u8])
}

/// The packet that answers a client's message, if it is one to be answered.
pub fn answer(leases: &mut Vec<Mac>, message: &[u8]) -> Option<Vec<u8>> {
    let options = message.get(240..)?;
    let kind = *option(options, MESSAGE_TYPE)?.first()?;
    let reply = match kind {
        DISCOVER => OFFER,
        REQUEST => ACK,
        _ => return None,
    };
    if message[0] != 1 || message.get(236..240)? != COOKIE {
        return None;
    }
    let ip = address(leases, array(message, 28)?)?;
    let mut bytes = message[..236].to_vec();
    bytes[0] = 2;
    bytes[16..20].copy_from_slice(&ip);
    bytes[20..24].copy_from_slice(&GATEWAY);
    bytes[44..].fill(0);
    bytes.extend(COOKIE);
    bytes.extend([MESSAGE_TYPE, 1, reply]);
    bytes.extend([54, 4].into_iter().chain(GATEWAY));
    bytes.extend([51, 4].into_iter().chain(LEASE_SECONDS.to_be_bytes()));
    bytes.extend([1, 4, 255, 255, 255, 0]);
    bytes.extend([3, 4].into_iter().chain(GATEWAY));
    bytes.extend([6, 4].into_iter().chain(DNS));
    bytes.push(255);
    let from = Endpoint { ip: GATEWAY, port: SERVER };
    Some(make_datagram(from, Endpoint { ip: [255; 4], port: CLIENT }, &bytes))
}

#[cfg(test)]
mod tests {
    use super::super::wire::{datagram, packet};
    use super::*;

    fn message(mac: Mac, kind: u8) -> Vec<u8> {
        let mut bytes = vec![0; 236];
        bytes[0] = 1;
        bytes[28..34].copy_from_slice(&mac);
        bytes.extend(COOKIE);
        bytes.extend([0, MESSAGE_TYPE, 1, kind, 255]);
        bytes
    }

    #[test]
    fn the_same_guest_gets_the_same_address() {
        let mut leases = Vec::new();
        for (mac, kind, reply, last) in [(1, 1, 2, 15), (2, 1, 2, 16), (1, 3, 5, 15), (2, 3, 5, 16)] {
            let bytes = answer(&mut leases, &message([mac; 6], kind)).unwrap();
            let (_, to, data) = datagram(packet(&bytes).unwrap().payload).unwrap();
            assert_eq!((to, &data[16..20]), (CLIENT, &[10, 0, 2, last][..]));
            assert_eq!(option(&data[240..], MESSAGE_TYPE), Some(&[reply][..]));
            assert_eq!(option(&data[240..], 6), Some(&DNS[..]));
        }
        assert_eq!(answer(&mut leases, &message([1; 6], 7)), None);
        for n in 0..20 {
            answer(&mut leases, &message([n; 6], 1));
        }
        assert_eq!(leases.len(), MOST);
    }
}
