//! Constants of the interface between Guest and Host (0, 2.3, 3.7).

/// Page size in bytes.
pub const PAGE: u32 = 4096;

/// Hypercall numbers (2.3).
#[allow(missing_docs)]
pub mod hcall {
    pub const FLUSH_ASYNC: u32 = 0;
    pub const LGUEST_INIT: u32 = 1;
    pub const SHUTDOWN: u32 = 2;
    pub const NEW_PGTABLE: u32 = 4;
    pub const FLUSH_TLB: u32 = 5;
    pub const LOAD_IDT_ENTRY: u32 = 6;
    pub const SET_STACK: u32 = 7;
    pub const TS: u32 = 8;
    pub const SET_CLOCKEVENT: u32 = 9;
    pub const HALT: u32 = 10;
    /// Only with PAE.
    pub const SET_PMD: u32 = 13;
    pub const SET_PTE: u32 = 14;
    pub const SET_PGD: u32 = 15;
    pub const LOAD_TLS: u32 = 16;
    pub const NOTIFY: u32 = 17;
    pub const LOAD_GDT_ENTRY: u32 = 18;
    pub const SEND_INTERRUPTS: u32 = 19;
}

/// Vector of hypercalls.
pub const HYPERCALL_VECTOR: u32 = 31;
/// The one system-call vector the Host accepts.
pub const SYSCALL_VECTOR: u32 = 0x80;
/// Virtual interrupt n is vector 0x20 + n.
pub const FIRST_IRQ_VECTOR: u32 = 0x20;
/// Virtual interrupts of a Guest.
pub const IRQS: u32 = 32;
/// Ring-1 kernel code and data, as a Guest holds them.
pub const GUEST_CS: u32 = 0x61;
/// See [`GUEST_CS`].
pub const GUEST_DS: u32 = 0x69;

/// Bytes at the top of the address space a Guest must leave to the Switcher.
pub const RESERVE_MEM: u32 = 4 << 20;

/// Calls in the asynchronous ring.
pub const RING: u32 = 64;
/// A free or finished slot.
pub const RING_FREE: u8 = 0xFF;
/// Smallest distance of a clock event, in nanoseconds.
pub const MIN_CLOCK_DELTA: u32 = 100;

/// EFLAGS bits.
#[allow(missing_docs)]
pub mod flags {
    pub const ALWAYS: u32 = 1 << 1;
    pub const TF: u32 = 1 << 8;
    pub const IF: u32 = 1 << 9;
    pub const NT: u32 = 1 << 14;
    pub const RF: u32 = 1 << 16;
    pub const VM: u32 = 1 << 17;
    /// CF PF AF ZF SF DF OF AC ID: what a Guest may choose (10.2).
    pub const FREE: u32 = 0x0024_0CD5;
}

/// Offsets in `struct lguest_data` that are the same in every version (3.7).
pub mod data {
    /// 0 or 0x200: may interrupts be delivered?
    pub const IRQ_ENABLED: u32 = 0;
    /// Bit n: irq n is masked.
    pub const BLOCKED_INTERRUPTS: u32 = 4;
    /// Address of the last reflected page fault.
    pub const CR2: u32 = 8;
    /// Seconds and nanoseconds.
    pub const TIME: u32 = 12;
    /// 0x200 if an interrupt waits.
    pub const IRQ_PENDING: u32 = 20;
    /// A status byte for each slot of the ring.
    pub const HCALL_STATUS: u32 = 24;
    /// The slots: five words each.
    pub const HCALLS: u32 = 88;
    /// Bytes to leave at the top.
    pub const RESERVE_MEM: u32 = 1368;
    /// Rate of the time-stamp counter.
    pub const TSC_KHZ: u32 = 1372;
    /// Bytes that must be in RAM whatever the version.
    pub const MIN_SIZE: u32 = 1388;
}

/// Where the version-dependent tail of `struct lguest_data` has what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Host-built boot page tables (up to 3.0).
    pub pgdir: Option<u32>,
    /// Start and end of the no-interrupt range, or the single IRET.
    pub window: Window,
    /// The Guest's PAGE_OFFSET.
    pub kernel_address: u32,
    /// Its system-call vector.
    pub syscall_vec: u32,
}

/// Offsets of the no-interrupt window (5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Window {
    /// Start and end.
    Range(u32, u32),
    /// The IRET.
    Iret(u32),
}

/// Layouts in the order they are tried: the first whose vector field is below 256 is the one.
pub const LAYOUTS: [Layout; 3] = [
    Layout { pgdir: None, window: Window::Iret(1376), kernel_address: 1380, syscall_vec: 1384 },
    Layout { pgdir: None, window: Window::Range(1376, 1380), kernel_address: 1384, syscall_vec: 1388 },
    Layout { pgdir: Some(1376), window: Window::Range(1380, 1384), kernel_address: 1388, syscall_vec: 1392 },
];

/// Name of a hypercall and how many of its arguments mean something, for the log.
pub fn hypercall(n: u32) -> (&'static str, usize) {
    const CALLS: [(&str, usize); 20] = [
        ("FLUSH_ASYNC", 0),
        ("LGUEST_INIT", 1),
        ("SHUTDOWN", 2),
        ("3", 4),
        ("NEW_PGTABLE", 1),
        ("FLUSH_TLB", 1),
        ("LOAD_IDT_ENTRY", 3),
        ("SET_STACK", 3),
        ("TS", 1),
        ("SET_CLOCKEVENT", 1),
        ("HALT", 0),
        ("11", 4),
        ("12", 4),
        ("SET_PMD", 2),
        ("SET_PTE", 3),
        ("SET_PGD", 2),
        ("LOAD_TLS", 1),
        ("NOTIFY", 1),
        ("LOAD_GDT_ENTRY", 3),
        ("SEND_INTERRUPTS", 0),
    ];
    CALLS.get(n as usize).copied().unwrap_or(("unknown", 4))
}
