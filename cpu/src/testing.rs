//! A processor ready to run a few bytes of flat 32-bit ring-0 code, for tests.

use crate::Cpu;
use crate::bus::EmptyBus;
use crate::decode::{Decoded, decode_one};
use crate::fault::Fault;
use crate::mem::{PhysMem, Ram};
use crate::regs::{cr0, gpr};
use crate::seg::{SegReg, Segment};

/// Where [`flat`] puts the code.
pub(crate) const CODE: u32 = 0x1000;
/// Initial ESP.
pub(crate) const STACK: u32 = 0x8000;

/// Protected mode, flat segments, no paging, 256 KiB of RAM, `code` at [`CODE`], ESP at [`STACK`].
pub(crate) fn flat(code: &[u8]) -> Cpu {
    let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(0x40000)), Box::new(EmptyBus));
    assert!(cpu.mem.write_bytes(CODE as u64, code));
    cpu.regs.cr0 |= cr0::PE;
    for (n, seg) in cpu.regs.seg.iter_mut().enumerate() {
        let code = n == SegReg::Cs as usize;
        let (selector, kind) = if code { (8, 0x9B00) } else { (16, 0x9300) };
        *seg = Segment::new(selector, 0, u32::MAX, 0x00C0_0000 | kind);
    }
    cpu.regs.eip = CODE;
    cpu.regs.gpr[gpr::ESP] = STACK;
    cpu.state_changed();
    cpu
}

/// What the instruction with these bytes does, without delivering its fault or moving EIP.
pub(crate) fn execute(cpu: &mut Cpu, code: &[u8]) -> Result<(), Fault> {
    match decode_one(code, true) {
        Decoded::Op(op, _) => (op.run)(cpu, &op),
        Decoded::NeedMore => panic!("{code:x?} is not a whole instruction"),
    }
}
