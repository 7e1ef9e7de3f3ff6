//! Every register form of every SIMD instruction against the processor under the test.
//!
//! The assembler makes one function of each instruction below; the host calls it, the emulated processor decodes the
//! bytes of the same function. Registers, MXCSR and EFLAGS must come out equal for operands of all classes. All
//! exceptions are masked; unmasked ones are the business of the recorded vectors.

use super::lanes::build;
use super::mmx::Mm;
use super::operand::File;
use super::state::mxcsr;
use crate::Cpu;
use crate::flags;
use crate::regs::{cr4, gpr};
use crate::testing::{CODE, flat};
use std::arch::{asm, naked_asm};

/// What an instruction may read and write: two registers of each file, EAX, MXCSR, and the arithmetic flags.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
#[repr(C)]
struct State {
    xmm: [u128; 2],
    mm: [u64; 2],
    mxcsr: u32,
    eax: u32,
    flags: u64,
}

type Stub = unsafe extern "C" fn();

macro_rules! stubs {
    ($($text:literal)*) => {
        &[$({
            #[unsafe(naked)]
            unsafe extern "C" fn stub() {
                naked_asm!($text, "ret")
            }
            ($text, stub as Stub)
        }),*]
    };
}

const INTEGER: &[(&str, Stub)] = stubs! {
    "paddb mm0, mm1" "paddw mm0, mm1" "paddd mm0, mm1" "paddq mm0, mm1" "paddsb mm0, mm1" "paddsw mm0, mm1"
    "paddusb mm0, mm1" "paddusw mm0, mm1" "psubb mm0, mm1" "psubw mm0, mm1" "psubd mm0, mm1" "psubq mm0, mm1"
    "psubsb mm0, mm1" "psubsw mm0, mm1" "psubusb mm0, mm1" "psubusw mm0, mm1" "pmullw mm0, mm1" "pmulhw mm0, mm1"
    "pmulhuw mm0, mm1" "pmuludq mm0, mm1" "pmaddwd mm0, mm1" "psadbw mm0, mm1" "pavgb mm0, mm1" "pavgw mm0, mm1"
    "pminub mm0, mm1" "pminsw mm0, mm1" "pmaxub mm0, mm1" "pmaxsw mm0, mm1" "pcmpeqb mm0, mm1" "pcmpeqw mm0, mm1"
    "pcmpeqd mm0, mm1" "pcmpgtb mm0, mm1" "pcmpgtw mm0, mm1" "pcmpgtd mm0, mm1" "pand mm0, mm1" "pandn mm0, mm1"
    "por mm0, mm1" "pxor mm0, mm1" "packsswb mm0, mm1" "packssdw mm0, mm1" "packuswb mm0, mm1"
    "punpcklbw mm0, mm1" "punpcklwd mm0, mm1" "punpckldq mm0, mm1" "punpckhbw mm0, mm1" "punpckhwd mm0, mm1"
    "punpckhdq mm0, mm1" "psllw mm0, mm1" "pslld mm0, mm1" "psllq mm0, mm1" "psrlw mm0, mm1" "psrld mm0, mm1"
    "psrlq mm0, mm1" "psraw mm0, mm1" "psrad mm0, mm1" "psllw mm0, 3" "pslld mm0, 31" "psllq mm0, 63" "psrlw mm0, 15"
    "psrld mm0, 32" "psrlq mm0, 7" "psraw mm0, 16" "psrad mm0, 255" "pshufw mm0, mm1, 0x1b" "pshufw mm0, mm1, 0xe2"
    "pinsrw mm0, eax, 2" "pinsrw mm0, eax, 7" "pextrw eax, mm1, 3" "pextrw eax, mm1, 6" "pmovmskb eax, mm1"
    "movq mm0, mm1" "movd mm0, eax" "movd eax, mm1" "movdq2q mm0, xmm1" "movq2dq xmm0, mm1"

    "paddb xmm0, xmm1" "paddw xmm0, xmm1" "paddd xmm0, xmm1" "paddq xmm0, xmm1" "paddsb xmm0, xmm1"
    "paddsw xmm0, xmm1" "paddusb xmm0, xmm1" "paddusw xmm0, xmm1" "psubb xmm0, xmm1" "psubw xmm0, xmm1"
    "psubd xmm0, xmm1" "psubq xmm0, xmm1" "psubsb xmm0, xmm1" "psubsw xmm0, xmm1" "psubusb xmm0, xmm1"
    "psubusw xmm0, xmm1" "pmullw xmm0, xmm1" "pmulhw xmm0, xmm1" "pmulhuw xmm0, xmm1" "pmuludq xmm0, xmm1"
    "pmaddwd xmm0, xmm1" "psadbw xmm0, xmm1" "pavgb xmm0, xmm1" "pavgw xmm0, xmm1" "pminub xmm0, xmm1"
    "pminsw xmm0, xmm1" "pmaxub xmm0, xmm1" "pmaxsw xmm0, xmm1" "pcmpeqb xmm0, xmm1" "pcmpeqw xmm0, xmm1"
    "pcmpeqd xmm0, xmm1" "pcmpgtb xmm0, xmm1" "pcmpgtw xmm0, xmm1" "pcmpgtd xmm0, xmm1" "pand xmm0, xmm1"
    "pandn xmm0, xmm1" "por xmm0, xmm1" "pxor xmm0, xmm1" "packsswb xmm0, xmm1" "packssdw xmm0, xmm1"
    "packuswb xmm0, xmm1" "punpcklbw xmm0, xmm1" "punpcklwd xmm0, xmm1" "punpckldq xmm0, xmm1"
    "punpcklqdq xmm0, xmm1" "punpckhbw xmm0, xmm1" "punpckhwd xmm0, xmm1" "punpckhdq xmm0, xmm1"
    "punpckhqdq xmm0, xmm1" "psllw xmm0, xmm1" "pslld xmm0, xmm1" "psllq xmm0, xmm1" "psrlw xmm0, xmm1"
    "psrld xmm0, xmm1" "psrlq xmm0, xmm1" "psraw xmm0, xmm1" "psrad xmm0, xmm1" "psllw xmm0, 15" "pslld xmm0, 0"
    "psllq xmm0, 64" "psrlw xmm0, 1" "psrld xmm0, 8" "psrlq xmm0, 63" "psraw xmm0, 2" "psrad xmm0, 31"
    "pslldq xmm0, 5" "pslldq xmm0, 16" "psrldq xmm0, 15" "psrldq xmm0, 255" "pshufd xmm0, xmm1, 0x1b"
    "pshufd xmm0, xmm1, 0xc9" "pshuflw xmm0, xmm1, 0x93" "pshufhw xmm0, xmm1, 0x2d" "pinsrw xmm0, eax, 5"
    "pextrw eax, xmm1, 7" "pmovmskb eax, xmm1" "movd xmm0, eax" "movd eax, xmm1" "movq xmm0, xmm1"
    "movdqa xmm0, xmm1" "movdqu xmm0, xmm1"
};

const FLOAT_LAYOUT: &[(&str, Stub)] = stubs! {
    "movaps xmm0, xmm1" "movapd xmm0, xmm1" "movups xmm0, xmm1" "movupd xmm0, xmm1" "movss xmm0, xmm1"
    "movsd xmm0, xmm1" "movhlps xmm0, xmm1" "movlhps xmm0, xmm1" "movmskps eax, xmm1" "movmskpd eax, xmm1"
    "andps xmm0, xmm1" "andpd xmm0, xmm1" "andnps xmm0, xmm1" "andnpd xmm0, xmm1" "orps xmm0, xmm1"
    "orpd xmm0, xmm1" "xorps xmm0, xmm1" "xorpd xmm0, xmm1" "unpcklps xmm0, xmm1" "unpcklpd xmm0, xmm1"
    "unpckhps xmm0, xmm1" "unpckhpd xmm0, xmm1" "shufps xmm0, xmm1, 0x1b" "shufps xmm0, xmm1, 0xb1"
    "shufpd xmm0, xmm1, 0" "shufpd xmm0, xmm1, 1" "shufpd xmm0, xmm1, 2" "shufpd xmm0, xmm1, 0xff"
};

const FLOAT: &[(&str, Stub)] = stubs! {
    "addps xmm0, xmm1" "addpd xmm0, xmm1" "addss xmm0, xmm1" "addsd xmm0, xmm1"
    "subps xmm0, xmm1" "subpd xmm0, xmm1" "subss xmm0, xmm1" "subsd xmm0, xmm1"
    "mulps xmm0, xmm1" "mulpd xmm0, xmm1" "mulss xmm0, xmm1" "mulsd xmm0, xmm1"
    "divps xmm0, xmm1" "divpd xmm0, xmm1" "divss xmm0, xmm1" "divsd xmm0, xmm1"
    "sqrtps xmm0, xmm1" "sqrtpd xmm0, xmm1" "sqrtss xmm0, xmm1" "sqrtsd xmm0, xmm1"
    "minps xmm0, xmm1" "minpd xmm0, xmm1" "minss xmm0, xmm1" "minsd xmm0, xmm1"
    "maxps xmm0, xmm1" "maxpd xmm0, xmm1" "maxss xmm0, xmm1" "maxsd xmm0, xmm1"
    "cmpps xmm0, xmm1, 0" "cmpps xmm0, xmm1, 1" "cmpps xmm0, xmm1, 2" "cmpps xmm0, xmm1, 3"
    "cmppd xmm0, xmm1, 4" "cmppd xmm0, xmm1, 5" "cmppd xmm0, xmm1, 6" "cmppd xmm0, xmm1, 7"
    "cmpss xmm0, xmm1, 4" "cmpss xmm0, xmm1, 5" "cmpss xmm0, xmm1, 6" "cmpss xmm0, xmm1, 7"
    "cmpsd xmm0, xmm1, 0" "cmpsd xmm0, xmm1, 1" "cmpsd xmm0, xmm1, 2" "cmpsd xmm0, xmm1, 3"
};

const CONVERT: &[(&str, Stub)] = stubs! {
    "cvtdq2ps xmm0, xmm1" "cvtdq2pd xmm0, xmm1" "cvtps2dq xmm0, xmm1" "cvttps2dq xmm0, xmm1"
    "cvtpd2dq xmm0, xmm1" "cvttpd2dq xmm0, xmm1" "cvtps2pd xmm0, xmm1" "cvtpd2ps xmm0, xmm1"
    "cvtss2sd xmm0, xmm1" "cvtsd2ss xmm0, xmm1" "cvtsi2ss xmm0, eax" "cvtsi2sd xmm0, eax"
    "cvtpi2ps xmm0, mm1" "cvtpi2pd xmm0, mm1" "cvtps2pi mm0, xmm1" "cvttps2pi mm0, xmm1"
    "cvtpd2pi mm0, xmm1" "cvttpd2pi mm0, xmm1" "cvtss2si eax, xmm1" "cvttss2si eax, xmm1"
    "cvtsd2si eax, xmm1" "cvttsd2si eax, xmm1"
};

const COMPARE: &[(&str, Stub)] = stubs! {
    "comiss xmm0, xmm1" "comisd xmm0, xmm1" "ucomiss xmm0, xmm1" "ucomisd xmm0, xmm1"
};

/// Run `stub` on the host.
fn native(stub: Stub, state: &mut State) {
    let host_mxcsr: u32 = 0x1F80;
    // SAFETY: a stub is one instruction on registers that are declared clobbered here, and a return; MXCSR and the
    // x87 state are put back as the host's code expects them.
    unsafe {
        asm!(
            "ldmxcsr [r14 + 48]",
            "movdqu xmm0, [r14]",
            "movdqu xmm1, [r14 + 16]",
            "movq mm0, [r14 + 32]",
            "movq mm1, [r14 + 40]",
            "mov eax, [r14 + 52]",
            "call r12",
            "movdqu [r14], xmm0",
            "movdqu [r14 + 16], xmm1",
            "movq [r14 + 32], mm0",
            "movq [r14 + 40], mm1",
            "mov [r14 + 52], eax",
            "pushfq",
            "pop [r14 + 56]",
            "stmxcsr [r14 + 48]",
            "emms",
            "ldmxcsr [r13]",
            in("r12") stub,
            in("r13") &host_mxcsr,
            in("r14") &raw mut *state,
            clobber_abi("C"),
        );
    }
}

/// Run the instruction of `stub` in the emulated processor.
fn emulated(cpu: &mut Cpu, state: &mut State) {
    cpu.regs.eip = CODE;
    cpu.simd.xmm[..2].copy_from_slice(&state.xmm);
    cpu.simd.mxcsr = state.mxcsr;
    cpu.regs.gpr[gpr::EAX] = state.eax;
    for (n, value) in state.mm.iter().enumerate() {
        Mm::set(cpu, n as u8, *value);
    }
    let insns = cpu.insns();
    cpu.run(insns + 1);
    assert_eq!(cpu.insns(), insns + 1, "the instruction faulted");
    state.xmm.copy_from_slice(&cpu.simd.xmm[..2]);
    state.mm = [Mm::get(cpu, 0), Mm::get(cpu, 1)];
    state.mxcsr = cpu.simd.mxcsr;
    state.eax = cpu.regs.gpr[gpr::EAX];
    state.flags = cpu.regs.flags.get() as u64;
}

/// Compare all of `stubs` on `rounds` operands each. `flags`: the bits of EFLAGS that the instructions define.
fn compare(
    stubs: &[(&str, Stub)],
    rounds: usize,
    flags: u64,
    mut operands: impl FnMut(&mut Random) -> State,
) {
    let mut random = Random(1);
    for (text, stub) in stubs {
        // SAFETY: code is readable; a stub is followed by others or by padding of the same section.
        let code = unsafe { std::slice::from_raw_parts(*stub as *const u8, 12) };
        let mut cpu = flat(code);
        cpu.regs.cr4 |= cr4::OSFXSR;
        for _ in 0..rounds {
            let initial = operands(&mut random);
            let (mut expected, mut got) = (initial, initial);
            native(*stub, &mut expected);
            emulated(&mut cpu, &mut got);
            (expected.flags, got.flags) = (expected.flags & flags, got.flags & flags);
            assert_eq!(got, expected, "{text}: {initial:x?}");
        }
    }
}

/// SplitMix64: the same operands every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    /// Anything, with a liking for extremes and small numbers.
    fn integer(&mut self) -> u64 {
        match self.below(6) {
            0 => self.below(70),
            1 => build(|_| [0u8, 1, 0x7F, 0x80, 0x81, 0xFF][self.below(6) as usize]),
            2 => build(|_| [0u16, 1, 0x7FFF, 0x8000, 0x8001, 0xFFFF][self.below(6) as usize]),
            3 => build(|_| {
                [0u32, 1, 0x7FFF_FFFF, 0x8000_0000, 0x8000_0001, 0xFFFF_FFFF][self.below(6) as usize]
            }),
            _ => self.next(),
        }
    }

    /// A number of any class in a format of `exponent` and `fraction` bits.
    fn float(&mut self, exponent: u32, fraction: u32) -> u64 {
        let bias = (1u64 << (exponent - 1)) - 1;
        let (e, f) = (self.next() & (2 * bias + 1), self.next() >> (64 - fraction));
        let f = match self.below(4) {
            0 => f & u64::MAX << self.below(fraction as u64 + 1),
            1 => f >> self.below(fraction as u64),
            _ => f,
        };
        let (e, f) = match self.below(12) {
            0 => (0, 0),
            1 => (0, f),
            2 => (2 * bias + 1, 0),
            3 => (2 * bias + 1, f),
            // Around one, around the range of integers, and the ends of the range.
            4..=6 => (bias - 2 + self.below(5), f),
            7 | 8 => (bias + self.below(70), f),
            9 => (1 + self.below(fraction as u64 + 2), f),
            10 => (2 * bias - self.below(fraction as u64 + 2), f),
            _ => (e, f),
        };
        self.below(2) << (exponent + fraction) | e << fraction | f
    }

    fn floats(&mut self) -> State {
        let mut vector = || match self.below(2) {
            0 => build(|_| self.float(8, 23) as u32),
            _ => build(|_| self.float(11, 52)),
        };
        let mut xmm = [vector(), vector()];
        if self.below(4) == 0 {
            xmm[1] = xmm[0] ^ (self.below(2) as u128) << 127 ^ (self.below(3) as u128);
        }
        let modes = (self.next() as u32) & (3 << mxcsr::RC_SHIFT | mxcsr::FZ | mxcsr::DAZ);
        let modes = if self.below(2) == 0 { modes & 3 << mxcsr::RC_SHIFT } else { modes };
        State { xmm, mxcsr: mxcsr::RESET | modes, ..self.integers() }
    }

    fn integers(&mut self) -> State {
        State {
            xmm: [(); 2].map(|_| (self.integer() as u128) << 64 | self.integer() as u128),
            mm: [(); 2].map(|_| self.integer()),
            mxcsr: mxcsr::RESET,
            eax: self.integer() as u32,
            flags: 0,
        }
    }
}

#[test]
fn integer_instructions() {
    compare(INTEGER, 300, 0, Random::integers);
}

#[test]
fn instructions_that_only_move_floats() {
    compare(FLOAT_LAYOUT, 300, 0, Random::integers);
}

#[test]
fn arithmetic() {
    compare(FLOAT, 2000, 0, Random::floats);
}

#[test]
fn conversions() {
    compare(CONVERT, 2000, 0, Random::floats);
}

#[test]
fn comparisons_to_flags() {
    compare(COMPARE, 2000, flags::ARITH as u64, Random::floats);
}
