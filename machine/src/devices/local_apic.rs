//! The local APIC of the processor (SDM vol. 3, chapter 10): a page of registers at the address in IA32_APIC_BASE.
//!
//! The one of the P6 family: external bus agent for the I/O APIC, five local vectors, no TSC deadline and no x2APIC. Its
//! timer counts a clock of 1 GHz, which is virtual time.
//!
//! Out of reset the local vectors are as firmware leaves them, not masked as the manual has it (10.4.7.1): LINT0 passes
//! what the 8259s say and LINT1 is NMI ("virtual wire mode"), so software that knows no APIC never meets one.

use crate::events::{Event, EventQueue};
use serde::{Deserialize, Serialize};

/// IA32_APIC_BASE after reset: enabled, bootstrap processor.
pub const BASE_AFTER_RESET: u64 = 0xFEE0_0900;
const BASE_ADDRESS: u64 = 0xF_FFFF_F000;
const BASE_ENABLE: u64 = 0x800;

/// Five local vectors, version of an integrated APIC.
const VERSION: u32 = 0x0004_0011;

/// Register offsets (table 10-1).
mod at {
    pub const ID: u16 = 0x020;
    pub const VERSION: u16 = 0x030;
    pub const TPR: u16 = 0x080;
    pub const APR: u16 = 0x090;
    pub const PPR: u16 = 0x0A0;
    pub const EOI: u16 = 0x0B0;
    pub const LDR: u16 = 0x0D0;
    pub const DFR: u16 = 0x0E0;
    pub const SVR: u16 = 0x0F0;
    pub const ISR: u16 = 0x100;
    pub const TMR: u16 = 0x180;
    pub const IRR: u16 = 0x200;
    pub const ESR: u16 = 0x280;
    pub const ICR_LOW: u16 = 0x300;
    pub const ICR_HIGH: u16 = 0x310;
    pub const LVT_TIMER: u16 = 0x320;
    pub const LVT_PERFORMANCE: u16 = 0x340;
    pub const LVT_LINT0: u16 = 0x350;
    pub const LVT_LINT1: u16 = 0x360;
    pub const LVT_ERROR: u16 = 0x370;
    pub const INITIAL_COUNT: u16 = 0x380;
    pub const CURRENT_COUNT: u16 = 0x390;
    pub const DIVIDE: u16 = 0x3E0;
}

/// Spurious-interrupt vector register: APIC software enable.
const SVR_ENABLE: u32 = 0x100;

/// Local vector table, and the redirection table of an I/O APIC.
pub const MASKED: u32 = 0x1_0000;
const PERIODIC: u32 = 0x2_0000;

/// Error status register.
const ESR_SEND_ILLEGAL: u32 = 0x20;
const ESR_RECEIVE_ILLEGAL: u32 = 0x40;

/// How a message or a local interrupt is delivered (10.5.1, 10.6.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// To the vector given.
    Fixed,
    /// As an NMI.
    Nmi,
    /// As if from the 8259s, which give the vector.
    External,
    /// SMI, INIT, start-up: nothing here listens.
    Other,
}

impl Delivery {
    /// Bits 10:8 of a local vector, of the command register and of a redirection entry.
    pub fn of(register: u32) -> Delivery {
        match register >> 8 & 7 {
            0 | 1 => Delivery::Fixed,
            4 => Delivery::Nmi,
            7 => Delivery::External,
            _ => Delivery::Other,
        }
    }
}

/// 256 bits, one for each vector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Vectors([u32; 8]);

impl Vectors {
    fn set(&mut self, vector: u8, on: bool) {
        let (word, bit) = (&mut self.0[usize::from(vector >> 5)], 1 << (vector & 31));
        *word = if on { *word | bit } else { *word & !bit };
    }

    fn has(&self, vector: u8) -> bool {
        self.0[usize::from(vector >> 5)] >> (vector & 31) & 1 != 0
    }

    fn highest(&self) -> Option<u8> {
        let word = self.0.iter().rposition(|word| *word != 0)?;
        Some((word as u32 * 32 + self.0[word].ilog2()) as u8)
    }
}

/// The registers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalApic {
    base: u64,
    id: u8,
    tpr: u8,
    ldr: u8,
    dfr: u32,
    svr: u32,
    isr: Vectors,
    tmr: Vectors,
    irr: Vectors,
    /// Errors seen since the last write to ESR, and those that write showed.
    errors: u32,
    esr: u32,
    icr: [u32; 2],
    /// Timer, performance, LINT0, LINT1, error.
    lvt: [u32; 5],
    initial_count: u32,
    divide: u32,
    /// When the running count reaches zero.
    zero_at: Option<u64>,
    /// Levels of LINT0 and LINT1.
    lint: [bool; 2],
    /// An NMI has come in that the processor has not been told of.
    nmi: bool,
}

const TIMER: usize = 0;
const LINT0: usize = 2;
const ERROR: usize = 4;

impl Default for LocalApic {
    fn default() -> Self {
        LocalApic {
            base: BASE_AFTER_RESET,
            id: 0,
            tpr: 0,
            ldr: 0,
            dfr: u32::MAX,
            svr: 0xFF,
            isr: Vectors::default(),
            tmr: Vectors::default(),
            irr: Vectors::default(),
            errors: 0,
            esr: 0,
            icr: [0; 2],
            lvt: [MASKED, MASKED, 0x700, 0x400, MASKED],
            initial_count: 0,
            divide: 0,
            zero_at: None,
            lint: [false; 2],
            nmi: false,
        }
    }
}

fn class(vector: u8) -> u8 {
    vector & 0xF0
}

impl LocalApic {
    /// IA32_APIC_BASE has been written.
    pub fn set_base(&mut self, value: u64) {
        self.base = value;
    }

    fn is_present(&self) -> bool {
        self.base & BASE_ENABLE != 0
    }

    fn is_enabled(&self) -> bool {
        self.is_present() && self.svr & SVR_ENABLE != 0
    }

    /// Offset of `addr` in the page of registers, if it is in it.
    pub fn decode(&self, addr: u64) -> Option<u16> {
        (self.is_present() && addr & !0xFFF == self.base & BASE_ADDRESS).then_some((addr & 0xFFF) as u16)
    }

    /// Processor priority (10.8.3.1).
    fn ppr(&self) -> u8 {
        let in_service = class(self.isr.highest().unwrap_or(0));
        if class(self.tpr) >= in_service { self.tpr } else { in_service }
    }

    /// The vector that is to interrupt the processor next.
    fn pending(&self) -> Option<u8> {
        let vector = if self.is_enabled() { self.irr.highest()? } else { return None };
        (class(vector) > class(self.ppr())).then_some(vector)
    }

    /// Whether it interrupts the processor.
    pub fn intr(&self) -> bool {
        self.pending().is_some()
    }

    /// The processor takes the interrupt: its vector, or the spurious one.
    pub fn acknowledge(&mut self) -> u8 {
        let Some(vector) = self.pending() else { return self.svr as u8 };
        self.irr.set(vector, false);
        self.isr.set(vector, true);
        vector
    }

    /// Whether what the 8259s request reaches the processor: through LINT0, or because there is no APIC.
    pub fn passes_external(&self) -> bool {
        let lint0 = self.lvt[LINT0];
        !self.is_present() || lint0 & MASKED == 0 && Delivery::of(lint0) == Delivery::External
    }

    /// Whether an NMI has come in since the last call.
    pub fn take_nmi(&mut self) -> bool {
        std::mem::take(&mut self.nmi)
    }

    /// Drive LINT0 (the 8259s' INTR) or LINT1 (NMI). A rising edge is an interrupt, unless LINT0 is passed on as it is.
    pub fn set_lint(&mut self, n: usize, high: bool) {
        let before = std::mem::replace(&mut self.lint[n & 1], high);
        if before || !high {
            return;
        }
        if !self.is_present() {
            self.nmi |= n == 1;
        } else {
            self.local_interrupt(LINT0 + (n & 1));
        }
    }

    fn local_interrupt(&mut self, n: usize) {
        let entry = self.lvt[n];
        if entry & MASKED == 0 {
            self.accept(Delivery::of(entry), entry as u8, false);
        }
    }

    /// Whether a message to `destination` is for this processor (10.6.2).
    pub fn is_addressed(&self, destination: u8, logical: bool) -> bool {
        const FLAT: u32 = 0xF;
        if !logical {
            return destination & 0xF == 0xF || destination & 0xF == self.id;
        }
        match self.dfr >> 28 {
            FLAT => destination & self.ldr != 0,
            _ => (destination ^ self.ldr) & 0xF0 == 0 && destination & self.ldr & 0xF != 0,
        }
    }

    /// A message or local interrupt comes in. False if it is not accepted.
    pub fn accept(&mut self, delivery: Delivery, vector: u8, level: bool) -> bool {
        match delivery {
            Delivery::Nmi if self.is_present() => self.nmi = true,
            Delivery::Fixed if self.is_enabled() && vector < 16 => self.error(ESR_RECEIVE_ILLEGAL),
            Delivery::Fixed if self.is_enabled() => {
                self.irr.set(vector, true);
                self.tmr.set(vector, level);
            }
            _ => return false,
        }
        true
    }

    fn error(&mut self, bits: u32) {
        let news = self.errors & bits != bits;
        self.errors |= bits;
        let vector = self.lvt[ERROR] as u8;
        // An error vector that is itself illegal is not reported in turn.
        if news && vector >= 16 {
            self.local_interrupt(ERROR);
        }
    }

    /// End of interrupt: the vector, if an I/O APIC is to be told.
    fn end_of_interrupt(&mut self) -> Option<u8> {
        let vector = self.isr.highest()?;
        self.isr.set(vector, false);
        self.tmr.has(vector).then_some(vector)
    }

    fn lvt_index(offset: u16) -> Option<usize> {
        const PLACES: [u16; 5] =
            [at::LVT_TIMER, at::LVT_PERFORMANCE, at::LVT_LINT0, at::LVT_LINT1, at::LVT_ERROR];
        PLACES.iter().position(|place| *place == offset)
    }

    /// Read the register at `offset`, a multiple of 16.
    pub fn read(&self, now: u64, offset: u16) -> u32 {
        let of = |vectors: &Vectors, base: u16| vectors.0[usize::from((offset - base) >> 4) & 7];
        match offset {
            at::ID => u32::from(self.id) << 24,
            at::VERSION => VERSION,
            at::TPR => self.tpr.into(),
            at::APR | at::PPR => self.ppr().into(),
            at::LDR => u32::from(self.ldr) << 24,
            at::DFR => self.dfr,
            at::SVR => self.svr,
            at::ISR..=0x170 => of(&self.isr, at::ISR),
            at::TMR..=0x1F0 => of(&self.tmr, at::TMR),
            at::IRR..=0x270 => of(&self.irr, at::IRR),
            at::ESR => self.esr,
            at::ICR_LOW => self.icr[0],
            at::ICR_HIGH => self.icr[1],
            at::INITIAL_COUNT => self.initial_count,
            at::CURRENT_COUNT => self.current_count(now),
            at::DIVIDE => self.divide,
            _ => Self::lvt_index(offset).map_or(0, |n| self.lvt[n]),
        }
    }

    /// Write the register at `offset`, a multiple of 16. The vector of an EOI that an I/O APIC is to be told of.
    pub fn write(&mut self, board: &mut TimerBoard<'_>, offset: u16, value: u32) -> Option<u8> {
        match offset {
            at::ID => self.id = (value >> 24) as u8 & 0x0F,
            at::TPR => self.tpr = value as u8,
            at::EOI => return self.end_of_interrupt(),
            at::LDR => self.ldr = (value >> 24) as u8,
            at::DFR => self.dfr = value | 0x0FFF_FFFF,
            at::SVR => {
                self.svr = value & 0x3FF;
                if !self.is_enabled() {
                    self.lvt.iter_mut().for_each(|entry| *entry |= MASKED);
                }
            }
            at::ESR => self.esr = std::mem::take(&mut self.errors),
            at::ICR_LOW => {
                self.icr[0] = value & 0x000C_CFFF;
                self.send();
            }
            at::ICR_HIGH => self.icr[1] = value & 0xFF00_0000,
            at::INITIAL_COUNT => {
                self.initial_count = value;
                self.zero_at = (value != 0).then(|| board.now.saturating_add(self.period()));
            }
            at::DIVIDE => {
                let count = self.current_count(board.now);
                self.divide = value & 0x0B;
                self.zero_at =
                    (count != 0).then(|| board.now.saturating_add(u64::from(count) * self.divisor()));
            }
            _ => {
                if let Some(n) = Self::lvt_index(offset) {
                    const WRITABLE: [u32; 5] = [0x3_00FF, 0x1_07FF, 0x1_A7FF, 0x1_A7FF, 0x1_00FF];
                    let forced = if self.is_enabled() { 0 } else { MASKED };
                    self.lvt[n] = value & WRITABLE[n] | forced;
                }
            }
        }
        self.schedule(board);
        None
    }

    /// Interprocessor interrupts (10.6): this processor is the only one, so only those to itself arrive.
    fn send(&mut self) {
        let [low, high] = self.icr;
        let vector = low as u8;
        let for_us = match low >> 18 & 3 {
            0 => self.is_addressed((high >> 24) as u8, low & 0x800 != 0),
            1 | 2 => true,
            _ => false,
        };
        match Delivery::of(low) {
            Delivery::Fixed if vector < 16 => self.error(ESR_SEND_ILLEGAL),
            Delivery::External => {}
            delivery if for_us => drop(self.accept(delivery, vector, false)),
            _ => {}
        }
    }

    /// Ticks for one count (figure 10-10).
    fn divisor(&self) -> u64 {
        let code = self.divide & 3 | self.divide >> 1 & 4;
        1 << ((code + 1) & 7)
    }

    fn period(&self) -> u64 {
        u64::from(self.initial_count) * self.divisor()
    }

    fn is_periodic(&self) -> bool {
        self.lvt[TIMER] & PERIODIC != 0
    }

    /// When the count reaches zero next, at `now` or later.
    fn next_zero(&self, now: u64) -> Option<u64> {
        let at = self.zero_at?;
        let behind = now.saturating_sub(at);
        match self.period() {
            _ if behind == 0 => Some(at),
            period if self.is_periodic() && period != 0 => {
                Some(at.saturating_add(behind.div_ceil(period) * period))
            }
            _ => None,
        }
    }

    fn current_count(&self, now: u64) -> u32 {
        let left = self.next_zero(now).map_or(0, |at| at - now);
        u32::try_from(left.div_ceil(self.divisor())).unwrap_or(u32::MAX)
    }

    /// The count has reached zero.
    pub fn on_event(&mut self, board: &mut TimerBoard<'_>) {
        self.local_interrupt(TIMER);
        self.zero_at = self.next_zero(board.now.saturating_add(1));
        self.schedule(board);
    }

    /// The timer's interrupt, were it to come now.
    pub(crate) fn expire(&mut self) {
        self.local_interrupt(TIMER);
    }

    fn schedule(&self, board: &mut TimerBoard<'_>) {
        let wanted = if self.lvt[TIMER] & MASKED == 0 { self.next_zero(board.now) } else { None };
        match wanted {
            Some(at) => board.events.schedule(Event::ApicTimer, at),
            None => board.events.cancel(Event::ApicTimer),
        }
    }
}

/// What the timer needs of the board.
pub struct TimerBoard<'a> {
    /// Virtual time of the access.
    pub now: u64,
    /// Future events.
    pub events: &'a mut EventQueue,
}

#[cfg(test)]
mod tests;
