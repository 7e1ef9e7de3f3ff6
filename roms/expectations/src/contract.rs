//! The security contract of the interface: what a Host must not let a Guest do, row by row, and what shows that ours does not.
//!
//! Numbers in front are sections of the interface's description; the words are ours.

/// What shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shown {
    /// Attacks of [`crate::ATTACKS`].
    Attacks(&'static [&'static str]),
    /// A line of [`crate::PROOFS`].
    Proof(u32),
    /// It cannot come to this, for a reason that the attacks before it show.
    Never(&'static str),
}

/// One row.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// Section.
    pub section: &'static str,
    /// What it is about.
    pub about: &'static str,
    /// What shows that it holds.
    pub shown: &'static [Shown],
}

macro_rules! contract {
    ($($section:literal $about:literal <- $($shown:expr),+;)*) => {
        /// Every row, in the order of the description.
        pub const CONTRACT: &[Row] = &[$(Row { section: $section, about: $about, shown: &[$($shown),+] }),*];
    };
}

use Shown::{Attacks, Never, Proof};

contract! {
    // Kill list.
    "10.1" "HCALL_BEFORE_INIT, ALREADY_INIT, BAD_HYPERCALL" <- Attacks(&["hcall-before-init", "init-twice", "init-twice-async",
        "hcall-3", "hcall-11", "hcall-12", "hcall-13", "hcall-20", "hcall-max", "hcall-unknown-async"]);
    "10.1" "BAD_GUEST_PAGE: lguest_data outside RAM" <- Attacks(&["init-data-outside", "init-data-wraps"]);
    "10.1" "BAD_SYSCALL_VECTOR, BAD_KERNEL_ADDRESS" <- Attacks(&["init-syscall-vector", "init-kernel-address"]);
    "10.1" "BAD_READ: strings, thread-local segments, tables, rings" <- Attacks(&["shutdown-outside", "shutdown-wraps",
        "tls-outside", "tls-wraps", "tls-behind-end", "tls-async-outside", "pgtable-outside", "lgdt-outside", "lidt-outside",
        "cr3-outside", "device-as-directory", "virtio-rings-outside", "virtio-rings-wrap", "virtio-descriptors-outside",
        "net-rings-outside"]);
    "10.1" "BAD_WRITE: stacks, rings" <- Attacks(&["stack-outside", "stack-across-end", "device-as-trap-stack",
        "virtio-used-outside"]);
    "10.1" "BAD_ADDRESS: not mapped when the Host needs it" <- Attacks(&["stack-unmapped", "stack-unmapped-direct",
        "handler-nowhere"]);
    "10.1" "BAD_PGD, BAD_PMD, BAD_PTE" <- Attacks(&["pgd-large", "pgd-global", "pgd-outside", "pgd-limit", "pte-large",
        "pte-outside", "pte-limit", "pte-max", "set-pte-large", "set-pte-outside", "set-pte-limit", "pointer-flags",
        "middle-large", "middle-outside", "pte-high", "set-pte-high", "bar-gone", "bar-beyond", "device-as-page-table",
        "data-as-page-table"]);
    "10.1" "BAD_PGD_INDEX, SWITCHER_TOUCH" <- Attacks(&["set-pgd-index", "set-pgd-max", "set-pgd-four", "switcher-touch",
        "switcher-touch-last"]);
    "10.1" "BAD_STACK_SEGMENT, BAD_STACK_PAGES, BAD_STACK_PAGE" <- Attacks(&["stack-segment-0", "stack-segment-3", "stack-pages",
        "stack-page", "device-as-stack"]);
    "10.1" "TOO_MANY_GDT, IDT_RANGE, BAD_IDT_TYPE" <- Attacks(&["gdt-index", "gdt-max", "idt-index", "idt-max", "idt-task-gate",
        "idt-call-gate"]);
    "10.1" "UNHANDLED_TRAP: no gate, vector 8, a fault in the Switcher" <- Attacks(&["fault-before-init", "no-gate",
        "jump-nowhere", "double-fault", "stack-null", "stack-code", "unloadable-gs", "ring-2"]);
    "10.1" "ASYNC_FETCH, ASYNC_WRITE, CR2_WRITE, TIME_WRITE, IRQ_WRITE" <- Never("INIT takes lguest_data only if all of it is RAM, \
        and RAM stays"), Attacks(&["init-data-outside", "init-data-wraps"]);
    "10.1" "OUT_OF_MEMORY: no page for shadow tables" <- Never("they are taken from the Guest's other addresses; a Guest whose \
        tables are not recycled dies of it"), Attacks(&["shadow-flood"]);
    "10.1" "NOTIFY_RANGE" <- Attacks(&["notify-outside"]);
    "10.1" "CRASH(text)" <- Attacks(&["crash", "halt-dark"]);

    // To be made harmless.
    "10.2" "EFLAGS from memory, and as the processor saved them" <- Attacks(&["flags-window", "flags-window-io-level",
        "flags-nested-task", "flags-single-step", "flags-io-level"]);
    "10.2" "CS and SS: ring 1 or 3, the same" <- Attacks(&["ring-2", "unloadable-cs", "unloadable-ss"]);
    "10.2" "descriptors: DPL 1 or more, segments or nothing" <- Attacks(&["gdt-dpl-0", "gdt-conforming", "gdt-tss", "gdt-call-gate",
        "gdt-call-gate-16", "gdt-task-gate", "gdt-host-entries", "tls-dpl-0", "tls-call-gate", "lgdt-dpl-0", "lgdt-call-gate",
        "ldt"]);
    "10.2" "gates: the kernel's code segment, DPL as the vector allows" <- Attacks(&["idt-selector", "idt-dpl", "idt-ignored"]);
    "10.2" "the processor: selectors nulled by IRET, WP, ring 1 as supervisor" <- Proof(28), Proof(6), Attacks(&["switcher-write",
        "switcher-ring3", "registers-page"]);
    "10.2" "shared words and the ring: copied once, the cursor is the Host's" <- Attacks(&["async-all-ready", "irq-words"]);
    "10.2" "lguest_data over page tables, rings over each other" <- Attacks(&["data-as-page-table",
        "virtio-rings-over-each-other"]);
    "10.2" "irq_enabled and blocked_interrupts are only tested" <- Attacks(&["irq-words"]);

    // Denial of service.
    "10.3" "loops of faults and interrupts" <- Attacks(&["fault-flood", "upper-rights", "spin-dark", "clockevent-storm"]);
    "10.3" "single steps, INT, hypercalls without end" <- Attacks(&["debug-flood", "int-flood", "hcall-flood"]);
    "10.3" "memory for shadow tables" <- Attacks(&["shadow-flood"]);
    "10.3" "chains and rings" <- Attacks(&["queue-loop", "virtio-loop", "block-limit", "block-endless", "block-flood",
        "virtio-flood", "net-flood", "entropy-flood", "device-flood"]);
    "10.3" "clock events a moment away" <- Attacks(&["clockevent-storm"]);
    "10.3" "a direct trap with a bad stack; vector 8" <- Attacks(&["stack-unmapped-direct", "double-fault"]);

    // Defects of earlier Hosts.
    "10.4" "table 0 is not that of an unused root" <- Attacks(&["pgtable-zero", "set-pte-no-root", "set-pgd-no-root"]);
    "10.4" "vmcall in a page mapped read-only" <- Proof(19), Attacks(&["vmcall-read-only", "vmcall-straddles"]);
    "10.4" "a hypercall runs once" <- Attacks(&["hcall-once"]);
    "10.4" "GDT data at an address that is not linear" <- Proof(11);
    "10.4" "int 0x80 through an interrupt gate" <- Proof(30);
    "10.4" "a waiting interrupt is told of" <- Proof(22);
    "10.4" "boot without tables by the Host" <- Proof(1), Proof(3);
    "10.4" "the Switcher survives SET_PGD, eviction, FLUSH_TLB" <- Attacks(&["set-pgd-switcher", "set-pmd-anywhere",
        "evict-switcher", "flush-switcher", "switcher-own-table"]);
    "10.4" "a device's page is never in the shadow" <- Attacks(&["set-pte-device", "device-execute", "device-ring-3",
        "device-read-only"]);
    "10.4" "an object may end with RAM, and not a byte later" <- Attacks(&["tls-at-end", "tls-behind-end", "queue-straddles"]);
    "10.4" "SET_PGD with the index behind the last" <- Attacks(&["set-pgd-index", "set-pgd-four"]);
    "10.4" "a stack pointer at the edge of a page" <- Attacks(&["stack-aligned"]);
    "10.4" "IN of a byte or a word" <- Proof(16), Attacks(&["in-widths"]);
    "10.4" "hostile flags in the frame of the no-interrupt IRET" <- Attacks(&["flags-window", "flags-window-io-level"]);
    "10.4" "TSS, call gate, task gate in the GDT" <- Attacks(&["gdt-tss", "gdt-call-gate", "gdt-call-gate-16", "gdt-task-gate"]);
    "10.4" "int 8, 10 to 14, 17 asked to be open to ring 3" <- Attacks(&["idt-dpl"]);
    "10.4" "SET_PTE with the entry of a page in swap" <- Attacks(&["set-pte-absent", "set-pte-clean"]);
    "10.4" "bit 7; the first page that is not RAM; page 0xfffff" <- Attacks(&["pte-large", "pgd-large", "pte-limit", "set-pte-limit",
        "pgd-limit", "pte-max"]);
    "10.4" "CR2 of a fault at a device" <- Attacks(&["device-instructions"]);
    "10.4" "a single-stepped program enters the kernel" <- Proof(39), Attacks(&["flags-single-step"]);
    "10.4" "a selector in use becomes unloadable" <- Attacks(&["unloadable-gs", "unloadable-fs", "unloadable-es", "unloadable-ds",
        "unloadable-ss", "unloadable-cs"]);
    "10.4" "privileged instructions, and ways to the Host's code" <- Proof(18), Proof(35), Attacks(&["privileged",
        "privileged-ring-1", "far-host-code", "ring-2"]);
    "10.4" "an interrupt between the last look and the sleep" <- Proof(25), Attacks(&["halt-race"]);
    "10.4" "irq_pending goes back to 0" <- Proof(23);
    "10.4" "disks: the name, numbers that overflow, a header in pieces" <- Proof(51), Attacks(&["block-range", "block-pieces",
        "block-header", "block-partial"]);
}
