//! Saving and restoring: FNSTENV, FLDENV, FNSAVE, FRSTOR, FXSAVE, FXRSTOR (SDM vol. 1, 8.3.12, 10.5).
//!
//! An image is checked as a whole before its first byte is written, and read as a whole before anything is loaded.

use super::super::image::Layout;
use super::super::state::status;
use super::{available, ready};
use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::regs::cr4;
use crate::simd::mxcsr;
use crate::word::Word;
use iced_x86::{Code, Instruction};

/// Bytes of the eight registers.
const REGISTERS: usize = 80;

/// Read `bytes`, in units of `W`.
fn load<W: Word>(cpu: &mut Cpu, op: &Op, bytes: &mut [u8]) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    for at in (0..bytes.len()).step_by(W::BYTES as usize) {
        let word: W = cpu.load(op.ea.seg, offset.wrapping_add(at as u32))?;
        word.write_le(bytes, at);
    }
    Ok(())
}

/// Write `bytes`, in units of `W`, or nothing.
fn store<W: Word>(cpu: &mut Cpu, op: &Op, bytes: &[u8]) -> Result<(), Fault> {
    let offset = op.ea.offset(cpu);
    let places = (0..bytes.len()).step_by(W::BYTES as usize);
    for at in places.clone() {
        cpu.probe_write::<W>(op.ea.seg, offset.wrapping_add(at as u32))?;
    }
    for at in places {
        cpu.store(op.ea.seg, offset.wrapping_add(at as u32), W::read_le(bytes, at))?;
    }
    Ok(())
}

fn layout<W: Word>(cpu: &Cpu) -> Layout {
    Layout { wide: W::BYTES == 4, protected: cpu.regs.protected() }
}

/// `W` is the operand size.
fn fnstenv<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    available(cpu)?;
    let image = cpu.fpu.environment(layout::<W>(cpu));
    store::<W>(cpu, op, &image)?;
    cpu.fpu.set_control(cpu.fpu.control | status::FLAGS);
    cpu.update_float_error();
    Ok(())
}

fn fldenv<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let layout = layout::<W>(cpu);
    let mut image = vec![0; layout.size()];
    load::<W>(cpu, op, &mut image)?;
    cpu.fpu.set_environment(layout, &image);
    cpu.update_float_error();
    Ok(())
}

fn fnsave<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    available(cpu)?;
    let mut image = cpu.fpu.environment(layout::<W>(cpu));
    image.extend(cpu.fpu.registers());
    store::<W>(cpu, op, &image)?;
    cpu.fpu.initialize();
    cpu.update_float_error();
    Ok(())
}

fn frstor<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    ready(cpu)?;
    let layout = layout::<W>(cpu);
    let mut image = vec![0; layout.size() + REGISTERS];
    load::<W>(cpu, op, &mut image)?;
    let (environment, registers) = image.split_at(layout.size());
    cpu.fpu.set_environment(layout, environment);
    cpu.fpu.set_registers(registers, REGISTERS / 8);
    cpu.update_float_error();
    Ok(())
}

/// Places in the FXSAVE image.
mod fx {
    pub const SIZE: usize = 512;
    pub const MXCSR: usize = 24;
    pub const MXCSR_MASK: usize = 28;
    pub const XMM: usize = 160;
    /// Nothing is stored from here on.
    pub const END: usize = XMM + 8 * 16;
}

/// The image must be aligned to sixteen bytes.
fn check_aligned(cpu: &Cpu, op: &Op) -> Result<(), Fault> {
    let base = cpu.regs.seg[op.ea.seg as usize].base;
    if base.wrapping_add(op.ea.offset(cpu)) & 15 != 0 { Err(Fault::GP0) } else { Ok(()) }
}

/// The XMM registers are part of the image if the operating system says that it knows them.
fn with_xmm(cpu: &Cpu) -> bool {
    cpu.regs.cr4 & cr4::OSFXSR != 0
}

fn fxsave(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    available(cpu)?;
    check_aligned(cpu, op)?;
    let mut image = [0; fx::END];
    image[..fx::XMM].copy_from_slice(&cpu.fpu.fxsave());
    let mut used = fx::XMM;
    cpu.simd.mxcsr.write_le(&mut image, fx::MXCSR);
    mxcsr::VALID.write_le(&mut image, fx::MXCSR_MASK);
    if with_xmm(cpu) {
        for (slot, xmm) in image[fx::XMM..].chunks_exact_mut(16).zip(cpu.simd.xmm) {
            slot.copy_from_slice(&xmm.to_le_bytes());
        }
        used = fx::END;
    }
    // All 512 bytes must be writable, although the last are not written.
    let last = op.ea.offset(cpu).wrapping_add(fx::SIZE as u32 - 8);
    cpu.probe_write::<u64>(op.ea.seg, op.ea.offset(cpu))?;
    cpu.probe_write::<u64>(op.ea.seg, last)?;
    store::<u64>(cpu, op, &image[..used])
}

fn fxrstor(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    available(cpu)?;
    check_aligned(cpu, op)?;
    let mut image = [0; fx::SIZE];
    load::<u64>(cpu, op, &mut image)?;
    let mxcsr = u32::read_le(&image, fx::MXCSR);
    if with_xmm(cpu) {
        if mxcsr & !mxcsr::VALID != 0 {
            return Err(Fault::GP0);
        }
        cpu.simd.mxcsr = mxcsr;
        for (xmm, slot) in cpu.simd.xmm.iter_mut().zip(image[fx::XMM..].chunks_exact(16)) {
            *xmm = slot.iter().rev().fold(0, |value, &byte| value << 8 | byte as u128);
        }
    }
    if let Some(x87) = image.first_chunk() {
        cpu.fpu.set_fxsave(x87);
        cpu.update_float_error();
    }
    Ok(())
}

pub(super) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Fnstenv_m14byte => fnstenv::<u16>,
        Code::Fnstenv_m28byte => fnstenv::<u32>,
        Code::Fldenv_m14byte => fldenv::<u16>,
        Code::Fldenv_m28byte => fldenv::<u32>,
        Code::Fnsave_m94byte => fnsave::<u16>,
        Code::Fnsave_m108byte => fnsave::<u32>,
        Code::Frstor_m94byte => frstor::<u16>,
        Code::Frstor_m108byte => frstor::<u32>,
        Code::Fxsave_m512byte => fxsave,
        Code::Fxrstor_m512byte => fxrstor,
        _ => return None,
    })
}
