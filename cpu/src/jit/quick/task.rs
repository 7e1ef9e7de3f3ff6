//! A direct far JMP to a 32-bit TSS: the task switch of `system/task.rs`, in protected mode, between tasks with one CR3.
//!
//! What the switch found out is remembered as of other transfers: the bytes of all descriptors it read, and what TR, LDTR and
//! the segment registers held after it.

use super::descriptor;
use crate::Cpu;
use crate::decode::Op;
use crate::event::{Cause, Event};
use crate::flags;
use crate::jit::calls::{packed, unpacked};
use crate::jit::{EmitFault, Leave};
use crate::regs::{cr0, cr4, gpr};
use crate::seg::{SegReg, Segment, is_null};

/// Called by compiled code: a direct far JMP with an offset of 32 bits, as `calls::call_checked`.
pub(in crate::jit) extern "sysv64" fn far_jump(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `calls::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.switch_quickly(op).unwrap_or_else(|| cpu.switch_slowly(op))
}

/// S and the type in the high word of a descriptor, and what a TSS of 32 bits has there.
const KIND: u32 = 0x1F00;
const AVAILABLE: u32 = 0x0900;
const BUSY_BIT: u32 = 0x200;

/// Bytes of a TSS, and where in it what the switch reads and writes is.
const SIZE: usize = 104;
const CR3: usize = 28;
const EIP: usize = 32;
const EFLAGS: usize = 36;
const GPR: usize = 40;
const SEG: usize = 72;
const LDT: usize = 96;
const TRAP: usize = 100;

/// A switch that was made.
#[derive(Clone, Copy)]
struct Task {
    /// The mode it leads from.
    from: usize,
    selector: u16,
    /// Its descriptor, available.
    bytes: u64,
    /// Selectors of the segment registers and LDTR.
    selectors: [u16; 7],
    /// The descriptors they name: selector and bytes, each once.
    descriptors: [(u16, u64); 7],
    count: usize,
    /// TR, LDTR and the segment registers afterwards.
    tr: Segment,
    ldtr: Segment,
    seg: [Segment; 6],
    /// CR4.TSD and DF, on which the mode depends that it leads to.
    tsd: bool,
    down: bool,
    to: usize,
}

const NONE: Segment = Segment::null(0);

const NOTHING: Task = Task {
    from: usize::MAX,
    selector: 0,
    bytes: 0,
    selectors: [0; 7],
    descriptors: [(0, 0); 7],
    count: 0,
    tr: NONE,
    ldtr: NONE,
    seg: [NONE; 6],
    tsd: false,
    down: false,
    to: 0,
};

const PLACES: usize = 16;

/// Switches that were made.
pub(super) struct Tasks(Box<[Task; PLACES]>);

impl Tasks {
    pub fn new() -> Tasks {
        Tasks(Box::new([NOTHING; PLACES]))
    }
}

fn place(selector: u16) -> usize {
    (selector >> 3) as usize % PLACES
}

/// The 32 bits at `at` of a TSS.
#[inline(always)]
fn field(tss: &[u8; SIZE], at: usize) -> u32 {
    u32::from_le_bytes([tss[at], tss[at + 1], tss[at + 2], tss[at + 3]])
}

/// The selectors in a TSS, that of the LDT last.
#[inline(always)]
fn selectors(tss: &[u8; SIZE]) -> [u16; 7] {
    std::array::from_fn(|n| field(tss, SEG + 4 * n) as u16)
}

impl Cpu {
    fn switch_quickly(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let selector = op.imm2;
        let bytes = self.quiet_descriptor(selector)?;
        let jit = self.jit.as_ref()?;
        let known = jit.transfers.tasks.0.get(place(selector))?;
        if (known.selector, known.bytes, known.from) != (selector, bytes, jit.current())
            || known.tsd != (self.regs.cr4 & cr4::TSD != 0)
            || !self.is_plain()
            || self.lines.nmi
            || self.insns + 1 >= self.stop_at
        {
            return None;
        }

        // What it reads and writes is where nothing can happen.
        let gdt = self.regs.gdtr.base;
        let old = self.regs.tr;
        if old.attr & KIND & !BUSY_BIT != AVAILABLE || old.selector & 4 != 0 {
            return None;
        }
        let old_word = self.plain_system(gdt.wrapping_add((old.selector & !7) as u32 + 4), 4, true)?;
        let new_word = self.plain_system(gdt.wrapping_add((selector & !7) as u32 + 4), 4, true)?;
        let old_hi: u32 = self.mem.read_at(old_word);
        if old_hi & KIND != AVAILABLE | BUSY_BIT {
            return None;
        }
        let old_tss = self.plain_system(old.base, SIZE as u32, true)?;
        let new_tss = self.plain_system(known.tr.base, SIZE as u32, false)?;
        let tss: [u8; SIZE] = *self.mem.array_at(new_tss)?;

        let new_flags = field(&tss, EFLAGS) & flags::ALL;
        if new_flags & (flags::VM | flags::TF) != 0
            || (new_flags & flags::DF != 0) != known.down
            || self.lines.intr && new_flags & flags::IF != 0 && !self.does(EmitFault::WaitingUnseen)
            || self.regs.cr0 & cr0::PG != 0 && field(&tss, CR3) != self.regs.cr3
            || field(&tss, TRAP) & 1 != 0
            || selectors(&tss) != known.selectors
            || field(&tss, EIP) > known.seg[SegReg::Cs as usize].limit
        {
            return None;
        }
        // The descriptors are those that will be there when the outgoing task has been saved.
        let saved = old_tss + EIP as u32..old_tss + LDT as u32;
        for &(selector, bytes) in known.descriptors.iter().take(known.count) {
            let at = self.plain_system(gdt.wrapping_add((selector & !7) as u32), 8, false)?;
            if (at < saved.end && saved.start < at + 8)
                || (selector & !7) as u32 + 7 > self.regs.gdtr.limit as u32
                || self.mem.read_at::<u64>(at) != bytes && !self.does(EmitFault::TransferRemembered)
            {
                return None;
            }
        }

        // From here on nothing can be in the way.
        let old_flags = self.regs.flags.get() & !flags::ARITH | unpacked(self.frame.flags);
        let back = self.regs.eip.wrapping_add(op.len as u32);
        self.mem.write_at(old_word, old_hi & !BUSY_BIT);
        if let Some(out) = self.mem.array_at_mut::<SIZE>(old_tss) {
            out[EIP..][..4].copy_from_slice(&back.to_le_bytes());
            out[EFLAGS..][..4].copy_from_slice(&old_flags.to_le_bytes());
            for (n, value) in self.regs.gpr.iter().enumerate() {
                out[GPR + 4 * n..][..4].copy_from_slice(&value.to_le_bytes());
            }
            for (n, register) in self.regs.seg.iter().enumerate() {
                out[SEG + 4 * n..][..2].copy_from_slice(&register.selector.to_le_bytes());
            }
        }
        self.mem.write_at(new_word, (bytes >> 32) as u32 | BUSY_BIT);

        let from = (self.regs.cpl, self.regs.cs().selector, self.regs.eip);
        self.regs.tr = known.tr;
        self.regs.ldtr = known.ldtr;
        self.regs.seg = known.seg;
        let to = known.to;
        self.regs.cr0 |= cr0::TS;
        self.regs.dr7 &= !0x155;
        for n in 0..8 {
            self.regs.gpr[n] = field(&tss, GPR + 4 * n);
        }
        self.regs.eip = field(&tss, EIP);
        self.next_eip = self.regs.eip;
        // Without breakpoints RF hides nothing; it ends with the next instruction.
        self.regs.flags.set(new_flags & !flags::RF);
        self.frame.flags = packed(new_flags);
        self.regs.cpl = self.regs.cs().selector as u8 & 3;
        self.update_view();
        self.emit(|cpu| Event::Transfer {
            cause: Cause::TaskSwitch,
            from_cpl: from.0,
            to_cpl: cpu.regs.cpl,
            from: (from.1, from.2),
            to: (cpu.regs.cs().selector, cpu.regs.eip),
            eax: cpu.regs.gpr[gpr::EAX],
        });
        self.insns += 1;
        let entered = self.enter_mode(to);
        Some(self.go_on(op, entered))
    }

    /// With all checks; a switch is remembered.
    #[inline(never)]
    fn switch_slowly(&mut self, op: &Op) -> u32 {
        let bytes = self.quiet_descriptor(op.imm2).filter(|&b| descriptor(b).hi & KIND == AVAILABLE);
        let from = self.jit.as_ref().map(|jit| jit.current());
        let (before, old_tr) = (self.insns, self.regs.tr.selector);
        let leave = self.call_handler(op, true);
        let made = leave != Leave::Attention as u32
            && self.insns == before + 1
            && self.regs.tr.selector == op.imm2
            && old_tr != op.imm2;
        if made && let (Some(bytes), Some(from)) = (bytes, from) {
            self.remember_switch(op.imm2, bytes, from);
        }
        leave
    }

    /// The processor has just switched to the task of `selector`.
    fn remember_switch(&mut self, selector: u16, bytes: u64, from: usize) -> Option<()> {
        if self.regs.v86() {
            return None;
        }
        let mut task = Task { from, selector, bytes, ..NOTHING };
        (task.tr, task.ldtr, task.seg) = (self.regs.tr, self.regs.ldtr, self.regs.seg);
        for (n, register) in self.regs.seg.iter().chain([&self.regs.ldtr]).enumerate() {
            let selector = register.selector;
            task.selectors[n] = selector;
            let same = |&(other, _): &(u16, u64)| other & !3 == selector & !3;
            if !is_null(selector) && !task.descriptors[..task.count].iter().any(same) {
                task.descriptors[task.count] = (selector, self.quiet_descriptor(selector)?);
                task.count += 1;
            }
        }
        task.tsd = self.regs.cr4 & cr4::TSD != 0;
        task.down = self.regs.flags.df();
        let jit = self.jit.as_mut()?;
        task.to = jit.current();
        *jit.transfers.tasks.0.get_mut(place(selector))? = task;
        Some(())
    }
}
