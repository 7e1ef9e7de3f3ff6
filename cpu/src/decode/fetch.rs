//! Instruction fetch (SDM vol. 3, 5.3 limit checks on fetch, 4.6 rights; vol. 2, 2.3.11 the 15-byte limit).
//!
//! [`Cpu::block_at`] is the usual way: a cached block in one page. What does not fit, an instruction that crosses a
//! page or the limit of CS or lies outside RAM, is gathered byte by byte, in order, so that a fault is raised exactly
//! when the missing byte is needed: #GP(0) beyond the limit or the fifteenth byte, #PF for a page.

use super::translate::{MAX_LEN, decode_next, decoder};
use super::{Decoded, Op, decode_one};
use crate::Cpu;
use crate::fault::Fault;
#[cfg(jit)]
use crate::jit::EmitFault;
use crate::mem::PAGE_SIZE;
use crate::mmu::{Access, View};

/// Instructions in a block at most.
pub(super) const MAX_OPS: usize = 48;

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
        if let Some(offset) = self.fetch_offset(linear)?
            && let Some(id) = self.block_at(offset, big)
        {
            let (_, bytes) = self.blocks.size(id);
            if self.blocks.tail(id).is_none() && self.regs.eip as u64 + bytes as u64 - 1 <= limit as u64 {
                return Ok(Fetched::Block(id));
            }
        }
        if let Some(id) = self.crossing_block(linear, limit, big)? {
            return Ok(Fetched::Block(id));
        }
        self.fetch_single(linear, limit, big).map(Fetched::Single)
    }

    /// The block of the one instruction at `linear` that goes on in the next page, if both pages are RAM or ROM and all
    /// of it lies within `limit`.
    ///
    /// # Errors
    /// #PF of the fetch.
    pub(crate) fn crossing_block(
        &mut self,
        linear: u32,
        limit: u32,
        big: bool,
    ) -> Result<Option<u32>, Fault> {
        let Some(offset) = self.fetch_offset(linear)? else { return Ok(None) };
        let here = PAGE_SIZE as u32 - linear % PAGE_SIZE as u32;
        if here >= MAX_LEN as u32 || self.regs.eip as u64 + here as u64 > limit as u64 {
            return Ok(None);
        }
        let known = self.blocks.find(offset, big);
        if known.is_some_and(|id| self.blocks.tail(id).is_none()) {
            return Ok(None);
        }
        if known.is_none() {
            // Only an instruction that needs more bytes asks for the next page.
            let page = self.mem.page(offset as usize / PAGE_SIZE).unwrap_or_default();
            let bytes = page.get(offset as usize % PAGE_SIZE..).unwrap_or_default();
            if !matches!(decode_one(bytes, big), Decoded::NeedMore) {
                return Ok(None);
            }
        }
        let Some(tail) = self.fetch_offset(linear.wrapping_add(here))? else { return Ok(None) };
        // Looking that page up may have changed this one.
        let known = self.blocks.find(offset, big);
        if known.is_some_and(|id| self.blocks.tail(id).is_none()) {
            return Ok(None);
        }
        let id = match known {
            Some(id) if self.blocks.tail(id) == Some(tail) => id,
            _ => {
                let whole = self.crossing_bytes(offset, tail);
                let Decoded::Op(op, _) = decode_one(&whole, big) else { return Ok(None) };
                if let Some(id) = known {
                    self.blocks.drop_block(id);
                    #[cfg(jit)]
                    self.follow_rewritten();
                }
                self.counters.blocks_decoded += 1;
                let len = op.len as u32;
                let (id, first) = self.blocks.insert(&mut self.mem, offset, big, vec![op], len, Some(tail));
                if first {
                    self.tlb.drop_fast_writes();
                }
                id
            }
        };
        let (_, bytes) = self.blocks.size(id);
        Ok((self.regs.eip as u64 + bytes as u64 - 1 <= limit as u64).then_some(id))
    }

    /// Fifteen bytes at backing-store `offset` that go on at `tail`, the start of a page.
    fn crossing_bytes(&self, offset: u32, tail: u32) -> Vec<u8> {
        let page = |offset: u32| {
            let page = self.mem.page(offset as usize / PAGE_SIZE).unwrap_or_default();
            page.get(offset as usize % PAGE_SIZE..).unwrap_or_default()
        };
        let mut bytes = page(offset).to_vec();
        let missing = MAX_LEN.saturating_sub(bytes.len());
        bytes.extend_from_slice(page(tail).get(..missing).unwrap_or_default());
        bytes
    }

    /// Instructions of the block at CS:EIP, the compiled one if there is one, 1 if none is known there. Looks only, so it changes
    /// nothing.
    pub fn instructions_ahead(&mut self) -> u64 {
        let cs = self.regs.cs();
        let (linear, big) = (cs.base.wrapping_add(self.regs.eip), cs.big());
        let view = if self.regs.cpl == 3 { View::User } else { View::Supervisor };
        let fast = self.tlb.fast(view, linear);
        if fast.fetch != linear & !0xFFF {
            return 1;
        }
        let offset = linear.wrapping_add(fast.delta);
        let Some(id) = self.blocks.find(offset, big) else { return 1 };
        let decoded = u64::from(self.blocks.size(id).0).max(1);
        #[cfg(jit)]
        if let Some(jit) = &self.jit {
            return decoded.max(jit.longest(id, self.regs.eip) as u64);
        }
        decoded
    }

    /// The block at backing-store `offset`; `None` if not even one instruction fits in its page.
    #[inline(always)]
    pub(crate) fn block_at(&mut self, offset: u32, big: bool) -> Option<u32> {
        self.blocks.find(offset, big).or_else(|| self.decode_block(offset, big))
    }

    /// The `count` instructions at backing-store `offset`, as the decoder gives them.
    #[cfg(jit)]
    pub(crate) fn instructions_at(
        &self,
        offset: u32,
        tail: Option<u32>,
        big: bool,
        count: usize,
    ) -> Vec<iced_x86::Instruction> {
        if let Some(tail) = tail {
            return super::translate::instructions(&self.crossing_bytes(offset, tail), big, count);
        }
        let bytes = self.mem.page(offset as usize / PAGE_SIZE).unwrap_or_default();
        super::translate::instructions(&bytes[offset as usize % PAGE_SIZE..], big, count)
    }

    /// Decode the block at backing-store `offset`; `None` if not even one instruction fits in its page.
    #[cold]
    fn decode_block(&mut self, offset: u32, big: bool) -> Option<u32> {
        #[cfg(jit)]
        if let Some(id) = self.take_back(offset, big) {
            return Some(id);
        }
        let page = self.mem.page(offset as usize / PAGE_SIZE)?;
        let bytes = page.get(offset as usize % PAGE_SIZE..)?;
        let mut ops = std::mem::take(&mut self.blocks.decoding);
        ops.clear();
        let mut decoder = decoder(bytes, big);
        let mut at = 0;
        while ops.len() < MAX_OPS {
            match decode_next(&mut decoder, &bytes[at..], big) {
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
        // As long as it is, and no longer: most blocks are short, and there are many.
        let block = ops.to_vec();
        self.blocks.decoding = ops;
        if block.is_empty() {
            return None;
        }
        self.counters.blocks_decoded += 1;
        let (id, first_code) = self.blocks.insert(&mut self.mem, offset, big, block, at as u32, None);
        if first_code {
            self.tlb.drop_fast_writes();
        }
        Some(id)
    }

    /// The block at backing-store `offset`, with what was compiled of it, if it was put aside when its bytes were others.
    #[cfg(jit)]
    fn take_back(&mut self, offset: u32, big: bool) -> Option<u32> {
        let fault = self.jit.as_ref().and_then(|jit| jit.emit_fault);
        let blindly = fault == Some(EmitFault::RevivedUnlooked);
        let (id, first_code) = self.blocks.take_back(&mut self.mem, offset, big, blindly)?;
        if first_code {
            self.tlb.drop_fast_writes();
        }
        self.follow_rewritten();
        self.wake_compiled(id);
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
        let writes = self.mem.take_code_writes();
        for &write in &writes {
            if self.blocks.invalidate(&mut self.mem, write) {
                self.attention = true;
            }
        }
        self.mem.put_code_writes(writes);
        #[cfg(jit)]
        self.follow_rewritten();
    }
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::regs::gpr::EAX;
    use crate::seg::{SegReg, Segment};
    use crate::testing::{CODE, handler, in_ring, stack};

    /// The vector that `code` ends in with EIP on its first byte, or `None` if one instruction executes.
    fn fault_of(code: &[u8]) -> Option<u8> {
        let mut cpu = in_ring(0, code);
        cpu.run(1);
        (0..32).find(|&n| cpu.regs.eip == handler(n) + 1)
    }

    #[test]
    fn fifteen_bytes_are_an_instruction_and_sixteen_a_fault() {
        let nop = |prefixes: usize| [vec![0x66; prefixes], vec![0x90]].concat();
        assert_eq!(fault_of(&nop(14)), None);
        assert_eq!(fault_of(&nop(15)), Some(13));
        // An invalid instruction is #UD as long as it is not longer than that.
        let invalid = |prefixes: usize| [vec![0x2E; prefixes], vec![0xF0, 0x90]].concat();
        assert_eq!(fault_of(&invalid(13)), Some(6));
        assert_eq!(fault_of(&invalid(14)), Some(13));
    }

    #[test]
    fn lock_is_for_memory_destinations_of_a_few_instructions() {
        let memory = [0x05, 0x00, 0x90, 0x00, 0x00];
        let with = |opcode: &[u8]| [&[0xF0], opcode, &memory].concat();
        // inc, cmpxchg and xchg of memory; nop, cmp of memory, add between registers, mov to memory.
        for good in [with(&[0xFF]), with(&[0x0F, 0xB1]), with(&[0x87])] {
            assert_eq!(fault_of(&good), None, "{good:x?}");
        }
        for bad in [vec![0xF0, 0x90], with(&[0x39]), vec![0xF0, 0x01, 0xD8], with(&[0x89])] {
            assert_eq!(fault_of(&bad), Some(6), "{bad:x?}");
        }
    }

    /// The last byte of a 64 KiB code segment executes; the next fetch is beyond the limit. It does not wrap.
    #[test]
    fn eip_does_not_wrap_at_the_limit() {
        let mut cpu = in_ring(0, &[]);
        cpu.phys_write(0xFFFF, 0x40u8);
        cpu.regs.seg[SegReg::Cs as usize] = Segment::new(8, 0, 0xFFFF, 0x9B00);
        cpu.regs.eip = 0xFFFF;
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!((cpu.regs.gpr[EAX], cpu.regs.eip), (1, handler(13) + 1));
        assert_eq!(stack::<2>(&mut cpu), [0, 0x1_0000]);
    }

    /// mov eax, imm32 across the end of a page, and across the limit of CS.
    #[test]
    fn an_instruction_across_a_boundary_is_gathered_byte_by_byte() {
        let mut cpu = in_ring(0, &[]);
        assert!(cpu.mem.write_bytes(0x9FFD, &[0xB8, 0x78, 0x56, 0x34, 0x12, 0xF4]));
        cpu.regs.eip = 0x9FFD;
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!(cpu.regs.gpr[EAX], 0x1234_5678);
        let mut cpu = in_ring(0, &[0xB8, 0x78, 0x56, 0x34, 0x12]);
        cpu.regs.seg[SegReg::Cs as usize] = Segment::new(8, 0, CODE + 3, 0x0040_9B00);
        assert_eq!(cpu.run(10), Exit::Halted);
        assert_eq!((cpu.regs.gpr[EAX], cpu.regs.eip), (0, handler(13) + 1));
    }
}
