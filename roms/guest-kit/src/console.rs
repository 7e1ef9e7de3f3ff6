//! The console: `print!` and `read_byte`.
//!
//! Before [`open`] found the virtio console in the descriptor page (the page behind the end of RAM), and on a machine
//! without one, text leaves as NUL-terminated strings by NOTIFY, 16 characters at a time like Linux's early console.

use crate::bus::{Device, kind};
use crate::cell::Global;
use crate::hypercall;
use crate::paging::virt_to_phys;
use crate::trap;
use crate::virtqueue::VirtQueue;
use core::fmt;

const BUFFER: usize = 128;

#[derive(Clone, Copy)]
struct Console {
    input: VirtQueue,
    output: VirtQueue,
    input_irq: u32,
}

static DEVICE: Global<Option<Console>> = Global::new(None);
static LINE: Global<[u8; BUFFER]> = Global::new([0; BUFFER]);
static RECEIVED: Global<[u8; BUFFER]> = Global::new([0; BUFFER]);
/// What of RECEIVED is still to be read: start and end.
static UNREAD: Global<(usize, usize)> = Global::new((0, 0));

/// Finds the console and takes it into use. False if the bus has none.
pub fn open() -> bool {
    let Some(device) = Device::find(kind::CONSOLE) else { return false };
    device.start();
    let ((mut input, input_irq), (output, _)) = (device.queue(0), device.queue(1));
    input.offer(virt_to_phys(RECEIVED.as_ptr() as u32), BUFFER as u32, true);
    DEVICE.set(Some(Console { input, output, input_irq }));
    true
}

/// Gives the output queue away; from now on text leaves by the early console.
pub fn take_output_queue() -> Option<VirtQueue> {
    let device = DEVICE.get();
    DEVICE.set(None);
    device.map(|d| d.output)
}

/// The next byte somebody typed, if there is one.
pub fn read_byte() -> Option<u8> {
    let (mut start, mut end) = UNREAD.get();
    if start == end {
        let mut device = DEVICE.get()?;
        let length = device.input.finished();
        (start, end) = (0, (length? as usize).min(BUFFER));
        DEVICE.set(Some(device));
    }
    let byte = *RECEIVED.get().get(start)?;
    UNREAD.set((start + 1, end));
    if start + 1 >= end {
        UNREAD.set((0, 0));
        let mut device = DEVICE.get()?;
        device.input.offer(virt_to_phys(RECEIVED.as_ptr() as u32), BUFFER as u32, true);
        DEVICE.set(Some(device));
    }
    Some(byte)
}

/// Sleeps until somebody types.
pub fn wait_byte() -> u8 {
    let Some(device) = DEVICE.get() else { hypercall::power_down() };
    loop {
        trap::disable_interrupts();
        if let Some(byte) = read_byte() {
            return byte;
        }
        trap::unmask(device.input_irq);
        hypercall::halt();
        trap::mask(device.input_irq);
    }
}

/// Sends bytes, at most a buffer full.
fn send(bytes: &[u8]) {
    let Some(mut device) = DEVICE.get() else { return send_early(bytes) };
    let mut line = [0; BUFFER];
    line[..bytes.len()].copy_from_slice(bytes);
    LINE.set(line);
    device.output.offer(virt_to_phys(LINE.as_ptr() as u32), bytes.len() as u32, false);
    while device.output.finished().is_none() {
        hypercall::send_interrupts();
    }
    DEVICE.set(Some(device));
}

fn send_early(bytes: &[u8]) {
    for chunk in bytes.chunks(16) {
        let mut text = [0; BUFFER];
        text[..chunk.len()].copy_from_slice(chunk);
        LINE.set(text);
        hypercall::notify(virt_to_phys(LINE.as_ptr() as u32));
    }
}

/// Where `print!` writes: collects what one call formats, so that a line is one message.
pub struct Writer {
    text: [u8; BUFFER],
    length: usize,
}

impl Writer {
    /// Formats and sends.
    pub fn print(arguments: fmt::Arguments) {
        let mut writer = Self { text: [0; BUFFER], length: 0 };
        // The writer itself never fails.
        let _ = fmt::Write::write_fmt(&mut writer, arguments);
        writer.flush();
    }

    fn flush(&mut self) {
        if self.length > 0 {
            send(&self.text[..self.length]);
            self.length = 0;
        }
    }
}

impl fmt::Write for Writer {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == BUFFER {
                self.flush();
            }
            self.text[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Prints to the console.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::Writer::print(format_args!($($argument)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::console::Writer::print(format_args!("{}\n", format_args!($($argument)*))) };
}
