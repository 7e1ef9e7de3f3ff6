//! Holding a final state against the expectation, under the vector's masks.

use super::format::{Env, FIELDS, State, Vector, field};
use super::load::Rig;
use cpu::Cpu;
use cpu::mem::PAGE_SIZE;

/// Differing bytes of RAM told at most.
const MAX_BYTES: usize = 24;

/// Every difference, one line each: field, expected, got.
pub fn differences(env: &Env, vector: &Vector, rig: &mut Rig) -> Vec<String> {
    let (cpu, changed) = rig.result();
    let mut out = Vec::new();
    let mut expected = env.state.clone();
    vector.initial.apply(&mut expected);
    vector.expected.apply(&mut expected);
    let mut ignore = [0u32; FIELDS];
    for &(n, bits) in &vector.mask.fields {
        ignore[n as usize] |= bits;
    }
    let got = fields(cpu);
    for (n, name) in field::NAMES.iter().enumerate() {
        let value = got[n];
        let want = expected.fields[n];
        if (want ^ value) & !ignore[n] != 0 {
            out.push(format!("{name}: expected {want:08x}, got {value:08x}, ignoring {:08x}", ignore[n]));
        }
    }
    for &(n, want) in &vector.expected.fields {
        let n = n as usize;
        let (kind, value) = match n {
            field::SEG_BASE..field::SEG_LIMIT => ("base", hidden(cpu, n - field::SEG_BASE).base),
            field::SEG_LIMIT..56 => ("limit", hidden(cpu, n - field::SEG_LIMIT).limit),
            _ => continue,
        };
        if value != want {
            let name = field::NAMES[field::ES + (n & 7)];
            out.push(format!("{name} {kind}: expected {want:08x}, got {value:08x}"));
        }
    }
    compare_vectors(&expected, vector, cpu, &mut out);
    compare_ram(env, vector, cpu, changed, &mut out);
    out
}

fn hidden(cpu: &Cpu, n: usize) -> cpu::seg::Segment {
    match n {
        6 => cpu.regs.ldtr,
        7 => cpu.regs.tr,
        n => cpu.regs.seg[n % 6],
    }
}

/// The processor's state by field number.
fn fields(cpu: &Cpu) -> [u32; 37] {
    let r = &cpu.regs;
    let mut f = [0; 37];
    f[..8].copy_from_slice(&r.gpr);
    f[field::EIP] = r.eip;
    f[field::EFLAGS] = r.flags.get();
    for n in 0..8 {
        f[field::ES + n] = hidden(cpu, n).selector as u32;
    }
    f[field::CR0] = r.cr0;
    f[field::CR2] = r.cr2;
    f[field::CR3] = r.cr3;
    f[field::CR4] = r.cr4;
    f[field::EFER] = r.msr.efer;
    f[field::GDT_BASE] = r.gdtr.base;
    f[field::GDT_LIMIT] = r.gdtr.limit as u32;
    f[field::IDT_BASE] = r.idtr.base;
    f[field::IDT_LIMIT] = r.idtr.limit as u32;
    f[field::DR0..field::DR0 + 4].copy_from_slice(&r.dr);
    f[field::DR6] = r.dr6;
    f[field::DR7] = r.dr7;
    f[field::MXCSR] = cpu.simd.mxcsr;
    f[field::FCW] = cpu.fpu.control as u32;
    f[field::FSW] = cpu.fpu.status as u32;
    f[field::FTW] = cpu.fpu.in_use as u32;
    f
}

/// ST(0)-ST(7) and XMM0-XMM7.
fn compare_vectors(expected: &State, vector: &Vector, cpu: &Cpu, out: &mut Vec<String>) {
    let mut note = |name: &str, i: usize, ignored: u8, want: u128, got: u128| {
        if ignored >> i & 1 == 0 && want != got {
            out.push(format!("{name}{i}: expected {want:x}, got {got:x}"));
        }
    };
    for i in 0..8 {
        let st = cpu.fpu.regs[cpu.fpu.st(i)];
        let want = expected.st[i].iter().rev().fold(0, |value, byte| value << 8 | *byte as u128);
        let got = (st.sign_exponent as u128) << 64 | st.significand as u128;
        note("st", i, vector.mask.st, want, got);
        note("xmm", i, vector.mask.xmm, u128::from_le_bytes(expected.xmm[i]), cpu.simd.xmm[i]);
    }
}

/// RAM outside `changed` pages is the environment's; patches outside them are looked at too.
fn compare_ram(env: &Env, vector: &Vector, cpu: &Cpu, changed: &[u32], out: &mut Vec<String>) {
    let mut pages: Vec<usize> = changed.iter().map(|&page| page as usize).collect();
    for (at, bytes) in &vector.expected.ram {
        let at = *at as usize;
        pages.extend(at / PAGE_SIZE..(at + bytes.len()).div_ceil(PAGE_SIZE));
    }
    pages.sort_unstable();
    pages.dedup();
    let mut differing = 0;
    for page in pages {
        let base = page * PAGE_SIZE;
        let Some(got) = cpu.mem.slice(base as u64, PAGE_SIZE) else { continue };
        let mut want = [0u8; PAGE_SIZE];
        want.copy_from_slice(&env.ram[base..base + PAGE_SIZE]);
        let patches = vector.initial.ram.iter().chain(&vector.expected.ram);
        for (at, bytes) in patches {
            overlay(&mut want, base, *at as usize, bytes, |slot, byte| *slot = byte);
        }
        if want == *got {
            continue;
        }
        let mut ignore = [0u8; PAGE_SIZE];
        for (at, bytes) in &vector.mask.ram {
            overlay(&mut ignore, base, *at as usize, bytes, |slot, byte| *slot |= byte);
        }
        for n in 0..PAGE_SIZE {
            if (want[n] ^ got[n]) & !ignore[n] != 0 {
                differing += 1;
                if differing <= MAX_BYTES {
                    out.push(format!("ram[{:05x}]: expected {:02x}, got {:02x}", base + n, want[n], got[n]));
                }
            }
        }
    }
}

/// Apply the part of `bytes` at `at` that lies in the page at `base`.
fn overlay(page: &mut [u8; PAGE_SIZE], base: usize, at: usize, bytes: &[u8], f: impl Fn(&mut u8, u8)) {
    if at >= base + PAGE_SIZE || at + bytes.len() <= base {
        return;
    }
    for (n, &byte) in bytes.iter().enumerate() {
        if let Some(slot) = (at + n).checked_sub(base).and_then(|i| page.get_mut(i)) {
            f(slot, byte);
        }
    }
}
