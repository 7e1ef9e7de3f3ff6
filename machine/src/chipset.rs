//! The chipset: which part answers at which port, and the wires between parts and processor.
//!
//! Invariants:
//! * After every call `lines.intr` is the interrupt controller's output and `lines.deadline` the next event's time.
//! * Byte-wide parts see a wide access as bytes at ascending ports, as an ISA bridge splits it.

use crate::devices::fw_cfg::FwCfg;
use crate::devices::i8042::I8042;
use crate::devices::i8254::I8254;
use crate::devices::ide::{self, Ide};
use crate::devices::interrupts::Interrupts;
use crate::devices::local_apic::TimerBoard;
use crate::devices::mc146818::Mc146818;
use crate::devices::pci::PciBus;
use crate::devices::piix4_pm::PowerManagement;
use crate::devices::system_control::SystemControl;
use crate::devices::test_device::{self, TestDevice};
use crate::devices::uart16550::Uart16550;
use crate::devices::vga::{Vga, memory::Planes};
use crate::devices::virtio::Virtio;
use crate::devices::{Board, i440fx, piix3, piix4_pm};
use crate::events::{Event, EventQueue};
use crate::function_ports::{FunctionPort, FunctionPorts};
use crate::inputs::Input;
use crate::media::Medium;
use crate::memory_map::{ROM, TEXT, VIDEO, video_backing};
use crate::outputs::{OutputPort, Outputs};
use cpu::bus::{Bus, BusContext, Lines, StopRequest, Width};
use cpu::mem::{PhysMem, RegionKind};
use serde::{Deserialize, Serialize};
use std::any::Any;

/// Where kernels, and where SeaBIOS, write diagnostics a byte at a time.
const DEBUG_CONSOLE: u16 = 0xE9;
const FIRMWARE_DEBUG_CONSOLE: u16 = 0x402;

/// Everything on the board that has state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Devices {
    /// Interrupt controllers.
    pub interrupts: Interrupts,
    /// Future events.
    pub events: EventQueue,
    /// Interval timer.
    pub pit: I8254,
    /// Real-time clock and CMOS memory.
    pub rtc: Mc146818,
    /// COM1 and COM2.
    pub uarts: [Uart16550; 2],
    /// Keyboard controller.
    pub keyboard: I8042,
    /// Ports 0x61, 0x92, 0xCF9 and the NMI mask.
    pub control: SystemControl,
    /// PCI bus 0.
    pub pci: PciBus,
    /// IDE channels.
    pub ide: Ide,
    /// ACPI registers.
    pub power: PowerManagement,
    /// What firmware is told.
    pub fw_cfg: FwCfg,
    /// Display adapter.
    pub vga: Vga,
    /// Network, entropy and serial devices.
    pub virtio: Virtio,
    /// Test equipment.
    pub test: TestDevice,
    /// Port 0x80, which firmware writes progress codes to and kernels use as a delay.
    pub checkpoint: u8,
}

impl Devices {
    /// The board after power-up, with a clock showing `unix_seconds` at virtual time 0 and `ram` bytes of memory.
    pub fn new(unix_seconds: i64, ram: u64) -> Devices {
        let mut pci = PciBus::default();
        pci.plug(i440fx::PLACE, i440fx::config_space());
        pci.plug(piix3::PLACE, piix3::config_space());
        pci.plug(ide::PLACE, ide::config_space());
        pci.plug(piix4_pm::PLACE, piix4_pm::config_space());
        Devices {
            interrupts: Interrupts::default(),
            events: EventQueue::default(),
            pit: I8254::new(),
            rtc: Mc146818::new(unix_seconds, ram),
            uarts: [Uart16550::new(0), Uart16550::new(1)],
            keyboard: I8042::default(),
            control: SystemControl::default(),
            pci,
            ide: Ide::default(),
            power: PowerManagement::default(),
            fw_cfg: FwCfg::new(ram),
            vga: Vga::default(),
            virtio: Virtio::default(),
            test: TestDevice::default(),
            checkpoint: 0,
        }
    }

    /// RESET: as after power-up, but the battery-backed clock runs on, and the peers' unsent bytes, the disks, what
    /// firmware is told, and virtio devices stay.
    pub(crate) fn reset(&mut self) {
        let mut fresh = Devices::new(0, 0);
        let mut virtio = std::mem::take(&mut self.virtio);
        virtio.reset(&mut fresh.pci);
        let mut rtc = self.rtc.clone();
        rtc.reset();
        let mut uarts = fresh.uarts.clone();
        for (new, old) in uarts.iter_mut().zip(&mut self.uarts) {
            new.inherit_wire(old);
        }
        let mut fw_cfg = self.fw_cfg.clone();
        fw_cfg.reset();
        let mut ide = self.ide.clone();
        ide.reset();
        *self = Devices { rtc, uarts, ide, fw_cfg, virtio, ..fresh };
    }
}

/// The [`Bus`] of the machine.
pub struct Chipset {
    /// The parts.
    pub devices: Devices,
    /// What they said to the outside.
    pub outputs: Outputs,
    /// What is on the disks.
    pub media: Vec<Medium>,
    /// End of the current run in virtual time: a bound on the deadline that is no state of the machine.
    pub(crate) horizon: u64,
    /// Follows `devices.pci`.
    function_ports: FunctionPorts,
}

/// Split the borrow of a chipset: the board a device is lent, and the devices by name.
macro_rules! with_board {
    ($self:ident, $cx:ident, |$board:ident, $($device:ident),*| $body:expr) => {{
        let Devices { interrupts, events, $($device,)* .. } = &mut $self.devices;
        let $board = &mut Board {
            now: $cx.vtime,
            interrupts,
            events,
            outputs: &mut $self.outputs,
            lines: $cx.lines,
            mem: $cx.mem,
            media: &mut $self.media,
        };
        $body
    }};
}

impl Chipset {
    /// A chipset around `devices`.
    pub fn new(devices: Devices) -> Chipset {
        let function_ports = FunctionPorts::of(&devices.pci);
        Chipset { devices, outputs: Outputs::default(), media: Vec::new(), horizon: u64::MAX, function_ports }
    }

    /// What the configuration spaces say may have changed.
    pub(crate) fn follow_pci(&mut self) {
        self.function_ports = FunctionPorts::of(&self.devices.pci);
    }

    /// Bring the processor's pins up to date with the parts.
    pub(crate) fn update_lines(&mut self, lines: &mut Lines) {
        lines.intr = self.devices.interrupts.intr();
        lines.nmi |= self.devices.interrupts.take_nmi();
        lines.deadline =
            if self.outputs.has_seen() { 0 } else { self.devices.events.next_time().min(self.horizon) };
    }

    /// Show in the legacy area what host bridge and display adapter say is there.
    pub(crate) fn map_memory(&self, mem: &mut PhysMem) {
        let Some(bridge) = self.devices.pci.function(i440fx::PLACE) else { return };
        i440fx::map_segments(bridge, mem);
        if i440fx::shows_smram(bridge) {
            mem.map(VIDEO.start, VIDEO.end - VIDEO.start, RegionKind::Ram(VIDEO.start as u32));
        } else {
            mem.map(VIDEO.start, VIDEO.end - VIDEO.start, RegionKind::Mmio);
        }
        if !i440fx::shows_smram(bridge) && self.devices.vga.is_plain_text() {
            mem.map(TEXT.start, TEXT.end - TEXT.start, RegionKind::Ram(video_backing(mem.ram_size())));
        }
    }

    /// Let every event happen that is due.
    pub(crate) fn fire_due(&mut self, cx: &mut BusContext<'_>) {
        while let Some(event) = self.devices.events.pop_due(cx.vtime) {
            with_board!(self, cx, |board, pit, rtc, uarts, power, ide, pci, virtio| match event {
                Event::PitOutput => pit.on_event(board),
                Event::Rtc => rtc.on_event(board),
                Event::UartReceive(n) => uarts[usize::from(n & 1)].on_receive(board),
                Event::UartTimeout(n) => uarts[usize::from(n & 1)].on_timeout(board),
                Event::PmTimer => power.on_event(board),
                Event::Ide(n) => ide.on_event(board, pci, n),
                Event::Network => virtio.on_timer(board, pci),
                Event::ApicTimer => {
                    let timer = &mut TimerBoard { now: board.now, events: board.events };
                    board.interrupts.on_apic_timer(timer);
                }
            });
        }
        self.update_lines(cx.lines);
    }

    /// Hand something from outside to the part it is for.
    pub(crate) fn deliver(&mut self, cx: &mut BusContext<'_>, input: &Input) {
        with_board!(self, cx, |board, uarts, keyboard, control, pci, virtio| match input {
            Input::Com1(bytes) => uarts[0].receive(board, bytes),
            Input::Com2(bytes) => uarts[1].receive(board, bytes),
            Input::Keys(scan_codes) => keyboard.press(board, scan_codes),
            Input::Nmi => control.raise_nmi(board),
            Input::Network(message) => virtio.from_outside(board, pci, message),
            Input::Serial(port, bytes) => virtio.type_at(board, pci, *port, bytes),
            Input::Resize(port, size) => virtio.resize(board, pci, *port, *size),
        });
        self.update_lines(cx.lines);
    }

    /// Whether some event that is pending could interrupt the processor, were it to happen now.
    pub(crate) fn can_wake(&self) -> bool {
        self.devices.events.iter().any(|event| self.devices.interrupts.would_interrupt(event))
    }

    fn read_byte(&mut self, cx: &mut BusContext<'_>, port: u16) -> u8 {
        with_board!(self, cx, |board,
                               pit,
                               rtc,
                               uarts,
                               keyboard,
                               control,
                               power,
                               fw_cfg,
                               vga,
                               test,
                               checkpoint| {
            match port {
                0x20 | 0x21 | 0xA0 | 0xA1 | 0x4D0 | 0x4D1 => board.interrupts.read_pic(port),
                0x40..=0x43 => pit.read(board, port - 0x40),
                0x60 => keyboard.read_data(board),
                0x61 => control.read_port61(board, pit),
                0x64 => keyboard.read_status(),
                0x71 => rtc.read(board),
                0x80 => *checkpoint,
                0x92 => control.read_port92(board),
                0xB2 | 0xB3 => power.read_apm(port),
                // Says that somebody listens there.
                DEBUG_CONSOLE | FIRMWARE_DEBUG_CONSOLE => 0xE9,
                0x3B0..=0x3DF => vga.read(board.now, port),
                0x511 => fw_cfg.read_data(),
                0x514..=0x51B => fw_cfg.read_dma_address(port - 0x514),
                0x2F8..=0x2FF => uarts[1].read(board, port - 0x2F8),
                0x3F8..=0x3FF => uarts[0].read(board, port - 0x3F8),
                0xE0..=0xE3 => test.read(port),
                0xCF9 => control.read_reset_control(),
                _ => 0xFF,
            }
        })
    }

    fn write_byte(&mut self, cx: &mut BusContext<'_>, port: u16, value: u8) {
        with_board!(self, cx, |board, pit, rtc, uarts, keyboard, control, power, vga, test, checkpoint| {
            match port {
                0x20 | 0x21 | 0xA0 | 0xA1 | 0x4D0 | 0x4D1 => board.interrupts.write_pic(port, value),
                0x40..=0x43 => pit.write(board, port - 0x40, value),
                0x60 => keyboard.write_data(board, value),
                0x61 => control.write_port61(board, pit, value),
                0x64 => keyboard.write_command(board, value),
                0x70 => {
                    control.mask_nmi(board, value & 0x80 != 0);
                    rtc.select(value);
                }
                0x71 => rtc.write(board, value),
                0x80 => *checkpoint = value,
                0x92 => control.write_port92(board, value),
                0xB2 | 0xB3 => power.write_apm(board, port, value),
                DEBUG_CONSOLE | FIRMWARE_DEBUG_CONSOLE => {
                    board.outputs.emit(OutputPort::DebugConsole, &[value])
                }
                0x3B0..=0x3DF => vga.write(port, value),
                0x190 => board.outputs.emit(OutputPort::Post, &[value]),
                0x2F8..=0x2FF => uarts[1].write(board, port - 0x2F8, value),
                0x3F8..=0x3FF => uarts[0].write(board, port - 0x3F8, value),
                0xE0..=0xE3 => test.write(port, value),
                0xF0 => control.acknowledge_float_error(board),
                0xCF9 => control.write_reset_control(board, value),
                _ => {}
            }
        });
    }
}

impl Bus for Chipset {
    fn port_read(&mut self, cx: &mut BusContext<'_>, port: u16, width: Width) -> u32 {
        let value = match (port, width) {
            (0xCF8, Width::Dword) => self.devices.pci.read_address(),
            (0xCFC..=0xCFF, _) => self.devices.pci.read_data(port - 0xCFC, width),
            _ => match self.function_ports.find(port) {
                Some(FunctionPort::Power(offset)) => {
                    with_board!(self, cx, |board, power| power.read(board, offset, width))
                }
                Some(FunctionPort::Ide(port)) => {
                    with_board!(self, cx, |board, ide| ide.read(board, port, width))
                }
                None if width == Width::Byte => u32::from(self.read_byte(cx, port)),
                None => (0..width.bytes() as u16)
                    .map(|n| u32::from(self.read_byte(cx, port.wrapping_add(n))) << (8 * n))
                    .fold(0, |value, byte| value | byte),
            },
        };
        self.update_lines(cx.lines);
        value
    }

    fn port_steady(&self, port: u16, width: Width, vtime: u64) -> u64 {
        match (port, width, self.function_ports.find(port)) {
            (0x61, Width::Byte, None) => self.devices.control.port61_steady(vtime, &self.devices.pit),
            _ => vtime,
        }
    }

    fn port_write(&mut self, cx: &mut BusContext<'_>, port: u16, width: Width, value: u32) {
        let plain_text = self.devices.vga.is_plain_text();
        match (port, width) {
            (0x510, Width::Word) => self.devices.fw_cfg.select(value as u16),
            (0x514 | 0x518, Width::Dword) => {
                self.devices.fw_cfg.write_dma_address(cx.mem, port == 0x518, value);
            }
            (0xCF8, Width::Dword) => self.devices.pci.write_address(value),
            (0xCFC..=0xCFF, _) => {
                self.devices.pci.write_data(port - 0xCFC, width, value);
                self.follow_pci();
                if let Some(bridge) = self.devices.pci.addressed(i440fx::PLACE) {
                    i440fx::lock_smram(bridge);
                    self.map_memory(cx.mem);
                }
                if let Some(bridge) = self.devices.pci.addressed(piix3::PLACE) {
                    self.devices.interrupts.set_route(piix3::pirq_route(bridge));
                }
            }
            (0x2000..=0x200F, _) => {
                with_board!(self, cx, |board, test| test.drive_line(board, port & 0xF, value));
            }
            // Debug exit: the whole value counts.
            (0xF4, _) => cx.lines.request_stop(StopRequest::DebugExit(value & width.ones())),
            _ => match self.function_ports.find(port) {
                Some(FunctionPort::Power(offset)) => {
                    with_board!(self, cx, |board, power| power.write(board, offset, width, value));
                }
                Some(FunctionPort::Ide(port)) => {
                    with_board!(self, cx, |board, ide| ide.write(board, port, width, value));
                }
                None if width == Width::Byte => self.write_byte(cx, port, value as u8),
                None => {
                    (0u16..).zip(value.to_le_bytes()).take(width.bytes() as usize).for_each(|(n, byte)| {
                        self.write_byte(cx, port.wrapping_add(n), byte);
                    })
                }
            },
        }
        if self.devices.vga.is_plain_text() != plain_text {
            self.map_memory(cx.mem);
        }
        self.update_lines(cx.lines);
    }

    fn mmio_read(&mut self, cx: &mut BusContext<'_>, addr: u64, width: Width) -> u32 {
        if ROM.contains(&addr) {
            i440fx::read_shadowed(cx.mem, addr, width)
        } else if VIDEO.contains(&addr) {
            let planes = Planes::new(cx.mem);
            let vga = &mut self.devices.vga;
            (0..width.bytes()).fold(0, |value, n| {
                value | u32::from(vga.read_memory(&planes, addr + u64::from(n))) << (8 * n)
            })
        } else if test_device::MEMORY.contains(&addr) {
            self.devices.test.read_memory(addr - test_device::MEMORY.start, width)
        } else if let Some(value) = self.devices.interrupts.read_memory(cx.vtime, addr & !3) {
            value >> (8 * (addr & 3)) & width.ones()
        } else if let Some(place) = self.devices.virtio.decode(&self.devices.pci, addr) {
            let value = with_board!(self, cx, |board, virtio| virtio.read(board, place, width));
            self.update_lines(cx.lines);
            value
        } else {
            width.ones()
        }
    }

    fn mmio_write(&mut self, cx: &mut BusContext<'_>, addr: u64, width: Width, value: u32) {
        if ROM.contains(&addr) {
            i440fx::write_shadowed(cx.mem, addr, width, value);
        } else if VIDEO.contains(&addr) {
            let mut planes = Planes::new(cx.mem);
            for (n, byte) in (0u64..).zip(value.to_le_bytes()).take(width.bytes() as usize) {
                self.devices.vga.write_memory(&mut planes, addr + n, byte);
            }
        } else if test_device::MEMORY.contains(&addr) {
            self.devices.test.write_memory(addr - test_device::MEMORY.start, width, value);
        } else if let Some(place) = self.devices.virtio.decode(&self.devices.pci, addr) {
            with_board!(self, cx, |board, pci, virtio| virtio.write(board, pci, place, width, value));
            self.update_lines(cx.lines);
        } else if width == Width::Dword && addr & 3 == 0 {
            let timer = &mut TimerBoard { now: cx.vtime, events: &mut self.devices.events };
            self.devices.interrupts.write_memory(timer, addr, value);
            self.update_lines(cx.lines);
        }
    }

    fn set_apic_base(&mut self, cx: &mut BusContext<'_>, value: u64) {
        self.devices.interrupts.set_apic_base(value);
        self.update_lines(cx.lines);
    }

    fn acknowledge_interrupt(&mut self, cx: &mut BusContext<'_>) -> u8 {
        let vector = self.devices.interrupts.acknowledge();
        self.update_lines(cx.lines);
        vector
    }

    fn float_error(&mut self, cx: &mut BusContext<'_>) {
        with_board!(self, cx, |board, control| control.raise_float_error(board));
        self.update_lines(cx.lines);
    }

    fn as_any(&self) -> &dyn Any {
        self
    }

    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

#[cfg(test)]
mod tests;
