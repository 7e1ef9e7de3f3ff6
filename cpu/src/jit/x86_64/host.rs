//! What this host does where the manuals leave flags undefined.
//!
//! The interpreter has one answer for every flag. Compiled code may use a host instruction only if the host's answer
//! is the same, so we ask it, once, over a sample of operands and counts; where it differs, the handler is used.

use super::ask_x87;
use std::arch::asm;
use std::arch::is_x86_feature_detected;

const CF: u64 = 1;
const AF: u64 = 1 << 4;
const ZF: u64 = 1 << 6;
const OF: u64 = 1 << 11;
const ARITH: u64 = CF | 1 << 2 | AF | ZF | 1 << 7 | OF;

/// Groups of instructions whose undefined flags are as the interpreter defines them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::jit) struct Quirks {
    /// AF is 0 after AND, OR, XOR and TEST.
    pub logic: bool,
    /// OF after shifts and rotates by more than one is that of the last step. Nothing is expected of AF.
    pub shifts: bool,
    /// AF is 0 after SHL, SHR and SAR, as Intel's processors leave it; AMD's set it.
    pub shifts_clear_af: bool,
    /// After MUL and IMUL AF is 0, and SF, ZF and PF are those of the low half.
    pub products: bool,
    /// SHLD and SHRD: OF says whether the sign changed, AF is 0.
    pub double_shifts: bool,
    /// BT and its kin change CF alone.
    pub bit_tests: bool,
    /// The host's x87 does what the manuals leave open as the interpreter does.
    pub x87: bool,
    /// BSF and BSR change ZF alone.
    pub bit_scans: bool,
    /// They leave the destination if the source is 0.
    pub bit_scan_results: bool,
}

/// Whether compiled code can run here at all: BMI2 (shifts without flags) and LAHF in 64-bit mode, which every
/// processor with BMI2 has.
pub(in crate::jit) fn is_supported() -> bool {
    is_x86_feature_detected!("bmi2")
}

const OPERANDS: [u32; 10] = [
    0,
    1,
    0x7FFF_FFFF,
    0x8000_0000,
    0xFFFF_FFFF,
    0x1234_5678,
    0xAAAA_AAAA,
    0x5555_5555,
    0xC000_0000,
    0x4000_0001,
];

/// `$insn` on `eax` with `edx` and `cl` as other operands, from flags `$flags`: result and flags.
macro_rules! run {
    ($insn:literal, $a:expr, $d:expr, $c:expr, $flags:expr) => {{
        let (mut a, mut flags): (u64, u64) = ($a as u64, $flags);
        // SAFETY: the instruction works on the registers named; the stack is balanced and DF stays as it is.
        unsafe {
            asm!(
                "push {f}", "popfq", $insn, "pushfq", "pop {f}",
                f = inout(reg) flags, inout("eax") a, in("edx") $d, in("ecx") $c,
            );
        }
        (a as u32, flags & ARITH)
    }};
}

/// The same for an instruction that writes EDX, too; its operand is ECX.
macro_rules! run_wide {
    ($insn:literal, $a:expr, $c:expr, $flags:expr) => {{
        let (mut a, mut flags): (u64, u64) = ($a as u64, $flags);
        // SAFETY: as in `run`.
        unsafe {
            asm!(
                "push {f}", "popfq", $insn, "pushfq", "pop {f}",
                f = inout(reg) flags, inout("eax") a, out("edx") _, in("ecx") $c,
            );
        }
        (a as u32, flags & ARITH)
    }};
}

/// Flags on entry: only arithmetic ones, bit 1 and IF as user code has them.
fn entries() -> [u64; 2] {
    [0x202, 0x202 | ARITH]
}

fn parity(r: u32) -> u64 {
    ((r as u8).count_ones() as u64 & 1 ^ 1) << 2
}

/// SF, ZF, PF of a result; everything else 0.
fn szp(r: u32) -> u64 {
    parity(r) | ((r == 0) as u64) << 6 | ((r >> 31) as u64) << 7
}

fn but_af((result, flags): (u32, u64)) -> (u32, u64) {
    (result, flags & !AF)
}

fn cf_of(cf: bool, of: bool) -> u64 {
    cf as u64 | (of as u64) << 11
}

fn logic() -> bool {
    OPERANDS.iter().all(|&a| {
        OPERANDS.iter().all(|&b| {
            entries().iter().all(|&f| {
                run!("and eax, edx", a, b, 0, f).1 == szp(a & b)
                    && run!("or eax, edx", a, b, 0, f).1 == szp(a | b)
                    && run!("xor eax, edx", a, b, 0, f).1 == szp(a ^ b)
                    && run!("test eax, edx", a, b, 0, f).1 == szp(a & b)
            })
        })
    })
}

fn shifts() -> bool {
    let top = |r: u32| r >> 31 != 0;
    let second = |r: u32| r >> 30 & 1 != 0;
    OPERANDS.iter().all(|&a| {
        (1..32u32).all(|n| {
            entries().iter().all(|&f| {
                let kept = f & ARITH & !CF & !OF;
                let shl = a << n;
                let shl_cf = (a as u64) << n >> 32 & 1 != 0;
                let shr = a >> n;
                let shr_cf = a >> (n - 1) & 1 != 0;
                let sar = (a as i32 >> n) as u32;
                let sar_cf = (a as i32 >> (n - 1)) & 1 != 0;
                let rol = a.rotate_left(n);
                let ror = a.rotate_right(n);
                but_af(run!("shl eax, cl", a, 0, n, f)) == (shl, szp(shl) | cf_of(shl_cf, shl_cf != top(shl)))
                    && but_af(run!("shr eax, cl", a, 0, n, f))
                        == (shr, szp(shr) | cf_of(shr_cf, top(shr) != second(shr)))
                    && but_af(run!("sar eax, cl", a, 0, n, f)) == (sar, szp(sar) | cf_of(sar_cf, false))
                    && run!("rol eax, cl", a, 0, n, f)
                        == (rol, kept | cf_of(rol & 1 != 0, (rol & 1 != 0) != top(rol)))
                    && run!("ror eax, cl", a, 0, n, f)
                        == (ror, kept | cf_of(top(ror), top(ror) != second(ror)))
            })
        })
    })
}

fn shifts_clear_af() -> bool {
    OPERANDS.iter().all(|&a| {
        (1..32u32).all(|n| {
            entries().iter().all(|&f| {
                let flags = [
                    run!("shl eax, cl", a, 0, n, f).1,
                    run!("shr eax, cl", a, 0, n, f).1,
                    run!("sar eax, cl", a, 0, n, f).1,
                    run!("shl ax, cl", a, 0, n, f).1,
                    run!("shr ax, cl", a, 0, n, f).1,
                    run!("sar ax, cl", a, 0, n, f).1,
                    run!("shl al, cl", a, 0, n, f).1,
                    run!("shr al, cl", a, 0, n, f).1,
                    run!("sar al, cl", a, 0, n, f).1,
                    run!("shl eax, 1", a, 0, n, f).1,
                    run!("shr eax, 1", a, 0, n, f).1,
                    run!("sar eax, 1", a, 0, n, f).1,
                ];
                flags.iter().all(|flags| flags & AF == 0)
            })
        })
    })
}

fn products() -> bool {
    OPERANDS.iter().all(|&a| {
        OPERANDS.iter().all(|&b| {
            entries().iter().all(|&f| {
                let low = a.wrapping_mul(b);
                let (unsigned, signed) = (a as u64 * b as u64, a as i32 as i64 * b as i32 as i64);
                let wide = |lost| szp(low) | cf_of(lost, lost);
                let signed = wide(signed != low as i32 as i64);
                // EDX is an output of the first two.
                run_wide!("mul ecx", a, b, f) == (low, wide(unsigned >> 32 != 0))
                    && run_wide!("imul ecx", a, b, f) == (low, signed)
                    && run!("imul eax, edx", a, b, 0, f) == (low, signed)
            })
        })
    })
}

fn double_shifts() -> bool {
    OPERANDS.iter().all(|&a| {
        OPERANDS.iter().all(|&b| {
            (1..32u32).all(|n| {
                entries().iter().all(|&f| {
                    let left = a << n | b >> (32 - n);
                    let right = a >> n | b << (32 - n);
                    let sign = |r: u32| (r ^ a) >> 31 != 0;
                    run!("shld eax, edx, cl", a, b, n, f)
                        == (left, szp(left) | cf_of(a >> (32 - n) & 1 != 0, sign(left)))
                        && run!("shrd eax, edx, cl", a, b, n, f)
                            == (right, szp(right) | cf_of(a >> (n - 1) & 1 != 0, sign(right)))
                })
            })
        })
    })
}

fn bit_tests() -> bool {
    OPERANDS.iter().all(|&a| {
        [0u32, 1, 5, 31, 32, 63].iter().all(|&n| {
            entries().iter().all(|&f| {
                let bit = 1u32 << (n & 31);
                let expected = f & ARITH & !CF | (a & bit != 0) as u64;
                run!("bt eax, edx", a, n, 0, f) == (a, expected)
                    && run!("bts eax, edx", a, n, 0, f) == (a | bit, expected)
                    && run!("btr eax, edx", a, n, 0, f) == (a & !bit, expected)
                    && run!("btc eax, edx", a, n, 0, f) == (a ^ bit, expected)
            })
        })
    })
}

/// Whether BSF and BSR of every operand do what `right` wants of the result and flags it should have, and has.
fn bit_scans(right: impl Fn((u32, u64), (u32, u64)) -> bool) -> bool {
    OPERANDS.iter().all(|&b| {
        entries().iter().all(|&f| {
            let expected = f & ARITH & !ZF | ((b == 0) as u64) << 6;
            let (forward, reverse) =
                if b == 0 { (77, 77) } else { (b.trailing_zeros(), 31 - b.leading_zeros()) };
            right((forward, expected), run!("bsf eax, edx", 77u32, b, 0, f))
                && right((reverse, expected), run!("bsr eax, edx", 77u32, b, 0, f))
        })
    })
}

impl Quirks {
    /// Nothing is as the interpreter defines it, which costs time and is right everywhere.
    #[cfg(test)]
    pub const STRANGE: Quirks = Quirks {
        logic: false,
        shifts: false,
        shifts_clear_af: false,
        products: false,
        double_shifts: false,
        bit_tests: false,
        x87: false,
        bit_scans: false,
        bit_scan_results: false,
    };

    /// Ask the host.
    pub fn probe() -> Quirks {
        Quirks {
            logic: logic(),
            shifts: shifts(),
            shifts_clear_af: shifts_clear_af(),
            products: products(),
            double_shifts: double_shifts(),
            bit_tests: bit_tests(),
            bit_scans: bit_scans(|wanted, is| is == wanted),
            bit_scan_results: bit_scans(|wanted, is| (is.0, is.1 & ZF) == (wanted.0, wanted.1 & ZF)),
            x87: ask_x87::is_as_interpreted(),
        }
    }
}
