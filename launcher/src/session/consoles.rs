//! The consoles of all Guests: one of them on the terminal, or each in a file of its own.

use super::roll::Roll;
use super::scrollback::Scrollback;
use super::sink::Sink;
use crate::error::Error;
use crate::seat::Seat;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Where consoles go.
enum Ways {
    /// The one that is selected.
    One(Sink),
    /// All of them.
    Each(Vec<Sink>),
}

/// See the module.
pub struct Consoles {
    ways: Ways,
    selected: Seat,
    scrollbacks: Vec<Scrollback>,
    roll: Roll,
    /// Somebody sits at a terminal and is told what happens.
    is_interactive: bool,
}

/// The files that `--console path` names for `count` Guests: FILE, FILE.2, and so on; a device or pipe is for the first alone.
pub fn files(path: &Path, count: usize) -> Vec<PathBuf> {
    let is_special = path == Path::new("-") || path.exists() && !path.is_file();
    let others = Seat::all(count).skip(1).filter(|_| !is_special).map(|seat| {
        let mut name = OsString::from(path);
        name.push(format!(".{}", seat.guest()));
        PathBuf::from(name)
    });
    std::iter::once(path.to_path_buf()).chain(others).collect()
}

impl Consoles {
    /// For `count` Guests; `path` is what `--console` says.
    pub fn open(path: Option<&Path>, count: usize) -> Result<Consoles, Error> {
        let files = path.map(|path| files(path, count)).unwrap_or_default();
        let ways = match files.as_slice() {
            [] => Ways::One(Sink::standard_output()),
            [file] => Ways::One(Sink::open(file)?),
            files => Ways::Each(files.iter().map(|file| Sink::open(file)).collect::<Result<_, _>>()?),
        };
        Ok(Consoles {
            ways,
            selected: Seat::FIRST,
            scrollbacks: Seat::all(count).map(|_| Scrollback::default()).collect(),
            roll: Roll::new(count),
            is_interactive: false,
        })
    }

    /// Somebody sits at the terminal, or no longer.
    pub fn set_interactive(&mut self, on: bool) {
        self.is_interactive = on;
    }

    /// All that go anywhere.
    pub fn sinks(&mut self) -> &mut [Sink] {
        match &mut self.ways {
            Ways::One(sink) => std::slice::from_mut(sink),
            Ways::Each(sinks) => sinks,
        }
    }

    /// What each Guest has said.
    pub fn write(&mut self, said: &[Vec<u8>]) -> Result<(), Error> {
        let selected = self.selected.place();
        match &mut self.ways {
            Ways::Each(sinks) => sinks.iter_mut().zip(said).try_for_each(|(sink, bytes)| sink.write(bytes)),
            Ways::One(sink) => {
                for (n, (scrollback, bytes)) in self.scrollbacks.iter_mut().zip(said).enumerate() {
                    scrollback.push(bytes, n == selected);
                }
                said.get(selected).map_or(Ok(()), |bytes| sink.write(bytes))
            }
        }
    }

    /// The user wants to see the console at `seat`.
    pub fn select(&mut self, seat: Seat) -> Result<(), Error> {
        self.selected = seat;
        self.end_line();
        let state = self.roll.end(seat).map_or(String::new(), |how| format!(", which {how}"));
        self.tell(&format!("the console of Guest {}{state}", seat.guest()));
        let Ways::One(sink) = &mut self.ways else { return Ok(()) };
        let Some(scrollback) = self.scrollbacks.get_mut(seat.place()) else { return Ok(()) };
        let (bytes, lost) = scrollback.show();
        if lost {
            sink.write(b"[...]\n")?;
        }
        sink.write(&bytes)
    }

    /// The Host said this in its log. Whoever sits before a Guest that has ended is told how to go on.
    pub fn hear_log(&mut self, bytes: &[u8]) {
        let ended = self.roll.hear(bytes);
        let Some(&seat) = ended.iter().find(|&&seat| seat == self.selected) else { return };
        if let (Some(how), Some(alive)) = (self.roll.end(seat), self.roll.first_alive()) {
            let (guest, other) = (seat.guest(), alive.guest());
            // With the tenth Guest, keys with a number end.
            let key = if other < 10 { other.to_string() } else { "n".into() };
            self.end_line();
            self.tell(&format!(
                "Guest {guest} {how}; Ctrl-A {key} selects Guest {other}, which runs, Ctrl-A x quits"
            ));
        }
    }

    fn tell(&self, text: &str) {
        if self.is_interactive {
            eprint!("ringside: {text}\r\n");
        }
    }

    /// On a terminal, let what we say start on a line of its own.
    pub fn end_line(&mut self) {
        let is_interactive = self.is_interactive;
        if let Ways::One(sink) = &mut self.ways
            && sink.begin_line()
        {
            eprint!("{}", if is_interactive { "\r\n" } else { "\n" });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As if that were a terminal.
    fn on_one_screen(path: &Path, count: usize) -> Consoles {
        let ways = Ways::One(Sink::open(path).unwrap());
        Consoles { ways, ..Consoles::open(None, count).unwrap() }
    }

    #[test]
    fn the_screen_shows_who_is_selected_and_what_was_missed() {
        let path = std::env::temp_dir().join(format!("ringside-consoles-{}", std::process::id()));
        let mut consoles = on_one_screen(&path, 3);
        let [_, second, third] = [1, 2, 3].map(|n| Seat::of_guest(n, 3).unwrap());
        let say = |consoles: &mut Consoles, said: [&str; 3]| {
            consoles.write(&said.map(|text| text.as_bytes().to_vec())).unwrap();
        };
        say(&mut consoles, ["a\na# ", "b\nb# ", "c\n"]);
        say(&mut consoles, ["ls\n", "", "c# "]);
        consoles.select(second).unwrap();
        say(&mut consoles, ["secret", "pwd\n", ""]);
        consoles.select(third).unwrap();
        consoles.select(Seat::FIRST).unwrap();
        let shown = std::fs::read_to_string(&path).unwrap();
        // Left behind, it would only take room.
        let _ = std::fs::remove_file(&path);
        assert_eq!(shown, ["a\na# ls\n", "b\nb# pwd\n", "c\nc# ", "secret"].concat());
    }

    #[test]
    fn a_file_for_each_guest() {
        let names = |path: &str, count| files(Path::new(path), count);
        assert_eq!(names("no/where", 1), ["no/where"].map(PathBuf::from));
        assert_eq!(names("no/where", 3), ["no/where", "no/where.2", "no/where.3"].map(PathBuf::from));
        assert_eq!(names("-", 3), [PathBuf::from("-")]);
        let folder = std::env::temp_dir();
        assert_eq!(files(&folder, 3), [folder]);
    }
}
