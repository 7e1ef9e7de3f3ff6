//! The file format X86VEC 1: an environment, and vectors as differences from it. Files are not trusted.

/// Bytes of RAM of every environment.
pub const RAM: usize = 0x40000;
/// Number of 32-bit state fields.
pub const FIELDS: usize = 64;

/// Numbers of state fields.
pub mod field {
    #![allow(missing_docs)]
    pub const EIP: usize = 8;
    pub const EFLAGS: usize = 9;
    pub const ES: usize = 10;
    pub const LDTR: usize = 16;
    pub const TR: usize = 17;
    pub const CR0: usize = 18;
    pub const CR2: usize = 19;
    pub const CR3: usize = 20;
    pub const CR4: usize = 21;
    pub const EFER: usize = 22;
    pub const GDT_BASE: usize = 23;
    pub const GDT_LIMIT: usize = 24;
    pub const IDT_BASE: usize = 25;
    pub const IDT_LIMIT: usize = 26;
    pub const DR0: usize = 27;
    pub const DR6: usize = 31;
    pub const DR7: usize = 32;
    pub const MXCSR: usize = 33;
    pub const FCW: usize = 34;
    pub const FSW: usize = 35;
    pub const FTW: usize = 36;
    pub const SEG_BASE: usize = 40;
    pub const SEG_LIMIT: usize = 48;

    /// Names, for reports.
    pub const NAMES: [&str; 37] = [
        "eax",
        "ecx",
        "edx",
        "ebx",
        "esp",
        "ebp",
        "esi",
        "edi",
        "eip",
        "eflags",
        "es",
        "cs",
        "ss",
        "ds",
        "fs",
        "gs",
        "ldtr",
        "tr",
        "cr0",
        "cr2",
        "cr3",
        "cr4",
        "efer",
        "gdt_base",
        "gdt_limit",
        "idt_base",
        "idt_limit",
        "dr0",
        "dr1",
        "dr2",
        "dr3",
        "dr6",
        "dr7",
        "mxcsr",
        "fcw",
        "fsw",
        "ftw",
    ];
}

/// Register part of a state.
#[derive(Clone, Debug)]
pub struct State {
    pub fields: [u32; FIELDS],
    pub st: [[u8; 10]; 8],
    pub xmm: [[u8; 16]; 8],
}

/// What the vectors of one file start from.
pub struct Env {
    pub state: State,
    pub ram: Vec<u8>,
}

/// Changes to a state and to RAM.
#[derive(Clone, Debug, Default)]
pub struct Delta {
    pub fields: Vec<(u8, u32)>,
    pub st: Vec<(u8, [u8; 10])>,
    pub xmm: Vec<(u8, [u8; 16])>,
    pub ram: Vec<(u32, Vec<u8>)>,
}

impl Delta {
    /// Apply the register part.
    pub fn apply(&self, state: &mut State) {
        for &(n, value) in &self.fields {
            state.fields[n as usize] = value;
        }
        for &(n, value) in &self.st {
            state.st[n as usize] = value;
        }
        for &(n, value) in &self.xmm {
            state.xmm[n as usize] = value;
        }
    }
}

/// Bits of the final state that are not compared.
#[derive(Clone, Debug, Default)]
pub struct Mask {
    pub fields: Vec<(u8, u32)>,
    pub ram: Vec<(u32, Vec<u8>)>,
    pub st: u8,
    pub xmm: u8,
}

/// How a vector ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    Hlt,
    Shutdown,
}

/// One test.
#[derive(Clone, Debug)]
pub struct Vector {
    pub id: u32,
    pub source: u8,
    pub end: End,
    pub code_len: u8,
    pub code16: bool,
    pub initial: Delta,
    pub expected: Delta,
    pub mask: Mask,
}

/// A file that has been found good.
pub struct File<'a> {
    pub env: Env,
    /// The vectors' numbers and bytes. They are parsed one at a time: parsed, they are many times larger.
    bodies: Vec<(u32, &'a [u8])>,
}

impl<'a> File<'a> {
    /// Parse a decompressed file.
    ///
    /// # Errors
    /// What is wrong, in a few words.
    pub fn parse(bytes: &'a [u8]) -> Result<File<'a>, &'static str> {
        let mut r = Reader { bytes };
        if r.array()? != *b"X86VEC1\0" {
            return Err("it does not start with X86VEC1");
        }
        if r.u32()? != 1 {
            return Err("unknown version");
        }
        if r.u32()? as usize != RAM {
            return Err("unexpected RAM size");
        }
        let count = r.u32()?;
        r.take(32)?;
        let mut state = State { fields: [0; FIELDS], st: [[0; 10]; 8], xmm: [[0; 16]; 8] };
        for field in &mut state.fields {
            *field = r.u32()?;
        }
        for st in &mut state.st {
            *st = r.array()?;
        }
        for xmm in &mut state.xmm {
            *xmm = r.array()?;
        }
        let mut ram = vec![0; RAM];
        for _ in 0..r.u32()? {
            let at = (r.u32()? as usize).checked_mul(4096).ok_or("page outside RAM")?;
            let page = r.take(4096)?;
            ram.get_mut(at..at + 4096).ok_or("page outside RAM")?.copy_from_slice(page);
        }
        let mut bodies = Vec::new();
        for _ in 0..count {
            let len = r.u32()? as usize;
            let body = r.take(len)?;
            bodies.push((parse_vector(body)?.id, body));
        }
        Ok(File { env: Env { state, ram }, bodies })
    }

    /// Whether there is a vector with number `id`.
    pub fn has(&self, id: u32) -> bool {
        self.bodies.iter().any(|(n, _)| *n == id)
    }

    /// The vectors, in the order of the file.
    pub fn vectors(&self) -> impl Iterator<Item = Vector> {
        self.bodies.iter().filter_map(|(_, body)| parse_vector(body).ok())
    }

    /// Whether single-stepping or breakpoints are on at the end of `vector`.
    pub fn may_end_in_trap(&self, vector: &Vector) -> bool {
        const TF: u32 = 1 << 8;
        const BREAKPOINTS: u32 = 0xFF;
        let mut state = self.env.state.clone();
        vector.initial.apply(&mut state);
        vector.expected.apply(&mut state);
        state.fields[field::EFLAGS] & TF != 0 || state.fields[field::DR7] & BREAKPOINTS != 0
    }
}

fn parse_vector(body: &[u8]) -> Result<Vector, &'static str> {
    Reader { bytes: body }.vector()
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl<'a> Reader<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8], &'static str> {
        let (head, tail) = self.bytes.split_at_checked(n).ok_or("it ends too early")?;
        self.bytes = tail;
        Ok(head)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], &'static str> {
        self.take(N)?.try_into().map_err(|_| "it ends too early")
    }

    fn u8(&mut self) -> Result<u8, &'static str> {
        Ok(self.take(1)?[0])
    }

    fn u16(&mut self) -> Result<u16, &'static str> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, &'static str> {
        self.array().map(u32::from_le_bytes)
    }

    fn vector(&mut self) -> Result<Vector, &'static str> {
        let id = self.u32()?;
        let source = self.u8()?;
        let end = match self.u8()? {
            0 => End::Hlt,
            1 => End::Shutdown,
            _ => return Err("unknown end of a vector"),
        };
        let code = self.u8()?;
        // First exception, its error code, instruction count: informational.
        self.take(1 + 4 + 2)?;
        let initial = self.delta()?;
        let expected = self.delta()?;
        let mut mask = Mask::default();
        for _ in 0..self.u8()? {
            mask.fields.push((self.field()?, self.u32()?));
        }
        for _ in 0..self.u8()? {
            let at = self.u32()?;
            let len = self.u8()? as usize;
            mask.ram.push((at, self.ram_bytes(at, len)?));
        }
        mask.st = self.u8()?;
        mask.xmm = self.u8()?;
        Ok(Vector {
            id,
            source,
            end,
            code_len: code & 0x7F,
            code16: code & 0x80 != 0,
            initial,
            expected,
            mask,
        })
    }

    fn field(&mut self) -> Result<u8, &'static str> {
        let n = self.u8()?;
        if (n as usize) < FIELDS { Ok(n) } else { Err("unknown state field") }
    }

    fn ram_bytes(&mut self, at: u32, len: usize) -> Result<Vec<u8>, &'static str> {
        if at as usize + len > RAM {
            return Err("patch outside RAM");
        }
        Ok(self.take(len)?.to_vec())
    }

    fn delta(&mut self) -> Result<Delta, &'static str> {
        let mut delta = Delta::default();
        let fields = u64::from_le_bytes(self.array()?);
        for n in (0..64).filter(|n| fields >> n & 1 != 0) {
            delta.fields.push((n, self.u32()?));
        }
        let (st, xmm) = (self.u8()?, self.u8()?);
        for n in (0..8).filter(|n| st >> n & 1 != 0) {
            delta.st.push((n, self.array()?));
        }
        for n in (0..8).filter(|n| xmm >> n & 1 != 0) {
            delta.xmm.push((n, self.array()?));
        }
        for _ in 0..self.u16()? {
            let at = self.u32()?;
            let len = self.u16()? as usize;
            delta.ram.push((at, self.ram_bytes(at, len)?));
        }
        Ok(delta)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn garbage_is_refused_with_a_reason() {
        assert_eq!(File::parse(b"").err(), Some("it ends too early"));
        assert_eq!(File::parse(&[0; 100]).err(), Some("it does not start with X86VEC1"));
        let mut huge = b"X86VEC1\0\x01\0\0\0\0\0\x04\0".to_vec();
        huge.extend([0xFF; 4]);
        assert_eq!(File::parse(&huge).err(), Some("it ends too early"));
    }
}
