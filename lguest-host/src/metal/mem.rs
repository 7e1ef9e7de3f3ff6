//! The memory functions the compiler calls. String instructions need no loop the compiler could turn into a call.

use core::arch::asm;

/// C memcpy.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    // SAFETY: promised by the caller. Double words first: most copies are of structures. ESI is the compiler's own,
    // hence the exchange.
    unsafe {
        asm!(
            "xchg esi, {from}", "rep movsd", "mov ecx, edx", "rep movsb", "xchg esi, {from}",
            from = inout(reg) from => _, in("edx") len & 3, inout("edi") to => _, inout("ecx") len / 4 => _,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// C memmove.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= len {
        // SAFETY: copying upwards reads every byte before it is overwritten.
        return unsafe { memcpy(to, from, len) };
    }
    // SAFETY: promised by the caller; downwards, from the last byte.
    unsafe {
        asm!(
            "std", "xchg esi, {from}", "rep movsb", "xchg esi, {from}", "cld",
            from = inout(reg) from.wrapping_add(len).wrapping_sub(1) => _,
            inout("edi") to.wrapping_add(len).wrapping_sub(1) => _, inout("ecx") len => _,
            options(nostack)
        );
    }
    to
}

/// C memset.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, len: usize) -> *mut u8 {
    let word = value as u8 as u32 * 0x0101_0101;
    // SAFETY: promised by the caller. Double words first: RAM of a Guest is cleared with this.
    unsafe {
        asm!(
            "rep stosd", "mov ecx, {rest}", "rep stosb",
            rest = in(reg) len & 3, in("eax") word, inout("edi") to => _, inout("ecx") len / 4 => _,
            options(nostack, preserves_flags)
        );
    }
    to
}

/// C memcmp.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    for n in 0..len {
        // SAFETY: promised by the caller. Volatile, so that this loop is not made a call of itself.
        let (x, y) = unsafe { (a.add(n).read_volatile(), b.add(n).read_volatile()) };
        if x != y {
            return x as i32 - y as i32;
        }
    }
    0
}

/// C bcmp.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, len: usize) -> i32 {
    // SAFETY: promised by the caller.
    unsafe { memcmp(a, b, len) }
}

/// C strlen.
///
/// # Safety
/// As in C.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut len = 0;
    // SAFETY: promised by the caller. Volatile for the same reason as in `memcmp`.
    while unsafe { text.add(len).read_volatile() } != 0 {
        len += 1;
    }
    len
}
