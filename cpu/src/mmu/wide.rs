//! 128-bit operands. They travel as two halves, but are checked as one: a store writes nothing unless all sixteen
//! bytes are permitted.

use super::View;
use super::access::segment_fault;
use crate::Cpu;
use crate::fault::Fault;
use crate::seg::SegReg;

/// Size of the operand in bytes.
const SIZE: u32 = 16;

impl Cpu {
    /// Read sixteen bytes at `seg:offset`.
    ///
    /// # Errors
    /// #GP(0) or #SS(0) for the segment, #AC(0), #PF.
    pub fn load128(&mut self, seg: SegReg, offset: u32) -> Result<u128, Fault> {
        let s = &self.regs.seg[seg as usize];
        if !s.allows_read(offset, SIZE) {
            return Err(segment_fault(seg));
        }
        let linear = s.base.wrapping_add(offset);
        self.check_alignment128(linear)?;
        let low: u64 = self.load_linear(linear)?;
        let high: u64 = self.load_linear(linear.wrapping_add(8))?;
        Ok((high as u128) << 64 | low as u128)
    }

    /// Write sixteen bytes at `seg:offset`.
    ///
    /// # Errors
    /// As [`Self::load128`].
    pub fn store128(&mut self, seg: SegReg, offset: u32, value: u128) -> Result<(), Fault> {
        self.probe_write128(seg, offset)?;
        let linear = self.regs.seg[seg as usize].base.wrapping_add(offset);
        self.store_linear(linear, value as u64)?;
        self.store_linear(linear.wrapping_add(8), (value >> 64) as u64)
    }

    /// Check that sixteen bytes could be written at `seg:offset`.
    ///
    /// # Errors
    /// As [`Self::load128`].
    pub fn probe_write128(&mut self, seg: SegReg, offset: u32) -> Result<(), Fault> {
        let s = &self.regs.seg[seg as usize];
        if !s.allows_write(offset, SIZE) {
            return Err(segment_fault(seg));
        }
        self.check_alignment128(s.base.wrapping_add(offset))?;
        self.probe_write::<u64>(seg, offset)?;
        self.probe_write::<u64>(seg, offset.wrapping_add(8))
    }

    /// The alignment check asks for all sixteen, also of MOVUPS and its kin (SDM vol. 3, 6.15 leaves that open; silicon
    /// does).
    fn check_alignment128(&self, linear: u32) -> Result<(), Fault> {
        if self.view == View::Checked && linear & (SIZE - 1) != 0 { Err(Fault::AC) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::regs::cr0;
    use crate::testing::in_ring;

    #[test]
    fn the_alignment_check_asks_for_sixteen() {
        let mut cpu = in_ring(3, &[]);
        cpu.regs.cr0 |= cr0::AM;
        cpu.regs.flags.put(crate::flags::AC, true);
        cpu.state_changed();
        for (offset, good) in [(0x9000, true), (0x9008, false), (0x9001, false)] {
            let expected = if good { Ok(()) } else { Err(Fault::AC) };
            assert_eq!(cpu.load128(SegReg::Ds, offset).map(|_| ()), expected);
            assert_eq!(cpu.store128(SegReg::Ds, offset, 0), expected);
        }
    }
}
