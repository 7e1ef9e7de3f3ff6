//! The bus-master half of an IDE channel (82371SB data sheet, 2.7 and 3.5.3): three registers, and the walk along the
//! table of physical region descriptors that says where in memory the data goes.

use super::drive::Direction;
use crate::media::{Medium, SECTOR};
use cpu::mem::PhysMem;
use serde::{Deserialize, Serialize};

/// Command register: start; direction is to memory.
const START: u8 = 0x01;
const TO_MEMORY: u8 = 0x08;

/// Status register: active, error, interrupt, and two bits for software.
const ACTIVE: u8 = 0x01;
const ERROR: u8 = 0x02;
const INTERRUPT: u8 = 0x04;
const CAPABLE: u8 = 0x60;

/// Last descriptor of the table.
const END_OF_TABLE: u32 = 0x8000_0000;
/// Most bytes moved at a time.
const PIECE: usize = 64 << 10;

/// How a transfer ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The drive has moved all its data.
    Done,
    /// The table ended, or leads nowhere: the drive still waits.
    Stuck,
}

/// BMICX, BMISX, BMIDTPX.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BusMaster {
    command: u8,
    status: u8,
    table: u32,
}

impl BusMaster {
    /// Byte register 0 to 7.
    pub fn read(&self, register: u16) -> u8 {
        match register {
            0 => self.command,
            2 => self.status,
            4..=7 => self.table.to_le_bytes()[usize::from(register - 4)],
            _ => 0,
        }
    }

    /// Byte register 0 to 7.
    pub fn write(&mut self, register: u16, value: u8) {
        match register {
            0 => {
                let started = value & START != 0;
                if started && self.command & START == 0 {
                    self.status |= ACTIVE;
                } else if !started {
                    self.status &= !ACTIVE;
                }
                self.command = value & (START | TO_MEMORY);
            }
            // Interrupt and error are cleared by writing ones.
            2 => self.status = self.status & !(value & (INTERRUPT | ERROR)) & !CAPABLE | value & CAPABLE,
            4..=7 => {
                let mut bytes = self.table.to_le_bytes();
                bytes[usize::from(register - 4)] = value;
                self.table = u32::from_le_bytes(bytes) & !3;
            }
            _ => {}
        }
    }

    /// Whether it is ready to move data in `direction`.
    pub fn is_active(&self, direction: Direction) -> bool {
        let to_memory = self.command & TO_MEMORY != 0;
        self.status & ACTIVE != 0 && to_memory == (direction == Direction::In)
    }

    /// The function may not master the bus: nothing moves.
    pub fn abort(&mut self) {
        self.status = self.status & !ACTIVE | ERROR;
    }

    /// The drive's interrupt line rises.
    pub fn note_interrupt(&mut self) {
        self.status |= INTERRUPT;
    }

    /// Move `sectors` from `start` on between `medium` and memory.
    pub fn transfer(
        &mut self,
        mem: &mut PhysMem,
        medium: &mut Medium,
        direction: Direction,
        (start, sectors): (u64, u32),
    ) -> Outcome {
        let mut table = Table { next: self.table, region: 0, left: 0, last: false };
        let mut sector = start;
        let mut left = sectors as usize * SECTOR;
        let mut buffer = vec![0; PIECE.min(left)];
        while left > 0 {
            let piece = &mut buffer[..PIECE.min(left)];
            if direction == Direction::In {
                medium.read(sector, piece);
            }
            if let Err(status) = table.move_piece(mem, piece, direction) {
                self.status = self.status & !ACTIVE | status;
                return Outcome::Stuck;
            }
            if direction == Direction::Out {
                medium.write(sector, piece);
            }
            sector += (piece.len() / SECTOR) as u64;
            left -= piece.len();
        }
        // With room left in the table the engine stays active until software stops it.
        if table.last && table.left == 0 {
            self.status &= !ACTIVE;
        }
        Outcome::Done
    }
}

/// A place in the table of descriptors.
struct Table {
    next: u32,
    region: u32,
    left: u32,
    last: bool,
}

impl Table {
    /// Move `piece` to or from where the table says. Fails with bits for the status register.
    fn move_piece(
        &mut self,
        mem: &mut PhysMem,
        mut piece: &mut [u8],
        direction: Direction,
    ) -> Result<(), u8> {
        while !piece.is_empty() {
            if self.left == 0 {
                self.advance(mem)?;
            }
            let n = (self.left as usize).min(piece.len());
            let (now, later) = piece.split_at_mut(n);
            let moved = match direction {
                Direction::In => mem.write_bytes(self.region.into(), now),
                Direction::Out => {
                    mem.slice(self.region.into(), n).map(|bytes| now.copy_from_slice(bytes)).is_some()
                }
            };
            if !moved {
                return Err(ERROR);
            }
            self.region = self.region.wrapping_add(n as u32);
            self.left -= n as u32;
            piece = later;
        }
        Ok(())
    }

    fn advance(&mut self, mem: &PhysMem) -> Result<(), u8> {
        if self.last {
            return Err(0);
        }
        let entry = mem.slice(self.next.into(), 8).ok_or(ERROR)?;
        let word = |at: usize| entry[at..].first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
        self.region = word(0) & !1;
        self.left = match word(4) & 0xFFFE {
            0 => 0x1_0000,
            n => n,
        };
        self.last = word(4) & END_OF_TABLE != 0;
        self.next = self.next.wrapping_add(8);
        Ok(())
    }
}
