//! How far a block goes: behind its branches, where those are not taken.

use super::MOST_SECTIONS;
use crate::Cpu;
use crate::decode::{Op, Prefix};
use iced_x86::Code;

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

impl Cpu {
    /// The instructions of decoded block `first`, which is at CS:EIP and backing-store `offset`, and of those that follow it where
    /// branches inside the page are not taken, as far as that has happened, or whatever is compiled on its first visit. Instructions
    /// that retire more than one stay alone.
    pub(super) fn blocks_ahead(&mut self, first: u32, offset: u32) -> (Vec<u32>, Vec<Op>) {
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
}
