//! Compiled blocks: found by place, EIP and mode; linked to each other; forgotten when their bytes change.

mod links;
mod modes;
mod rewritten;

use super::backend::{self, EdgeSite, Quirks, Runtime, Scratch, Source, Stubs};
use super::fault::JitFault;
use super::memory::{CodeMemory, Mapping};
use super::mode::Mode;
use super::quick::{self, Transfers};
use super::stats::JitStats;
use super::{EmitFault, calls, poll};
use crate::decode::Op;
use iced_x86::Instruction;
use modes::ModeState;
use std::collections::HashMap;
use std::io;

/// Bytes of code memory, and how many of them are for code that is often executed. Ways out and slow paths, more than half of
/// all code, are kept apart, so that caches of the host hold the rest.
const MEMORY: usize = 32 << 20;
const OFTEN: usize = 14 << 20;
/// Room for any block.
const ROOM: usize = 1 << 18;
/// Modes at most; beyond that everything starts over.
const MODES: usize = 32;
/// Compiled blocks at most, and instructions in them.
const BLOCKS: usize = 3 << 15;
const INSTRUCTIONS: usize = 3 << 18;
/// Edges of a block at most: each is known by the block's number times this and its own.
pub(super) const EDGES: u32 = 32;
/// Decoded blocks that become one compiled block at most; a branch ends each.
pub(super) const MOST_SECTIONS: usize = 6;
/// See [`Jit::warm`].
const WARM: u8 = 3;
/// What compiling a block that is soon forgotten costs, and starting over, in interpreted instructions.
const COST_OF_BLOCK: u64 = 2_000;
const COST_OF_ALL: u64 = 1_000_000;
/// What another ceiling costs, beside what it costs for each page.
const COST_OF_CEILING: u64 = 1_000;
/// A guest that owes more than this is interpreted for a while.
const MOST_DEBT: u64 = 4_000_000;
const NOTHING: u32 = u32::MAX;

/// A block with host code.
pub(super) struct Compiled {
    /// Where its code begins, and how long it is; the same for the part that is rarely executed.
    pub place: usize,
    pub len: usize,
    rare: (usize, usize),
    pub eip: u32,
    /// Its accesses are checked one by one: for edges that ask for it.
    plain: bool,
    /// Where it begins in the backing store.
    offset: u32,
    /// Decoded blocks it was made of that are put aside. While there are any, nothing leads here.
    asleep: u8,
    /// Guest bytes, and where the code of each instruction ends.
    pub bytes: u32,
    pub ends: Vec<u32>,
    mode: usize,
    edges: Vec<EdgeSite>,
    /// What each edge is linked to.
    links: Vec<u32>,
    /// Edges linked to this block (or that were).
    incoming: Vec<u32>,
    pub ops: Box<[Op]>,
}

/// What is compiled as one block.
pub(super) struct Straight<'a> {
    /// The decoded blocks it comes from, and their instructions.
    pub sources: Vec<u32>,
    pub ops: Vec<Op>,
    pub insns: &'a [Instruction],
    pub eip: u32,
    /// Where it begins in the backing store.
    pub offset: u32,
    /// If it goes on in the next page, that page's number and its page in the backing store.
    pub tail: Option<(u32, u32)>,
    /// It may be put aside.
    pub may_sleep: bool,
    /// Accesses are checked one by one.
    pub plain: bool,
    /// See the backend's `Source`.
    pub usual: bool,
}

/// Everything the compiled engine remembers.
pub(crate) struct Jit {
    memory: CodeMemory,
    used: usize,
    rare_used: usize,
    fixed: usize,
    stubs: Stubs,
    quirks: Quirks,
    modes: Vec<ModeState>,
    current: usize,
    /// Numbers of modes are in it.
    pub(super) transfers: Transfers,
    blocks: Vec<Compiled>,
    /// Instructions in them.
    instructions: usize,
    /// Compiled forms of each decoded block.
    by_source: Vec<Vec<u32>>,
    /// Instructions of forgotten blocks that may still be running.
    graveyard: Vec<Box<[Op]>>,
    /// Some code was forgotten, or put aside, since the last safe point.
    disturbed: bool,
    /// What each block that may be put aside reads when it is entered: 0 while it is. Its addresses do not change.
    awake: Box<[u8]>,
    /// The state of the block cache this belongs to.
    pub(super) generation: u32,
    /// Instructions that should have been retired to make up for work in vain, when that was last looked at, and until
    /// when nothing is compiled.
    debt: u64,
    seen: u64,
    rest_until: u64,
    /// Times a block is interpreted before it is worth compiling.
    pub(crate) warm: u8,
    /// See [`JitFault`].
    pub(super) fault: Option<JitFault>,
    /// Blocks whose code it changed.
    pub(super) fault_effects: u64,
    pub(super) stats: JitStats,
    /// Times each encoding's handler made compiled code leave.
    pub(super) left_by: HashMap<u16, u64>,
    /// What to do wrong.
    pub(crate) emit_fault: Option<EmitFault>,
    scratch: Scratch,
}

impl Jit {
    /// An empty engine.
    ///
    /// # Errors
    /// The host lacks something.
    pub fn new(mapping: Mapping, generation: u32) -> io::Result<Jit> {
        if !backend::is_supported() {
            return Err(io::Error::other("the compiled engine needs a processor with BMI2 (2013 or later)"));
        }
        let mut memory = CodeMemory::new(MEMORY, mapping)?;
        let (code, stubs) = backend::fixed(Runtime {
            call: calls::call as *const () as u64,
            call_checked: calls::call_checked as *const () as u64,
            seek: calls::seek as *const () as u64,
            interrupt: quick::interrupt as *const () as u64,
            iret: quick::iret as *const () as u64,
            far_call: quick::far_call as *const () as u64,
            far_jump: quick::far_jump as *const () as u64,
            far_return: quick::far_return as *const () as u64,
            load_segment: quick::load_segment as *const () as u64,
            load_segment_checked: quick::load_segment_checked as *const () as u64,
            refill_read: calls::refill_read as *const () as u64,
            refill_write: calls::refill_write as *const () as u64,
            refill_fetch: calls::refill_fetch as *const () as u64,
        });
        memory.write(0, &code);
        let fixed = code.len().next_multiple_of(64);
        Ok(Jit {
            memory,
            used: fixed,
            rare_used: OFTEN,
            fixed,
            stubs,
            quirks: Quirks::probe(),
            modes: Vec::new(),
            current: 0,
            transfers: Transfers::new(),
            blocks: Vec::new(),
            instructions: 0,
            by_source: Vec::new(),
            graveyard: Vec::new(),
            disturbed: false,
            awake: vec![0; BLOCKS].into_boxed_slice(),
            generation,
            debt: 0,
            seen: 0,
            rest_until: 0,
            warm: WARM,
            fault: None,
            fault_effects: 0,
            stats: JitStats::default(),
            left_by: HashMap::new(),
            emit_fault: None,
            scratch: Scratch::default(),
        })
    }

    /// Address of the way in.
    pub fn enter_address(&self) -> *const u8 {
        self.memory.address(self.stubs.enter)
    }

    /// Compiled code is not running: let go of what it could still use; start over if there is no room.
    pub fn safe_point(&mut self, generation: u32) {
        self.graveyard.clear();
        self.disturbed = false;
        let full = OFTEN - self.used < ROOM
            || self.memory.len() - self.rare_used < ROOM
            || self.modes.len() >= MODES
            || self.has_too_many();
        if full || generation != self.generation {
            self.generation = generation;
            self.debt += COST_OF_ALL;
            self.flush();
        }
    }

    /// There are as many blocks, or instructions in them, as there may be.
    fn has_too_many(&self) -> bool {
        self.blocks.len() >= BLOCKS || self.instructions >= INSTRUCTIONS
    }

    /// Do without what the host was found to do as the interpreter does.
    #[cfg(test)]
    pub fn expect_nothing_of_the_host(&mut self) {
        self.quirks = Quirks::STRANGE;
        self.flush();
    }

    /// Do `fault` from now on.
    pub fn set_emit_fault(&mut self, fault: Option<EmitFault>) {
        self.emit_fault = fault;
        self.flush();
    }

    /// Blocks there are, dead ones included (they have no instructions).
    pub(super) fn blocks(&self) -> &[Compiled] {
        &self.blocks
    }

    /// Instructions of block `id`, none if it was forgotten.
    pub(super) fn ops(&self, id: u32) -> Option<&[Op]> {
        self.blocks.get(id as usize).map(|b| &b.ops[..])
    }

    /// Host code, and the address it runs at.
    pub(super) fn code(&self, block: &Compiled) -> (&[u8], u64) {
        (self.memory.read(block.place, block.len), self.memory.address(block.place) as u64)
    }

    /// The same of the part that is rarely executed.
    pub(super) fn rare_code(&self, block: &Compiled) -> (&[u8], u64) {
        (self.memory.read(block.rare.0, block.rare.1), self.memory.address(block.rare.0) as u64)
    }

    /// No code was forgotten, or put aside, since the last safe point.
    pub fn is_undisturbed(&self, generation: u32) -> bool {
        !self.disturbed && generation == self.generation
    }

    /// Whether the guest, `now` instructions old, is better interpreted for a while: it changes its code, or its
    /// segments, faster than compiling pays.
    pub fn rests(&mut self, now: u64) -> bool {
        if now < self.seen {
            (self.debt, self.rest_until) = (0, 0);
        }
        self.debt = self.debt.saturating_sub(now.saturating_sub(self.seen));
        self.seen = now;
        if self.debt > MOST_DEBT {
            self.rest_until = now.saturating_add(self.debt);
            self.debt = 0;
        }
        now < self.rest_until
    }

    /// Forget everything.
    fn flush(&mut self) {
        self.stats.flushes += 1;
        self.used = self.fixed;
        self.rare_used = OFTEN;
        self.modes.clear();
        self.transfers = Transfers::new();
        self.blocks.clear();
        self.instructions = 0;
        self.by_source.clear();
    }

    /// Code for `eip` in page `frame` of the backing store, in the current mode, if the jump table has it.
    pub fn find_quickly(&self, eip: u32, frame: u32) -> Option<u64> {
        self.modes[self.current].table.find(eip, frame)
    }

    /// The compiled form of decoded block `source` for `eip` in the current mode; in the jump table from now on, unless it is plain.
    pub fn find(&mut self, source: u32, eip: u32, plain: bool) -> Option<u32> {
        let id = *self.by_source.get(source as usize)?.iter().find(|&&id| {
            let b = &self.blocks[id as usize];
            b.eip == eip && b.mode == self.current && b.plain == plain && b.is_awake()
        })?;
        self.put_in_table(id);
        Some(id)
    }

    /// Instructions of the longest compiled block that begins with decoded block `source` at `eip`, 0 if there is none.
    pub fn longest(&self, source: u32, eip: u32) -> usize {
        let compiled =
            self.by_source.get(source as usize).into_iter().flatten().map(|&id| &self.blocks[id as usize]);
        compiled.filter(|b| b.eip == eip && b.is_awake()).map(|b| b.ops.len()).max().unwrap_or(0)
    }

    fn put_in_table(&mut self, id: u32) {
        let b = &self.blocks[id as usize];
        if b.plain {
            return;
        }
        let code = self.memory.address(b.place) as u64;
        self.modes[b.mode].table.set(b.eip, b.offset >> 12, code);
    }

    /// Address of the code of block `id`.
    pub fn address(&self, id: u32) -> u64 {
        self.memory.address(self.blocks[id as usize].place) as u64
    }

    /// Compile `straight` in the current mode; `None` if that cannot be, or not before everything starts over.
    pub(super) fn compile(&mut self, straight: Straight<'_>) -> Option<u32> {
        let Straight { sources, ops, insns, eip, offset, tail, may_sleep, plain, usual } = straight;
        if self.has_too_many() {
            return None;
        }
        let id = self.blocks.len() as u32;
        let mut ops = ops.into_boxed_slice();
        let mut mode = self.modes[self.current].mode;
        let mut scratch = std::mem::take(&mut self.scratch);
        let awake = may_sleep.then(|| std::ptr::from_mut(&mut self.awake[id as usize]) as u64);
        let mut translate = |ops: &[Op], insns: &[Instruction], mode: &Mode| {
            let source = Source {
                insns,
                ops,
                eip,
                tail,
                awake,
                mode,
                plain,
                usual,
                edge: id * EDGES,
                at: self.used,
                rare_at: self.rare_used,
                dispatch: self.modes[self.current].dispatch,
                look_up: &self.modes[self.current].look_up,
                stubs: &self.stubs,
                quirks: &self.quirks,
                fault: self.emit_fault,
            };
            backend::translate(&source, &mut scratch)
        };
        poll::mark(&mut ops, insns, id);
        let code = match self.fault {
            None => translate(&ops, insns, &mode),
            Some(fault) => {
                let right = translate(&ops, insns, &mode);
                let mut insns = insns.to_vec();
                fault.seed(&mut ops, &mut insns, &mut mode);
                let wrong = translate(&ops, &insns, &mode);
                let differs =
                    right.zip(wrong.as_ref()).is_some_and(|(right, wrong)| right.code != wrong.code);
                self.fault_effects += u64::from(differs);
                wrong
            }
        };
        self.scratch = scratch;
        let Some(code) = code else {
            self.stats.untranslated += 1;
            return None;
        };
        let (place, rare_place) = (self.used, self.rare_used);
        let (often, rare) = code.code.split_at(code.rare);
        if often.len() > OFTEN - place || rare.len() > self.memory.len() - rare_place {
            return None;
        }
        self.memory.write(place, often);
        self.memory.write(rare_place, rare);
        let (len, rare_len) = (often.len(), rare.len());
        self.used = (place + len).next_multiple_of(16);
        self.rare_used = rare_place + rare_len;
        self.stats.blocks += 1;
        self.stats.guest_insns += ops.len() as u64;
        self.stats.inlined_insns += code.inlined as u64;
        self.stats.bytes += code.code.len() as u64;
        self.instructions += ops.len();
        let bytes = ops.iter().map(|op| op.len as u32).sum();
        self.blocks.push(Compiled {
            place,
            len,
            rare: (rare_place, rare_len),
            bytes,
            ends: code.ends,
            eip,
            plain,
            offset,
            asleep: 0,
            mode: self.current,
            links: vec![NOTHING; code.edges.len()],
            edges: code.edges,
            incoming: Vec::new(),
            ops,
        });
        self.scratch.code = code.code;
        self.awake[id as usize] = 1;
        for source in sources {
            self.add_form(source, id);
        }
        self.put_in_table(id);
        Some(id)
    }
}

impl Compiled {
    /// It can be entered.
    pub fn is_awake(&self) -> bool {
        self.asleep == 0 && !self.ops.is_empty()
    }
}
