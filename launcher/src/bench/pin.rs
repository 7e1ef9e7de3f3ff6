//! Binding to one processor of the host, so that all places are measured on the same one. Programs started later
//! inherit it. Only Linux has a call for this that children inherit; elsewhere nothing is bound.

/// Bind the calling thread; returns the processor's number, `None` if it is not bound.
#[cfg(target_os = "linux")]
pub fn to_one_processor() -> Option<usize> {
    use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
    let allowed = sched_getaffinity(None).ok()?;
    // The last one: the first serves most interrupts.
    let chosen = (0..CpuSet::MAX_CPU).rev().find(|&n| allowed.is_set(n))?;
    let mut only = CpuSet::new();
    only.set(chosen);
    sched_setaffinity(None, &only).ok()?;
    Some(chosen)
}

/// Bind the calling thread; returns the processor's number, `None` if it is not bound.
#[cfg(not(target_os = "linux"))]
pub fn to_one_processor() -> Option<usize> {
    None
}
