//! The FPU belongs to one Guest at a time (1.9): its state is moved only when another Guest uses it.
//!
//! The Host itself has no floating point. CR0.TS makes the first use in a Guest trap unless the FPU is already its own
//! and the Guest did not ask for the trap.

use super::cpu;
use super::once::Global;
use core::arch::asm;

const CR0_TS: u32 = 1 << 3;
const CR4_OSFXSR: u32 = 1 << 9;
const CR4_OSXMMEXCPT: u32 = 1 << 10;
const CPUID_FPU: u32 = 1;
const CPUID_FXSR: u32 = 1 << 24;
const CPUID_SSE: u32 = 1 << 25;

/// Saved registers; the format is the processor's.
#[repr(C, align(16))]
pub struct State([u8; 512]);

impl State {
    /// Registers as after reset, in FXRSTOR's format: what a new Guest finds. Nothing of its predecessor's is in it.
    pub const fn new() -> State {
        let mut state = [0; 512];
        // FCW 0x037F, MXCSR 0x1F80: all exceptions masked, 64-bit precision, round to nearest.
        state[0] = 0x7F;
        state[1] = 0x03;
        state[24] = 0x80;
        state[25] = 0x1F;
        State(state)
    }
}

struct Owner {
    has_fxsr: bool,
    /// Number of the Guest whose state is in the processor.
    guest: Option<usize>,
    /// CR0.TS as it was left, once it was set.
    ts: Option<bool>,
}

static OWNER: Global<Owner> = Global::new(Owner { has_fxsr: false, guest: None, ts: None });

/// Enable what there is.
pub fn init() {
    let features = cpu::features();
    let has_fxsr = features & CPUID_FXSR != 0;
    let mut cr4 = cpu::cr4();
    if has_fxsr {
        cr4 |= CR4_OSFXSR;
    }
    if features & CPUID_SSE != 0 {
        cr4 |= CR4_OSXMMEXCPT;
    }
    // SAFETY: only enables instructions the processor has.
    unsafe { cpu::set_cr4(cr4) };
    OWNER.with(|owner| owner.has_fxsr = has_fxsr);
    debug_assert!(features & CPUID_FPU != 0);
}

/// Before an entry: should the Guest's first use trap?
pub fn before_entry(guest: usize, wants_ts: bool) {
    OWNER.with(|owner| {
        let wanted = owner.guest != Some(guest) || wants_ts;
        if owner.ts.replace(wanted) != Some(wanted) {
            let cr0 = cpu::cr0();
            // SAFETY: TS concerns floating point only.
            unsafe { cpu::set_cr0(if wanted { cr0 | CR0_TS } else { cr0 & !CR0_TS }) };
        }
    });
}

/// Trap 7: make `guest`'s state current. `states` are those of all Guests.
pub fn take(guest: usize, save: impl FnOnce(usize) -> *mut State, load: *const State, fresh: bool) {
    let (has_fxsr, old) = OWNER.with(|owner| (owner.has_fxsr, owner.guest.replace(guest)));
    if old == Some(guest) {
        return;
    }
    OWNER.with(|owner| owner.ts = Some(false));
    // SAFETY: TS is cleared first; both areas are aligned and large enough for either format.
    unsafe {
        asm!("clts", options(nomem, nostack));
        if let Some(old) = old {
            let area = save(old);
            if has_fxsr {
                asm!("fxsave [{}]", in(reg) area, options(nostack));
            } else {
                asm!("fnsave [{}]", in(reg) area, options(nostack));
            }
        }
        match (has_fxsr, fresh) {
            (true, _) => asm!("fxrstor [{}]", in(reg) load, options(nostack)),
            (false, true) => asm!("fninit", options(nomem, nostack)),
            (false, false) => asm!("frstor [{}]", in(reg) load, options(nostack)),
        }
    }
}

/// A Guest is gone: nobody owns what is left.
pub fn forget(guest: usize) {
    OWNER.with(|owner| {
        if owner.guest == Some(guest) {
            owner.guest = None;
        }
    });
}
