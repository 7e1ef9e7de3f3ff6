//! Where a Guest's console is in the machine: Guest 1's is COM1, the others' are ports of the serial device, in their order.

use crate::console::terminal::Size;
use machine::inputs::Input;
use machine::outputs::OutputPort;

/// Guests at most: the Host has room for no more.
pub const MOST: usize = 16;

/// A Guest's console.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seat(usize);

impl Seat {
    /// Guest 1's.
    pub const FIRST: Seat = Seat(0);

    /// The first `count`.
    pub fn all(count: usize) -> impl Iterator<Item = Seat> {
        (0..count).map(Seat)
    }

    /// That of Guest `number`, if that is among `count` Guests.
    pub fn of_guest(number: usize, count: usize) -> Option<Seat> {
        number.checked_sub(1).filter(|&n| n < count).map(Seat)
    }

    /// The Guest's number, from 1.
    pub fn guest(self) -> usize {
        self.0 + 1
    }

    /// Its place among all, from 0.
    pub fn place(self) -> usize {
        self.0
    }

    /// The one after it among `count`, in a circle.
    pub fn next(self, count: usize) -> Seat {
        Seat((self.0 + 1) % count.max(1))
    }

    fn port(self) -> Option<u8> {
        self.0.checked_sub(1).and_then(|n| u8::try_from(n).ok())
    }

    /// Where what the Guest says leaves the machine.
    pub fn output(self) -> OutputPort {
        self.port().map_or(OutputPort::Com1, OutputPort::Serial)
    }

    /// What is typed there, for the machine.
    pub fn typed(self, bytes: Vec<u8>) -> Input {
        match self.port() {
            None => Input::Com1(bytes),
            Some(port) => Input::Serial(port, bytes),
        }
    }

    /// The size of the terminal there, for the machine.
    pub fn sized(self, size: Size) -> Input {
        match self.port() {
            None => Input::Com2(size.line()),
            Some(port) => Input::Resize(port, size.at_port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guests_are_counted_from_one() {
        assert_eq!(Seat::of_guest(0, 3), None);
        assert_eq!(Seat::of_guest(4, 3), None);
        assert_eq!(Seat::of_guest(1, 3), Some(Seat::FIRST));
        let third = Seat::of_guest(3, 3).unwrap();
        assert_eq!((third.output(), third.guest()), (OutputPort::Serial(1), 3));
        assert_eq!(third.next(3), Seat::FIRST);
        assert_eq!(Seat::FIRST.output(), OutputPort::Com1);
    }
}
