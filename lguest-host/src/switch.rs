//! The network between Guests, and to the machine's network card: a switch with a port for each Guest.
//!
//! A frame goes where its destination says: to the Guest with that address, to all others if it is for many, to the outside
//! otherwise. A Guest speaks only under its own address. A port that is full loses what comes next, as any switch does; no Guest
//! can take the room of another.

use crate::mutant::broken;
use crate::net::{FRAME, Mac, SHORTEST};

/// Frames a port keeps.
const DEPTH: usize = 64;

/// A Guest's port.
pub struct Port {
    mac: Mac,
    /// The Guest has a driver.
    open: bool,
    frames: [Frame; DEPTH],
    first: usize,
    count: usize,
}

#[derive(Clone, Copy)]
struct Frame {
    len: usize,
    bytes: [u8; FRAME],
}

impl Port {
    /// The port of the Guest with this address; nothing arrives at it yet.
    pub const fn new(mac: Mac) -> Port {
        Port { mac, open: false, frames: [Frame { len: 0, bytes: [0; FRAME] }; DEPTH], first: 0, count: 0 }
    }

    /// Another Guest is at this port.
    pub const fn set_address(&mut self, mac: Mac) {
        self.mac = mac;
    }

    fn put(&mut self, frame: &[u8]) {
        let room = self.count < DEPTH;
        if !self.open || !room {
            return;
        }
        let slot = &mut self.frames[(self.first + self.count) % DEPTH];
        if let Some(bytes) = slot.bytes.get_mut(..frame.len()) {
            bytes.copy_from_slice(frame);
            slot.len = frame.len();
            self.count += 1;
        }
    }

    /// The next frame and its length.
    fn take(&mut self, to: &mut [u8; FRAME]) -> usize {
        if self.count == 0 {
            return 0;
        }
        let frame = &self.frames[self.first];
        *to = frame.bytes;
        self.first = (self.first + 1) % DEPTH;
        self.count -= 1;
        frame.len
    }
}

/// The switch: a port for each Guest, by its number.
pub struct Switch<'a> {
    ports: &'a mut [Port],
}

impl<'a> Switch<'a> {
    /// A switch with these ports.
    pub const fn new(ports: &'a mut [Port]) -> Switch<'a> {
        Switch { ports }
    }

    /// Guest `n` has a driver for its card.
    pub fn open(&mut self, n: usize) {
        if let Some(port) = self.ports.get_mut(n) {
            port.open = true;
        }
    }

    /// Guest `n` is gone, and what was meant for it.
    pub fn close(&mut self, n: usize) {
        if let Some(port) = self.ports.get_mut(n) {
            (port.open, port.count) = (false, 0);
        }
    }

    /// Guests that frames wait for, as bits; of the first 32.
    pub fn waiting(&self) -> u32 {
        (0..u32::BITS).zip(&*self.ports).fold(0, |bits, (n, port)| bits | u32::from(port.count != 0) << n)
    }

    /// The next frame for Guest `n`: its length, 0 if there is none.
    pub fn take(&mut self, n: usize, frame: &mut [u8; FRAME]) -> usize {
        self.ports.get_mut(n).map_or(0, |port| port.take(frame))
    }

    /// Guest `n` sends `frame`. True if it is for the outside too.
    pub fn from_guest(&mut self, n: usize, frame: &[u8]) -> bool {
        let own = self.ports.get(n).is_some_and(|port| source(frame) == Some(port.mac));
        if !own && !broken("frames-from-others") {
            return false;
        }
        !self.deliver(Some(n), frame)
    }

    /// `frame` came from the outside.
    pub fn from_outside(&mut self, frame: &[u8]) {
        self.deliver(None, frame);
    }

    /// Give `frame` to the ports it is for, but not to the one it came from. True if it was for one Guest only, and that was found.
    fn deliver(&mut self, from: Option<usize>, frame: &[u8]) -> bool {
        let Some((to, _)) = frame.split_first_chunk::<6>() else { return true };
        // The lowest bit of the first byte: for many.
        let for_many = to[0] & 1 != 0 || broken("frames-for-everybody");
        let mut found = false;
        for (n, port) in self.ports.iter_mut().enumerate() {
            let here = port.mac == *to;
            found |= here && !for_many;
            if (here || for_many) && Some(n) != from {
                port.put(frame);
            }
        }
        found
    }
}

/// Who a frame says it is from.
fn source(frame: &[u8]) -> Option<Mac> {
    frame.get(6..SHORTEST).and_then(|rest| rest.first_chunk()).copied()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    const MACS: [Mac; 3] = [[2, 0, 0, 0, 0, 1], [2, 0, 0, 0, 0, 2], [2, 0, 0, 0, 0, 3]];
    const OUTSIDE: Mac = [2, 0, 0, 0, 9, 9];
    const ALL: Mac = [0xFF; 6];

    fn frame(to: Mac, from: Mac) -> Vec<u8> {
        [&to[..], &from, &[8, 0, b'x']].concat()
    }

    /// Which of the three have frames, once `send` is done.
    fn reached(send: impl FnOnce(&mut Switch<'_>)) -> [bool; 3] {
        let mut ports = MACS.map(Port::new);
        let mut switch = Switch::new(&mut ports);
        (0..3).for_each(|n| switch.open(n));
        send(&mut switch);
        core::array::from_fn(|n| switch.waiting() >> n & 1 != 0)
    }

    #[test]
    fn frames_go_where_they_should() {
        for (to, outside, who) in [
            (MACS[1], false, [false, true, false]),
            (MACS[0], false, [false; 3]),
            (ALL, true, [false, true, true]),
            ([3, 0, 0, 0, 0, 1], true, [false, true, true]),
            (OUTSIDE, true, [false; 3]),
        ] {
            let sent = |switch: &mut Switch<'_>| {
                assert_eq!(switch.from_guest(0, &frame(to, MACS[0])), outside, "{to:x?}")
            };
            assert_eq!(reached(sent), who, "{to:x?}");
        }
        assert_eq!(reached(|s| s.from_outside(&frame(MACS[2], OUTSIDE))), [false, false, true]);
        assert_eq!(reached(|s| s.from_outside(&frame(ALL, OUTSIDE))), [true; 3]);
        assert_eq!(reached(|s| s.from_outside(&frame(OUTSIDE, OUTSIDE))), [false; 3]);
    }

    #[test]
    fn nobody_speaks_for_another() {
        for from in [MACS[1], OUTSIDE, ALL] {
            let sent =
                |switch: &mut Switch<'_>| assert!(!switch.from_guest(0, &frame(ALL, from)), "{from:x?}");
            assert_eq!(reached(sent), [false; 3], "{from:x?}");
        }
        assert_eq!(reached(|s| assert!(!s.from_guest(0, &[0xFF; 5]))), [false; 3]);
        assert_eq!(reached(|s| assert!(!s.from_guest(7, &frame(ALL, MACS[0])))), [false; 3]);
    }

    #[test]
    fn a_port_keeps_the_first_and_in_order_and_forgets_when_its_guest_goes() {
        let mut ports = MACS.map(Port::new);
        let mut switch = Switch::new(&mut ports);
        let mut taken = [0; FRAME];
        let send = |switch: &mut Switch<'_>, n: usize| {
            let mut bytes = frame(MACS[1], MACS[0]);
            bytes.push(n as u8);
            switch.from_guest(0, &bytes);
        };
        send(&mut switch, 0);
        assert_eq!(switch.waiting(), 0, "not open");
        switch.open(1);
        (0..DEPTH + 9).for_each(|n| send(&mut switch, n));
        for n in 0..DEPTH {
            assert_eq!((switch.take(1, &mut taken), taken[15]), (16, n as u8));
        }
        assert_eq!(switch.take(1, &mut taken), 0);
        send(&mut switch, 1);
        switch.close(1);
        assert_eq!(switch.waiting(), 0);
    }
}
