//! Instructions Rust has no words for.

use core::arch::asm;
use lguest_host::mutant::broken;

/// OUT of a byte.
pub fn outb(port: u16, value: u8) {
    // SAFETY: the Host owns the machine's ports; no memory is touched.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// IN of a byte.
pub fn inb(port: u16) -> u8 {
    let value;
    // SAFETY: as `outb`.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// OUT of a word.
pub fn outw(port: u16, value: u16) {
    // SAFETY: as `outb`.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nomem, nostack, preserves_flags)) }
}

/// IN of a word.
pub fn inw(port: u16) -> u16 {
    let value;
    // SAFETY: as `outb`.
    unsafe { asm!("in ax, dx", in("dx") port, out("ax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// OUT of a double word.
pub fn outl(port: u16, value: u32) {
    // SAFETY: as `outb`.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

/// IN of a double word.
pub fn inl(port: u16) -> u32 {
    let value;
    // SAFETY: as `outb`.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// The time-stamp counter.
pub fn rdtsc() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: reads a counter.
    unsafe { asm!("rdtsc", out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags)) }
    (high as u64) << 32 | low as u64
}

/// EDX of CPUID leaf 1.
pub fn features() -> u32 {
    core::arch::x86::__cpuid(1).edx
}

/// Shut what reset or a loader left open and a Guest could feel or use: debug registers, SYSENTER (1.8), and the local
/// descriptor table. After reset that is present, at address 0, where a Guest's own memory would be descriptors, with
/// call gates to ring 0 if it likes.
pub fn shut_side_doors() {
    const CPUID_SEP: u32 = 1 << 11;
    const SYSENTER_CS: u32 = 0x174;
    // SAFETY: the Host uses no breakpoints, SYSENTER or local descriptors; the MSR exists where CPUID says so.
    unsafe {
        asm!("mov dr7, {}", in(reg) 0u32, options(nomem, nostack, preserves_flags));
        if features() & CPUID_SEP != 0 {
            asm!("wrmsr", in("ecx") SYSENTER_CS, in("eax") 0u32, in("edx") 0u32, options(nomem, nostack, preserves_flags));
        }
        if !broken("ldt-left-open") {
            asm!("lldt {:x}", in(reg) 0u32, options(nomem, nostack, preserves_flags));
        }
    }
}

/// Address of the last page fault.
pub fn cr2() -> u32 {
    let value;
    // SAFETY: reads a register.
    unsafe { asm!("mov {}, cr2", out(reg) value, options(nomem, nostack, preserves_flags)) }
    value
}

macro_rules! control_register {
    ($($set:ident, $name:literal $(, $get:ident)?;)*) => {$(
        $(#[doc = concat!("Read ", $name, ".")]
        pub fn $get() -> u32 {
            let value;
            // SAFETY: reads a register.
            unsafe { asm!(concat!("mov {}, ", $name), out(reg) value, options(nomem, nostack, preserves_flags)) }
            value
        })?

        #[doc = concat!("Write ", $name, ".")]
        ///
        /// # Safety
        /// The new value must keep the Host's code, stack and data as they are.
        pub unsafe fn $set(value: u32) {
            // SAFETY: promised by the caller.
            unsafe { asm!(concat!("mov ", $name, ", {}"), in(reg) value, options(nostack, preserves_flags)) }
        }
    )*};
}

control_register! {
    set_cr0, "cr0", cr0;
    set_cr3, "cr3";
    set_cr4, "cr4", cr4;
}

/// Forget the translation of `address`.
pub fn invlpg(address: u32) {
    // SAFETY: only drops a cached translation.
    unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack, preserves_flags)) }
}

/// Stop for ever.
pub fn halt_for_ever() -> ! {
    loop {
        // SAFETY: nothing is expected to happen any more.
        unsafe { asm!("cli", "hlt") }
    }
}
