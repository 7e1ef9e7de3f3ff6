//! The engines against each other: the same program in two processors, one interpreted, one compiled, stopped at the
//! same counts, compared in everything.

use super::quick_tests;
use crate::bus::{Bus, BusContext, EmptyBus, Width};
use crate::fpu::{oracle::random, status};
use crate::mem::{PhysMem, Ram};
use crate::regs::{TableRegister, cr0};
use crate::seg::{SegReg, Segment};
use crate::testing::{CODE, IDT, STACK, code_of, data_of, handler, in_ring, set_descriptor, set_gate};
use crate::{Cpu, EmitFault, Engine, Exit};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::any::Any;

const DIRECTORY: u32 = 0x20000;
const TABLE: u32 = 0x21000;

/// Compiled, for every block from its first visit on.
pub(super) fn compiled(mut cpu: Cpu) -> Cpu {
    cpu.set_engine(Engine::Jit).expect("this host has a compiled engine");
    cpu.compile_after(1);
    cpu
}

/// What is not equal.
pub(super) fn difference(a: &mut Cpu, b: &mut Cpu) -> Option<String> {
    if a.regs != b.regs {
        return Some(format!("registers {:x?} against {:x?}", a.regs, b.regs));
    }
    if (a.insns(), a.vtime()) != (b.insns(), b.vtime()) {
        return Some(format!("counts {} against {}", a.insns(), b.insns()));
    }
    if a.tlb.entries() != b.tlb.entries() {
        return Some("TLB".into());
    }
    if a.simd != b.simd {
        return Some(format!("SIMD {:x?} against {:x?}", a.simd, b.simd));
    }
    if a.fpu != b.fpu {
        return Some(format!("x87 {:x?} against {:x?}", a.fpu, b.fpu));
    }
    let size = a.mem.ram_size() as usize;
    let (x, y) = (a.mem.slice(0, size)?, b.mem.slice(0, size)?);
    if x != y {
        return Some(format!("memory at {:x?}", (0..size).find(|&n| x[n] != y[n])));
    }
    (a.counters.exceptions != b.counters.exceptions).then(|| "exceptions".into())
}

/// Run both to each of `stops`; the first difference, or the compiled processor.
pub(super) fn divergence(
    make: impl Fn() -> Cpu,
    fault: Option<EmitFault>,
    stops: impl IntoIterator<Item = u64>,
) -> Result<Cpu, String> {
    divergence_with(|cpu| cpu.set_emit_fault(fault), make, stops)
}

/// The same, `prepare` being done to the compiled processor first.
fn divergence_with(
    prepare: impl Fn(&mut Cpu),
    make: impl Fn() -> Cpu,
    stops: impl IntoIterator<Item = u64>,
) -> Result<Cpu, String> {
    let (mut a, mut b) = (make(), compiled(make()));
    prepare(&mut b);
    for stop in stops {
        let (x, y) = (a.run(stop), b.run(stop));
        if x != y {
            return Err(format!("at {stop}: exit {x:?} against {y:?}"));
        }
        if let Some(what) = difference(&mut a, &mut b) {
            return Err(format!("at {stop}: {what}"));
        }
        if x == Exit::Halted {
            break;
        }
    }
    Ok(b)
}

/// Run both to each of `stops` and compare.
pub(super) fn lockstep(make: impl Fn() -> Cpu, stops: impl IntoIterator<Item = u64>) -> Cpu {
    divergence(make, None, stops).unwrap_or_else(|what| panic!("{what}"))
}

/// Turn on paging: everything mapped for everybody but a few pages of other kinds.
fn paged(mut cpu: Cpu) -> Cpu {
    cpu.phys_write(DIRECTORY as u64, TABLE | 7);
    for page in 0..64u32 {
        let flags = match page {
            0x28 => 5, // read-only
            0x29 => 3, // supervisor
            0x2A => 0, // absent
            _ => 7,
        };
        cpu.phys_write((TABLE + 4 * page) as u64, page << 12 | flags);
    }
    cpu.regs.cr3 = DIRECTORY;
    cpu.regs.cr0 |= cr0::PG | cr0::WP;
    cpu.state_changed();
    cpu
}

/// Let some pages of data be in other places than the rest.
fn scatter(cpu: &mut Cpu) {
    for (page, frame) in [(6, 0x2D), (0x27, 0x2C), (0x29, 0x2B), (0x30, 0x31)] {
        let entry = (TABLE + 4 * page) as u64;
        let flags = cpu.phys_read::<u32>(entry) & 0xFFF;
        cpu.phys_write(entry, frame << 12 | flags);
    }
    cpu.tlb.flush(true);
}

/// Turn it off again.
fn unpage(cpu: &mut Cpu) {
    cpu.regs.cr0 &= !cr0::PG;
    cpu.tlb.flush(true);
    cpu.state_changed();
}

/// A handler that skips nothing but counts: every vector ends in HLT, so a fault ends the program.
pub(super) fn machine(ring: u8, code: &[u8], gpr: [u32; 8], limit: Option<u32>) -> Cpu {
    let mut cpu = in_ring(ring, code);
    cpu.regs.gpr = gpr;
    cpu.regs.cr4 |= crate::regs::cr4::OSFXSR;
    if let Some(limit) = limit {
        for seg in [SegReg::Ds, SegReg::Es, SegReg::Ss] {
            let s = cpu.regs.seg[seg as usize];
            cpu.regs.seg[seg as usize] = Segment::new(s.selector, 0, limit, s.attr & !0x80_0000);
        }
    }
    cpu.state_changed();
    paged(cpu)
}

/// Bytes of instructions that mostly stay in line: ALU rows, shifts, moves, memory near 0x27F00-0x2A100, short
/// branches, stack.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let modrm_reg = (0..8u8, 0..8u8).prop_map(|(a, b)| 0xC0 | a << 3 | b);
    // [esi + disp8], [ebx + edi*4 + disp8], [disp32]
    let memory = (0..8u8, any::<i8>(), 0..3u8, 0x27F00..0x2A100u32).prop_map(|(r, d, kind, at)| match kind {
        0 => vec![0x46 | r << 3, d as u8],
        1 => vec![0x44 | r << 3, 0xBB, d as u8],
        _ => [&[0x05 | r << 3][..], &at.to_le_bytes()].concat(),
    });
    let operand = prop_oneof![2 => modrm_reg.prop_map(|b| vec![b]), 1 => memory.clone()];
    let op = |bytes: &'static [u8]| (Just(bytes), operand.clone()).prop_map(|(o, m)| [o, &m[..]].concat());
    prop_oneof![
        6 => (0..8u8, 0..4u8, operand.clone()).prop_map(|(row, form, m)| [&[row * 8 + form][..], &m].concat()),
        3 => (0..8u8, operand.clone(), any::<u32>()).prop_map(|(_, m, imm)| [&[0x81][..], &m, &imm.to_le_bytes()].concat()),
        3 => (operand.clone(), any::<u8>(), prop_oneof![Just(0x80u8), Just(0x83)])
            .prop_map(|(m, imm, o)| [&[o][..], &m, &[imm]].concat()),
        2 => (0..8u8, operand.clone()).prop_map(|(row, m)| [&[0x66, row * 8 + 1][..], &m].concat()),
        2 => (operand.clone(), 0..4u8).prop_map(|(m, o)| [&[0x88 + o][..], &m].concat()),
        2 => (operand.clone(), prop_oneof![Just(0xB6u8), Just(0xB7), Just(0xBE), Just(0xBF), Just(0xAF), Just(0xA3), Just(0xAB), Just(0xBC), Just(0xBD)])
            .prop_map(|(m, o)| [&[0x0F, o][..], &m].concat()),
        2 => (operand.clone(), 0..16u8, any::<bool>()).prop_map(|(m, cc, set)| {
            [&[0x0F, if set { 0x90 } else { 0x40 } | cc][..], &m].concat()
        }),
        3 => (operand.clone(), any::<u8>(), prop_oneof![Just(0xC0u8), Just(0xC1)])
            .prop_map(|(m, n, o)| [&[o][..], &m, &[n]].concat()),
        2 => (operand.clone(), 0..4u8).prop_map(|(m, o)| [&[0xD0 + o][..], &m].concat()),
        1 => (operand.clone(), any::<u8>(), prop_oneof![Just(0xA4u8), Just(0xAC)])
            .prop_map(|(m, n, o)| [&[0x0F, o][..], &m, &[n]].concat()),
        1 => op(&[0x0F, 0xA5]),
        1 => op(&[0x0F, 0xAD]),
        1 => op(&[0x87]),
        1 => op(&[0x85]),
        1 => op(&[0x84]),
        1 => op(&[0xF7]).prop_map(|mut b| { if b[1] >> 3 & 7 < 2 { b.extend([1, 2, 3, 4]) }; b }),
        1 => op(&[0xF6]).prop_map(|mut b| { if b[1] >> 3 & 7 < 2 { b.push(0x5A) }; b }),
        1 => op(&[0xFE]).prop_map(|mut b| { b[1] &= !0x30; b }),
        1 => op(&[0xFF]).prop_map(|mut b| { if b[1] >> 3 & 7 != 6 { b[1] &= !0x30 }; b }),
        1 => (memory.clone()).prop_map(|m| [&[0x8D][..], &m].concat()),
        2 => (0x40..0x60u8).prop_map(|b| vec![b]),
        1 => (0..8u8, any::<u32>()).prop_map(|(r, v)| [&[0xB8 | r][..], &v.to_le_bytes()].concat()),
        1 => (any::<u8>(), any::<u8>()).prop_map(|(r, v)| vec![0xB0 | r & 7, v]),
        1 => prop_oneof![
            Just(vec![0x99]), Just(vec![0x98]), Just(vec![0x66, 0x98]), Just(vec![0xF8]), Just(vec![0xF9]), Just(vec![0xF5]),
            Just(vec![0x9F]), Just(vec![0x9E]), Just(vec![0x9C, 0x58]), Just(vec![0xC9]), Just(vec![0x90]), Just(vec![0x27]),
            Just(vec![0x0F, 0xC8]), Just(vec![0x0F, 0xC9]), Just(vec![0xF3, 0xA5]), Just(vec![0xFC]), Just(vec![0xFD]),
            Just(vec![0x8E, 0xD8]), Just(vec![0x1E, 0x1F]), Just(vec![0x0F, 0xA2]), Just(vec![0x0F, 0x31]), Just(vec![0x0F, 0x20, 0xD1]), Just(vec![0x0F, 0x20, 0xC6]),
        ],
        2 => (0..10usize, any::<bool>()).prop_map(|(n, word)| {
            let code = [0xA4u8, 0xA5, 0xA6, 0xA7, 0xAA, 0xAB, 0xAC, 0xAD, 0xAE, 0xAF][n];
            if word { vec![0x66, code] } else { vec![code] }
        }),
        2 => (operand.clone(), prop_oneof![Just(0xFEu8), Just(0xEF), Just(0xDB), Just(0x62), Just(0xF4), Just(0x58), Just(0x59), Just(0x5E), Just(0x2F)])
            .prop_map(|(m, o)| [&[0x66, 0x0F, o][..], &m].concat()),
        1 => (operand.clone(), prop_oneof![Just(0x58u8), Just(0x59), Just(0x51), Just(0x10), Just(0x11), Just(0x2A), Just(0x2C)])
            .prop_map(|(m, o)| [&[0xF2, 0x0F, o][..], &m].concat()),
        1 => (operand.clone(), prop_oneof![Just(0x10u8), Just(0x11), Just(0x28), Just(0x29), Just(0x54), Just(0x57)])
            .prop_map(|(m, o)| [&[0x0F, o][..], &m].concat()),
        4 => (operand.clone(), 0xD8..0xE0u8).prop_map(|(m, o)| [&[o][..], &m].concat()),
        2 => x87(),
        3 => (0x70..0x80u8, 0..20u8).prop_map(|(o, d)| vec![o, d]),
        1 => (0..10u8).prop_map(|d| vec![0xE8, d, 0, 0, 0]),
        1 => (0..10u8).prop_map(|d| vec![0xEB, d]),
    ]
}

/// Mostly loads, so that the stack is not always empty; control words; FNSTSW AX, SAHF; FNINIT.
pub(super) fn x87() -> impl Strategy<Value = Vec<u8>> {
    let of_memory = [[0xD9u8, 0x05], [0xDD, 0x05], [0xDB, 0x05], [0xDB, 0x2D], [0xD9, 0x3D], [0xD9, 0x2D]];
    let load = (0x27F00..0x2A100u32, prop::sample::select(of_memory.to_vec()));
    // push imm32; fldcw [esp]; pop eax
    let control = |a: u8, b: u8| vec![0x68, a | 0x3F, b & 0x1F, 0, 0, 0xD9, 0x2C, 0x24, 0x58];
    prop_oneof![
        4 => load.prop_map(|(at, o)| [&o[..], &at.to_le_bytes()].concat()),
        4 => (0xE8..0xEFu8).prop_map(|b| vec![0xD9, b]),
        2 => (0xC0..0xC8u8).prop_map(|b| vec![0xD9, b]),
        1 => Just(vec![0xDF, 0xE0, 0x9E]),
        1 => (any::<u8>(), any::<u8>()).prop_map(move |(a, b)| control(a, b)),
        1 => Just(vec![0xDB, 0xE3]),
    ]
}

/// Registers of all classes and the same in memory; a quarter of all cases begins with exceptions unmasked.
pub(super) fn with_x87(cpu: &mut Cpu, gpr: &[u32; 8]) {
    let mut seed = u64::from(gpr[0]) << 32 | u64::from(gpr[1]) | 1;
    let masks = if gpr[1] & 3 != 0 { status::FLAGS } else { 0 };
    cpu.fpu.initialize();
    cpu.fpu.set_control(gpr[2] as u16 | masks);
    cpu.fpu.set_top(gpr[3] as usize >> 8);
    cpu.fpu.in_use = gpr[5] as u8;
    cpu.fpu.regs = std::array::from_fn(|_| random(&mut seed));
    for n in 0..0x2200 / 16 {
        cpu.phys_write(0x27F00 + 16 * n, random(&mut seed).significand);
    }
}

/// A random program, and where it is stopped.
#[derive(Clone, Debug)]
struct Case {
    code: Vec<u8>,
    ring: u8,
    gpr: [u32; 8],
    flags: u32,
    limit: Option<u32>,
    /// ES has no limit: the others have to be checked against theirs at each access.
    es_flat: bool,
    paging: bool,
    scattered: bool,
    /// The host leaves no undefined flag as the interpreter does.
    strange_host: bool,
    step: u64,
}

impl Case {
    fn any() -> impl Strategy<Value = Case> {
        // What comes first moves the rest to the end of a block, where nothing branches.
        let first = prop_oneof![3 => Just(0), 1 => 30..48usize];
        let code = (first, prop::collection::vec(instruction(), 1..60))
            .prop_map(|(first, code)| [vec![vec![0x40]; first], code].concat());
        let ring = prop_oneof![Just(0u8), Just(3u8)];
        let limit = prop_oneof![2 => Just(None), 1 => (0x27000..0x2A000u32).prop_map(Some)];
        let paging = prop_oneof![Just((true, false)), Just((true, true)), Just((false, false))];
        let strange_host = prop_oneof![3 => Just(false), 1 => Just(true)];
        let host = (paging, strange_host);
        (code, ring, any::<[u32; 8]>(), any::<u32>(), (limit, any::<bool>()), host, 1..40u64).prop_map(
            |(code, ring, gpr, flags, (limit, es_flat), ((paging, scattered), strange_host), step)| {
                let mut code = code.concat();
                // Once more from the start: linked, and with the TLB full.
                let back = (code.len() as u32 + 5).wrapping_neg();
                code.push(0xE9);
                code.extend(back.to_le_bytes());
                Case { code, ring, gpr, flags, limit, es_flat, paging, scattered, strange_host, step }
            },
        )
    }

    fn run(&self, fault: Option<EmitFault>) -> Result<Cpu, String> {
        let make = || {
            let mut gpr = self.gpr;
            gpr[4] = STACK - (gpr[4] & 0x1FFC);
            gpr[6] = 0x27F00 + (gpr[6] & 0x21FF);
            gpr[3] = 0x27F00 + (gpr[3] & 0x21FF);
            gpr[7] &= 0x3F;
            let mut cpu = machine(self.ring, &self.code, gpr, self.limit);
            cpu.regs.flags.set(self.flags & crate::flags::ARITH);
            if self.es_flat {
                let es = cpu.regs.seg[SegReg::Es as usize];
                cpu.regs.seg[SegReg::Es as usize] = Segment::new(es.selector, 0, u32::MAX, es.attr);
                cpu.state_changed();
            }
            if self.scattered {
                scatter(&mut cpu);
            }
            if !self.paging {
                unpage(&mut cpu);
            }
            for n in 0..8u32 {
                let lane = |k: usize| (self.gpr[(n as usize + k) % 8] as u128) << (32 * k);
                cpu.simd.xmm[n as usize] = lane(0) | lane(1) | lane(2) | lane(3);
            }
            with_x87(&mut cpu, &self.gpr);
            cpu
        };
        let prepare = |cpu: &mut Cpu| {
            cpu.set_emit_fault(fault);
            if self.strange_host
                && let Some(jit) = &mut cpu.jit
            {
                jit.expect_nothing_of_the_host();
            }
        };
        divergence_with(prepare, make, (1..).map(|n| n * self.step).take_while(|&n| n < 400))
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 3000, ..ProptestConfig::default() })]

    /// Whatever the code, wherever it is stopped; and there is code for every block.
    #[test]
    fn engines_agree_on_random_code(case in Case::any()) {
        let untranslated = case.run(None).map(|cpu| cpu.jit_stats().map(|stats| stats.untranslated));
        prop_assert_eq!(untranslated, Ok(Some(0)));
    }
}

/// Each deliberate miscompilation is seen, by a directed program or by a random one.
#[test]
fn every_fault_is_seen() {
    let mut runner = TestRunner::deterministic();
    let cases: Vec<Case> =
        (0..400).map(|_| Case::any().new_tree(&mut runner).expect("a case").current()).collect();
    let quirks = super::backend::Quirks::probe();
    let mut unseen = Vec::new();
    for &(name, fault) in EmitFault::ALL {
        let fault = Some(fault);
        let directed: [fn() -> Cpu; 31] = [
            product,
            pushed,
            divided,
            repeated,
            pages,
            remapped,
            modified,
            reloaded,
            arguments,
            based,
            limited,
            ceilings,
            split,
            framed,
            halves,
            waiting,
            strings,
            onward,
            scattered,
            elsewhere,
            written_later,
            conditions,
            floating,
            rounded,
            regrouped,
            sections,
            quick_tests::rings,
            quick_tests::tables,
            quick_tests::awaited,
            quick_tests::calls,
            quick_tests::held_off,
        ];
        let directed = directed.iter().map(|make| divergence(make, fault, (1..400).step_by(37)));
        let seen = directed.into_iter().any(|result| result.is_err())
            || cases.iter().any(|case| case.run(fault).is_err());
        // On some hosts there is nothing to put right.
        let harmless = match fault {
            Some(EmitFault::ShiftAfKept) => quirks.shifts_clear_af,
            Some(EmitFault::ProductFlagsKept) => quirks.products,
            _ => false,
        };
        if seen == harmless {
            unseen.push(name);
        }
    }
    assert_eq!(unseen, [""; 0]);
}

/// xor edx, edx; div ecx; sbb esi, esi; mov eax, 1000; jmp back
fn divided() -> Cpu {
    let code = [0x31, 0xD2, 0xF7, 0xF1, 0x19, 0xF6, 0xB8, 0xE8, 3, 0, 0, 0xEB, 0xF3];
    machine(3, &code, [7; 8], None)
}

/// mov ecx, 300; mov edi, 0x30000; rep stosb; inc ebx; jmp back
fn repeated() -> Cpu {
    let code = [0xB9, 0x2C, 1, 0, 0, 0xBF, 0, 0, 3, 0, 0xF3, 0xAA, 0x43, 0xEB, 0xF1];
    machine(3, &code, [7; 8], None)
}

/// push 1; push 2; call f; jmp back; f: ret 8
fn arguments() -> Cpu {
    let code = [0x6A, 1, 0x6A, 2, 0xE8, 2, 0, 0, 0, 0xEB, 0xF5, 0xC2, 8, 0];
    machine(3, &code, [STACK; 8], None)
}

/// A data segment that does not begin at 0: mov ecx, es:[0x30]; mov eax, [0x30]; add [0x40], eax; jmp back
fn based() -> Cpu {
    let code = [0x26, 0x8B, 0x0D, 0x30, 0, 0, 0, 0xA1, 0x30, 0, 0, 0, 0x01, 0x05, 0x40, 0, 0, 0, 0xEB, 0xEC];
    let mut cpu = machine(3, &code, [STACK; 8], None);
    let ds = cpu.regs.seg[SegReg::Ds as usize];
    cpu.regs.seg[SegReg::Ds as usize] = Segment::new(ds.selector, 0x8000, u32::MAX, ds.attr);
    cpu.phys_write(0x8030, 5u32);
    cpu.state_changed();
    cpu
}

/// The last byte is one too far: mov ebx, [0x8000]; mov eax, [0x8100]; inc ecx; jmp back
fn limited() -> Cpu {
    let code = [0x8B, 0x1D, 0, 0x80, 0, 0, 0xA1, 0, 0x81, 0, 0, 0x41, 0xEB, 0xF2];
    machine(3, &code, [STACK; 8], Some(0x8102))
}

/// Segments that end in different places take turns, and #GP skips what is beyond: mov ds, ecx; add ebx, [0x24000]; inc dword
/// [0x1F000]; xchg ecx, edx; jmp back. Vector 13: add esp, 4; add dword [esp], 6; iret
fn ceilings() -> Cpu {
    let code = [0x8E, 0xD9, 0x03, 0x1D, 0, 0x40, 2, 0, 0xFF, 0x05, 0, 0xF0, 1, 0, 0x87, 0xCA, 0xEB, 0xEE];
    let mut cpu = machine(0, &code, [STACK; 8], Some(0x2_FFFF));
    set_descriptor(&mut cpu, 0x50, 0x93, 0, 0x2_3FFF);
    set_descriptor(&mut cpu, 0x58, 0x93, 0, 0x2_FFFF);
    cpu.mem.write_bytes(handler(13) as u64, &[0x83, 0xC4, 4, 0x83, 0x04, 0x24, 6, 0xCF]);
    cpu.phys_write(0x2_4000, 3u32);
    (cpu.regs.gpr[1], cpu.regs.gpr[2]) = (0x50, 0x58);
    cpu
}

#[test]
fn segments_end_in_different_places() {
    for step in [1, 7, 300] {
        let cpu = lockstep(ceilings, (1..1500).step_by(step));
        assert!(cpu.counters.exceptions > 80, "{}", cpu.counters.exceptions);
    }
}

/// A double word in two pages that are not neighbours: mov eax, [0x24FFE]; add ebx, eax; inc dword [0x24FFE]; jmp back
fn split() -> Cpu {
    let code = [0xA1, 0xFE, 0x4F, 2, 0, 0x01, 0xC3, 0xFF, 0x05, 0xFE, 0x4F, 2, 0, 0xEB, 0xF1];
    let mut cpu = machine(3, &code, [STACK; 8], None);
    cpu.phys_write((TABLE + 4 * 0x25) as u64, 0x3_5007u32);
    cpu.phys_write(0x2_4FFE, 0xFFFFu16);
    cpu.state_changed();
    cpu
}

/// No paging, and double words across the ends of pages: mov [edi], eax; mov [edi + 0x1000], eax; mov edx, [edi + 0xFFD]; mov
/// [esi], edx, where ESI is the end of the page before the code's, of RAM, and of a page of data in turn; add edx, eax; mov
/// [0xFF0], eax; jmp back
fn onward() -> Cpu {
    let mut code = vec![0x90, 0x90, 0x40, 0x90]; // nop; nop, which becomes mov al, what AL was; inc eax; nop
    code.extend([0x89, 0x07, 0x89, 0x87, 0, 0x10, 0, 0, 0x8B, 0x97, 0xFD, 0x0F, 0, 0, 0x89, 0x16]);
    code.extend([0x87, 0xCE, 0x87, 0xE9]); // xchg esi, ecx; xchg ecx, ebp
    code.extend([0x01, 0xC2, 0xA3, 0xF0, 0x0F, 0, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(0, &code, [0x4040_4040; 8], None);
    (cpu.regs.gpr[1], cpu.regs.gpr[5]) = (0x3_FFFE, 0x3_0FFD);
    (cpu.regs.gpr[6], cpu.regs.gpr[7]) = (CODE - 2, 0x3_0000);
    cpu.phys_write(0x3_0FFF, 0xB0u8);
    unpage(&mut cpu);
    cpu
}

/// No paging, and a page gets its first code after accesses have gone on into it: mov [0x30FFE], ebx; mov [0x30000], ebx; mov
/// [0x31FF0], ebx; call 0x31000; add ebx, 0x1000000; jmp back. 0x31000: mov al, the uppermost byte of EBX; ret
fn written_later() -> Cpu {
    let mut code = Vec::new();
    for at in [0x3_0FFEu32, 0x3_0000, 0x3_1FF0] {
        code.extend([&[0x89, 0x1D][..], &at.to_le_bytes()].concat());
    }
    code.push(0xE8);
    code.extend((0x3_1000 - CODE - code.len() as u32 - 4).to_le_bytes());
    code.extend([0x81, 0xC3, 0, 0, 0, 1]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(0, &code, [0x11B0_0000; 8], None);
    cpu.regs.gpr[4] = STACK;
    cpu.phys_write(0x3_1002, 0xC3u8);
    unpage(&mut cpu);
    cpu
}

/// One page is not where the others are: mov eax, [0x30010]; add al, [0x2F010]; mov [0x30011], ax; push eax; pop dword [0x30FFE]; jmp
/// back
fn scattered() -> Cpu {
    let mut code = vec![0xA1, 0x10, 0, 3, 0, 0x02, 0x05, 0x10, 0xF0, 2, 0, 0x66, 0xA3, 0x11, 0, 3, 0];
    code.extend([0x50, 0x8F, 0x05, 0xFE, 0x0F, 3, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(3, &code, [STACK; 8], None);
    scatter(&mut cpu);
    for at in [0x2_F010, 0x3_0010, 0x3_1010u64] {
        cpu.phys_write(at, at as u32 * 0x0101);
    }
    cpu
}

/// FS begins elsewhere, and there is no paging: mov eax, fs:[8]; inc eax; mov fs:[0x1008], eax; add cx, fs:[0xFFF]; jmp back
fn elsewhere() -> Cpu {
    let mut code = vec![0x64, 0xA1, 8, 0, 0, 0, 0x40, 0x64, 0xA3, 8, 0x10, 0, 0];
    code.extend([0x66, 0x64, 0x03, 0x0D, 0xFF, 0x0F, 0, 0]);
    code.extend([0xEB, (code.len() as u8 + 2).wrapping_neg()]);
    let mut cpu = machine(0, &code, [STACK; 8], None);
    let ds = cpu.regs.seg[SegReg::Ds as usize];
    cpu.regs.seg[SegReg::Fs as usize] = Segment::new(ds.selector, 0x1_2000, u32::MAX, ds.attr);
    cpu.phys_write(0x1_2008, 0x1234_5678u32);
    cpu.phys_write(0x2_4008, 0x8765_4321u32);
    unpage(&mut cpu);
    cpu
}

/// push ebp; mov ebp, esp; push eax; push ecx; leave; jmp back
fn framed() -> Cpu {
    machine(3, &[0x55, 0x89, 0xE5, 0x50, 0x51, 0xC9, 0xEB, 0xF8], [STACK; 8], None)
}

/// Down and up, across a page's end: std; lodsd; stosd; movsb; cmpsb; scasw; movsd; cld; lodsb; movsw; cmpsd; scasb; stosw; jmp
/// back
fn strings() -> Cpu {
    let down = [0xFD, 0xAD, 0xAB, 0xA4, 0xA6, 0x66, 0xAF, 0xA5];
    let up = [0xFC, 0xAC, 0x66, 0xA5, 0xA7, 0xAE, 0x66, 0xAB, 0xEB, 0xEE];
    let mut cpu = machine(3, &[&down[..], &up].concat(), [STACK; 8], None);
    (cpu.regs.gpr[6], cpu.regs.gpr[7]) = (0x3_1004, 0x3_2003);
    cpu
}

/// imul eax, ebx; nop; imul eax, ecx (0); nop; mov eax, ebx; jmp back: hosts agree on SF, but not on ZF.
fn product() -> Cpu {
    let code = [0x0F, 0xAF, 0xC3, 0x90, 0x0F, 0xAF, 0xC1, 0x90, 0x89, 0xD8, 0xEB, 0xF4];
    let mut gpr = [0x1234_5677; 8];
    gpr[1] = 0;
    machine(3, &code, gpr, None)
}

/// cmp eax, eax; setbe cl; cmp eax, ebx; setbe dl; jmp back
fn conditions() -> Cpu {
    let code = [0x39, 0xC0, 0x0F, 0x96, 0xC1, 0x39, 0xD8, 0x0F, 0x96, 0xC2, 0xEB, 0xF4];
    machine(3, &code, [5; 8], None)
}

/// Loads, an addition, a conversion that truncates, a double word in two pages between them, a store.
fn floating() -> Cpu {
    let code = [
        &[0xD9, 0x05, 0, 0x80, 0, 0][..], // fld dword [0x8000]
        &[0xDC, 0x05, 8, 0x80, 0, 0],     // fadd qword [0x8008]
        &[0xD9, 0x2D, 0x10, 0x80, 0, 0],  // fldcw [0x8010]
        &[0xDB, 0x15, 0x14, 0x80, 0, 0],  // fist dword [0x8014]
        &[0xD9, 0x2D, 0x12, 0x80, 0, 0],  // fldcw [0x8012]
        &[0xA1, 0xFE, 0x4F, 2, 0],        // mov eax, [0x24FFE]
        &[0xDD, 0x1D, 0x18, 0x80, 0, 0],  // fstp qword [0x8018]
        &[0xEB, 0xD5],
    ];
    let mut cpu = machine(3, &code.concat(), [STACK; 8], None);
    cpu.fpu.initialize();
    cpu.phys_write(0x8000, 0.5f32.to_bits());
    cpu.phys_write(0x8008, 2.25f64.to_bits());
    cpu.phys_write(0x8010, 0x037F_0F7Fu32);
    cpu
}

/// Rounding is up, and there is a double word in two pages between: addss xmm0, [0x8000]; mov eax, [0x24FFE]; addss xmm1, xmm0; fld1; addss
/// xmm1, xmm2; fstp dword [0x8010]; jmp back. No group, which would end the block behind the handler.
fn rounded() -> Cpu {
    let code = [
        &[0xF3, 0x0F, 0x58, 0x05, 0, 0x80, 0, 0][..],
        &[0xA1, 0xFE, 0x4F, 2, 0],
        &[0xF3, 0x0F, 0x58, 0xC8],
        &[0xD9, 0xE8],
        &[0xF3, 0x0F, 0x58, 0xCA],
        &[0xD9, 0x1D, 0x10, 0x80, 0, 0],
        &[0xEB, 0xE1],
    ];
    let mut cpu = machine(3, &code.concat(), [STACK; 8], None);
    cpu.simd.mxcsr = 0x5F80;
    cpu.simd.xmm[2] = 0.1f32.to_bits().into();
    cpu.fpu.initialize();
    cpu.phys_write(0x8000, 0.1f32.to_bits());
    cpu
}

/// push esp; pop eax; jmp back
fn pushed() -> Cpu {
    machine(3, &[0x54, 0x58, 0xEB, 0xFC], [STACK; 8], None)
}

/// mov ax, bx; add eax, 0x10001; jmp back
fn halves() -> Cpu {
    machine(3, &[0x66, 0x89, 0xD8, 0x05, 1, 0, 1, 0, 0xEB, 0xF6], [0x1234_5678; 8], None)
}

/// mov ds, ecx; mov eax, [0]; xchg ecx, edx; jmp back, the two selectors having different bases.
fn reloaded() -> Cpu {
    let code = [0x8E, 0xD9, 0x8B, 0x05, 0, 0, 0, 0, 0x01, 0xC3, 0x87, 0xCA, 0xEB, 0xF2];
    let mut cpu = machine(0, &code, [STACK; 8], None);
    set_descriptor(&mut cpu, 0x50, 0x93, 0x6000, 0xFFFF);
    set_descriptor(&mut cpu, 0x58, 0x93, 0x6100, 0xFFFF);
    cpu.phys_write(0x6000, 1u32);
    cpu.phys_write(0x6100, 1000u32);
    (cpu.regs.gpr[1], cpu.regs.gpr[2]) = (0x50, 0x58);
    cpu
}

/// Accesses of one group, and in the middle of them, through another register, a store to their page. That page's table entry
/// says another frame by then, and the store is the first that has to look.
fn regrouped() -> Cpu {
    let entry = TABLE + 4 * 0x30;
    let code = [
        &[0x0F, 0x01, 0x3B][..], // invlpg [ebx]
        &[0x8B, 0x03],           // mov eax, [ebx]
        &[0x81, 0x35],           // xor dword [entry], 0x1000
        &entry.to_le_bytes(),
        &[0, 0x10, 0, 0],
        &[0x89, 0x0E],       // mov [esi], ecx
        &[0x8B, 0x53, 0x04], // mov edx, [ebx + 4]
        &[0x03, 0x7B, 0x08], // add edi, [ebx + 8]
        &[0x80, 0x25],       // and byte [entry], ~dirty
        &entry.to_le_bytes(),
        &[0xBF],
        &[0xEB, 0xDB], // jmp back
    ]
    .concat();
    let mut cpu = machine(0, &code, [0, 7, 0, 0x30000, STACK, 0, 0x30100, 0], None);
    for n in 0..4 {
        cpu.phys_write(0x30000 + 4 * n, 0x1111_1111u32);
        cpu.phys_write(0x31000 + 4 * n, 0x2222_2222u32);
    }
    cpu
}

/// inc eax; test al, 3; je to inc ebx; dec ecx; js to inc ebx; inc edx; jmp back: blocks that go on behind branches, of which some
/// are taken sometimes.
fn sections() -> Cpu {
    let code =
        [0x40, 0xA8, 3, 0x74, 7, 0x49, 0x78, 4, 0x42, 0x42, 0xEB, 0xF4, 0x43, 0x8D, 0x49, 7, 0xEB, 0xEE];
    machine(3, &code, [0, 9, 0, 0, STACK, 0, 0, 0], None)
}

/// A jump to another page and back, while mov cr3 changes what that page is: inc eax there, inc ebx here.
fn remapped() -> Cpu {
    // 0x1000: jmp 0x30000      0x30000: inc eax (or ebx); jmp 0x1005      0x1005: mov cr3, edx; xchg ecx, edx; jmp 0x1000
    let code = [0xE9, 0xFB, 0xEF, 0x02, 0, 0x0F, 0x22, 0xDA, 0x87, 0xCA, 0xEB, 0xF4];
    let mut cpu = machine(0, &code, [0; 8], None);
    let (directory2, table2) = (0x22000u32, 0x23000u32);
    cpu.phys_write(directory2 as u64, table2 | 7);
    for page in 0..64u32 {
        let frame = if page == 0x30 { 0x31 } else { page };
        cpu.phys_write((table2 + 4 * page) as u64, frame << 12 | 7);
    }
    assert!(cpu.mem.write_bytes(0x30000, &[0x40, 0xE9, 0xFF, 0x0F, 0xFD, 0xFF]));
    assert!(cpu.mem.write_bytes(0x31000, &[0x43, 0xE9, 0xFF, 0x0F, 0xFD, 0xFF]));
    cpu.regs.gpr = [0, DIRECTORY, directory2, 0, STACK, 0, 0, 0];
    cpu
}

#[test]
fn directed_programs_agree() {
    for make in [
        product,
        pushed,
        divided,
        repeated,
        reloaded,
        arguments,
        based,
        limited,
        split,
        framed,
        halves,
        strings,
        onward,
        scattered,
        elsewhere,
        written_later,
        conditions,
        floating,
        rounded,
        regrouped,
        sections,
    ] {
        for step in [1, 5, 37] {
            lockstep(make, (1..200).step_by(step));
        }
    }
}

#[test]
fn a_page_of_code_changes_with_the_address_space() {
    let cpu = lockstep(remapped, (1..400).step_by(3));
    assert!(cpu.regs.gpr[0] > 10 && cpu.regs.gpr[3] > 10, "{:?}", cpu.regs.gpr);
}

/// dec ecx; jnz: the shortest loop, cut everywhere.
#[test]
fn a_loop_stops_at_every_count() {
    let make = || machine(3, &[0x49, 0x75, 0xFD, 0xF4], [50; 8], None);
    for step in [1, 3, 7, 50] {
        lockstep(make, (1..110).step_by(step));
    }
    let cpu = lockstep(make, [90]);
    let stats = cpu.jit_stats().expect("compiled");
    assert!(stats.links > 0 && stats.retired > 80, "{stats:?}");
}

/// A loop over two pages, calls and returns, through linked edges and the jump table.
fn pages() -> Cpu {
    let mut cpu = machine(0, &[], [5; 8], None);
    cpu.regs.gpr[4] = STACK;
    // 0x9FF0: call 0xA010; dec ecx; jnz 0x9FF0; hlt      0xA010: inc eax; ret
    let code = [0xE8, 0x1B, 0, 0, 0, 0x49, 0x75, 0xF8, 0xF4];
    assert!(cpu.mem.write_bytes(0x9FF0, &code) && cpu.mem.write_bytes(0xA010, &[0x40, 0xC3]));
    cpu.regs.eip = 0x9FF0;
    cpu.regs.gpr[1] = 100;
    cpu
}

#[test]
fn calls_across_pages() {
    let mut cpu = lockstep(pages, [1, 3, 50, 120, 130, 135]);
    cpu.run(1000);
    assert_eq!((cpu.regs.gpr[1], cpu.regs.gpr[0]), (0, 105));
}

/// mov byte [next], imm: the block changes itself, its successor, a block it is linked to.
fn modified() -> Cpu {
    let target = CODE + 0x40;
    let mut code = vec![0xC6, 0x05];
    code.extend((CODE + 8).to_le_bytes());
    code.extend([0x77, 0xB0, 0x11]); // mov byte [CODE+8], 0x77; mov al, 0x11 (becomes 0x77)
    code.extend([0xFE, 0x05]);
    code.extend(target.to_le_bytes()); // inc byte [target]
    code.extend([0xE8, 0x40 - 20, 0, 0, 0]); // call target
    code.extend([0xEB, 0x100u16.wrapping_sub(22) as u8]); // again
    code.resize(0x40, 0x90);
    code.extend([0x40, 0xC3]); // inc eax, which becomes inc ecx, ... , push, pop
    machine(0, &code, [0x6000; 8], None)
}

#[test]
fn self_modifying_code() {
    lockstep(modified, 1..120);
}

/// int 0x30 from ring 3 and back, again and again.
#[test]
fn system_calls() {
    let make = || {
        let mut cpu = machine(3, &[0x40, 0xCD, 0x30, 0x74, 0x00, 0xEB, 0xF9], [0x6000; 8], None);
        set_gate(&mut cpu, IDT + 8 * 0x30, 0xEE, code_of(0), handler(0x30), 0);
        cpu.mem.write_bytes(handler(0x30) as u64, &[0x43, 0xCF]);
        set_descriptor(&mut cpu, 0x50, 0x93, 0, 0xFFFF);
        cpu
    };
    lockstep(make, (1..300).step_by(7));
}

/// Two page tables that map the same code elsewhere; mov cr3 between them.
#[test]
fn address_spaces() {
    let make = || {
        // mov eax, [esi]; add ebx, eax; inc dword [esi]; mov cr3, edx; xchg edx, ecx; jmp back
        let code = [0x8B, 0x06, 0x01, 0xC3, 0xFF, 0x06, 0x0F, 0x22, 0xDA, 0x87, 0xCA, 0xEB, 0xF3];
        let mut cpu = machine(0, &code, [0; 8], None);
        let (directory2, table2) = (0x22000u32, 0x23000u32);
        cpu.phys_write(directory2 as u64, table2 | 7);
        for page in 0..64u32 {
            let frame = if page == 0x30 { 0x31 } else { page };
            cpu.phys_write((table2 + 4 * page) as u64, frame << 12 | 7);
        }
        cpu.phys_write(0x30000, 5u32);
        cpu.phys_write(0x31000, 7u32);
        cpu.regs.gpr = [0, DIRECTORY, directory2, 0, STACK, 0, 0x30000, 0];
        cpu
    };
    lockstep(make, (1..200).step_by(3));
}

/// Port n shows the clock without its low n bits.
struct ClockBus;

impl Bus for ClockBus {
    fn port_read(&mut self, cx: &mut BusContext<'_>, port: u16, _: Width) -> u32 {
        (cx.vtime >> port) as u32
    }
    fn port_steady(&self, port: u16, _: Width, vtime: u64) -> u64 {
        ((vtime >> port) + 1) << port
    }
    fn port_write(&mut self, _: &mut BusContext<'_>, _: u16, _: Width, _: u32) {}
    fn mmio_read(&mut self, _: &mut BusContext<'_>, _: u64, _: Width) -> u32 {
        0
    }
    fn mmio_write(&mut self, _: &mut BusContext<'_>, _: u64, _: Width, _: u32) {}
    fn acknowledge_interrupt(&mut self, _: &mut BusContext<'_>) -> u8 {
        0xFF
    }
    fn as_any(&self) -> &dyn Any {
        self
    }
    fn as_any_mut(&mut self) -> &mut dyn Any {
        self
    }
}

/// Waits for a bit of the clock to be set, and clear: a: in al, 6; test al, 1; jz a; b: in al, dx; and al, 1; jnz b; inc ebx;
/// jmp a
fn waiting() -> Cpu {
    let code = [0xE4, 6, 0xA8, 1, 0x74, 0xFA, 0xEC, 0x24, 1, 0x75, 0xFB, 0x43, 0xEB, 0xF2];
    let mut cpu = machine(0, &code, [6; 8], None);
    cpu.bus = Box::new(ClockBus);
    cpu
}

/// A wait ends when it would, is stopped where it would be, and is not executed.
#[test]
fn waits_for_a_port_are_counted() {
    for step in [1, 2, 3, 50, 1000] {
        lockstep(waiting, (1..2000).step_by(step));
    }
    let stats = lockstep(waiting, [10_000]).jit_stats().expect("compiled");
    assert!(stats.skipped > 8_000, "{stats:?}");
}

/// RAM as every owner may provide it.
#[test]
fn engines_can_be_changed_at_any_time() {
    let mut cpu = machine(3, &[0x40, 0x43, 0xEB, 0xFC], [0; 8], None);
    let mut reference = machine(3, &[0x40, 0x43, 0xEB, 0xFC], [0; 8], None);
    for n in 1..50u64 {
        cpu.set_engine(if n % 2 == 0 { Engine::Interp } else { Engine::Jit }).expect("supported");
        cpu.run(n * 13);
        reference.run(n * 13);
        assert_eq!(difference(&mut reference, &mut cpu), None, "after {n}");
    }
    let small = Cpu::new(PhysMem::new(Ram::zeroed(0x1000)), Box::new(EmptyBus));
    assert_eq!(small.engine(), Engine::Interp);
    let _ = (data_of(0), TableRegister::default());
}
