//! System registers of a Guest that programs the processor itself instead of asking with hypercalls: its own GDT, IDT, TSS and
//! page tables, in its own memory.
//!
//! None of them ever gets into the processor. What the Host needs of a table it reads from the Guest's memory when it needs it
//! (a kernel fills its IDT after LIDT, and its TSS after LTR); of the GDT it keeps a copy, as of any Guest's.

use super::Guest;
use crate::abi::{PAGE, SYSCALL_VECTOR, data, flags};
use crate::death::{Category, Outcome, named};
use crate::descriptor::{Entry, FLAT_CODE, FLAT_DATA, Gate, fix_gate, fix_gdt_entry, for_ring1, is_present};
use crate::mutant::broken;
use switcher_asm::{GDT_ENTRIES, IDT_ENTRIES};

const CR0_TS: u32 = 1 << 3;
const CR0_PG: u32 = 1 << 31;
const CR4_PGE: u32 = 1 << 7;
/// PE, ET and NE: what the processor shows before anything is set.
const CR0_AT_START: u32 = 0x31;
/// Bits of DR6 that read as 1.
const DR6_AT_START: u32 = 0xFFFF_0FF0;
/// DR6: a single step.
const DR6_BS: u32 = 1 << 14;

/// Entries that stay flat segments of ring 1 while the Guest leaves them empty: a kernel loads a GDT and goes on with
/// selectors of the one before, which a processor remembers and the world switch would not.
const KEPT: [(usize, Entry); 4] = [
    (2, for_ring1(FLAT_CODE)),
    (3, for_ring1(FLAT_DATA)),
    (12, for_ring1(FLAT_CODE)),
    (13, for_ring1(FLAT_DATA)),
];

/// A descriptor-table register.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Table {
    base: u32,
    limit: u32,
}

impl Table {
    /// Linear address of entry `n`, if it is inside the limit.
    fn entry(self, n: u32) -> Option<u32> {
        let offset = n.checked_mul(8)?;
        (offset + 7 <= self.limit).then(|| self.base.wrapping_add(offset))
    }
}

/// The registers.
#[derive(Clone, Copy, Debug)]
pub struct System {
    cr0: u32,
    cr3: u32,
    cr4: u32,
    dr6: u32,
    gdt: Option<Table>,
    idt: Option<Table>,
    /// Linear address of the TSS.
    tss: Option<u32>,
}

impl System {
    /// Before the Guest set anything.
    pub const fn new() -> System {
        System { cr0: CR0_AT_START, cr3: 0, cr4: 0, dr6: DR6_AT_START, gdt: None, idt: None, tss: None }
    }
}

impl Guest {
    /// Bytes of the Guest's linear memory.
    fn linear_bytes<const N: usize>(&self, address: u32) -> Outcome<[u8; N]> {
        let mut bytes = [0; N];
        let here = (PAGE - address % PAGE).min(N as u32);
        let (first, second) = bytes.split_at_mut(here as usize);
        self.ram.read_bytes(self.shadow.to_physical(&self.ram, address)?, first)?;
        if !second.is_empty() {
            self.ram.read_bytes(self.shadow.to_physical(&self.ram, address.wrapping_add(here))?, second)?;
        }
        Ok(bytes)
    }

    /// A word of the Guest's linear memory.
    pub(super) fn linear_word(&self, address: u32) -> Outcome<u32> {
        Ok(u32::from_le_bytes(self.linear_bytes(address)?))
    }

    fn linear_entry(&self, address: u32) -> Outcome<Entry> {
        let entry = u64::from_le_bytes(self.linear_bytes(address)?);
        Ok([entry as u32, (entry >> 32) as u32])
    }

    /// Control register `n`; `None` if there is none.
    pub(super) fn read_cr(&self, n: u8) -> Outcome<Option<u32>> {
        Ok(match n {
            0 => Some(self.system.cr0 & !CR0_TS | if self.ts { CR0_TS } else { 0 }),
            2 => Some(self.shared_read(data::CR2)?.unwrap_or(0)),
            3 => Some(self.system.cr3),
            4 => Some(self.system.cr4),
            _ => None,
        })
    }

    /// Set control register `n`. False if there is none.
    pub(super) fn write_cr(&mut self, n: u8, value: u32) -> Outcome<bool> {
        match n {
            0 => {
                let paging_on = value & !self.system.cr0 & CR0_PG != 0;
                self.system.cr0 = value;
                self.ts = value & CR0_TS != 0;
                if paging_on {
                    self.shadow.load_root(&self.ram, self.system.cr3, false);
                }
            }
            2 => {
                if let Some(shared) = self.shared {
                    named(self.ram.write(shared.addr + data::CR2, value), Category::Cr2Write)?;
                }
            }
            3 => {
                self.system.cr3 = value & !0xFFF;
                if self.system.cr0 & CR0_PG != 0 && !broken("cr3-load-ignored") {
                    // Global pages are the kernel's, and they stay.
                    self.shadow.load_root(&self.ram, self.system.cr3, self.system.cr4 & CR4_PGE != 0);
                }
            }
            4 => {
                if (value ^ self.system.cr4) & CR4_PGE != 0 {
                    self.shadow.release_all();
                    self.pin_stack()?;
                }
                self.system.cr4 = value;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    /// Debug register `n`: there are no breakpoints, but single steps are told from other traps by DR6.
    pub(super) fn read_dr(&self, n: u8) -> u32 {
        if n == 6 { self.system.dr6 } else { 0 }
    }

    /// Set debug register `n`.
    pub(super) fn write_dr(&mut self, n: u8, value: u32) {
        if n == 6 {
            self.system.dr6 = value & (DR6_BS | 0xE00F) | DR6_AT_START;
        }
    }

    /// A debug trap is about to be delivered.
    pub(super) fn note_debug_trap(&mut self) {
        if self.frame().eflags & flags::TF != 0 {
            self.system.dr6 |= DR6_BS;
        }
    }

    /// INVLPG.
    pub(super) fn invalidate(&mut self, address: u32) {
        self.shadow.invalidate(address);
    }

    /// The operand of LGDT and LIDT.
    fn table_operand(&self, address: u32) -> Outcome<Table> {
        let low = self.linear_word(address)?;
        let high = self.linear_word(address.wrapping_add(2))?;
        Ok(Table { base: high, limit: low & 0xFFFF })
    }

    /// LGDT.
    pub(super) fn load_gdt(&mut self, operand: u32) -> Outcome<()> {
        let table = self.table_operand(operand)?;
        self.system.gdt = Some(table);
        for n in 0..GDT_ENTRIES {
            let entry = match table.entry(n as u32) {
                Some(at) => self.linear_entry(at)?,
                None => [0, 0],
            };
            self.gdt[n] = fix_gdt_entry(entry);
        }
        for (n, flat) in KEPT {
            if !is_present(self.gdt[n]) && !broken("stale-selectors-dropped") {
                self.gdt[n] = flat;
            }
        }
        self.gdt_changed = true;
        Ok(())
    }

    /// Whether `selector` names a writable data segment of ring 1 that is live.
    pub(super) fn is_stack(&self, selector: u32) -> bool {
        const WRITABLE_DATA: u32 = 0x9200;
        const KIND: u32 = 0x9A00;
        const DPL: u32 = 3 << 13;
        let entry = self.gdt.get((selector >> 3) as usize).copied().unwrap_or_default();
        entry[1] & KIND == WRITABLE_DATA && entry[1] & DPL == 1 << 13
    }

    /// LIDT.
    pub(super) fn load_idt(&mut self, operand: u32) -> Outcome<()> {
        self.system.idt = Some(self.table_operand(operand)?);
        Ok(())
    }

    /// LTR: where the Guest keeps the stack for traps from ring 3. False if `selector` names no descriptor.
    pub(super) fn load_task(&mut self, selector: u32) -> Outcome<bool> {
        let Some(at) = self.system.gdt.and_then(|gdt| gdt.entry(selector >> 3 & 0x1FFF)) else {
            return Ok(false);
        };
        let [low, high] = self.linear_entry(at)?;
        self.system.tss = Some(low >> 16 | (high & 0xFF) << 16 | high & 0xFF00_0000);
        Ok(true)
    }

    /// The stack for traps from ring 3: as SET_STACK said, or SS0 and ESP0 of the TSS now.
    pub(super) fn trap_stack(&self) -> Outcome<(u32, u32)> {
        match self.system.tss {
            Some(tss) if self.stack.0 == 0 => {
                let [esp, ss] = self.linear_entry(tss.wrapping_add(4))?;
                Ok((ss & 0xFFFC | 1, esp))
            }
            _ => Ok(self.stack),
        }
    }

    /// The gate of vector `n`: as LOAD_IDT_ENTRY said, or what the IDT holds now. Task gates lead nowhere.
    pub(super) fn gate(&self, n: u32) -> Outcome<Gate> {
        match self.system.idt {
            None => Ok(self.gates[n as usize % IDT_ENTRIES]),
            Some(_) if broken("idt-read-once") => Ok(self.gates[n as usize % IDT_ENTRIES]),
            Some(idt) => self.memory_gate(idt, n),
        }
    }

    /// Whether `eip` is where system calls come straight from ring 3 to.
    pub(super) fn enters_syscall(&self, eip: u32) -> Outcome<bool> {
        let gate = self.gate(SYSCALL_VECTOR)?;
        Ok(gate.present() && !gate.disables_interrupts() && gate.offset() == eip)
    }

    fn memory_gate(&self, idt: Table, n: u32) -> Outcome<Gate> {
        let Some(at) = idt.entry(n) else { return Ok(Gate::default()) };
        let entry = self.linear_entry(at)?;
        Ok(Gate(fix_gate(n, entry).ok().flatten().unwrap_or_default()))
    }

    /// A general protection fault named a table's entry: the live copy may be older than the Guest's. True if it was, and the
    /// instruction is worth another try.
    pub(super) fn refresh_entry(&mut self, error: u32) -> Outcome<bool> {
        const IDT: u32 = 2;
        const LDT: u32 = 4;
        let n = error >> 3 & 0x1FFF;
        if error & IDT != 0 {
            let Some(idt) = self.system.idt else { return Ok(false) };
            let Some(slot) = self.gates.get(n as usize).copied() else { return Ok(false) };
            let gate = self.memory_gate(idt, n)?;
            if gate != slot {
                self.set_gate(n, gate);
            }
            return Ok(gate != slot);
        }
        if error & LDT != 0 || n as usize >= GDT_ENTRIES {
            return Ok(false);
        }
        let Some(at) = self.system.gdt.and_then(|gdt| gdt.entry(n)) else { return Ok(false) };
        let entry = fix_gdt_entry(self.linear_entry(at)?);
        if !is_present(entry) {
            return Ok(false);
        }
        let changed = entry != self.gdt[n as usize];
        self.gdt[n as usize] = entry;
        self.gdt_changed |= changed;
        Ok(changed)
    }
}
