//! Arithmetic against the x87 of the processor under the test, for operands of all classes and every control word with
//! masked exceptions. Bit-exact: results, exception flags and C1.

use super::{Extended, status};
use crate::testing::flat;
use std::arch::asm;

const CONTROL_WORDS: [u16; 12] =
    [0x003F, 0x043F, 0x083F, 0x0C3F, 0x023F, 0x063F, 0x0A3F, 0x0E3F, 0x033F, 0x073F, 0x0B3F, 0x0F3F];
const CASES: u32 = 20_000;

/// Registers in memory.
#[repr(C)]
struct State {
    operands: [[u8; 16]; 2],
    control: u16,
    status: u16,
}

/// Execute `$text` with ST(0), ST(1) = operands; ST(0) afterwards.
macro_rules! native {
    ($text:literal) => {
        |state: &mut State| {
            // SAFETY: the x87 stack is empty before and after; memory operands lie in `state`.
            unsafe {
                asm!(
                    "fninit", "fldcw word ptr [{0} + 32]", "fld tbyte ptr [{0} + 16]", "fld tbyte ptr [{0}]",
                    $text,
                    "fnstsw word ptr [{0} + 34]", "fstp tbyte ptr [{0}]", "fninit",
                    in(reg) &raw mut *state,
                    out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                    out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
                );
            }
        }
    };
}

type Native = fn(&mut State);

const INSTRUCTIONS: &[(&str, Native, [u8; 2])] = &[
    ("fadd", native!("fadd st(0), st(1)"), [0xD8, 0xC1]),
    ("fmul", native!("fmul st(0), st(1)"), [0xD8, 0xC9]),
    ("fsub", native!("fsub st(0), st(1)"), [0xD8, 0xE1]),
    ("fsubr", native!("fsubr st(0), st(1)"), [0xD8, 0xE9]),
    ("fdiv", native!("fdiv st(0), st(1)"), [0xD8, 0xF1]),
    ("fdivr", native!("fdivr st(0), st(1)"), [0xD8, 0xF9]),
    ("fsqrt", native!("fsqrt"), [0xD9, 0xFA]),
    ("frndint", native!("frndint"), [0xD9, 0xFC]),
    ("fscale", native!("fscale"), [0xD9, 0xFD]),
];

/// xorshift64: the same cases every time.
pub(crate) fn next(seed: &mut u64) -> u64 {
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    *seed
}

pub(crate) fn random(seed: &mut u64) -> Extended {
    let significand = match next(seed) % 8 {
        0 => 0,
        1 => 1 << 63,
        2 => u64::MAX << (next(seed) % 64),
        3 => next(seed),
        4 => 1 << 63 | next(seed) << 40,
        _ => 1 << 63 | next(seed),
    };
    let field = match next(seed) % 8 {
        0 => 0,
        1 => 0x7FFF,
        2 => next(seed) % 64,
        3 => 0x7FFE - next(seed) % 64,
        4 => next(seed),
        _ => 0x3FFF - 70 + next(seed) % 140,
    };
    Extended { significand, sign_exponent: field as u16 & 0x7FFF | (next(seed) as u16 & 0x8000) }
}

#[test]
fn arithmetic_is_that_of_the_host() {
    const COMPARED: u16 = status::FLAGS | status::SF | status::C1;
    let mut seed = 0x2545_F491_4F6C_DD1D;
    for (name, native, code) in INSTRUCTIONS {
        let mut cpu = flat(code);
        let start = cpu.regs.eip;
        for _ in 0..CASES {
            let (a, b) = (random(&mut seed), random(&mut seed));
            let control = CONTROL_WORDS[(next(&mut seed) % 12) as usize];
            let mut state = State { operands: [[0; 16]; 2], control, status: 0 };
            state.operands[0][..10].copy_from_slice(&a.to_bytes());
            state.operands[1][..10].copy_from_slice(&b.to_bytes());
            native(&mut state);

            cpu.fpu.initialize();
            cpu.fpu.set_control(control);
            cpu.fpu.push_with(|_| b);
            cpu.fpu.push_with(|_| a);
            cpu.regs.eip = start;
            let count = cpu.insns() + 1;
            cpu.run(count);
            let got = cpu.fpu.regs[cpu.fpu.top()];
            let case = format!("{name} {a:x?}, {b:x?}, control {control:x}");
            assert_eq!(got.to_bytes(), state.operands[0][..10], "{case}");
            assert_eq!(cpu.fpu.status & COMPARED, state.status & COMPARED, "{case}");
        }
    }
}
