//! The outside of `--net user`: carries what guests want over the user's own network, with plain sockets.
//!
//! The gateway in the machine speaks the protocols; here are only connections, datagrams and names. Everything that blocks has a
//! thread of its own; what they bring enters the machine as live input.

use crate::console::Bell;
use crossbeam_channel::{Receiver, Sender, unbounded};
use machine::inputs::Input;
use machine::net::{Endpoint, Event, FromOutside, GATEWAY, Ip, Request, ToOutside, WINDOW};
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Shutdown, SocketAddr, SocketAddrV4, TcpStream, ToSocketAddrs, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

/// How long the other end may take to answer.
const CONNECT_PATIENCE: Duration = Duration::from_secs(10);
/// How often a thread that waits for datagrams looks whether it is still wanted.
const LOOK: Duration = Duration::from_millis(500);
/// Inputs on their way to the machine beyond which datagrams are dropped, as a network does.
const MOST_WAITING: usize = 4096;
/// Bytes read at a time.
const PIECE: usize = 16 << 10;

/// The way into the machine.
#[derive(Clone)]
struct Inside {
    machine: Sender<Input>,
    bell: Bell,
}

impl Inside {
    /// False if the run is over.
    fn tell(&self, id: u32, event: Event) -> bool {
        let told = self.machine.send(Input::Network(FromOutside { id, event })).is_ok();
        self.bell.ring();
        told
    }
}

/// What is said in a connection.
enum Say {
    Bytes(Vec<u8>),
    End,
}

/// How much may be read before the guest takes some of it.
#[derive(Default)]
struct Credit {
    /// Bytes; nothing once the conversation is forgotten.
    left: Mutex<Option<u32>>,
    changed: Condvar,
}

impl Credit {
    fn set(&self, change: impl FnOnce(&mut Option<u32>)) {
        change(&mut self.left.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    /// Wait for some: how much, or `None` if no more is wanted.
    fn wait(&self) -> Option<u32> {
        let left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let left = self.changed.wait_while(left, |left| *left == Some(0));
        *left.unwrap_or_else(PoisonError::into_inner)
    }
}

enum Conversation {
    Connection { say: Sender<Say>, credit: Arc<Credit> },
    Datagrams { socket: UdpSocket, over: Arc<AtomicBool> },
}

impl Drop for Conversation {
    fn drop(&mut self) {
        match self {
            Conversation::Connection { credit, .. } => credit.set(|left| *left = None),
            Conversation::Datagrams { over, .. } => over.store(true, Ordering::Relaxed),
        }
    }
}

/// Conversations of all guests.
pub struct Network {
    inside: Inside,
    conversations: HashMap<u32, Conversation>,
}

/// The user's machine is the gateway to guests, and this machine to us.
fn outside(to: Endpoint) -> SocketAddr {
    let ip = if to.ip == GATEWAY { Ipv4Addr::LOCALHOST } else { Ipv4Addr::from(to.ip) };
    SocketAddrV4::new(ip, to.port).into()
}

fn inside(from: SocketAddr) -> Option<Endpoint> {
    let IpAddr::V4(ip) = from.ip() else { return None };
    Some(Endpoint { ip: if ip.is_loopback() { GATEWAY } else { ip.octets() }, port: from.port() })
}

impl Network {
    /// A network for the machine with this entrance; `bell` wakes whoever waits for input.
    pub fn new(machine: Sender<Input>, bell: Bell) -> Network {
        Network { inside: Inside { machine, bell }, conversations: HashMap::new() }
    }

    /// Do what guests asked for.
    pub fn carry(&mut self, messages: Vec<ToOutside>) {
        for ToOutside { id, request } in messages {
            match request {
                Request::Connect(to) => self.connect(id, to),
                Request::Send(bytes) => self.say(id, Say::Bytes(bytes)),
                Request::End => self.say(id, Say::End),
                Request::Credit(bytes) => {
                    if let Some(Conversation::Connection { credit, .. }) = self.conversations.get(&id) {
                        credit.set(|left| *left = left.map(|left| left.saturating_add(bytes)));
                    }
                }
                Request::Datagram(to, bytes) => self.datagram(id, to, &bytes),
                Request::Resolve(name) => {
                    let inside = self.inside.clone();
                    thread::spawn(move || inside.tell(id, Event::Resolved(resolve(&name))));
                }
                Request::Forget => drop(self.conversations.remove(&id)),
            }
        }
    }

    fn connect(&mut self, id: u32, to: Endpoint) {
        let (say, said) = unbounded();
        let credit = Arc::new(Credit { left: Mutex::new(Some(WINDOW)), changed: Condvar::new() });
        let (inside, ours) = (self.inside.clone(), Arc::clone(&credit));
        thread::spawn(move || connection(&inside, id, to, &said, &ours));
        self.conversations.insert(id, Conversation::Connection { say, credit });
    }

    fn say(&self, id: u32, what: Say) {
        if let Some(Conversation::Connection { say, .. }) = self.conversations.get(&id) {
            // A connection that broke has told so itself.
            let _ = say.send(what);
        }
    }

    /// Datagrams may be lost, and are if anything goes wrong here.
    fn datagram(&mut self, id: u32, to: Endpoint, bytes: &[u8]) {
        if !self.conversations.contains_key(&id) {
            let Ok(socket) = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)) else { return };
            let Ok(ours) = socket.try_clone() else { return };
            let over = Arc::new(AtomicBool::new(false));
            let (inside, end) = (self.inside.clone(), Arc::clone(&over));
            thread::spawn(move || listen(&inside, id, &ours, &end));
            self.conversations.insert(id, Conversation::Datagrams { socket, over });
        }
        if let Some(Conversation::Datagrams { socket, .. }) = self.conversations.get(&id) {
            let _ = socket.send_to(bytes, outside(to));
        }
    }
}

/// IPv4 addresses of `name`, as the system finds them.
fn resolve(name: &str) -> Option<Vec<Ip>> {
    let found = (name, 0u16).to_socket_addrs().ok()?;
    Some(
        found
            .filter_map(|addr| if let IpAddr::V4(ip) = addr.ip() { Some(ip.octets()) } else { None })
            .collect(),
    )
}

/// One connection, from its opening until nobody says anything any more.
fn connection(inside: &Inside, id: u32, to: Endpoint, said: &Receiver<Say>, credit: &Arc<Credit>) {
    let stream = TcpStream::connect_timeout(&outside(to), CONNECT_PATIENCE);
    let Ok((mut stream, ours)) = stream.and_then(|stream| Ok((stream.try_clone()?, stream))) else {
        inside.tell(id, Event::Broken);
        return;
    };
    // What a guest sends is in pieces already.
    let _ = stream.set_nodelay(true);
    inside.tell(id, Event::Opened);
    let (reader, ours_credit) = (inside.clone(), Arc::clone(credit));
    thread::spawn(move || read(&reader, id, ours, &ours_credit));
    for what in said {
        match what {
            Say::Bytes(bytes) => {
                if stream.write_all(&bytes).is_err() {
                    inside.tell(id, Event::Broken);
                    return;
                }
                inside.tell(id, Event::Taken(bytes.len() as u32));
            }
            Say::End => drop(stream.shutdown(Shutdown::Write)),
        }
    }
    // Forgotten: whoever reads is to stop.
    let _ = stream.shutdown(Shutdown::Both);
}

fn read(inside: &Inside, id: u32, mut stream: TcpStream, credit: &Credit) {
    let mut buffer = vec![0; PIECE];
    while let Some(left) = credit.wait() {
        let piece = &mut buffer[..PIECE.min(left as usize)];
        let event = match stream.read(piece) {
            Ok(0) => Event::Ended,
            Ok(n) => Event::Data(piece[..n].to_vec()),
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(_) => Event::Broken,
        };
        let Event::Data(bytes) = &event else {
            inside.tell(id, event);
            return;
        };
        let n = bytes.len() as u32;
        credit.set(|left| *left = left.map(|left| left - n));
        if !inside.tell(id, event) {
            return;
        }
    }
}

/// Pass on answers to datagrams until the conversation is forgotten.
fn listen(inside: &Inside, id: u32, socket: &UdpSocket, over: &AtomicBool) {
    let mut buffer = [0; 2048];
    if socket.set_read_timeout(Some(LOOK)).is_err() {
        return;
    }
    while !over.load(Ordering::Relaxed) {
        if let Ok((n, from)) = socket.recv_from(&mut buffer)
            && let Some(from) = self::inside(from)
            && inside.machine.len() < MOST_WAITING
            && !inside.tell(id, Event::Datagram(from, buffer[..n].to_vec()))
        {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::Bell;
    use std::net::TcpListener;

    fn network() -> (Network, Receiver<Input>) {
        let (machine, inputs) = unbounded();
        (Network::new(machine, Bell::silent()), inputs)
    }

    fn ask(network: &mut Network, id: u32, request: Request) {
        network.carry(vec![ToOutside { id, request }]);
    }

    /// The next event, which must be conversation `id`'s.
    fn event(inputs: &Receiver<Input>, id: u32) -> Event {
        match inputs.recv_timeout(Duration::from_secs(20)) {
            Ok(Input::Network(message)) if message.id == id => message.event,
            other => panic!("{other:?}"),
        }
    }

    fn loopback(port: u16) -> Endpoint {
        Endpoint { ip: GATEWAY, port }
    }

    #[test]
    fn a_connection_both_ways_within_its_credit() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let (mut network, inputs) = network();
        ask(&mut network, 1, Request::Connect(loopback(listener.local_addr().unwrap().port())));
        let (mut peer, _) = listener.accept().unwrap();
        assert_eq!(event(&inputs, 1), Event::Opened);
        ask(&mut network, 1, Request::Send(b"hello".to_vec()));
        ask(&mut network, 1, Request::End);
        assert_eq!(event(&inputs, 1), Event::Taken(5));
        let mut said = String::new();
        peer.read_to_string(&mut said).unwrap();
        assert_eq!(said, "hello");

        let total = 2 * WINDOW as usize;
        let writer = thread::spawn(move || peer.write_all(&vec![7; total]));
        let mut got = 0;
        while got < total {
            let Event::Data(bytes) = event(&inputs, 1) else { panic!("ended early") };
            got += bytes.len();
            assert!(got <= total);
            if got == WINDOW as usize {
                assert!(inputs.recv_timeout(Duration::from_millis(100)).is_err(), "no credit, no more");
                ask(&mut network, 1, Request::Credit(WINDOW));
            }
        }
        writer.join().unwrap().unwrap();
        // Its end is only seen by who may read on.
        ask(&mut network, 1, Request::Credit(1));
        assert_eq!(event(&inputs, 1), Event::Ended);
    }

    #[test]
    fn nobody_there_is_told() {
        let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port();
        let (mut network, inputs) = network();
        ask(&mut network, 3, Request::Connect(loopback(port)));
        assert_eq!(event(&inputs, 3), Event::Broken);
    }

    #[test]
    fn datagrams_and_names() {
        let peer = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = peer.local_addr().unwrap().port();
        let (mut network, inputs) = network();
        ask(&mut network, 5, Request::Datagram(loopback(port), b"ping".to_vec()));
        let mut buffer = [0; 16];
        let (n, from) = peer.recv_from(&mut buffer).unwrap();
        assert_eq!(&buffer[..n], b"ping");
        peer.send_to(b"pong", from).unwrap();
        assert_eq!(event(&inputs, 5), Event::Datagram(loopback(port), b"pong".to_vec()));
        ask(&mut network, 5, Request::Forget);
        ask(&mut network, 6, Request::Resolve("localhost".into()));
        assert_eq!(event(&inputs, 6), Event::Resolved(Some(vec![[127, 0, 0, 1]])));
    }
}
