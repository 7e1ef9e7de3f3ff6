//! The protection machinery of SDM vol. 3, one concept a file.

mod control;
mod control_registers;
mod debug;
mod debug_registers;
mod descriptor_table;
mod exception;
mod far;
mod inner_stack;
mod interrupt;
mod interrupt_flag;
mod io;
mod iret;
mod msr;
mod ret_far;
mod segment_load;
mod software_interrupt;
mod sysenter;
mod task;
mod transfer;
mod verify;

pub(crate) use debug::DR6_BS;
#[cfg(jit)]
pub(crate) use inner_stack::Frame;
#[cfg(jit)]
pub(crate) use interrupt::Interrupt;

use crate::decode::Handler;
use iced_x86::Instruction;

/// Handlers of system instructions, in the order they are asked.
pub(crate) const FAMILIES: &[fn(&Instruction) -> Option<Handler>] = &[
    segment_load::bind,
    far::bind,
    ret_far::bind,
    iret::bind,
    software_interrupt::bind,
    interrupt_flag::bind,
    io::bind,
    control_registers::bind,
    descriptor_table::bind,
    verify::bind,
    debug_registers::bind,
    control::bind,
    msr::bind,
    sysenter::bind,
];
