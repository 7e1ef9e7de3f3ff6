//! The gateway behind the machine's network device: a small network of its own, through which guests reach the outside.
//!
//! | address | who |
//! |---|---|
//! | 10.0.2.2 | the gateway: DHCP, and the user's machine |
//! | 10.0.2.3 | names |
//! | 10.0.2.4 | a peer that is part of the gateway: echo (port 7), discard (9), a megabyte of characters (19) |
//! | 10.0.2.15 on | guests, in the order they asked |
//!
//! The gateway is part of the machine: what it answers follows from what guests send and from virtual time alone. It ends guests'
//! connections itself, so only what was said passes between it and the outside, as [`ToOutside`] and [`FromOutside`]; the latter
//! enter the machine like any input, and a recording of them repeats the run.
//!
//! Invariants: everything is bounded (connections, flows, frames, bytes on their way), whatever guests send.

mod dhcp;
mod dns;
mod tcp;
#[cfg(test)]
mod tests;
mod wire;

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
pub use tcp::WINDOW;
use tcp::{Connection, Happened, Service};
use wire::Packet;
pub use wire::{Endpoint, Ip, Mac};

/// The network, /24.
pub const NETWORK: Ip = [10, 0, 2, 0];
/// The gateway, and the user's machine behind it.
pub const GATEWAY: Ip = [10, 0, 2, 2];
/// The name server.
pub const DNS: Ip = [10, 0, 2, 3];
/// The peer inside.
pub const PEER: Ip = [10, 0, 2, 4];
/// Hardware address of the machine's network device.
pub const GUEST_MAC: Mac = [0x52, 0x54, 0x00, 0x12, 0x34, 0x56];
/// Hardware address of everybody else.
const OUR_MAC: Mac = [0x52, 0x55, 10, 0, 2, 2];

/// Services of [`PEER`].
const SERVICES: [(u16, Service); 3] = [(7, Service::Echo), (9, Service::Discard), (19, Service::Characters)];

/// Guests that are remembered.
const MOST_NEIGHBOURS: usize = 32;
/// Connections at most; more are refused.
const MOST_CONNECTIONS: usize = 128;
/// Conversations in datagrams at most; the oldest makes room.
const MOST_FLOWS: usize = 64;
/// Frames that wait for a guest at most; more answers are lost, as on any network.
const MOST_FRAMES: usize = 256;
/// Bytes of a datagram that fits into a frame.
const LONGEST_DATAGRAM: usize = 1472;
/// Virtual time for which an answer to a datagram is waited for.
const FLOW_PATIENCE: u64 = 5_000_000_000;

/// What a guest wants of the outside, in conversation `id`. Addresses are as the guest sees them: [`GATEWAY`] is the user's machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToOutside {
    /// Number of a connection, of an exchange of datagrams, or of a question; none is used again soon.
    pub id: u32,
    /// What is wanted.
    pub request: Request,
}

/// What is wanted of the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request {
    /// Open a connection.
    Connect(Endpoint),
    /// Say this in it.
    Send(Vec<u8>),
    /// There will be no more to say.
    End,
    /// The guest has taken so many bytes: as many more may come.
    Credit(u32),
    /// Send a datagram. Answers to it belong to this conversation.
    Datagram(Endpoint, Vec<u8>),
    /// Look up a name.
    Resolve(String),
    /// Forget the conversation.
    Forget,
}

/// What comes from the outside, in conversation `id`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FromOutside {
    /// As in the request.
    pub id: u32,
    /// What came.
    pub event: Event,
}

/// What can come from the outside.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    /// The connection is open. At most [`WINDOW`] bytes may come before there is credit for more.
    Opened,
    /// Nobody answers there, or the connection broke.
    Broken,
    /// The other end said this.
    Data(Vec<u8>),
    /// It has no more to say.
    Ended,
    /// It has taken so many bytes.
    Taken(u32),
    /// An answer to a datagram.
    Datagram(Endpoint, Vec<u8>),
    /// Addresses of a name; none if there is no such name.
    Resolved(Option<Vec<Ip>>),
}

/// A conversation in datagrams, or a question about a name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Flow {
    id: u32,
    guest: Endpoint,
    /// The question, if it is about a name.
    query: Option<Vec<u8>>,
    /// When it was used last.
    used: u64,
    /// It had an answer since.
    answered: bool,
}

/// The gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gateway {
    neighbours: Vec<(Ip, Mac)>,
    leases: Vec<Mac>,
    connections: Vec<Connection>,
    flows: Vec<Flow>,
    frames: VecDeque<Vec<u8>>,
    messages: Vec<ToOutside>,
    next_id: u32,
}

fn forget(id: u32) -> ToOutside {
    ToOutside { id, request: Request::Forget }
}

fn is_ours(ip: Ip) -> bool {
    [GATEWAY, DNS, PEER].contains(&ip)
}

impl Gateway {
    /// The machine was reset: nobody is there any more.
    pub fn forget(&mut self) {
        let gone = self.connections.drain(..).filter(|c| c.service.is_none()).map(|c| forget(c.id));
        let gone = gone.chain(self.flows.drain(..).map(|f| forget(f.id)));
        let messages = gone.collect();
        *self = Gateway { messages, next_id: self.next_id, ..Gateway::default() };
    }

    /// What is to be told to the outside.
    pub fn take_messages(&mut self) -> Vec<ToOutside> {
        std::mem::take(&mut self.messages)
    }

    /// Whether something was asked for that may still come.
    pub fn awaits_outside(&self) -> bool {
        self.connections.iter().any(|c| c.service.is_none()) || self.flows.iter().any(|f| !f.answered)
    }

    /// Whether a frame waits for the guest.
    pub fn has_frame(&self) -> bool {
        !self.frames.is_empty() || self.connections.iter().any(Connection::has_segment)
    }

    /// The next frame for the guest.
    pub fn next_frame(&mut self, now: u64) -> Option<Vec<u8>> {
        if self.frames.is_empty() {
            // In turn, so that no connection keeps the others waiting.
            let n = self.connections.iter().position(Connection::has_segment)?;
            let packet = self.connections[n].next_segment(now)?;
            let guest = self.connections[n].guest.ip;
            self.connections[n..].rotate_left(1);
            self.forget_ended();
            return Some(self.frame_for(guest, &packet));
        }
        self.frames.pop_front()
    }

    fn frame_for(&self, guest: Ip, packet: &[u8]) -> Vec<u8> {
        let known = self.neighbours.iter().find(|n| n.0 == guest);
        wire::make_frame(known.map_or(wire::BROADCAST, |n| n.1), OUR_MAC, wire::IPV4, packet)
    }

    fn answer(&mut self, guest: Ip, packet: &[u8]) {
        let frame = self.frame_for(guest, packet);
        self.queue(frame);
    }

    fn queue(&mut self, frame: Vec<u8>) {
        if self.frames.len() < MOST_FRAMES {
            self.frames.push_back(frame);
        }
    }

    fn ask(&mut self, id: u32, request: Request) {
        self.messages.push(ToOutside { id, request });
    }

    fn new_id(&mut self) -> u32 {
        self.next_id = self.next_id.wrapping_add(1);
        self.next_id
    }

    /// A frame from a guest.
    pub fn from_guest(&mut self, now: u64, bytes: &[u8]) {
        let Some(frame) = wire::frame(bytes) else { return };
        match frame.kind {
            wire::ARP => {
                let Some(request) = wire::arp_request(frame.payload) else { return };
                self.learn(request.ip, request.mac);
                if is_ours(request.wanted) {
                    let reply = wire::arp_reply(&request, OUR_MAC);
                    self.queue(wire::make_frame(request.mac, OUR_MAC, wire::ARP, &reply));
                }
            }
            wire::IPV4 => {
                let Some(packet) = wire::packet(frame.payload) else { return };
                self.learn(packet.source, frame.source);
                self.route(now, frame.source, &packet);
            }
            _ => {}
        }
    }

    fn learn(&mut self, ip: Ip, mac: Mac) {
        if ip == [0; 4] || self.neighbours.contains(&(ip, mac)) {
            return;
        }
        self.neighbours.retain(|n| n.0 != ip);
        if self.neighbours.len() == MOST_NEIGHBOURS {
            self.neighbours.remove(0);
        }
        self.neighbours.push((ip, mac));
    }

    fn route(&mut self, now: u64, mac: Mac, packet: &Packet<'_>) {
        match packet.protocol {
            wire::UDP => self.datagram(now, mac, packet),
            wire::TCP => self.segment(now, packet),
            wire::ICMP if is_ours(packet.to) => self.echo(packet),
            _ if packet.to[3] != 255 => self.unreachable(packet, 10),
            _ => {}
        }
    }

    /// An echo request (ICMP 8) is answered.
    fn echo(&mut self, packet: &Packet<'_>) {
        if let Some((8, 0)) = packet.payload.first().copied().zip(packet.payload.get(1).copied())
            && let Some(rest) = packet.payload.get(4..)
        {
            let reply = wire::make_icmp(0, 0, rest);
            self.answer(packet.source, &wire::make_packet(wire::ICMP, packet.to, packet.source, &reply));
        }
    }

    /// Destination unreachable: 10 is "administratively prohibited", 3 "nobody at that port".
    fn unreachable(&mut self, packet: &Packet<'_>, code: u8) {
        let rest = [&[0; 4], &packet.bytes[..packet.bytes.len().min(28)]].concat();
        let message = wire::make_icmp(3, code, &rest);
        self.answer(packet.source, &wire::make_packet(wire::ICMP, GATEWAY, packet.source, &message));
    }

    fn datagram(&mut self, now: u64, mac: Mac, packet: &Packet<'_>) {
        let Some((from, to, data)) = wire::datagram(packet.payload) else { return };
        let (guest, remote) =
            (Endpoint { ip: packet.source, port: from }, Endpoint { ip: packet.to, port: to });
        match (remote.ip, remote.port) {
            (_, dhcp::SERVER) => {
                if let Some(reply) = dhcp::answer(&mut self.leases, data) {
                    self.queue(wire::make_frame(mac, OUR_MAC, wire::IPV4, &reply));
                }
            }
            (DNS, dns::PORT) => self.resolve(now, guest, data),
            (PEER, 7) => self.answer(guest.ip, &wire::make_datagram(remote, guest, data)),
            (PEER, 9) => {}
            (PEER | DNS, _) => self.unreachable(packet, 3),
            ([.., 255] | [224..=255, ..], _) => {}
            _ => {
                let id = self.flow(now, guest, None);
                self.ask(id, Request::Datagram(remote, data.to_vec()));
            }
        }
    }

    fn resolve(&mut self, now: u64, guest: Endpoint, query: &[u8]) {
        match dns::question(query) {
            Some(question) if question.address => {
                let id = self.flow(now, guest, Some(query.to_vec()));
                self.ask(id, Request::Resolve(question.name));
            }
            // Known not to have an answer, or not understood.
            _ => {
                let reply = dns::answer(query, Some(&[]));
                let from = Endpoint { ip: DNS, port: dns::PORT };
                self.answer(guest.ip, &wire::make_datagram(from, guest, &reply));
            }
        }
    }

    /// The conversation that `guest` has, or a new one; every question is one of its own.
    fn flow(&mut self, now: u64, guest: Endpoint, query: Option<Vec<u8>>) -> u32 {
        let known = |f: &Flow| f.guest == guest && f.query.is_none() && query.is_none();
        if let Some(flow) = self.flows.iter_mut().find(|f| known(f)) {
            (flow.used, flow.answered) = (now, false);
            return flow.id;
        }
        if self.flows.len() == MOST_FLOWS {
            let oldest = (0..MOST_FLOWS).min_by_key(|&n| self.flows[n].used).unwrap_or(0);
            let id = self.flows.remove(oldest).id;
            self.ask(id, Request::Forget);
        }
        let id = self.new_id();
        self.flows.push(Flow { id, guest, query, used: now, answered: false });
        id
    }

    fn segment(&mut self, now: u64, packet: &Packet<'_>) {
        let Some(s) = wire::segment(packet.payload) else { return };
        let guest = Endpoint { ip: packet.source, port: s.from };
        let remote = Endpoint { ip: packet.to, port: s.to };
        let known = |c: &Connection| c.guest == guest && c.remote == remote;
        if let Some(n) = self.connections.iter().position(known) {
            let happened = self.connections[n].receive(now, &s);
            return self.tell(n, happened);
        }
        let service = SERVICES.iter().find(|s| remote.ip == PEER && s.0 == remote.port).map(|s| s.1);
        let nobody = matches!(remote.ip, PEER | DNS) && service.is_none();
        let first = s.flags & (wire::flag::SYN | wire::flag::ACK | wire::flag::RST) == wire::flag::SYN;
        if !first || nobody || self.connections.len() == MOST_CONNECTIONS {
            if s.flags & wire::flag::RST == 0 {
                self.answer(guest.ip, &tcp::refusal(guest, remote, &s));
            }
            return;
        }
        let id = self.new_id();
        let mut connection = Connection::new(id, guest, remote, service, &s);
        match service {
            Some(_) => connection.open(),
            None => self.ask(id, Request::Connect(remote)),
        }
        self.connections.push(connection);
    }

    /// Pass on what happened to connection `n`.
    fn tell(&mut self, n: usize, happened: Vec<Happened>) {
        let Connection { id, service, .. } = self.connections[n];
        for event in happened {
            let aborted = event == Happened::Aborted;
            if service.is_none() {
                self.ask(
                    id,
                    match event {
                        Happened::Data(bytes) => Request::Send(bytes),
                        Happened::End => Request::End,
                        Happened::Taken(bytes) => Request::Credit(bytes),
                        Happened::Aborted => Request::Forget,
                    },
                );
            }
            if aborted {
                self.connections.remove(n);
                return;
            }
        }
        self.forget_ended();
    }

    fn forget_ended(&mut self) {
        // Not before the last acknowledgement is on its way.
        self.connections.retain(|c| !c.is_over() || c.has_segment());
    }

    /// Something came from outside. What belongs to nothing that is still there is ignored.
    pub fn from_outside(&mut self, now: u64, message: &FromOutside) {
        let id = message.id;
        match &message.event {
            Event::Opened => self.with_connection(id, Connection::open),
            Event::Data(bytes) => self.with_connection(id, |c| c.send(bytes)),
            Event::Ended => self.with_connection(id, Connection::end),
            Event::Taken(bytes) => self.with_connection(id, |c| c.taken(*bytes)),
            Event::Broken => {
                if let Some(n) = self.connections.iter().position(|c| c.id == id && c.service.is_none()) {
                    let gone = self.connections.remove(n);
                    self.answer(gone.guest.ip, &gone.reset());
                }
            }
            Event::Datagram(from, bytes) => {
                if let Some(flow) = self.flows.iter_mut().find(|f| f.id == id && f.query.is_none()) {
                    (flow.used, flow.answered) = (now, true);
                    let guest = flow.guest;
                    // What does not fit into a frame is lost.
                    if bytes.len() <= LONGEST_DATAGRAM {
                        self.answer(guest.ip, &wire::make_datagram(*from, guest, bytes));
                    }
                }
            }
            Event::Resolved(addresses) => {
                let Some(n) = self.flows.iter().position(|f| f.id == id) else { return };
                if let Flow { guest, query: Some(query), .. } = self.flows.remove(n) {
                    let reply = dns::answer(&query, addresses.as_deref());
                    let from = Endpoint { ip: DNS, port: dns::PORT };
                    self.answer(guest.ip, &wire::make_datagram(from, guest, &reply));
                }
            }
        }
        self.forget_ended();
    }

    fn with_connection(&mut self, id: u32, f: impl FnOnce(&mut Connection)) {
        if let Some(connection) = self.connections.iter_mut().find(|c| c.id == id && c.service.is_none()) {
            f(connection);
        }
    }

    /// When [`Self::on_timer`] is to be called.
    pub fn next_timer(&self) -> Option<u64> {
        let again = self.connections.iter().filter_map(Connection::again_at);
        let flows = self.flows.iter().filter(|f| !f.answered).map(|f| f.used + FLOW_PATIENCE);
        again.chain(flows).min()
    }

    /// Time has passed: segments are sent again, and datagrams without an answer no longer waited for.
    pub fn on_timer(&mut self, now: u64) {
        for flow in &mut self.flows {
            flow.answered |= flow.used + FLOW_PATIENCE <= now;
        }
        let due = |c: &Connection| c.again_at().is_some_and(|at| at <= now);
        while let Some(n) = self.connections.iter().position(due) {
            if !self.connections[n].send_again(now) {
                let gone = self.connections.remove(n);
                if gone.service.is_none() {
                    self.ask(gone.id, Request::Forget);
                }
            }
        }
    }
}
