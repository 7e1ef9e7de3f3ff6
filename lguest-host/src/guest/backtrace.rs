//! How a Guest's kernel got to where it is, along its frame pointers: for the report of its death.
//!
//! Everything read is the Guest's to write. The walk goes upwards only, and ends where it cannot go on.

use super::Guest;

/// Steps at most.
pub const DEPTH: usize = 16;
/// From one frame to the next, at most: the size of a kernel stack is less.
const FRAME: u32 = 0x4000;
/// Linux on i386 puts the address of the registers that an exception or interrupt saved where a frame pointer belongs, with
/// this bit cleared (`asm/frame.h`). In the registers: EBP, EIP, CS.
const KERNEL_BIT: u32 = 1 << 31;
const SAVED_EBP: u32 = 20;
const SAVED_EIP: u32 = 48;
const SAVED_CS: u32 = 52;

/// One place of a backtrace.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Its linear address.
    pub address: u32,
    /// The instruction there was about to execute when something interrupted it; otherwise a call returns there.
    pub interrupted: bool,
}

impl Guest {
    /// Where the kernel is, innermost first; of a program in ring 3 its EIP alone.
    pub fn backtrace(&mut self) -> impl Iterator<Item = Step> + use<> {
        let frame = *self.frame();
        let mut steps = [None; DEPTH];
        steps[0] = Some(Step { address: frame.eip, interrupted: true });
        if frame.cs & 3 == 1 {
            let (mut below, mut pointer) = (frame.esp.wrapping_sub(4), frame.ebp);
            for step in &mut steps[1..] {
                let Some((at, found, next)) = self.caller(below, pointer) else { break };
                *step = Some(found);
                (below, pointer) = (at, next);
            }
        }
        steps.into_iter().flatten()
    }

    /// What the frame at `pointer` tells, above `below`: where it is, who called, and the next frame pointer.
    fn caller(&self, below: u32, pointer: u32) -> Option<(u32, Step, u32)> {
        let plausible = |at: u32| at.is_multiple_of(4) && at > below && at - below < FRAME;
        let word = |at: u32| self.linear_word(at).ok();
        if plausible(pointer) {
            let address = word(pointer.wrapping_add(4))?;
            return (address != 0).then_some((pointer, Step { address, interrupted: false }, word(pointer)?));
        }
        let registers = pointer | KERNEL_BIT;
        if registers == pointer || !plausible(registers) || word(registers.wrapping_add(SAVED_CS))? & 3 != 1 {
            return None;
        }
        let address = word(registers.wrapping_add(SAVED_EIP))?;
        Some((registers, Step { address, interrupted: true }, word(registers.wrapping_add(SAVED_EBP))?))
    }
}
