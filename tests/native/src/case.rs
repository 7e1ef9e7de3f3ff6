//! One case: the state in ring 3, and what came of it.

use crate::layout::{CODE, DATA, DATA_ENTRIES, FLAT_CODE, FLAT_DATA, LDT, PAGE, STACK, selector};
use cpu::decode::{DECODER_OPTIONS, is_implemented};
use fuzz::code::{self, Places};
use fuzz::entropy::Entropy;
use iced_x86::{Code, Decoder, DecoderError, DecoderOptions, Instruction, Mnemonic, OpKind};

/// State of a program.
#[derive(Clone)]
pub struct State {
    pub gpr: [u32; 8],
    pub eip: u32,
    pub eflags: u32,
    /// ES CS SS DS FS GS.
    pub seg: [u16; 6],
    pub fcw: u16,
    pub fsw: u16,
    pub ftw: u8,
    pub mxcsr: u32,
    pub st: [[u8; 10]; 8],
    pub xmm: [[u8; 16]; 8],
}

/// How a program ended.
#[derive(Clone)]
pub struct End {
    pub state: State,
    pub vector: u8,
    pub error: u32,
    pub cr2: u32,
    /// The two pages of data that can be written, then the stack.
    pub memory: Vec<u8>,
}

/// A case.
pub struct Case {
    pub start: State,
    pub code: Vec<u8>,
    pub insns: Vec<Instruction>,
    /// EFLAGS bits that the manuals leave open at the end.
    pub undefined: u32,
    /// x87 status bits that the manuals leave open at the end.
    pub undefined_status: u16,
}

struct Addresses;

impl Places for Addresses {
    fn value(&self, e: &mut Entropy<'_>) -> u32 {
        let near = if e.one_in(3) { 0xFE8 + e.below(24) } else { e.below(0x1000) };
        match e.below(16) {
            0 => e.word(),
            1 => e.pick(&[0, 1, 0x7F, 0x80, 0x7FFF, 0x8000, 0xFFFF, 0x7FFF_FFFF, 0x8000_0000, u32::MAX]),
            2 => known_selector(e) as u32,
            3 => e.below(64),
            4 => near,
            5 => DATA + 0x2000 + near,
            6 => DATA + 0x3000 + e.below(8),
            7 => STACK + 0x1000 + near,
            8 => CODE + e.below(0x1000),
            9 => e.word() & 0xFFFF,
            _ => DATA + (e.below(2) << 12) + near,
        }
    }
}

fn known_selector(e: &mut Entropy<'_>) -> u16 {
    match e.below(8) {
        0 => e.below(4) as u16,
        1 => e.pick(&[FLAT_CODE, FLAT_DATA, 0x10, 0x18, 0x1B, 0x83, 0x8F, 0x3B]),
        _ => {
            (e.below(LDT.len() as u32 + 2) << 3) as u16 | 4 | if e.one_in(8) { e.below(4) as u16 } else { 3 }
        }
    }
}

/// Memory all cases start with: random, with selectors and far pointers in it.
pub fn memory() -> Vec<u8> {
    let mut e = Entropy::from_seed(0x3E3);
    let mut bytes = vec![0; 5 * PAGE];
    e.fill(&mut bytes);
    for chunk in bytes.chunks_exact_mut(4) {
        match e.below(12) {
            0 | 1 => chunk[..2].copy_from_slice(&known_selector(&mut e).to_le_bytes()),
            2 => chunk.copy_from_slice(&(CODE + e.below(0x1000)).to_le_bytes()),
            3 => chunk.copy_from_slice(&[0; 4]),
            4 => chunk.copy_from_slice(
                &e.pick(&[0x3F80_0000u32, 0x7F80_0000, 0x7FC0_0000, 1, 0x4049_0FDB]).to_le_bytes(),
            ),
            _ => {}
        }
    }
    bytes
}

/// Instructions not tried: they end the process, see the host's tables or clocks, or give what each maker likes.
fn is_excluded(insn: &Instruction) -> bool {
    use Mnemonic as M;
    let unit = matches!(
        insn.mnemonic(),
        M::Cpuid | M::Rdtsc | M::Rdpmc | M::Sysenter | M::Sysexit | M::Syscall | M::Sgdt | M::Sidt | M::Sldt | M::Str | M::Smsw
            // A hypervisor that intercepts #DB delivers it with EIP on the instruction.
            | M::Int1
            // Last place and range are each maker's own.
            | M::Fsin | M::Fcos | M::Fsincos | M::Fptan | M::Fpatan | M::F2xm1 | M::Fyl2x | M::Fyl2xp1
            | M::Rcpps | M::Rcpss | M::Rsqrtps | M::Rsqrtss
            // After a fault, registers already popped are the new ones on AMD processors.
            | M::Popa | M::Popad
            // Images with pointers to the last x87 instruction.
            | M::Fnstenv | M::Fnsave | M::Fxsave | M::Fldenv | M::Frstor | M::Fxrstor
    );
    // The upper half of the double word is written by some and not by others.
    let push = matches!(
        insn.code(),
        Code::Pushd_ES | Code::Pushd_CS | Code::Pushd_SS | Code::Pushd_DS | Code::Pushd_FS | Code::Pushd_GS
    );
    // A count beyond the operand gives anything.
    let double_shift = match insn.code() {
        Code::Shld_rm16_r16_CL | Code::Shrd_rm16_r16_CL => true,
        Code::Shld_rm16_r16_imm8 | Code::Shrd_rm16_r16_imm8 => insn.immediate8() & 31 > 16,
        _ => false,
    };
    // Not the same on all makers' processors: repetition prefixes of LOOPcc; PREFETCH of a register.
    let repeated = insn.has_rep_prefix() || insn.has_repne_prefix();
    let odd = repeated && matches!(insn.mnemonic(), M::Loope | M::Loopne)
        || matches!(insn.code(), Code::Reservednop_rm16_r16_0F0D | Code::Reservednop_rm32_r32_0F0D);
    let system_call = insn.mnemonic() == M::Int && insn.immediate8() == 0x80;
    // CS from memory may be the host's 64-bit segment.
    unit || odd
        || push
        || double_shift
        || system_call
        || matches!(insn.code(), Code::Jmp_m1616 | Code::Jmp_m1632 | Code::Call_m1616 | Code::Call_m1632)
        || matches!(insn.mnemonic(), M::Retf | M::Iret | M::Iretd)
        || (0..insn.op_count()).any(|n| matches!(insn.op_kind(n), OpKind::FarBranch16 | OpKind::FarBranch32))
            && insn.far_branch_selector() & 0xFFF8 == 0x30
}

/// The instruction in `bytes`, if both processors have it and mean the same by it.
fn acceptable(bytes: &[u8], big: bool) -> Option<Instruction> {
    let bits = if big { 32 } else { 16 };
    let decode = |options| {
        let mut decoder = Decoder::with_ip(bits, bytes, 0, options);
        let insn = decoder.decode();
        (decoder.last_error(), insn)
    };
    let (error, insn) = decode(DECODER_OPTIONS);
    let (_, plain) = decode(DecoderOptions::NONE);
    let good = error == DecoderError::None
        && plain.code() == insn.code()
        && insn.len() == bytes.len()
        && is_implemented(&insn)
        && !is_excluded(&insn);
    good.then_some(insn)
}

/// Case number `number`.
pub fn case(number: u64) -> Option<Case> {
    let e = &mut Entropy::from_seed(number);
    let big = !e.one_in(8);
    let (mut code, mut insns) = (Vec::new(), Vec::new());
    let (mut undefined, mut undefined_status) = (0, 0);
    let count = if e.one_in(4) { 2 + e.below(3) } else { 1 };
    for _ in 0..count {
        let mut bytes = Vec::new();
        code::instruction(big, &Addresses, e, &mut bytes);
        let insn = acceptable(&bytes, big)?;
        if rflags(insn.rflags_read()) & undefined != 0 {
            return None;
        }
        // The program may end after any of its instructions, so what one leaves open stays open.
        undefined |= rflags(insn.rflags_undefined());
        if is_x87(&insn) {
            if matches!(
                insn.mnemonic(),
                Mnemonic::Fcomi | Mnemonic::Fcomip | Mnemonic::Fucomi | Mnemonic::Fucomip
            ) {
                undefined_status |= 0x200;
            }
            let conditions = if defines_conditions(insn.mnemonic()) { 0 } else { 0x4500 };
            undefined_status = undefined_status & 0x200 | conditions;
        }
        code.extend(bytes);
        insns.push(insn);
    }
    code.extend([0xF4, 0xF4]);
    let offset = 0x100 + e.below(0xE00 - code.len() as u32);
    let mut start = state(e, big);
    start.eip = if start.seg[1] == selector(10) { offset } else { CODE + offset };
    Some(Case { start, code, insns, undefined, undefined_status })
}

/// iced-x86's flag bits in their places in EFLAGS.
fn rflags(bits: u32) -> u32 {
    use iced_x86::RflagsBits as R;
    [(R::CF, 1), (R::PF, 4), (R::AF, 0x10), (R::ZF, 0x40), (R::SF, 0x80), (R::OF, 0x800), (R::DF, 0x400)]
        .iter()
        .filter(|(bit, _)| bits & bit != 0)
        .fold(0, |all, (_, place)| all | place)
}

fn is_x87(insn: &Instruction) -> bool {
    format!("{:?}", insn.mnemonic()).starts_with('F')
}

fn defines_conditions(m: Mnemonic) -> bool {
    use Mnemonic as M;
    matches!(
        m,
        M::Fcom
            | M::Fcomp
            | M::Fcompp
            | M::Fucom
            | M::Fucomp
            | M::Fucompp
            | M::Ficom
            | M::Ficomp
            | M::Ftst
            | M::Fxam
            | M::Fprem
            | M::Fprem1
            | M::Fninit
    )
}

fn state(e: &mut Entropy<'_>, big: bool) -> State {
    let mut gpr = [0; 8];
    // Whether an access wraps round the end of 4 GiB differs from processor to processor.
    gpr.iter_mut().for_each(|r| *r = Addresses.value(e).min(0xFFFF_F000));
    if e.one_in(2) {
        gpr[1] = e.below(40);
    }
    let mut eflags = 0x202 | e.word() & 0x8D5;
    if e.one_in(4) {
        eflags |= 0x400;
    }
    if e.one_in(12) {
        eflags |= 0x100;
    }
    if e.one_in(6) {
        eflags |= 0x4_0000;
    }
    let mut seg = [FLAT_DATA; 6];
    seg[1] = if big { e.pick(&[FLAT_CODE, FLAT_CODE, selector(9)]) } else { selector(10) };
    for n in [0, 3, 4, 5] {
        if e.one_in(3) {
            seg[n] = selector(e.pick(&DATA_ENTRIES));
        }
    }
    if e.one_in(8) {
        seg[2] = selector(e.pick(&[0, 7, 8]));
    }
    gpr[4] = match e.below(8) {
        0 => Addresses.value(e),
        1 => STACK + e.below(0x40),
        2 => STACK + 0x2000 - e.below(0x40),
        _ => STACK + 0x800 + 4 * e.below(0x300),
    };
    if seg[2] == selector(7) || seg[2] == selector(8) {
        gpr[4] = gpr[4].wrapping_sub(STACK);
    }
    let mut st = [[0; 10]; 8];
    for value in &mut st {
        e.fill(value);
        let exponent = e
            .pick(&[0u16, 1, 0x3FFF, 0x3FFE, 0x4000, 0x403D, 0x403E, 0x7FFE, 0x7FFF, 0x3F80, 0x407F, 0x3C00]);
        if !e.one_in(8) {
            value[7] |= 0x80;
        }
        if !e.one_in(6) {
            value[8..].copy_from_slice(&(exponent | (e.word() as u16 & 0x8000)).to_le_bytes());
        }
        if e.one_in(6) {
            value[..8].copy_from_slice(&e.pick(&[0u64, 1 << 63, 3 << 62, u64::MAX, 1]).to_le_bytes());
        }
    }
    let mut xmm = [[0; 16]; 8];
    for value in &mut xmm {
        e.fill(value);
        for lane in value.chunks_exact_mut(2) {
            if e.one_in(4) {
                let special = [0x7FF0u16, 0x7FF8, 0, 0x8000, 0x3FF0, 0x7F80, 0x3F80, 1, 0x43E0, 0x4F00];
                lane.copy_from_slice(&e.pick(&special).to_le_bytes());
            }
        }
    }
    let fcw = if e.one_in(2) { 0x37F } else { e.word() as u16 & 0xF3F | 0x40 };
    State {
        gpr,
        eip: 0,
        eflags,
        seg,
        fcw,
        fsw: e.word() as u16 & 0x7F00,
        ftw: if e.one_in(3) { e.word() as u8 } else { 0xFF },
        mxcsr: if e.one_in(2) { 0x1F80 } else { e.word() & 0xFFFF },
        st,
        xmm,
    }
}
