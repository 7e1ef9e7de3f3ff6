//! From the run loop into compiled code and back.

use super::backend::BUDGET_BASE;
use super::{Jit, JitStats, Leave, Mapping, Mode};
use crate::Cpu;
use crate::decode::Op;
use crate::fault::Fault;
use crate::flags;
use crate::mmu::flat::FlatViews;
use std::io;

/// Instructions in one stay in compiled code at most.
const LONGEST_STAY: u64 = BUDGET_BASE / 2;

/// The frame's form of arithmetic flags.
fn packed(arith: u32) -> u16 {
    ((arith as u16 & 0xD5) | 2) << 8 | (arith & flags::OF != 0) as u16
}

fn unpacked(frame: u16) -> u32 {
    frame as u32 >> 8 & 0xD5 | (frame as u32 & 1) << 11
}

/// Called by compiled code: execute `op`. The registers are in the `Cpu`, its flags and budget in the frame. 0 to go
/// on, else a [`Leave`].
pub(super) extern "sysv64" fn call(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: compiled code was entered with the `Cpu` that is borrowed mutably by `run_compiled`, which touches
    // nothing meanwhile; the instructions of a block live as long as code that names them can run (`Jit::graveyard`).
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.regs.flags.set_arith(unpacked(cpu.frame.flags));
    cpu.insns = cpu.frame.end - (cpu.frame.budget - BUDGET_BASE);
    cpu.next_eip = cpu.regs.eip.wrapping_add(op.len as u32);
    if let Err(fault) = (op.run)(cpu, op) {
        cpu.frame.fault = Some(fault);
        return Leave::Fault as u32;
    }
    cpu.regs.eip = cpu.next_eip;
    cpu.insns += 1;
    if cpu.attention {
        return Leave::Attention as u32;
    }
    cpu.frame.flags = packed(cpu.regs.flags.arith());
    0
}

/// As [`call`], for an instruction after which the mode may be another.
pub(super) extern "sysv64" fn call_checked(cpu: *mut Cpu, op: *const Op) -> u32 {
    let result = call(cpu, op);
    if result != 0 {
        return result;
    }
    // SAFETY: as in `call`.
    let cpu = unsafe { &mut *cpu };
    let same = cpu.flat_view() == cpu.frame.view
        && cpu.jit.as_ref().is_some_and(|jit| jit.is_mode(&Mode::of(&cpu.regs)));
    if same { 0 } else { Leave::Attention as u32 }
}

impl Cpu {
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

    /// What the compiled engine did, if it is in use.
    pub fn jit_stats(&self) -> Option<JitStats> {
        self.jit.as_ref().map(|jit| jit.stats)
    }

    /// The flat view for the program's data accesses.
    fn flat_view(&self) -> u64 {
        self.tlb.flat.as_ref().map_or(0, |flat| flat.view(self.view as usize).biased_address())
    }

    /// Run compiled code from CS:EIP on until something needs the run loop; interpret what has none.
    ///
    /// # Errors
    /// The fault of an instruction or fetch.
    pub(crate) fn run_compiled(&mut self) -> Result<(), Fault> {
        let generation = self.blocks.generation();
        let view = self.flat_view();
        let Some(jit) = &mut self.jit else { return self.run_block() };
        jit.safe_point(generation);
        jit.set_mode(&Mode::of(&self.regs));
        let enter = jit.enter_address();
        // SAFETY: the fixed code at `enter` is a function of this type.
        let enter: extern "sysv64" fn(*mut Cpu, u64) -> Leave = unsafe { std::mem::transmute(enter) };
        self.frame.view = view;
        let mut edge = None;
        loop {
            let Some(code) = self.compiled_code(edge.take())? else { return self.run_block() };
            let room = (self.stop_at - self.insns).min(LONGEST_STAY);
            let before = self.insns;
            self.frame.end = before + room;
            self.frame.budget = BUDGET_BASE + room;
            self.frame.flags = packed(self.regs.flags.arith());
            let cpu: *mut Cpu = self;
            let leave = enter(cpu, code);
            if matches!(leave, Leave::Budget | Leave::Edge | Leave::Indirect) {
                self.regs.flags.set_arith(unpacked(self.frame.flags));
                self.insns = self.frame.end - (self.frame.budget - BUDGET_BASE);
            }
            if let Some(jit) = &mut self.jit {
                jit.stats.entries += 1;
                jit.stats.exits[leave as usize - 1] += 1;
                jit.stats.retired += self.insns - before;
            }
            match leave {
                Leave::Budget => return self.run_block(),
                Leave::Edge => edge = Some(self.frame.edge),
                Leave::Indirect => {}
                Leave::Attention => return Ok(()),
                Leave::Fault => return self.frame.fault.take().map_or(Ok(()), Err),
            }
            if self.insns >= self.stop_at {
                return Ok(());
            }
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
        if edge.is_none()
            && let Some(code) = jit.find_quickly(eip, frame)
        {
            return Ok(Some(code));
        }
        let Some(source) = self.block_at(offset, big) else { return Ok(None) };
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
        let id = match jit.find(source, eip) {
            Some(id) => id,
            None => {
                let warm = jit.warm;
                if self.blocks.warm_up(source) < warm {
                    return Ok(None);
                }
                let ops = self.blocks.ops(source).to_vec();
                let insns = self.instructions_at(offset, big, ops.len());
                let Some(jit) = &mut self.jit else { return Ok(None) };
                match jit.compile(source, ops, &insns, eip, frame) {
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
