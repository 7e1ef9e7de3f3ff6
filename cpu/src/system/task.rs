//! Hardware task switching (SDM vol. 3, chapter 7), with 16-bit and 32-bit TSSs.
//!
//! Order: everything about the outgoing task and the descriptor of the incoming one is checked first and faults in
//! the old task. After the incoming state is loaded, faults belong to the new task: the switch is committed, and
//! the segment registers are filled one by one (7.3, steps 12 and on).

use crate::Cpu;
use crate::event::Cause;
use crate::fault::Fault;
use crate::flags;
use crate::mmu::View;
use crate::regs::gpr;
use crate::regs::{cr0, cr4};
use crate::seg::{Descriptor, SegReg, Segment, SystemType, is_null, selector_index_bits};
use crate::word::Word;

use super::inner_stack::Frame;
use super::segment_load::Found;

/// What caused the switch.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Switch {
    Jump,
    Call,
    Interrupt,
    Iret,
}

impl Switch {
    /// The new task nests in the old one: back link and NT.
    fn nests(self) -> bool {
        matches!(self, Switch::Call | Switch::Interrupt)
    }
}

/// Offsets in a TSS.
struct Layout {
    wide: bool,
    min_limit: u32,
    eip: u32,
    eflags: u32,
    /// EAX; the other seven follow in encoding order.
    gpr: u32,
    /// ES; the others follow in encoding order.
    seg: u32,
    /// Number of segment registers held.
    segs: usize,
    ldt: u32,
}

const TSS32: Layout =
    Layout { wide: true, min_limit: 103, eip: 32, eflags: 36, gpr: 40, seg: 72, segs: 6, ldt: 96 };
const TSS16: Layout =
    Layout { wide: false, min_limit: 43, eip: 14, eflags: 16, gpr: 18, seg: 34, segs: 4, ldt: 42 };

impl Layout {
    fn of(d: Descriptor) -> &'static Layout {
        if matches!(d.system_type(), SystemType::Tss32 { .. }) { &TSS32 } else { &TSS16 }
    }
    fn gpr_at(&self, n: u32) -> u32 {
        self.gpr + n * if self.wide { 4 } else { 2 }
    }
    fn seg_at(&self, n: u32) -> u32 {
        self.seg + n * if self.wide { 4 } else { 2 }
    }
}

/// State read from the incoming TSS.
struct Incoming {
    cr3: u32,
    eip: u32,
    eflags: u32,
    gpr: [u32; 8],
    seg: [u16; 6],
    ldt: u16,
    trap: bool,
}

impl Cpu {
    /// Switch to the task whose available TSS a present task gate names (in the GDT or LDT, or the IDT).
    pub(crate) fn through_task_gate(
        &mut self,
        gate: Descriptor,
        how: Switch,
        error: Option<u16>,
    ) -> Result<(), Fault> {
        let selector = gate.gate_selector();
        let code = selector_index_bits(selector);
        if selector & 4 != 0 || is_null(selector) {
            return Err(Fault::gp(code));
        }
        let found = self.find_descriptor(selector, Fault::gp)?;
        match found.d.system_type() {
            SystemType::Tss16 { busy: false } | SystemType::Tss32 { busy: false }
                if !found.d.is_segment() => {}
            _ => return Err(Fault::gp(code)),
        }
        if !found.d.present() {
            return Err(Fault::np(code));
        }
        self.switch_task(selector, found, how, error)
    }

    /// Where in the backing store the `bytes` at `linear` are, if one check says that the processor can read, or write, all of them
    /// for itself.
    #[inline(always)]
    pub(crate) fn plain_system(&self, linear: u32, bytes: u32, write: bool) -> Option<u32> {
        let fast = self.tlb.fast(View::Supervisor, linear);
        let page = if write { fast.write } else { fast.read };
        let there = page == linear & !0xFFF && linear & 0xFFF <= 0x1000 - bytes;
        there.then(|| linear.wrapping_add(fast.delta))
    }

    /// A field of the TSS at `base`, which is at `plain` if [`Self::plain_system`] says so.
    #[inline(always)]
    fn tss_read(&mut self, (plain, base): (Option<u32>, u32), at: u32, wide: bool) -> Result<u32, Fault> {
        let linear = base.wrapping_add(at);
        match plain {
            Some(offset) if wide => Ok(self.mem.read_at(offset + at)),
            Some(offset) => Ok(self.mem.read_at::<u16>(offset + at).to_u32()),
            None if wide => self.load_system(linear),
            None => Ok(self.load_system::<u16>(linear)?.to_u32()),
        }
    }

    #[inline(always)]
    fn tss_write(
        &mut self,
        (plain, base): (Option<u32>, u32),
        at: u32,
        wide: bool,
        value: u32,
    ) -> Result<(), Fault> {
        let linear = base.wrapping_add(at);
        match plain {
            Some(offset) if wide => self.mem.write_at(offset + at, value),
            Some(offset) => self.mem.write_at(offset + at, value as u16),
            None if wide => self.store_system(linear, value)?,
            None => self.store_system(linear, value as u16)?,
        }
        Ok(())
    }

    /// Switch to the task of the TSS `found` under `selector`. The caller has checked type and presence.
    /// `error` is pushed on the new task's stack (an exception through a task gate).
    ///
    /// # Errors
    /// #TS(selector), #PF in the old task; after the commit, the new task's own #TS, #NP, #SS, #GP.
    pub(crate) fn switch_task(
        &mut self,
        selector: u16,
        found: Found,
        how: Switch,
        error: Option<u16>,
    ) -> Result<(), Fault> {
        let code = selector_index_bits(selector);
        let new = Layout::of(found.d);
        let new_base = found.d.base();
        if found.d.limit() < new.min_limit {
            return Err(Fault::ts(code));
        }
        let old_tr = self.regs.tr;
        let old = Layout::of(old_tr.descriptor());
        let (from_cpl, from) = (self.regs.cpl, (self.regs.cs().selector, self.regs.eip));

        let incoming = self.read_incoming(new, new_base)?;
        self.probe_outgoing(old, old_tr.base)?;
        if how.nests() {
            self.probe_system_write::<u16>(new_base)?;
        }

        // The outgoing task: its busy bit goes unless the new task nests in it; its state is saved.
        let gdt = self.regs.gdtr.base;
        if !how.nests() {
            let at = gdt.wrapping_add(selector_index_bits(old_tr.selector) as u32 + 4);
            let hi: u32 = self.load_system(at)?;
            self.store_system(at, hi & !0x200)?;
        }
        let mut saved_flags = self.regs.flags.get();
        if how == Switch::Iret {
            saved_flags &= !flags::NT;
        }
        self.save_outgoing(old, old_tr.base, saved_flags)?;
        if how.nests() {
            self.store_system(new_base, old_tr.selector)?;
        }

        // The incoming task is busy (it was already, when returned to).
        let mut hi = found.d.hi;
        if how != Switch::Iret {
            hi |= 0x200;
            self.store_system(found.at.wrapping_add(4), hi)?;
        }

        // Commit.
        let d = Descriptor { hi: hi | 0x200, ..found.d };
        self.regs.tr = Segment::from_descriptor(selector, d);
        self.regs.cr0 |= cr0::TS;
        self.attention = true;
        if self.paging() && new.wide && incoming.cr3 != self.regs.cr3 {
            self.load_task_cr3(incoming.cr3)?;
        }
        let nt = if how.nests() { flags::NT } else { 0 };
        let keep = if new.wide { flags::ALL } else { 0xFFFF };
        let v86 = new.wide && incoming.eflags & flags::VM != 0;
        self.regs.flags.set(incoming.eflags & keep | nt);
        for (n, value) in incoming.gpr.iter().enumerate() {
            self.regs.gpr[n] = *value;
        }
        self.regs.eip = incoming.eip;
        self.next_eip = incoming.eip;
        // Local breakpoints belong to the old task.
        self.regs.dr7 &= !0x155;
        for (register, &selector) in self.regs.seg.iter_mut().zip(&incoming.seg) {
            *register = Segment::null(selector);
        }
        self.regs.ldtr = Segment::null(incoming.ldt);
        self.set_cpl(if v86 { 3 } else { incoming.seg[SegReg::Cs as usize] as u8 & 3 });

        let filled = self.fill_task_segments(&incoming, v86);
        self.emit(|cpu| crate::event::Event::Transfer {
            cause: Cause::TaskSwitch,
            from_cpl,
            to_cpl: cpu.regs.cpl,
            from,
            to: (cpu.regs.cs().selector, cpu.next_eip),
            eax: cpu.regs.gpr[gpr::EAX],
        });
        filled?;
        if let Some(error) = error {
            let mut frame = Frame::current(self);
            frame.push_sized(self, error as u32, new.wide)?;
            frame.commit(self);
        }
        if incoming.trap {
            self.regs.pending_debug |= super::debug::DR6_BT;
        }
        if incoming.eip > self.regs.cs().limit {
            return Err(Fault::GP0);
        }
        Ok(())
    }

    fn read_incoming(&mut self, layout: &Layout, base: u32) -> Result<Incoming, Fault> {
        let wide = layout.wide;
        let tss = (self.plain_system(base, layout.min_limit + 1, false), base);
        let mut incoming = Incoming {
            cr3: if wide { self.tss_read(tss, 28, true)? } else { 0 },
            eip: self.tss_read(tss, layout.eip, wide)?,
            eflags: self.tss_read(tss, layout.eflags, wide)?,
            gpr: [0; 8],
            seg: [0; 6],
            ldt: 0,
            trap: false,
        };
        for n in 0..8 {
            let value = self.tss_read(tss, layout.gpr_at(n), wide)?;
            incoming.gpr[n as usize] = if wide { value } else { value | 0xFFFF_0000 };
        }
        for n in 0..layout.segs as u32 {
            incoming.seg[n as usize] = self.tss_read(tss, layout.seg_at(n), false)? as u16;
        }
        incoming.ldt = self.tss_read(tss, layout.ldt, false)? as u16;
        if wide {
            incoming.trap = self.tss_read(tss, 100, false)? & 1 != 0;
        }
        Ok(incoming)
    }

    /// All writes to the outgoing TSS must be possible before the first is made.
    fn probe_outgoing(&mut self, layout: &Layout, base: u32) -> Result<(), Fault> {
        if self.plain_system(base, layout.min_limit + 1, true).is_some() {
            return Ok(());
        }
        self.probe_system_write::<u16>(base.wrapping_add(layout.eip))?;
        self.probe_system_write::<u16>(base.wrapping_add(layout.seg_at(layout.segs as u32 - 1)))
    }

    fn save_outgoing(&mut self, layout: &Layout, base: u32, eflags: u32) -> Result<(), Fault> {
        let wide = layout.wide;
        let tss = (self.plain_system(base, layout.min_limit + 1, true), base);
        self.tss_write(tss, layout.eip, wide, self.next_eip)?;
        self.tss_write(tss, layout.eflags, wide, eflags)?;
        for n in 0..8 {
            self.tss_write(tss, layout.gpr_at(n), wide, self.regs.gpr[n as usize])?;
        }
        for n in 0..layout.segs as u32 {
            let selector = self.regs.seg[n as usize].selector;
            self.tss_write(tss, layout.seg_at(n), false, selector as u32)?;
        }
        Ok(())
    }

    /// Only a switch that changes CR3 touches the TLB (4.10.4.1) and the PDPTEs (4.4.1).
    fn load_task_cr3(&mut self, cr3: u32) -> Result<(), Fault> {
        if self.regs.cr4 & cr4::PAE != 0 {
            self.load_pdptes(cr3).map_err(|_| Fault::ts(selector_index_bits(self.regs.tr.selector)))?;
        }
        self.set_cr3(cr3);
        Ok(())
    }

    /// Steps after the commit: LDTR, then CS, SS and the data segments, each with its own fault in the new task.
    fn fill_task_segments(&mut self, incoming: &Incoming, v86: bool) -> Result<(), Fault> {
        self.fill_ldtr(incoming.ldt)?;
        if v86 {
            self.regs.seg = incoming.seg.map(|selector| Segment::real(selector, 3));
            return Ok(());
        }
        let cpl = self.regs.cpl;
        let cs = incoming.seg[SegReg::Cs as usize];
        let code = selector_index_bits(cs);
        if is_null(cs) {
            return Err(Fault::ts(code));
        }
        let found = self.find_descriptor(cs, Fault::ts)?;
        let level_fits = if found.d.is_conforming() { found.d.dpl() <= cpl } else { found.d.dpl() == cpl };
        if !found.d.is_code() || !level_fits {
            return Err(Fault::ts(code));
        }
        if !found.d.present() {
            return Err(Fault::np(code));
        }
        let cs_d = self.mark_accessed(found)?;

        let ss = incoming.seg[SegReg::Ss as usize];
        let ss_segment = self.inner_stack_segment(ss, cpl)?;
        self.regs.seg[SegReg::Ss as usize] = ss_segment;
        self.regs.seg[SegReg::Cs as usize] = Segment::from_descriptor(cs, cs_d);
        for seg in [SegReg::Ds, SegReg::Es, SegReg::Fs, SegReg::Gs] {
            let selector = incoming.seg[seg as usize];
            #[cfg(jit)]
            if self.load_quickly(seg, selector) {
                continue;
            }
            let loaded = self.prepare_segment(seg, selector).map_err(|fault| match fault.vector() {
                crate::fault::vector::GP => Fault::ts(selector_index_bits(selector)),
                _ => fault,
            })?;
            self.regs.seg[seg as usize] = loaded;
        }
        Ok(())
    }

    fn fill_ldtr(&mut self, selector: u16) -> Result<(), Fault> {
        if is_null(selector) {
            return Ok(());
        }
        let code = selector_index_bits(selector);
        if selector & 4 != 0 {
            return Err(Fault::ts(code));
        }
        let found = self.find_descriptor(selector, Fault::ts)?;
        if found.d.is_segment() || found.d.system_type() != SystemType::Ldt || !found.d.present() {
            return Err(Fault::ts(code));
        }
        self.regs.ldtr = Segment::from_descriptor(selector, found.d);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Exit;
    use crate::testing::{
        CODE, FREE, GDT, TSS, TSS_SELECTOR, code_of, data_of, handler, in_ring, set_descriptor,
    };

    /// A second 32-bit TSS under selector FREE, whose task is the HLT of handler 0.
    fn with_second_task(code: &[u8]) -> Cpu {
        let mut cpu = in_ring(0, code);
        set_descriptor(&mut cpu, FREE, 0x89, SECOND, 103);
        for (at, value) in [(32, handler(0)), (36, 2), (56, 0x6000)] {
            cpu.phys_write((SECOND + at) as u64, value);
        }
        for n in 0..6 {
            let selector = if n == SegReg::Cs as u32 { code_of(0) } else { data_of(0) };
            cpu.phys_write((SECOND + 72 + 4 * n) as u64, selector);
        }
        cpu
    }

    const SECOND: u32 = 0x4800;

    fn busy(cpu: &mut Cpu, selector: u16) -> bool {
        cpu.phys_read::<u8>((GDT + selector as u32 + 5) as u64) & 2 != 0
    }

    #[test]
    fn a_jump_leaves_the_old_task_and_a_call_nests_in_it() {
        for (opcode, nests) in [(0xEA, false), (0x9A, true)] {
            let mut code = vec![opcode, 0, 0, 0, 0];
            code.extend(FREE.to_le_bytes());
            let mut cpu = with_second_task(&code);
            assert_eq!(cpu.run(10), Exit::Halted);
            assert_eq!((cpu.regs.eip, cpu.regs.gpr[gpr::ESP]), (handler(0) + 1, 0x6000));
            assert_eq!(cpu.regs.tr.selector, FREE);
            assert!(cpu.regs.cr0 & cr0::TS != 0 && busy(&mut cpu, FREE));
            assert_eq!(busy(&mut cpu, TSS_SELECTOR), nests);
            assert_eq!(cpu.regs.flags.has(flags::NT), nests);
            let link = cpu.phys_read::<u16>(SECOND as u64);
            assert_eq!(link, if nests { TSS_SELECTOR } else { 0 });
            assert_eq!(cpu.phys_read::<u32>((TSS + 32) as u64), CODE + 7);
        }
    }

    /// jmp FREE:0 with paging on: the new task's CR3 is that of the old one, or another.
    #[test]
    fn only_a_new_cr3_flushes_the_tlb() {
        for other in [false, true] {
            let mut code = vec![0xEA, 0, 0, 0, 0];
            code.extend(FREE.to_le_bytes());
            let mut cpu = with_second_task(&code);
            for directory in [0x20000, 0x21000] {
                cpu.phys_write(directory, 0x83u32);
            }
            (cpu.regs.cr3, cpu.regs.cr4) = (0x20000, cr4::PSE);
            cpu.regs.cr0 |= cr0::PG;
            cpu.phys_write((SECOND + 28) as u64, if other { 0x21000u32 } else { 0x20000 });
            cpu.state_changed();
            assert!(cpu.load_linear::<u32>(0x3_0000).is_ok());
            assert_eq!(cpu.run(1), Exit::Limit);
            assert_eq!(cpu.regs.tr.selector, FREE);
            assert_eq!(cpu.tlb.lookup(0x3_0000).is_valid(), !other);
        }
    }

    /// The T bit of the new task's TSS: #DB before its first instruction.
    #[test]
    fn a_task_can_ask_for_a_debug_trap() {
        let mut code = vec![0xEA, 0, 0, 0, 0];
        code.extend(FREE.to_le_bytes());
        let mut cpu = with_second_task(&code);
        cpu.phys_write((SECOND + 100) as u64, 1u16);
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!((cpu.regs.eip, cpu.regs.dr6 & 1 << 15), (handler(1) + 1, 1 << 15));
        assert_eq!(crate::testing::stack::<1>(&mut cpu), [handler(0)]);
    }

    /// To a 16-bit TSS: its 44 bytes suffice, FS and GS become null, only the low half of EFLAGS is loaded.
    #[test]
    fn a_16_bit_task_has_words() {
        let mut code = vec![0xEA, 0, 0, 0, 0];
        code.extend(FREE.to_le_bytes());
        for (limit, fits) in [(43, true), (42, false)] {
            let mut cpu = in_ring(0, &code);
            set_descriptor(&mut cpu, FREE, 0x81, SECOND, limit);
            cpu.phys_write((SECOND + 14) as u64, handler(0) as u16);
            cpu.phys_write((SECOND + 16) as u64, 2u16);
            cpu.phys_write((SECOND + 26) as u64, 0x6000u16);
            for (at, selector) in [(34, data_of(0)), (36, code_of(0)), (38, data_of(0)), (40, data_of(0))] {
                cpu.phys_write((SECOND + at) as u64, selector);
            }
            assert_eq!(cpu.run(10), Exit::Halted);
            if fits {
                assert_eq!((cpu.regs.tr.selector, cpu.regs.eip), (FREE, handler(0) + 1));
                assert_eq!(cpu.regs.seg[SegReg::Fs as usize], Segment::null(0));
                assert_eq!(cpu.regs.gpr[gpr::ESP] & 0xFFFF, 0x6000);
            } else {
                assert_eq!((cpu.regs.tr.selector, cpu.regs.eip), (TSS_SELECTOR, handler(10) + 1));
                assert_eq!(crate::testing::stack::<1>(&mut cpu), [FREE as u32]);
            }
        }
    }
}
