//! Arithmetic of IEEE 754 in integers, exact and rounded once, the same on every host. It knows numbers, not
//! processors: which exceptions exist, what NaNs become and how results are delivered is up to x87 and SSE.
//!
//! A finite number is unpacked to a [`Number`], operations give `Number`s that are exact up to a sticky bit, and
//! [`Number::round`] fits one into a [`Format`], with the facts from which exceptions follow.

mod binary;
mod number;
mod round;

pub(crate) use binary::Binary;
pub(crate) use number::Number;
pub(crate) use round::{Format, Rounded, Rounding};
