//! What this host's x87 does where manuals are silent, or a host is none of silicon: condition codes that an instruction
//! does not define, and whether 80 bits are 80 bits.
//!
//! The interpreter has one answer (see `fpu`); if the host gives another to any question, its x87 is not used.

use std::arch::asm;

const C1: u16 = 1 << 9;
/// Condition codes 0, 2 and 3.
const OTHERS: u16 = 0x4500;
const CODES: u16 = OTHERS | C1;
const INEXACT: u16 = 1 << 5;
const CF: u64 = 1;
const ZF: u64 = 1 << 6;
const ARITH: u64 = 0x8D5;

/// Before an instruction and after it.
#[repr(C)]
struct State {
    /// FLDENV: control, status, tags, no pointers.
    environment: [u32; 7],
    /// An operand.
    three: u32,
    result: [u8; 10],
    /// The control word found.
    control: u16,
}

/// Status without TOP, flags, and ST(0) as exponent and significand.
type Answer = (u16, u64, (u16, u64));

/// Execute `$text` with ST(0) = 1, ST(1) = 3, full precision, condition codes `$codes`, flags `$flags`.
macro_rules! ask {
    ($text:literal, $codes:expr, $flags:expr) => {{
        let codes: u16 = $codes;
        // TOP is 6; R6 and R7 are not empty.
        let environment = [0x037F, u32::from(codes) | 6 << 11, 0x0FFF, 0, 0, 0, 0];
        let mut state = State { environment, three: 3, result: [0; 10], control: 0 };
        let (mut flags, mut status): (u64, u16) = (0x202 | $flags, 0);
        // SAFETY: the x87 is as the calling convention wants it before and after; memory operands lie in `state`; the
        // stack is balanced and DF stays as it is.
        unsafe {
            asm!(
                "fnstcw word ptr [{s} + 42]", "fninit", "fild dword ptr [{s} + 28]", "fld1", "fldenv [{s}]",
                "push {f}", "popfq", $text, "pushfq", "pop {f}",
                "fnstsw ax", "fstp tbyte ptr [{s} + 32]", "fninit",
                "fldcw word ptr [{s} + 42]",
                s = in(reg) &raw mut state, f = inout(reg) flags, inout("ax") status,
                out("st(0)") _, out("st(1)") _, out("st(2)") _, out("st(3)") _,
                out("st(4)") _, out("st(5)") _, out("st(6)") _, out("st(7)") _,
            );
        }
        let [low @ .., e0, e1] = state.result;
        let value = (u16::from_le_bytes([e0, e1]), u64::from_le_bytes(low));
        (status & !(7 << 11), flags & ARITH, value)
    }};
}

const ONE: (u16, u64) = (0x3FFF, 1 << 63);
const THREE: (u16, u64) = (0x4000, 3 << 62);

/// Whether the answers are the interpreter's.
pub(super) fn is_as_interpreted() -> bool {
    let kept = |value| (OTHERS, ARITH, value);
    let third = (0x3FFD, 0xAAAA_AAAA_AAAA_AAAB);
    let questions: [(Answer, Answer); 16] = [
        (ask!("fadd st(0), st(1)", CODES, ARITH), kept((0x4001, 1 << 63))),
        (ask!("fdiv st(0), st(1)", CODES, ARITH), (CODES | INEXACT, ARITH, third)),
        (ask!("fdiv st(0), st(1)", 0, 0), (C1 | INEXACT, 0, third)),
        (ask!("fld st(1)", CODES, ARITH), kept(THREE)),
        (ask!("fst st(1)", CODES, ARITH), kept(ONE)),
        (ask!("fxch st(1)", CODES, ARITH), kept(THREE)),
        (ask!("fchs", CODES, ARITH), kept((0xBFFF, 1 << 63))),
        (ask!("fsqrt", CODES, ARITH), kept(ONE)),
        (ask!("frndint", CODES, ARITH), kept(ONE)),
        (ask!("fldz", CODES, ARITH), kept((0, 0))),
        (ask!("fcmovb st(0), st(1)", CODES, ARITH), (CODES, ARITH, THREE)),
        (ask!("fcmovnb st(0), st(1)", 0, ARITH), (0, ARITH, ONE)),
        (ask!("fcom st(1)", CODES, ARITH), (1 << 8, ARITH, ONE)),
        (ask!("fxam", CODES, ARITH), (1 << 10, ARITH, ONE)),
        (ask!("fdecstp\nfincstp\nfcomi st(0), st(1)", CODES, ARITH), (OTHERS, CF, ONE)),
        (ask!("fdecstp\nfincstp\nfucomi st(0), st(0)", CODES, ARITH), (OTHERS, ZF, ONE)),
    ];
    questions.iter().all(|(answer, expected)| answer == expected)
}
