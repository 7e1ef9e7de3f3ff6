//! The parts on the board, each in a file with its name on the package.
//!
//! A device is plain serialisable data. It is driven by port accesses and by [`Event`]s, and acts on the world only
//! through the [`Board`] it is lent: interrupt request lines, the event queue, outputs, the processor's pins.

pub mod fw_cfg;
pub mod i440fx;
pub mod i8042;
pub mod i8254;
pub mod i8259;
pub mod ide;
pub mod interrupts;
pub mod io_apic;
mod keyboard;
pub mod local_apic;
pub mod mc146818;
pub mod pci;
pub mod piix3;
pub mod piix4_pm;
pub mod scan_code;
pub mod system_control;
pub mod test_device;
pub mod uart16550;
pub mod vga;
pub mod virtio;

#[cfg(doc)]
use crate::events::Event;
use crate::events::EventQueue;
use crate::media::Medium;
use crate::outputs::Outputs;
use cpu::bus::Lines;
use cpu::mem::PhysMem;
use interrupts::Interrupts;

/// What a device may touch while it serves one access or event.
pub struct Board<'a> {
    /// Virtual time of the access.
    pub now: u64,
    /// Interrupt request lines.
    pub interrupts: &'a mut Interrupts,
    /// Future events.
    pub events: &'a mut EventQueue,
    /// Bytes for the outside.
    pub outputs: &'a mut Outputs,
    /// The processor's pins.
    pub lines: &'a mut Lines,
    /// Physical memory, for DMA.
    pub mem: &'a mut PhysMem,
    /// What is on the disks.
    pub media: &'a mut [Medium],
}

/// A board with nothing else on it, to test one device.
#[cfg(test)]
pub(crate) mod bench {
    use super::*;
    use crate::events::Event;
    use cpu::mem::Ram;

    pub struct Bench {
        pub now: u64,
        pub interrupts: Interrupts,
        pub events: EventQueue,
        pub outputs: Outputs,
        pub lines: Lines,
        pub mem: PhysMem,
        pub media: Vec<Medium>,
    }

    impl Default for Bench {
        fn default() -> Bench {
            Bench {
                now: 0,
                interrupts: Interrupts::default(),
                events: EventQueue::default(),
                outputs: Outputs::default(),
                lines: Lines::default(),
                mem: PhysMem::new(Ram::zeroed(1 << 20)),
                media: Vec::new(),
            }
        }
    }

    impl Bench {
        pub fn board(&mut self) -> Board<'_> {
            Board {
                now: self.now,
                interrupts: &mut self.interrupts,
                events: &mut self.events,
                outputs: &mut self.outputs,
                lines: &mut self.lines,
                mem: &mut self.mem,
                media: &mut self.media,
            }
        }

        /// Let time pass up to `until`, handing each event to `fire` at its time.
        pub fn advance(&mut self, until: u64, mut fire: impl FnMut(&mut Board<'_>, Event)) {
            while self.events.next_time() <= until {
                self.now = self.now.max(self.events.next_time());
                if let Some(event) = self.events.pop_due(self.now) {
                    fire(&mut self.board(), event);
                }
            }
            self.now = until;
        }
    }
}
