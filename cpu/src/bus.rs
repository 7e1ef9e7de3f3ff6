//! The processor's pins: port and memory-mapped I/O, interrupt lines, and the next-event deadline.
//!
//! The processor knows nothing of devices. Whatever surrounds it implements [`Bus`]; each call comes with a
//! [`BusContext`] that lends the device physical memory (for DMA), the two clocks, and the [`Lines`] it may drive.
//!
//! Invariants:
//! * A bus call happens at an exact instruction: `insns` is the count *before* the instruction that made the call.
//! * Devices never call back into the processor. They change [`Lines`]; the run loop looks at them right after the
//!   instruction, so an interrupt raised by a port write is seen before the next instruction.

use crate::mem::PhysMem;
use serde::{Deserialize, Serialize};
use std::any::Any;

/// Size of one bus access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Width {
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
}

impl Width {
    /// Number of bytes: 1, 2 or 4.
    pub const fn bytes(self) -> u32 {
        match self {
            Width::Byte => 1,
            Width::Word => 2,
            Width::Dword => 4,
        }
    }

    /// All ones in this width: what a read of an absent device returns.
    pub const fn ones(self) -> u32 {
        match self {
            Width::Byte => 0xFF,
            Width::Word => 0xFFFF,
            Width::Dword => 0xFFFF_FFFF,
        }
    }
}

/// Why the machine wants the processor to stop running, in order of arrival (the first one wins).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StopRequest {
    /// The chipset asserted RESET (keyboard controller, port 0x92, 0xCF9).
    Reset,
    /// ACPI S5 was entered.
    PowerOff,
    /// The debug-exit port was written with this value.
    DebugExit(u32),
}

/// Signals between the chipset and the processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Lines {
    /// Level of INTR: an interrupt controller has a vector ready.
    pub intr: bool,
    /// A rising edge on NMI that has not been taken yet.
    pub nmi: bool,
    /// A20 gate: true lets address bit 20 through.
    pub a20: bool,
    /// FERR#, driven by the processor: an x87 error waits to be handled while CR0.NE is clear.
    pub float_error: bool,
    /// IGNNE#, driven by the chipset: x87 instructions run although an error waits. Ends with FERR#.
    pub ignore_float_error: bool,
    /// Virtual time at which the chipset wants to run next; `u64::MAX` if never.
    pub deadline: u64,
    /// Set when the run loop must hand control back to the machine.
    pub stop: Option<StopRequest>,
}

impl Default for Lines {
    fn default() -> Self {
        Lines {
            intr: false,
            nmi: false,
            a20: true,
            float_error: false,
            ignore_float_error: false,
            deadline: u64::MAX,
            stop: None,
        }
    }
}

impl Lines {
    /// Ask the run loop to stop after the current instruction; an earlier request is kept.
    pub fn request_stop(&mut self, why: StopRequest) {
        self.stop.get_or_insert(why);
    }
}

/// What a device may use while it serves one access or event.
pub struct BusContext<'a> {
    /// Physical memory, for DMA. Writes mark pages dirty and invalidate code by themselves.
    pub mem: &'a mut PhysMem,
    /// Interrupt lines and the next deadline.
    pub lines: &'a mut Lines,
    /// Instructions retired before the current one.
    pub insns: u64,
    /// Virtual time in ticks of 1 ns: `insns` plus idle ticks skipped in HLT.
    pub vtime: u64,
}

/// Everything outside the processor.
pub trait Bus: Any + Send {
    /// IN: read `width` bytes from I/O port `port`.
    fn port_read(&mut self, cx: &mut BusContext<'_>, port: u16, width: Width) -> u32;
    /// Virtual time up to which reading `port` again, after it was read at `vtime`, would give the same and change nothing,
    /// provided that nobody does anything else meanwhile. `vtime` says that nothing is known.
    fn port_steady(&self, _port: u16, _width: Width, vtime: u64) -> u64 {
        vtime
    }
    /// OUT: write the low `width` bytes of `value` to I/O port `port`.
    fn port_write(&mut self, cx: &mut BusContext<'_>, port: u16, width: Width, value: u32);
    /// Read from a physical address that is neither RAM nor ROM. An access never crosses a page.
    fn mmio_read(&mut self, cx: &mut BusContext<'_>, addr: u64, width: Width) -> u32;
    /// Write to a physical address that is neither RAM nor ROM. An access never crosses a page.
    fn mmio_write(&mut self, cx: &mut BusContext<'_>, addr: u64, width: Width, value: u32);
    /// The two INTA cycles: the vector of the interrupt being taken. Called only while `lines.intr` is set; must
    /// bring `lines.intr` up to date.
    fn acknowledge_interrupt(&mut self, cx: &mut BusContext<'_>) -> u8;
    /// FERR# was asserted.
    fn float_error(&mut self, _: &mut BusContext<'_>) {}
    /// WRMSR to IA32_APIC_BASE: where the local APIC is, and whether. Nothing, if there is none.
    fn set_apic_base(&mut self, _: &mut BusContext<'_>, _: u64) {}
    /// For the owner of the machine, who knows the concrete type.
    fn as_any(&self) -> &dyn Any;
    /// For the owner of the machine, who knows the concrete type.
    fn as_any_mut(&mut self) -> &mut dyn Any;
}

/// A bus with nothing on it: reads give all ones, writes vanish. For test vectors and unit tests.
#[derive(Clone, Copy, Debug, Default)]
pub struct EmptyBus;

impl Bus for EmptyBus {
    fn port_read(&mut self, _: &mut BusContext<'_>, _: u16, width: Width) -> u32 {
        width.ones()
    }
    fn port_write(&mut self, _: &mut BusContext<'_>, _: u16, _: Width, _: u32) {}
    fn mmio_read(&mut self, _: &mut BusContext<'_>, _: u64, width: Width) -> u32 {
        width.ones()
    }
    fn mmio_write(&mut self, _: &mut BusContext<'_>, _: u64, _: Width, _: u32) {}
    fn acknowledge_interrupt(&mut self, _: &mut BusContext<'_>) -> u8 {
        0xFF
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}
