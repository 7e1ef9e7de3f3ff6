//! Far JMP and CALL (SDM vol. 3, 5.8.1-5.8.4 and 7.3), direct, through call gates, and to tasks.

use super::inner_stack::Frame;
use super::segment_load::Found;
use super::task::Switch;
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::event::Cause;
use crate::fault::Fault;
use crate::seg::{Descriptor, SegReg, Segment, SystemType, is_null, selector_index_bits};
use crate::word::Word;
use iced_x86::{Code, Instruction};

impl Cpu {
    /// Load CS with a checked descriptor at privilege level `cpl` and go to `eip`.
    pub(crate) fn enter_code(&mut self, selector: u16, d: Descriptor, cpl: u8, eip: u32) {
        let selector = selector_index_bits(selector) | cpl as u16;
        self.regs.seg[SegReg::Cs as usize] = Segment::from_descriptor(selector, d);
        self.next_eip = eip;
        self.set_cpl(cpl);
    }

    /// Change CPL and what depends on it.
    pub(crate) fn set_cpl(&mut self, cpl: u8) {
        self.regs.cpl = cpl;
        self.update_view();
    }

    /// Real mode and virtual-8086 mode: a far transfer is a load of CS.
    pub(crate) fn enter_real_code(&mut self, selector: u16, eip: u32) -> Result<(), Fault> {
        let cs = if self.regs.v86() {
            Segment::real(selector, 3)
        } else {
            let attr = self.regs.cs().attr;
            Segment::new(selector, (selector as u32) << 4, self.regs.cs().limit, attr)
        };
        if eip > cs.limit {
            return Err(Fault::GP0);
        }
        self.regs.seg[SegReg::Cs as usize] = cs;
        self.next_eip = eip;
        Ok(())
    }

    /// The code segment of a direct JMP or CALL: same privilege only (5.8.1).
    fn check_direct_code(&self, selector: u16, found: Found) -> Result<(), Fault> {
        let code = selector_index_bits(selector);
        let (cpl, rpl, d) = (self.regs.cpl, selector as u8 & 3, found.d);
        let allowed = if d.is_conforming() { d.dpl() <= cpl } else { rpl <= cpl && d.dpl() == cpl };
        if !d.is_code() || !self.privilege_allows(allowed) {
            return Err(Fault::gp(code));
        }
        if !d.present() {
            return Err(Fault::np(code));
        }
        Ok(())
    }

    /// The code segment behind a call gate. Returns the privilege level to run at.
    fn check_gate_code(&mut self, selector: u16, jump: bool) -> Result<(Found, u8), Fault> {
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let code = selector_index_bits(selector);
        let (cpl, d) = (self.regs.cpl, found.d);
        if !d.is_code() || d.dpl() > cpl || jump && !d.is_conforming() && d.dpl() != cpl {
            return Err(Fault::gp(code));
        }
        if !d.present() {
            return Err(Fault::np(code));
        }
        Ok((found, if d.is_conforming() { cpl } else { d.dpl() }))
    }

    /// Checks common to all system descriptors as targets (5.8.3, 7.3).
    fn check_system_target(&self, selector: u16, d: Descriptor) -> Result<(), Fault> {
        let code = selector_index_bits(selector);
        if !self.privilege_allows(d.dpl() >= self.regs.cpl.max(selector as u8 & 3)) {
            return Err(Fault::gp(code));
        }
        Ok(())
    }

    fn far_jump(&mut self, selector: u16, offset: u32) -> Result<(), Fault> {
        if !self.regs.protected() {
            return self.enter_real_code(selector, offset);
        }
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let code = selector_index_bits(selector);
        if found.d.is_segment() {
            self.check_direct_code(selector, found)?;
            if offset > found.d.limit() {
                return Err(Fault::GP0);
            }
            let d = self.mark_accessed(found)?;
            self.enter_code(selector, d, self.regs.cpl, offset);
            return Ok(());
        }
        self.check_system_target(selector, found.d)?;
        match found.d.system_type() {
            SystemType::Tss16 { busy: false } | SystemType::Tss32 { busy: false } => {
                // A task's descriptor lives in the GDT only (7.2.2).
                if selector & 4 != 0 {
                    return Err(Fault::gp(code));
                }
                if !found.d.present() {
                    return Err(Fault::np(code));
                }
                self.switch_task(selector, found, Switch::Jump, None)
            }
            SystemType::TaskGate => {
                if !found.d.present() {
                    return Err(Fault::np(code));
                }
                self.through_task_gate(found.d, Switch::Jump, None)
            }
            SystemType::CallGate16 | SystemType::CallGate32 => {
                if !found.d.present() {
                    return Err(Fault::np(code));
                }
                let wide = found.d.system_type() == SystemType::CallGate32;
                let target = found.d.gate_selector();
                let (code_found, _) = self.check_gate_code(target, true)?;
                let eip = gate_offset(found.d, wide);
                if eip > code_found.d.limit() {
                    return Err(Fault::GP0);
                }
                let d = self.mark_accessed(code_found)?;
                self.with_transfer_event(Cause::FarJump, |cpu| cpu.enter_code(target, d, cpu.regs.cpl, eip));
                Ok(())
            }
            _ => Err(Fault::gp(code)),
        }
    }

    fn far_call<W: Word>(&mut self, selector: u16, offset: u32) -> Result<(), Fault> {
        let (cs, back) = (self.regs.cs().selector, self.next_eip);
        if !self.regs.protected() {
            let mut frame = Frame::current(self);
            frame.push(self, W::from_u32(cs as u32))?;
            frame.push(self, W::from_u32(back))?;
            self.enter_real_code(selector, offset)?;
            frame.commit(self);
            return Ok(());
        }
        if is_null(selector) {
            return Err(Fault::GP0);
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        let code = selector_index_bits(selector);
        if found.d.is_segment() {
            self.check_direct_code(selector, found)?;
            let mut frame = Frame::current(self);
            frame.push(self, W::from_u32(cs as u32))?;
            frame.push(self, W::from_u32(back))?;
            if offset > found.d.limit() {
                return Err(Fault::GP0);
            }
            let d = self.mark_accessed(found)?;
            frame.commit(self);
            self.enter_code(selector, d, self.regs.cpl, offset);
            return Ok(());
        }
        self.check_system_target(selector, found.d)?;
        match found.d.system_type() {
            SystemType::Tss16 { busy: false } | SystemType::Tss32 { busy: false } => {
                // A task's descriptor lives in the GDT only (7.2.2).
                if selector & 4 != 0 {
                    return Err(Fault::gp(code));
                }
                if !found.d.present() {
                    return Err(Fault::np(code));
                }
                self.switch_task(selector, found, Switch::Call, None)
            }
            SystemType::TaskGate => {
                if !found.d.present() {
                    return Err(Fault::np(code));
                }
                self.through_task_gate(found.d, Switch::Call, None)
            }
            SystemType::CallGate16 | SystemType::CallGate32 => {
                if !found.d.present() {
                    return Err(Fault::np(code));
                }
                self.call_through_gate(found.d)
            }
            _ => Err(Fault::gp(code)),
        }
    }

    /// CALL through a call gate, with a stack switch and parameters if it leads inwards (5.8.5).
    fn call_through_gate(&mut self, gate: Descriptor) -> Result<(), Fault> {
        let wide = gate.system_type() == SystemType::CallGate32;
        let target = gate.gate_selector();
        let (found, new_cpl) = self.check_gate_code(target, false)?;
        let eip = gate_offset(gate, wide);
        let (cs, back) = (self.regs.cs().selector, self.next_eip);
        let frame = if new_cpl < self.regs.cpl {
            let mut frame = self.inner_frame(new_cpl)?;
            let (ss, esp) = (self.regs.ss().selector, self.regs.gpr[crate::regs::gpr::ESP]);
            frame.push_sized(self, ss as u32, wide)?;
            frame.push_sized(self, esp, wide)?;
            let size = if wide { 4 } else { 2 };
            for n in (0..gate.gate_parameters() as u32).rev() {
                let value =
                    if wide { self.peek::<u32>(n * size)? } else { self.peek::<u16>(n * size)? as u32 };
                frame.push_sized(self, value, wide)?;
            }
            frame
        } else {
            Frame::current(self)
        };
        let mut frame = frame;
        frame.push_sized(self, cs as u32, wide)?;
        frame.push_sized(self, back, wide)?;
        if eip > found.d.limit() {
            return Err(Fault::GP0);
        }
        let d = self.mark_accessed(found)?;
        self.with_transfer_event(Cause::FarCall, |cpu| {
            frame.commit(cpu);
            cpu.enter_code(target, d, new_cpl, eip);
        });
        Ok(())
    }
}

fn gate_offset(gate: Descriptor, wide: bool) -> u32 {
    if wide { gate.gate_offset() } else { gate.gate_offset() & 0xFFFF }
}

/// The far pointer of an indirect form.
fn far_pointer<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(u16, u32), Fault> {
    let at = op.ea.offset(cpu);
    let offset: W = cpu.load(op.ea.seg, at)?;
    let selector: u16 = cpu.load(op.ea.seg, at.wrapping_add(W::BYTES) & op.ea.mask)?;
    Ok((selector, offset.to_u32()))
}

fn jmp_direct(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.far_jump(op.imm2, op.imm)
}
fn jmp_indirect<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let (selector, offset) = far_pointer::<W>(cpu, op)?;
    cpu.far_jump(selector, offset)
}
fn call_direct<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.far_call::<W>(op.imm2, op.imm)
}
fn call_indirect<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let (selector, offset) = far_pointer::<W>(cpu, op)?;
    cpu.far_call::<W>(selector, offset)
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    Some(match insn.code() {
        Jmp_ptr1616 | Jmp_ptr1632 => jmp_direct,
        Jmp_m1616 => jmp_indirect::<u16>,
        Jmp_m1632 => jmp_indirect::<u32>,
        Call_ptr1616 => call_direct::<u16>,
        Call_ptr1632 => call_direct::<u32>,
        Call_m1616 => call_indirect::<u16>,
        Call_m1632 => call_indirect::<u32>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::seg::Segment;
    use crate::testing::{
        CODE, FREE, GDT, STACK, code_of, data_of, handler, in_ring, set_descriptor, set_gate, stack,
    };

    /// call FREE:0 in ring 3, a call gate to ring 0 with two parameters.
    #[test]
    fn a_call_gate_switches_the_stack_and_copies_its_parameters() {
        let mut code = vec![0x9A, 0, 0, 0, 0];
        code.extend((FREE | 3).to_le_bytes());
        let mut cpu = in_ring(3, &code);
        set_gate(&mut cpu, GDT + FREE as u32, 0xEC, code_of(0), handler(0), 2);
        for value in [0x1111u32, 0x2222] {
            cpu.push(value).expect("the stack is flat");
        }
        assert_eq!(cpu.run(1), Exit::Limit);
        assert_eq!((cpu.regs.cpl, cpu.regs.eip), (0, handler(0)));
        let frame = [CODE + 7, code_of(3) as u32, 0x2222, 0x1111, STACK - 8, data_of(3) as u32];
        assert_eq!(stack(&mut cpu), frame);
    }

    /// The same through a 16-bit gate: words are pushed and copied.
    #[test]
    fn a_16_bit_call_gate_copies_words() {
        let mut code = vec![0x9A, 0, 0, 0, 0];
        code.extend((FREE | 3).to_le_bytes());
        let mut cpu = in_ring(3, &code);
        set_gate(&mut cpu, GDT + FREE as u32, 0xE4, code_of(0), 0xABCD_0000 | handler(0), 3);
        for value in [0x1111u16, 0x2222, 0x3333] {
            cpu.push(value).expect("the stack is flat");
        }
        assert_eq!(cpu.run(1), Exit::Limit);
        assert_eq!((cpu.regs.cpl, cpu.regs.eip), (0, handler(0)));
        let [back, values, more, outer] = stack(&mut cpu);
        assert_eq!(back, (code_of(3) as u32) << 16 | (CODE + 7) & 0xFFFF);
        assert_eq!((values, more), (0x2222_3333, (STACK - 6) << 16 | 0x1111));
        assert_eq!(outer & 0xFFFF, data_of(3) as u32);
    }

    /// jmp to a TSS that is described in the LDT.
    #[test]
    fn a_task_lives_in_the_gdt() {
        for opcode in [0xEA, 0x9A] {
            let mut code = vec![opcode, 0, 0, 0, 0];
            code.extend((FREE | 4).to_le_bytes());
            let mut cpu = in_ring(0, &code);
            set_descriptor(&mut cpu, FREE, 0x89, 0x4800, 103);
            cpu.regs.ldtr = Segment::new(8, GDT, 0xFF, 0x8200);
            assert_eq!(cpu.run(10), Exit::Halted);
            assert_eq!((cpu.regs.eip, stack::<1>(&mut cpu)), (handler(13) + 1, [(FREE | 4) as u32]));
        }
    }

    #[test]
    fn a_direct_jump_stays_in_its_ring() {
        let mut code = vec![0xEA, 0, 0, 0, 0];
        code.extend((code_of(0) | 3).to_le_bytes());
        let mut cpu = in_ring(3, &code);
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!((cpu.regs.eip, stack::<1>(&mut cpu)), (handler(13) + 1, [code_of(0) as u32]));
    }
}
