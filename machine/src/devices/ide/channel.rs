//! One IDE channel: two drives on a cable, the registers they share, the interrupt line, and the bus master.

use super::bus_master::{BusMaster, Outcome};
use super::drive::{Drive, Phase, Work};
use crate::devices::Board;
use crate::events::Event;
use serde::{Deserialize, Serialize};

/// How long a drive is busy with anything: mechanics are not modelled, but BSY can be seen.
const BUSY_TICKS: u64 = 1000;

/// Device control register: no interrupts, software reset, previous contents.
const N_IEN: u8 = 0x02;
const SRST: u8 = 0x04;
const HOB: u8 = 0x80;

/// Device register: device 1.
const DEV: u8 = 0x10;

/// What a cable without drives reads as: pulled up, but for DD7 (ATA/ATAPI-6, 4.2), so that nothing is busy.
const NOBODY: u8 = 0x7F;

/// Primary or secondary channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Channel {
    number: u8,
    drives: [Option<Drive>; 2],
    control: u8,
    device_one: bool,
    line: bool,
    /// The bus-master registers.
    pub bus_master: BusMaster,
}

impl Channel {
    /// The primary channel is number 0.
    pub fn new(number: u8) -> Channel {
        Channel {
            number,
            drives: [None, None],
            control: 0,
            device_one: false,
            line: false,
            bus_master: BusMaster::default(),
        }
    }

    /// Connect a drive.
    pub fn connect(&mut self, place: usize, drive: Drive) {
        self.drives[place & 1] = Some(drive);
    }

    /// RESET of the machine.
    pub fn reset(&mut self) {
        let drives = std::mem::take(&mut self.drives);
        let again = drives.map(|drive| drive.map(|drive| Drive::new(drive.number(), drive.sectors())));
        *self = Channel { drives: again, ..Channel::new(self.number) };
    }

    fn irq(&self) -> u8 {
        14 + self.number
    }

    fn is_empty(&self) -> bool {
        self.drives.iter().all(Option::is_none)
    }

    fn selected(&self) -> Option<&Drive> {
        self.drives[usize::from(self.device_one)].as_ref()
    }

    /// The drive that answers: device 0 does so for an absent device 1 (ATA/ATAPI-6, 9.16.1).
    fn answering(&self) -> Option<&Drive> {
        self.selected().or(self.drives[0].as_ref())
    }

    fn is_busy(&self) -> bool {
        self.drives.iter().flatten().any(|drive| matches!(drive.phase, Phase::Busy(_)))
    }

    /// Command block register 0 to 7, of the data register a byte.
    pub fn read(&mut self, board: &mut Board<'_>, register: u16) -> u8 {
        if self.is_empty() {
            return NOBODY;
        }
        match register {
            0 => {
                let byte = self.drives[usize::from(self.device_one)].as_mut().map_or(0, Drive::read_data);
                self.update(board);
                byte
            }
            7 => {
                if let Some(drive) = &mut self.drives[usize::from(self.device_one)] {
                    drive.interrupt = false;
                }
                self.update(board);
                self.alternate_status()
            }
            _ if self.is_busy() => self.alternate_status(),
            6 => self.answering().map_or(NOBODY, |drive| drive.read(6, false) & !DEV) | self.device_bit(),
            _ => self.answering().map_or(NOBODY, |drive| drive.read(register, self.control & HOB != 0)),
        }
    }

    fn device_bit(&self) -> u8 {
        if self.device_one { DEV } else { 0 }
    }

    /// Alternate status register: as status, without acknowledging the interrupt.
    pub fn alternate_status(&self) -> u8 {
        match (self.is_empty(), self.selected()) {
            (true, _) => NOBODY,
            (false, drive) => drive.map_or(0, Drive::status),
        }
    }

    /// Command block register 0 to 7, of the data register a byte.
    pub fn write(&mut self, board: &mut Board<'_>, register: u16, value: u8) {
        // A busy drive takes nothing.
        if self.is_busy() || self.control & SRST != 0 {
            return;
        }
        let selected = usize::from(self.device_one);
        match register {
            0 => {
                if let Some(drive) = &mut self.drives[selected] {
                    drive.write_data(value);
                }
            }
            7 => self.command(board, value),
            _ => {
                self.control &= !HOB;
                self.drives.iter_mut().flatten().for_each(|drive| drive.task.write(register, value));
                if register == 6 {
                    self.device_one = value & DEV != 0;
                }
            }
        }
        self.update(board);
    }

    fn command(&mut self, board: &mut Board<'_>, opcode: u8) {
        const EXECUTE_DEVICE_DIAGNOSTIC: u8 = 0x90;
        const FLUSH_CACHE: [u8; 2] = [0xE7, 0xEA];
        self.control &= !HOB;
        if opcode == EXECUTE_DEVICE_DIAGNOSTIC {
            self.device_one = false;
            let works = [Work::Diagnostic, Work::Reset];
            self.drives.iter_mut().zip(works).for_each(|(drive, work)| {
                drive.iter_mut().for_each(|drive| drive.begin_reset(work));
            });
            return;
        }
        let Some(drive) = &mut self.drives[usize::from(self.device_one)] else { return };
        let Some(medium) = board.media.get_mut(usize::from(drive.number())) else { return };
        drive.command(opcode, medium);
        if FLUSH_CACHE.contains(&opcode) && medium.flush() {
            board.outputs.stop_now();
        }
    }

    /// Device control register.
    pub fn write_control(&mut self, board: &mut Board<'_>, value: u8) {
        let released = self.control & SRST != 0 && value & SRST == 0;
        self.control = value & (HOB | SRST | N_IEN);
        if value & SRST != 0 || released {
            self.device_one = false;
            self.drives.iter_mut().flatten().for_each(|drive| drive.begin_reset(Work::Reset));
        }
        self.update(board);
    }

    /// Bus-master register 0 to 7.
    pub fn write_bus_master(&mut self, board: &mut Board<'_>, register: u16, value: u8) {
        self.bus_master.write(register, value);
        self.update(board);
    }

    /// A busy moment is over, or the bus master gets to work, if it may reach memory.
    pub fn on_event(&mut self, board: &mut Board<'_>, may_master: bool) {
        let Channel { drives, bus_master, control, .. } = self;
        if *control & SRST != 0 {
            return;
        }
        for drive in drives.iter_mut().flatten() {
            let Some(medium) = board.media.get_mut(usize::from(drive.number())) else { continue };
            match drive.phase {
                Phase::Busy(work) => drive.work(work, medium),
                Phase::Dma(_) if !may_master => bus_master.abort(),
                Phase::Dma(direction) if bus_master.is_active(direction) => {
                    let Some(extent) = drive.dma_extent(medium) else { continue };
                    if bus_master.transfer(board.mem, medium, direction, extent) == Outcome::Done {
                        drive.end_dma();
                    }
                }
                _ => {}
            }
        }
        self.update(board);
    }

    /// Bring the interrupt line and the event queue up to date.
    fn update(&mut self, board: &mut Board<'_>) {
        let pending = self.selected().is_some_and(|drive| drive.interrupt);
        let line = pending && self.control & N_IEN == 0;
        if line && !self.line {
            self.bus_master.note_interrupt();
        }
        self.line = line;
        board.interrupts.set_irq(self.irq(), line);
        let at_work = self.drives.iter().flatten().any(|drive| match drive.phase {
            Phase::Busy(_) => self.control & SRST == 0,
            Phase::Dma(direction) => self.bus_master.is_active(direction),
            Phase::Idle | Phase::Data(_) => false,
        });
        let event = Event::Ide(self.number);
        match (at_work, board.events.is_scheduled(event)) {
            (true, false) => board.events.schedule(event, board.now.saturating_add(BUSY_TICKS)),
            (false, true) => board.events.cancel(event),
            _ => {}
        }
    }
}
