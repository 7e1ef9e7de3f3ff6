//! From the run loop into compiled code and back.

use super::backend::BUDGET_BASE;
use super::cache::Straight;
use super::calls::{packed, unpacked};
use super::{EmitFault, Jit, Leave, Mapping, Mode};
use crate::Cpu;
use crate::decode::{Dropped, Op, Prefix};
use crate::fault::Fault;
use crate::mmu::View;
use crate::mmu::flat::FlatViews;
use crate::simd::mxcsr;
use std::io;

/// Instructions in one stay in compiled code at most.
const LONGEST_STAY: u64 = BUDGET_BASE / 2;

impl Cpu {
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
        self.blocks.remember_rewritten();
        self.jit = Some(Box::new(jit));
        Ok(())
    }

    /// Use the interpreter from now on.
    pub(crate) fn stop_compiling(&mut self) {
        self.jit = None;
        self.tlb.flat = None;
        self.blocks.clear(&mut self.mem);
        self.blocks.forget_rewritten();
    }

    /// Compile wrongly from now on.
    pub fn set_emit_fault(&mut self, fault: Option<EmitFault>) {
        if let Some(jit) = &mut self.jit {
            jit.set_emit_fault(fault);
        }
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
    pub(super) fn compiled_code(&mut self, edge: Option<u32>) -> Result<Option<u64>, Fault> {
        let cs = self.regs.cs();
        let (eip, linear, limit, big) =
            (self.regs.eip, cs.base.wrapping_add(self.regs.eip), cs.limit, cs.big());
        if eip > limit {
            return Err(Fault::GP0);
        }
        let Some(offset) = self.fetch_offset(linear)? else { return Ok(None) };
        let frame = offset >> 12;
        let Some(jit) = &mut self.jit else { return Ok(None) };
        jit.stats.searches += 1;
        let known = match edge {
            Some(edge) => jit.linked(edge, eip, frame),
            None => jit.find_quickly(eip, frame),
        };
        if known.is_some() {
            jit.stats.searches_found += 1;
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
            Some(id) => {
                jit.stats.searches_found += 1;
                id
            }
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
                let may_sleep = sources.iter().any(|&source| self.blocks.may_come_back(source));
                let tail = tail.map(|tail| ((linear >> 12).wrapping_add(1) & 0xF_FFFF, tail >> 12));
                let usual =
                    self.tlb.flat.as_ref().is_some_and(|flat| flat.view(self.view as usize).is_regular());
                let Some(jit) = &mut self.jit else { return Ok(None) };
                let straight =
                    Straight { sources, ops, insns: &insns, eip, offset, tail, may_sleep, plain, usual };
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

    /// Stores have changed code. Decoded blocks that are gone or put aside must not run again, and where constants changed,
    /// the new ones count from now on.
    pub(crate) fn follow_rewritten(&mut self) {
        let current = self.jit.as_mut().filter(|jit| jit.generation == self.blocks.generation());
        let (dropped, changes) = (self.blocks.take_dropped(), self.blocks.take_changes());
        let Some(jit) = current else { return self.blocks.put_changes(changes) };
        for Dropped { block, aside } in dropped {
            match aside {
                true => jit.put_aside(block),
                false => jit.forget(block),
            }
        }
        for change in &changes {
            jit.change(change, self.blocks.offset(change.block));
        }
        self.blocks.put_changes(changes);
    }

    /// Decoded block `id` is there again.
    pub(crate) fn wake_compiled(&mut self, id: u32) {
        if let Some(jit) = self.jit.as_mut().filter(|jit| jit.generation == self.blocks.generation()) {
            jit.wake(id);
        }
    }
}
