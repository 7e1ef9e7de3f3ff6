//! One decoded instruction, ready to execute.

use crate::Cpu;
use crate::fault::Fault;
use crate::seg::SegReg;
use iced_x86::Code;

/// Executes one instruction. On `Err` nothing the program can see has changed, except completed REP iterations and
/// parts of multi-word stores.
pub(crate) type Handler = fn(&mut Cpu, &Op) -> Result<(), Fault>;

/// Prefixes that handlers look at.
pub(crate) struct Prefix;

impl Prefix {
    /// F3.
    pub const REP: u8 = 1;
    /// F2.
    pub const REPNE: u8 = 2;
    /// F0.
    pub const LOCK: u8 = 4;
    /// An implicit memory operand (string instructions) has a 16-bit address.
    pub const A16: u8 = 8;
    /// No prefix: the compiled engine's mark of an IN that begins a loop which waits (`jit::poll`).
    #[cfg(jit)]
    pub const POLL: u8 = 16;
    /// No prefix: its immediate or displacement is written to, so code must read it from here (`decode::rewritten`).
    #[cfg(jit)]
    pub const SOFT: u8 = 32;
}

/// A memory operand: `seg:[base + index << scale + disp]`, truncated to the address size.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ea {
    pub seg: SegReg,
    /// Register number, or [`Ea::NONE`].
    pub base: u8,
    /// Register number, or [`Ea::NONE`].
    pub index: u8,
    /// 0 to 3.
    pub scale: u8,
    pub disp: u32,
    /// All ones, or 0xFFFF with 16-bit addressing.
    pub mask: u32,
}

impl Ea {
    pub const NONE: u8 = 8;
    pub const ABSENT: Ea =
        Ea { seg: SegReg::Ds, base: Ea::NONE, index: Ea::NONE, scale: 0, disp: 0, mask: u32::MAX };

    /// Offset in the segment.
    #[inline(always)]
    pub fn offset(&self, cpu: &Cpu) -> u32 {
        let mut offset = self.disp;
        if self.base < 8 {
            offset = offset.wrapping_add(cpu.regs.gpr[self.base as usize]);
        }
        if self.index < 8 {
            offset = offset.wrapping_add(cpu.regs.gpr[self.index as usize] << self.scale);
        }
        offset & self.mask
    }
}

/// A decoded instruction.
#[derive(Clone, Copy)]
pub(crate) struct Op {
    pub run: Handler,
    pub ea: Ea,
    /// First immediate; displacement of a near branch (relative to the next instruction); offset of a far pointer;
    /// opcode of an x87 instruction as the x87 remembers it.
    pub imm: u32,
    /// Second immediate; selector of a far pointer.
    pub imm2: u16,
    /// Register numbers of operands 0 to 2 (8-bit: 4-7 are AH-BH; segment, control, debug, MMX, XMM, ST likewise).
    pub reg: [u8; 3],
    /// [`Prefix`] bits.
    pub prefix: u8,
    /// Length in bytes.
    pub len: u8,
    /// iced-x86's name of the exact encoding.
    pub code: Code,
}

impl Op {
    /// Whether all bits of `prefix` are present.
    #[inline(always)]
    pub fn has(&self, prefix: u8) -> bool {
        self.prefix & prefix != 0
    }
}
