//! What the boot loader left: memory map, modules, command line (Multiboot Specification 0.6.96, 3.3).

/// Value of EAX.
const MAGIC: u32 = 0x2BAD_B002;
const HAS_MEMORY: u32 = 1;
const HAS_COMMAND_LINE: u32 = 1 << 2;
const HAS_MODULES: u32 = 1 << 3;
const HAS_MAP: u32 = 1 << 6;

#[repr(C)]
struct Raw {
    flags: u32,
    mem_lower: u32,
    mem_upper: u32,
    boot_device: u32,
    command_line: u32,
    modules: u32,
    module_list: u32,
    symbols: [u32; 4],
    map_length: u32,
    map: u32,
}

/// The loader's information, which stays where it is until the last module is loaded.
pub struct Info {
    raw: &'static Raw,
    address: u32,
}

/// A file the loader brought.
#[derive(Clone, Copy)]
pub struct Module {
    /// Its bytes.
    pub data: &'static [u8],
    /// Its string: in some loaders a file name first, then arguments.
    pub string: &'static [u8],
}

/// A range of physical addresses.
#[derive(Clone, Copy, Debug, Default)]
pub struct Range {
    /// First byte.
    pub start: u32,
    /// Behind the last byte.
    pub end: u32,
}

/// A NUL-terminated string of the loader; empty for address 0.
fn string(address: u32) -> &'static [u8] {
    if address == 0 {
        return &[];
    }
    // SAFETY: the loader promises a terminated string at a mapped address that nobody changes.
    unsafe { core::ffi::CStr::from_ptr(address as *const core::ffi::c_char) }.to_bytes()
}

impl Info {
    /// Accept what `_start` got.
    pub fn read(magic: u32, address: u32) -> Option<Info> {
        // SAFETY: with the magic value, EBX is the address of the structure; paging is off and it is never written.
        (magic == MAGIC).then(|| Info { raw: unsafe { &*(address as *const Raw) }, address })
    }

    /// The Host's own command line.
    pub fn command_line(&self) -> &'static str {
        let bytes = if self.raw.flags & HAS_COMMAND_LINE != 0 { string(self.raw.command_line) } else { &[] };
        core::str::from_utf8(bytes).unwrap_or("")
    }

    /// The value of the word `name` on the command line: `option("guest-mem=")`.
    pub fn option(&self, name: &str) -> Option<&'static str> {
        self.command_line().split_ascii_whitespace().find_map(|word| word.strip_prefix(name))
    }

    /// The modules, in order.
    pub fn modules(&self) -> impl Iterator<Item = Module> + '_ {
        let count = if self.raw.flags & HAS_MODULES != 0 { self.raw.modules } else { 0 };
        (0..count).map(|n| {
            // SAFETY: the loader promises `count` entries of 16 bytes, and that the ranges are the files.
            unsafe {
                let entry = &*((self.raw.module_list + 16 * n) as *const [u32; 4]);
                let len = entry[1].saturating_sub(entry[0]) as usize;
                let data = core::slice::from_raw_parts(entry[0] as *const u8, len);
                Module { data, string: string(entry[2]) }
            }
        })
    }

    /// Usable memory.
    pub fn memory(&self) -> impl Iterator<Item = Range> + '_ {
        let simple = self.raw.flags & HAS_MAP == 0 && self.raw.flags & HAS_MEMORY != 0;
        let upper = simple.then(|| Range { start: 1 << 20, end: (1 << 20) + self.raw.mem_upper * 1024 });
        let mut at = self.raw.map;
        let end = if self.raw.flags & HAS_MAP != 0 { at + self.raw.map_length } else { at };
        let map = core::iter::from_fn(move || {
            while at < end {
                // SAFETY: the loader promises entries { size, base, length, type } up to `end`.
                let (size, base, length, kind) = unsafe {
                    let p = at as *const u32;
                    (
                        p.read_unaligned(),
                        p.add(1).cast::<u64>().read_unaligned(),
                        p.add(3).cast::<u64>().read_unaligned(),
                        p.add(5).read_unaligned(),
                    )
                };
                at += size + 4;
                let top = base.saturating_add(length).min(0xFFFF_F000);
                if kind == 1 && base < top {
                    return Some(Range { start: base as u32, end: top as u32 });
                }
            }
            None
        });
        upper.into_iter().chain(map)
    }

    /// What must not be overwritten: this structure and all it points to.
    pub fn occupied(&self) -> impl Iterator<Item = Range> + '_ {
        let at = |start: u32, len: u32| Range { start, end: start.saturating_add(len) };
        let list = if self.raw.flags & HAS_MODULES != 0 { self.raw.modules } else { 0 };
        [
            at(self.address, 128),
            at(self.raw.module_list, 16 * list),
            at(self.raw.map, self.raw.map_length),
            at(self.raw.command_line, self.command_line().len() as u32 + 1),
        ]
        .into_iter()
        .chain(self.modules().map(move |m| at(m.data.as_ptr() as u32, m.data.len() as u32)))
        .chain(self.modules().map(move |m| at(m.string.as_ptr() as u32, m.string.len() as u32 + 1)))
        .filter(|range| range.start != 0)
    }
}
