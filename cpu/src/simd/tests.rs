//! What instructions do besides computing: whether they may execute, faults of their operands, the x87 registers.

use super::mxcsr;
use crate::Cpu;
use crate::fault::Fault;
use crate::fpu::status;
use crate::mem::RegionKind;
use crate::regs::{cr0, cr4, gpr};
use crate::seg::{SegReg, Segment};
use crate::testing::{execute, flat};

const PADDB_MM0_MM1: &[u8] = &[0x0F, 0xFC, 0xC1];
const PADDB_XMM0_XMM1: &[u8] = &[0x66, 0x0F, 0xFC, 0xC1];
const MOVQ2DQ_XMM0_MM1: &[u8] = &[0xF3, 0x0F, 0xD6, 0xC1];
const EMMS: &[u8] = &[0x0F, 0x77];
const MOVNTI_EDI_EAX: &[u8] = &[0x0F, 0xC3, 0x07];
const MOVAPS_XMM0_EDI: &[u8] = &[0x0F, 0x28, 0x07];
const MOVAPS_EDI_XMM0: &[u8] = &[0x0F, 0x29, 0x07];
const MOVUPS_XMM0_EDI: &[u8] = &[0x0F, 0x10, 0x07];
const MOVUPS_EDI_XMM0: &[u8] = &[0x0F, 0x11, 0x07];
const MOVAPS_XMM0_EBP: &[u8] = &[0x0F, 0x28, 0x45, 0x00];
const ADDPS_XMM0_EDI: &[u8] = &[0x0F, 0x58, 0x07];
const DIVSS_XMM0_XMM1: &[u8] = &[0xF3, 0x0F, 0x5E, 0xC1];
const LDMXCSR_EDI: &[u8] = &[0x0F, 0xAE, 0x17];
const STMXCSR_EDI: &[u8] = &[0x0F, 0xAE, 0x1F];
const MASKMOVQ_MM0_MM1: &[u8] = &[0x0F, 0xF7, 0xC1];
const MASKMOVDQU_XMM0_XMM1: &[u8] = &[0x66, 0x0F, 0xF7, 0xC1];

/// SSE enabled, EDI at aligned RAM.
fn sse() -> Cpu {
    let mut cpu = flat(&[]);
    cpu.regs.cr4 |= cr4::OSFXSR | cr4::OSXMMEXCPT;
    cpu.regs.gpr[gpr::EDI] = 0x2000;
    cpu
}

#[test]
fn what_must_be_enabled() {
    let (ok, ud, nm, mf) = (Ok(()), Err(Fault::UD), Err(Fault::NM), Err(Fault::MF));
    // OSFXSR, EM, TS, x87 error pending; then MMX, SSE, both.
    let cases = [
        (true, false, false, false, [ok, ok, ok]),
        (true, false, false, true, [mf, ok, mf]),
        (true, false, true, true, [nm, nm, nm]),
        (true, true, true, true, [ud, ud, ud]),
        (false, false, false, false, [ok, ud, ud]),
        (false, false, true, false, [nm, ud, ud]),
    ];
    for (osfxsr, em, ts, error, expected) in cases {
        let mut cpu = sse();
        cpu.regs.cr4 = if osfxsr { cr4::OSFXSR } else { 0 };
        cpu.regs.cr0 |= if em { cr0::EM } else { 0 } | if ts { cr0::TS } else { 0 };
        cpu.fpu.status = if error { status::ES | 1 } else { 0 };
        let got = [PADDB_MM0_MM1, PADDB_XMM0_XMM1, MOVQ2DQ_XMM0_MM1].map(|code| execute(&mut cpu, code));
        assert_eq!(got, expected, "OSFXSR {osfxsr} EM {em} TS {ts} error {error}");
        assert_eq!(execute(&mut cpu, MOVNTI_EDI_EAX), ok);
    }
}

#[test]
fn nothing_beyond_sse2_exists() {
    let newer: [&[u8]; 6] = [
        &[0xF2, 0x0F, 0xF0, 0x07],             // LDDQU
        &[0x66, 0x0F, 0x7C, 0xC1],             // HADDPD
        &[0xF3, 0x0F, 0x12, 0xC1],             // MOVSLDUP
        &[0x0F, 0x38, 0x00, 0xC1],             // PSHUFB
        &[0x66, 0x0F, 0x3A, 0x0F, 0xC1, 0x01], // PALIGNR
        &[0x0F, 0x0F, 0xC1, 0x9E],             // PFADD
    ];
    for code in newer {
        assert_eq!(execute(&mut sse(), code), Err(Fault::UD), "{code:x?}");
    }
}

#[test]
fn aligned_operands_must_be() {
    let mut cpu = sse();
    for offset in 0..16 {
        cpu.regs.gpr[gpr::EDI] = 0x2000 + offset;
        cpu.regs.gpr[gpr::EBP] = 0x2000 + offset;
        let expected = if offset == 0 { Ok(()) } else { Err(Fault::GP0) };
        for code in [MOVAPS_XMM0_EDI, MOVAPS_EDI_XMM0, MOVAPS_XMM0_EBP, ADDPS_XMM0_EDI] {
            assert_eq!(execute(&mut cpu, code), expected, "{code:x?}");
        }
        assert_eq!(execute(&mut cpu, MOVUPS_XMM0_EDI), Ok(()));
    }
}

#[test]
fn the_segment_limit_holds_for_all_sixteen_bytes() {
    let mut cpu = sse();
    cpu.regs.seg[SegReg::Ds as usize] = Segment::new(16, 0, 0x200E, 0x0040_9300);
    cpu.simd.xmm[0] = u128::MAX;
    assert_eq!(execute(&mut cpu, MOVUPS_EDI_XMM0), Err(Fault::GP0));
    assert_eq!(execute(&mut cpu, MOVUPS_XMM0_EDI), Err(Fault::GP0));
    assert_eq!(cpu.mem.read_at::<u64>(0x2000), 0);
    cpu.regs.gpr[gpr::EDI] -= 1;
    assert_eq!(execute(&mut cpu, MOVUPS_EDI_XMM0), Ok(()));
    assert_eq!(cpu.mem.read_at::<u64>(0x2007), u64::MAX);
}

/// Linear 0x2000 is present, 0x3000 is not.
fn half_mapped() -> Cpu {
    let mut cpu = sse();
    for (at, entry) in [(0x1_0000u64, 0x1_1007u32), (0x1_1008, 0x2007)] {
        assert!(cpu.mem.write_bytes(at, &entry.to_le_bytes()));
    }
    cpu.regs.cr3 = 0x1_0000;
    cpu.regs.cr0 |= cr0::PG | cr0::WP;
    cpu.state_changed();
    cpu
}

#[test]
fn a_store_across_a_missing_page_writes_nothing() {
    for start in 0x2FF1..0x3000 {
        let mut cpu = half_mapped();
        cpu.regs.gpr[gpr::EDI] = start;
        cpu.simd.xmm = [u128::MAX; 8];
        assert_eq!(execute(&mut cpu, MOVUPS_EDI_XMM0), Err(Fault::pf(2)));
        assert_eq!(cpu.fault_address, 0x3000);
        assert_eq!(execute(&mut cpu, MASKMOVDQU_XMM0_XMM1), Err(Fault::pf(2)));
        assert!((0x2FF0..0x3000).all(|at| cpu.mem.read_at::<u8>(at) == 0), "{start:#x}");
    }
}

#[test]
fn masked_stores_write_the_chosen_bytes() {
    let mut cpu = sse();
    cpu.simd.xmm[0] = 0x0F0E_0D0C_0B0A_0908_0706_0504_0302_0100;
    cpu.simd.xmm[1] = 0x8000_0000_0000_0000_0000_00FF_7F80_0000;
    assert_eq!(execute(&mut cpu, MASKMOVDQU_XMM0_XMM1), Ok(()));
    assert_eq!(cpu.mem.read_at::<u64>(0x2000), 0x0000_0004_0002_0000);
    assert_eq!(cpu.mem.read_at::<u64>(0x2008), 0x0F00_0000_0000_0000);
    cpu.fpu.regs[0].significand = u64::MAX;
    cpu.fpu.regs[1].significand = 0x80;
    assert_eq!(execute(&mut cpu, MASKMOVQ_MM0_MM1), Ok(()));
    assert_eq!(cpu.mem.read_at::<u64>(0x2000), 0x0000_0004_0002_00FF);
}

#[test]
fn mmx_takes_the_x87_registers_over() {
    let mut cpu = sse();
    cpu.fpu.status = 5 << status::TOP_SHIFT | 0x4500;
    cpu.fpu.in_use = 0x10;
    cpu.fpu.regs[1].significand = 7;
    assert_eq!(execute(&mut cpu, PADDB_MM0_MM1), Ok(()));
    assert_eq!((cpu.fpu.status, cpu.fpu.in_use), (0x4500, 0xFF));
    assert_eq!((cpu.fpu.regs[0].significand, cpu.fpu.regs[0].sign_exponent), (7, 0xFFFF));
    assert_eq!(cpu.fpu.regs[1].sign_exponent, 0);
    assert_eq!(execute(&mut cpu, EMMS), Ok(()));
    assert_eq!(cpu.fpu.in_use, 0);
}

#[test]
fn reserved_bits_of_mxcsr_are_refused() {
    let mut cpu = sse();
    for bit in 0..32 {
        assert!(cpu.mem.write_bytes(0x2000, &(1u32 << bit).to_le_bytes()));
        let before = cpu.simd.mxcsr;
        let (expected, after) = if bit < 16 { (Ok(()), 1 << bit) } else { (Err(Fault::GP0), before) };
        assert_eq!(execute(&mut cpu, LDMXCSR_EDI), expected);
        assert_eq!(cpu.simd.mxcsr, after);
    }
    assert_eq!(execute(&mut cpu, STMXCSR_EDI), Ok(()));
    assert_eq!(cpu.mem.read_at::<u32>(0x2000), 1 << 15);
}

#[test]
fn an_unmasked_exception_changes_only_its_flag() {
    for (osxmmexcpt, fault) in [(cr4::OSXMMEXCPT, Fault::XM), (0, Fault::UD)] {
        let mut cpu = sse();
        cpu.regs.cr4 = cr4::OSFXSR | osxmmexcpt;
        cpu.simd.xmm[0] = 0x3F80_0000;
        cpu.simd.mxcsr = mxcsr::RESET & !(4 << mxcsr::MASKS_SHIFT);
        assert_eq!(execute(&mut cpu, DIVSS_XMM0_XMM1), Err(fault));
        assert_eq!((cpu.simd.xmm[0], cpu.simd.mxcsr & mxcsr::FLAGS), (0x3F80_0000, 4));
        cpu.simd.mxcsr = mxcsr::RESET;
        assert_eq!(execute(&mut cpu, DIVSS_XMM0_XMM1), Ok(()));
        assert_eq!((cpu.simd.xmm[0], cpu.simd.mxcsr & mxcsr::FLAGS), (0x7F80_0000, 4));
    }
}

#[test]
fn wide_operands_reach_devices_and_rom() {
    let mut cpu = sse();
    cpu.map_region(0x2000, 0x1000, RegionKind::Rom(0x2000));
    cpu.simd.xmm[0] = u128::MAX;
    assert_eq!(execute(&mut cpu, MOVAPS_EDI_XMM0), Ok(()));
    assert_eq!(execute(&mut cpu, MOVAPS_XMM0_EDI), Ok(()));
    assert_eq!(cpu.simd.xmm[0], 0);
    cpu.map_region(0x2000, 0x1000, RegionKind::Mmio);
    assert_eq!(execute(&mut cpu, MOVAPS_XMM0_EDI), Ok(()));
    assert_eq!(cpu.simd.xmm[0], u128::MAX);
}

#[test]
fn no_two_byte_opcode_panics() {
    let mut cpu = sse();
    let regs = cpu.regs.clone();
    let mut seed = 1u64;
    let mut random = || {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        seed >> 33
    };
    for (prefix, opcode) in [0x66, 0xF2, 0xF3, 0x3E].into_iter().flat_map(|p| (0..=255).map(move |o| (p, o)))
    {
        for modrm in 0..=255 {
            cpu.regs.clone_from(&regs);
            cpu.regs.gpr = [(); 8].map(|_| random() as u32);
            cpu.simd.xmm =
                [(); 8].map(|_| (random() as u128) << 100 | (random() as u128) << 50 | random() as u128);
            cpu.simd.mxcsr = random() as u32 & mxcsr::VALID;
            let tail = [(); 8].map(|_| random() as u8);
            let _ = execute(&mut cpu, &[&[prefix, 0x0F, opcode, modrm], &tail[..]].concat());
        }
    }
}
