//! What the Host hands over: the entry registers, `boot_params`, the command line.

use crate::paging::phys_to_virt;
use core::ffi::CStr;

core::arch::global_asm!(include_str!("boot.s"), options(att_syntax));

/// The registers as the first instruction found them.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub struct EntryState {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub esi: u32,
    pub edi: u32,
    pub ebp: u32,
    pub esp: u32,
    pub cs: u32,
    pub ds: u32,
    pub es: u32,
    pub fs: u32,
    pub gs: u32,
    pub ss: u32,
    pub eflags: u32,
}

unsafe extern "C" {
    static entry_state: EntryState;
}

/// The registers as the first instruction found them.
pub fn registers() -> EntryState {
    // SAFETY: boot.s filled it before any Rust code ran and nothing writes it afterwards.
    unsafe { entry_state }
}

/// One field of `boot_params`, the page at guest-physical 0.
pub fn boot_param<T: Copy>(offset: u32) -> T {
    // SAFETY: the first 8 MiB of guest-physical memory are mapped, and any bit pattern is an integer.
    unsafe { (phys_to_virt(offset) as *const T).read_unaligned() }
}

/// Bytes of RAM: the one entry of the memory map.
pub fn memory_size() -> u32 {
    boot_param(0x2d0 + 8)
}

/// The command line, empty if it is not text.
pub fn command_line() -> &'static str {
    let pointer: u32 = boot_param(0x228);
    // SAFETY: the Host put a NUL-terminated string below 1 MiB, which is mapped and never written again.
    let text = unsafe { CStr::from_ptr(phys_to_virt(pointer) as *const _) };
    text.to_str().unwrap_or("")
}

/// Is this word on the command line?
pub fn has_word(word: &str) -> bool {
    command_line().split_ascii_whitespace().any(|w| w == word)
}

/// The value of `key=value` on the command line.
pub fn word_value(key: &str) -> Option<&'static str> {
    command_line().split_ascii_whitespace().find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
}
