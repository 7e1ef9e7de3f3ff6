//! One hard disk: its registers and what its commands do (ATA/ATAPI-6, chapters 6 to 9).
//!
//! A command is accepted, takes a moment in which the drive is busy, and moves data by blocks: through the data
//! register, or all at once by bus-master DMA. What is to happen when the moment is over is the [`Phase`].

use super::identify::{HEADS, MAX_MULTIPLE, SECTORS_PER_TRACK, identify};
use crate::media::{Medium, SECTOR};
use serde::{Deserialize, Serialize};

/// Status register.
pub mod status {
    pub const ERR: u8 = 0x01;
    pub const DRQ: u8 = 0x08;
    pub const DSC: u8 = 0x10;
    pub const DRDY: u8 = 0x40;
    pub const BSY: u8 = 0x80;
}

/// Error register: command aborted.
const ABRT: u8 = 0x04;
/// Error register: no such sector.
const IDNF: u8 = 0x10;
/// Error register after a diagnostic: device 0 passed, device 1 passed or is not there.
const PASSED: u8 = 0x01;

/// Device register: the address is a logical block address.
const LBA: u8 = 0x40;

/// The registers a host writes. Each remembers the byte before the last, for 48-bit addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskFile {
    /// Features, sector count, LBA low, mid and high: current and previous contents.
    bytes: [[u8; 2]; 5],
    /// Device.
    pub device: u8,
}

/// Places in [`TaskFile`].
const FEATURES: usize = 0;
const COUNT: usize = 1;
const LBA_LOW: usize = 2;

impl TaskFile {
    /// Register 1 to 6 is written.
    pub fn write(&mut self, register: u16, value: u8) {
        match self.bytes.get_mut(usize::from(register).wrapping_sub(1)) {
            Some(pair) => *pair = [value, pair[0]],
            None => self.device = value | 0xA0,
        }
    }

    fn read(&self, register: u16, previous: bool) -> u8 {
        let pair = self.bytes.get(usize::from(register).wrapping_sub(1));
        pair.map_or(self.device, |pair| pair[usize::from(previous)])
    }

    fn lba(&self, previous: usize) -> u64 {
        (0..3).fold(0, |lba, n| lba | u64::from(self.bytes[LBA_LOW + n][previous]) << (8 * n))
    }

    fn set_lba(&mut self, previous: usize, value: u64) {
        (0..3).for_each(|n| self.bytes[LBA_LOW + n][previous] = (value >> (8 * n)) as u8);
    }
}

/// Which way data goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// From the drive.
    In,
    /// To the drive.
    Out,
}

/// What a busy drive does when its moment is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Work {
    /// Report the end of the command.
    Finish,
    /// Fill the buffer with the next block.
    Fetch,
    /// Put the buffer on the medium.
    Store,
    /// Come out of a reset.
    Reset,
    /// Come out of a diagnostic: a reset that reports its end.
    Diagnostic,
}

/// Where the current command is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// None is running.
    #[default]
    Idle,
    /// BSY.
    Busy(Work),
    /// DRQ: the host empties or fills the buffer.
    Data(Direction),
    /// The bus master is to move the data.
    Dma(Direction),
}

/// How a command addresses sectors.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Addressing {
    /// CHS or 28-bit LBA, as the device register says.
    Short,
    /// 48-bit LBA.
    Long,
}

/// A drive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Drive {
    number: u8,
    sectors: u64,
    /// What the host wrote.
    pub task: TaskFile,
    error: u8,
    failed: bool,
    /// The current command.
    pub phase: Phase,
    /// INTRQ is pending.
    pub interrupt: bool,
    buffer: Vec<u8>,
    position: usize,
    /// Next sector, and how many are left.
    sector: u64,
    left: u32,
    /// Sectors in a block of the current command.
    block: u32,
    long: bool,
    /// SET MULTIPLE MODE; 0 is disabled.
    pub(super) multiple: u8,
    /// SET FEATURES 03: mode in bits 2:0, kind above.
    transfer_mode: u8,
    heads: u8,
    per_track: u8,
    pub(super) write_cache: bool,
    pub(super) look_ahead: bool,
}

impl Drive {
    /// Disk `number` of the machine (0 to 3) after power-up.
    pub fn new(number: u8, sectors: u64) -> Drive {
        let mut drive = Drive {
            number,
            sectors,
            task: TaskFile::default(),
            error: 0,
            failed: false,
            phase: Phase::Idle,
            interrupt: false,
            buffer: Vec::new(),
            position: 0,
            sector: 0,
            left: 0,
            block: 1,
            long: false,
            multiple: 0,
            transfer_mode: 0,
            heads: HEADS as u8,
            per_track: SECTORS_PER_TRACK as u8,
            write_cache: true,
            look_ahead: true,
        };
        drive.come_up();
        drive
    }

    /// Which medium is in it.
    pub fn number(&self) -> u8 {
        self.number
    }

    /// Its size.
    pub fn sectors(&self) -> u64 {
        self.sectors
    }

    /// Heads and sectors per track of the current translation.
    pub(super) fn geometry(&self) -> (u16, u16) {
        (self.heads.into(), self.per_track.into())
    }

    /// The bit in the high byte of an IDENTIFY word that says which mode of `kind` is selected.
    pub(super) fn selected_mode(&self, kind: u8) -> u16 {
        if self.transfer_mode >> 3 == kind { 0x0100 << (self.transfer_mode & 7).min(7) } else { 0 }
    }

    /// The status register.
    pub fn status(&self) -> u8 {
        use status::{BSY, DRDY, DRQ, DSC, ERR};
        match self.phase {
            Phase::Busy(_) => BSY,
            Phase::Data(_) | Phase::Dma(_) => DRDY | DSC | DRQ,
            Phase::Idle => DRDY | DSC | if self.failed { ERR } else { 0 },
        }
    }

    /// Register 1 to 6, or with `previous` what was there before.
    pub fn read(&self, register: u16, previous: bool) -> u8 {
        if register == 1 { self.error } else { self.task.read(register, previous) }
    }

    /// A software reset or a diagnostic begins.
    pub fn begin_reset(&mut self, work: Work) {
        self.phase = Phase::Busy(work);
        self.interrupt = false;
    }

    /// The signature of a hard disk (9.12), and what a reset ends.
    fn come_up(&mut self) {
        self.phase = Phase::Idle;
        self.failed = false;
        self.error = PASSED;
        self.task = TaskFile { device: 0xA0, ..TaskFile::default() };
        self.task.bytes[COUNT][0] = 1;
        self.task.bytes[LBA_LOW][0] = 1;
        self.multiple = 0;
    }

    /// The moment of `work` is over.
    pub fn work(&mut self, work: Work, medium: &mut Medium) {
        match work {
            Work::Reset => self.come_up(),
            Work::Diagnostic => {
                self.come_up();
                self.interrupt = true;
            }
            Work::Finish => self.finish(),
            Work::Fetch => self.fetch(medium),
            Work::Store => self.store(medium),
        }
    }

    fn finish(&mut self) {
        self.phase = Phase::Idle;
        self.interrupt = true;
    }

    fn fail(&mut self, error: u8) {
        self.error = error;
        self.failed = true;
        self.finish();
    }

    /// Fail at the current sector, whose address the registers then hold.
    fn fail_at_sector(&mut self) {
        if self.long {
            self.task.set_lba(1, self.sector >> 24);
        } else if self.task.device & LBA != 0 {
            self.task.device = self.task.device & 0xF0 | (self.sector >> 24 & 0x0F) as u8;
        }
        if self.long || self.task.device & LBA != 0 {
            self.task.set_lba(0, self.sector);
        }
        self.fail(IDNF);
    }

    fn open_buffer(&mut self, len: usize, direction: Direction) {
        self.buffer.resize(len, 0);
        self.position = 0;
        self.phase = Phase::Data(direction);
    }

    fn block_len(&self) -> usize {
        self.block.min(self.left) as usize * SECTOR
    }

    fn fetch(&mut self, medium: &Medium) {
        let len = self.block_len();
        if !medium.contains(self.sector, (len / SECTOR) as u64) {
            return self.fail_at_sector();
        }
        self.open_buffer(len, Direction::In);
        medium.read(self.sector, &mut self.buffer);
        self.advance(len);
        self.interrupt = true;
    }

    fn store(&mut self, medium: &mut Medium) {
        let len = self.buffer.len();
        if !medium.contains(self.sector, (len / SECTOR) as u64) {
            return self.fail_at_sector();
        }
        medium.write(self.sector, &self.buffer);
        self.advance(len);
        if self.left == 0 {
            return self.finish();
        }
        self.open_buffer(self.block_len(), Direction::Out);
        self.interrupt = true;
    }

    fn advance(&mut self, bytes: usize) {
        let sectors = (bytes / SECTOR) as u32;
        self.sector += u64::from(sectors);
        self.left = self.left.saturating_sub(sectors);
    }

    /// The host reads a byte of the data register.
    pub fn read_data(&mut self) -> u8 {
        if self.phase != Phase::Data(Direction::In) {
            return 0xFF;
        }
        let byte = self.buffer.get(self.position).copied().unwrap_or(0xFF);
        self.position += 1;
        if self.position >= self.buffer.len() {
            self.phase = if self.left > 0 { Phase::Busy(Work::Fetch) } else { Phase::Idle };
        }
        byte
    }

    /// The host writes a byte of the data register.
    pub fn write_data(&mut self, value: u8) {
        if self.phase != Phase::Data(Direction::Out) {
            return;
        }
        if let Some(byte) = self.buffer.get_mut(self.position) {
            *byte = value;
        }
        self.position += 1;
        if self.position >= self.buffer.len() {
            self.phase = Phase::Busy(Work::Store);
        }
    }

    /// Sectors a DMA command is to move, if they exist; otherwise it fails.
    pub fn dma_extent(&mut self, medium: &Medium) -> Option<(u64, u32)> {
        if medium.contains(self.sector, self.left.into()) {
            return Some((self.sector, self.left));
        }
        self.sector = self.sector.max(medium.sectors());
        self.fail_at_sector();
        None
    }

    /// All data of a DMA command has been moved.
    pub fn end_dma(&mut self) {
        self.left = 0;
        self.finish();
    }

    /// Take the address from the registers. Returns false if it cannot be one.
    fn locate(&mut self, addressing: Addressing) -> bool {
        let [count, count_before] = self.task.bytes[COUNT];
        self.long = addressing == Addressing::Long;
        if self.long {
            self.sector = self.task.lba(0) | self.task.lba(1) << 24;
            self.left = match u32::from(count_before) << 8 | u32::from(count) {
                0 => 65_536,
                n => n,
            };
            return true;
        }
        self.left = if count == 0 { 256 } else { count.into() };
        let low = self.task.lba(0);
        let high = u64::from(self.task.device & 0x0F);
        if self.task.device & LBA != 0 {
            self.sector = low | high << 24;
            return true;
        }
        let (cylinder, sector) = (low >> 8, low & 0xFF);
        if sector == 0 || sector > u64::from(self.per_track) || high >= u64::from(self.heads) {
            return false;
        }
        self.sector = (cylinder * u64::from(self.heads) + high) * u64::from(self.per_track) + sector - 1;
        true
    }

    /// Carry out a command, or begin to.
    pub fn command(&mut self, opcode: u8, medium: &mut Medium) {
        use Addressing::{Long, Short};
        use Direction::{In, Out};
        self.interrupt = false;
        self.error = 0;
        self.failed = false;
        self.phase = Phase::Busy(Work::Finish);
        let multiple = u32::from(self.multiple);
        match opcode {
            // READ SECTORS, READ SECTORS EXT.
            0x20 | 0x21 => self.begin_pio(Short, In, 1),
            0x24 => self.begin_pio(Long, In, 1),
            // READ MULTIPLE, READ MULTIPLE EXT.
            0xC4 => self.begin_pio(Short, In, multiple),
            0x29 => self.begin_pio(Long, In, multiple),
            // WRITE SECTORS, WRITE SECTORS EXT.
            0x30 | 0x31 => self.begin_pio(Short, Out, 1),
            0x34 => self.begin_pio(Long, Out, 1),
            // WRITE MULTIPLE, WRITE MULTIPLE EXT.
            0xC5 => self.begin_pio(Short, Out, multiple),
            0x39 => self.begin_pio(Long, Out, multiple),
            // READ DMA, WRITE DMA, and EXT.
            0xC8 | 0xC9 => self.begin_dma(Short, In),
            0x25 => self.begin_dma(Long, In),
            0xCA | 0xCB => self.begin_dma(Short, Out),
            0x35 => self.begin_dma(Long, Out),
            // READ VERIFY SECTORS, READ VERIFY SECTORS EXT, SEEK.
            0x40 | 0x41 => self.verify(Short, medium, None),
            0x42 => self.verify(Long, medium, None),
            0x70 => self.verify(Short, medium, Some(1)),
            // RECALIBRATE.
            0x10..=0x1F => {}
            // INITIALIZE DEVICE PARAMETERS.
            0x91 if self.task.bytes[COUNT][0] != 0 => {
                self.per_track = self.task.bytes[COUNT][0];
                self.heads = (self.task.device & 0x0F) + 1;
            }
            0xC6 => self.set_multiple(),
            0xEC => {
                self.left = 0;
                let data = identify(self);
                self.open_buffer(data.len(), In);
                self.buffer = data;
                self.interrupt = true;
            }
            0xEF => self.set_features(),
            // STANDBY and IDLE, immediate or not, SLEEP; and their first opcodes.
            0xE0..=0xE3 | 0xE6 | 0x94..=0x97 | 0x99 => {}
            // CHECK POWER MODE: active.
            0xE5 | 0x98 => self.task.bytes[COUNT][0] = 0xFF,
            // FLUSH CACHE, FLUSH CACHE EXT.
            0xE7 | 0xEA => {}
            _ => self.fail(ABRT),
        }
    }

    fn begin_pio(&mut self, addressing: Addressing, direction: Direction, block: u32) {
        if block == 0 {
            return self.fail(ABRT);
        }
        self.block = block;
        match (self.locate(addressing), direction) {
            (false, _) => self.fail(IDNF),
            (true, Direction::In) => self.phase = Phase::Busy(Work::Fetch),
            // The first block is asked for without an interrupt.
            (true, Direction::Out) => self.open_buffer(self.block_len(), Direction::Out),
        }
    }

    fn begin_dma(&mut self, addressing: Addressing, direction: Direction) {
        if self.locate(addressing) {
            self.phase = Phase::Dma(direction);
        } else {
            self.fail(IDNF);
        }
    }

    /// Check that the addressed sectors exist: `count` of them, or as many as the registers say.
    fn verify(&mut self, addressing: Addressing, medium: &Medium, count: Option<u32>) {
        let located = self.locate(addressing);
        self.left = count.unwrap_or(self.left);
        if !located {
            self.fail(IDNF);
        } else if !medium.contains(self.sector, self.left.into()) {
            self.sector = self.sector.max(medium.sectors());
            self.fail_at_sector();
        }
    }

    fn set_multiple(&mut self) {
        let count = self.task.bytes[COUNT][0];
        if count <= MAX_MULTIPLE && (count == 0 || count.is_power_of_two()) {
            self.multiple = count;
        } else {
            self.fail(ABRT);
        }
    }

    fn set_features(&mut self) {
        let argument = self.task.bytes[COUNT][0];
        match self.task.bytes[FEATURES][0] {
            0x02 => self.write_cache = true,
            0x82 => self.write_cache = false,
            0xAA => self.look_ahead = true,
            0x55 => self.look_ahead = false,
            // Keep, or do not keep, settings over a software reset.
            0x66 | 0xCC => {}
            // PIO default and 0 to 4, multiword DMA 0 to 2, Ultra DMA 0 to 2.
            0x03 if matches!(argument, 0x00 | 0x01 | 0x08..=0x0C | 0x20..=0x22 | 0x40..=0x42) => {
                self.transfer_mode = argument;
            }
            _ => self.fail(ABRT),
        }
    }
}
