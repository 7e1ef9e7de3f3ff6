//! Stacks that are written before they are current: the frames of gates to inner rings and of interrupts
//! (SDM vol. 3, 5.8.5 stack switching). Nothing is committed until the whole frame is in memory.

use crate::Cpu;
use crate::fault::Fault;
use crate::mmu::View;
use crate::mutant::Mutant;
use crate::regs::gpr::ESP;
use crate::seg::{SegReg, Segment, SystemType, is_null, selector_index_bits};
use crate::word::Word;

/// A stack pointer being moved, and the rules for pushing through it.
#[derive(Clone, Copy)]
pub(crate) struct Frame {
    ss: Segment,
    esp: u32,
    /// Linear accesses are made with CPL 3's rights.
    user: bool,
    /// Error code of #SS: 0 for the current stack, the new selector for an inner one.
    error: u16,
}

impl Frame {
    /// Pushes onto the current stack.
    pub fn current(cpu: &Cpu) -> Frame {
        Frame { ss: *cpu.regs.ss(), esp: cpu.regs.gpr[ESP], user: cpu.regs.cpl == 3, error: 0 }
    }

    /// Pushes onto a stack that becomes current with the gate.
    pub fn inner(ss: Segment, esp: u32) -> Frame {
        Frame { ss, esp, user: false, error: selector_index_bits(ss.selector) }
    }

    fn mask(&self) -> u32 {
        if self.ss.big() { u32::MAX } else { 0xFFFF }
    }

    /// Push one operand.
    ///
    /// # Errors
    /// #SS, #PF.
    pub fn push<W: Word>(&mut self, cpu: &mut Cpu, value: W) -> Result<(), Fault> {
        let sp = self.esp.wrapping_sub(W::BYTES) & self.mask();
        if !self.ss.allows_write(sp, W::BYTES) {
            return Err(Fault::ss(self.error));
        }
        let linear = self.ss.base.wrapping_add(sp);
        if self.user {
            cpu.store_linear(linear, value)?
        } else {
            cpu.store_system(linear, value)?
        }
        self.esp = self.esp & !self.mask() | sp;
        Ok(())
    }

    /// Push a value as 16 or 32 bits.
    pub fn push_sized(&mut self, cpu: &mut Cpu, value: u32, wide: bool) -> Result<(), Fault> {
        if wide { self.push(cpu, value) } else { self.push(cpu, value as u16) }
    }

    /// Push `values` in order, each as 16 or 32 bits.
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn push_all(&mut self, cpu: &mut Cpu, values: &[u32], wide: bool) -> Result<(), Fault> {
        if !wide || !self.push_at_once(cpu, values) {
            for &value in values {
                self.push_sized(cpu, value, wide)?;
            }
        }
        Ok(())
    }

    /// Push 32-bit `values` if one check says that nothing can happen.
    #[inline(always)]
    pub fn push_at_once(&mut self, cpu: &mut Cpu, values: &[u32]) -> bool {
        let bytes = 4 * values.len() as u32;
        let Some(esp) = self.esp.checked_sub(bytes) else { return false };
        let view = if self.user { cpu.view } else { View::Supervisor };
        let linear = self.ss.base.wrapping_add(esp);
        let fast = cpu.tlb.fast(view, linear);
        if !self.ss.big()
            || !self.ss.allows_write(esp, bytes)
            || fast.write != linear & !0xFFF
            || linear & 0xFFF > 0x1000 - bytes
        {
            return false;
        }
        let mut at = linear.wrapping_add(fast.delta);
        for &value in values.iter().rev() {
            cpu.mem.write_at(at, value);
            at += 4;
        }
        self.esp = esp;
        true
    }

    /// Make this stack the current one. With a 16-bit stack segment the high half of ESP stays what it was.
    pub fn commit(self, cpu: &mut Cpu) {
        cpu.regs.seg[SegReg::Ss as usize] = self.ss;
        cpu.set_sp(self.esp);
    }
}

impl Cpu {
    /// SS:ESP for privilege level `cpl` from the current TSS.
    ///
    /// # Errors
    /// #TS(TSS selector) if the TSS is too small; #PF.
    pub(crate) fn tss_stack(&mut self, cpl: u8) -> Result<(u16, u32), Fault> {
        let tr = self.regs.tr;
        let wide = matches!(tr.descriptor().system_type(), SystemType::Tss32 { .. });
        let at = if wide { 4 + 8 * cpl as u32 } else { 2 + 4 * cpl as u32 };
        let size = if wide { 8 } else { 4 };
        if at + size - 1 > tr.limit {
            return Err(Fault::ts(selector_index_bits(tr.selector)));
        }
        let linear = tr.base.wrapping_add(at);
        if wide {
            let wrong = cpl == 1 && self.mutated(Mutant::TssRing1StackWrong);
            let esp = self.load_system::<u32>(if wrong { tr.base.wrapping_add(4) } else { linear })?;
            Ok((self.load_system::<u16>(linear.wrapping_add(4))?, esp))
        } else {
            let sp = self.load_system::<u16>(linear)? as u32;
            Ok((self.load_system::<u16>(linear.wrapping_add(2))?, sp))
        }
    }

    /// Check the stack segment a gate to `cpl` would use, and load it as a value.
    ///
    /// # Errors
    /// #TS(selector), #SS(selector) if not present, #PF.
    pub(crate) fn inner_stack_segment(&mut self, selector: u16, cpl: u8) -> Result<Segment, Fault> {
        let code = selector_index_bits(selector);
        if is_null(selector) {
            return Err(Fault::ts(code));
        }
        let found = self.find_descriptor(selector, Fault::ts)?;
        if selector as u8 & 3 != cpl || found.d.dpl() != cpl || !found.d.is_writable_data() {
            return Err(Fault::ts(code));
        }
        if !found.d.present() {
            return Err(Fault::ss(code));
        }
        Ok(Segment::from_descriptor(selector, self.mark_accessed(found)?))
    }

    /// The stack for a transfer to inner level `cpl`, from the TSS.
    pub(crate) fn inner_frame(&mut self, cpl: u8) -> Result<Frame, Fault> {
        let (selector, esp) = self.tss_stack(cpl)?;
        let ss = self.inner_stack_segment(selector, cpl)?;
        Ok(Frame::inner(ss, esp))
    }
}
