//! Decoded blocks and the cache that finds them by physical address.
//!
//! A block is a straight run of instructions inside one 4 KiB page of RAM or ROM, ended by the first instruction
//! after which control may not fall through; or one instruction that goes on in the next page. Its key is the backing-store offset of its first byte and the size of
//! the code segment, so all address spaces and privilege levels share it.
//!
//! Blocks are a cache: which ones exist is never visible to the guest.

use super::Op;
#[cfg(jit)]
use super::fetch::MAX_OPS;
#[cfg(jit)]
use super::rewritten::{Change, Effect, Rewritten, Source};
use crate::mem::{CodeWrite, PAGE_SIZE, PhysMem};
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Decoded blocks kept at most; beyond that the cache starts over.
const CAPACITY: usize = 1 << 16;
/// Instructions in them at most, of 40 bytes each.
const INSTRUCTIONS: usize = 3 << 18;
const QUICK: usize = 1 << 12;
/// Grain at which stores into a page with code are told from stores into code, in bytes.
const LINE: u32 = 64;

/// A straight run of instructions.
#[derive(Default)]
pub struct Block {
    pub(crate) ops: Vec<Op>,
    /// Length in bytes of all its instructions.
    pub(crate) bytes: u32,
    offset: u32,
    big: bool,
    /// Backing-store offset of the page where it goes on, if it does.
    tail: Option<u32>,
    /// It is found: not gone, nor put aside.
    live: bool,
    /// How often it was looked for by the compiled engine, up to 255.
    #[cfg(jit)]
    warmth: u8,
    /// Its bytes, if code at its place was written to before.
    #[cfg(jit)]
    pub(super) source: Option<Box<Source>>,
}

#[cfg(jit)]
impl Block {
    /// It is 32-bit code.
    pub(super) fn is_big(&self) -> bool {
        self.big
    }

    /// It goes on in another page.
    pub(super) fn is_crossing(&self) -> bool {
        self.tail.is_some()
    }
}

/// A block that is not found any more.
#[cfg(jit)]
#[derive(Clone, Copy)]
pub(crate) struct Dropped {
    pub block: u32,
    /// It may come back.
    pub aside: bool,
}

/// A block's part of a page: first and last byte. Kept apart from the blocks, for stores into code look at all of a page.
#[derive(Clone, Copy)]
struct Part {
    block: u32,
    first: u16,
    last: u16,
}

/// What is known about code in one page.
#[derive(Default)]
struct CodePage {
    /// Blocks that died through another page of theirs may be among them.
    parts: Vec<Part>,
    /// Bit n: some block covers bytes of line n.
    lines: u64,
}

impl CodePage {
    fn insert(&mut self, block: u32, first: u32, last: u32) {
        self.parts.push(Part { block, first: first as u16, last: last as u16 });
        self.lines |= line_mask(first, last);
    }
}

/// Numbers of places in memory, spread over a table. A guest that finds collisions slows down itself.
#[derive(Default)]
pub(super) struct Spread(u64);

impl Hasher for Spread {
    fn finish(&self) -> u64 {
        self.0
    }
    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&b| self.write_u64(b.into()));
    }
    fn write_u32(&mut self, n: u32) {
        self.write_u64(n.into());
    }
    fn write_u64(&mut self, n: u64) {
        // Multiplication carries upwards, and tables look at both ends.
        let product = (self.0 ^ n).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        self.0 = product ^ product >> 32;
    }
}

pub(super) type Places<K, V> = HashMap<K, V, BuildHasherDefault<Spread>>;

/// All decoded blocks.
pub struct BlockCache {
    slab: Vec<Block>,
    /// Instructions in them.
    instructions: usize,
    index: Places<u64, u32>,
    quick: Box<[(u64, u32); QUICK]>,
    pages: Places<u32, CodePage>,
    /// Counts how often the cache started over: numbers of blocks mean something within one generation.
    generation: u32,
    /// Blocks dropped since the compiled engine asked.
    #[cfg(jit)]
    dropped: Vec<Dropped>,
    /// What is kept of code that was written to, if the compiled engine is in use.
    #[cfg(jit)]
    rewritten: Option<Rewritten>,
    /// Room for a block that is being decoded.
    pub(super) decoding: Vec<Op>,
}

const NO_KEY: u64 = u64::MAX;

impl Default for BlockCache {
    fn default() -> Self {
        BlockCache {
            slab: Vec::new(),
            instructions: 0,
            index: Places::default(),
            quick: Box::new([(NO_KEY, 0); QUICK]),
            pages: Places::default(),
            generation: 0,
            #[cfg(jit)]
            dropped: Vec::new(),
            #[cfg(jit)]
            rewritten: None,
            decoding: Vec::new(),
        }
    }
}

fn key(offset: u32, big: bool) -> u64 {
    (offset as u64) << 1 | big as u64
}

fn quick_slot(offset: u32) -> usize {
    (offset ^ offset >> 12) as usize % QUICK
}

/// Lines of a page that the bytes `first..=last` of it touch.
fn line_mask(first: u32, last: u32) -> u64 {
    let (a, b) = (first / LINE, last / LINE);
    (u64::MAX >> (63 - (b - a))) << a
}

impl BlockCache {
    /// Find the block at backing-store `offset`.
    #[inline(always)]
    pub(crate) fn find(&mut self, offset: u32, big: bool) -> Option<u32> {
        let wanted = key(offset, big);
        let quick = &mut self.quick[quick_slot(offset)];
        if quick.0 == wanted {
            return Some(quick.1);
        }
        let id = *self.index.get(&wanted)?;
        *quick = (wanted, id);
        Some(id)
    }

    /// Backing-store offset of the page where block `id` goes on, if it does.
    #[inline(always)]
    pub(crate) fn tail(&self, id: u32) -> Option<u32> {
        self.slab[id as usize].tail
    }

    /// Number of instructions and bytes of block `id`.
    #[inline(always)]
    pub(crate) fn size(&self, id: u32) -> (u32, u32) {
        let block = &self.slab[id as usize];
        (block.ops.len() as u32, block.bytes)
    }

    /// Lend the instructions of block `id`; give them back with [`Self::put_ops`].
    #[inline(always)]
    pub(crate) fn take_ops(&mut self, id: u32) -> Vec<Op> {
        self.slab.get_mut(id as usize).map(|b| std::mem::take(&mut b.ops)).unwrap_or_default()
    }

    /// Return the instructions lent by [`Self::take_ops`], unless the block died meanwhile.
    #[inline(always)]
    pub(crate) fn put_ops(&mut self, id: u32, ops: Vec<Op>) {
        if let Some(block) = self.slab.get_mut(id as usize)
            && block.bytes != 0
        {
            block.ops = ops;
            #[cfg(jit)]
            if let Some(rewritten) = &mut self.rewritten {
                rewritten.catch_up(id, &mut block.ops);
            }
        }
    }

    /// Add a block of `ops` covering `bytes` bytes at `offset`, and on from the start of page `tail`; returns its number
    /// and whether a page of it had no code.
    pub(crate) fn insert(
        &mut self,
        mem: &mut PhysMem,
        offset: u32,
        big: bool,
        ops: Vec<Op>,
        bytes: u32,
        tail: Option<u32>,
    ) -> (u32, bool) {
        if self.slab.len() >= CAPACITY || self.instructions >= INSTRUCTIONS {
            self.clear(mem);
        }
        self.instructions += ops.len();
        let id = self.slab.len() as u32;
        #[cfg(jit)]
        let source = self.rewritten.as_ref().filter(|_| tail.is_none()).and_then(|rewritten| {
            let page = mem.page(offset as usize / PAGE_SIZE)?;
            let at = offset as usize % PAGE_SIZE;
            rewritten.source(key(offset, big), page.get(at..at + bytes as usize)?)
        });
        self.slab.push(Block {
            ops,
            bytes,
            offset,
            big,
            tail,
            live: true,
            #[cfg(jit)]
            warmth: 0,
            #[cfg(jit)]
            source,
        });
        let mut first_code = self.register(mem, id);
        if let Some(tail) = tail {
            let page = self.pages.entry(tail / PAGE_SIZE as u32).or_default();
            page.insert(id, 0, offset % PAGE_SIZE as u32 + bytes - 1 - PAGE_SIZE as u32);
            first_code |= mem.set_has_code(tail, true);
        }
        (id, first_code)
    }

    /// Let block `id` be found; whether its page had no code.
    fn register(&mut self, mem: &mut PhysMem, id: u32) -> bool {
        let block = &self.slab[id as usize];
        self.index.insert(key(block.offset, block.big), id);
        let first = block.offset % PAGE_SIZE as u32;
        let last = (first + block.bytes - 1).min(PAGE_SIZE as u32 - 1);
        self.pages.entry(block.offset / PAGE_SIZE as u32).or_default().insert(id, first, last);
        mem.set_has_code(block.offset, true)
    }

    /// Drop block `id`, whose second page is another now.
    pub(crate) fn drop_block(&mut self, id: u32) {
        let block = std::mem::take(&mut self.slab[id as usize]);
        self.instructions -= block.ops.len();
        self.index.remove(&key(block.offset, block.big));
        self.quick[quick_slot(block.offset)] = (NO_KEY, 0);
        #[cfg(jit)]
        self.dropped.push(Dropped { block: id, aside: false });
    }

    /// Drop the blocks that `write` overlaps, or change their instructions. Returns true if there were any.
    pub(crate) fn invalidate(&mut self, mem: &mut PhysMem, write: CodeWrite) -> bool {
        let page_number = write.addr / PAGE_SIZE as u32;
        let Some(page) = self.pages.get_mut(&page_number) else { return false };
        let first = write.addr % PAGE_SIZE as u32;
        let last = (first + write.len - 1).min(PAGE_SIZE as u32 - 1);
        if page.lines & line_mask(first, last) == 0 {
            return false;
        }
        let mut lines = 0;
        let mut hit = false;
        let (slab, index, quick) = (&mut self.slab, &mut self.index, &mut self.quick);
        let instructions = &mut self.instructions;
        #[cfg(jit)]
        let (dropped, rewritten) = (&mut self.dropped, &mut self.rewritten);
        #[cfg(jit)]
        let page_now = mem.page(page_number as usize).unwrap_or_default();
        page.parts.retain(|part| {
            let (start, end) = (part.first as u32, part.last as u32);
            if start > last || end < first {
                lines |= line_mask(start, end);
                return true;
            }
            let block = &mut slab[part.block as usize];
            if !block.live {
                return false;
            }
            let key = key(block.offset, block.big);
            let gone = Some(part.block);
            #[cfg(jit)]
            let gone = match rewritten {
                None => gone,
                Some(rewritten) => {
                    let written = first.max(start) - start..last.min(end) + 1 - start;
                    let now = page_now.get(start as usize..=end as usize).unwrap_or_default();
                    let effect = rewritten.follow(part.block, block, written, now);
                    if effect != Effect::Code {
                        lines |= line_mask(start, end);
                        hit |= effect != Effect::None;
                        if effect == (Effect::Constants { fresh: true }) {
                            dropped.push(Dropped { block: part.block, aside: false });
                        }
                        return true;
                    }
                    if block.source.is_some() {
                        block.live = false;
                        dropped.push(Dropped { block: part.block, aside: true });
                    }
                    rewritten.replaced(key, part.block, block)
                }
            };
            hit = true;
            index.remove(&key);
            quick[quick_slot(block.offset)] = (NO_KEY, 0);
            if let Some(block) = gone {
                // The slot stays, empty, until the cache starts over. What is lent counts until then.
                let block_gone = std::mem::take(&mut slab[block as usize]);
                *instructions -= block_gone.ops.len();
                #[cfg(jit)]
                dropped.push(Dropped { block, aside: false });
            }
            false
        });
        page.lines = lines;
        if page.parts.is_empty() {
            self.pages.remove(&page_number);
            mem.set_has_code(write.addr, false);
        }
        hit
    }

    /// Forget all blocks.
    pub(crate) fn clear(&mut self, mem: &mut PhysMem) {
        self.generation = self.generation.wrapping_add(1);
        #[cfg(jit)]
        self.dropped.clear();
        for page in self.pages.keys() {
            mem.set_has_code(page * PAGE_SIZE as u32, false);
        }
        self.slab.clear();
        self.instructions = 0;
        self.index.clear();
        self.pages.clear();
        self.quick.fill((NO_KEY, 0));
        #[cfg(jit)]
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.clear();
        }
    }
}

/// For the compiled engine.
#[cfg(jit)]
impl BlockCache {
    /// Which generation of blocks this is.
    pub(crate) fn generation(&self) -> u32 {
        self.generation
    }

    /// Remember code that is written to.
    pub(crate) fn remember_rewritten(&mut self) {
        self.rewritten.get_or_insert_default();
    }

    /// The block for `offset`, if what is there was put aside, and whether its page had no code; its instructions may have to be
    /// [changed](Self::take_changes). With `blindly`, what is there does not matter.
    pub(crate) fn take_back(
        &mut self,
        mem: &mut PhysMem,
        offset: u32,
        big: bool,
        blindly: bool,
    ) -> Option<(u32, bool)> {
        let rewritten = self.rewritten.as_mut()?;
        let page = mem.page(offset as usize / PAGE_SIZE)?;
        let now = page.get(offset as usize % PAGE_SIZE..)?;
        let (id, effect) = rewritten.find(key(offset, big), &mut self.slab, now, blindly)?;
        if effect == (Effect::Constants { fresh: true }) {
            self.dropped.push(Dropped { block: id, aside: false });
        }
        self.slab[id as usize].live = true;
        Some((id, self.register(mem, id)))
    }

    /// Remember no more.
    pub(crate) fn forget_rewritten(&mut self) {
        self.rewritten = None;
    }

    /// What stores have changed since the last call, done to the decoded blocks. Give the room back with [`Self::put_changes`].
    pub(crate) fn take_changes(&mut self) -> Vec<Change> {
        let Some(rewritten) = &mut self.rewritten else { return Vec::new() };
        let changes = rewritten.take_changes();
        for change in &changes {
            match self.slab[change.block as usize].ops.get_mut(change.op) {
                Some(op) => change.apply(op),
                None => rewritten.put_off(*change),
            }
        }
        changes
    }

    /// Room for the next changes.
    pub(crate) fn put_changes(&mut self, room: Vec<Change>) {
        if let Some(rewritten) = &mut self.rewritten {
            rewritten.put_changes(room);
        }
    }

    /// Whether block `id` comes back if its bytes do, after others have been there.
    pub(crate) fn may_come_back(&self, id: u32) -> bool {
        self.slab[id as usize].source.is_some()
    }

    /// Backing-store offset of block `id`.
    pub(crate) fn offset(&self, id: u32) -> u32 {
        self.slab[id as usize].offset
    }

    /// Blocks dropped by [`Self::invalidate`] since the last call.
    pub(crate) fn take_dropped(&mut self) -> Vec<Dropped> {
        std::mem::take(&mut self.dropped)
    }

    /// Instructions of block `id`.
    pub(crate) fn ops(&self, id: u32) -> &[Op] {
        &self.slab[id as usize].ops
    }

    /// A few more blocks may make the cache start over.
    pub(crate) fn is_nearly_full(&self) -> bool {
        self.slab.len() + 64 > CAPACITY || self.instructions + 64 * MAX_OPS > INSTRUCTIONS
    }

    /// Whether the compiled engine has looked for block `id`.
    pub(crate) fn was_visited(&self, id: u32) -> bool {
        self.slab[id as usize].warmth != 0
    }

    /// Count a visit of block `id`; returns how many there were.
    pub(crate) fn warm_up(&mut self, id: u32) -> u8 {
        let block = &mut self.slab[id as usize];
        block.warmth = block.warmth.saturating_add(1);
        block.warmth
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn line_masks() {
        assert_eq!(line_mask(0, 0), 1);
        assert_eq!(line_mask(63, 64), 3);
        assert_eq!(line_mask(0, 4095), u64::MAX);
        assert_eq!(line_mask(4095, 4095), 1 << 63);
    }
}
