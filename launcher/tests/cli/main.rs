//! The real program from outside: arguments and files in; statuses, messages and outputs out.

mod bad_input;
mod bench;
mod check;
mod consoles;
mod disk;
mod endings;
mod lguest;
mod linux;
mod network;
mod outputs;
mod rig;
mod trouble;
