//! Encoding of the regular part of the instruction set (SDM vol. 2, 2.1 and 2.2): an opcode, a register, and a
//! register or memory operand.
//!
//! Guest and host share an instruction set, so most of what the translator emits is the guest's own opcode with other
//! operands: rows of the opcode map are passed by number. What is not regular is written with `dynasm!` in
//! [`super::stubs`].

/// A host register by its encoding. As a byte operand 4 to 7 mean AH, CH, DH, BH.
pub(super) type Reg = u8;

pub(super) const RAX: Reg = 0;
pub(super) const RCX: Reg = 1;
pub(super) const RDX: Reg = 2;
pub(super) const R8: Reg = 8;
pub(super) const R9: Reg = 9;
pub(super) const R10: Reg = 10;

/// Operand width in bits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Width {
    B,
    W,
    D,
    Q,
}

impl Width {
    pub fn bytes(self) -> u32 {
        match self {
            Width::B => 1,
            Width::W => 2,
            Width::D => 4,
            Width::Q => 8,
        }
    }
    pub fn bits(self) -> u32 {
        self.bytes() * 8
    }
}

/// A memory operand: base, optional index with the logarithm of its scale, displacement.
#[derive(Clone, Copy)]
pub(super) struct Mem {
    pub base: Reg,
    pub index: Option<(Reg, u8)>,
    pub disp: i32,
}

/// `[base + disp]`.
pub(super) const fn at(base: Reg, disp: i32) -> Mem {
    Mem { base, index: None, disp }
}

/// Bytes being emitted.
#[derive(Default)]
pub(super) struct Asm {
    pub buf: Vec<u8>,
}

impl Asm {
    pub fn pos(&self) -> usize {
        self.buf.len()
    }

    pub fn byte(&mut self, b: u8) {
        self.buf.push(b);
    }

    pub fn dword(&mut self, v: u32) {
        self.buf.extend_from_slice(&v.to_le_bytes());
    }

    pub fn bytes(&mut self, b: &[u8]) {
        self.buf.extend_from_slice(b);
    }

    fn prefix(&mut self, w: Width, reg: Reg, index: Reg, rm: Reg) {
        if w == Width::W {
            self.byte(0x66);
        }
        let rex = ((w == Width::Q) as u8) << 3 | (reg >> 3) << 2 | (index >> 3) << 1 | rm >> 3;
        if rex != 0 {
            self.byte(0x40 | rex);
        }
    }

    fn immediate(&mut self, w: Width, imm: u32) {
        match w {
            Width::B => self.byte(imm as u8),
            Width::W => self.bytes(&(imm as u16).to_le_bytes()),
            Width::D | Width::Q => self.dword(imm),
        }
    }

    /// `opcode reg, rm` with two registers. `opcode` may have two bytes.
    pub fn rr(&mut self, w: Width, opcode: &[u8], reg: Reg, rm: Reg) {
        self.prefix(w, reg, 0, rm);
        self.bytes(opcode);
        self.byte(0xC0 | (reg & 7) << 3 | rm & 7);
    }

    /// `opcode reg, [mem]`.
    pub fn rm(&mut self, w: Width, opcode: &[u8], reg: Reg, mem: Mem) {
        self.prefix(w, reg, mem.index.map_or(0, |i| i.0), mem.base);
        self.bytes(opcode);
        self.operand(reg, mem);
    }

    /// ModRM, SIB and displacement.
    pub fn operand(&mut self, reg: Reg, mem: Mem) {
        let short = i8::try_from(mem.disp).is_ok();
        let mode = match mem.disp {
            0 if mem.base & 7 != 5 => 0,
            _ if short => 0x40,
            _ => 0x80,
        };
        let reg = (reg & 7) << 3;
        match mem.index {
            Some((index, scale)) => {
                self.byte(mode | reg | 4);
                self.byte(scale << 6 | (index & 7) << 3 | mem.base & 7);
            }
            None if mem.base & 7 == 4 => {
                self.byte(mode | reg | 4);
                self.byte(0x24);
            }
            None => self.byte(mode | reg | mem.base & 7),
        }
        match mode {
            0x40 => self.byte(mem.disp as u8),
            0x80 => self.dword(mem.disp as u32),
            _ => {}
        }
    }

    pub fn mov_rr(&mut self, w: Width, dst: Reg, src: Reg) {
        if w == Width::B {
            self.rr(w, &[0x8A], dst, src);
        } else {
            self.rr(w, &[0x8B], dst, src);
        }
    }

    pub fn mov_imm(&mut self, dst: Reg, imm: u32) {
        self.prefix(Width::D, 0, 0, dst);
        self.byte(0xB8 | dst & 7);
        self.dword(imm);
    }

    pub fn mov_imm64(&mut self, dst: Reg, imm: u64) {
        self.prefix(Width::Q, 0, 0, dst);
        self.byte(0xB8 | dst & 7);
        self.bytes(&imm.to_le_bytes());
    }

    pub fn load(&mut self, w: Width, dst: Reg, mem: Mem) {
        self.rm(w, if w == Width::B { &[0x8A] } else { &[0x8B] }, dst, mem);
    }

    pub fn store(&mut self, w: Width, mem: Mem, src: Reg) {
        self.rm(w, if w == Width::B { &[0x88] } else { &[0x89] }, src, mem);
    }

    pub fn store_imm(&mut self, w: Width, mem: Mem, imm: u32) {
        self.rm(w, if w == Width::B { &[0xC6] } else { &[0xC7] }, 0, mem);
        self.immediate(w, imm);
    }

    pub fn lea(&mut self, w: Width, dst: Reg, mem: Mem) {
        self.rm(w, &[0x8D], dst, mem);
    }

    /// Row `n` of the first eight (ADD OR ADC SBB AND SUB XOR CMP) with an immediate and a register.
    pub fn row_ri(&mut self, w: Width, n: u8, dst: Reg, imm: u32) {
        let (opcode, short) = row_imm_opcode(w, imm);
        self.rr(w, &[opcode], n, dst);
        self.immediate(if short { Width::B } else { w }, imm);
    }

    /// Row `n` with memory and an immediate.
    pub fn row_mi(&mut self, w: Width, n: u8, mem: Mem, imm: u32) {
        let (opcode, short) = row_imm_opcode(w, imm);
        self.rm(w, &[opcode], n, mem);
        self.immediate(if short { Width::B } else { w }, imm);
    }

    /// TEST with an immediate.
    pub fn test_ri(&mut self, w: Width, dst: Reg, imm: u32) {
        self.rr(w, &[if w == Width::B { 0xF6 } else { 0xF7 }], 0, dst);
        self.immediate(w, imm);
    }

    pub fn test_mi(&mut self, w: Width, mem: Mem, imm: u32) {
        self.rm(w, &[if w == Width::B { 0xF6 } else { 0xF7 }], 0, mem);
        self.immediate(w, imm);
    }

    /// VEX-encoded shift without flags: `dst := src OP count`. `pp` is 1 SHLX, 2 SARX, 3 SHRX.
    pub fn shift_x(&mut self, w: Width, pp: u8, dst: Reg, src: Reg, count: Reg) {
        self.byte(0xC4);
        self.byte(((dst < 8) as u8) << 7 | 0x40 | ((src < 8) as u8) << 5 | 2);
        self.byte(((w == Width::Q) as u8) << 7 | (!count & 15) << 3 | pp);
        self.byte(0xF7);
        self.byte(0xC0 | (dst & 7) << 3 | src & 7);
    }

    /// `dst := bits of src spread under mask`, without flags.
    pub fn pdep(&mut self, dst: Reg, src: Reg, mask: Reg) {
        self.deposit(3, dst, src, mask);
    }

    /// `dst := bits of src under mask`, without flags.
    pub fn pext(&mut self, dst: Reg, src: Reg, mask: Reg) {
        self.deposit(2, dst, src, mask);
    }

    /// AND without flags: `reg := reg & mask`; `spare` is lost.
    pub fn keep(&mut self, reg: Reg, mask: u32, spare: Reg) {
        self.mov_imm(spare, mask);
        self.pext(reg, reg, spare);
        self.pdep(reg, reg, spare);
    }

    fn deposit(&mut self, pp: u8, dst: Reg, src: Reg, mask: Reg) {
        self.byte(0xC4);
        self.byte(((dst < 8) as u8) << 7 | 0x40 | ((mask < 8) as u8) << 5 | 2);
        self.byte((!src & 15) << 3 | pp);
        self.byte(0xF5);
        self.byte(0xC0 | (dst & 7) << 3 | mask & 7);
    }

    /// `dst := src` rotated right by `n`, 32 bits, without flags.
    pub fn rorx(&mut self, dst: Reg, src: Reg, n: u8) {
        self.byte(0xC4);
        self.byte(((dst < 8) as u8) << 7 | 0x40 | ((src < 8) as u8) << 5 | 3);
        self.bytes(&[0x7B, 0xF0, 0xC0 | (dst & 7) << 3 | src & 7, n]);
    }

    /// `jrcxz` to a place patched later; returns where its displacement byte is.
    pub fn jrcxz(&mut self) -> usize {
        self.bytes(&[0xE3, 0]);
        self.pos() - 1
    }

    /// `jmp rel32`, patched later; returns where its displacement is.
    pub fn jmp(&mut self) -> usize {
        self.byte(0xE9);
        self.dword(0);
        self.pos() - 4
    }

    /// `jcc rel32`, patched later.
    pub fn jcc(&mut self, cc: u8) -> usize {
        self.bytes(&[0x0F, 0x80 | cc]);
        self.dword(0);
        self.pos() - 4
    }

    /// Let the rel8 at `site` lead here. False if that is too far.
    pub fn bind8(&mut self, site: usize) -> bool {
        match i8::try_from(self.pos() as isize - site as isize - 1) {
            Ok(distance) => {
                self.buf[site] = distance as u8;
                true
            }
            Err(_) => false,
        }
    }

    /// Let the rel32 at `site` lead here.
    pub fn bind(&mut self, site: usize) {
        let distance = (self.pos() as i64 - site as i64 - 4) as i32;
        self.buf[site..site + 4].copy_from_slice(&distance.to_le_bytes());
    }
}

/// Opcode for an immediate, and whether it is a sign-extended byte.
fn row_imm_opcode(w: Width, imm: u32) -> (u8, bool) {
    let value = match w {
        Width::B => return (0x80, false),
        Width::W => imm as u16 as i16 as i32,
        _ => imm as i32,
    };
    if i8::try_from(value).is_ok() { (0x83, true) } else { (0x81, false) }
}
