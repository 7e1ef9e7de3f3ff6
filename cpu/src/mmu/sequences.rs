//! The TLB as architectural state against a straight-line model (tests): random sequences of accesses, edits of the
//! tables, and the instructions that invalidate. The model's TLB is a map from page numbers to what a walk found there
//! (SDM vol. 3, 4.10.2, 4.10.4): an entry stays until something that the manual names removes it, and is used as long
//! as it permits the access.

use super::Access;
use super::model::{
    D, FRAMES, G, Mode, NX, PAGES, PS, REGIONS, RW, Tables, Try, US, attempt, directory_entry, page_entry,
    tables,
};
use crate::Cpu;
use crate::fault::vector;
use crate::regs::{cr0, cr4, gpr};
use crate::testing::execute;
use proptest::prelude::*;
use std::collections::BTreeMap;

/// One step of a sequence. Pages are (region, page in region).
#[derive(Clone, Copy, Debug)]
enum Step {
    Access { page: (u32, u32), offset: u32, kind: u8, user: bool },
    EditDirectory { region: u64, random: u64 },
    EditPage { n: u64, random: u64 },
    Invlpg { page: (u32, u32) },
    LoadCr3,
    ToggleGlobal,
    ToggleWriteProtect,
}

/// What the walk found for one page.
#[derive(Clone, Copy, Debug)]
struct Cached {
    frame: u64,
    /// Entry bits of all levels combined: RW and US.
    both: u64,
    no_execute: bool,
    dirty: bool,
    global: bool,
    large: bool,
}

struct Model {
    mode: Mode,
    pge: bool,
    tables: Tables,
    tlb: BTreeMap<u32, Cached>,
}

impl Model {
    fn access(&mut self, t: Try) -> Result<u64, u16> {
        let (page, offset) = (t.linear >> 12, (t.linear & 0xFFF) as u64);
        if let Some(c) = self.tlb.get(&page) {
            let permitted = (!t.user || c.both & US != 0)
                && match t.access {
                    Access::Read => true,
                    Access::Fetch => !c.no_execute,
                    // A clean entry does not do for a write: the walk has to set D.
                    Access::Write => c.dirty && (c.both & RW != 0 || !t.user && !self.mode.wp),
                };
            if permitted {
                return Ok(c.frame | offset);
            }
        }
        let walked = self.mode.translate(&mut self.tables, t);
        match walked {
            Ok(phys) => {
                let c = self.found(t.linear, phys & !0xFFF);
                self.tlb.insert(page, c);
            }
            Err(_) => self.invalidate(t.linear),
        }
        walked
    }

    /// What there is to cache after a successful walk.
    fn found(&self, linear: u32, frame: u64) -> Cached {
        let region = (linear >> self.mode.region_shift()) as usize;
        let pde = self.tables.directory[region];
        let pte = self.tables.pages[region * PAGES as usize + (linear >> 12) as usize % PAGES as usize];
        let large = pde & PS != 0 && self.mode.large_pages();
        let leaf = if large { pde } else { pte };
        Cached {
            frame,
            both: pde & leaf & (RW | US),
            no_execute: (pde | leaf) & NX != 0,
            dirty: leaf & D != 0,
            global: leaf & G != 0 && self.pge,
            large,
        }
    }

    /// INVLPG and #PF: the page, and everything that came from a large page around it.
    fn invalidate(&mut self, linear: u32) {
        let shift = self.mode.region_shift();
        self.tlb
            .retain(|&page, c| page != linear >> 12 && !(c.large && page >> (shift - 12) == linear >> shift));
    }

    fn step(&mut self, step: Step, cpu: &mut Cpu) {
        match step {
            Step::Access { .. } => {}
            Step::EditDirectory { region, random } => {
                let pde = directory_entry(self.mode, region, random);
                self.tables.directory[region as usize] = pde;
                self.mode.put_entry(cpu, self.mode.directory_at(region), pde);
            }
            Step::EditPage { n, random } => {
                let pte = page_entry(self.mode, random);
                self.tables.pages[n as usize] = pte;
                self.mode.put_entry(cpu, self.mode.page_at(n), pte);
            }
            Step::Invlpg { page } => {
                let linear = linear(self.mode, page);
                self.invalidate(linear);
                privileged(cpu, &[0x0F, 0x01, 0x38], linear);
            }
            Step::LoadCr3 => {
                self.tlb.retain(|_, c| c.global);
                privileged(cpu, &[0x0F, 0x22, 0xD8], cpu.regs.cr3);
            }
            Step::ToggleGlobal => {
                self.pge = !self.pge;
                self.tlb.clear();
                privileged(cpu, &[0x0F, 0x22, 0xE0], cpu.regs.cr4 ^ cr4::PGE);
            }
            Step::ToggleWriteProtect => {
                self.mode.wp = !self.mode.wp;
                privileged(cpu, &[0x0F, 0x22, 0xC0], cpu.regs.cr0 ^ cr0::WP);
            }
        }
    }
}

fn linear(mode: Mode, (region, page): (u32, u32)) -> u32 {
    region << mode.region_shift() | page << 12
}

/// Execute `code` in ring 0 with EAX = `eax`.
fn privileged(cpu: &mut Cpu, code: &[u8], eax: u32) {
    cpu.set_cpl(0);
    cpu.regs.gpr[gpr::EAX] = eax;
    assert_eq!(execute(cpu, code), Ok(()));
}

fn step() -> impl Strategy<Value = Step> {
    // Few pages, so that a sequence comes back to them.
    let page = || (0..2u32, 0..3u32);
    let access = (page(), 0..16u32, 0..3u8, any::<bool>());
    prop_oneof![
        12 => access.prop_map(|(page, offset, kind, user)| Step::Access { page, offset, kind, user }),
        2 => (0..2u64, any::<u64>()).prop_map(|(region, random)| Step::EditDirectory { region, random }),
        4 => (page(), any::<u64>()).prop_map(|((region, page), random)| {
            Step::EditPage { n: region as u64 * PAGES + page as u64, random }
        }),
        2 => page().prop_map(|page| Step::Invlpg { page }),
        1 => Just(Step::LoadCr3),
        1 => Just(Step::ToggleGlobal),
        1 => Just(Step::ToggleWriteProtect),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]
    #[test]
    fn a_translation_lives_from_a_walk_to_an_architectural_invalidation(
        bits in any::<[bool; 4]>(),
        random in prop::collection::vec(any::<u64>(), (REGIONS + REGIONS * PAGES) as usize),
        steps in prop::collection::vec(step(), 1..120),
    ) {
        let [pae, nxe, pse, wp] = bits;
        let mode = Mode { pae, nxe, pse, wp };
        let mut model = Model { mode, pge: false, tables: tables(mode, &random), tlb: BTreeMap::new() };
        let mut cpu = mode.cpu(&model.tables);
        // Each frame has its own contents, so that a read tells which one it was.
        for (n, frame) in (0..PAGES).chain((0..16).map(|n| FRAMES / 0x1000 + n)).enumerate() {
            prop_assert!(cpu.mem.write_bytes(frame << 12, &[n as u8 + 1; 16]));
        }
        for (n, &step) in steps.iter().enumerate() {
            model.step(step, &mut cpu);
            if let Step::Access { page, offset, kind, user } = step {
                let access = [Access::Read, Access::Write, Access::Fetch][kind as usize];
                let t = Try { linear: linear(mode, page) | offset, access, user };
                let expected = model.access(t);
                let value = n as u8 | 0x80;
                let got = attempt(&mut cpu, t, value);
                match (expected, got) {
                    (Ok(phys), Ok(answer)) => match access {
                        Access::Read => prop_assert_eq!(answer, cpu.phys_read::<u8>(phys) as u64, "step {}", n),
                        Access::Write => prop_assert_eq!(cpu.phys_read::<u8>(phys), value, "step {}", n),
                        Access::Fetch => prop_assert_eq!(answer, phys, "step {}", n),
                    },
                    (Err(code), Err(fault)) => {
                        prop_assert_eq!((fault.vector(), fault.error()), (vector::PF, Some(code)), "step {}", n);
                        prop_assert_eq!(cpu.fault_address, t.linear);
                    }
                    (expected, got) => prop_assert!(false, "step {n}: expected {expected:x?}, got {got:x?}"),
                }
            }
            let (directory, pages) = mode.tables_of(&mut cpu);
            prop_assert_eq!(&directory, &model.tables.directory, "step {}", n);
            prop_assert_eq!(&pages, &model.tables.pages, "step {}", n);
        }
    }
}
