//! From the run loop into compiled code and back.

use super::backend::BUDGET_BASE;
use super::cache::Straight;
use super::{EmitFault, Jit, Leave, MOST_SECTIONS, Mapping, Mode};
use crate::Cpu;
use crate::decode::{Op, Prefix};
use crate::fault::Fault;
use crate::flags;
use crate::mmu::flat::FlatViews;
use crate::mmu::{Access, View};
use crate::simd::mxcsr;
use iced_x86::Code;
use std::io;

/// Instructions in one stay in compiled code at most.
const LONGEST_STAY: u64 = BUDGET_BASE / 2;

/// Instructions of a compiled block that goes on behind branches, at most.
const MOST_OPS: usize = 64;

/// A conditional branch that code in line has.
fn is_near_jcc(op: &Op) -> bool {
    use Code::*;
    matches!(
        op.code,
        Jo_rel8_32
            | Jno_rel8_32
            | Jb_rel8_32
            | Jae_rel8_32
            | Je_rel8_32
            | Jne_rel8_32
            | Jbe_rel8_32
            | Ja_rel8_32
            | Js_rel8_32
            | Jns_rel8_32
            | Jp_rel8_32
            | Jnp_rel8_32
            | Jl_rel8_32
            | Jge_rel8_32
            | Jle_rel8_32
            | Jg_rel8_32
            | Jo_rel32_32
            | Jno_rel32_32
            | Jb_rel32_32
            | Jae_rel32_32
            | Je_rel32_32
            | Jne_rel32_32
            | Jbe_rel32_32
            | Ja_rel32_32
            | Js_rel32_32
            | Jns_rel32_32
            | Jp_rel32_32
            | Jnp_rel32_32
            | Jl_rel32_32
            | Jge_rel32_32
            | Jle_rel32_32
            | Jg_rel32_32
    )
}

/// The frame's form of arithmetic flags.
pub(super) fn packed(arith: u32) -> u16 {
    ((arith as u16 & 0xD5) | 2) << 8 | (arith & flags::OF != 0) as u16
}

pub(super) fn unpacked(frame: u16) -> u32 {
    frame as u32 >> 8 & 0xD5 | (frame as u32 & 1) << 11
}

/// Called by compiled code: execute `op`. The registers are in the `Cpu`, its flags and budget in the frame. 0 to go
/// on with the next instruction, else a [`Leave`].
pub(super) extern "sysv64" fn call(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: compiled code was entered with the `Cpu` that is borrowed mutably by `run_compiled`, which touches
    // nothing meanwhile; the instructions of a block live as long as code that names them can run (`Jit::graveyard`).
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.call_handler(op, false)
}

/// As [`call`], for an instruction after which the mode may be another.
pub(super) extern "sysv64" fn call_checked(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.call_handler(op, true)
}

/// Called by compiled code that leaves for `reason`, the next block being unknown: the address of its code, or 0 to
/// leave indeed. Registers and flags are in the `Cpu` and its frame.
pub(super) extern "sysv64" fn seek(cpu: *mut Cpu, reason: u32) -> u64 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    cpu.seek_code(reason == Leave::Edge as u32)
}

/// Called by compiled code whose flat view has nothing for a byte it wants to read: 1 if it has something now, else 0.
pub(super) extern "sysv64" fn refill_read(cpu: *mut Cpu, linear: u32) -> u32 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    cpu.refill(linear, Access::Read) as u32
}

/// As [`refill_read`], for a byte to be written.
pub(super) extern "sysv64" fn refill_write(cpu: *mut Cpu, linear: u32) -> u32 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    cpu.refill(linear, Access::Write) as u32
}

/// As [`refill_read`], for code that comes next, unless nothing may be retired any more.
pub(super) extern "sysv64" fn refill_fetch(cpu: *mut Cpu, linear: u32, _: u32, budget: u64) -> u32 {
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    (budget > BUDGET_BASE && cpu.refill(linear, Access::Fetch)) as u32
}

impl Cpu {
    /// After compiled code: the guest's x87 registers to their place.
    #[inline(always)]
    fn drain_x87(&mut self) {
        let jit = &self.jit;
        self.frame.x87.drain(&mut self.fpu, || jit.as_ref().and_then(|jit| jit.emit_fault));
    }

    fn seek_code(&mut self, by_edge: bool) -> u64 {
        self.drain_x87();
        self.insns = self.frame.end - (self.frame.budget - BUDGET_BASE);
        if self.insns >= self.stop_at {
            return 0;
        }
        let found = self.compiled_code(by_edge.then_some(self.frame.edge));
        match found {
            Ok(Some(code)) if !self.attention => code,
            Ok(_) => 0,
            Err(fault) => {
                self.frame.fault = Some(fault);
                0
            }
        }
    }

    /// Compiled code has just been left: the count of instructions.
    pub(super) fn count_from_frame(&mut self) {
        self.drain_x87();
        self.insns = self.frame.end - (self.frame.budget - BUDGET_BASE);
    }

    pub(super) fn call_handler(&mut self, op: &Op, checked: bool) -> u32 {
        self.count_from_frame();
        self.regs.flags.set_arith(unpacked(self.frame.flags));
        let before = self.insns;
        let start = self.regs.eip;
        let mut moved = false;
        let mut checked = checked;
        loop {
            self.next_eip = start.wrapping_add(op.len as u32);
            match (op.run)(self, op) {
                Ok(()) => {
                    self.regs.eip = self.next_eip;
                    self.insns += 1;
                }
                Err(fault) => {
                    let first = self.fruitless.0 != self.insns;
                    if first && let Some(leave) = self.raise_quickly(op, fault) {
                        self.fruitless = (self.insns, 0);
                        self.frame.held = self.frame.budget - (self.insns - before);
                        self.frame.flags = packed(self.regs.flags.arith());
                        return leave;
                    }
                    self.raise(fault);
                    if !first {
                        // Faults in a row retire nothing: the run loop counts them.
                        self.frame.left_by = op.code as u16;
                        return Leave::Attention as u32;
                    }
                    self.fruitless = (self.insns, 0);
                    (moved, checked) = (true, true);
                }
            }
            if !self.attention {
                break;
            }
            if !self.nothing_happened() {
                self.frame.left_by = op.code as u16;
                return Leave::Attention as u32;
            }
            self.attention = false;
            self.regs.flags.put(flags::RF, false);
            moved |= !self.may_stay();
            if op.has(Prefix::POLL) && !moved {
                self.skip_polls(op);
            }
            // A REP that has more to do stands on itself.
            if moved || self.regs.eip != start || op.prefix & (Prefix::REP | Prefix::REPNE) == 0 {
                break;
            }
        }
        if self.insns >= self.stop_at {
            self.frame.left_by = op.code as u16;
            self.attention = true;
            return Leave::Attention as u32;
        }
        if checked || moved {
            match self.follow_mode() {
                Some(changed) => moved |= changed,
                None => {
                    self.frame.left_by = op.code as u16;
                    self.attention = true;
                    return Leave::Attention as u32;
                }
            }
        }
        let retired = self.insns - before;
        if moved {
            self.frame.held = self.frame.budget - retired;
        } else {
            // A REP retires more than the block counted.
            let extra = retired - 1;
            if self.frame.held < BUDGET_BASE + extra {
                self.frame.left_by = op.code as u16;
                self.attention = true;
                return Leave::Attention as u32;
            }
            if extra != 0
                && self.jit.as_ref().is_none_or(|jit| jit.emit_fault != Some(EmitFault::RepUncounted))
            {
                self.frame.held -= extra;
            }
        }
        self.frame.flags = packed(self.regs.flags.arith());
        if moved { Leave::Moved as u32 } else { 0 }
    }

    /// Make the mode and view of the processor those of compiled code. Whether that changed anything; `None` if only
    /// the run loop can do it.
    pub(super) fn follow_mode(&mut self) -> Option<bool> {
        let jit = self.jit.as_ref()?;
        if self.blocks.generation() != jit.generation {
            return None;
        }
        let mut changed = false;
        if !jit.mode_holds(self) {
            changed = true;
            let known = jit.known_mode(self)?;
            self.jit.as_mut()?.set_mode(known);
        }
        let view = self.flat_view()?;
        changed |= view != self.frame.view;
        self.frame.view = view;
        self.frame.dispatch = self.jit.as_ref()?.dispatch_address();
        Some(changed)
    }

    /// Make the mode of the processor the current one.
    fn find_mode(&mut self) {
        let Some(jit) = &self.jit else { return };
        if jit.mode_holds(self) {
            return;
        }
        let known = jit.known_mode(self);
        let mode = Mode::of(self);
        if let Some(jit) = &mut self.jit {
            match known {
                Some(number) => jit.set_mode(number),
                None => jit.add_mode(mode),
            }
        }
    }

    /// Use the compiled engine from now on.
    ///
    /// # Errors
    /// The host lacks something.
    pub fn compile_with(&mut self, mapping: Mapping) -> io::Result<()> {
        let ram = self.mem.backing();
        if ram.align_offset(16) != 0 {
            return Err(io::Error::other("the compiled engine needs RAM at an aligned address"));
        }
        let jit = Jit::new(mapping, self.blocks.generation())?;
        self.tlb.flat = Some(FlatViews::new(ram)?);
        self.tlb.drop_fast();
        self.jit = Some(Box::new(jit));
        Ok(())
    }

    /// Use the interpreter from now on.
    pub(crate) fn stop_compiling(&mut self) {
        self.jit = None;
        self.tlb.flat = None;
    }

    /// Compile wrongly from now on.
    pub fn set_emit_fault(&mut self, fault: Option<EmitFault>) {
        if let Some(jit) = &mut self.jit {
            jit.set_emit_fault(fault);
        }
    }

    /// After an instruction that asked for attention, nothing having happened: whether the code it came from is still
    /// there, and mapped where it was.
    fn may_stay(&self) -> bool {
        let linear = self.regs.cs().base.wrapping_add(self.regs.eip);
        let view = usize::from(self.regs.cpl == 3);
        self.flat_view() == Some(self.frame.view)
            && self.tlb.flat.as_ref().is_some_and(|flat| flat.view(view).fetches(linear))
            && self.jit.as_ref().is_some_and(|jit| jit.is_undisturbed(self.blocks.generation()))
    }

    /// The flat view for code of the current mode; `None` if its ceiling has to be set first.
    pub(super) fn flat_view(&self) -> Option<u64> {
        let (flat, jit) = (self.tlb.flat.as_ref()?, self.jit.as_ref()?);
        let n = self.view as usize;
        let view = match jit.ceiling() {
            0 => flat.view(n),
            _ if self.view == View::Checked => flat.view(n),
            ceiling => flat.lower(n, ceiling)?,
        };
        Some(view.biased_address())
    }

    /// The same, its ceiling set if need be.
    fn make_flat_view(&mut self) -> Option<u64> {
        if let Some(view) = self.flat_view() {
            return Some(view);
        }
        let (flat, jit) = (self.tlb.flat.as_mut()?, self.jit.as_mut()?);
        let pages = flat.set_ceiling(self.view as usize, jit.ceiling());
        jit.charge_ceiling(pages);
        self.flat_view()
    }

    /// Run compiled code from CS:EIP on until something needs the run loop; interpret what has none.
    ///
    /// # Errors
    /// The fault of an instruction or fetch.
    pub(crate) fn run_compiled(&mut self) -> Result<(), Fault> {
        let generation = self.blocks.generation();
        let Some(jit) = &mut self.jit else { return self.run_block() };
        jit.safe_point(generation);
        if jit.rests(self.insns) {
            return self.run_block();
        }
        self.find_mode();
        let Some(view) = self.make_flat_view() else { return self.run_block() };
        let Some(jit) = &self.jit else { return self.run_block() };
        let enter = jit.enter_address();
        // SAFETY: the fixed code at `enter` is a function of this type.
        let enter: extern "sysv64" fn(*mut Cpu, u64) -> Leave = unsafe { std::mem::transmute(enter) };
        self.frame.view = view;
        self.frame.host_mxcsr = mxcsr::RESET;
        let Some(code) = self.compiled_code(None)? else { return self.run_block() };
        if self.attention {
            // Delivering an interrupt, or fetching, has touched a device.
            if !self.nothing_happened() {
                return self.run_block();
            }
            self.attention = false;
        }
        let room = (self.stop_at - self.insns).min(LONGEST_STAY);
        let before = self.insns;
        self.frame.end = before + room;
        self.frame.budget = BUDGET_BASE + room;
        self.frame.time = BUDGET_BASE + self.frame.end;
        self.frame.flags = packed(self.regs.flags.arith());
        let cpu: *mut Cpu = self;
        let leave = enter(cpu, code);
        self.drain_x87();
        if matches!(leave, Leave::Budget | Leave::Edge | Leave::Indirect) {
            self.regs.flags.set_arith(unpacked(self.frame.flags));
            self.insns = self.frame.end - (self.frame.budget - BUDGET_BASE);
        }
        if let Some(jit) = &mut self.jit {
            jit.stats.entries += 1;
            jit.stats.exits[leave as usize - 1] += 1;
            jit.stats.retired += self.insns - before;
            if leave == Leave::Attention {
                *jit.left_by.entry(self.frame.left_by).or_default() += 1;
            }
        }
        if let Some(fault) = self.frame.fault.take() {
            return Err(fault);
        }
        match leave {
            // Nothing comes next: what it would be fetched from must not be looked up.
            _ if self.insns >= self.stop_at => Ok(()),
            // What comes next is interpreted, or stops the run loop.
            Leave::Edge | Leave::Indirect if self.attention => Ok(()),
            Leave::Budget | Leave::Edge | Leave::Indirect => self.run_block(),
            Leave::Attention | Leave::Moved => Ok(()),
        }
    }

    /// Address of the code for CS:EIP in the current mode, compiled now if it is worth it; `edge` leads there.
    ///
    /// # Errors
    /// #GP(0) or #PF of the fetch.
    fn compiled_code(&mut self, edge: Option<u32>) -> Result<Option<u64>, Fault> {
        let cs = self.regs.cs();
        let (eip, linear, limit, big) =
            (self.regs.eip, cs.base.wrapping_add(self.regs.eip), cs.limit, cs.big());
        if eip > limit {
            return Err(Fault::GP0);
        }
        let Some(offset) = self.fetch_offset(linear)? else { return Ok(None) };
        let frame = offset >> 12;
        let Some(jit) = &self.jit else { return Ok(None) };
        let known = match edge {
            Some(edge) => jit.linked(edge, eip, frame),
            None => jit.find_quickly(eip, frame),
        };
        if known.is_some() {
            return Ok(known);
        }
        let source = match self.block_at(offset, big) {
            Some(source) if self.blocks.tail(source).is_none() => source,
            _ => match self.crossing_block(linear, limit, big)? {
                Some(source) => source,
                None => return Ok(None),
            },
        };
        let (_, bytes) = self.blocks.size(source);
        if eip as u64 + bytes as u64 - 1 > limit as u64 {
            return Ok(None);
        }
        let generation = self.blocks.generation();
        let Some(jit) = &mut self.jit else { return Ok(None) };
        if jit.generation != generation {
            // Decoding the block made the cache start over.
            self.attention = true;
            return Ok(None);
        }
        let plain = edge.is_some_and(|edge| jit.asks_for_plain(edge));
        let id = match jit.find(source, eip, plain) {
            Some(id) => id,
            None => {
                let warm = jit.warm;
                // A REP may be most of the program's time on its first visit.
                let repeats = |op: &Op| op.prefix & (Prefix::REP | Prefix::REPNE) != 0;
                let cold = self.blocks.warm_up(source) < warm;
                if cold && !self.blocks.ops(source).iter().any(repeats) {
                    return Ok(None);
                }
                let tail = self.blocks.tail(source);
                let (sources, ops) = self.blocks_ahead(source, offset);
                let insns = self.instructions_at(offset, tail, big, ops.len());
                let tail = tail.map(|tail| ((linear >> 12).wrapping_add(1) & 0xF_FFFF, tail >> 12));
                let usual =
                    self.tlb.flat.as_ref().is_some_and(|flat| flat.view(self.view as usize).is_regular());
                let Some(jit) = &mut self.jit else { return Ok(None) };
                let straight =
                    Straight { sources: &sources, ops, insns: &insns, eip, frame, tail, plain, usual };
                match jit.compile(straight) {
                    Some(id) => id,
                    None => return Ok(None),
                }
            }
        };
        let Some(jit) = &mut self.jit else { return Ok(None) };
        if let Some(edge) = edge {
            jit.link(edge, id);
        }
        Ok(Some(jit.address(id)))
    }

    /// The instructions of decoded block `first`, which is at CS:EIP and backing-store `offset`, and of those that follow it where
    /// branches inside the page are not taken, as far as that has happened, or whatever is compiled on its first visit. Instructions
    /// that retire more than one stay alone.
    fn blocks_ahead(&mut self, first: u32, offset: u32) -> (Vec<u32>, Vec<Op>) {
        let (base, limit, big) = (self.regs.cs().base, self.regs.cs().limit, self.regs.cs().big());
        let start = self.regs.eip;
        let page = |eip: u32| base.wrapping_add(eip) >> 12;
        let repeats = |op: &Op| op.prefix & (Prefix::REP | Prefix::REPNE) != 0;
        // Decoding must not make the block cache start over here.
        let eager = self.jit.as_ref().is_some_and(|jit| jit.warm <= 1) && !self.blocks.is_nearly_full();
        let mut sources = vec![first];
        let mut ops = self.blocks.ops(first).to_vec();
        let (_, mut bytes) = self.blocks.size(first);
        if self.blocks.tail(first).is_some() || ops.iter().any(repeats) {
            return (sources, ops);
        }
        while sources.len() < MOST_SECTIONS
            && let Some(branch) = ops.last().filter(|op| is_near_jcc(op))
        {
            let next = start.wrapping_add(bytes);
            let target = next.wrapping_add(branch.imm);
            if target == start || page(target) != page(start) || target > limit || page(next) != page(start) {
                break;
            }
            let at = offset + bytes;
            let known = if eager { self.block_at(at, big) } else { self.blocks.find(at, big) };
            let Some(id) = known else { break };
            let more = self.blocks.ops(id);
            let (_, more_bytes) = self.blocks.size(id);
            if !eager && !self.blocks.was_visited(id)
                || self.blocks.tail(id).is_some()
                || ops.len() + more.len() > MOST_OPS
                || next as u64 + more_bytes as u64 - 1 > limit as u64
                || more.iter().any(repeats)
            {
                break;
            }
            sources.push(id);
            ops.extend_from_slice(more);
            bytes += more_bytes;
        }
        (sources, ops)
    }

    /// Code of decoded blocks that are gone must not run again.
    pub(crate) fn forget_compiled(&mut self) {
        let dropped = self.blocks.take_dropped();
        if let Some(jit) = &mut self.jit {
            for source in dropped {
                jit.forget(source);
            }
        }
    }
}
