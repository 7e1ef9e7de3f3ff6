//! `struct lguest_data`, the page of words the Guest shares with the Host.
//!
//! Its tail has three layouts: A (up to 3.0) begins with the page tables the Host made, B (3.1 to 4.0) with a range of code that
//! must not be interrupted, C (4.1 on) with one IRET. The image carries layout B; the words `layout=a` and `layout=c` on the
//! command line make boot.s rewrite the tail before INIT.

use crate::cell::Global;
use crate::hypercall::Call;
use crate::paging::KERNEL_BASE;

/// EFLAGS.IF, also the value of a true word here.
pub const IF: u32 = 0x200;

/// The shared structure, layout B and a word more.
#[repr(C, align(4096))]
#[allow(missing_docs)]
pub struct LguestData {
    pub irq_enabled: Global<u32>,
    pub blocked_interrupts: Global<u32>,
    pub cr2: Global<u32>,
    pub time: Global<[u32; 2]>,
    pub irq_pending: Global<u32>,
    pub hcall_status: [Global<u8>; 64],
    pub hcalls: [Global<Call>; 64],
    pub reserve_mem: Global<u32>,
    pub tsc_khz: Global<u32>,
    pub tail: Global<[Word; 5]>,
}

/// A word of the tail: an address of the linker's, or a number.
#[repr(C)]
#[derive(Clone, Copy)]
pub union Word {
    address: *const u8,
    number: u32,
}

// SAFETY: a word of plain data.
unsafe impl Sync for Word {}

unsafe extern "C" {
    /// Start of the window of layout B.
    pub static noirq_start: u8;
    /// The IRET of layout C.
    pub static noirq_iret: u8;
    /// End of the window of layout B.
    pub static noirq_end: u8;
}

/// The one instance, known to boot.s and trap.s.
#[unsafe(export_name = "lguest_data")]
pub static DATA: LguestData = LguestData {
    irq_enabled: Global::new(0),
    // All: a device that nobody listens to must not wake a sleeper.
    blocked_interrupts: Global::new(u32::MAX),
    cr2: Global::new(0),
    time: Global::new([0; 2]),
    irq_pending: Global::new(0),
    hcall_status: [const { Global::new(0xff) }; 64],
    hcalls: [const { Global::new(Call::EMPTY) }; 64],
    reserve_mem: Global::new(0),
    tsc_khz: Global::new(0),
    tail: Global::new([
        Word { address: &raw const noirq_start },
        Word { address: &raw const noirq_end },
        Word { number: KERNEL_BASE },
        Word { number: SYSCALL },
        Word { number: u32::MAX },
    ]),
};

/// The system-call vector, by whose place the layouts are told apart.
const SYSCALL: u32 = 0x80;

/// A word of the tail.
fn tail(n: usize) -> u32 {
    // SAFETY: both members of the union are one word of plain data.
    unsafe { DATA.tail.get()[n].number }
}

/// Is the tail in layout C?
pub fn is_layout_c() -> bool {
    tail(2) == SYSCALL
}

/// Page tables made by the Host: their guest-physical address, in layout A.
pub fn boot_tables() -> Option<u32> {
    (tail(4) == SYSCALL).then(|| tail(0))
}
