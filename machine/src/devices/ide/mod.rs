//! The IDE function of the Intel 82371SB (PIIX3), function 1 of device 1: two channels at the ports every PC has them,
//! and a bus master (data sheet 2.3 and 2.7).
//!
//! Disks are numbered as they are connected: primary master, primary slave, secondary master, secondary slave. What is
//! on them is a [`crate::media::Medium`] with the same number.

mod bus_master;
mod channel;
mod drive;
mod identify;

use super::Board;
use super::pci::{ConfigSpace, PciBus, devfn};
use channel::Channel;
use cpu::bus::Width;
use drive::Drive;
use serde::{Deserialize, Serialize};

/// Place on bus 0.
pub const PLACE: u8 = devfn(1, 1);
/// Most disks that can be connected.
pub const MAX_DISKS: usize = 4;

/// Command register of the function: I/O space, bus master.
const COMMAND: usize = 0x04;
const IOSE: u32 = 0x01;
const BME: u32 = 0x04;
/// Base address of the bus-master registers.
pub const BMIBA: usize = 0x20;
/// Timing registers; bit 15 lets the channel's ports be decoded.
pub const IDETIM: [usize; 2] = [0x40, 0x42];
const DECODE_ENABLE: u32 = 0x8000;

/// Command block and control block of each channel.
const COMMAND_BLOCK: [u16; 2] = [0x1F0, 0x170];
const DEVICE_CONTROL: [u16; 2] = [0x3F6, 0x376];

/// Configuration space after reset.
pub fn config_space() -> ConfigSpace {
    let mut space = ConfigSpace::new(0x8086, 0x7010, 0x01_0180, 0x00);
    space.set(COMMAND, &[0x00, 0x00, 0x80, 0x02]);
    space.allow(COMMAND, &[0x05]);
    space.set(BMIBA, &[0x01]);
    // The data sheet reserves the upper half; firmware that sizes the range wants all 32 bits of a base register.
    space.allow(BMIBA, &[0xF0, 0xFF, 0xFF, 0xFF]);
    space.allow(IDETIM[0], &[0xFF, 0xF3, 0xFF, 0xF3]);
    // The channels' interrupts are ISA interrupts; there is no pin.
    space.allow(0x3C, &[0x00]);
    space
}

/// What a port of this function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Port {
    /// Register 0 to 7 of a channel's command block.
    Command(usize, u16),
    /// A channel's device control and alternate status.
    Control(usize),
    /// Register 0 to 7 of a channel's bus master.
    BusMaster(usize, u16),
}

/// Where the function's ports are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Decoder {
    bus_master: Option<u16>,
    /// The channels whose ports are decoded.
    channels: [bool; 2],
}

impl Decoder {
    /// As the configuration space has it.
    pub fn of(pci: &PciBus) -> Decoder {
        let Some(space) = pci.function(PLACE).filter(|s| s.read(COMMAND, Width::Word) & IOSE != 0) else {
            return Decoder::default();
        };
        let base = space.read(BMIBA, Width::Word) as u16 & 0xFFF0;
        Decoder {
            bus_master: (base != 0).then_some(base),
            channels: IDETIM.map(|timing| space.read(timing, Width::Word) & DECODE_ENABLE != 0),
        }
    }

    /// Which of the function's ports `port` is, if it is decoded.
    pub fn port(&self, port: u16) -> Option<Port> {
        if self.bus_master == Some(port & 0xFFF0) {
            return Some(Port::BusMaster(usize::from(port >> 3 & 1), port & 7));
        }
        (0..2).filter(|&channel| self.channels[channel]).find_map(|channel| {
            if port & !7 == COMMAND_BLOCK[channel] {
                return Some(Port::Command(channel, port & 7));
            }
            (port == DEVICE_CONTROL[channel]).then_some(Port::Control(channel))
        })
    }
}

/// Whether the function may reach memory.
fn may_master(pci: &PciBus) -> bool {
    pci.function(PLACE).is_some_and(|space| space.read(COMMAND, Width::Word) & BME != 0)
}

/// Both channels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ide {
    channels: [Channel; 2],
}

impl Default for Ide {
    fn default() -> Self {
        Ide { channels: [Channel::new(0), Channel::new(1)] }
    }
}

impl Ide {
    /// Connect a disk of `sectors` sectors as number `n`, 0 to 3.
    pub fn connect(&mut self, n: usize, sectors: u64) {
        self.channels[n >> 1 & 1].connect(n & 1, Drive::new(n as u8 & 3, sectors));
    }

    /// RESET of the machine: the disks stay.
    pub fn reset(&mut self) {
        self.channels.iter_mut().for_each(Channel::reset);
    }

    /// Read `width` at a decoded port.
    pub fn read(&mut self, board: &mut Board<'_>, port: Port, width: Width) -> u32 {
        let bytes = (0..width.bytes() as u16).map(|n| {
            let byte = match port {
                Port::Command(channel, 0) => self.channels[channel].read(board, 0),
                Port::Command(channel, register) => self.channels[channel].read(board, (register + n) & 7),
                Port::Control(channel) if n == 0 => self.channels[channel].alternate_status(),
                Port::Control(_) => 0xFF,
                Port::BusMaster(channel, register) => self.channels[channel].bus_master.read(register + n),
            };
            u32::from(byte) << (8 * n)
        });
        bytes.fold(0, |value, byte| value | byte)
    }

    /// Write `width` at a decoded port.
    pub fn write(&mut self, board: &mut Board<'_>, port: Port, width: Width, value: u32) {
        for (n, byte) in (0u16..).zip(value.to_le_bytes()).take(width.bytes() as usize) {
            match port {
                Port::Command(channel, 0) => self.channels[channel].write(board, 0, byte),
                Port::Command(channel, register) => {
                    self.channels[channel].write(board, (register + n) & 7, byte)
                }
                Port::Control(channel) if n == 0 => self.channels[channel].write_control(board, byte),
                Port::Control(_) => {}
                Port::BusMaster(channel, register) => {
                    self.channels[channel].write_bus_master(board, register + n, byte);
                }
            }
        }
    }

    /// [`crate::events::Event::Ide`] of channel `n`. Without bus mastership a DMA transfer waits.
    pub fn on_event(&mut self, board: &mut Board<'_>, pci: &PciBus, n: u8) {
        self.channels[usize::from(n & 1)].on_event(board, may_master(pci));
    }
}

#[cfg(test)]
mod tests;
