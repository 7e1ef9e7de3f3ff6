//! The bare machine: everything that touches hardware.
//!
//! One processor, interrupts off except while the Host waits ([`interrupts::wait`]) and while a Guest runs. So no
//! code here is ever re-entered, and the few statics need no locks.

pub mod attention;
pub mod boot;
pub mod clock;
pub mod console;
pub mod control;
pub mod cpu;
pub mod disk;
pub mod entropy;
pub mod fpu;
pub mod frames;
pub mod interrupts;
pub mod launch;
mod mem;
pub mod multiboot;
pub mod network;
pub mod once;
pub mod paging;
pub mod pci;
pub mod power;
pub mod report;
pub mod scheduler;
pub mod serial_ports;
pub mod tables;
pub mod virtio;
pub mod world;
