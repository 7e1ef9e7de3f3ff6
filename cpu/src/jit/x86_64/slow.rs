//! Slow paths: what code that is rarely executed has to know of the place it was reached from.

use super::wrong_flags::Wrong;
use crate::seg::SegReg;

/// How an access is looked up in the flat view.
#[derive(Clone, Copy)]
pub(super) struct Look {
    pub seg: SegReg,
    /// Bytes.
    pub size: u32,
    pub write: bool,
    /// Its linear address must be a multiple of sixteen.
    pub aligned: bool,
    /// It may go on in the next page, if that is the next one in host memory: no look at its end.
    pub onward: bool,
    /// It must be at the usual distance.
    pub usual: bool,
}

/// An access that is to be checked out of line.
#[derive(Clone, Copy)]
pub(super) struct Alone {
    pub n: usize,
    pub look: Look,
    pub wrong: Wrong,
    /// Where it goes on, with RCX + R8 its host address.
    pub back: usize,
}

/// The check of a group that failed.
#[derive(Clone, Copy)]
pub(super) struct Whole {
    pub n: usize,
    /// How far behind the group's first byte the access is that is due, and whether it writes.
    pub behind: i32,
    pub write: bool,
    pub look: Look,
    /// It was for four bytes that are aligned.
    pub quad: bool,
    pub wrong: Wrong,
    /// Where it begins, if it depends on nothing but the flat view.
    pub again: Option<usize>,
    /// Where it goes on, with RCX + R8 the host address.
    pub back: usize,
    /// R9 has what was found for the page.
    pub knows_entry: bool,
    /// The edge to the plain block.
    pub edge: usize,
}

/// What is so behind an instruction.
#[derive(Clone, Copy)]
pub(super) struct After {
    /// Where the code of its successor begins.
    pub pos: usize,
    /// MXCSR is the guest's.
    pub float: bool,
    /// The host's x87 is.
    pub x87: bool,
    /// What the check of a group found is used again.
    pub in_group: bool,
}

/// A check of an access that found nothing in the flat view.
#[derive(Clone, Copy)]
pub(super) struct Refill {
    pub n: usize,
    pub write: bool,
    pub wrong: Wrong,
    /// Where the check begins anew, R8 being linear.
    pub again: usize,
}

/// A jump to where the slow path of something is.
pub(super) enum Slow {
    Budget,
    /// The block is put aside.
    Asleep,
    /// What is wrong with the flags.
    Insn(usize, Wrong),
    /// The flags are in R10, as a frame has them.
    Saved(usize),
    /// An access that did not look at its end does so, and goes on there.
    Alone(Alone),
    /// A group is not in one page, or its page may only have to be looked up.
    Group(Whole),
    /// An access of four bytes that are not aligned, or whose page may only have to be looked up.
    Quad(Refill, Look, usize),
    /// An access whose page may only have to be looked up.
    Refill(Refill),
    /// The host's MXCSR is not the guest's; it goes on there when it is.
    Float(usize),
    /// The guest's x87 registers are not in the host's; it goes on there when they are. Whether MXCSR is the guest's.
    X87(usize, bool),
}
