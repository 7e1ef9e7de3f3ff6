//! The real program from outside: arguments and files in; statuses, messages and outputs out.

mod bad_input;
mod bench;
mod check;
#[cfg(target_arch = "x86_64")]
mod compiled;
mod consoles;
mod disk;
mod endings;
mod lguest;
mod linux;
mod network;
mod outputs;
mod rig;
mod trouble;
