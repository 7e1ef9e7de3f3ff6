//! The PC around the processor: memory, devices, virtual time, inputs, snapshots, boot protocols.
//!
//! [`Machine`] is a plain value: no globals, no threads, no clock, no I/O; many can live in one process, and the same
//! inputs at the same counts always give the same run. The only thing asked of the operating system is one block of
//! memory ([`ram`]).
//!
//! Reading order: [`Machine`] (the run loop), [`chipset`] (what answers at which port), [`devices`], [`events`] and
//! [`inputs`] (what will happen, what comes from outside), [`net`] (the network behind the network device), [`state`] (snapshot and hash), [`boot`],
//! [`check`] (two machines compared).
//!
//! Principles
//! 1. Time is virtual ([`time`]). Everything that happens later is in one queue; everything that comes from outside
//!    passes one entrance and is stamped.
//! 2. All state is in one serialisable walk; what is not in the walk has no influence on the guest.
//! 3. Where the run is cut into slices never changes what the guest sees.

pub mod boot;
pub mod check;
pub mod chipset;
pub mod devices;
pub mod events;
mod function_ports;
mod hash;
pub mod inputs;
mod machine;
pub mod media;
pub mod memory_map;
pub mod net;
pub mod outputs;
pub mod ram;
pub mod state;
pub mod time;

pub use machine::{Config, ConfigError, Machine, MachineExit, Stats, Until};
pub use state::Snapshot;
