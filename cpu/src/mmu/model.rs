//! The walk against a straight-line model (tests): random tables of both formats, random accesses through the TLB
//! and the fast views. The model knows neither; it walks for every access, as SDM vol. 3, 4.3, 4.4, 4.6-4.8 say.

use super::{Access, pf_error};
use crate::Cpu;
use crate::fault::{Fault, vector};
use crate::regs::{EFER_NXE, cr0, cr4};
use crate::testing::flat;
use proptest::prelude::*;

/// CR3: the page directory, or with PAE the table of page-directory pointers.
const ROOT: u64 = 0x10000;
/// With PAE, the page directory behind the first pointer.
const DIRECTORY: u64 = 0x11000;
/// Page tables of the regions.
const TABLES: u64 = 0x12000;
/// Regions: directory entries in use.
pub(super) const REGIONS: u64 = 4;
/// Pages in use in each region.
pub(super) const PAGES: u64 = 8;
/// Frames that page-table entries name: plain RAM without tables.
pub(super) const FRAMES: u64 = 0x20000;

const P: u64 = 1;
pub(super) const RW: u64 = 2;
pub(super) const US: u64 = 4;
const A: u64 = 0x20;
pub(super) const D: u64 = 0x40;
pub(super) const PS: u64 = 0x80;
pub(super) const G: u64 = 0x100;
pub(super) const NX: u64 = 1 << 63;

/// What decides a translation besides the tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mode {
    pub pae: bool,
    pub nxe: bool,
    pub pse: bool,
    pub wp: bool,
}

/// One access to try.
#[derive(Clone, Copy, Debug)]
pub(super) struct Try {
    pub linear: u32,
    pub access: Access,
    pub user: bool,
}

/// The model's tables: entry `(region)` of the directory, `(region, page)` of the page tables.
#[derive(Clone, Debug)]
pub(super) struct Tables {
    pub directory: Vec<u64>,
    pub pages: Vec<u64>,
}

impl Mode {
    pub fn region_shift(self) -> u32 {
        if self.pae { 21 } else { 22 }
    }

    /// PS in a directory entry means something.
    pub fn large_pages(self) -> bool {
        self.pae || self.pse
    }

    /// An entry's reserved bits: none of them in the 32-bit format, but for large pages.
    fn reserved(self, large: bool) -> u64 {
        let high = if self.nxe { 0x7FFF_FFF0_0000_0000 } else { 0xFFFF_FFF0_0000_0000 };
        match (self.pae, large) {
            (true, true) => high | 0x1F_E000,
            (true, false) => high,
            (false, true) => 0x3F_E000,
            (false, false) => 0,
        }
    }

    /// The address of a byte, or the error code of #PF; sets A and D in `tables` when it succeeds.
    pub fn translate(self, tables: &mut Tables, t: Try) -> Result<u64, u16> {
        let region = (t.linear >> self.region_shift()) as usize;
        let page = (t.linear >> 12) as usize % PAGES as usize;
        let offset = (t.linear & 0xFFF) as u64;
        let mut code = 0;
        code |= if t.access == Access::Write { pf_error::WRITE } else { 0 };
        code |= if t.user { pf_error::USER } else { 0 };
        code |= if t.access == Access::Fetch && self.pae && self.nxe { pf_error::FETCH } else { 0 };

        let pde = tables.directory[region];
        let large = pde & PS != 0 && self.large_pages();
        let pte = tables.pages[region * PAGES as usize + page];
        if pde & P == 0 {
            return Err(code);
        }
        if pde & self.reserved(large) != 0 {
            return Err(code | pf_error::PRESENT | pf_error::RESERVED);
        }
        if !large && pte & P == 0 {
            return Err(code);
        }
        if !large && pte & self.reserved(false) != 0 {
            return Err(code | pf_error::PRESENT | pf_error::RESERVED);
        }

        let both = if large { pde } else { pde & pte };
        let either = if large { pde } else { pde | pte };
        let refused = t.user && both & US == 0
            || t.access == Access::Write && both & RW == 0 && (t.user || self.wp)
            || t.access == Access::Fetch && either & NX != 0;
        if refused {
            return Err(code | pf_error::PRESENT);
        }
        let dirty = if t.access == Access::Write { D } else { 0 };
        tables.directory[region] |= if large { A | dirty } else { A };
        if large {
            return Ok((page as u64) << 12 | offset);
        }
        tables.pages[region * PAGES as usize + page] |= A | dirty;
        Ok(pte & 0xF_FFFF_F000 | offset)
    }

    /// A processor with these tables in memory.
    pub fn cpu(self, tables: &Tables) -> Cpu {
        let mut cpu = flat(&[]);
        let set = |on: bool, bit: u32| if on { bit } else { 0 };
        self.put_entry(&mut cpu, ROOT, DIRECTORY | P);
        for (n, &pde) in tables.directory.iter().enumerate() {
            self.put_entry(&mut cpu, self.directory_at(n as u64), pde);
        }
        for (n, &pte) in tables.pages.iter().enumerate() {
            self.put_entry(&mut cpu, self.page_at(n as u64), pte);
        }
        cpu.regs.cr3 = ROOT as u32;
        cpu.regs.pdpte[0] = DIRECTORY | P;
        cpu.regs.cr4 = set(self.pae, cr4::PAE) | set(self.pse, cr4::PSE);
        cpu.regs.msr.efer = set(self.nxe, EFER_NXE);
        cpu.regs.cr0 |= cr0::PG | set(self.wp, cr0::WP);
        cpu.state_changed();
        cpu
    }

    pub fn directory_at(self, region: u64) -> u64 {
        if self.pae { DIRECTORY + 8 * region } else { ROOT + 4 * region }
    }

    pub fn page_at(self, n: u64) -> u64 {
        TABLES + 0x1000 * (n / PAGES) + n % PAGES * if self.pae { 8 } else { 4 }
    }

    pub fn put_entry(self, cpu: &mut Cpu, at: u64, value: u64) {
        if self.pae { cpu.phys_write(at, value) } else { cpu.phys_write(at, value as u32) }
    }

    fn entry(self, cpu: &mut Cpu, at: u64) -> u64 {
        if self.pae { cpu.phys_read(at) } else { cpu.phys_read::<u32>(at) as u64 }
    }

    pub fn tables_of(self, cpu: &mut Cpu) -> (Vec<u64>, Vec<u64>) {
        let directory = (0..REGIONS).map(|n| self.entry(cpu, self.directory_at(n))).collect();
        let pages = (0..REGIONS * PAGES).map(|n| self.entry(cpu, self.page_at(n))).collect();
        (directory, pages)
    }
}

/// An entry from random bits: mostly present, seldom with a reserved bit, naming `address`.
fn entry(mode: Mode, random: u64, address: u64, large: bool) -> u64 {
    let flags = random & (RW | US | A | D | G) | if random >> 16 & 7 != 0 { P } else { 0 };
    // Bit 13 is an address bit unless the entry maps a large page.
    let reserved = match random >> 20 & 15 {
        0 if large && mode.large_pages() => 1 << 13,
        1 if mode.pae => 1 << 40,
        _ => 0,
    };
    let large = if large { PS } else { 0 };
    let nx = if mode.pae && random >> 24 & 3 == 0 { NX } else { 0 };
    flags | large | reserved | nx | address
}

/// The directory entry of `region`. Without CR4.PSE a set PS bit means nothing, so it names a table all the same.
pub(super) fn directory_entry(mode: Mode, region: u64, random: u64) -> u64 {
    let large = random >> 32 & 3 == 0;
    entry(mode, random, if large && mode.large_pages() { 0 } else { TABLES + 0x1000 * region }, large)
}

pub(super) fn page_entry(mode: Mode, random: u64) -> u64 {
    entry(mode, random, FRAMES + (random >> 40 & 15) * 0x1000, false)
}

pub(super) fn tables(mode: Mode, random: &[u64]) -> Tables {
    let (directory, pages) = random.split_at(REGIONS as usize);
    let directory = (0..).zip(directory).map(|(region, &r)| directory_entry(mode, region, r));
    Tables { directory: directory.collect(), pages: pages.iter().map(|&r| page_entry(mode, r)).collect() }
}

pub(super) fn attempt(cpu: &mut Cpu, t: Try, value: u8) -> Result<u64, Fault> {
    cpu.set_cpl(if t.user { 3 } else { 0 });
    match t.access {
        Access::Read => cpu.load_linear::<u8>(t.linear).map(u64::from),
        Access::Write => cpu.store_linear(t.linear, value).map(|()| 0),
        Access::Fetch => cpu.fetch_offset(t.linear).map(|offset| offset.map_or(u64::MAX, u64::from)),
    }
}

proptest! {
    #[test]
    fn the_walk_the_tlb_and_the_fast_views_do_what_the_model_does(
        bits in any::<[bool; 4]>(),
        random in prop::collection::vec(any::<u64>(), (REGIONS + REGIONS * PAGES) as usize),
        tries in prop::collection::vec((0..REGIONS as u32, 0..PAGES as u32, 0..0x1000u32, 0..3u8, any::<bool>()), 1..60),
    ) {
        let [pae, nxe, pse, wp] = bits;
        let mode = Mode { pae, nxe, pse, wp };
        let mut model = tables(mode, &random);
        let mut cpu = mode.cpu(&model);
        for (n, (region, page, offset, kind, user)) in tries.into_iter().enumerate() {
            let access = [Access::Read, Access::Write, Access::Fetch][kind as usize];
            let t = Try { linear: region << mode.region_shift() | page << 12 | offset, access, user };
            let expected = mode.translate(&mut model, t);
            let value = n as u8 | 0x80;
            let got = attempt(&mut cpu, t, value);
            match (expected, got) {
                (Ok(phys), Ok(answer)) => match access {
                    Access::Read => prop_assert_eq!(answer, cpu.phys_read::<u8>(phys) as u64),
                    Access::Write => prop_assert_eq!(cpu.phys_read::<u8>(phys), value),
                    Access::Fetch => prop_assert_eq!(answer, phys),
                },
                (Err(code), Err(fault)) => {
                    prop_assert_eq!((fault.vector(), fault.error()), (vector::PF, Some(code)), "{:x?}", t);
                    prop_assert_eq!(cpu.fault_address, t.linear);
                }
                (expected, got) => prop_assert!(false, "{t:x?}: expected {expected:x?}, got {got:x?}"),
            }
            let (directory, pages) = mode.tables_of(&mut cpu);
            prop_assert_eq!(&directory, &model.directory);
            prop_assert_eq!(&pages, &model.pages);
        }
    }
}
