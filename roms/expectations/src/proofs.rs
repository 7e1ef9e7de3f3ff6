//! The lines of the first Guest. Under each mutant of a line, the line turns to FAIL, or the run dies before it.

use crate::Mutant::{self, Cpu, Host};

/// One line of the transcript: `ok   NN text`.
#[derive(Clone, Copy, Debug)]
pub struct Proof {
    /// Its number: position in the table, from 1.
    pub number: u32,
    /// What is proved.
    pub text: &'static str,
    /// What must break it.
    pub mutants: &'static [Mutant],
    /// Printed only when the command line asks for it with this word.
    pub only_with: Option<&'static str>,
}

macro_rules! proofs {
    (@word) => { None };
    (@word $with:literal) => { Some($with) };
    ($($number:literal $text:literal $([$with:literal])? <- $($mutant:expr),+;)*) => {
        /// Every proof, in the order of the transcript.
        pub const PROOFS: &[Proof] = &[$(Proof {
            number: $number,
            text: $text,
            mutants: &[$($mutant),+],
            only_with: proofs!(@word $($with)?),
        }),*];
    };
}

proofs! {
    1 "entry: ring 1, linear mode, registers and boot_params as the ABI says" <- Host("entry-registers"), Host("boot-params");
    2 "INIT: the Host filled in reserve_mem and tsc_khz" <- Host("init-fills-nothing");
    3 "paging: the kernel lives at 0x80000000, the linear mapping is gone" <- Host("set-pgd-ignored");
    4 "paging: a read sets A and leaves D" <- Host("accessed-not-set");
    5 "paging: a write sets D" <- Host("dirty-not-set"), Cpu("wp-ignored");
    6 "paging: ring 1 cannot write a read-only page (#PF, error 3)" <- Cpu("wp-ignored"), Host("cr0-wp-off");
    7 "paging: SET_PTE makes a changed entry count" <- Host("set-pte-ignored");
    8 "paging: FLUSH_TLB makes all changed entries count" <- Host("flush-tlb-ignored");
    9 "paging: six address spaces on four shadow roots stay apart" <- Host("new-pgtable-keeps-user"), Cpu("cr3-flush-ignored");
    10 "segments: the Host makes DPL 0 into 1 and sets accessed" <- Host("gdt-dpl-kept");
    11 "segments: base and limit of a descriptor of our own" <- Host("gdt-entry-ignored");
    12 "segments: the Host's data segment is not ours (#GP, error 0x58)" <- Cpu("segment-privilege-ignored");
    13 "traps: the IF in a trap's frame is irq_enabled" <- Host("frame-if-real");
    14 "traps: an interrupt gate clears irq_enabled" <- Host("gate-keeps-irq-enabled");
    15 "traps: int 0x21 is #GP with error 0x10a" <- Cpu("error-code-wrong"), Cpu("gate-dpl-ignored"), Host("irq-gates-open");
    16 "I/O: IN answers all ones of its width, OUT goes nowhere" <- Host("in-answers-zero"), Cpu("io-bitmap-ignored");
    17 "flags: neither popf nor cli reaches IF or IOPL" <- Cpu("iopl-ignored"), Host("cli-not-emulated");
    18 "privilege: lgdt, lidt, mov cr3, wrmsr are #GP in ring 1" <- Cpu("privileged-allowed");
    19 "vmcall: the Host rewrites it to int 0x1f" <- Host("vmcall-not-rewritten");
    20 "timer: SET_CLOCKEVENT brings irq 0" <- Host("clockevent-never");
    21 "interrupts: blocked_interrupts holds one back" <- Host("blocked-ignored");
    22 "interrupts: irq_enabled 0 holds one back, irq_pending tells" <- Host("irq-enabled-ignored"), Host("irq-pending-not-set");
    23 "interrupts: delivery clears irq_pending" <- Host("irq-pending-sticks");
    24 "interrupts: none arrives inside the no-interrupt window" <- Host("noirq-window-ignored");
    25 "HALT: sleeps, and an interrupt wakes" <- Host("halt-does-not-sleep");
    26 "async ring: calls wait for a synchronous one, then report 0xff" <- Host("async-ring-ignored"), Host("async-status-kept");
    27 "async ring: 100 calls, in order" <- Host("async-ring-backwards");
    28 "ring 3: IRET took the ring-1 segments away" <- Cpu("iret-nulling-off");
    29 "ring 3: int 0x80 is a direct trap" <- Host("direct-traps-off");
    30 "ring 3: int 0x80 through an interrupt gate is reflected" <- Host("syscall-gate-ignored");
    31 "ring 3: traps use the stack SET_STACK named" <- Cpu("tss-ring1-stack-wrong"), Host("set-stack-ignored");
    32 "ring 3: a kernel page is out of reach (#PF, error 5)" <- Cpu("user-bit-ignored"), Host("shadow-always-user");
    33 "ring 3: a read-only page is not writable (#PF, error 7)" <- Host("shadow-always-writable");
    34 "ring 3: a touched page is mapped on demand, the program goes on" <- Host("cr2-not-written"), Cpu("error-code-wrong");
    35 "ring 3: hlt, cli and in are #GP" <- Cpu("privileged-allowed"), Cpu("iopl-ignored"), Cpu("io-bitmap-ignored");
    36 "ring 3: the Host's code segment is out of reach (#GP, error 0x50)" <- Cpu("segment-privilege-ignored");
    37 "ring 3: hypercalls are for ring 1 (#GP, error 0xfa)" <- Host("hypercall-gate-open"), Cpu("gate-dpl-ignored");
    38 "ring 3: a divide error names its instruction" <- Cpu("divide-error-after");
    39 "ring 3: one single step, and the kernel is not stepped" <- Host("reflect-keeps-tf"), Cpu("trap-flag-ignored");
    40 "ring 3: FLUSH_TLB 0 makes changed entries of programs count" <- Host("flush-tlb-ignored");
    41 "programs: same address, different memory" <- Host("new-pgtable-keeps-user"), Cpu("cr3-flush-ignored");
    42 "programs: each has its own thread-local segment" <- Host("load-tls-ignored");
    43 "programs: the FPU is handed over only when used (#NM)" <- Host("ts-ignored"), Cpu("ts-ignored");
    44 "programs: each has its own FPU state" <- Host("ts-ignored"), Cpu("ts-ignored");
    45 "programs: the timer takes the processor from a loop" <- Host("clockevent-never");
    46 "programs: one divided by zero, and the kernel gave it a second life" <- Cpu("divide-error-after");
    47 "console: a line typed is a line read" ["input"] <- Host("console-input-dropped");
    48 "PAE: three levels of tables, seen by the first NEW_PGTABLE" ["pae"] <- Host("pae-not-seen");
    49 "PAE: SET_PMD makes a changed directory entry count" ["pae"] <- Host("set-pmd-ignored");
    50 "boot tables: made by the Host, all RAM at 0 and at 0x80000000" ["layout=a"] <- Host("boot-tables-once"), Host("vmcall-not-rewritten");
    51 "disk: what was written is read back, and its name" ["disk"] <- Host("disk-writes-lost"), Host("barriers-unsupported");
    52 "disk: a sector behind the end is an error" ["disk"] <- Host("disk-errors-hidden");
    53 "disk: after a reset the rings start over" ["disk"] <- Host("bus-reset-ignored");
    54 "privilege: CR4 can be read, and has no bit" ["layout=c"] <- Host("cr4-unreadable");
    55 "PCI: SET_PTE may name a device's page, which stays the Host's" ["pci"] <- Host("device-page-refused");
}
