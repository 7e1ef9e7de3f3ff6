//! Code that is written to again and again (SDM vol. 3, 11.6), for the compiled engine.
//!
//! A place where a decoded block lost its bytes once is remembered, and blocks decoded there afterwards keep a copy of
//! theirs. That pays in three ways:
//!
//! * A store that leaves the bytes as they are is none.
//! * A store into a **constant**, an immediate or a displacement that is data to its instruction, changes the constant
//!   in the decoded instruction, which is *soft* from then on ([`Prefix::SOFT`]): compiled code reads it each time.
//! * Other code puts the block aside, with all that was made of it. It comes back if its bytes do: kernels
//!   that patch their text do so between two versions.
//!
//! The interpreter by itself decodes anew, so that the two can be compared.

use super::block::{Block, Places};
use super::translate::decoder;
use super::{Op, Prefix};
use iced_x86::{ConstantOffsets, Instruction, Mnemonic, OpKind};
use std::ops::Range;

/// Versions of a place kept at most.
const VERSIONS: usize = 4;

/// What the compiled engine keeps of code that was written to.
#[derive(Default)]
pub(super) struct Rewritten {
    /// Places by their key in the index, and the blocks put aside there, the one that was used last at the end.
    places: Places<u64, Vec<u32>>,
    /// Constants to be changed before the next instruction.
    changes: Vec<Change>,
}

/// The bytes that a block was decoded from, and the constants in them that may change.
pub(super) struct Source {
    bytes: Box<[u8]>,
    constants: Vec<Constant>,
}

/// A constant of an instruction.
#[derive(Clone, Copy)]
struct Constant {
    /// Number of the instruction.
    op: u8,
    kind: Kind,
    /// Its first byte, from the start of the block.
    at: u16,
}

/// How an [`Op`] has a constant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Immediate8,
    /// A byte with a sign.
    Immediate8to32,
    Immediate32,
    Displacement32,
}

/// An instruction whose constant is another.
#[derive(Clone, Copy)]
pub(crate) struct Change {
    pub block: u32,
    /// Number of the instruction in it.
    pub op: usize,
    kind: Kind,
    value: u32,
}

impl Change {
    /// Make it.
    pub fn apply(&self, op: &mut Op) {
        op.prefix |= Prefix::SOFT;
        match self.kind {
            Kind::Displacement32 => op.ea.disp = self.value,
            _ => op.imm = self.value,
        }
    }
}

/// What a store did to a block.
pub(super) enum Effect {
    /// Nothing.
    None,
    /// Constants of its instructions change; `fresh` says that one of them never did before.
    Constants { fresh: bool },
    /// Its instructions are others.
    Code,
}

impl Constant {
    fn range(&self) -> Range<usize> {
        let at = self.at as usize;
        at..at + if matches!(self.kind, Kind::Immediate8 | Kind::Immediate8to32) { 1 } else { 4 }
    }

    fn value(&self, bytes: &[u8]) -> u32 {
        match (self.kind, &bytes[self.range()]) {
            (Kind::Immediate8to32, &[b]) => b as i8 as u32,
            (_, &[b]) => b.into(),
            (_, bytes) => bytes.try_into().map_or(0, u32::from_le_bytes),
        }
    }

    /// The constant of `insn`, instruction number `op` of a block, at `start` in it, that byte `at` is part of.
    fn find(
        insn: &Instruction,
        offsets: &ConstantOffsets,
        op: u8,
        start: usize,
        at: usize,
    ) -> Option<Constant> {
        use Mnemonic::*;
        let found = |kind, offset: usize| {
            let constant = Constant { op, kind, at: (start + offset) as u16 };
            constant.range().contains(&at).then_some(constant)
        };
        let displaced = offsets.displacement_size() == 4
            && (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
        if displaced && let Some(constant) = found(Kind::Displacement32, offsets.displacement_offset()) {
            return Some(constant);
        }
        // Of these, nothing but a result depends on the immediate.
        let is_data = matches!(
            insn.mnemonic(),
            Mov | Add | Or | Adc | Sbb | And | Sub | Xor | Cmp | Test | Push | Imul
        );
        let kind = (0..insn.op_count()).find_map(|n| match insn.op_kind(n) {
            OpKind::Immediate8 => Some(Kind::Immediate8),
            OpKind::Immediate8to32 => Some(Kind::Immediate8to32),
            OpKind::Immediate32 => Some(Kind::Immediate32),
            _ => None,
        });
        found(kind.filter(|_| is_data)?, offsets.immediate_offset())
    }
}

impl Source {
    /// The constant that byte `at` is part of, if that is one that may change.
    fn constant_at(&self, at: usize, big: bool) -> Option<Constant> {
        let mut decoder = decoder(&self.bytes, big);
        let (mut start, mut op) = (0, 0);
        while decoder.can_decode() {
            let insn = decoder.decode();
            let end = start + insn.len();
            if at < end {
                return Constant::find(&insn, &decoder.get_constant_offsets(&insn), op, start, at);
            }
            (start, op) = (end, op + 1);
        }
        None
    }

    /// The bytes are `now`; they may differ from what they were in `range`. What that means for block number `block`; which
    /// instructions have other constants is added to `changes`.
    fn follow(
        &mut self,
        block: u32,
        big: bool,
        range: Range<usize>,
        now: &[u8],
        changes: &mut Vec<Change>,
    ) -> Effect {
        let (changed, known) = (changes.len(), self.constants.len());
        let mut at = range.start;
        while let Some(n) = (at..range.end).find(|&n| self.bytes[n] != now[n]) {
            let soft = self.constants.iter().find(|c| c.range().contains(&n)).copied();
            let Some(constant) = soft.or_else(|| self.constant_at(n, big)) else {
                changes.truncate(changed);
                self.constants.truncate(known);
                return Effect::Code;
            };
            if soft.is_none() {
                self.constants.push(constant);
            }
            let (op, kind, value) = (constant.op.into(), constant.kind, constant.value(now));
            changes.push(Change { block, op, kind, value });
            at = constant.range().end;
        }
        if changes.len() == changed {
            return Effect::None;
        }
        self.bytes[range.clone()].copy_from_slice(&now[range]);
        Effect::Constants { fresh: self.constants.len() != known }
    }
}

impl Rewritten {
    /// What a new block at the place with this key needs to know of its `bytes`, if the place is one of those.
    pub fn source(&self, key: u64, bytes: &[u8]) -> Option<Box<Source>> {
        self.places.contains_key(&key).then(|| Source { bytes: bytes.into(), constants: Vec::new() }.into())
    }

    /// Bytes `range` of block number `block` were written, and are `now`.
    pub fn written(&mut self, id: u32, block: &mut Block, range: Range<u32>, now: &[u8]) -> Effect {
        let range = range.start as usize..range.end as usize;
        let big = block.is_big();
        match &mut block.source {
            Some(source) => source.follow(id, big, range, now, &mut self.changes),
            None => Effect::Code,
        }
    }

    /// There is other code at the place with this key now.
    pub fn remember(&mut self, key: u64) {
        self.places.entry(key).or_default();
    }

    /// The same, and block number `id` may come back. The block that may not any more.
    pub fn put_aside(&mut self, key: u64, id: u32) -> Option<u32> {
        let versions = self.places.entry(key).or_default();
        versions.retain(|&known| known != id);
        versions.push(id);
        (versions.len() > VERSIONS).then(|| versions.remove(0))
    }

    /// The block at the place with this key that `now`, which begins there, is the code of: one with the same bytes, or else
    /// with other constants. With `blindly`, any.
    pub fn find(
        &mut self,
        key: u64,
        blocks: &mut [Block],
        now: &[u8],
        blindly: bool,
    ) -> Option<(u32, Effect)> {
        let Rewritten { places, changes } = self;
        let versions = places.get(&key)?;
        let same = versions.iter().rev().find(|&&id| {
            let source = blocks[id as usize].source.as_ref();
            source.is_some_and(|source| blindly || now.starts_with(&source.bytes))
        });
        if let Some(&id) = same {
            return Some((id, Effect::None));
        }
        versions.iter().rev().find_map(|&id| {
            let block = &mut blocks[id as usize];
            let big = block.is_big();
            let source = block.source.as_mut()?;
            let len = source.bytes.len();
            let effect = source.follow(id, big, 0..len, now.get(..len)?, changes);
            (!matches!(effect, Effect::Code)).then_some((id, effect))
        })
    }

    /// Whether constants wait to be changed.
    #[inline(always)]
    pub fn has_changes(&self) -> bool {
        !self.changes.is_empty()
    }

    /// Take them.
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.places.clear();
        self.changes.clear();
    }
}
