//! CPUID (SDM vol. 2, CPUID): the processor this is.
//!
//! An i686 with MMX, SSE and SSE2 of a vendor no kernel knows, so that no vendor-specific path runs.
//!
//! | leaf | EAX | EBX | ECX | EDX |
//! |---|---|---|---|---|
//! | 0 | 1 | "Ring" | "CPU " | "side" (the string is EBX EDX ECX) |
//! | 1 | signature | 0 (APIC ID) | 0 | feature bits; APIC while IA32_APIC_BASE enables it |
//! | 0x80000000 | 0x80000008 | 0 | 0 | 0 |
//! | 0x80000001 | 0 | 0 | 0 | NX |
//! | 0x80000002-4 | brand string | | | |
//! | 0x80000008 | 36 physical, 32 linear address bits | 0 | 0 | 0 |
//!
//! Every other leaf is zero.

use crate::mmu::MAX_PHYS_BITS;

/// Family 6, model 8, stepping 3, as in EAX of leaf 1 and in EDX after RESET.
pub const SIGNATURE: u32 = 0x0000_0683;

/// FPU DE PSE TSC MSR PAE CX8 SEP PGE CMOV MMX FXSR SSE SSE2.
const FEATURES: u32 = 1
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 5
    | 1 << 6
    | 1 << 8
    | 1 << 11
    | 1 << 13
    | 1 << 15
    | 1 << 23
    | 1 << 24
    | 1 << 25
    | 1 << 26;
/// There is a local APIC, and it is not disabled (SDM vol. 3, 10.4.3).
const APIC: u32 = 1 << 9;
const NX: u32 = 1 << 20;
const VENDOR: &[u8; 12] = b"RingsideCPU ";
const BRAND: &[u8; 48] = b"Ringside virtual i686\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";

fn word(bytes: &[u8], n: usize) -> u32 {
    <u32 as crate::word::Word>::read_le(bytes, 4 * n)
}

/// EAX, EBX, ECX, EDX of a leaf; `apic` says whether the local APIC is enabled.
pub(crate) fn leaf(n: u32, apic: bool) -> [u32; 4] {
    match n {
        0 => [1, word(VENDOR, 0), word(VENDOR, 2), word(VENDOR, 1)],
        1 => [SIGNATURE, 0, 0, FEATURES | if apic { APIC } else { 0 }],
        0x8000_0000 => [0x8000_0008, 0, 0, 0],
        0x8000_0001 => [0, 0, 0, NX],
        0x8000_0002..=0x8000_0004 => {
            let at = 4 * (n - 0x8000_0002) as usize;
            [word(BRAND, at), word(BRAND, at + 1), word(BRAND, at + 2), word(BRAND, at + 3)]
        }
        0x8000_0008 => [32 << 8 | MAX_PHYS_BITS, 0, 0, 0],
        _ => [0; 4],
    }
}
