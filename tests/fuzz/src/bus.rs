//! A bus that answers anything, interrupts at any moment, writes to RAM behind the processor's back, moves A20 and the
//! deadline, and asks to stop.

use crate::entropy::Entropy;
use crate::world::RAM;
use cpu::bus::{Bus, BusContext, StopRequest, Width};
use std::any::Any;

/// See the module.
pub struct AnyBus {
    e: Entropy<'static>,
}

impl AnyBus {
    /// A bus whose behaviour follows from `seed` and the accesses.
    pub fn new(seed: u64) -> AnyBus {
        AnyBus { e: Entropy::from_seed(seed) }
    }

    /// Begin anew.
    pub fn seed(&mut self, seed: u64) {
        self.e = Entropy::from_seed(seed);
    }

    fn answer(&mut self, cx: &mut BusContext<'_>, width: Width) -> u32 {
        let e = &mut self.e;
        match e.below(64) {
            0 => cx.lines.intr = true,
            1 => cx.lines.nmi = true,
            2 => cx.lines.a20 = !cx.lines.a20,
            3 => cx.lines.deadline = cx.vtime + e.below(8) as u64,
            4 => cx.lines.request_stop(StopRequest::Reset),
            5..8 => {
                let len = 1 + e.below(16) as usize;
                let mut bytes = [0; 16];
                e.fill(&mut bytes);
                let at = e.below(RAM as u32) as u64;
                cx.mem.write_bytes(at, &bytes[..len]);
            }
            _ => {}
        }
        e.word() & width.ones()
    }
}

impl Bus for AnyBus {
    fn port_read(&mut self, cx: &mut BusContext<'_>, _: u16, width: Width) -> u32 {
        self.answer(cx, width)
    }
    fn port_write(&mut self, cx: &mut BusContext<'_>, _: u16, width: Width, _: u32) {
        self.answer(cx, width);
    }
    fn mmio_read(&mut self, cx: &mut BusContext<'_>, _: u64, width: Width) -> u32 {
        self.answer(cx, width)
    }
    fn mmio_write(&mut self, cx: &mut BusContext<'_>, _: u64, width: Width, _: u32) {
        self.answer(cx, width);
    }
    fn acknowledge_interrupt(&mut self, cx: &mut BusContext<'_>) -> u8 {
        cx.lines.intr = self.e.one_in(4);
        self.e.word() as u8
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
