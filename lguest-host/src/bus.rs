//! The lguest bus (8.1, 8.2): a page of device descriptors behind the end of the Guest's RAM, and NOTIFY.
//!
//! | page behind RAM | content |
//! |---|---|
//! | 0 | descriptors |
//! | 1, 2 | rings of the console's input queue |
//! | 3, 4 | rings of its output queue |
//!
//! The page is for the Guest to read; the Host never believes it again after writing it.

use crate::abi::PAGE;
use crate::console;
use crate::death::{Category, Outcome, require};
use crate::guest::Platform;
use crate::ram::GuestRam;
use crate::virtqueue::{PAGES, SIZE, VirtQueue};

/// Pages of the Guest's memory that are not RAM to it: descriptors and rings.
pub const BUS_PAGES: u32 = 1 + 2 * PAGES;

const CONSOLE: u8 = 3;
const INPUT_IRQ: u32 = 1;
const OUTPUT_IRQ: u32 = 2;
/// Where a descriptor has its status.
const STATUS: u32 = 4;
/// Longest early-console string.
const STRING: u32 = 4096;

/// A Guest's devices.
pub struct Bus {
    /// Guest-physical address of the descriptor page, which is the size of RAM.
    page: u32,
    input: VirtQueue,
    output: VirtQueue,
}

impl Bus {
    /// Write the descriptors behind `ram_size` bytes of RAM.
    ///
    /// # Errors
    /// BAD_WRITE if there is no room: the Host made it too small.
    pub fn new(ram: &GuestRam, ram_size: u32) -> Outcome<Bus> {
        let pfn = ram_size / PAGE;
        let (input, output) = (VirtQueue::on_bus(pfn + 1), VirtQueue::on_bus(pfn + 1 + PAGES));
        let mut descriptor = [0u8; 22];
        descriptor[..4].copy_from_slice(&[CONSOLE, 2, 0, 0]);
        for (n, (queue, irq)) in [(input, INPUT_IRQ), (output, OUTPUT_IRQ)].into_iter().enumerate() {
            let at = 5 + 8 * n;
            descriptor[at..at + 2].copy_from_slice(&(SIZE as u16).to_le_bytes());
            descriptor[at + 2..at + 4].copy_from_slice(&(irq as u16).to_le_bytes());
            descriptor[at + 4..at + 8].copy_from_slice(&(queue.address() / PAGE).to_le_bytes());
        }
        ram.write_bytes(ram_size, &descriptor)?;
        Ok(Bus { page: ram_size, input, output })
    }

    /// The virtual interrupt of console input.
    pub fn input_irq(&self) -> u32 {
        INPUT_IRQ
    }

    /// NOTIFY(addr). Returns the virtual interrupts to raise, as bits.
    ///
    /// # Errors
    /// NOTIFY_RANGE; BAD_READ, BAD_WRITE only if the Host's own layout is wrong.
    pub fn notify(&mut self, ram: &GuestRam, addr: u32, platform: &mut dyn Platform) -> Outcome<u32> {
        if addr == self.output.address() {
            return Ok((console::transmit(&mut self.output, ram, platform)? as u32) << OUTPUT_IRQ);
        }
        if addr == self.input.address() {
            return Ok((console::receive(&mut self.input, ram, platform)? as u32) << INPUT_IRQ);
        }
        if addr == self.page {
            if ram.read::<u8>(self.page + STATUS)? == 0 {
                self.input.reset(ram)?;
                self.output.reset(ram)?;
            }
            return Ok(0);
        }
        require(addr < self.page, Category::NotifyRange, addr)?;
        self.print(ram, addr, platform)?;
        Ok(0)
    }

    /// Early console: a NUL-terminated string. Address 0 says nothing.
    fn print(&self, ram: &GuestRam, addr: u32, platform: &mut dyn Platform) -> Outcome<()> {
        for n in 0..if addr == 0 { 0 } else { STRING } {
            match ram.read::<u8>(addr.wrapping_add(n)) {
                Ok(byte) if byte != 0 => platform.console_write(&[byte]),
                _ => break,
            }
        }
        Ok(())
    }

    /// Hand over what was typed since the last time. True if the driver wants an interrupt.
    pub fn poll_input(&mut self, ram: &GuestRam, platform: &mut dyn Platform) -> Outcome<bool> {
        console::receive(&mut self.input, ram, platform)
    }
}
