//! Checks and rules that can be broken by name, so that tests can see themselves fail. `a+b` breaks two: what is checked twice
//! does not show when one of the checks is gone.
//!
//! In the shipped image all of this is constant: a check is a comparison, a rule is always kept.

/// Whether the rule `name` is broken in this run.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn broken(_name: &str) -> bool {
    false
}

/// Whether the check for the kill category `category` is removed in this run.
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn unchecked(_category: &str) -> bool {
    false
}

#[cfg(feature = "mutants")]
mod selected {
    use core::sync::atomic::{AtomicPtr, AtomicUsize, Ordering};

    static NAME: AtomicPtr<u8> = AtomicPtr::new(core::ptr::null_mut());
    static LEN: AtomicUsize = AtomicUsize::new(0);

    /// Break the rule `name`, or several with a `+` between them.
    pub fn select(name: &'static str) {
        NAME.store(name.as_ptr().cast_mut(), Ordering::Relaxed);
        LEN.store(name.len(), Ordering::Relaxed);
    }

    fn names() -> impl Iterator<Item = &'static [u8]> {
        let name = NAME.load(Ordering::Relaxed);
        let names: &[u8] = if name.is_null() {
            &[]
        } else {
            // SAFETY: `select` stored a `&'static str`; there is one processor.
            unsafe { core::slice::from_raw_parts(name, LEN.load(Ordering::Relaxed)) }
        };
        names.split(|&byte| byte == b'+')
    }

    /// Whether the rule `name` is broken in this run.
    pub fn broken(name: &str) -> bool {
        names().any(|broken| broken == name.as_bytes())
    }

    /// Whether the check for the kill category `category` is removed in this run: `unchecked-` and its name in
    /// lower case with dashes.
    pub fn unchecked(category: &str) -> bool {
        names().filter_map(|name| name.strip_prefix(b"unchecked-")).any(|rest| {
            rest.len() == category.len()
                && rest.iter().zip(category.bytes()).all(|(&a, b)| match b {
                    b'_' => a == b'-',
                    b => a == b.to_ascii_lowercase(),
                })
        })
    }
}

#[cfg(feature = "mutants")]
pub use selected::{broken, select, unchecked};
