//! The processor of Ringside: a 32-bit x86 with protection, paging and tasks modelled exactly.
//!
//! [`Cpu`] is a plain value: no globals, no threads, no operating system. It executes instructions until something
//! needs its owner ([`Cpu::run`]), talks to the world through [`bus::Bus`], and tells a listener about ring changes
//! ([`event`]).
//!
//! Reading order: [`regs`] and [`seg`] (what there is), `mmu` (how memory is reached), `decode` (from bytes to
//! blocks), `interp` (what instructions do), `system` (gates, interrupts, tasks), [`fpu`] and [`simd`] (floating point
//! and vectors, over `softfloat`).
//!
//! Principles
//! 1. The interpreter is the reference; a compiled engine must agree with it on every bit and count.
//! 2. An instruction that faults has changed nothing the program can see.
//! 3. Nothing of the host reaches guest-visible state: no clock, pointer, hash order or floating point.
//! 4. The guest is hostile: every value it supplies is masked, checked or wrapped on purpose.

pub mod bus;
mod cpu;
mod cpuid;
pub mod decode;
mod engine;
pub mod event;
pub mod fault;
pub mod flags;
pub mod fpu;
mod interp;
#[cfg(jit)]
mod jit;
pub mod mem;
pub mod mmu;
mod mutant;
pub mod regs;
pub mod seg;
pub mod simd;
mod softfloat;
mod system;
#[cfg(test)]
mod testing;
pub mod word;

pub use crate::cpu::{Counters, Cpu};
pub use engine::{Engine, Unsupported};
pub use fault::Fault;
pub use interp::{Exit, FAULTS_IN_A_ROW};
#[cfg(jit)]
pub use jit::{CompiledBlock, EmitFault, JitFault, JitStats, Mapping};
pub use mutant::Mutant;
