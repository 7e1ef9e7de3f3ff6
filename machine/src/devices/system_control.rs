//! The loose gates of the AT board: port 0x61, port 0x92, the reset control register 0xCF9, the NMI mask, x87 errors.
//!
//! PIIX3 data sheet: "NMI status and control", "Port 92", "Reset control", "NMI enable and RTC address", "Coprocessor
//! error".

use super::Board;
use super::i8254::I8254;
use cpu::bus::StopRequest;
use serde::{Deserialize, Serialize};

/// What FERR# becomes.
const FLOAT_ERROR_IRQ: u8 = 13;

/// Port 0x61 bit 4 toggles with each refresh of the memory, every 15.085 microseconds.
const REFRESH_TICKS: u64 = 15_085;

/// State of the loose gates.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SystemControl {
    /// Writable bits of port 0x61: timer 2 gate, speaker, parity and channel check masks.
    port61: u8,
    /// A20 as this port sees it is shared with the keyboard controller; only bit 0 matters here.
    port92: u8,
    reset_control: u8,
    nmi_masked: bool,
    /// An NMI edge that came while masked.
    nmi_held: bool,
}

impl SystemControl {
    /// Port 0x61.
    pub fn read_port61(&self, board: &Board<'_>, pit: &mut I8254) -> u8 {
        let refresh = ((board.now / REFRESH_TICKS) & 1) as u8;
        self.port61 | refresh << 4 | u8::from(pit.output(board.now, 2)) << 5
    }

    /// Until when port 0x61, read at `vtime`, reads the same.
    pub fn port61_steady(&self, vtime: u64, pit: &I8254) -> u64 {
        let refresh = (vtime / REFRESH_TICKS + 1).saturating_mul(REFRESH_TICKS);
        refresh.min(pit.steady(vtime, 2))
    }

    /// Port 0x61.
    pub fn write_port61(&mut self, board: &Board<'_>, pit: &mut I8254, value: u8) {
        self.port61 = value & 0x0F;
        pit.set_gate2(board.now, value & 1 != 0);
    }

    /// Port 0x92.
    pub fn read_port92(&self, board: &Board<'_>) -> u8 {
        self.port92 | u8::from(board.lines.a20) << 1
    }

    /// Port 0x92: A20 and the fast reset, which acts on a rising bit 0.
    pub fn write_port92(&mut self, board: &mut Board<'_>, value: u8) {
        board.lines.a20 = value & 2 != 0;
        if value & 1 & !self.port92 != 0 {
            board.lines.request_stop(StopRequest::Reset);
        }
        self.port92 = value & 1;
    }

    /// Port 0xCF9.
    pub fn read_reset_control(&self) -> u8 {
        self.reset_control
    }

    /// Port 0xCF9: a rising bit 2 resets.
    pub fn write_reset_control(&mut self, board: &mut Board<'_>, value: u8) {
        if value & 4 & !self.reset_control != 0 {
            board.lines.request_stop(StopRequest::Reset);
        }
        self.reset_control = value & 0x06;
    }

    /// FERR# was asserted.
    pub fn raise_float_error(&mut self, board: &mut Board<'_>) {
        board.interrupts.set_irq(FLOAT_ERROR_IRQ, true);
    }

    /// Port 0xF0, any value: takes the interrupt request back and, while FERR# is asserted, asserts IGNNE#.
    pub fn acknowledge_float_error(&mut self, board: &mut Board<'_>) {
        board.interrupts.set_irq(FLOAT_ERROR_IRQ, false);
        board.lines.ignore_float_error = board.lines.float_error;
    }

    /// Port 0x70 bit 7: an edge that came while masked is let through when the mask opens.
    pub fn mask_nmi(&mut self, board: &mut Board<'_>, masked: bool) {
        self.nmi_masked = masked;
        if !masked && std::mem::take(&mut self.nmi_held) {
            board.interrupts.raise_nmi();
        }
    }

    /// A rising edge from whatever is wired to NMI.
    pub fn raise_nmi(&mut self, board: &mut Board<'_>) {
        if self.nmi_masked {
            self.nmi_held = true;
        } else {
            board.interrupts.raise_nmi();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::bench::Bench;

    #[test]
    fn refresh_toggles_and_timer_2_shows() {
        let (mut bench, mut pit, mut gates) = (Bench::default(), I8254::new(), SystemControl::default());
        gates.write_port61(&bench.board(), &mut pit, 0xFF);
        let first = gates.read_port61(&bench.board(), &mut pit);
        bench.now += REFRESH_TICKS;
        let second = gates.read_port61(&bench.board(), &mut pit);
        assert_eq!(first ^ second, 0x10);
        assert_eq!(first & 0x0F, 0x0F);
    }

    /// What is said to stay as it is does, counters included, in every mode, also while a new count waits for its turn.
    #[test]
    fn what_is_steady_stays() {
        for mode in 0..6 {
            let (mut bench, mut pit, mut gates) = (Bench::default(), I8254::new(), SystemControl::default());
            let mut board = bench.board();
            gates.write_port61(&board, &mut pit, 1);
            for (register, value) in [(3, 0xB0 | mode << 1), (2, 40), (2, 0), (3, 0x74), (1, 50), (1, 0)] {
                pit.write(&mut board, register, value);
            }
            gates.write_port61(&board, &mut pit, 0);
            gates.write_port61(&board, &mut pit, 1);
            let mut values = std::collections::BTreeSet::new();
            for turn in 0..50 {
                if turn == 5 {
                    for (register, value) in [(2, 30), (2, 0), (1, 20), (1, 0)] {
                        pit.write(&mut board, register, value);
                    }
                }
                let now = gates.read_port61(&board, &mut pit);
                values.insert(now);
                let (end, before) = (gates.port61_steady(board.now, &pit), pit.clone());
                assert!(end > board.now);
                board.now = end - 1;
                assert_eq!(gates.read_port61(&board, &mut pit), now, "mode {mode}");
                assert_eq!(pit, before, "mode {mode}");
                board.now = end;
            }
            assert!(values.len() >= if matches!(mode, 1 | 5) { 2 } else { 3 }, "mode {mode}: {values:?}");
        }
    }

    #[test]
    fn resets_act_on_edges() {
        let (mut bench, mut gates) = (Bench::default(), SystemControl::default());
        gates.write_port92(&mut bench.board(), 0x00);
        assert!(!bench.lines.a20);
        gates.write_reset_control(&mut bench.board(), 0x02);
        assert_eq!(bench.lines.stop, None);
        gates.write_reset_control(&mut bench.board(), 0x06);
        assert_eq!(bench.lines.stop.take(), Some(StopRequest::Reset));
        gates.write_reset_control(&mut bench.board(), 0x06);
        assert_eq!(bench.lines.stop, None);
        gates.write_port92(&mut bench.board(), 0x03);
        assert_eq!(bench.lines.stop, Some(StopRequest::Reset));
        assert!(bench.lines.a20);
    }

    #[test]
    fn only_a_float_error_that_stands_is_ignored() {
        let (mut bench, mut gates) = (Bench::default(), SystemControl::default());
        gates.acknowledge_float_error(&mut bench.board());
        assert!(!bench.lines.ignore_float_error);
        bench.lines.float_error = true;
        gates.raise_float_error(&mut bench.board());
        gates.acknowledge_float_error(&mut bench.board());
        assert!(bench.lines.ignore_float_error);
    }

    #[test]
    fn a_masked_nmi_waits() {
        let (mut bench, mut gates) = (Bench::default(), SystemControl::default());
        gates.mask_nmi(&mut bench.board(), true);
        gates.raise_nmi(&mut bench.board());
        assert!(!bench.interrupts.take_nmi());
        gates.mask_nmi(&mut bench.board(), false);
        assert!(bench.interrupts.take_nmi());
        gates.raise_nmi(&mut bench.board());
        assert!(bench.interrupts.take_nmi());
    }
}
