//! Section 3.3: the boot information that EBX points to, with everything it points to behind it in one block.

use crate::memory_map;
use std::ops::Range;

const HAS_MEMORY: u32 = 1 << 0;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MEMORY_MAP: u32 = 1 << 6;
const HAS_LOADER_NAME: u32 = 1 << 9;

const LOADER_NAME: &[u8] = b"Ringside";
/// Size of the fixed part, up to the VBE fields.
const FIXED: usize = 116;
const MODULE_ENTRY: usize = 16;

/// A module in its place.
pub(super) struct LoadedModule<'a> {
    pub range: Range<u64>,
    pub string: &'a [u8],
}

/// A block under construction: addresses are those it will have.
struct Block {
    base: u32,
    bytes: Vec<u8>,
}

impl Block {
    fn here(&self) -> u32 {
        self.base.wrapping_add(self.bytes.len() as u32)
    }

    fn words(&mut self, words: &[u32]) {
        self.bytes.extend(words.iter().flat_map(|w| w.to_le_bytes()));
    }

    fn string(&mut self, string: &[u8]) -> u32 {
        let at = self.here();
        self.bytes.extend(string);
        self.bytes.push(0);
        at
    }

    fn align(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }

    fn put(&mut self, offset: usize, word: u32) {
        self.bytes[offset..offset + 4].copy_from_slice(&word.to_le_bytes());
    }
}

/// Size of what [`build`] will make.
pub(super) fn length(command_line: &[u8], modules: &[LoadedModule<'_>], ram_size: u64) -> u64 {
    build(0, command_line, modules, ram_size).len() as u64
}

/// The boot information as it must stand at address `at`, which is a multiple of four.
pub(super) fn build(at: u64, command_line: &[u8], modules: &[LoadedModule<'_>], ram_size: u64) -> Vec<u8> {
    let mut block = Block { base: at as u32, bytes: vec![0; FIXED] };
    let module_list = block.here();
    let list_offset = block.bytes.len();
    block.bytes.resize(list_offset + MODULE_ENTRY * modules.len(), 0);

    let map = block.here();
    for (range, kind) in memory_map::entries(ram_size) {
        let len = range.end - range.start;
        let [start, len] = [range.start, len].map(|v| [v as u32, (v >> 32) as u32]);
        // The size field does not count itself.
        block.words(&[20, start[0], start[1], len[0], len[1], kind as u32]);
    }
    let map_len = block.here().wrapping_sub(map);
    let command_line = block.string(command_line);
    let loader_name = block.string(LOADER_NAME);
    for (n, module) in modules.iter().enumerate() {
        let string = block.string(module.string);
        let entry = list_offset + MODULE_ENTRY * n;
        for (field, word) in
            [module.range.start as u32, module.range.end as u32, string, 0].into_iter().enumerate()
        {
            block.put(entry + 4 * field, word);
        }
    }
    block.align();

    let upper = ram_size.saturating_sub(memory_map::HIGH_START) >> 10;
    let flags = HAS_MEMORY | HAS_COMMAND_LINE | HAS_MODULES | HAS_MEMORY_MAP | HAS_LOADER_NAME;
    let fixed = [
        (0, flags),
        (4, (memory_map::LOW_END >> 10) as u32),
        (8, upper as u32),
        (16, command_line),
        (20, modules.len() as u32),
        (24, module_list),
        (44, map_len),
        (48, map),
        (64, loader_name),
    ];
    fixed.into_iter().for_each(|(offset, word)| block.put(offset, word));
    block.bytes
}
