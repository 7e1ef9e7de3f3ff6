//! A static that the one processor uses without locks.

use core::cell::UnsafeCell;

/// A global. There is one processor and no code of the Host is ever re-entered: handlers of interrupts touch only
/// atomics.
pub struct Global<T>(UnsafeCell<T>);

// SAFETY: one processor, no re-entry (see the type's documentation).
unsafe impl<T> Sync for Global<T> {}

impl<T> Global<T> {
    /// A global with this value.
    pub const fn new(value: T) -> Global<T> {
        Global(UnsafeCell::new(value))
    }

    /// Use it. `f` must not reach the same global again.
    pub fn with<R>(&self, f: impl FnOnce(&mut T) -> R) -> R {
        // SAFETY: exclusive by the type's documentation and the rule for `f`.
        f(unsafe { &mut *self.0.get() })
    }

    /// Its address.
    pub const fn as_ptr(&self) -> *mut T {
        self.0.get()
    }
}
