//! The memory functions the compiler calls and the kernels measure, as string instructions.

use core::arch::{asm, global_asm};

/// Copies with one REP MOVSD. The slices must have the same length.
pub fn move_words(to: &mut [u32], from: &[u32]) {
    assert_eq!(to.len(), from.len());
    // SAFETY: both have that many words and do not overlap; esi is saved by hand because the compiler reserves it.
    unsafe {
        asm!("xchg esi, {f}", "rep movsd", "xchg esi, {f}", f = inout(reg) from.as_ptr() => _,
            inout("edi") to.as_mut_ptr() => _, inout("ecx") to.len() => _, options(nostack, preserves_flags));
    }
}

/// Fills with one REP STOSD.
pub fn fill_words(to: &mut [u32], value: u32) {
    // SAFETY: it has that many words.
    unsafe {
        asm!("rep stosd", inout("edi") to.as_mut_ptr() => _, inout("ecx") to.len() => _, in("eax") value,
            options(nostack, preserves_flags));
    }
}

// In assembly as a whole: the compiler keeps ESI to itself.
global_asm!(
    ".globl memcpy, memset",
    "memcpy: pushl %esi",
    "pushl %edi",
    "movl 12(%esp), %edi",
    "movl 16(%esp), %esi",
    "movl 20(%esp), %ecx",
    "movl %edi, %eax",
    "movl %ecx, %edx",
    "shrl $2, %ecx",
    "rep movsl",
    "movl %edx, %ecx",
    "andl $3, %ecx",
    "rep movsb",
    "popl %edi",
    "popl %esi",
    "ret",
    "memset: pushl %edi",
    "movl 8(%esp), %edi",
    "movzbl 12(%esp), %eax",
    "imull $0x01010101, %eax",
    "movl 16(%esp), %ecx",
    "movl %ecx, %edx",
    "shrl $2, %ecx",
    "rep stosl",
    "movl %edx, %ecx",
    "andl $3, %ecx",
    "rep stosb",
    "movl 8(%esp), %eax",
    "popl %edi",
    "ret",
    options(att_syntax)
);

unsafe extern "C" {
    fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8;
}

/// Copies in the direction that overlapping allows.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    if (to as usize).wrapping_sub(from as usize) >= n {
        // SAFETY: the caller's promise; a forward copy is right because `to` is not inside the source.
        return unsafe { memcpy(to, from, n) };
    }
    for i in (0..n).rev() {
        // SAFETY: the caller's promise for [0, n).
        unsafe { to.add(i).write_volatile(from.add(i).read_volatile()) };
    }
    to
}

/// Compares; 0 is equal.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    for i in 0..n {
        // SAFETY: the caller's promise for [0, n).
        let (x, y) = unsafe { (a.add(i).read_volatile(), b.add(i).read_volatile()) };
        if x != y {
            return i32::from(x) - i32::from(y);
        }
    }
    0
}

/// Compares for equality only; 0 is equal.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, n) }
}

/// Length of a C string.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller's promise.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}
