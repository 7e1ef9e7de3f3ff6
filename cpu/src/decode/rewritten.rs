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
use iced_x86::{ConstantOffsets, Decoder, Instruction, Mnemonic, OpKind};
use std::ops::Range;

/// Versions of a place kept at most.
const VERSIONS: usize = 4;

/// What the compiled engine keeps of code that was written to.
#[derive(Default)]
pub(super) struct Rewritten {
    /// Places by their key in the index, and the blocks put aside there, the one that was used last at the end.
    places: Places<u64, Vec<u32>>,
    /// Constants that have changed.
    changes: Vec<Change>,
    /// Changes of the block that is lent to the interpreter.
    put_off: Vec<Change>,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
        let Source { bytes, constants } = self;
        let (changed, known) = (changes.len(), constants.len());
        let mut insns = None;
        let mut at = range.start;
        while let Some(n) = (at..range.end).find(|&n| bytes[n] != now[n]) {
            let soft = constants.iter().find(|c| c.range().contains(&n)).copied();
            let find = || insns.get_or_insert_with(|| Insns::new(bytes, big)).constant_at(n);
            let Some(constant) = soft.or_else(find) else {
                changes.truncate(changed);
                constants.truncate(known);
                return Effect::Code;
            };
            if soft.is_none() {
                constants.push(constant);
            }
            let (op, kind, value) = (constant.op.into(), constant.kind, constant.value(now));
            changes.push(Change { block, op, kind, value });
            at = constant.range().end;
        }
        // Of a constant all bytes count, those too that another store has written in the meantime.
        for change in &changes[changed..] {
            let same = |c: &&Constant| (usize::from(c.op), c.kind) == (change.op, change.kind);
            if let Some(range) = constants.iter().find(same).map(Constant::range) {
                bytes[range.clone()].copy_from_slice(&now[range]);
            }
        }
        match changes.len() - changed {
            0 => Effect::None,
            _ => Effect::Constants { fresh: constants.len() != known },
        }
    }
}

/// Goes through the instructions of a block, forwards.
struct Insns<'a> {
    decoder: Decoder<'a>,
    /// The current one, its number, and where it and the next one begin.
    insn: Instruction,
    op: u8,
    start: usize,
    end: usize,
}

impl Insns<'_> {
    fn new(bytes: &[u8], big: bool) -> Insns<'_> {
        let (decoder, insn) = (decoder(bytes, big), Instruction::default());
        Insns { decoder, insn, op: u8::MAX, start: 0, end: 0 }
    }

    /// The constant that byte `at` is part of, if that is one that may change. Never before where it was called for last.
    fn constant_at(&mut self, at: usize) -> Option<Constant> {
        while self.end <= at {
            if !self.decoder.can_decode() {
                return None;
            }
            self.decoder.decode_out(&mut self.insn);
            (self.start, self.end) = (self.end, self.end + self.insn.len());
            self.op = self.op.wrapping_add(1);
        }
        Constant::find(&self.insn, &self.decoder.get_constant_offsets(&self.insn), self.op, self.start, at)
    }
}

impl Rewritten {
    /// What a new block at the place with this key needs to know of its `bytes`, if the place is one of those.
    pub fn source(&self, key: u64, bytes: &[u8]) -> Option<Box<Source>> {
        self.places.contains_key(&key).then(|| Source { bytes: bytes.into(), constants: Vec::new() }.into())
    }

    /// Bytes `range` of block number `block` were written, and are `now`.
    pub fn follow(&mut self, id: u32, block: &mut Block, range: Range<u32>, now: &[u8]) -> Effect {
        let range = range.start as usize..range.end as usize;
        let big = block.is_big();
        match &mut block.source {
            Some(source) => source.follow(id, big, range, now, &mut self.changes),
            None => Effect::Code,
        }
    }

    /// There is other code at the place with this key than block number `id`, which may come back if it has a source. The block that may
    /// not.
    pub fn replaced(&mut self, key: u64, id: u32, block: &Block) -> Option<u32> {
        if block.is_crossing() {
            return Some(id);
        }
        let versions = self.places.entry(key).or_default();
        if block.source.is_none() {
            return Some(id);
        }
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
        let Rewritten { places, changes, .. } = self;
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
            (effect != Effect::Code).then_some((id, effect))
        })
    }

    /// Which constants have changed. Give the room back with [`Self::put_changes`].
    pub fn take_changes(&mut self) -> Vec<Change> {
        std::mem::take(&mut self.changes)
    }

    /// Room for the next changes.
    pub fn put_changes(&mut self, mut room: Vec<Change>) {
        room.clear();
        self.changes = room;
    }

    /// The block of `change` is lent, and so has to wait for it; the instruction being executed is the last.
    pub fn put_off(&mut self, change: Change) {
        let same = |old: &Change| (old.block, old.op, old.kind) == (change.block, change.op, change.kind);
        match self.put_off.iter_mut().find(|old| same(old)) {
            Some(old) => *old = change,
            None => self.put_off.push(change),
        }
    }

    /// Block number `id` is back, with its instructions.
    #[inline(always)]
    pub fn catch_up(&mut self, id: u32, ops: &mut [Op]) {
        for change in self.put_off.drain(..).filter(|change| change.block == id) {
            if let Some(op) = ops.get_mut(change.op) {
                change.apply(op);
            }
        }
    }

    /// Forget everything.
    pub fn clear(&mut self) {
        self.places.clear();
        self.changes.clear();
        self.put_off.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// mov eax, imm32; inc ebx. Two stores together change the constant, the second of them the next instruction as well.
    #[test]
    fn a_constant_changes_as_a_whole() {
        let mut source = Source { bytes: [0xB8, 1, 2, 3, 4, 0x43].into(), constants: Vec::new() };
        let now = [0xB8, 5, 6, 7, 8, 0x4B];
        let mut changes = Vec::new();
        assert_eq!(source.follow(0, true, 1..3, &now, &mut changes), Effect::Constants { fresh: true });
        assert_eq!(changes[0].value, 0x0807_0605);
        assert_eq!(source.follow(0, true, 3..6, &now, &mut changes), Effect::Code);
        assert_eq!((changes.len(), &source.bytes[..]), (1, &[0xB8, 5, 6, 7, 8, 0x43][..]));
    }

    /// Which bytes of an instruction are constants that may change.
    #[test]
    fn constants_are_found() {
        let cases: [(&[u8], &[u8]); 10] = [
            (&[0xB8, 1, 2, 3, 4], &[0, 1, 1, 1, 1]),
            (&[0x83, 0xC0, 1], &[0, 0, 1]),
            (&[0xC7, 0x05, 1, 2, 3, 4, 5, 6, 7, 8], &[0, 0, 1, 1, 1, 1, 1, 1, 1, 1]),
            (&[0xA1, 1, 2, 3, 4], &[0, 1, 1, 1, 1]),
            (&[0x8B, 0x45, 4], &[0; 3]),    // a displacement of eight bits
            (&[0xC1, 0xE0, 1], &[0; 3]),    // a shift count
            (&[0xE8, 1, 2, 3, 4], &[0; 5]), // a branch
            (&[0x66, 0xB8, 1, 2], &[0; 4]), // a word
            (&[0xC8, 1, 0, 2], &[0; 4]),    // ENTER
            (&[0xDB, 0x05, 1, 2, 3, 4], &[0, 0, 1, 1, 1, 1]),
        ];
        for (bytes, expected) in cases {
            let found = (0..bytes.len()).map(|at| Insns::new(bytes, true).constant_at(at).is_some().into());
            assert_eq!(found.collect::<Vec<u8>>(), expected, "{bytes:x?}");
        }
    }
}
