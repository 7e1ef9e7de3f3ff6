//! Memory operands as types: the formats that instructions load and store (SDM vol. 1, 4.2, 4.7, 8.2).

use super::super::decimal::{INDEFINITE, from_decimal, to_decimal};
use super::super::environment::Env;
use super::super::extended::{Extended, Operand};
use super::super::integer::{to_binary, to_integer};
use crate::Cpu;
use crate::decode::Op;
use crate::fault::Fault;
use crate::softfloat::Binary;
use crate::word::Word;
use std::marker::PhantomData;

/// A format that can be loaded.
pub(super) trait Load {
    /// Loading converts; the register format is copied as it is, whatever it holds.
    const ARITHMETIC: bool = true;
    /// # Errors
    /// Those of the memory access.
    fn load(cpu: &mut Cpu, op: &Op) -> Result<Operand, Fault>;
}

/// A format that can be stored.
pub(super) trait Store {
    /// What goes to memory.
    type Bits: Copy;
    /// A register in this format; `None` if an unmasked exception of the result forbids the store.
    fn convert(env: &mut Env, value: Extended) -> Option<Self::Bits>;
    /// The response to an empty register.
    fn indefinite() -> Self::Bits;
    /// # Errors
    /// Those of the memory access.
    fn store(cpu: &mut Cpu, op: &Op, bits: Self::Bits) -> Result<(), Fault>;
    /// Access memory as [`Self::store`] does, but leave it as it is.
    ///
    /// # Errors
    /// Those of the memory access.
    fn probe(cpu: &mut Cpu, op: &Op) -> Result<(), Fault>;
}

/// binary32 or binary64.
pub(super) struct Float<L>(PhantomData<L>);
/// A signed integer.
pub(super) struct Integer<W>(PhantomData<W>);
/// The register format.
pub(super) struct Whole;
/// Packed decimal.
pub(super) struct Decimal;

/// Unsigned words that hold signed integers.
pub(super) trait Pattern: Word {
    /// Minus two to the `BITS - 1`.
    const MOST_NEGATIVE: Self;
}

impl Pattern for u16 {
    const MOST_NEGATIVE: u16 = 1 << 15;
}
impl Pattern for u32 {
    const MOST_NEGATIVE: u32 = 1 << 31;
}
impl Pattern for u64 {
    const MOST_NEGATIVE: u64 = 1 << 63;
}

fn load<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<W, Fault> {
    let offset = op.ea.offset(cpu);
    cpu.load(op.ea.seg, offset)
}

fn store<W: Word>(cpu: &mut Cpu, op: &Op, value: W) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.store(op.ea.seg, offset, value)
}

fn probe<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.probe_write::<W>(op.ea.seg, offset)
}

/// Ten bytes.
fn load_ten(cpu: &mut Cpu, op: &Op) -> Result<(u64, u16), Fault> {
    let offset = op.ea.offset(cpu);
    Ok((cpu.load(op.ea.seg, offset)?, cpu.load(op.ea.seg, offset.wrapping_add(8))?))
}

fn probe_ten(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    cpu.probe_write::<u64>(op.ea.seg, offset)?;
    cpu.probe_write::<u16>(op.ea.seg, offset.wrapping_add(8))
}

fn store_ten(cpu: &mut Cpu, op: &Op, (low, high): (u64, u16)) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    let rest = offset.wrapping_add(8);
    probe_ten(cpu, op)?;
    cpu.store(op.ea.seg, offset, low)?;
    cpu.store(op.ea.seg, rest, high)
}

impl<L: Binary> Load for Float<L> {
    fn load(cpu: &mut Cpu, op: &Op) -> Result<Operand, Fault> {
        load::<L>(cpu, op).map(Operand::from_binary)
    }
}

impl<L: Binary> Store for Float<L> {
    type Bits = L;
    fn indefinite() -> L {
        L::indefinite()
    }
    fn convert(env: &mut Env, value: Extended) -> Option<L> {
        to_binary(env, value)
    }
    fn store(cpu: &mut Cpu, op: &Op, bits: L) -> Result<(), Fault> {
        store(cpu, op, bits)
    }
    fn probe(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
        probe::<L>(cpu, op)
    }
}

impl<W: Pattern> Load for Integer<W> {
    fn load(cpu: &mut Cpu, op: &Op) -> Result<Operand, Fault> {
        let value = load::<W>(cpu, op)?.to_u64();
        let shift = 64 - W::BITS;
        Ok(Extended::from_integer((value << shift) as i64 >> shift).into())
    }
}

impl<W: Pattern> Store for Integer<W> {
    type Bits = W;
    fn indefinite() -> W {
        W::MOST_NEGATIVE
    }
    fn convert(env: &mut Env, value: Extended) -> Option<W> {
        let limit = W::MOST_NEGATIVE.to_u64();
        Some(match to_integer(env, value, limit - 1, limit) {
            Some((negative, magnitude)) => {
                W::from_u64(if negative { magnitude.wrapping_neg() } else { magnitude })
            }
            None => W::MOST_NEGATIVE,
        })
    }
    fn store(cpu: &mut Cpu, op: &Op, bits: W) -> Result<(), Fault> {
        store(cpu, op, bits)
    }
    fn probe(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
        probe::<W>(cpu, op)
    }
}

impl Load for Whole {
    const ARITHMETIC: bool = false;
    fn load(cpu: &mut Cpu, op: &Op) -> Result<Operand, Fault> {
        let (significand, sign_exponent) = load_ten(cpu, op)?;
        Ok(Extended { significand, sign_exponent }.into())
    }
}

impl Store for Whole {
    type Bits = Extended;
    fn indefinite() -> Extended {
        Extended::INDEFINITE
    }
    fn convert(_: &mut Env, value: Extended) -> Option<Extended> {
        Some(value)
    }
    fn store(cpu: &mut Cpu, op: &Op, bits: Extended) -> Result<(), Fault> {
        store_ten(cpu, op, (bits.significand, bits.sign_exponent))
    }
    fn probe(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
        probe_ten(cpu, op)
    }
}

impl Load for Decimal {
    fn load(cpu: &mut Cpu, op: &Op) -> Result<Operand, Fault> {
        let (digits, top) = load_ten(cpu, op)?;
        Ok(from_decimal(digits, top).into())
    }
}

impl Store for Decimal {
    type Bits = (u64, u16);
    fn indefinite() -> (u64, u16) {
        INDEFINITE
    }
    fn convert(env: &mut Env, value: Extended) -> Option<(u64, u16)> {
        Some(to_decimal(env, value))
    }
    fn store(cpu: &mut Cpu, op: &Op, bits: (u64, u16)) -> Result<(), Fault> {
        store_ten(cpu, op, bits)
    }
    fn probe(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
        probe_ten(cpu, op)
    }
}
