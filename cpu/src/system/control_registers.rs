//! Control registers (SDM vol. 3, 2.5): MOV CR, LMSW, SMSW, CLTS, and what their bits drag along.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::event::Event;
use crate::fault::Fault;
use crate::interp::operand::{Mem, Reg, Source, has_memory};
use crate::mmu::MAX_PHYS_BITS;
use crate::mutant::Mutant;
use crate::regs::{cr0, cr4};
use crate::seg::{SegReg, Segment};
use crate::word::Word;
use iced_x86::{Code, Instruction};

const CR0_BITS: u32 =
    cr0::PE | cr0::MP | cr0::EM | cr0::TS | cr0::NE | cr0::WP | cr0::AM | cr0::NW | cr0::CD | cr0::PG;
/// VME and PVI may be set, as on every processor of this class, but have no effect.
const CR4_BITS: u32 = cr4::VME
    | cr4::PVI
    | cr4::TSD
    | cr4::DE
    | cr4::PSE
    | cr4::PAE
    | cr4::MCE
    | cr4::PGE
    | cr4::PCE
    | cr4::OSFXSR
    | cr4::OSXMMEXCPT;

impl Cpu {
    /// #GP(0) unless CPL is 0. Virtual-8086 mode runs at CPL 3, real mode at 0.
    #[inline]
    pub(crate) fn require_cpl0(&self) -> Result<(), Fault> {
        if self.regs.cpl == 0 || self.mutated(Mutant::PrivilegedAllowed) { Ok(()) } else { Err(Fault::GP0) }
    }

    /// CR0.TS: x87, MMX and SSE instructions raise #NM, so that their state can be switched lazily (SDM vol. 3, 2.5).
    #[inline]
    pub(crate) fn task_switched(&self) -> bool {
        self.regs.cr0 & cr0::TS != 0 && !self.mutated(Mutant::TsIgnored)
    }

    fn set_cr0(&mut self, value: u32) -> Result<(), Fault> {
        let value = value & CR0_BITS | cr0::ET;
        let paging = value & cr0::PG != 0;
        if paging && value & cr0::PE == 0 || value & cr0::NW != 0 && value & cr0::CD == 0 {
            return Err(Fault::GP0);
        }
        let changed = value ^ self.regs.cr0;
        if paging && changed & (cr0::PG | cr0::CD | cr0::NW) != 0 && self.regs.cr4 & cr4::PAE != 0 {
            self.load_pdptes(self.regs.cr3)?;
        }
        self.regs.cr0 = value;
        if changed & (cr0::PG | cr0::PE) != 0 {
            self.tlb.flush(true);
        }
        if changed & cr0::WP != 0 {
            self.tlb.drop_fast();
        }
        if changed & !value & cr0::PE != 0 {
            // In real-address mode code may be written through CS.
            let cs = &mut self.regs.seg[SegReg::Cs as usize];
            *cs = Segment::new(cs.selector, cs.base, cs.limit, cs.attr & !0xF00 | 0x300);
        }
        self.update_view();
        self.attention = true;
        Ok(())
    }

    fn set_cr4(&mut self, value: u32) -> Result<(), Fault> {
        if value & !CR4_BITS != 0 {
            return Err(Fault::GP0);
        }
        let changed = value ^ self.regs.cr4;
        if changed & (cr4::PAE | cr4::PSE | cr4::PGE) != 0 {
            if self.paging() && value & cr4::PAE != 0 {
                self.load_pdptes(self.regs.cr3)?;
            }
            self.tlb.flush(true);
        }
        self.regs.cr4 = value;
        self.attention = true;
        Ok(())
    }

    /// Put `value` in CR3: everything not global leaves the TLB.
    pub(crate) fn set_cr3(&mut self, value: u32) {
        let old = std::mem::replace(&mut self.regs.cr3, value);
        if !self.mutated(Mutant::Cr3FlushIgnored) {
            self.tlb.flush(false);
        }
        self.attention = true;
        self.emit(|cpu| Event::Cr3 { old, new: value, place: (cpu.regs.cs().selector, cpu.regs.eip) });
    }

    /// Load the four PDPTE registers from the table at `cr3` (SDM vol. 3, 4.4.1).
    ///
    /// # Errors
    /// #GP(0) if a present entry has reserved bits set.
    pub(crate) fn load_pdptes(&mut self, cr3: u32) -> Result<(), Fault> {
        let mut pdpte = [0; 4];
        for (n, entry) in pdpte.iter_mut().enumerate() {
            *entry = self.phys_read::<u64>((cr3 & !0x1F) as u64 + 8 * n as u64);
            let reserved = !((1 << MAX_PHYS_BITS) - 1) | 0x1E6;
            if *entry & 1 != 0 && *entry & reserved != 0 {
                return Err(Fault::GP0);
            }
        }
        self.regs.pdpte = pdpte;
        Ok(())
    }
}

fn mov_to_cr(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = cpu.reg::<u32>(op.reg[1]);
    if !matches!(op.reg[0], 0 | 2 | 3 | 4) {
        return Err(Fault::UD);
    }
    cpu.require_cpl0()?;
    match op.reg[0] {
        0 => cpu.set_cr0(value)?,
        2 => cpu.regs.cr2 = value,
        3 => {
            if cpu.paging() && cpu.regs.cr4 & cr4::PAE != 0 {
                cpu.load_pdptes(value)?;
            }
            cpu.set_cr3(value);
        }
        _ => cpu.set_cr4(value)?,
    }
    Ok(())
}

fn mov_from_cr(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = match op.reg[1] {
        0 => cpu.regs.cr0,
        2 => cpu.regs.cr2,
        3 => cpu.regs.cr3,
        4 => cpu.regs.cr4,
        _ => return Err(Fault::UD),
    };
    cpu.require_cpl0()?;
    cpu.set_reg(op.reg[0], value);
    Ok(())
}

/// LMSW changes PE, MP, EM, TS, and cannot clear PE.
fn lmsw<S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()?;
    let value = S::get::<u16>(cpu, op)? as u32;
    let bits = cr0::PE | cr0::MP | cr0::EM | cr0::TS;
    cpu.set_cr0(cpu.regs.cr0 & (!bits | cr0::PE) | value & bits)
}

fn smsw_reg<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let value = W::from_u32(cpu.regs.cr0);
    cpu.set_reg(op.reg[0], value);
    Ok(())
}

fn smsw_mem(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, cpu.regs.cr0 as u16)
}

fn clts(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()?;
    cpu.regs.cr0 &= !cr0::TS;
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    let mem = has_memory(insn);
    Some(match insn.code() {
        Code::Mov_cr_r32 => mov_to_cr,
        Code::Mov_r32_cr => mov_from_cr,
        Code::Lmsw_rm16 | Code::Lmsw_r32m16 => {
            if mem {
                lmsw::<Mem>
            } else {
                lmsw::<Reg<0>>
            }
        }
        Code::Smsw_rm16 if !mem => smsw_reg::<u16>,
        Code::Smsw_r32m16 if !mem => smsw_reg::<u32>,
        Code::Smsw_rm16 | Code::Smsw_r32m16 => smsw_mem,
        Code::Clts => clts,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{CODE, execute, flat};

    const MOV_CR0_EAX: &[u8] = &[0x0F, 0x22, 0xC0];

    /// mov cr0, eax with EAX = `value`.
    fn set(cpu: &mut Cpu, value: u32) -> Result<(), Fault> {
        cpu.regs.gpr[0] = value;
        execute(cpu, MOV_CR0_EAX)
    }

    #[test]
    fn impossible_combinations_are_refused_and_unknown_bits_ignored() {
        let mut cpu = flat(&[]);
        assert_eq!(set(&mut cpu, cr0::PG), Err(Fault::GP0));
        assert_eq!(set(&mut cpu, cr0::PE | cr0::NW), Err(Fault::GP0));
        assert_eq!(set(&mut cpu, cr0::PE | 1 << 8), Ok(()));
        assert_eq!(cpu.regs.cr0, cr0::PE | cr0::ET);
        cpu.regs.gpr[0] = 1 << 11;
        assert_eq!(execute(&mut cpu, &[0x0F, 0x22, 0xE0]), Err(Fault::GP0));
    }

    /// PAE paging: the entries are looked at again when PG, CD or NW changes, and not when TS does.
    #[test]
    fn pdptes_are_reloaded_and_checked() {
        let mut cpu = flat(&[]);
        (cpu.regs.cr3, cpu.regs.cr4) = (0x20000, cr4::PAE);
        for (at, value) in [(0x20000, 0x21001u64), (0x21000, 0x83)] {
            cpu.phys_write(at, value);
        }
        let paging = cr0::PG | cr0::PE;
        assert_eq!(set(&mut cpu, paging), Ok(()));
        assert_eq!(cpu.regs.pdpte[0], 0x21001);
        cpu.phys_write(0x20000, 0x21001u64 | 1 << 5);
        assert_eq!(set(&mut cpu, paging | cr0::TS), Ok(()));
        assert_eq!(set(&mut cpu, paging | cr0::CD), Err(Fault::GP0));
        assert_eq!((cpu.regs.pdpte[0], cpu.regs.cr0 & cr0::CD), (0x21001, 0));
    }

    /// mov cr0, eax; mov byte cs:[0x9000], 1: a code segment left from protected mode is writable in real mode.
    #[test]
    fn real_mode_writes_through_cs() {
        let store = [0x2E, 0xC6, 0x05, 0x00, 0x90, 0x00, 0x00, 0x01];
        let mut cpu = flat(&[]);
        assert_eq!(execute(&mut cpu, &store), Err(Fault::GP0));
        assert_eq!(set(&mut cpu, 0), Ok(()));
        assert_eq!(execute(&mut cpu, &store), Ok(()));
        assert_eq!((cpu.phys_read::<u8>(0x9000), cpu.regs.cs().big()), (1, true));
        let mut fresh = Cpu::new(
            crate::mem::PhysMem::new(crate::mem::Ram::zeroed(0x2000)),
            Box::new(crate::bus::EmptyBus),
        );
        fresh.regs.seg[SegReg::Cs as usize].base = CODE;
        assert_eq!(execute(&mut fresh, &[0x67, 0x2E, 0xC6, 0x06, 0x00, 0x00, 0x01]), Ok(()));
    }
}
