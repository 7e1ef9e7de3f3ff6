//! A guest by hand: frames in, frames out.

use super::wire::{Segment, flag, make_segment};
use super::*;
use proptest::prelude::*;

const ME: Ip = [10, 0, 2, 15];
const SERVER: Endpoint = Endpoint { ip: [192, 0, 2, 1], port: 80 };
const PORT: u16 = 4000;

fn send(gateway: &mut Gateway, packet: &[u8]) {
    gateway.from_guest(0, &wire::make_frame(OUR_MAC, GUEST_MAC, wire::IPV4, packet));
}

/// Everything the gateway has for the guest: protocol and payload of the packets.
fn received(gateway: &mut Gateway, now: u64) -> Vec<(u8, Vec<u8>)> {
    let mut packets = Vec::new();
    while gateway.has_frame() {
        let bytes = gateway.next_frame(now).expect("has_frame said so");
        let packet = wire::packet(wire::frame(&bytes).unwrap().payload).unwrap();
        packets.push((packet.protocol, packet.payload.to_vec()));
    }
    packets
}

fn requests(gateway: &mut Gateway) -> Vec<Request> {
    gateway.take_messages().into_iter().map(|message| message.request).collect()
}

/// The guest's end of a connection to `to`.
struct Client {
    to: Endpoint,
    sequence: u32,
    next: u32,
    window: u16,
    got: Vec<u8>,
    ended: bool,
    refused: bool,
}

impl Client {
    fn new(to: Endpoint) -> Client {
        Client { to, sequence: 100, next: 0, window: 4096, got: Vec::new(), ended: false, refused: false }
    }

    fn segment(&mut self, gateway: &mut Gateway, flags: u8, data: &[u8]) {
        let s = Segment {
            from: PORT,
            to: self.to.port,
            sequence: self.sequence,
            acknowledged: self.next,
            flags,
            window: self.window,
            most: None,
            data,
        };
        send(gateway, &make_segment(ME, self.to.ip, &s));
        let extra = u32::from(flags & (flag::SYN | flag::FIN) != 0);
        self.sequence = self.sequence.wrapping_add(data.len() as u32 + extra);
    }

    /// Take what there is and acknowledge it.
    fn listen(&mut self, gateway: &mut Gateway, now: u64) {
        loop {
            let packets = received(gateway, now);
            let mut fresh = false;
            for (protocol, payload) in packets {
                assert_eq!(protocol, wire::TCP);
                let s = wire::segment(&payload).unwrap();
                if s.flags & flag::RST != 0 {
                    self.refused = true;
                    return;
                }
                if s.flags & flag::SYN != 0 {
                    self.next = s.sequence.wrapping_add(1);
                    fresh = true;
                } else if s.sequence == self.next {
                    let n = s.data.len().min(usize::from(self.window));
                    self.got.extend(&s.data[..n]);
                    self.next = self.next.wrapping_add(n as u32);
                    if s.flags & flag::FIN != 0 {
                        self.ended = true;
                        self.next = self.next.wrapping_add(1);
                    }
                    fresh |= n > 0 || s.flags & flag::FIN != 0;
                }
            }
            if !fresh {
                return;
            }
            self.segment(gateway, flag::ACK, &[]);
        }
    }

    fn open(to: Endpoint, gateway: &mut Gateway) -> Client {
        let mut client = Client::new(to);
        client.segment(gateway, flag::SYN, &[]);
        client.listen(gateway, 0);
        client
    }
}

fn tell(gateway: &mut Gateway, id: u32, event: Event) {
    gateway.from_outside(0, &FromOutside { id, event });
}

#[test]
fn the_gateway_answers_pings_and_names_what_it_does_not_know() {
    let mut gateway = Gateway::default();
    let ping = wire::make_icmp(8, 0, b"\x12\x34\0\x01data");
    for to in [GATEWAY, DNS, PEER] {
        send(&mut gateway, &wire::make_packet(wire::ICMP, ME, to, &ping));
        assert_eq!(received(&mut gateway, 0), [(wire::ICMP, wire::make_icmp(0, 0, b"\x12\x34\0\x01data"))]);
    }
    send(&mut gateway, &wire::make_packet(wire::ICMP, ME, SERVER.ip, &ping));
    assert_eq!(received(&mut gateway, 0)[0].1[..2], [3, 10], "prohibited");
    send(
        &mut gateway,
        &wire::make_datagram(Endpoint { ip: ME, port: 1 }, Endpoint { ip: PEER, port: 1 }, b""),
    );
    assert_eq!(received(&mut gateway, 0)[0].1[..2], [3, 3], "no such port");
}

#[test]
fn a_connection_to_the_outside() {
    let mut gateway = Gateway::default();
    let mut client = Client::open(SERVER, &mut gateway);
    assert_eq!(requests(&mut gateway), [Request::Connect(SERVER)]);
    assert_eq!((client.next, gateway.awaits_outside()), (0, true), "nothing before the other end answers");
    tell(&mut gateway, 1, Event::Opened);
    client.listen(&mut gateway, 0);
    client.segment(&mut gateway, flag::PSH | flag::ACK, b"GET /");
    assert_eq!(requests(&mut gateway), [Request::Send(b"GET /".to_vec())]);
    tell(&mut gateway, 1, Event::Taken(5));
    let page: Vec<u8> = (0..20_000u32).map(|n| n as u8).collect();
    tell(&mut gateway, 1, Event::Data(page.clone()));
    tell(&mut gateway, 1, Event::Ended);
    client.listen(&mut gateway, 0);
    assert_eq!((client.got.len(), client.ended), (page.len(), true));
    assert!(client.got == page);
    let credit: u32 =
        requests(&mut gateway).iter().map(|r| if let Request::Credit(n) = r { *n } else { 0 }).sum();
    assert_eq!(credit, 20_000);
    client.segment(&mut gateway, flag::FIN | flag::ACK, &[]);
    client.listen(&mut gateway, 0);
    assert_eq!(requests(&mut gateway), [Request::End]);
    assert_eq!((gateway.connections.len(), gateway.awaits_outside(), gateway.next_timer()), (0, false, None));
}

#[test]
fn who_does_not_answer_is_a_refusal() {
    let mut gateway = Gateway::default();
    let mut client = Client::open(SERVER, &mut gateway);
    tell(&mut gateway, 1, Event::Broken);
    client.listen(&mut gateway, 0);
    assert!(client.refused && gateway.connections.is_empty());
    let client = Client::open(Endpoint { ip: PEER, port: 80 }, &mut gateway);
    assert!(client.refused);
}

#[test]
fn the_peer_echoes_and_makes_a_megabyte() {
    let mut gateway = Gateway::default();
    let mut client = Client::open(Endpoint { ip: PEER, port: 7 }, &mut gateway);
    client.segment(&mut gateway, flag::PSH | flag::ACK, b"hello");
    client.listen(&mut gateway, 0);
    client.segment(&mut gateway, flag::FIN | flag::ACK, &[]);
    client.listen(&mut gateway, 0);
    assert_eq!((client.got.as_slice(), client.ended, gateway.connections.len()), (&b"hello"[..], true, 0));
    let mut client = Client::open(Endpoint { ip: PEER, port: 19 }, &mut gateway);
    client.listen(&mut gateway, 0);
    assert_eq!((client.got.len(), client.ended), (tcp::CHARACTERS as usize, true));
    assert!(client.got.starts_with(b"0123456789:;<"));
    assert!(gateway.take_messages().is_empty(), "nobody outside heard of it");
}

#[test]
fn what_the_guest_lost_comes_again_and_not_for_ever() {
    let mut gateway = Gateway::default();
    let mut client = Client::open(SERVER, &mut gateway);
    tell(&mut gateway, 1, Event::Opened);
    client.listen(&mut gateway, 0);
    tell(&mut gateway, 1, Event::Data(b"once".to_vec()));
    assert_eq!(received(&mut gateway, 0).len(), 1, "lost");
    let at = gateway.next_timer().unwrap();
    gateway.on_timer(at);
    client.listen(&mut gateway, at);
    assert_eq!(client.got, b"once");
    // A guest that has gone.
    tell(&mut gateway, 1, Event::Data(b"again".to_vec()));
    let mut sent = received(&mut gateway, 0).len();
    while let Some(at) = gateway.next_timer() {
        gateway.on_timer(at);
        sent += received(&mut gateway, at).len();
        assert!(sent < 100);
    }
    assert_eq!(gateway.connections.len(), 0);
    assert!(requests(&mut gateway).contains(&Request::Forget));
}

#[test]
fn a_shut_window_is_asked_about_until_it_opens() {
    let mut gateway = Gateway::default();
    let mut client = Client::open(SERVER, &mut gateway);
    tell(&mut gateway, 1, Event::Opened);
    client.window = 0;
    client.listen(&mut gateway, 0);
    tell(&mut gateway, 1, Event::Data(b"later".to_vec()));
    client.listen(&mut gateway, 0);
    assert_eq!(client.got, b"");
    client.window = 4096;
    let at = gateway.next_timer().expect("it asks");
    gateway.on_timer(at);
    assert_eq!(received(&mut gateway, at).len(), 1);
    client.segment(&mut gateway, flag::ACK, &[]);
    client.listen(&mut gateway, at);
    assert_eq!(client.got, b"later");
}

#[test]
fn datagrams_and_names() {
    let mut gateway = Gateway::default();
    let me = Endpoint { ip: ME, port: 5000 };
    send(&mut gateway, &wire::make_datagram(me, SERVER, b"question"));
    assert_eq!(requests(&mut gateway), [Request::Datagram(SERVER, b"question".to_vec())]);
    tell(&mut gateway, 1, Event::Datagram(SERVER, b"answer".to_vec()));
    let (_, payload) = received(&mut gateway, 0).remove(0);
    assert_eq!(wire::datagram(&payload), Some((80, 5000, &b"answer"[..])));
    assert!(!gateway.awaits_outside());

    let query = b"\x12\x34\x01\0\0\x01\0\0\0\0\0\0\x01a\x01b\0\0\x01\0\x01";
    send(&mut gateway, &wire::make_datagram(me, Endpoint { ip: DNS, port: 53 }, query));
    assert_eq!(requests(&mut gateway), [Request::Resolve("a.b".into())]);
    tell(&mut gateway, 2, Event::Resolved(Some(vec![[1, 2, 3, 4]])));
    let (_, payload) = received(&mut gateway, 0).remove(0);
    assert!(wire::datagram(&payload).unwrap().2.ends_with(&[1, 2, 3, 4]));
}

#[test]
fn everything_is_bounded() {
    let mut gateway = Gateway::default();
    for port in 0..1000u16 {
        let syn = Segment { from: port, to: 80, flags: flag::SYN, window: 1, ..Segment::default() };
        send(&mut gateway, &make_segment(ME, SERVER.ip, &syn));
        send(&mut gateway, &wire::make_datagram(Endpoint { ip: ME, port }, SERVER, b"x"));
        let [high, low] = port.to_be_bytes();
        let ping = wire::make_icmp(8, 0, &[]);
        send(&mut gateway, &wire::make_packet(wire::ICMP, [10, 0, high, low], GATEWAY, &ping));
    }
    assert_eq!(gateway.connections.len(), MOST_CONNECTIONS);
    assert_eq!(gateway.flows.len(), MOST_FLOWS);
    assert_eq!(gateway.neighbours.len(), MOST_NEIGHBOURS);
    assert_eq!(gateway.frames.len(), MOST_FRAMES);
}

#[derive(Clone, Debug)]
enum Step {
    Segment { sequence: u32, acknowledged: u32, flags: u8, window: u16, len: usize },
    Outside(u8),
    Timer,
}

proptest! {
    /// Whatever segments a guest makes up, nothing panics, and what waits stays bounded.
    #[test]
    fn any_segments_are_survived(port in prop_oneof![Just(7u16), Just(19), Just(80)], steps in prop::collection::vec(
        prop_oneof![
            (0u32..200, any::<u32>(), 0u8..32, any::<u16>(), 0usize..1400).prop_map(
                |(sequence, acknowledged, flags, window, len)| Step::Segment { sequence, acknowledged, flags, window, len }),
            (0u8..5).prop_map(Step::Outside),
            Just(Step::Timer),
        ], 0..60)) {
        let mut gateway = Gateway::default();
        let to = Endpoint { ip: if port == 80 { SERVER.ip } else { PEER }, port };
        let mut client = Client::open(to, &mut gateway);
        let (mut now, base) = (0, client.sequence);
        for step in steps {
            match step {
                Step::Segment { sequence, acknowledged, flags, window, len } => {
                    client.sequence = base.wrapping_add(sequence).wrapping_sub(100);
                    // Half of the acknowledgements are near the truth.
                    client.next = if acknowledged % 2 == 0 { client.next.wrapping_add(acknowledged % 3000) } else { acknowledged };
                    client.window = window;
                    client.segment(&mut gateway, flags, &vec![b'x'; len]);
                }
                Step::Outside(0) => tell(&mut gateway, 1, Event::Opened),
                Step::Outside(1) => tell(&mut gateway, 1, Event::Data(vec![b'y'; 3000])),
                Step::Outside(2) => tell(&mut gateway, 1, Event::Ended),
                Step::Outside(3) => tell(&mut gateway, 1, Event::Taken(1000)),
                Step::Outside(_) => tell(&mut gateway, 1, Event::Broken),
                Step::Timer => {
                    now = gateway.next_timer().unwrap_or(now);
                    gateway.on_timer(now);
                }
            }
            let frames = received(&mut gateway, now).len();
            prop_assert!(frames < 2000, "{} frames at once", frames);
        }
    }
}
