//! Statics of a single-threaded kernel.

use core::cell::UnsafeCell;

/// A static that the kernel reads and writes through a pointer. The Host, a device or a trap handler may change what
/// is inside at any time, hence no references, only volatile copies.
#[repr(transparent)]
pub struct Global<T>(UnsafeCell<T>);

// SAFETY: a Guest has one virtual CPU and its interrupt handlers touch a Global only by whole volatile accesses.
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    /// A static with this initial value.
    pub const fn new(value: T) -> Self {
        Self(UnsafeCell::new(value))
    }

    /// Where it is.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}

impl<T: Copy> Global<T> {
    /// Its value now.
    pub fn get(&self) -> T {
        // SAFETY: the pointer is that of a live static, and T is Copy.
        unsafe { self.0.get().read_volatile() }
    }

    /// Changes it.
    pub fn set(&self, value: T) {
        // SAFETY: the pointer is that of a live static.
        unsafe { self.0.get().write_volatile(value) }
    }
}
