//! Edges: jumps from block to block, and what they are linked to.

use super::{EDGES, Jit, NOTHING};
use crate::jit::backend;

impl Jit {
    /// Whether edge number `edge` leads to a plain block.
    pub fn asks_for_plain(&self, edge: u32) -> bool {
        let block = self.blocks.get((edge / EDGES) as usize);
        block.and_then(|b| b.edges.get((edge % EDGES) as usize)).is_some_and(|site| site.plain)
    }

    /// What edge number `edge` is linked to, if that is the code for `eip` in page `frame` of the backing store.
    pub fn linked(&self, edge: u32, eip: u32, frame: u32) -> Option<u64> {
        let target = *self.blocks.get((edge / EDGES) as usize)?.links.get((edge % EDGES) as usize)?;
        let to = self.blocks.get(target as usize)?;
        let same = to.eip == eip && to.offset >> 12 == frame && to.mode == self.current && to.is_awake();
        same.then(|| self.memory.address(to.place) as u64)
    }

    /// Edge number `edge` leads to block `target` from now on.
    pub fn link(&mut self, edge: u32, target: u32) {
        let (from, k) = ((edge / EDGES) as usize, (edge % EDGES) as usize);
        let Some(source) = self.blocks.get(from) else { return };
        let Some(&site) = source.edges.get(k) else { return };
        let to = &self.blocks[target as usize];
        if site.target != to.eip || site.plain != to.plain || source.mode != to.mode {
            return;
        }
        if site.guard.is_none() && source.offset >> 12 != to.offset >> 12 {
            return;
        }
        let (place, frame, old) = (to.place, to.offset >> 12, source.links[k]);
        if let Some(guard) = site.guard {
            self.memory.write(guard, &(frame + 1).wrapping_neg().to_le_bytes());
        }
        self.memory.write(site.jump, &backend::jump_distance(site.jump, place));
        self.blocks[from].links[k] = target;
        if let Some(old) = self.blocks.get_mut(old as usize)
            && let Some(at) = old.incoming.iter().position(|&e| e == edge)
        {
            old.incoming.swap_remove(at);
        }
        self.blocks[target as usize].incoming.push(edge);
        self.stats.links += 1;
    }

    pub(super) fn unlink(&mut self, edge: u32) {
        let (from, k) = ((edge / EDGES) as usize, (edge % EDGES) as usize);
        self.blocks[from].links[k] = NOTHING;
        if let Some(site) = self.blocks[from].edges.get(k) {
            self.memory.write(site.jump, &backend::jump_distance(site.jump, site.stub));
        }
    }
}
