//! Instruction fetch (SDM vol. 3, 5.3 limit checks on fetch, 4.6 rights; vol. 2, 2.3.11 the 15-byte limit).
//!
//! [`Cpu::block_at`] is the usual way: a cached block in one page. What does not fit, an instruction that crosses a
//! page or the limit of CS or lies outside RAM, is gathered byte by byte, in order, so that a fault is raised exactly
//! when the missing byte is needed: #GP(0) beyond the limit or the fifteenth byte, #PF for a page.

use super::{Decoded, Op, decode_one};
use crate::Cpu;
use crate::fault::Fault;
use crate::mem::PAGE_SIZE;
use crate::mmu::Access;

/// Longest instruction, in bytes.
const MAX_LEN: usize = 15;
/// Instructions in a block at most.
const MAX_OPS: usize = 48;

/// What to execute next.
pub(crate) enum Fetched {
    /// A block of the cache.
    Block(u32),
    /// One instruction that could not be part of a block.
    Single(Op),
}

impl Cpu {
    /// The code at CS:EIP.
    ///
    /// # Errors
    /// #GP(0) or #PF of the fetch.
    #[inline(always)]
    pub(crate) fn code_at_eip(&mut self) -> Result<Fetched, Fault> {
        let cs = self.regs.cs();
        let (linear, limit, big) = (cs.base.wrapping_add(self.regs.eip), cs.limit, cs.big());
        if self.regs.eip > limit {
            return Err(Fault::GP0);
        }
        if let Some(offset) = self.fetch_offset(linear)? {
            let id = match self.blocks.find(offset, big) {
                Some(id) => Some(id),
                None => self.decode_block(offset, big),
            };
            if let Some(id) = id {
                let (_, bytes) = self.blocks.size(id);
                if self.regs.eip as u64 + bytes as u64 - 1 <= limit as u64 {
                    return Ok(Fetched::Block(id));
                }
            }
        }
        self.fetch_single(linear, limit, big).map(Fetched::Single)
    }

    /// Decode the block at backing-store `offset`; `None` if not even one instruction fits in its page.
    #[cold]
    fn decode_block(&mut self, offset: u32, big: bool) -> Option<u32> {
        let page = self.mem.page(offset as usize / PAGE_SIZE)?;
        let bytes = page.get(offset as usize % PAGE_SIZE..)?;
        let mut ops = Vec::new();
        let mut at = 0;
        while ops.len() < MAX_OPS {
            let window = &bytes[at..bytes.len().min(at + MAX_LEN)];
            match decode_one(window, big) {
                Decoded::Op(op, ends) => {
                    at += op.len as usize;
                    ops.push(op);
                    if ends {
                        break;
                    }
                }
                Decoded::NeedMore => break,
            }
        }
        if ops.is_empty() {
            return None;
        }
        self.counters.blocks_decoded += 1;
        let (id, first_code) = self.blocks.insert(&mut self.mem, offset, big, ops, at as u32);
        if first_code {
            self.tlb.drop_fast_writes();
        }
        Some(id)
    }

    /// Fetch one instruction byte by byte.
    #[cold]
    fn fetch_single(&mut self, linear: u32, limit: u32, big: bool) -> Result<Op, Fault> {
        let user = self.regs.cpl == 3;
        let mut bytes = [0u8; MAX_LEN];
        for n in 0..MAX_LEN {
            if self.regs.eip as u64 + n as u64 > limit as u64 {
                return Err(Fault::GP0);
            }
            let phys = self.translate(linear.wrapping_add(n as u32), Access::Fetch, user)?;
            bytes[n] = self.phys_read(phys);
            if let Decoded::Op(op, _) = decode_one(&bytes[..=n], big) {
                return Ok(op);
            }
        }
        Err(Fault::GP0)
    }

    /// Handle stores into pages with decoded code.
    #[cold]
    pub(crate) fn invalidate_written_code(&mut self) {
        for write in self.mem.take_code_writes() {
            if self.blocks.invalidate(&mut self.mem, write) {
                self.attention = true;
            }
        }
    }
}
