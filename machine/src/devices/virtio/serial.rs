//! The serial device with many ports (virtio 1.0, 5.3): consoles, a pair of queues each, and a pair of queues for messages about
//! them.
//!
//! | queue | what |
//! |---|---|
//! | 0, 1 | port 0: what it receives, what it says |
//! | 2, 3 | messages to the driver, and from it |
//! | 4, 5 | port 1, and so on |
//!
//! The driver decides what is done when, but not how much is kept for it: a message that waits is a bit, and bytes that wait are the
//! user's. Nobody can be told of a port that speaks too much at once, so a chain says [`LONGEST`] bytes at most.

use super::queue::Queue;
use crate::outputs::{OutputPort, Outputs};
use cpu::mem::PhysMem;
use serde::{Deserialize, Serialize};
use std::collections::VecDeque;

/// Ports at most, as QEMU's device has them.
pub const MAX_PORTS: usize = 31;
/// Bytes of a chain that are said.
const LONGEST: usize = 1 << 16;

/// Feature: a port has the size of its terminal.
const SIZE: u64 = 1 << 0;
/// Feature: there are queues for messages about ports.
pub const MULTIPORT: u64 = 1 << 1;
/// What the device offers.
pub const FEATURES: u64 = SIZE | MULTIPORT;

/// Queues for messages: to the driver, and from it.
const TO_DRIVER: usize = 2;
const FROM_DRIVER: usize = 3;
/// Messages are port, event and value; that of a size is followed by columns and rows.
const MESSAGE: usize = 8;

/// Events of messages.
const DEVICE_READY: u16 = 0;
const DEVICE_ADD: u16 = 1;
const PORT_READY: u16 = 3;
const CONSOLE_PORT: u16 = 4;
const RESIZE: u16 = 5;
const PORT_OPEN: u16 = 6;
/// Those the device sends, in their order.
const SENT: [u16; 4] = [DEVICE_ADD, CONSOLE_PORT, PORT_OPEN, RESIZE];

/// The size of a terminal, in characters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TerminalSize {
    /// Characters in a row.
    pub columns: u16,
    /// Rows.
    pub rows: u16,
}

/// One port.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Port {
    /// What the user typed and the driver has not taken.
    wire: VecDeque<u8>,
    size: Option<TerminalSize>,
    /// The driver knows the port, and listens to it.
    ready: bool,
    open: bool,
    /// Messages that wait for a buffer: a bit for each event.
    messages: u8,
}

impl Port {
    /// Tell the driver `event`, when it has room.
    fn tell(&mut self, event: u16) {
        self.messages |= 1 << event;
    }

    /// Its size, if the driver is to know.
    fn tell_size(&mut self) {
        if self.ready && self.size.is_some() {
            self.tell(RESIZE);
        }
    }

    /// The next message that waits, as port `n`'s.
    fn next_message(&self, n: usize) -> Option<(u16, Vec<u8>)> {
        let event = SENT.into_iter().find(|event| self.messages >> event & 1 != 0)?;
        let mut bytes = Vec::from((n as u32).to_le_bytes());
        bytes.extend(event.to_le_bytes());
        bytes.extend(1u16.to_le_bytes());
        if event == RESIZE {
            let TerminalSize { columns, rows } = self.size.unwrap_or_default();
            bytes.extend(columns.to_le_bytes());
            bytes.extend(rows.to_le_bytes());
        }
        Some((event, bytes))
    }
}

/// The device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Serial {
    ports: Vec<Port>,
}

impl Serial {
    /// A device with `ports` ports, 1 to [`MAX_PORTS`].
    pub fn new(ports: usize) -> Serial {
        Serial { ports: vec![Port::default(); ports.clamp(1, MAX_PORTS)] }
    }

    /// The driver begins anew: what was typed is still there.
    pub fn reset(&mut self) {
        for port in &mut self.ports {
            (port.ready, port.open, port.messages) = (false, false, 0);
        }
    }

    /// Number of queues.
    pub fn queues(&self) -> usize {
        2 * (self.ports.len() + 1)
    }

    /// A byte of the device configuration: columns and rows of port 0, number of ports.
    pub fn config(&self, at: u32) -> u8 {
        let size = self.ports.first().and_then(|port| port.size).unwrap_or_default();
        let [a, b] = size.columns.to_le_bytes();
        let [c, d] = size.rows.to_le_bytes();
        let [e, f, g, h] = (self.ports.len() as u32).to_le_bytes();
        [a, b, c, d, e, f, g, h].get(at as usize).copied().unwrap_or(0)
    }

    /// The user typed `bytes` at port `n`.
    pub fn receive(&mut self, n: u8, bytes: &[u8]) {
        if let Some(port) = self.ports.get_mut(usize::from(n)) {
            port.wire.extend(bytes);
        }
    }

    /// The terminal of port `n` has this size now.
    pub fn resize(&mut self, n: u8, size: TerminalSize) {
        if let Some(port) = self.ports.get_mut(usize::from(n)) {
            port.size = Some(size);
            port.tell_size();
        }
    }

    /// What the driver says about ports.
    fn hear(&mut self, message: &[u8]) {
        let Some(&[a, b, c, d, e, f, g, h]) = message.first_chunk::<MESSAGE>() else { return };
        let (event, yes) = (u16::from_le_bytes([e, f]), u16::from_le_bytes([g, h]) != 0);
        if event == DEVICE_READY {
            for port in self.ports.iter_mut().filter(|_| yes) {
                port.tell(DEVICE_ADD);
            }
            return;
        }
        let Some(port) = self.ports.get_mut(u32::from_le_bytes([a, b, c, d]) as usize) else { return };
        match event {
            PORT_READY => {
                port.ready = yes;
                if yes {
                    port.tell(CONSOLE_PORT);
                    port.tell(PORT_OPEN);
                    port.tell_size();
                }
            }
            PORT_OPEN => port.open = yes,
            _ => {}
        }
    }

    /// Do what can be done after queue `n` was notified, or something came from outside. `multiport`: the driver knows of more than
    /// port 0. True if it wants an interrupt.
    pub fn serve(
        &mut self,
        mem: &mut PhysMem,
        outputs: &mut Outputs,
        queues: &mut [Queue],
        n: usize,
        multiport: bool,
    ) -> bool {
        let mut interrupt = false;
        if let Some(queue) = queues.get_mut(n).filter(|_| n % 2 == 1) {
            // No more at a time than an honest driver can have offered.
            for _ in 0..queue.size {
                let Some(chain) = queue.pop(mem) else { break };
                if n == FROM_DRIVER {
                    self.hear(&chain.read(mem, MESSAGE));
                } else if let Some(port) = port_of(n) {
                    outputs.emit(OutputPort::Serial(port as u8), &chain.read(mem, LONGEST));
                }
                interrupt |= queue.push(mem, &chain, 0);
            }
        }
        if let Some(queue) = queues.get_mut(TO_DRIVER).filter(|_| multiport) {
            interrupt |= self.send_messages(mem, queue);
        }
        for (n, queue) in queues.iter_mut().enumerate() {
            let Some(port) = port_of(n).filter(|_| n % 2 == 0).and_then(|n| self.ports.get_mut(n)) else {
                continue;
            };
            while (port.open || !multiport)
                && !port.wire.is_empty()
                && let Some(chain) = queue.pop(mem)
            {
                let len = chain.write(mem, port.wire.make_contiguous());
                port.wire.drain(..len as usize);
                interrupt |= queue.push(mem, &chain, len);
            }
        }
        interrupt
    }

    fn send_messages(&mut self, mem: &mut PhysMem, queue: &mut Queue) -> bool {
        let mut interrupt = false;
        for (n, port) in self.ports.iter_mut().enumerate() {
            while let Some((event, bytes)) = port.next_message(n)
                && let Some(chain) = queue.pop(mem)
            {
                port.messages &= !(1 << event);
                let len = chain.write(mem, &bytes);
                interrupt |= queue.push(mem, &chain, len);
            }
        }
        interrupt
    }
}

/// The port that has queue `n`.
fn port_of(n: usize) -> Option<usize> {
    match n / 2 {
        0 => Some(0),
        1 => None,
        n => Some(n - 1),
    }
}
