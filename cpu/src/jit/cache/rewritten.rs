//! Code whose guest bytes are written: forgotten, put aside and taken back, or changed in a constant (`decode::rewritten`). The
//! compiled *forms* of a decoded block are all blocks that it is a part of.

use super::{COST_OF_BLOCK, EDGES, Jit};
use crate::decode::Change;
use crate::jit::EmitFault;
use crate::jit::fault::JitFault;

/// Numbers of compiled forms of a decoded block that are looked through for those that are gone, and so many that it does not pay to
/// keep them when its bytes change.
const MANY_FORMS: usize = 16;
const TOO_MANY_FORMS: usize = 64;

impl Jit {
    /// Stores into code are to be overlooked.
    fn is_blind(&self) -> bool {
        self.fault.is_some_and(JitFault::keeps_stale_code)
            || self.emit_fault == Some(EmitFault::CodeWriteUnseen)
    }

    /// The code made of decoded block `source`, for `f` to do something with.
    fn for_each_form(&mut self, source: u32, mut f: impl FnMut(&mut Jit, u32)) {
        let forms = self.by_source.get_mut(source as usize).map(std::mem::take).unwrap_or_default();
        for &id in &forms {
            if !self.blocks[id as usize].ops.is_empty() {
                f(self, id);
            }
        }
        if let Some(place) = self.by_source.get_mut(source as usize) {
            *place = forms;
        }
    }

    /// Decoded block `source` is gone: so is its code, from the next instruction on.
    pub fn forget(&mut self, source: u32) {
        if self.is_blind() {
            return;
        }
        self.for_each_form(source, |jit, id| {
            jit.cut_off(id);
            jit.debt += COST_OF_BLOCK;
            jit.unlink_all(id);
            let block = &mut jit.blocks[id as usize];
            block.edges.clear();
            jit.instructions -= block.ops.len();
            jit.graveyard.push(std::mem::take(&mut block.ops));
        });
        if let Some(forms) = self.by_source.get_mut(source as usize) {
            forms.clear();
        }
    }

    /// Decoded block `source` may come back. Its code is not entered until then; links to it stay.
    pub fn put_aside(&mut self, source: u32) {
        if self.is_blind() {
            return;
        }
        if self.has_too_many_forms(source) {
            return self.forget(source);
        }
        self.for_each_form(source, |jit, id| {
            jit.cut_off(id);
            if jit.blocks[id as usize].plain {
                // From the one that is there instead, links may lead here again.
                jit.unlink_all(id);
            }
            jit.blocks[id as usize].asleep += 1;
            jit.awake[id as usize] = 0;
        });
    }

    /// Decoded block `source` is there again, after [`Self::put_aside`].
    pub fn wake(&mut self, source: u32) {
        if self.is_blind() {
            return;
        }
        self.for_each_form(source, |jit, id| {
            let block = &mut jit.blocks[id as usize];
            block.asleep = block.asleep.saturating_sub(1);
            if block.is_awake() {
                jit.stats.revived += 1;
                jit.awake[id as usize] = 1;
                jit.put_in_table(id);
            }
        });
    }

    /// Change the constant of an instruction in all code that was made of its decoded block, which begins at
    /// backing-store `offset`.
    pub fn change(&mut self, change: &Change, offset: u32) {
        self.stats.constants_changed += 1;
        if self.has_too_many_forms(change.block) {
            return self.forget(change.block);
        }
        let forms = self.by_source.get(change.block as usize).into_iter().flatten();
        for &id in forms {
            let block = &mut self.blocks[id as usize];
            // It may begin with other decoded blocks.
            let mut at = block.offset;
            let first = block.ops.iter().position(|op| {
                let found = at == offset;
                at += op.len as u32;
                found
            });
            if let Some(op) = first.and_then(|first| block.ops.get_mut(first + change.op)) {
                change.apply(op);
            }
        }
    }

    fn has_too_many_forms(&self, source: u32) -> bool {
        self.by_source.get(source as usize).is_some_and(|forms| forms.len() > TOO_MANY_FORMS)
    }

    /// No edge leads to block `id` any more.
    fn unlink_all(&mut self, id: u32) {
        for edge in std::mem::take(&mut self.blocks[id as usize].incoming) {
            let keep = self.emit_fault == Some(EmitFault::DeadLinkKept);
            let link = self.blocks[(edge / EDGES) as usize].links.get((edge % EDGES) as usize);
            if !keep && link == Some(&id) {
                self.unlink(edge);
            }
        }
    }

    /// Block `id` is not to be found, nor returned to.
    fn cut_off(&mut self, id: u32) {
        if !self.blocks[id as usize].is_awake() {
            return;
        }
        self.stats.invalidated += 1;
        self.disturbed = true;
        let address = self.address(id);
        let block = &self.blocks[id as usize];
        let (mode, eip) = (block.mode, block.eip);
        self.modes[mode].table.remove(eip, address);
    }

    /// Code `id` was made of decoded block `source`, among others.
    pub(super) fn add_form(&mut self, source: u32, id: u32) {
        if self.by_source.len() <= source as usize {
            self.by_source.resize_with(source as usize + 1, Vec::new);
        }
        let forms = &mut self.by_source[source as usize];
        if forms.len() == forms.capacity() && forms.len() >= MANY_FORMS {
            // Those that died through another decoded block.
            let blocks = &self.blocks;
            forms.retain(|&id| !blocks[id as usize].ops.is_empty());
        }
        forms.push(id);
    }
}
