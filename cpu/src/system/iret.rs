//! IRET (SDM vol. 2, IRET; vol. 3, 6.12, 7.3 nested tasks, 20.2 virtual-8086 mode).

use super::task::Switch;
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::event::Cause;
use crate::fault::Fault;
use crate::flags;
use crate::mutant::Mutant;
use crate::regs::gpr::ESP;
use crate::seg::{SegReg, Segment, SystemType, selector_index_bits};
use crate::word::Word;
use iced_x86::{Code, Instruction};

impl Cpu {
    /// Flags a program at `cpl` may change by loading EFLAGS with width `W` (IRET, POPF).
    pub(crate) fn writable_flags<W: Word>(&self, cpl: u8) -> u32 {
        let mut mask = flags::ARITH | flags::TF | flags::DF | flags::NT;
        if W::BITS == 32 {
            mask |= flags::AC | flags::ID;
        }
        if cpl <= self.regs.flags.iopl() || self.mutated(Mutant::IoplIgnored) {
            mask |= flags::IF;
        }
        if cpl == 0 {
            mask |= flags::IOPL;
        }
        mask
    }

    /// Flags that IRET of width `W` at `cpl` may change: RF, and at CPL 0 VIF and VIP, besides those of POPF.
    pub(crate) fn iret_flags<W: Word>(&self, cpl: u8) -> u32 {
        let extra = match (W::BITS, cpl) {
            (32, 0) => flags::RF | flags::VIF | flags::VIP,
            (32, _) => flags::RF,
            _ => 0,
        };
        self.writable_flags::<W>(cpl) | extra
    }

    /// Load EFLAGS under `mask`, with the consequences of the system flags.
    pub(crate) fn load_flags(&mut self, value: u32, mask: u32) {
        self.regs.flags.merge(value, mask);
        self.update_view();
        self.attention = true;
    }

    /// Where in the backing store the `bytes` on top of the stack are, if one check says that they can be read there.
    pub(crate) fn plain_frame(&self, bytes: u32) -> Option<u32> {
        let (ss, esp) = (self.regs.ss(), self.regs.gpr[ESP]);
        let linear = ss.base.wrapping_add(esp);
        let fast = self.tlb.fast(self.view, linear);
        let there = ss.big()
            && ss.allows_read(esp, bytes)
            && esp <= u32::MAX - bytes
            && fast.read == linear & !0xFFF
            && linear & 0xFFF <= 0x1000 - bytes;
        there.then(|| linear.wrapping_add(fast.delta))
    }

    fn iret<W: Word>(&mut self) -> Result<(), Fault> {
        self.attention = true;
        if !self.regs.protected() {
            return if self.regs.v86() { self.iret_v86::<W>() } else { self.iret_real::<W>() };
        }
        if self.regs.flags.has(flags::NT) {
            return self.iret_to_previous_task();
        }
        let frame = self.plain_frame(5 * W::BYTES);
        let slot = |cpu: &mut Cpu, n: u32| match frame {
            Some(at) => Ok(cpu.mem.read_at::<W>(at + n * W::BYTES).to_u32()),
            None => cpu.peek::<W>(n * W::BYTES).map(W::to_u32),
        };
        let eip = slot(self, 0)?;
        let cs = slot(self, 1)? as u16;
        let new_flags = slot(self, 2)?;
        if W::BITS == 32 && new_flags & flags::VM != 0 && self.regs.cpl == 0 {
            return self.iret_to_v86(eip, cs, new_flags);
        }

        let found = self.check_return_code(cs)?;
        let (old_cpl, rpl) = (self.regs.cpl, cs as u8 & 3);
        let mask = self.iret_flags::<W>(old_cpl);
        if rpl == old_cpl {
            if eip > found.d.limit() {
                return Err(Fault::GP0);
            }
            let d = self.mark_accessed(found)?;
            self.with_transfer_event(Cause::Iret, |cpu| {
                cpu.drop_stack(3 * W::BYTES);
                cpu.enter_code(cs, d, rpl, eip);
                cpu.load_flags(new_flags, mask);
            });
        } else {
            let esp = slot(self, 3)?;
            let ss = slot(self, 4)? as u16;
            let ss = self.check_return_stack(ss, rpl)?;
            if eip > found.d.limit() {
                return Err(Fault::GP0);
            }
            let d = self.mark_accessed(found)?;
            self.with_transfer_event(Cause::Iret, |cpu| {
                cpu.return_outwards(cs, d, eip, ss, esp);
                cpu.load_flags(new_flags, mask);
            });
        }
        self.regs.nmi_blocked = false;
        Ok(())
    }

    fn iret_real<W: Word>(&mut self) -> Result<(), Fault> {
        let eip = self.peek::<W>(0)?.to_u32();
        let cs = self.peek::<W>(W::BYTES)?.to_u32() as u16;
        let new_flags = self.peek::<W>(2 * W::BYTES)?.to_u32();
        self.enter_real_code(cs, eip)?;
        self.drop_stack(3 * W::BYTES);
        let mask = self.iret_flags::<W>(0);
        self.load_flags(new_flags, mask);
        self.regs.nmi_blocked = false;
        Ok(())
    }

    /// In virtual-8086 mode IRET needs IOPL 3 and cannot change IOPL or VM. EIP is not compared with the limit of CS:
    /// beyond it the fetch of the next instruction faults.
    fn iret_v86<W: Word>(&mut self) -> Result<(), Fault> {
        if self.regs.flags.iopl() < 3 {
            return Err(Fault::GP0);
        }
        let eip = self.peek::<W>(0)?.to_u32();
        let cs = self.peek::<W>(W::BYTES)?.to_u32() as u16;
        let new_flags = self.peek::<W>(2 * W::BYTES)?.to_u32();
        self.drop_stack(3 * W::BYTES);
        self.regs.seg[SegReg::Cs as usize] = Segment::real(cs, 3);
        self.next_eip = eip;
        let mask = self.iret_flags::<W>(3);
        self.load_flags(new_flags, mask);
        self.regs.nmi_blocked = false;
        Ok(())
    }

    /// The high half of EIP is dropped: the manual's pseudo-code asks for #GP(0), other implementations agree on this.
    fn iret_to_v86(&mut self, eip: u32, cs: u16, new_flags: u32) -> Result<(), Fault> {
        let esp = self.peek::<u32>(12)?;
        let mut selectors = [0u16; 5];
        for (n, selector) in selectors.iter_mut().enumerate() {
            *selector = self.peek::<u32>(16 + 4 * n as u32)? as u16;
        }
        self.with_transfer_event(Cause::Iret, |cpu| {
            cpu.load_flags(new_flags, flags::ALL);
            let [ss, es, ds, fs, gs] = selectors;
            for (seg, selector) in [
                (SegReg::Cs, cs),
                (SegReg::Ss, ss),
                (SegReg::Es, es),
                (SegReg::Ds, ds),
                (SegReg::Fs, fs),
                (SegReg::Gs, gs),
            ] {
                cpu.regs.seg[seg as usize] = Segment::real(selector, 3);
            }
            cpu.regs.gpr[ESP] = esp;
            cpu.next_eip = eip & 0xFFFF;
            cpu.set_cpl(3);
        });
        self.regs.nmi_blocked = false;
        Ok(())
    }

    /// NT: the back link of the current TSS names the task to return to.
    fn iret_to_previous_task(&mut self) -> Result<(), Fault> {
        let link: u16 = self.load_system(self.regs.tr.base)?;
        let code = selector_index_bits(link);
        if link & 4 != 0 {
            return Err(Fault::ts(code));
        }
        let found = self.find_descriptor(link, Fault::ts)?;
        match found.d.system_type() {
            SystemType::Tss16 { busy: true } | SystemType::Tss32 { busy: true } if !found.d.is_segment() => {}
            _ => return Err(Fault::ts(code)),
        }
        if !found.d.present() {
            return Err(Fault::np(code));
        }
        self.regs.nmi_blocked = false;
        self.switch_task(link, found, Switch::Iret, None)
    }
}

fn iret<W: Word>(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.iret::<W>()
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Iretw => iret::<u16>,
        Code::Iretd => iret::<u32>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::testing::{CODE, code_of, data_of, in_ring};

    /// iretd from ring 0 to ring 3 with a frame on the stack.
    fn to_ring_3(eflags: u32) -> Cpu {
        let mut cpu = in_ring(0, &[0xCF]);
        for value in [data_of(3) as u32, 0x6000, eflags, code_of(3) as u32, CODE + 1] {
            cpu.push(value).expect("the stack is flat");
        }
        assert_eq!(cpu.run(1), Exit::Limit);
        cpu
    }

    #[test]
    fn a_return_outwards_takes_the_inner_data_segments_away() {
        let cpu = to_ring_3(flags::IF);
        assert_eq!((cpu.regs.cpl, cpu.regs.eip, cpu.regs.gpr[ESP]), (3, CODE + 1, 0x6000));
        assert_eq!(cpu.regs.ss().selector, data_of(3));
        for seg in [SegReg::Es, SegReg::Ds, SegReg::Fs, SegReg::Gs] {
            assert_eq!(cpu.regs.seg[seg as usize], Segment::null(0));
        }
        assert!(cpu.regs.flags.has(flags::IF));
    }

    /// popfd with every bit set, then iretd with every bit set.
    #[test]
    fn an_outer_ring_reaches_neither_if_nor_iopl() {
        for code in [&[0x9D][..], &[0xCF]] {
            let mut cpu = in_ring(3, code);
            let all = flags::ALL & !(flags::VM | flags::TF | flags::NT);
            for value in [all, code_of(3) as u32, CODE + 1] {
                cpu.push(value).expect("the stack is flat");
            }
            if code == [0x9D] {
                cpu.drop_stack(8);
            }
            assert_eq!(cpu.run(1), Exit::Limit);
            assert_eq!((cpu.regs.cpl, cpu.regs.eip), (3, CODE + 1));
            assert!(!cpu.regs.flags.has(flags::IF | flags::IOPL | flags::VIF | flags::VIP));
            assert!(cpu.regs.flags.cf() && cpu.regs.flags.has(flags::AC));
        }
    }
}
