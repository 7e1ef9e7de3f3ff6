//! The user's side of the console: standard input, the terminal, and requests to stop.
//!
//! A thread reads standard input and sends it to the machine; whatever it does is also told on a channel, on which the
//! main thread waits when the machine has nothing to do.

mod escape;
pub mod terminal;

use crate::ending::{Status, Stop};
use crate::error::Error;
use crate::seat::Seat;
use crossbeam_channel::{Receiver, Sender, unbounded};
use escape::{Action, Escape, Keys};
use machine::inputs::Input;
use std::io::{self, IsTerminal, Read};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use terminal::{RawMode, Size};

/// Something from the user.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Wake {
    /// Bytes are on their way to the machine.
    Input,
    /// There will be no more.
    EndOfInput,
    /// Another Guest's console is wanted.
    Select(Seat),
    /// The run is to end.
    Stop(Stop),
}

const HELP: &str =
    "\r\n  Ctrl-A x       quit\r\n  Ctrl-A h       this help\r\n  Ctrl-A Ctrl-A  send Ctrl-A\r\n";
const HELP_WITH_GUESTS: &str =
    "  Ctrl-A 1       the console of Guest 1, and so on to 9\r\n  Ctrl-A n       that of the next Guest\r\n";

/// Wakes whoever waits for the user, for other news.
#[derive(Clone)]
pub struct Bell(Sender<Wake>);

impl Bell {
    /// There is input.
    pub fn ring(&self) {
        // Nobody listens when the run is over.
        let _ = self.0.send(Wake::Input);
    }

    /// A bell that nobody hears.
    #[cfg(test)]
    pub fn silent() -> Bell {
        Bell(unbounded().0)
    }
}

/// The console.
pub struct Console {
    wakes: Receiver<Wake>,
    bell: Bell,
    may_speak: bool,
    selected: Option<Seat>,
    stop: Option<Stop>,
    raw: Option<RawMode>,
}

impl Console {
    /// Listen to signals and, if `live`, to standard input, which goes to `machine`, to the first of so many `guests`. If there is a
    /// Host (`tell_size`), they are told the terminal's size.
    pub fn open(
        machine: Sender<Input>,
        live: bool,
        tell_size: bool,
        guests: usize,
    ) -> Result<Console, Error> {
        let (tell, wakes) = unbounded();
        listen_to_signals(tell.clone())?;
        let bell = Bell(tell.clone());
        let raw = if live && io::stdin().is_terminal() { Some(RawMode::enter()?) } else { None };
        if raw.is_some() && tell_size {
            let (machine, tell) = (machine.clone(), tell.clone());
            std::thread::spawn(move || watch_size(&machine, &tell, guests));
        }
        if live {
            let escape = raw.is_some().then(Escape::default);
            std::thread::spawn(move || read_standard_input(&machine, &tell, escape, guests));
        }
        Ok(Console { wakes, bell, may_speak: live, selected: None, stop: None, raw })
    }

    /// A bell that ends [`Self::wait`].
    pub fn bell(&self) -> Bell {
        self.bell.clone()
    }

    /// Whether somebody sits at a terminal, which is raw then.
    pub fn is_interactive(&self) -> bool {
        self.raw.is_some()
    }

    /// Whether input may still come.
    pub fn may_speak(&self) -> bool {
        self.may_speak
    }

    /// Whether the run is to end. Call before the machine runs: what was said before this is on its way.
    pub fn take_stop(&mut self) -> Option<Stop> {
        while let Ok(wake) = self.wakes.try_recv() {
            self.note(wake);
        }
        self.stop
    }

    /// The console the user wants to see from now on, if it is another one.
    pub fn take_selected(&mut self) -> Option<Seat> {
        self.selected.take()
    }

    /// Wait until the user does something, at most for `patience`.
    pub fn wait(&mut self, patience: Option<Duration>) {
        let wake = match patience {
            Some(patience) => self.wakes.recv_timeout(patience).ok(),
            None => self.wakes.recv().ok(),
        };
        if let Some(wake) = wake {
            self.note(wake);
        }
    }

    fn note(&mut self, wake: Wake) {
        match wake {
            Wake::Input => {}
            Wake::EndOfInput => self.may_speak = false,
            Wake::Select(seat) => self.selected = Some(seat),
            Wake::Stop(stop) => self.stop = Some(stop),
        }
    }
}

/// The first signal ends the run in good order, the second at once.
fn listen_to_signals(tell: Sender<Wake>) -> Result<(), Error> {
    static ASKED: AtomicBool = AtomicBool::new(false);
    ctrlc::set_handler(move || {
        if ASKED.swap(true, Ordering::Relaxed) || tell.send(Wake::Stop(Stop::Interrupted)).is_err() {
            terminal::restore();
            std::process::exit(Status::LIMIT.code().into());
        }
    })
    .map_err(|error| Error::Terminal(io::Error::other(error)))
}

/// How often the terminal is asked for its size: not every system tells of a change.
const SIZE_PERIOD: Duration = Duration::from_millis(200);

/// Until nobody listens any more.
fn watch_size(machine: &Sender<Input>, tell: &Sender<Wake>, guests: usize) {
    let mut told = None;
    loop {
        let size = Size::of_terminal();
        if let Some(size) = size.filter(|_| size != told) {
            let heard = Seat::all(guests).all(|seat| machine.send(seat.sized(size)).is_ok());
            if !heard || tell.send(Wake::Input).is_err() {
                return;
            }
            told = Some(size);
        }
        std::thread::sleep(SIZE_PERIOD);
    }
}

/// Until the end of input, or until nobody listens any more.
fn read_standard_input(
    machine: &Sender<Input>,
    tell: &Sender<Wake>,
    mut escape: Option<Escape>,
    guests: usize,
) {
    let mut buffer = [0; 4096];
    let mut stdin = io::stdin().lock();
    let mut seat = Seat::FIRST;
    loop {
        let bytes = match stdin.read(&mut buffer) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Ok(0) | Err(_) => break,
            Ok(n) => &buffer[..n],
        };
        let keys = match &mut escape {
            Some(escape) => escape.filter(bytes),
            None => vec![Keys::Typed(bytes.to_vec())],
        };
        for keys in keys {
            let wake = match keys {
                Keys::Typed(bytes) => {
                    if machine.send(seat.typed(bytes)).is_err() {
                        return;
                    }
                    Wake::Input
                }
                Keys::Asked(Action::Quit) => Wake::Stop(Stop::Quit),
                Keys::Asked(Action::Help) => {
                    eprint!("{HELP}{}", if guests > 1 { HELP_WITH_GUESTS } else { "" });
                    continue;
                }
                Keys::Asked(Action::Next) => {
                    seat = seat.next(guests);
                    Wake::Select(seat)
                }
                Keys::Asked(Action::Select(number)) => match Seat::of_guest(number, guests) {
                    Some(wanted) => {
                        seat = wanted;
                        Wake::Select(seat)
                    }
                    None => {
                        eprint!("\r\nringside: there is no Guest {number}, only {guests}\r\n");
                        continue;
                    }
                },
            };
            if tell.send(wake).is_err() {
                return;
            }
        }
    }
    // Nobody listens: the run is over.
    let _ = tell.send(Wake::EndOfInput);
}
