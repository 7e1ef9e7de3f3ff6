//! How a run ends: the exit status of `ringside` and one line of reason.
//!
//! Odd statuses are written by the machine through its debug-exit port, as QEMU's isa-debug-exit does; even ones are
//! ours.

use machine::MachineExit;

/// An exit status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Status(u8);

impl Status {
    /// The machine was powered off, or all was well.
    pub const CLEAN: Status = Status(0);
    /// Test vectors failed.
    pub const FAILED: Status = Status(1);
    /// Bad usage or an invalid file.
    pub const BAD_USAGE: Status = Status(2);
    /// Triple fault.
    pub const TRIPLE_FAULT: Status = Status(4);
    /// Nothing can ever happen again.
    pub const STUCK: Status = Status(8);
    /// A limit was reached, or the user ended the run.
    pub const LIMIT: Status = Status(10);
    /// A bug of ours.
    pub const OUR_BUG: Status = Status(70);

    /// The number for the operating system.
    pub fn code(self) -> u8 {
        self.0
    }
}

/// What the owner of the machine ended the run for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Stop {
    /// `--max-insns`.
    Instructions(u64),
    /// `--timeout`.
    Timeout(f64),
    /// Ctrl-A x.
    Quit,
    /// `quit` in the script.
    Script,
    /// Ctrl-C or a request to terminate.
    Interrupted,
}

/// The end of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Ending {
    /// The machine ended it.
    Machine(MachineExit),
    /// We ended it.
    Stopped(Stop),
    /// `--engine check` found a difference.
    Diverged,
}

impl Ending {
    /// The exit status.
    pub fn status(&self) -> Status {
        match self {
            Ending::Machine(MachineExit::PowerOff) => Status::CLEAN,
            Ending::Machine(MachineExit::TripleFault) => Status::TRIPLE_FAULT,
            Ending::Machine(MachineExit::Dead | MachineExit::Faulting | MachineExit::Idle { .. }) => {
                Status::STUCK
            }
            Ending::Diverged => Status::OUR_BUG,
            // The operating system keeps eight bits of it.
            Ending::Machine(MachineExit::DebugExit(value)) => Status((value << 1 | 1) as u8),
            Ending::Machine(MachineExit::Reset | MachineExit::Limit | MachineExit::Output)
            | Ending::Stopped(_) => Status::LIMIT,
        }
    }

    /// One line for the user.
    pub fn reason(&self) -> String {
        match self {
            Ending::Machine(exit) => match exit {
                MachineExit::PowerOff => "the machine powered off".into(),
                MachineExit::TripleFault => "triple fault: the processor shut down".into(),
                MachineExit::Dead => "halted with interrupts off: nothing can ever happen again".into(),
                MachineExit::Faulting => {
                    "every handler faults at once, for ever: nothing can ever happen again".into()
                }
                MachineExit::Idle { .. } => {
                    "idle without any event or input to come: nothing can ever happen again".into()
                }
                MachineExit::DebugExit(value) => {
                    format!("the machine wrote {value:#x} to port 0xF4{}", meaning(*value))
                }
                MachineExit::Reset => "the machine asked for a reset (--no-reboot)".into(),
                MachineExit::Limit | MachineExit::Output => "a limit was reached".into(),
            },
            Ending::Diverged => "the engines differ: a bug in ringside, please report it".into(),
            Ending::Stopped(stop) => match stop {
                Stop::Instructions(n) => format!("limit reached: {n} instructions (--max-insns)"),
                Stop::Timeout(seconds) => format!("limit reached: {seconds} seconds (--timeout)"),
                Stop::Quit => "ended by Ctrl-A x".into(),
                Stop::Script => "ended by the script".into(),
                Stop::Interrupted => "interrupted".into(),
            },
        }
    }

    /// Whether the Host's last words help to understand it.
    pub fn is_bad(&self) -> bool {
        self.status() != Status::CLEAN
            && !matches!(self, Ending::Stopped(Stop::Quit | Stop::Script | Stop::Interrupted))
    }
}

/// What the lguest Host means by a value.
fn meaning(value: u32) -> &'static str {
    match value {
        1 => " (lguest Host: its last Guest was killed or crashed)",
        4 => " (lguest Host: it panicked)",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_those_of_the_contract() {
        let of = |exit| Ending::Machine(exit).status().code();
        assert_eq!(of(MachineExit::PowerOff), 0);
        assert_eq!(of(MachineExit::TripleFault), 4);
        assert_eq!(of(MachineExit::Dead), 8);
        assert_eq!(of(MachineExit::Idle { wake_at: None }), 8);
        assert_eq!(of(MachineExit::DebugExit(1)), 3);
        assert_eq!(of(MachineExit::DebugExit(4)), 9);
        assert_eq!(of(MachineExit::DebugExit(u32::MAX)), 255);
        assert_eq!(Ending::Stopped(Stop::Instructions(5)).status().code(), 10);
    }
}
