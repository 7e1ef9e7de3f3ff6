//! Our processor, set up as the host's kernel sets up the host: PAE with NX, the kernel's GDT, the same LDT and pages.

use crate::case::{End, State};
use crate::layout::{CODE, DATA, PAGE, STACK};
use cpu::bus::EmptyBus;
use cpu::fpu::Extended;
use cpu::mem::{PhysMem, Ram};
use cpu::regs::{EFER_NXE, Registers, TableRegister, cr0, cr4};
use cpu::seg::{Descriptor, Segment, is_null};
use cpu::{Cpu, Exit};

/// Bytes of RAM.
pub const RAM: usize = 0x40000;
/// Global descriptor table.
pub const GDT: u32 = 0x1000;
/// Interrupt descriptor table.
pub const IDT: u32 = 0x2000;
/// HLT for vector `n` at 16 `n`.
pub const HANDLERS: u32 = 0x3000;
/// Task-state segment.
pub const TSS: u32 = 0x4000;
/// Local descriptor table.
pub const LDT: u32 = 0x6000;
/// End of the ring-0 stack.
pub const STACK0: u32 = 0x7FF0;
/// Page-directory pointers, the directories, the tables.
pub const POINTERS: u32 = 0x8000;
/// Physical pages of the program, in the order of the host's: code, data, stack.
pub const PAGES: u32 = 0x10000;
/// Selectors of TSS and LDT. In the host's GDT these are 64-bit descriptors.
pub const TSS_SELECTOR: u16 = 0x40;
/// See [`TSS_SELECTOR`].
pub const LDT_SELECTOR: u16 = 0x50;

/// Instructions (REP iterations) after which a program is given up.
const BUDGET: u64 = 200_000;

/// See the module.
pub struct Model {
    cpu: Cpu,
    image: Vec<u8>,
}

impl Model {
    /// `ldt` as in the host; `template` is what data and stack hold at first.
    pub fn new(ldt: &[u8], template: &[u8]) -> Model {
        let image = image(ldt, template);
        let mut cpu = Cpu::new(PhysMem::new(Ram::zeroed(RAM)), Box::new(EmptyBus));
        cpu.mem.write_bytes(0, &image);
        cpu.take_dirty_pages(0);
        Model { cpu, image }
    }

    /// RAM before any program.
    pub fn image(&self) -> &[u8] {
        &self.image
    }

    /// The processor.
    pub fn cpu(&self) -> &Cpu {
        &self.cpu
    }

    /// RAM now.
    pub fn ram(&self) -> &[u8] {
        self.cpu.mem.slice(0, RAM).unwrap_or_default()
    }

    /// As [`crate::host::Host::run`].
    pub fn run(&mut self, start: &State, offset: usize, code: &[u8]) -> Option<End> {
        let cpu = &mut self.cpu;
        for page in cpu.take_dirty_pages(0) {
            let at = page as usize * PAGE;
            cpu.with_bus(|_, cx| cx.mem.write_bytes(at as u64, &self.image[at..at + PAGE]));
        }
        cpu.with_bus(|_, cx| cx.mem.write_bytes((PAGES as usize + offset) as u64, code));
        cpu.reset();
        cpu.set_clocks(0, 0);
        registers(cpu, start);
        cpu.state_changed();
        if cpu.run(BUDGET) != Exit::Halted {
            return None;
        }
        Some(self.end())
    }

    fn end(&mut self) -> End {
        let cpu = &self.cpu;
        let r = &cpu.regs;
        let vector = ((r.eip - 1 - HANDLERS) / 16) as u8;
        let has_error = matches!(vector, 8 | 10..=14 | 17);
        let esp = r.gpr[4];
        let word = |at: u32| {
            let bytes = cpu.mem.slice(at as u64, 4).and_then(|b| b.try_into().ok());
            u32::from_le_bytes(bytes.unwrap_or_default())
        };
        let frame = esp + if has_error { 4 } else { 0 };
        let mut gpr = r.gpr;
        gpr[4] = word(frame + 12);
        let mut seg = r.seg.map(|s| s.selector);
        (seg[1], seg[2]) = (word(frame + 4) as u16, word(frame + 16) as u16);
        let fpu = &cpu.fpu;
        let mut st = [[0; 10]; 8];
        for (i, value) in st.iter_mut().enumerate() {
            let Extended { significand, sign_exponent } = fpu.regs[fpu.st(i)];
            value[..8].copy_from_slice(&significand.to_le_bytes());
            value[8..].copy_from_slice(&sign_exponent.to_le_bytes());
        }
        let state = State {
            gpr,
            eip: word(frame),
            eflags: word(frame + 8),
            seg,
            fcw: fpu.control,
            fsw: fpu.status,
            ftw: fpu.in_use,
            mxcsr: cpu.simd.mxcsr,
            st,
            xmm: cpu.simd.xmm.map(u128::to_le_bytes),
        };
        let ram = self.ram();
        let page = |n: usize| PAGES as usize + n * PAGE;
        let memory = [&ram[page(1)..page(3)], &ram[page(4)..page(6)]].concat();
        End { state, vector, error: if has_error { word(esp) } else { 0 }, cr2: r.cr2, memory }
    }
}

/// Control registers of every program.
pub const CR0: u32 = cr0::PE | cr0::MP | cr0::ET | cr0::NE | cr0::WP | cr0::AM | cr0::PG;
/// See [`CR0`].
pub const CR4: u32 = cr4::PSE | cr4::PAE | cr4::PGE | cr4::OSFXSR | cr4::OSXMMEXCPT;

fn registers(cpu: &mut Cpu, start: &State) {
    let named = |cpu: &Cpu, selector: u16| {
        if is_null(selector) {
            return Segment::null(selector);
        }
        let table = if selector & 4 != 0 { LDT } else { GDT };
        let bytes = cpu.mem.slice((table + (selector & !7) as u32) as u64, 8).unwrap_or(&[0; 8]);
        let raw = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
        Segment::from_descriptor(selector, Descriptor { lo: raw as u32, hi: (raw >> 32) as u32 })
    };
    let mut r = Registers::reset();
    r.gpr = start.gpr;
    r.eip = start.eip;
    r.flags.set(start.eflags);
    (r.cr0, r.cr3, r.cr4) = (CR0, POINTERS, CR4);
    r.msr.efer = EFER_NXE;
    r.pdpte = [(POINTERS + 0x1000) as u64 | 1, 0, 0, 0];
    r.gdtr = TableRegister { base: GDT, limit: 127 };
    r.idtr = TableRegister { base: IDT, limit: 0x7FF };
    r.seg = start.seg.map(|selector| named(cpu, selector));
    r.ldtr = named(cpu, LDT_SELECTOR);
    r.tr = named(cpu, TSS_SELECTOR);
    r.cpl = 3;
    cpu.regs = r;
    let fpu = &mut cpu.fpu;
    (fpu.control, fpu.status, fpu.in_use) = (start.fcw, start.fsw, start.ftw);
    fpu.update_summary();
    for (i, value) in start.st.iter().enumerate() {
        let n = fpu.st(i);
        let significand = value[..8].iter().rev().fold(0, |all, &b| all << 8 | b as u64);
        fpu.regs[n] = Extended { significand, sign_exponent: u16::from_le_bytes([value[8], value[9]]) };
    }
    cpu.simd.mxcsr = start.mxcsr;
    cpu.simd.xmm = start.xmm.map(u128::from_le_bytes);
}

fn image(ldt: &[u8], template: &[u8]) -> Vec<u8> {
    let mut ram = vec![0; RAM];
    let mut put =
        |at: u32, value: u64| ram[at as usize..at as usize + 8].copy_from_slice(&value.to_le_bytes());
    // The host's kernel: 32-bit, 64-bit and data of ring 0, then of ring 3 (compatibility code, data, 64-bit code).
    let gdt = [
        (1, 0x00CF_9B00_0000_FFFFu64),
        (2, 0x00AF_9B00_0000_FFFF),
        (3, 0x00CF_9300_0000_FFFF),
        (4, 0x00CF_FB00_0000_FFFF),
        (5, 0x00CF_F300_0000_FFFF),
        (6, 0x00AF_FB00_0000_FFFF),
        (8, 0x0000_8B00_0000_0067 | (TSS as u64) << 16),
        (10, 0x0000_8200_0000_0000 | (LDT as u64) << 16 | (ldt.len() as u64 - 1)),
    ];
    gdt.iter().for_each(|&(n, value)| put(GDT + 8 * n, value));
    put(TSS + 4, STACK0 as u64 | 0x18 << 32);
    // No I/O permission bitmap.
    put(TSS + 0x60, 104 << 48);
    for n in 0..256 {
        // INT3 and INTO may come from ring 3.
        let kind = if n == 3 || n == 4 { 0xEE00 } else { 0x8E00 };
        put(IDT + 8 * n, (kind as u64) << 32 | 0x0008_0000 | (HANDLERS + 16 * n) as u64);
        put(HANDLERS + 16 * n, 0xF4);
    }
    // Present, accessed, dirty; then user, write, and no execution.
    let (base, user, write, none) = (0x61u64, 4u64, 2u64, 1u64 << 63);
    let directory = POINTERS + 0x1000;
    put(POINTERS, directory as u64 | 1);
    put(directory, (directory + 0x1000) as u64 | base | user | write);
    put(directory + 8, (directory + 0x2000) as u64 | base | user | write);
    for n in 0..16 {
        put(directory + 0x1000 + 8 * n, (n << 12) as u64 | base | write);
    }
    let places = [(CODE, user), (DATA, user | write | none), (DATA + 0x1000, user | write | none)];
    let more =
        [(DATA + 0x2000, user | none), (STACK, user | write | none), (STACK + 0x1000, user | write | none)];
    for (n, (linear, rights)) in places.into_iter().chain(more).enumerate() {
        let table = directory + 0x1000 + ((linear >> 21) << 12);
        put(table + (linear >> 12 & 0x1FF) * 8, (PAGES + n as u32 * 0x1000) as u64 | base | rights);
    }
    ram[LDT as usize..LDT as usize + ldt.len()].copy_from_slice(ldt);
    let pages = PAGES as usize;
    ram[pages..pages + PAGE].fill(0xF4);
    ram[pages + PAGE..pages + PAGE + template.len()].copy_from_slice(template);
    ram
}
