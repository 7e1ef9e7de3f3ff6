//! Whether a Guest's console driver takes what is typed. Linux's throws away what arrives between the moment it offers its first
//! buffers and the moment its terminal is set up, a few thousand instructions later; until then the Host keeps it. There is no
//! message for that moment; but a kernel that has started to wait is surely past it.

/// Nanoseconds after which a Guest that never waits is believed to be listening.
const PATIENCE: u64 = 1_000_000_000;

/// How far a console's driver is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Attention {
    /// There is none.
    #[default]
    None,
    /// It offered buffers at this time.
    Begun(u64),
    /// It takes what it is given.
    Full,
}

impl Attention {
    /// The driver offered buffers.
    pub fn begin(&mut self, now: u64) {
        if *self == Attention::None {
            *self = Attention::Begun(now);
        }
    }

    /// The Guest waits. True if that is why it listens from now on.
    pub fn guest_waits(&mut self) -> bool {
        let begun = matches!(self, Attention::Begun(_));
        if begun {
            *self = Attention::Full;
        }
        begun
    }

    /// Whether what is typed can be handed over.
    pub const fn is_full(self, now: u64) -> bool {
        match self {
            Attention::None => false,
            Attention::Begun(at) => now.saturating_sub(at) >= PATIENCE,
            Attention::Full => true,
        }
    }
}
