//! The memory functions the compiler calls, and the frames the kernel gives to page tables and programs.

use crate::cell::Global;
use crate::paging::{phys_to_virt, virt_to_phys};
use core::arch::asm;

/// Copies forwards.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise; esi is saved by hand because the compiler reserves it.
    unsafe {
        asm!("xchg esi, {f}", "rep movsb", "xchg esi, {f}", f = inout(reg) from => _,
            inout("edi") to => _, inout("ecx") n => _, options(nostack, preserves_flags));
    }
    to
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

/// Fills.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn memset(to: *mut u8, value: i32, n: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("rep stosb", inout("edi") to => _, inout("ecx") n => _, in("al") value as u8,
            options(nostack, preserves_flags));
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

/// Compares for equality only.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, n: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, n) }
}

/// Length of a NUL-terminated string.
///
/// # Safety
/// As the C function.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut n = 0;
    // SAFETY: the caller's promise: there is a NUL.
    while unsafe { text.add(n).read_volatile() } != 0 {
        n += 1;
    }
    n
}

/// Bytes in a page.
pub const PAGE: u32 = 4096;

const FRAMES: usize = 128;

#[repr(C, align(4096))]
struct Frames([[u32; 1024]; FRAMES]);

static POOL: Global<Frames> = Global::new(Frames([[0; 1024]; FRAMES]));
static NEXT: Global<usize> = Global::new(0);

/// A zeroed page frame of its own: its guest-physical address. There are enough for everything a Guest of ours does,
/// and nothing is given back.
pub fn allocate_frame() -> u32 {
    let n = NEXT.get();
    assert!(n < FRAMES, "out of page frames");
    NEXT.set(n + 1);
    virt_to_phys(POOL.as_ptr() as u32) + n as u32 * PAGE
}

/// Reads a word of memory that the page tables may have changed under the compiler.
pub fn peek(address: u32) -> u32 {
    // SAFETY: callers mapped the page.
    unsafe { (address as *const u32).read_volatile() }
}

/// Writes one.
pub fn poke(address: u32, value: u32) {
    // SAFETY: callers mapped the page.
    unsafe { (address as *mut u32).write_volatile(value) }
}

/// A frame that starts with this word.
pub fn frame_with(value: u32) -> u32 {
    let frame = allocate_frame();
    poke(phys_to_virt(frame), value);
    frame
}
