//! The page walk (SDM vol. 3, 4.3 two-level, 4.4 PAE, 4.6 access rights, 4.7 page faults, 4.8 accessed and dirty).

use super::{Access, TlbEntry, pf_error};
use crate::Cpu;
use crate::fault::Fault;
use crate::mem::PageKind;
use crate::mutant::Mutant;
use crate::regs::{EFER_NXE, cr0, cr4};
use crate::word::Word;

const P: u64 = 1;
const RW: u64 = 1 << 1;
const US: u64 = 1 << 2;
const A: u64 = 1 << 5;
const D: u64 = 1 << 6;
const PS: u64 = 1 << 7;
const G: u64 = 1 << 8;
const NX: u64 = 1 << 63;

/// Physical address width reported by CPUID: 36 bits.
pub const MAX_PHYS_BITS: u32 = 36;
const PHYS_MASK: u64 = (1 << MAX_PHYS_BITS) - 1;

/// One paging-structure entry met on the way: where it is, its value and its size.
#[derive(Clone, Copy)]
struct Entry {
    at: u64,
    value: u64,
}

impl Cpu {
    /// Translate `linear` for an access by `user` (CPL 3) or supervisor code: physical address of the byte.
    ///
    /// A cached translation that permits the access is used as it is; otherwise the tables are walked afresh.
    ///
    /// # Errors
    /// #PF with the address in `fault_address`; no entry for the page is left in the TLB.
    pub(crate) fn translate(&mut self, linear: u32, access: Access, user: bool) -> Result<u64, Fault> {
        if self.regs.cr0 & cr0::PG == 0 {
            return Ok(linear as u64);
        }
        let cached = self.tlb.lookup(linear);
        if self.suffices(cached, access, user) {
            return Ok(cached.frame() | (linear & 0xFFF) as u64);
        }
        let entry = match self.walk::<true>(linear, access, user) {
            Ok(entry) => entry,
            Err(code) => return Err(self.page_fault(linear, code)),
        };
        self.cache(linear, cached, entry);
        Ok(entry.frame() | (linear & 0xFFF) as u64)
    }

    /// Access rights of SDM vol. 3, 4.6.1.
    #[inline(always)]
    pub(super) fn permits(&self, entry: TlbEntry, access: Access, user: bool) -> bool {
        if user && !entry.is_user() && !self.mutated(Mutant::UserBitIgnored) {
            return false;
        }
        match access {
            Access::Read => true,
            Access::Write => {
                let wp = self.regs.cr0 & cr0::WP != 0 && !self.mutated(Mutant::WpIgnored);
                entry.is_writable() || !user && !wp
            }
            Access::Fetch => !entry.is_no_execute(),
        }
    }

    /// [`Self::translate`] for compiled code that found nothing fast, if that is a matter of memory alone: false, and nothing
    /// happened, if it would be a page fault or if some table is a device.
    #[cfg(jit)]
    #[inline(always)]
    pub(crate) fn translate_quietly(
        &mut self,
        linear: u32,
        access: Access,
        user: bool,
    ) -> Option<(u64, TlbEntry)> {
        let offset = (linear & 0xFFF) as u64;
        let cached = self.tlb.lookup(linear);
        if self.suffices(cached, access, user) {
            return Some((cached.frame() | offset, cached));
        }
        let entry = self.walk::<false>(linear, access, user).ok()?;
        self.cache(linear, cached, entry);
        Some((entry.frame() | offset, entry))
    }

    /// Whether a cached translation is all that an access needs.
    #[inline(always)]
    fn suffices(&self, cached: TlbEntry, access: Access, user: bool) -> bool {
        cached.is_valid()
            && self.permits(cached, access, user)
            && (access != Access::Write || cached.is_dirty())
    }

    /// A walk that found `cached` in the TLB made `entry`.
    #[inline(always)]
    fn cache(&mut self, linear: u32, cached: TlbEntry, entry: TlbEntry) {
        if cached.is_valid() && !entry.permits_all_of(cached) {
            // Code may be running there: both engines look it up again before the next instruction.
            self.attention = true;
        }
        self.tlb.insert(linear, entry);
    }

    /// The entry that the tables have for an access, its accessed and dirty bits set; else the error code of its page fault. Without
    /// `BUS`, tables that are no memory count as absent.
    #[inline(always)]
    fn walk<const BUS: bool>(&mut self, linear: u32, access: Access, user: bool) -> Result<TlbEntry, u16> {
        let pae = self.regs.cr4 & cr4::PAE != 0;
        let nxe = pae && self.regs.msr.efer & EFER_NXE != 0;
        let mut code = 0;
        if access == Access::Write {
            code |= pf_error::WRITE;
        }
        if user {
            code |= pf_error::USER;
        }
        if access == Access::Fetch && nxe {
            code |= pf_error::FETCH;
        }

        let found = if pae { self.walk_pae::<BUS>(linear, nxe) } else { self.walk_two_level::<BUS>(linear) };
        let (upper, leaf, large_size) = found.map_err(|extra| code | extra)?;
        let combined = upper.value & leaf.value;
        let large = large_size != 0;
        let frame = if large {
            let offset_mask = large_size - 1;
            leaf.value & PHYS_MASK & !offset_mask | linear as u64 & offset_mask
        } else {
            leaf.value & PHYS_MASK
        };
        let entry = TlbEntry::new(frame)
            .writable(combined & RW != 0)
            .user(combined & US != 0)
            .global(leaf.value & G != 0 && self.regs.cr4 & cr4::PGE != 0)
            .no_execute((upper.value | leaf.value) & NX != 0)
            .large(large);
        if !self.permits(entry, access, user) {
            return Err(code | pf_error::PRESENT);
        }

        if upper.at != leaf.at {
            self.set_entry_bits(upper, A);
        }
        let dirty = access == Access::Write;
        self.set_entry_bits(leaf, if dirty { A | D } else { A });
        Ok(entry.dirty(dirty || leaf.value & D != 0))
    }

    /// Page directory and page table. Returns the directory entry, the leaf, and the page size if it is a large one.
    #[inline(always)]
    fn walk_two_level<const BUS: bool>(&mut self, linear: u32) -> Result<(Entry, Entry, u64), u16> {
        let pde = self.entry32::<BUS>((self.regs.cr3 & !0xFFF) as u64 | (linear >> 20 & 0xFFC) as u64)?;
        if pde.value & PS != 0 && self.regs.cr4 & cr4::PSE != 0 {
            // No PSE-36: the high address bits are reserved (SDM vol. 3, table 4-4).
            if pde.value & 0x003F_E000 != 0 {
                return Err(pf_error::PRESENT | pf_error::RESERVED);
            }
            return Ok((pde, pde, 4 << 20));
        }
        let pte = self.entry32::<BUS>(pde.value & !0xFFF | (linear >> 10 & 0xFFC) as u64)?;
        Ok((pde, pte, 0))
    }

    /// PDPTE registers, page directory and page table with 8-byte entries.
    fn walk_pae<const BUS: bool>(&mut self, linear: u32, nxe: bool) -> Result<(Entry, Entry, u64), u16> {
        let reserved = (0x7FFF_FFFF_FFFF_FFFF & !PHYS_MASK) | if nxe { 0 } else { NX };
        let pdpte = self.regs.pdpte[(linear >> 30) as usize];
        if pdpte & P == 0 {
            return Err(0);
        }
        let pde =
            self.entry64::<BUS>(pdpte & PHYS_MASK & !0xFFF | (linear >> 18 & 0xFF8) as u64, reserved)?;
        if pde.value & PS != 0 {
            if pde.value & 0x001F_E000 != 0 {
                return Err(pf_error::PRESENT | pf_error::RESERVED);
            }
            return Ok((pde, pde, 2 << 20));
        }
        let pte =
            self.entry64::<BUS>(pde.value & PHYS_MASK & !0xFFF | (linear >> 9 & 0xFF8) as u64, reserved)?;
        Ok((pde, pte, 0))
    }

    #[inline(always)]
    fn entry32<const BUS: bool>(&mut self, at: u64) -> Result<Entry, u16> {
        let value = self.table_entry::<BUS, u32>(at) as u64;
        if value & P == 0 { Err(0) } else { Ok(Entry { at, value }) }
    }

    fn entry64<const BUS: bool>(&mut self, at: u64, reserved: u64) -> Result<Entry, u16> {
        let value = self.table_entry::<BUS, u64>(at);
        if value & P == 0 {
            Err(0)
        } else if value & reserved != 0 {
            Err(pf_error::PRESENT | pf_error::RESERVED)
        } else {
            Ok(Entry { at, value })
        }
    }

    /// An entry of a table; without `BUS`, 0 if it is no memory.
    #[inline(always)]
    fn table_entry<const BUS: bool, W: Word>(&mut self, at: u64) -> W {
        let at = self.gate_a20(at);
        match self.mem.page_kind(at) {
            PageKind::Ram(offset) | PageKind::Rom(offset) => self.mem.read_at(offset | at as u32 & 0xFFF),
            PageKind::Bus if BUS => self.bus_read(at),
            PageKind::Bus => W::from_u64(0),
        }
    }

    /// Accessed and dirty bits live in the low half of an entry of either size.
    #[inline(always)]
    fn set_entry_bits(&mut self, entry: Entry, bits: u64) {
        if entry.value & bits != bits {
            self.phys_write::<u32>(entry.at, (entry.value | bits) as u32);
        }
    }

    fn page_fault(&mut self, linear: u32, code: u16) -> Fault {
        self.tlb.invalidate_page(linear, self.large_page_size());
        self.fault_address = linear;
        Fault::pf(code)
    }

    /// Size of a large page in the current paging mode, in bytes.
    pub(crate) fn large_page_size(&self) -> u32 {
        if self.regs.cr4 & cr4::PAE != 0 { 2 << 20 } else { 4 << 20 }
    }
}
