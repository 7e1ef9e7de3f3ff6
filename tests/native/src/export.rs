//! Vectors (format X86VEC 1) of cases on which host and model agree.
//!
//! What goes into the file is the model's state after the exception that ended the program was delivered to ring 0. All
//! of it that the program could see was compared with the host before.

use crate::case::{Case, State};
use crate::layout::{FLAT_CODE, FLAT_DATA, PAGE};
use crate::model::{CR0, CR4, GDT, IDT, LDT_SELECTOR, Model, POINTERS, RAM, TSS_SELECTOR};
use cpu::regs::EFER_NXE;

const EFLAGS: u8 = 9;
const FSW: u8 = 35;

/// A file in the making.
pub struct Export {
    image: Vec<u8>,
    vectors: Vec<Vec<u8>>,
}

impl Export {
    /// An empty file whose environment is `image`.
    pub fn new(image: &[u8]) -> Export {
        Export { image: image.to_vec(), vectors: Vec::new() }
    }

    /// Add `case`, which `model` has just run and which ended with exception `vector`.
    pub fn add(&mut self, case: &Case, at: usize, model: &Model, vector: u8, error: u32) {
        let start = fields(&case.start);
        let mut out = (self.vectors.len() as u32).to_le_bytes().to_vec();
        let small = case.start.seg[1] & 4 != 0 && case.insns[0].code_size() == iced_x86::CodeSize::Code16;
        out.extend([1, 0, (case.code.len() - 2) as u8 | (small as u8) << 7, vector]);
        out.extend(error.to_le_bytes());
        out.extend([0, 0]);
        let base = fields(&base());
        let patch = [((crate::model::PAGES as usize + at) as u32, case.code[..case.code.len() - 1].to_vec())];
        let zero = ([[0; 10]; 8], [[0; 16]; 8]);
        delta(&mut out, (&base, &start), (&zero.0, &case.start.st), (&zero.1, &case.start.xmm), &patch);
        let (end, st, xmm) = final_state(model);
        let mut before = self.image.clone();
        before[patch[0].0 as usize..][..patch[0].1.len()].copy_from_slice(&patch[0].1);
        let changes = changes(&before, model.ram());
        delta(&mut out, (&start, &end), (&case.start.st, &st), (&case.start.xmm, &xmm), &changes);
        let status = case.undefined_status as u32;
        let masks: Vec<(u8, u32)> =
            [(EFLAGS, case.undefined), (FSW, status)].into_iter().filter(|(_, bits)| *bits != 0).collect();
        out.push(masks.len() as u8);
        for (field, bits) in masks {
            out.push(field);
            out.extend(bits.to_le_bytes());
        }
        // The pushed image of EFLAGS.
        let error_pushed = matches!(vector, 8 | 10..=14 | 17);
        let pushed = end[4] + if error_pushed { 12 } else { 8 };
        out.push(1);
        out.extend(pushed.to_le_bytes());
        out.push(4);
        out.extend((case.undefined | if vector == 1 { 0x1_0000 } else { 0 }).to_le_bytes());
        out.extend([0, 0]);
        self.vectors.push(out);
    }

    /// The whole file.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = b"X86VEC1\0".to_vec();
        for word in [1, RAM as u32, self.vectors.len() as u32] {
            out.extend(word.to_le_bytes());
        }
        let mut name = b"native".to_vec();
        name.resize(32, 0);
        out.extend(name);
        fields(&base()).iter().for_each(|field| out.extend(field.to_le_bytes()));
        out.extend([0; 8 * 10 + 8 * 16]);
        let pages: Vec<_> =
            self.image.chunks(PAGE).enumerate().filter(|(_, p)| p.iter().any(|b| *b != 0)).collect();
        out.extend((pages.len() as u32).to_le_bytes());
        for (number, page) in pages {
            out.extend((number as u32).to_le_bytes());
            out.extend(page);
        }
        for vector in &self.vectors {
            out.extend((vector.len() as u32).to_le_bytes());
            out.extend(vector);
        }
        out
    }
}

/// The state that vectors are differences from.
fn base() -> State {
    State {
        gpr: [0; 8],
        eip: 0,
        eflags: 0x202,
        seg: [FLAT_DATA, FLAT_CODE, FLAT_DATA, FLAT_DATA, FLAT_DATA, FLAT_DATA],
        fcw: 0x37F,
        fsw: 0,
        ftw: 0xFF,
        mxcsr: 0x1F80,
        st: [[0; 10]; 8],
        xmm: [[0; 16]; 8],
    }
}

fn fields(state: &State) -> [u32; 64] {
    let mut f = [0; 64];
    f[..8].copy_from_slice(&state.gpr);
    (f[8], f[9]) = (state.eip, state.eflags);
    for (n, selector) in state.seg.iter().enumerate() {
        f[10 + n] = *selector as u32;
    }
    (f[16], f[17]) = (LDT_SELECTOR as u32, TSS_SELECTOR as u32);
    (f[18], f[20], f[21], f[22]) = (CR0, POINTERS, CR4, EFER_NXE);
    (f[23], f[24], f[25], f[26]) = (GDT, 127, IDT, 0x7FF);
    (f[31], f[32]) = (0xFFFF_0FF0, 0x400);
    (f[33], f[34], f[35], f[36]) = (state.mxcsr, state.fcw as u32, state.fsw as u32, state.ftw as u32);
    f
}

/// The model's state after the delivery.
fn final_state(model: &Model) -> ([u32; 64], [[u8; 10]; 8], [[u8; 16]; 8]) {
    let cpu = model.cpu();
    let r = &cpu.regs;
    let mut st = [[0; 10]; 8];
    for (i, value) in st.iter_mut().enumerate() {
        let register = cpu.fpu.regs[cpu.fpu.st(i)];
        value[..8].copy_from_slice(&register.significand.to_le_bytes());
        value[8..].copy_from_slice(&register.sign_exponent.to_le_bytes());
    }
    let state = State {
        gpr: r.gpr,
        eip: r.eip,
        eflags: r.flags.get(),
        seg: r.seg.map(|s| s.selector),
        fcw: cpu.fpu.control,
        fsw: cpu.fpu.status,
        ftw: cpu.fpu.in_use,
        mxcsr: cpu.simd.mxcsr,
        st,
        xmm: cpu.simd.xmm.map(u128::to_le_bytes),
    };
    let mut f = fields(&state);
    (f[19], f[31]) = (r.cr2, r.dr6);
    (f, state.st, state.xmm)
}

/// Runs of bytes in which `after` differs from `before`.
fn changes(before: &[u8], after: &[u8]) -> Vec<(u32, Vec<u8>)> {
    let mut runs: Vec<(u32, Vec<u8>)> = Vec::new();
    for (at, (a, b)) in before.iter().zip(after).enumerate() {
        if a == b {
            continue;
        }
        match runs.last_mut() {
            Some((start, bytes)) if *start as usize + bytes.len() == at => bytes.push(*b),
            _ => runs.push((at as u32, vec![*b])),
        }
    }
    runs
}

fn delta(
    out: &mut Vec<u8>,
    (from, to): (&[u32; 64], &[u32; 64]),
    (st_from, st_to): (&[[u8; 10]; 8], &[[u8; 10]; 8]),
    (xmm_from, xmm_to): (&[[u8; 16]; 8], &[[u8; 16]; 8]),
    ram: &[(u32, Vec<u8>)],
) {
    let changed: Vec<usize> = (0..64).filter(|&n| from[n] != to[n]).collect();
    out.extend(changed.iter().fold(0u64, |map, n| map | 1 << n).to_le_bytes());
    changed.iter().for_each(|&n| out.extend(to[n].to_le_bytes()));
    let st: Vec<usize> = (0..8).filter(|&n| st_from[n] != st_to[n]).collect();
    let xmm: Vec<usize> = (0..8).filter(|&n| xmm_from[n] != xmm_to[n]).collect();
    out.push(st.iter().fold(0, |map, n| map | 1 << n));
    out.push(xmm.iter().fold(0, |map, n| map | 1 << n));
    st.iter().for_each(|&n| out.extend(st_to[n]));
    xmm.iter().for_each(|&n| out.extend(xmm_to[n]));
    out.extend((ram.len() as u16).to_le_bytes());
    for (at, bytes) in ram {
        out.extend(at.to_le_bytes());
        out.extend((bytes.len() as u16).to_le_bytes());
        out.extend(bytes);
    }
}
