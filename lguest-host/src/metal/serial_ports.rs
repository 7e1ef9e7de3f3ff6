//! Consoles of the Guests after the first: ports of the machine's virtio serial device (virtio 1.0, 5.3), which Guests get in the
//! order the device tells of them. Without the device, or with fewer ports than Guests, the others have no console.
//!
//! Both ways wait for who is slower: what is typed stays in the device until the Guest takes it, and what a Guest says stays in its
//! queue until the port has room. Nobody but that Guest waits.

use super::clock;
use super::frames::Frames;
use super::once::Global;
use super::scheduler::MAX_GUESTS;
use super::virtio::{Queue, Shape, Transport};
use crate::log;
use core::sync::atomic::{AtomicU32, Ordering};
use lguest_host::console::Size;
use lguest_host::mutant::broken;

/// Virtio number of serial devices, and the identity they had before 1.0.
const NUMBER: u32 = 3;
const TRANSITIONAL: u32 = 0x1003;
/// Feature: there are queues for messages about ports.
const MULTIPORT: u64 = 1 << 1;
/// Where the configuration has the number of ports.
const MAX_PORTS: u32 = 4;

/// Queues for messages: from the device, and to it.
const FROM_DEVICE: u16 = 2;
const TO_DEVICE: u16 = 3;
/// A message is port, event and value; a size has columns and rows more.
const MESSAGE: u32 = 12;
const MESSAGES: Shape = Shape { entries: 32, buffer: 64 };
const BYTES: Shape = Shape { entries: 16, buffer: 256 };

/// Events of messages.
const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;

/// How long the device may take to tell of its ports before Guests start, in nanoseconds.
const PATIENCE: u64 = 100_000_000;

struct Port {
    receive: Queue,
    transmit: Queue,
    /// The buffer the Guest reads, how far it is in it, and how long it is.
    reading: Option<(u16, usize, usize)>,
    /// Its terminal has this size, and the Guest does not know.
    size: Option<Size>,
}

impl Port {
    /// Whether there is something to read.
    fn look(&mut self) -> bool {
        while self.reading.is_none()
            && let Some((n, len)) = self.receive.taken()
        {
            match len {
                0 => self.offer(n),
                len => self.reading = Some((n, 0, len as usize)),
            }
        }
        self.reading.is_some()
    }

    fn offer(&mut self, n: u16) {
        self.receive.offer(n, BYTES.buffer);
        self.receive.notify();
    }

    fn read(&mut self) -> Option<u8> {
        let (n, at, len) = self.reading?;
        let byte = self.receive.bytes(n).get(at).copied();
        self.reading = (at + 1 < len).then_some((n, at + 1, len));
        if self.reading.is_none() {
            self.offer(n);
        }
        byte
    }

    /// Bytes there is room for. While that is none, the device interrupts when there is some again.
    fn room(&mut self) -> u32 {
        let free = |transmit: &mut Queue| {
            while transmit.taken().is_some() {}
            (BYTES.entries - transmit.outstanding().min(BYTES.entries)) as u32
        };
        let now = free(&mut self.transmit);
        if !self.transmit.want_interrupts(now == 0) {
            return now * BYTES.buffer;
        }
        // What came back before it knew did not interrupt.
        free(&mut self.transmit) * BYTES.buffer
    }

    fn write(&mut self, bytes: &[u8]) {
        for piece in bytes.chunks(BYTES.buffer as usize) {
            if self.room() == 0 {
                return;
            }
            let n = self.transmit.next();
            if let Some(buffer) = self.transmit.bytes(n).get_mut(..piece.len()) {
                buffer.copy_from_slice(piece);
            }
            self.transmit.offer(n, piece.len() as u32);
            self.transmit.notify();
        }
    }
}

struct SerialPorts {
    device: Transport,
    from_device: Queue,
    to_device: Queue,
    /// By number, as far as Guests can need them.
    ports: [Option<Port>; MAX_GUESTS],
    /// The number of each Guest's, and how many Guests have one; the first needs none.
    of_guest: [usize; MAX_GUESTS],
    served: usize,
    guests: usize,
}

static PORTS: Global<Option<SerialPorts>> = Global::new(None);
/// Guests at whose console something was typed, as bits: asked at every exit.
static TYPED: AtomicU32 = AtomicU32::new(0);

impl SerialPorts {
    fn of(&mut self, guest: usize) -> Option<&mut Port> {
        let guest = if broken("consoles-mixed") { 1 } else { guest };
        let known = (1..self.served).contains(&guest);
        self.ports.get_mut(*self.of_guest.get(guest).filter(|_| known)?)?.as_mut()
    }

    fn say(&mut self, port: u32, event: u16) {
        while self.to_device.taken().is_some() {}
        if self.to_device.outstanding() == MESSAGES.entries {
            return;
        }
        let n = self.to_device.next();
        let message = [port, event as u32 | 1 << 16].map(u32::to_le_bytes);
        if let Some(buffer) = self.to_device.bytes(n).get_mut(..8) {
            buffer.copy_from_slice(message.as_flattened());
        }
        self.to_device.offer(n, 8);
        self.to_device.notify();
    }

    /// Take in what the device tells of its ports.
    fn hear(&mut self) {
        while let Some((n, len)) = self.from_device.taken() {
            let mut message = [0; MESSAGE as usize];
            let buffer = self.from_device.bytes(n);
            for (to, from) in message.iter_mut().zip(buffer.iter().take(len as usize)) {
                *to = *from;
            }
            self.from_device.offer(n, MESSAGES.buffer);
            self.from_device.notify();
            let [a, b, c, d, e, f, _, _, g, h, i, j] = message;
            let port = u32::from_le_bytes([a, b, c, d]);
            let size = Size { columns: u16::from_le_bytes([g, h]), rows: u16::from_le_bytes([i, j]) };
            match (u16::from_le_bytes([e, f]), self.ports.get_mut(port as usize)) {
                (DEVICE_ADD, Some(Some(_))) => self.add(port),
                (RESIZE, Some(Some(port))) => port.size = Some(size),
                _ => {}
            }
        }
    }

    /// There is this port: it is the next Guest's, unless it is somebody's already.
    fn add(&mut self, port: u32) {
        let known = self.of_guest.get(1..self.served).unwrap_or_default().contains(&(port as usize));
        if self.served < self.guests && !known {
            self.of_guest[self.served] = port as usize;
            self.served += 1;
            self.say(port, PORT_READY);
            self.say(port, PORT_OPEN);
        }
    }
}

/// Find the device, and a port for each of `guests` Guests but the first.
pub fn init(guests: usize, frames: &mut Frames) {
    if guests < 2 {
        return;
    }
    let Some(device) = Transport::find(NUMBER, TRANSITIONAL, MULTIPORT) else { return };
    let most = device.config(MAX_PORTS) as usize;
    let queues = device
        .queue(FROM_DEVICE, true, MESSAGES, frames)
        .zip(device.queue(TO_DEVICE, false, MESSAGES, frames));
    let Some((from_device, to_device)) = queues else {
        log!("no queues for consoles");
        return;
    };
    // Port 0 may be missing: some machines keep it for what they call a console.
    let ports = core::array::from_fn(|n| {
        let first = if n == 0 { 0 } else { 2 * n as u16 + 2 };
        if n >= most.min(guests) {
            return None;
        }
        let queues =
            device.queue(first, true, BYTES, frames).zip(device.queue(first + 1, false, BYTES, frames));
        queues.map(|(receive, transmit)| Port { receive, transmit, reading: None, size: None })
    });
    device.begin();
    let line = device.line;
    let mut serial =
        SerialPorts { device, from_device, to_device, ports, of_guest: [0; MAX_GUESTS], served: 1, guests };
    for n in 0..MESSAGES.entries {
        serial.from_device.offer(n, MESSAGES.buffer);
    }
    serial.from_device.notify();
    for port in serial.ports.iter_mut().flatten() {
        for n in 0..BYTES.entries {
            port.receive.offer(n, BYTES.buffer);
        }
        port.receive.notify();
    }
    serial.say(u32::MAX, DEVICE_READY);
    let until = clock::now() + PATIENCE;
    while serial.served < guests && clock::now() < until {
        serial.hear();
    }
    log!("serial ports for Guests: {}, interrupt {line}", serial.served - 1);
    PORTS.with(|ports| *ports = Some(serial));
}

/// A physical interrupt on `line`: if it was the device, it is silent from now on.
pub fn interrupt(line: u32) {
    PORTS.with(|ports| {
        if let Some(ports) = ports
            && ports.device.line as u32 == line
        {
            ports.device.interrupted();
        }
    });
}

/// Look what the device has to tell and what was typed.
pub fn poll() {
    PORTS.with(|ports| {
        let Some(ports) = ports else { return };
        ports.hear();
        for guest in 1..ports.served {
            let typed = ports.of(guest).is_some_and(Port::look);
            note(guest, typed);
        }
    });
}

/// A Guest whose terminal has another size since the last call.
pub fn resized() -> Option<(usize, Size)> {
    PORTS.with(|ports| {
        let ports = ports.as_mut()?;
        (1..ports.served).find_map(|guest| Some((guest, ports.of(guest)?.size.take()?)))
    })
}

fn note(guest: usize, typed: bool) {
    let others = TYPED.load(Ordering::Relaxed) & !(1 << guest);
    TYPED.store(others | (typed as u32) << guest, Ordering::Relaxed);
}

/// Whether something was typed at Guest `n`'s console.
pub fn typed(n: usize) -> bool {
    TYPED.load(Ordering::Relaxed) >> n & 1 != 0
}

/// Do something with Guest `n`'s port, if it has one.
fn with_port<R>(n: usize, f: impl FnOnce(&mut Port) -> R) -> Option<R> {
    PORTS.with(|ports| ports.as_mut()?.of(n).map(f))
}

/// The next byte typed at Guest `n`'s console.
pub fn read(n: usize) -> Option<u8> {
    let (byte, more) = with_port(n, |port| (port.read(), port.look()))?;
    note(n, more);
    byte
}

/// Bytes that Guest `n`'s console has room for; who has none can say what he likes.
pub fn room(n: usize) -> u32 {
    with_port(n, Port::room).unwrap_or(u32::MAX)
}

/// Say `bytes` at Guest `n`'s console. What there is no room for is lost.
pub fn write(n: usize, bytes: &[u8]) {
    with_port(n, |port| port.write(bytes));
}
