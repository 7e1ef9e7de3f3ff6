//! What differs between two machines.

use super::DIRTY_FOR_CHECK;
use crate::machine::Machine;
use cpu::bus::Lines;
use std::fmt::{self, Debug};

/// Bytes of memory told of at most.
const MOST_BYTES: usize = 16;

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// In the reference.
    pub reference: String,
    /// In the subject.
    pub subject: String,
}

impl Difference {
    /// `what` differs.
    pub fn new(
        what: impl Into<String>,
        reference: impl Into<String>,
        subject: impl Into<String>,
    ) -> Difference {
        Difference { what: what.into(), reference: reference.into(), subject: subject.into() }
    }
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: reference {}, subject {}", self.what, self.reference, self.subject)
    }
}

/// Compare what changes with every instruction: counts, registers, floating point, pins.
pub fn registers(a: &mut Machine, b: &mut Machine) -> Vec<Difference> {
    let counts = |m: &Machine| (m.cpu.insns(), m.cpu.idle_ticks());
    let same = counts(a) == counts(b)
        && a.cpu.regs == b.cpu.regs
        && a.cpu.fpu == b.cpu.fpu
        && a.cpu.simd == b.cpu.simd
        && pins(a) == pins(b);
    if same { Vec::new() } else { describe_registers(a, b) }
}

/// Compare everything: registers, TLB, devices, and the pages of memory written since the last time.
pub fn everything(a: &mut Machine, b: &mut Machine) -> Vec<Difference> {
    let mut differences = memory(a, b);
    if a.walk() != b.walk() {
        differences.extend(describe_registers(a, b));
        differences.extend(describe_tlb(a, b));
        let devices = |m: &Machine| m.chipset().devices.clone();
        describe(&mut differences, "devices", &devices(a), &devices(b));
    }
    differences
}

/// The pins, without what follows from elsewhere.
fn pins(machine: &Machine) -> Lines {
    Lines { deadline: 0, ..machine.cpu.lines.clone() }
}

fn memory(a: &mut Machine, b: &mut Machine) -> Vec<Difference> {
    let mut pages = a.cpu.take_dirty_pages(DIRTY_FOR_CHECK);
    pages.extend(b.cpu.take_dirty_pages(DIRTY_FOR_CHECK));
    pages.sort_unstable();
    pages.dedup();
    let mut differences = Vec::new();
    for page in pages {
        let (Some(x), Some(y)) = (a.cpu.mem.page(page as usize), b.cpu.mem.page(page as usize)) else {
            continue;
        };
        if x == y {
            continue;
        }
        for (n, (x, y)) in x.iter().zip(y).enumerate().filter(|(_, (x, y))| x != y) {
            let what = format!("memory at {:#x}", u64::from(page) * 4096 + n as u64);
            differences.push(Difference::new(what, format!("{x:02x}"), format!("{y:02x}")));
            if differences.len() >= MOST_BYTES {
                return differences;
            }
        }
    }
    differences
}

fn describe<T: Debug + PartialEq>(list: &mut Vec<Difference>, what: impl Into<String>, a: &T, b: &T) {
    if a != b {
        let (a, b) = (format!("{a:x?}"), format!("{b:x?}"));
        let (a, b) = apart(&a, &b);
        list.push(Difference::new(what, a, b));
    }
}

/// The parts of two long texts that differ, and a little before.
fn apart<'t>(a: &'t str, b: &'t str) -> (&'t str, &'t str) {
    const CONTEXT: usize = 40;
    const MOST: usize = 160;
    if a.len() <= MOST && b.len() <= MOST || !a.is_ascii() || !b.is_ascii() {
        return (a, b);
    }
    let same = a.bytes().zip(b.bytes()).take_while(|(x, y)| x == y).count().saturating_sub(CONTEXT);
    let cut = |text: &'t str| &text[same.min(text.len())..(same + MOST).min(text.len())];
    (cut(a), cut(b))
}

fn describe_registers(a: &Machine, b: &Machine) -> Vec<Difference> {
    const GPR: [&str; 8] = ["EAX", "ECX", "EDX", "EBX", "ESP", "EBP", "ESI", "EDI"];
    const SEG: [&str; 6] = ["ES", "CS", "SS", "DS", "FS", "GS"];
    let mut list = Vec::new();
    describe(&mut list, "instructions", &a.cpu.insns(), &b.cpu.insns());
    describe(&mut list, "idle ticks", &a.cpu.idle_ticks(), &b.cpu.idle_ticks());
    let (mut x, mut y) = (a.cpu.regs.clone(), b.cpu.regs.clone());
    for (n, name) in GPR.into_iter().enumerate() {
        describe(&mut list, name, &x.gpr[n], &y.gpr[n]);
    }
    describe(&mut list, "EIP", &x.eip, &y.eip);
    describe(&mut list, "EFLAGS", &x.flags.get(), &y.flags.get());
    for (n, name) in SEG.into_iter().enumerate() {
        describe(&mut list, name, &x.seg[n], &y.seg[n]);
    }
    let control = |r: &cpu::regs::Registers| [r.cr0, r.cr2, r.cr3, r.cr4, r.dr6, r.dr7];
    describe(&mut list, "CR0 CR2 CR3 CR4 DR6 DR7", &control(&x), &control(&y));
    // The rest, without what was told already.
    for r in [&mut x, &mut y] {
        (r.gpr, r.eip) = Default::default();
        r.seg = [cpu::seg::Segment::real(0, 0); 6];
        r.flags.set(0);
        (r.cr0, r.cr2, r.cr3, r.cr4, r.dr6, r.dr7) = Default::default();
    }
    describe(&mut list, "other registers", &x, &y);
    describe(&mut list, "x87", &a.cpu.fpu, &b.cpu.fpu);
    describe(&mut list, "SSE", &a.cpu.simd, &b.cpu.simd);
    describe(&mut list, "pins", &pins(a), &pins(b));
    list
}

fn describe_tlb(a: &Machine, b: &Machine) -> Vec<Difference> {
    let (x, y) = (a.cpu.tlb.entries(), b.cpu.tlb.entries());
    let mut list = Vec::new();
    let only = |one: &[(u32, cpu::mmu::TlbEntry)], other: &[(u32, cpu::mmu::TlbEntry)]| {
        one.iter().find(|entry| !other.contains(entry)).copied()
    };
    describe(&mut list, "TLB entry (page, entry)", &only(&x, &y), &only(&y, &x));
    list
}
