//! The x87 in line against the software, instruction by instruction: operands of all classes, any register stack, any
//! status, every control word that masks all exceptions; and random programs of them. Compared are registers, tags, status, pointers, flags, memory.

use super::backend::Quirks;
use super::tests::{compiled, difference, divergence, machine, with_x87, x87};
use crate::Cpu;
use crate::decode::{DECODER_OPTIONS, is_implemented};
use crate::fpu::oracle::{next, random};
use crate::fpu::status;
use crate::seg::{SegReg, Segment};
use iced_x86::Decoder;
use proptest::prelude::*;

/// Cases for each encoding.
const CASES: u32 = 200;
/// Where memory operands are.
const OPERAND: u32 = 0x28000;

/// Random registers of both, the same.
fn shuffle(cpus: &mut [Cpu; 2], seed: &mut u64) {
    let mut fpu = cpus[0].fpu.clone();
    fpu.regs = std::array::from_fn(|_| random(seed));
    // Mostly a stack that is not empty and not full.
    fpu.in_use = match next(seed) % 4 {
        0 => next(seed) as u8,
        _ => 0b0111_1111,
    };
    fpu.status = next(seed) as u16 & !(status::ES | status::B);
    fpu.in_use = fpu.in_use.rotate_left(fpu.top() as u32);
    let control = (next(seed) as u16 | status::FLAGS) & 0x1F3F;
    fpu.set_control(if control & 0x300 == 0x100 { control | 0x200 } else { control });
    let (memory, flags) = (random(seed), next(seed) as u32 & crate::flags::ARITH);
    let narrow = [next(seed), next(seed) & 0xFF, memory.significand][(next(seed) % 3) as usize];
    // Narrow formats see their own classes now and then: exponents of all ones and all zeros.
    let low = match next(seed) % 6 {
        0 => narrow & !0x7FF0_0000_7F80_0000,
        1 => narrow | 0x7FF0_0000_7F80_0000,
        _ => narrow,
    };
    for cpu in cpus {
        cpu.fpu = fpu.clone();
        cpu.regs.flags.set(flags);
        cpu.phys_write(OPERAND as u64, low);
        cpu.phys_write(OPERAND as u64 + 8, memory.sign_exponent);
    }
}

/// Both execute an instruction, and a jump back to it, for many states. Whether it has code in line.
fn compare(insn: &[u8], cases: u32, seed: &mut u64) -> Result<bool, String> {
    let code = [insn, &[0xEB, 0u8.wrapping_sub(insn.len() as u8 + 2)]].concat();
    let make = || machine(0, &code, [0, 0, 0, 0, 0x7000, 0, OPERAND, 0], None);
    let mut cpus = [make(), compiled(make())];
    let start = cpus[0].regs.clone();
    for _ in 0..cases {
        for cpu in &mut cpus {
            cpu.regs = start.clone();
        }
        shuffle(&mut cpus, seed);
        for cpu in &mut cpus {
            cpu.run(cpu.insns() + 2);
        }
        let [a, b] = &mut cpus;
        let operand = |cpu: &Cpu| cpu.mem.slice(OPERAND.into(), 10).map(<[u8]>::to_vec);
        let same = a.fpu == b.fpu && a.regs == b.regs && operand(a) == operand(b);
        if !same {
            return Err(format!("{insn:x?}: {:?}", difference(a, b)));
        }
    }
    let [a, b] = &mut cpus;
    assert_eq!(difference(a, b), None, "{insn:x?}");
    let stats = b.jit_stats().expect("compiled");
    // The jump is.
    let in_line = stats.inlined_insns == 2;
    assert!(!in_line || stats.retired >= 2 * u64::from(cases), "{insn:x?}: {stats:?}");
    Ok(in_line)
}

/// Every encoding there is; those that are not in line are compared all the same. `RINGSIDE_X87_CASES` makes it longer.
#[test]
fn every_encoding_is_that_of_the_software() {
    let cases = std::env::var("RINGSIDE_X87_CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(CASES);
    let mut seed = 0x2545_F491_4F6C_DD1D;
    let (mut in_line, mut compared, mut wrong) = (0, 0, Vec::new());
    for escape in 0xD8..=0xDF {
        let memory = (0..8u8).map(|digit| digit << 3 | 6); // [esi]
        for modrm in memory.chain(0xC0..=0xFF) {
            // Too long an operand: FLDENV, FRSTOR, FNSTENV, FNSAVE.
            let long = matches!((escape, modrm), (0xD9, 0x26 | 0x36) | (0xDD, 0x26 | 0x36));
            if !long {
                match compare(&[escape, modrm], cases, &mut seed) {
                    Ok(here) => in_line += u32::from(here),
                    Err(what) => wrong.push(what),
                }
                compared += u64::from(cases);
            }
        }
    }
    println!("{in_line} encodings in line, {compared} comparisons");
    assert_eq!(wrong, [""; 0]);
    assert!(in_line > 300 || !Quirks::probe().x87, "{in_line}");
}

/// Not #UD.
fn exists(code: &[u8]) -> bool {
    is_implemented(&Decoder::new(32, code, DECODER_OPTIONS).decode())
}

/// An x87 instruction of any kind, or something beside it: memory in two pages, INC, a comparison, a short branch, the
/// stack, a handler.
fn instruction() -> impl Strategy<Value = Vec<u8>> {
    let near = 0x26FC0..0x27040u32;
    let memory = (0..8u8, near).prop_map(|(digit, at)| [&[digit << 3 | 5][..], &at.to_le_bytes()].concat());
    let operand = prop_oneof![memory.clone(), (0xC0..=0xFFu8).prop_map(|modrm| vec![modrm])];
    let beside: [&[u8]; 9] = [
        &[0x39, 0xD8],
        &[0x9B],
        &[0x50],
        &[0x58],
        &[0x0F, 0xA2],
        &[0x0F, 0x77],
        &[0x74, 1, 0x90],
        &[0xC1, 0xE8, 3],
        &[0x0F, 0xAF, 0xC3],
    ];
    prop_oneof![
        8 => (0xD8..=0xDFu8, operand).prop_map(|(escape, operand)| [&[escape][..], &operand].concat())
            .prop_filter("exists", |code| exists(code)),
        2 => x87(),
        1 => memory.prop_map(|m| [&[0x8B][..], &m].concat()),
        1 => (0x40..0x44u8).prop_map(|b| vec![b]),
        1 => prop::sample::select(beside.to_vec()).prop_map(<[u8]>::to_vec),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    /// Whatever the code, whatever the registers hold, wherever it is stopped.
    #[test]
    fn engines_agree_on_x87_code(
        code in prop::collection::vec(instruction(), 1..40), gpr: [u32; 8], step in 1..60u64, based: bool,
    ) {
        let mut code = code.concat();
        let back = (code.len() as u32 + 5).wrapping_neg();
        code.push(0xE9);
        code.extend(back.to_le_bytes());
        let make = || {
            let mut gpr = gpr;
            gpr[4] = 0x7000;
            let mut cpu = machine(3, &code, gpr, None);
            with_x87(&mut cpu, &gpr);
            if based {
                let ds = cpu.regs.seg[SegReg::Ds as usize];
                cpu.regs.seg[SegReg::Ds as usize] = Segment::new(ds.selector, 0x1000, u32::MAX, ds.attr);
                cpu.state_changed();
            }
            cpu
        };
        let found = divergence(make, None, (1..).map(|n| n * step).take_while(|&n| n < 600));
        prop_assert_eq!(found.map(|cpu| cpu.jit_stats().map(|stats| stats.untranslated)), Ok(Some(0)));
    }
}
