//! The machine's network card (virtio 1.0, 5.1), and the switch between it and the Guests.

use super::frames::Frames;
use super::once::Global;
use super::virtio::{Queue, Shape, Transport};
use crate::log;
use core::sync::atomic::{AtomicU32, Ordering};
use lguest_host::abi::PAGE;
use lguest_host::net::{FRAME, Mac, PCI_HEADER};
use lguest_host::switch::{Port, Switch};

/// Virtio number of network cards, and the identity they had before 1.0.
const NUMBER: u32 = 1;
const TRANSITIONAL: u32 = 0x1000;
/// Feature: the configuration has the card's address.
const HAS_MAC: u64 = 1 << 5;
const HEADER: usize = PCI_HEADER as usize;
const FRAMES: Shape = Shape { entries: 64, buffer: 2048 };

struct Network {
    card: Transport,
    receive: Queue,
    transmit: Queue,
    switch: Switch<'static>,
}

static NETWORK: Global<Option<Network>> = Global::new(None);
/// Guests that frames wait for, as bits: asked at every exit.
static WAITING: AtomicU32 = AtomicU32::new(0);

/// The address of Guest `n`'s card: the machine's for the first, the following ones for the others.
fn address(card: &Transport, n: usize) -> Mac {
    let mut mac: Mac = core::array::from_fn(|at| card.config(at as u32));
    mac[5] = mac[5].wrapping_add(n as u8);
    mac
}

/// Find the card, and make a port for each of `guests` Guests. Without a card there is no network.
pub fn init(guests: usize, frames: &mut Frames) {
    let Some(card) = Transport::find(NUMBER, TRANSITIONAL, HAS_MAC) else { return };
    let queues = card.queue(0, true, FRAMES, frames).zip(card.queue(1, false, FRAMES, frames));
    let room = (guests * size_of::<Port>()).div_ceil(PAGE as usize) as u32;
    let (Some((mut receive, transmit)), Some(ports)) = (queues, frames.take(room)) else {
        log!("no memory for the network");
        return;
    };
    let first = ports as *mut Port;
    // SAFETY: the pages were just taken, are nobody else's, and have room for so many ports. All zero, they are ports: empty and
    // closed. In place, because a port is larger than the stack.
    let ports = unsafe {
        first.write_bytes(0, guests);
        core::slice::from_raw_parts_mut(first, guests)
    };
    for (n, port) in ports.iter_mut().enumerate() {
        port.set_address(address(&card, n));
    }
    card.begin();
    for n in 0..FRAMES.entries {
        receive.offer(n, (HEADER + FRAME) as u32);
    }
    receive.notify();
    let [a, b, c, d, e, f] = address(&card, 0);
    log!("network: {a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{f:02x}, interrupt {}", card.line);
    NETWORK.with(|network| *network = Some(Network { card, receive, transmit, switch: Switch::new(ports) }));
}

/// Guest `n`'s address, if there is a network.
pub fn mac(n: usize) -> Option<Mac> {
    NETWORK.with(|network| network.as_ref().map(|network| address(&network.card, n)))
}

/// A physical interrupt on `line`: if it was the card, it is silent from now on.
pub fn interrupt(line: u32) {
    NETWORK.with(|network| {
        if let Some(network) = network
            && network.card.line as u32 == line
        {
            network.card.interrupted();
        }
    });
}

/// Hand out what the card received.
pub fn poll() {
    NETWORK.with(|network| {
        let Some(Network { receive, switch, .. }) = network else { return };
        while let Some((n, len)) = receive.taken() {
            if let Some(frame) = receive.bytes(n).get(HEADER..len as usize) {
                switch.from_outside(frame);
            }
            receive.offer(n, (HEADER + FRAME) as u32);
            receive.notify();
        }
        remember(switch);
    });
}

/// Note which Guests frames wait for.
fn remember(switch: &Switch<'_>) {
    WAITING.store(switch.waiting(), Ordering::Relaxed);
}

/// Do something with the switch, if there is one.
fn with_switch<R: Default>(f: impl FnOnce(&mut Switch<'static>) -> R) -> R {
    NETWORK.with(|network| {
        let Some(Network { switch, .. }) = network else { return R::default() };
        let result = f(switch);
        remember(switch);
        result
    })
}

/// See [`Switch::open`].
pub fn open(n: usize) {
    with_switch(|switch| switch.open(n));
}

/// See [`Switch::close`].
pub fn close(n: usize) {
    with_switch(|switch| switch.close(n));
}

/// Whether a frame waits for Guest `n`.
pub fn has_frame(n: usize) -> bool {
    WAITING.load(Ordering::Relaxed) >> n & 1 != 0
}

/// See [`Switch::take`].
pub fn take(n: usize, frame: &mut [u8; FRAME]) -> usize {
    with_switch(|switch| switch.take(n, frame))
}

/// Guest `n` sends `frame`. If it is for the outside and the card has no room, it is lost.
pub fn send(n: usize, frame: &[u8]) {
    NETWORK.with(|network| {
        let Some(Network { transmit, switch, .. }) = network else { return };
        let outside = switch.from_guest(n, frame);
        remember(switch);
        if !outside {
            return;
        }
        while transmit.taken().is_some() {}
        if transmit.outstanding() == FRAMES.entries {
            return;
        }
        let n = transmit.next();
        let bytes = transmit.bytes(n);
        let (header, rest) = bytes.split_at_mut(HEADER);
        header.fill(0);
        if let Some(room) = rest.get_mut(..frame.len()) {
            room.copy_from_slice(frame);
            transmit.offer(n, (HEADER + frame.len()) as u32);
            transmit.notify();
        }
    });
}
