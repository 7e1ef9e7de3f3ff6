//! What system code does most, without the handlers' full length: INT n and exceptions through gates, IRET, and loads of
//! data segment registers.
//!
//! A quick form does what nearly always happens, or nothing: it gives up before it has changed anything, and the handler
//! does the whole. It reads descriptor tables and stacks through fast lines of the TLB alone, which leaves as little trace
//! there as the handler would; it gives up at an accessed bit that is not set yet, a 16-bit gate, a task, a conforming
//! segment, an LDT, a flag that asks for care, an interrupt that waits.
//!
//! What the checks of a transfer found is remembered with the bytes of the descriptors it was found in, and with the
//! mode that follows. Next time the bytes are read and compared.

use super::run::{packed, unpacked};
use super::{EmitFault, Leave};
use crate::Cpu;
use crate::decode::Op;
use crate::event::{Cause, Event};
use crate::fault::Fault;
use crate::flags;
use crate::mmu::View;
use crate::regs::{cr4, gpr::ESP};
use crate::seg::{Descriptor, SegReg, Segment, is_null, selector_index_bits};
use crate::system::{Frame, Interrupt};
use crate::word::Word;

/// A descriptor that was checked: its selector, its bytes, and what the segment register holds after loading it.
#[derive(Clone, Copy)]
struct Checked {
    selector: u16,
    bytes: u64,
    segment: Segment,
}

const UNCHECKED: Checked = Checked { selector: 0, bytes: 0, segment: Segment::null(0) };

/// A transfer that was checked.
#[derive(Clone, Copy)]
struct Known {
    /// The modes it leads from and to.
    from: usize,
    to: Option<usize>,
    /// CR4.TSD, which decides together with CPL whether RDTSC may be used.
    tsd: bool,
    /// Bytes of the gate; 0 for IRET.
    gate: u64,
    code: Checked,
    /// The stack it switches to, if it does.
    stack: Option<Checked>,
}

const NOTHING: Known =
    Known { from: usize::MAX, to: None, tsd: false, gate: 0, code: UNCHECKED, stack: None };

const RETURNS: usize = 64;

/// Transfers that were checked: by vector, and by what IRET finds on the stack.
pub(super) struct Transfers {
    gates: Box<[Known; 256]>,
    returns: Box<[Known; RETURNS]>,
}

impl Transfers {
    pub fn new() -> Transfers {
        Transfers { gates: Box::new([NOTHING; 256]), returns: Box::new([NOTHING; RETURNS]) }
    }

    fn place(&mut self, place: Place) -> &mut Known {
        match place {
            Place::Gate(vector) => &mut self.gates[vector as usize],
            Place::Return(n) => &mut self.returns[n % RETURNS],
        }
    }
}

/// Where a transfer is remembered.
#[derive(Clone, Copy)]
enum Place {
    Gate(u8),
    Return(usize),
}

/// A transfer that can be made.
struct Plan {
    place: Place,
    known: Known,
    /// The stack pointer of the stack it switches to.
    esp: u32,
}

/// Called by compiled code: load segment register number `seg` with `selector`. 1 if that was done and the mode is the
/// same, 0 if nothing was done.
pub(super) extern "sysv64" fn load_segment(cpu: *mut Cpu, selector: u32, seg: u32) -> u32 {
    // SAFETY: as in `run::call`.
    let cpu = unsafe { &mut *cpu };
    cpu.load_quickly(selector as u16, seg as usize) as u32
}

/// Called by compiled code: INT n, as `run::call_checked`.
pub(super) extern "sysv64" fn interrupt(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `run::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.interrupt_quickly(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

/// Called by compiled code: IRET of 32 bits, as `run::call_checked`.
pub(super) extern "sysv64" fn iret(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `run::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.return_quickly(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

fn descriptor(bytes: u64) -> Descriptor {
    Descriptor { lo: bytes as u32, hi: (bytes >> 32) as u32 }
}

impl Cpu {
    /// What the processor reads for itself at `linear`, if that leaves no trace.
    #[inline(always)]
    fn quiet_read<W: Word>(&self, linear: u32) -> Option<W> {
        let fast = self.tlb.fast(View::Supervisor, linear);
        let there = fast.read == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES;
        there.then(|| self.mem.read_at(linear.wrapping_add(fast.delta)))
    }

    /// The bytes of the descriptor in the GDT that `selector` names, which is not null.
    #[inline(always)]
    fn quiet_descriptor(&self, selector: u16) -> Option<u64> {
        let offset = (selector & !7) as u32;
        if selector & 4 != 0 || is_null(selector) || offset + 7 > self.regs.gdtr.limit as u32 {
            return None;
        }
        self.quiet_read(self.regs.gdtr.base.wrapping_add(offset))
    }

    fn load_quickly(&mut self, selector: u16, seg: usize) -> bool {
        let Some(loaded) = self.quiet_data_segment(selector) else { return false };
        let Some(register) = self.regs.seg.get_mut(seg) else { return false };
        let same = super::mode::is_known_alike(seg, register, &loaded);
        if same {
            *register = loaded;
        }
        same
    }

    /// What a data segment register holds after loading `selector`, if that changes nothing in memory.
    #[inline(always)]
    fn quiet_data_segment(&self, selector: u16) -> Option<Segment> {
        if !self.regs.protected() || self.mutant.is_some() {
            return None;
        }
        if is_null(selector) {
            return Some(Segment::null(selector));
        }
        let d = descriptor(self.quiet_descriptor(selector)?);
        let needed = self.regs.cpl.max(selector as u8 & 3);
        let fits = d.is_conforming() || d.dpl() >= needed;
        (d.is_readable() && fits && d.present() && d.accessed())
            .then(|| Segment::from_descriptor(selector, d))
    }

    /// The code segment of a transfer to level `cpl`, through selector `selector`.
    fn quiet_code(&self, selector: u16, cpl: u8) -> Option<Checked> {
        let bytes = self.quiet_descriptor(selector)?;
        let d = descriptor(bytes);
        let fine = d.is_code() && !d.is_conforming() && d.dpl() == cpl && d.present() && d.accessed();
        let segment = Segment::from_descriptor(selector_index_bits(selector) | cpl as u16, d);
        fine.then_some(Checked { selector, bytes, segment })
    }

    /// The same of a stack.
    fn quiet_stack(&self, selector: u16, cpl: u8) -> Option<Checked> {
        let bytes = self.quiet_descriptor(selector)?;
        let d = descriptor(bytes);
        let fine = selector as u8 & 3 == cpl
            && d.dpl() == cpl
            && d.is_writable_data()
            && d.present()
            && d.accessed()
            && d.big();
        fine.then_some(Checked { selector, bytes, segment: Segment::from_descriptor(selector, d) })
    }

    #[inline(always)]
    fn is_still(&self, known: &Checked) -> bool {
        self.quiet_descriptor(known.selector) == Some(known.bytes) || self.does(EmitFault::TransferRemembered)
    }

    /// This is to be done wrong.
    #[inline(always)]
    fn does(&self, fault: EmitFault) -> bool {
        self.jit.as_ref().is_some_and(|jit| jit.emit_fault == Some(fault))
    }

    /// What a quick transfer needs of the processor, whatever it is.
    fn is_plain(&self) -> bool {
        self.regs.protected()
            && self.mutant.is_none()
            && self.regs.ss().big()
            && self.jit.as_ref().is_some_and(|jit| jit.generation == self.blocks.generation())
    }

    /// SS and ESP for level `cpl` in the TSS.
    #[inline(always)]
    fn quiet_tss_stack(&self, cpl: u8) -> Option<(u16, u32)> {
        let tr = &self.regs.tr;
        let at = 4 + 8 * cpl as u32;
        // The type of a 32-bit TSS, busy or not.
        if tr.attr >> 8 & 0x1D != 9 || at + 7 > tr.limit {
            return None;
        }
        let both: u64 = self.quiet_read(tr.base.wrapping_add(at))?;
        Some(((both >> 32) as u16, both as u32))
    }

    /// The way `int` goes, if that can be gone quickly.
    #[inline(always)]
    fn plan_delivery(&self, int: &Interrupt) -> Option<Plan> {
        let jit = self.jit.as_ref()?;
        let at = int.vector as u32 * 8;
        if !self.is_plain() || at + 7 > self.regs.idtr.limit as u32 {
            return None;
        }
        let bytes: u64 = self.quiet_read(self.regs.idtr.base.wrapping_add(at))?;
        let gate = descriptor(bytes);
        if int.by_program && gate.dpl() < self.regs.cpl {
            return None;
        }
        let place = Place::Gate(int.vector);
        let known = &jit.transfers.gates[int.vector as usize];
        if known.from == jit.current() && known.gate == bytes && self.is_still(&known.code) {
            let Some(stack) = &known.stack else { return Some(Plan { place, known: *known, esp: 0 }) };
            let cpl = known.code.segment.selector as u8 & 3;
            if let Some((ss, esp)) = self.quiet_tss_stack(cpl)
                && ss == stack.selector
                && self.is_still(stack)
            {
                return Some(Plan { place, known: *known, esp });
            }
        }
        self.check_gate(place, bytes)
    }

    /// The same, with every check.
    #[cold]
    fn check_gate(&self, place: Place, bytes: u64) -> Option<Plan> {
        let gate = descriptor(bytes);
        // Present, and an interrupt or trap gate of 32 bits.
        if gate.hi & 0x9E00 != 0x8E00 {
            return None;
        }
        let selector = gate.gate_selector();
        let target = descriptor(self.quiet_descriptor(selector)?);
        let cpl = target.dpl();
        let code = self.quiet_code(selector, cpl)?;
        if cpl > self.regs.cpl || gate.gate_offset() > code.segment.limit {
            return None;
        }
        let (stack, esp) = if cpl < self.regs.cpl {
            let (ss, esp) = self.quiet_tss_stack(cpl)?;
            (Some(self.quiet_stack(ss, cpl)?), esp)
        } else {
            (None, 0)
        };
        Some(Plan { place, known: self.first_time(bytes, code, stack), esp })
    }

    fn first_time(&self, gate: u64, code: Checked, stack: Option<Checked>) -> Known {
        let from = self.jit.as_ref().map_or(usize::MAX, |jit| jit.current());
        Known { from, to: None, tsd: self.regs.cr4 & cr4::TSD != 0, gate, code, stack }
    }

    /// Push the frame of `int`, which finds `eflags`; `None` if that takes more than one check. Then nothing has changed.
    #[inline(always)]
    fn push_frame(&mut self, plan: &Plan, int: &Interrupt, eflags: u32) -> Option<Frame> {
        let mut frame = match &plan.known.stack {
            Some(stack) => Frame::inner(stack.segment, plan.esp),
            None => Frame::current(self),
        };
        let values = [
            self.regs.ss().selector as u32,
            self.regs.gpr[ESP],
            eflags & !flags::RF | if int.resume { flags::RF } else { 0 },
            self.regs.cs().selector as u32,
            int.return_eip,
            int.error.unwrap_or(0) as u32,
        ];
        let first = if plan.known.stack.is_some() { 0 } else { 2 };
        let end = if int.error.is_some() { 6 } else { 5 };
        frame.push_at_once(self, &values[first..end]).then_some(frame)
    }

    /// The frame is in memory: what else delivery changes.
    #[inline(always)]
    fn enter_gate(&mut self, plan: &Plan, int: &Interrupt, frame: Frame) {
        let from = (self.regs.cpl, self.regs.cs().selector, self.regs.eip);
        let gate = descriptor(plan.known.gate);
        frame.commit(self);
        self.regs.seg[SegReg::Cs as usize] = plan.known.code.segment;
        self.regs.eip = gate.gate_offset();
        self.next_eip = self.regs.eip;
        self.regs.cpl = plan.known.code.segment.selector as u8 & 3;
        // An interrupt gate clears IF, a trap gate (bit 8) does not.
        let masked = if gate.hi & 1 << 8 == 0 { flags::IF } else { 0 };
        self.regs.flags.put(flags::TF | flags::NT | flags::RF | flags::VM | masked, false);
        self.update_view();
        self.regs.sti_shadow = 0;
        self.regs.ss_shadow = 0;
        self.emit(|cpu| Event::Transfer {
            cause: int.cause,
            from_cpl: from.0,
            to_cpl: cpu.regs.cpl,
            from: (from.1, from.2),
            to: (cpu.regs.cs().selector, cpu.regs.eip),
            eax: cpu.regs.gpr[0],
        });
    }

    /// A planned transfer was made: go on in the mode that follows, and remember it.
    #[inline(always)]
    fn arrive(&mut self, op: &Op, plan: &Plan) -> u32 {
        let tsd = self.regs.cr4 & cr4::TSD != 0;
        let entered = match plan.known.to {
            Some(to) if plan.known.tsd == tsd => self.enter_mode(to),
            _ => self.follow_mode().map(|_| {
                if let Some(jit) = &mut self.jit {
                    let to = Some(jit.current());
                    *jit.transfers.place(plan.place) = Known { to, tsd, ..plan.known };
                }
            }),
        };
        if entered.is_none() {
            self.frame.left_by = op.code as u16;
            self.attention = true;
            return Leave::Attention as u32;
        }
        Leave::Moved as u32
    }

    /// Make mode number `to`, which is the processor's, that of compiled code; `None` if only the run loop can do it.
    #[inline(always)]
    fn enter_mode(&mut self, to: usize) -> Option<()> {
        let jit = self.jit.as_mut()?;
        jit.set_mode(to);
        self.frame.dispatch = jit.dispatch_address();
        self.frame.view = self.flat_view()?;
        Some(())
    }

    /// INT n of one block's end.
    fn interrupt_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let vector = op.imm as u8;
        let int = Interrupt {
            vector,
            cause: Cause::SoftwareInterrupt(vector),
            return_eip: self.regs.eip.wrapping_add(op.len as u32),
            error: None,
            resume: false,
            by_program: true,
        };
        let plan = self.plan_delivery(&int)?;
        let arith = unpacked(self.frame.flags);
        let frame = self.push_frame(&plan, &int, self.regs.flags.get() & !flags::ARITH | arith)?;
        self.enter_gate(&plan, &int, frame);
        self.counters.software_interrupts += 1;
        self.insns += 1;
        let leave = self.arrive(op, &plan);
        if leave != Leave::Moved as u32 {
            self.regs.flags.set_arith(arith);
        }
        Some(leave)
    }

    /// The handler of `op` raised `fault`, with everything in the `Cpu`: deliver it. `None` if nothing was done.
    #[inline(always)]
    pub(super) fn raise_quickly(&mut self, op: &Op, fault: Fault) -> Option<u32> {
        if self.attention || fault == Fault::DB || fault == Fault::MF {
            return None;
        }
        let int = self.exception(fault);
        let plan = self.plan_delivery(&int)?;
        let frame = self.push_frame(&plan, &int, self.regs.flags.get())?;
        self.regs.pending_debug = 0;
        self.note_page_fault(fault);
        self.counters.exceptions += 1;
        self.enter_gate(&plan, &int, frame);
        Some(self.arrive(op, &plan))
    }

    /// IRET in protected mode, to the same or an outer level.
    fn return_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let nested = self.regs.flags.has(flags::NT);
        if !self.is_plain() || nested || self.lines.nmi || self.insns + 1 >= self.stop_at {
            return None;
        }
        let at = self.plain_frame(20)?;
        let slot = |n: u32| self.mem.read_at::<u32>(at + 4 * n);
        let (eip, cs, value, esp, ss) = (slot(0), slot(1) as u16, slot(2), slot(3), slot(4) as u16);
        let (old_cpl, cpl) = (self.regs.cpl, cs as u8 & 3);
        let mask = self.iret_flags::<u32>(old_cpl);
        let old = self.regs.flags.get();
        let new = old & !mask | value & mask;
        if value & flags::VM != 0
            || new & flags::TF != 0
            || (new ^ old) & flags::DF != 0
            || self.lines.intr && new & flags::IF != 0 && !self.does(EmitFault::WaitingUnseen)
            || cpl < old_cpl
        {
            return None;
        }
        let outwards = cpl > old_cpl;
        let plan = self.plan_return(cs, outwards.then_some(ss))?;
        if eip > plan.known.code.segment.limit {
            return None;
        }
        if outwards && !self.does(EmitFault::InnerSegmentsKept) {
            // Data segments that the outer level may not use.
            for seg in [SegReg::Es, SegReg::Ds, SegReg::Fs, SegReg::Gs] {
                let d = self.regs.seg[seg as usize].descriptor();
                if d.present() && d.dpl() < cpl && !d.is_conforming() {
                    return None;
                }
            }
        }
        self.next_eip = eip;
        self.with_transfer_event(Cause::Iret, |cpu| {
            cpu.regs.seg[SegReg::Cs as usize] = plan.known.code.segment;
            match &plan.known.stack {
                Some(stack) => {
                    cpu.regs.seg[SegReg::Ss as usize] = stack.segment;
                    cpu.regs.gpr[ESP] = esp;
                }
                None => cpu.regs.gpr[ESP] = cpu.regs.gpr[ESP].wrapping_add(12),
            }
            cpu.regs.cpl = cpl;
            // Without breakpoints RF hides nothing; it ends with the next instruction.
            cpu.regs.flags.set(new & !flags::RF);
            cpu.update_view();
        });
        self.regs.eip = eip;
        self.regs.nmi_blocked = false;
        self.frame.flags = packed(value);
        self.insns += 1;
        Some(self.arrive(op, &plan))
    }

    /// The way back to `cs`, and to the stack `ss` of an outer level.
    #[inline(always)]
    fn plan_return(&self, cs: u16, ss: Option<u16>) -> Option<Plan> {
        let jit = self.jit.as_ref()?;
        let n = (cs >> 3) as usize + 8 * jit.current();
        let place = Place::Return(n);
        let known = &jit.transfers.returns[n % RETURNS];
        if known.from == jit.current()
            && known.code.selector == cs
            && known.stack.as_ref().map(|stack| stack.selector) == ss
            && self.is_still(&known.code)
            && known.stack.as_ref().is_none_or(|stack| self.is_still(stack))
        {
            return Some(Plan { place, known: *known, esp: 0 });
        }
        let code = self.quiet_code(cs, cs as u8 & 3)?;
        let stack = match ss {
            Some(ss) => Some(self.quiet_stack(ss, cs as u8 & 3)?),
            None => None,
        };
        Some(Plan { place, known: self.first_time(0, code, stack), esp: 0 })
    }
}
