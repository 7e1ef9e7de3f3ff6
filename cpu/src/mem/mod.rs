//! Physical memory: RAM and ROM pages, the map that says which is where, and per-page bookkeeping.

mod copy;
mod phys;
mod ram;

pub use phys::{CodeWrite, PAGE_SIZE, PageKind, PhysMem, RegionKind};
pub use ram::Ram;
