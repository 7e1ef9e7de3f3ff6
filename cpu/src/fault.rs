//! Exceptions as values (SDM vol. 3, 6.3-6.5, 6.15).
//!
//! An instruction that cannot complete returns `Err(Fault)` and must leave registers and flags as they were, so that
//! it can be restarted. The run loop delivers the fault through the IDT.

use std::fmt;
use std::num::NonZeroU32;

/// Exception vectors of the architecture.
pub mod vector {
    /// #DE divide error.
    pub const DE: u8 = 0;
    /// #DB debug.
    pub const DB: u8 = 1;
    /// Non-maskable interrupt.
    pub const NMI: u8 = 2;
    /// #BP breakpoint.
    pub const BP: u8 = 3;
    /// #OF overflow.
    pub const OF: u8 = 4;
    /// #BR bound range exceeded.
    pub const BR: u8 = 5;
    /// #UD invalid opcode.
    pub const UD: u8 = 6;
    /// #NM device not available.
    pub const NM: u8 = 7;
    /// #DF double fault.
    pub const DF: u8 = 8;
    /// #TS invalid TSS.
    pub const TS: u8 = 10;
    /// #NP segment not present.
    pub const NP: u8 = 11;
    /// #SS stack fault.
    pub const SS: u8 = 12;
    /// #GP general protection.
    pub const GP: u8 = 13;
    /// #PF page fault.
    pub const PF: u8 = 14;
    /// #MF x87 floating-point error.
    pub const MF: u8 = 16;
    /// #AC alignment check.
    pub const AC: u8 = 17;
    /// #MC machine check.
    pub const MC: u8 = 18;
    /// #XM SIMD floating-point exception.
    pub const XM: u8 = 19;
}

/// An exception of fault type: vector and error code packed in one non-zero word, so that `Result<u32, Fault>`
/// travels in two registers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Fault(NonZeroU32);

const MARK: u32 = 1 << 9;
const HAS_ERROR: u32 = 1 << 8;

impl Fault {
    /// An exception without an error code.
    pub const fn plain(vector: u8) -> Fault {
        match NonZeroU32::new(MARK | vector as u32) {
            Some(bits) => Fault(bits),
            None => unreachable!(),
        }
    }

    /// An exception with an error code.
    pub const fn with_error(vector: u8, error: u16) -> Fault {
        match NonZeroU32::new((error as u32) << 16 | MARK | HAS_ERROR | vector as u32) {
            Some(bits) => Fault(bits),
            None => unreachable!(),
        }
    }

    /// #DE.
    pub const DE: Fault = Fault::plain(vector::DE);
    /// #DB of fault type (code breakpoint, general detect).
    pub const DB: Fault = Fault::plain(vector::DB);
    /// #BR.
    pub const BR: Fault = Fault::plain(vector::BR);
    /// #UD.
    pub const UD: Fault = Fault::plain(vector::UD);
    /// #NM.
    pub const NM: Fault = Fault::plain(vector::NM);
    /// #DF, error code 0.
    pub const DF: Fault = Fault::with_error(vector::DF, 0);
    /// #MF.
    pub const MF: Fault = Fault::plain(vector::MF);
    /// #AC, error code 0.
    pub const AC: Fault = Fault::with_error(vector::AC, 0);
    /// #XM.
    pub const XM: Fault = Fault::plain(vector::XM);
    /// #GP(0).
    pub const GP0: Fault = Fault::gp(0);
    /// #SS(0).
    pub const SS0: Fault = Fault::ss(0);

    /// #GP(error).
    pub const fn gp(error: u16) -> Fault {
        Fault::with_error(vector::GP, error)
    }
    /// #SS(error).
    pub const fn ss(error: u16) -> Fault {
        Fault::with_error(vector::SS, error)
    }
    /// #NP(error).
    pub const fn np(error: u16) -> Fault {
        Fault::with_error(vector::NP, error)
    }
    /// #TS(error).
    pub const fn ts(error: u16) -> Fault {
        Fault::with_error(vector::TS, error)
    }
    /// #PF(error); the address goes to [`crate::Cpu::fault_address`].
    pub const fn pf(error: u16) -> Fault {
        Fault::with_error(vector::PF, error)
    }

    /// The exception's vector.
    pub const fn vector(self) -> u8 {
        self.0.get() as u8
    }

    /// The exception's error code, if it has one.
    pub const fn error(self) -> Option<u16> {
        if self.0.get() & HAS_ERROR != 0 { Some((self.0.get() >> 16) as u16) } else { None }
    }

    /// The same exception with bit 0 (EXT) of its error code set, if it has that bit: it happened while delivering an
    /// event that was not a software interrupt (SDM vol. 3, 6.13; for #AC, 6.15).
    pub const fn external(self) -> Fault {
        match (self.vector(), self.error()) {
            (vector::TS | vector::NP | vector::SS | vector::GP | vector::AC, Some(error)) => {
                Fault::with_error(self.vector(), error | 1)
            }
            _ => self,
        }
    }
}

impl fmt::Debug for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAMES: [&str; 20] = [
            "DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "09", "TS", "NP", "SS", "GP", "PF", "0F",
            "MF", "AC", "MC", "XM",
        ];
        let name = NAMES.get(self.vector() as usize).copied().unwrap_or("??");
        match self.error() {
            Some(error) => write!(f, "#{name}({error:#x})"),
            None => write!(f, "#{name}"),
        }
    }
}
