//! Putting a vector's initial state into a processor, and running it to its end.

use super::VectorsError;
use super::format::{End, Env, RAM, State, Vector, field};
use crate::options::later::Engine;
use cpu::bus::EmptyBus;
use cpu::fpu::{Extended, Fpu};
use cpu::mem::{PAGE_SIZE, PhysMem, Ram};
use cpu::regs::{Activity, Msrs, Registers, TableRegister};
use cpu::seg::{Descriptor, Segment, is_null};
use cpu::{Cpu, Exit};

/// Instructions after which a vector is given up. The longest, a string comparison, takes 16,000.
const BUDGET: u64 = 50_000;
/// Consumer number for dirty pages.
const DIRTY: u8 = 6;

/// A processor that is loaded again and again.
pub struct Rig {
    cpu: Cpu,
    /// Pages of RAM that may differ from the environment's.
    changed: Vec<u32>,
}

impl Rig {
    /// A processor with the environment's RAM.
    ///
    /// # Errors
    /// There is no such engine.
    pub fn new(env: &Env, engine: Engine) -> Result<Rig, VectorsError> {
        let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(RAM)), Box::new(EmptyBus));
        engine.choose(&mut cpu).map_err(|e| VectorsError::Engine(e.to_string()))?;
        cpu.compile_after(1);
        cpu.mem.write_bytes(0, &env.ram);
        cpu.take_dirty_pages(DIRTY);
        Ok(Rig { cpu, changed: Vec::new() })
    }

    /// The processor, and the pages of RAM that may differ from the environment's, each once.
    pub fn result(&mut self) -> (&Cpu, &[u32]) {
        self.changed.extend(self.cpu.take_dirty_pages(DIRTY));
        self.changed.sort_unstable();
        self.changed.dedup();
        (&self.cpu, &self.changed)
    }

    /// Set up `vector`; RAM that an earlier vector changed is restored.
    pub fn load(&mut self, env: &Env, vector: &Vector) {
        self.result();
        let cpu = &mut self.cpu;
        for page in self.changed.drain(..) {
            let at = page as usize * PAGE_SIZE;
            cpu.with_bus(|_, cx| cx.mem.write_bytes(at as u64, &env.ram[at..at + PAGE_SIZE]));
        }
        for (at, bytes) in &vector.initial.ram {
            cpu.with_bus(|_, cx| cx.mem.write_bytes(*at as u64, bytes));
        }
        let mut state = env.state.clone();
        vector.initial.apply(&mut state);
        let f = &state.fields;

        cpu.reset();
        cpu.set_clocks(0, 0);
        let ram = cpu.mem.slice(0, RAM).unwrap_or_default();
        let r = &mut cpu.regs;
        *r = Registers::reset();
        r.gpr.copy_from_slice(&f[..8]);
        r.eip = f[field::EIP];
        r.flags.set(f[field::EFLAGS]);
        r.cr0 = f[field::CR0];
        r.cr2 = f[field::CR2];
        r.cr3 = f[field::CR3];
        r.cr4 = f[field::CR4];
        r.msr = Msrs { efer: f[field::EFER], ..r.msr };
        r.gdtr = TableRegister { base: f[field::GDT_BASE], limit: f[field::GDT_LIMIT] as u16 };
        r.idtr = TableRegister { base: f[field::IDT_BASE], limit: f[field::IDT_LIMIT] as u16 };
        r.dr.copy_from_slice(&f[field::DR0..field::DR0 + 4]);
        r.dr6 = f[field::DR6];
        r.dr7 = f[field::DR7];
        if r.cr0 & cpu::regs::cr0::PG != 0 && r.cr4 & cpu::regs::cr4::PAE != 0 {
            for (n, entry) in r.pdpte.iter_mut().enumerate() {
                *entry = read(ram, (r.cr3 as usize & !0x1F) + 8 * n, 8);
            }
        }
        load_segments(r, f, ram);
        load_fpu(&mut cpu.fpu, &state);
        cpu.simd.mxcsr = f[field::MXCSR];
        cpu.simd.xmm = state.xmm.map(u128::from_le_bytes);
        cpu.state_changed();
    }

    /// Run to HLT at CPL 0 or shutdown; `None` if neither comes. If the final HLT may leave a debug trap pending
    /// (`steps`), go instruction by instruction, so as to stop before that trap is taken.
    pub fn run(&mut self, steps: bool) -> Option<End> {
        let mut limit = if steps { 1 } else { BUDGET };
        loop {
            match self.cpu.run(limit) {
                Exit::Halted => return Some(End::Hlt),
                Exit::Shutdown => return Some(End::Shutdown),
                Exit::Limit if self.cpu.regs.activity == Activity::Halted => return Some(End::Hlt),
                Exit::Limit if limit < BUDGET => limit += 1,
                _ => return None,
            }
        }
    }
}

/// As by FXRSTOR: ES and B follow from flags and masks.
fn load_fpu(fpu: &mut Fpu, state: &State) {
    fpu.control = state.fields[field::FCW] as u16;
    fpu.status = state.fields[field::FSW] as u16;
    fpu.in_use = state.fields[field::FTW] as u8;
    fpu.update_summary();
    for (i, st) in state.st.iter().enumerate() {
        let n = fpu.st(i);
        fpu.regs[n] = Extended { significand: read(st, 0, 8), sign_exponent: read(st, 8, 2) as u16 };
    }
}

/// Hidden parts come from the tables in RAM, unchecked.
fn load_segments(r: &mut Registers, f: &[u32], ram: &[u8]) {
    let v86 = r.v86();
    let gdt = r.gdtr.base as usize;
    let from_table = |selector: u16, ldt_base: usize| {
        if is_null(selector) {
            return Segment::null(selector);
        }
        let table = if selector & 4 != 0 { ldt_base } else { gdt };
        let at = table + (selector & !7) as usize;
        let d = Descriptor { lo: read(ram, at, 4) as u32, hi: read(ram, at + 4, 4) as u32 };
        Segment::from_descriptor(selector, d)
    };
    r.ldtr = from_table(f[field::LDTR] as u16, 0);
    r.tr = from_table(f[field::TR] as u16, 0);
    let ldt = r.ldtr.base as usize;
    for (n, seg) in r.seg.iter_mut().enumerate() {
        let selector = f[field::ES + n] as u16;
        *seg = if v86 { Segment::real(selector, 3) } else { from_table(selector, ldt) };
    }
    r.cpl = if v86 { 3 } else { r.cs().selector as u8 & 3 };
}

fn read(ram: &[u8], at: usize, len: usize) -> u64 {
    let bytes = ram.get(at..at + len).unwrap_or_default();
    bytes.iter().rev().fold(0, |value, &b| value << 8 | b as u64)
}
