//! The attacks of the attack Guest: what a hostile Guest can pass, and what must become of it.
//!
//! `attack=NAME` on the Guest's command line picks one. It prints `attack NAME`, tries, and if it still lives and saw
//! nothing it should not have, prints `survived NAME` and powers down; if it saw more, `BROKEN NAME: what`.

use crate::Mutant::{self, Cpu, Host};

/// What must become of an attack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The Host kills the Guest and names this category in its log.
    Killed(&'static str),
    /// The Guest brings it about itself; the Host says these words of it in its log.
    Crashed(&'static str),
    /// The Guest prints `survived NAME` and powers down.
    Survived,
    /// The Guest goes on for ever; the run ends by its limit and the Host stays in charge.
    Endless,
}

/// One attack.
#[derive(Clone, Copy, Debug)]
pub struct Attack {
    /// Its name on the command line.
    pub name: &'static str,
    /// What must become of it.
    pub outcome: Outcome,
    /// What must change the outcome.
    pub mutants: &'static [Mutant],
    /// More words of the command line. With `disk` the machine has one, with `disk=ro` one that is not to be written; with `net` a
    /// network card, with `rng` an entropy source.
    pub words: &'static str,
}

impl Attack {
    /// Attacks before INIT cannot print: there is no console yet.
    pub const fn is_announced(&self) -> bool {
        !matches!(self.words.as_bytes(), b"silent")
    }
}

macro_rules! attacks {
    ($($name:literal $outcome:expr, [$($mutant:expr),*] $(, $words:literal)?;)*) => {
        /// Every attack.
        pub const ATTACKS: &[Attack] = &[$(Attack {
            name: $name,
            outcome: $outcome,
            mutants: &[$($mutant),*],
            words: concat!($($words)?),
        }),*];
    };
}

/// Attacks on what no check guards, and why there is none.
pub const NO_CHECK: &[(&str, &str)] = &[
    ("nothing", "it is what the others are compared with"),
    ("registers-page", "nothing is read there that the processor or the Switcher has not written since"),
    (
        "virtio-rings-over-each-other",
        "whatever is read is a chain or none: it is copied before it is looked at",
    ),
];

use Outcome::{Crashed, Endless, Killed, Survived};

attacks! {
    // Before INIT.
    "hcall-before-init" Killed("HCALL_BEFORE_INIT"), [Host("unchecked-hcall-before-init")], "silent";
    "init-data-outside" Killed("BAD_GUEST_PAGE"), [Host("unchecked-bad-guest-page")], "silent";
    "init-data-wraps" Killed("BAD_GUEST_PAGE"), [Host("unchecked-bad-guest-page")], "silent";
    "init-syscall-vector" Killed("BAD_SYSCALL_VECTOR"), [Host("unchecked-bad-syscall-vector")], "silent";
    "init-kernel-address" Killed("BAD_KERNEL_ADDRESS"), [Host("unchecked-bad-kernel-address")], "silent";
    "lgdt-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")], "silent";
    "lidt-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")], "silent";
    "cr3-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")], "silent";
    "lgdt-dpl-0" Killed("HCALL_BEFORE_INIT"), [Host("gdt-dpl-kept")], "silent";
    "lgdt-call-gate" Killed("UNHANDLED_TRAP"), [Host("gdt-system-kept")], "silent";
    "fault-before-init" Killed("UNHANDLED_TRAP"), [Host("unchecked-unhandled-trap")], "silent";

    // Hypercalls as such; and no attack at all.
    "nothing" Survived, [];
    "init-twice" Killed("ALREADY_INIT"), [Host("unchecked-already-init")];
    "init-twice-async" Killed("ALREADY_INIT"), [Host("unchecked-already-init")];
    "hcall-3" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-11" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-12" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-13" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-20" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-max" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-unknown-async" Killed("BAD_HYPERCALL"), [Host("unchecked-bad-hypercall")];
    "hcall-once" Survived, [Host("hypercall-again")];
    "crash" Crashed("crashed: CRASH: the attack Guest gave up"), [Host("last-words-lost")];

    // Guest-physical pointers.
    "shutdown-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "shutdown-wraps" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "tls-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "tls-wraps" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "tls-at-end" Survived, [Host("ram-ends-early")];
    "tls-behind-end" Killed("BAD_READ"), [Host("unchecked-bad-read"), Host("ram-ends-late")];
    "stack-across-end" Killed("BAD_WRITE"), [Host("unchecked-bad-write")];
    "tls-async-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "pgtable-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "notify-outside" Killed("NOTIFY_RANGE"), [Host("unchecked-notify-range")];
    "stack-outside" Killed("BAD_WRITE"), [Host("unchecked-bad-write")];
    "stack-unmapped" Killed("BAD_ADDRESS"), [Host("unchecked-bad-address")];
    "stack-unmapped-direct" Killed("BAD_ADDRESS"), [Host("unchecked-bad-address")];

    // Page tables.
    "pgd-large" Killed("BAD_PGD"), [Host("unchecked-bad-pgd")];
    "pgd-global" Killed("BAD_PGD"), [Host("unchecked-bad-pgd")];
    "pgd-outside" Killed("BAD_PGD"), [Host("unchecked-bad-pgd")];
    "pte-large" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "pte-outside" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "pte-limit" Killed("BAD_PTE"), [Host("unchecked-bad-pte"), Host("pages-one-more")];
    "set-pte-limit" Killed("BAD_PTE"), [Host("unchecked-bad-pte"), Host("pages-one-more")];
    "pgd-limit" Killed("BAD_PGD"), [Host("unchecked-bad-pgd"), Host("pages-one-more")];
    "pte-max" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "set-pte-large" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "set-pte-outside" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "pointer-flags" Killed("BAD_PGD"), [Host("unchecked-bad-pgd")], "pae";
    "middle-large" Killed("BAD_PMD"), [Host("unchecked-bad-pmd")], "pae";
    "middle-outside" Killed("BAD_PMD"), [Host("unchecked-bad-pmd")], "pae";
    "pte-high" Killed("BAD_PTE"), [Host("unchecked-bad-pte")], "pae";
    "set-pte-high" Killed("BAD_PTE"), [Host("unchecked-bad-pte")], "pae";
    "set-pgd-four" Killed("BAD_PGD_INDEX"), [Host("unchecked-bad-pgd-index")], "pae";
    "set-pmd-anywhere" Survived, [Host("switcher-slot-dropped")], "pae";
    "set-pte-absent" Survived, [Host("absent-pte-checked")];
    "set-pte-clean" Survived, [Host("set-pte-clean-writable")];
    "pgtable-zero" Survived, [Host("unused-root-matches")];
    "set-pte-no-root" Survived, [Host("roots-alike")];
    "set-pgd-no-root" Survived, [Host("unused-root-matches+switcher-slot-dropped")];
    "set-pgd-index" Killed("BAD_PGD_INDEX"), [Host("unchecked-bad-pgd-index")];
    "set-pgd-max" Killed("BAD_PGD_INDEX"), [Host("unchecked-bad-pgd-index")];
    "set-pgd-switcher" Survived, [Host("switcher-slot-dropped")];
    "flush-switcher" Survived, [Host("switcher-slot-flushed")];
    "evict-switcher" Survived, [Host("switcher-slot-evicted")];
    "switcher-touch" Killed("SWITCHER_TOUCH"), [Host("unchecked-switcher-touch")];
    "switcher-touch-last" Killed("SWITCHER_TOUCH"), [Host("unchecked-switcher-touch")];
    "switcher-own-table" Survived, [Host("switcher-demand-mapped")];
    "switcher-write" Survived, [Host("switcher-state-writable"), Cpu("wp-ignored")];
    "switcher-ring3" Survived, [Host("switcher-user"), Cpu("user-bit-ignored")];
    "registers-page" Survived, [];
    "upper-rights" Survived, [Host("upper-rights-ignored")];
    "vmcall-read-only" Survived, [Host("vmcall-not-rewritten")];
    "vmcall-straddles" Survived, [Host("vmcall-in-one-page")];
    "shadow-flood" Survived, [Host("shadow-not-recycled")];
    "data-as-page-table" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];

    // Stacks and descriptors.
    "stack-segment-0" Killed("BAD_STACK_SEGMENT"), [Host("unchecked-bad-stack-segment")];
    "stack-segment-3" Killed("BAD_STACK_SEGMENT"), [Host("unchecked-bad-stack-segment")];
    "stack-pages" Killed("BAD_STACK_PAGES"), [Host("unchecked-bad-stack-pages")];
    "stack-page" Killed("BAD_STACK_PAGE"), [Host("unchecked-bad-stack-page")];
    "stack-aligned" Survived, [Host("stack-pinned-above")];
    "stack-null" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "stack-code" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "double-fault" Killed("UNHANDLED_TRAP"), [Host("unchecked-unhandled-trap+switcher-fault-ignored")];
    "gdt-index" Killed("TOO_MANY_GDT"), [Host("unchecked-too-many-gdt")];
    "gdt-max" Killed("TOO_MANY_GDT"), [Host("unchecked-too-many-gdt")];
    "gdt-host-entries" Survived, [Host("gdt-host-entries-open")];
    "gdt-dpl-0" Survived, [Host("gdt-dpl-kept")];
    "gdt-conforming" Survived, [Host("gdt-dpl-kept")];
    "gdt-tss" Survived, [Host("gdt-system-kept")];
    "gdt-call-gate" Survived, [Host("gdt-system-kept")];
    "gdt-call-gate-16" Survived, [Host("gdt-system-kept")];
    "gdt-task-gate" Survived, [Host("gdt-system-kept")];
    "tls-dpl-0" Survived, [Host("tls-kept"), Host("gdt-dpl-kept")];
    "tls-call-gate" Survived, [Host("tls-kept"), Host("gdt-system-kept")];
    "idt-index" Killed("IDT_RANGE"), [Host("unchecked-idt-range")];
    "idt-max" Killed("IDT_RANGE"), [Host("unchecked-idt-range")];
    "idt-task-gate" Killed("BAD_IDT_TYPE"), [Host("unchecked-bad-idt-type")];
    "idt-call-gate" Killed("BAD_IDT_TYPE"), [Host("unchecked-bad-idt-type")];
    "idt-ignored" Survived, [Host("idt-reserved-checked")];
    "idt-selector" Survived, [Host("idt-selector-kept")];
    "idt-dpl" Survived, [Host("idt-dpl-honoured")];
    "no-gate" Killed("UNHANDLED_TRAP"), [Host("unchecked-unhandled-trap")];
    "unloadable-gs" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "unloadable-es" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "unloadable-fs" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "unloadable-ds" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "unloadable-ss" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "unloadable-cs" Killed("UNHANDLED_TRAP"), [Host("switcher-fault-ignored")];
    "ring-2" Killed("UNHANDLED_TRAP"), [Host("ring-2-resumed")];

    // Flags, shared words, the ring of calls, time.
    "flags-window" Survived, [Host("window-flags-raw")], "layout=c";
    "flags-window-io-level" Survived, [Host("window-flags-raw+entry-flags-kept")], "layout=c";
    "flags-nested-task" Survived, [Host("reflect-keeps-nt")];
    "flags-single-step" Survived, [Host("reflect-keeps-tf")];
    "flags-io-level" Survived, [Cpu("io-bitmap-ignored")];
    "privileged" Survived, [Cpu("privileged-allowed")];
    "privileged-ring-1" Survived, [Cpu("privileged-allowed")];
    "in-widths" Survived, [Host("in-fills-eax")];
    "far-host-code" Survived, [Cpu("segment-privilege-ignored")];
    "ldt" Survived, [Host("ldt-left-open")];
    "irq-words" Survived, [Host("irq-word-as-index")];
    "async-all-ready" Survived, [Host("async-ring-ignored")];
    "clockevent-storm" Survived, [Host("clockevent-never")];
    "halt-race" Survived, [Host("sleep-begins-late")];

    // The console's queue: the device may stop, and text then leaves by the early console.
    "queue-outside" Survived, [Host("unchecked-queue-range")];
    "queue-straddles" Survived, [Host("unchecked-queue-range")];
    "queue-wraps" Survived, [Host("unchecked-queue-range")];
    "queue-high" Survived, [Host("unchecked-queue-range")];
    "queue-long" Survived, [Host("unchecked-queue-range")];
    "queue-head" Survived, [Host("unchecked-queue-head")];
    "queue-index" Survived, [Host("unchecked-queue-index")];
    "queue-loop" Survived, [Host("unchecked-queue-loop")];
    "queue-next" Survived, [Host("unchecked-queue-next")];
    "queue-backwards" Survived, [Host("chain-sides-mixed")];

    // The PCI bus and devices' registers.
    "pci-functions" Survived, [Host("pci-function-ignored")];
    "pci-ports" Survived, [Host("pci-port-part-ignored")];
    "pci-window" Survived, [Host("unchecked-window")];
    "bar-gone" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "bar-beyond" Killed("BAD_PTE"), [Host("unchecked-bad-pte")];
    "set-pte-device" Survived, [Host("device-page-refused")];
    "bar-over-ram" Survived, [Host("bar-covers-ram")];
    "device-operand" Survived, [Host("unchecked-device-operand")];
    "device-instructions" Survived, [Host("device-guesses"), Host("cr2-not-written")];
    "device-execute" Survived, [Host("device-guesses")];
    "device-ring-3" Survived, [Host("device-for-ring-3")];
    "device-read-only" Survived, [Host("device-write-unchecked")];
    "device-as-directory" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "device-as-page-table" Killed("BAD_PGD"), [Host("unchecked-bad-pgd")];
    "device-as-stack" Killed("BAD_STACK_PAGE"), [Host("unchecked-bad-stack-page")];
    "device-as-trap-stack" Killed("BAD_WRITE"), [Host("unchecked-bad-write")];

    // The console on the PCI bus: what stops its queue must not stop more.
    "virtio-features" Survived, [Host("features-not-checked")];
    "virtio-feature-select" Survived, [Host("unchecked-feature-select")];
    "virtio-queue-select" Survived, [Host("unchecked-queue-select")];
    "virtio-queue-size" Survived, [Host("unchecked-queue-size")];
    "virtio-queue-high" Survived, [Host("unchecked-queue-place")];
    "virtio-queue-moves" Survived, [Host("queue-moves-while-enabled")];
    "virtio-not-ready" Survived, [Host("driver-ok-ignored")];
    "virtio-registers" Survived, [Host("reset-keeps-queues")];
    "virtio-reset" Survived, [Host("reset-keeps-queues")];
    "virtio-rings-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "virtio-rings-wrap" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "virtio-descriptors-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")];
    "virtio-used-outside" Killed("BAD_WRITE"), [Host("unchecked-bad-write")];
    "virtio-rings-over-each-other" Survived, [];
    "virtio-buffer-outside" Survived, [Host("unchecked-queue-range")];
    "virtio-buffer-device" Survived, [Host("unchecked-queue-range")];
    "virtio-buffer-high" Survived, [Host("unchecked-queue-range")];
    "virtio-head" Survived, [Host("unchecked-queue-head")];
    "virtio-index" Survived, [Host("unchecked-queue-index")];
    "virtio-loop" Survived, [Host("unchecked-queue-loop")];
    "virtio-next" Survived, [Host("unchecked-queue-next")];

    // A disk.
    "block-range" Survived, [Host("unchecked-block-range")], "disk";
    "block-partial" Survived, [Host("unchecked-block-whole")], "disk";
    "block-limit" Survived, [Host("unchecked-block-limit")], "disk";
    "block-read-only" Survived, [Host("read-only-ignored")], "disk=ro";
    "block-unknown" Survived, [Host("disk-errors-hidden")], "disk";
    "block-header" Survived, [Host("unchecked-block-header")], "disk";
    "block-no-status" Survived, [Host("status-unasked")], "disk";
    "block-pieces" Survived, [Host("chain-one-piece")], "disk";
    "block-endless" Survived, [Host("unchecked-queue-budget")], "disk";

    // A network card and an entropy source.
    "net-answers" Survived, [Host("frames-not-delivered")], "net";
    "net-not-own" Survived, [Host("frames-from-others")], "net";
    "net-lengths" Survived, [Host("unchecked-frame-length")], "net";
    "net-no-room" Survived, [Host("unchecked-frame-room")], "net";
    "net-rings-outside" Killed("BAD_READ"), [Host("unchecked-bad-read")], "net";
    "entropy-fills" Survived, [Host("entropy-not-written"), Host("entropy-repeated")], "rng";
    "entropy-no-room" Survived, [Host("chain-sides-mixed")], "rng";

    // Without end.
    "restart" Endless, [Host("restart-ignored")];
    "reset-port" Endless, [Host("reset-line-cut")];
    "halt-dark" Crashed("halted with interrupts off"), [Host("dead-halt-sleeps")];
    "hcall-flood" Endless, [Host("slice-never-ends")];
    "fault-flood" Endless, [Host("slice-never-ends")];
    "debug-flood" Endless, [Host("slice-never-ends")];
    "int-flood" Endless, [Host("slice-never-ends")];
    "spin-dark" Endless, [Host("slice-never-ends")];
    "device-flood" Endless, [Host("slice-never-ends")];
    "virtio-flood" Endless, [Host("slice-never-ends")];
    "block-flood" Endless, [Host("slice-never-ends"), Host("device-turns-whole")], "disk";
    "net-flood" Endless, [Host("slice-never-ends")], "net";
    "entropy-flood" Endless, [Host("slice-never-ends")], "rng";
    "jump-nowhere" Killed("UNHANDLED_TRAP"), [Host("unchecked-unhandled-trap")];
    "handler-nowhere" Killed("BAD_ADDRESS"), [Host("unchecked-bad-address")];
}
