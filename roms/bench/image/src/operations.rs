//! The system operations: their list, fixed like that of the kernels.

use crate::tables::{ALIAS, FAULT_PAGES, FAULT_WINDOW, SEGMENTS, selector};
use core::arch::global_asm;

/// One operation.
#[derive(Clone, Copy)]
pub struct Operation {
    /// Its name on command lines and in tables.
    pub name: &'static str,
    /// Whether it runs in ring 3; in ring 0 otherwise.
    pub ring3: bool,
    /// Rounds of a full run.
    pub rounds: u32,
    /// The loop: rounds to checksum.
    pub run: unsafe extern "C" fn(u32) -> u32,
}

macro_rules! operations {
    ($($name:literal, $ring:literal, $rounds:literal, $run:ident;)*) => {
        unsafe extern "C" {
            $(fn $run(rounds: u32) -> u32;)*
        }
        /// Every operation, in the order they run.
        pub const OPERATIONS: &[Operation] =
            &[$(Operation { name: $name, ring3: $ring == 3, rounds: $rounds, run: $run }),*];
    };
}

operations! {
    "int80", 3, 2_000_000, op_int80;
    "call-gate", 3, 2_000_000, op_call_gate;
    "page-fault", 3, 1_000_000, op_page_fault;
    "segment-load", 3, 5_000_000, op_segment_load;
    "segment-access", 3, 50_000_000, op_segment_access;
    "self-modify", 3, 200_000, op_self_modify;
    "patch-text", 3, 100_000, op_patch_text;
    "code-and-data", 3, 1_000_000, op_code_and_data;
    "popf", 0, 10_000_000, op_flags;
    "sti-cli", 0, 10_000_000, op_sti_cli;
    "cr3", 0, 200_000, op_cr3;
    "invlpg", 0, 2_000_000, op_invlpg;
    "task-switch", 0, 50_000, op_task_switch;
    "port", 0, 1_000_000, op_port;
    "cpuid", 0, 1_000_000, op_cpuid;
    "straight-line", 3, 200, op_straight_line;
    "rewrite-all", 3, 20, op_rewrite_all;
    "many-blocks", 3, 100, op_many_blocks;
    "write-next", 3, 1_000_000, op_write_next;
    "into-middle", 3, 5_000_000, op_into_middle;
    "limit-churn", 3, 2_000_000, op_limit_churn;
    "paging-churn", 0, 500_000, op_paging_churn;
}

global_asm!(
    ".equ FAULT_WINDOW, {window}",
    ".equ FAULT_PAGES, {pages}",
    ".equ BASED_DS, {based}",
    ".equ LIMITED_DS, {limited}",
    ".equ CALL_GATE, {gate}",
    ".equ MAIN_TASK, {main}",
    ".equ OTHER_TASK, {other}",
    include_str!("traps.s"),
    include_str!("operations.s"),
    window = const FAULT_WINDOW,
    pages = const FAULT_PAGES,
    based = const SEGMENTS[2].data,
    limited = const SEGMENTS[1].data,
    gate = const selector::CALL_GATE,
    main = const selector::MAIN_TASK,
    other = const selector::OTHER_TASK,
    options(att_syntax)
);

const _: () = assert!(ALIAS > FAULT_WINDOW + FAULT_PAGES * 4096);
