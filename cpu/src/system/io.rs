//! I/O instructions and the I/O permission bitmap (SDM vol. 1, chapter 18; vol. 3, 20.2.8).

use crate::Cpu;
use crate::bus::Width;
use crate::decode::{Handler, Op, Prefix};
use crate::fault::Fault;
use crate::flags;
use crate::mutant::Mutant;
use crate::regs::gpr::{EAX, ECX, EDI, EDX, ESI};
use crate::seg::{SegReg, SystemType};
use crate::word::Word;
use iced_x86::{Code, Instruction};

fn width<W: Word>() -> Width {
    match W::BYTES {
        1 => Width::Byte,
        2 => Width::Word,
        _ => Width::Dword,
    }
}

impl Cpu {
    /// May the current program touch `size` ports from `port`? (18.5)
    ///
    /// # Errors
    /// #GP(0); #PF of the bitmap.
    fn check_port(&mut self, port: u16, size: u32) -> Result<(), Fault> {
        if self.regs.cr0 & crate::regs::cr0::PE == 0
            || !self.regs.v86() && self.regs.cpl <= self.regs.flags.iopl()
            || self.mutated(Mutant::IoplIgnored)
            || self.mutated(Mutant::IoBitmapIgnored)
        {
            return Ok(());
        }
        let tr = self.regs.tr;
        if !matches!(tr.descriptor().system_type(), SystemType::Tss32 { .. }) || tr.limit < 103 {
            return Err(Fault::GP0);
        }
        let map = self.load_system::<u16>(tr.base.wrapping_add(102))? as u32;
        let at = map + port as u32 / 8;
        if at + 1 > tr.limit {
            return Err(Fault::GP0);
        }
        let bits = self.load_system::<u16>(tr.base.wrapping_add(at))? as u32;
        let mask = ((1 << size) - 1) << (port & 7);
        if bits & mask != 0 { Err(Fault::GP0) } else { Ok(()) }
    }

    fn port_in<W: Word>(&mut self, port: u16) -> W {
        self.match_io_breakpoints(port, W::BYTES);
        W::from_u32(self.with_bus(|bus, cx| bus.port_read(cx, port, width::<W>())))
    }

    fn port_out<W: Word>(&mut self, port: u16, value: W) {
        self.match_io_breakpoints(port, W::BYTES);
        self.with_bus(|bus, cx| bus.port_write(cx, port, width::<W>(), value.to_u32()));
    }
}

fn port_operand<const DX: bool>(cpu: &Cpu, op: &Op) -> u16 {
    if DX { cpu.regs.gpr[EDX] as u16 } else { (op.imm & 0xFF) as u16 }
}

fn in_<W: Word, const DX: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let port = port_operand::<DX>(cpu, op);
    cpu.check_port(port, W::BYTES)?;
    let value: W = cpu.port_in(port);
    cpu.set_reg(EAX as u8, value);
    Ok(())
}

fn out<W: Word, const DX: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let port = port_operand::<DX>(cpu, op);
    cpu.check_port(port, W::BYTES)?;
    cpu.port_out(port, cpu.reg::<W>(EAX as u8));
    Ok(())
}

fn mask(op: &Op) -> u32 {
    if op.has(Prefix::A16) { 0xFFFF } else { u32::MAX }
}

fn advance<W: Word>(cpu: &mut Cpu, op: &Op, reg: usize) {
    let step = if cpu.regs.flags.has(flags::DF) { W::BYTES.wrapping_neg() } else { W::BYTES };
    let r = &mut cpu.regs.gpr[reg];
    *r = *r & !mask(op) | r.wrapping_add(step) & mask(op);
}

/// The destination is checked before the port is read, for a read cannot be undone.
fn ins_once<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let port = cpu.regs.gpr[EDX] as u16;
    let at = cpu.regs.gpr[EDI] & mask(op);
    cpu.probe_write::<W>(SegReg::Es, at)?;
    let value: W = cpu.port_in(port);
    cpu.store(SegReg::Es, at, value)?;
    advance::<W>(cpu, op, EDI);
    Ok(())
}

fn outs_once<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    let port = cpu.regs.gpr[EDX] as u16;
    let value: W = cpu.load(op.ea.seg, cpu.regs.gpr[ESI] & mask(op))?;
    cpu.port_out(port, value);
    advance::<W>(cpu, op, ESI);
    Ok(())
}

/// One iteration at a time: each one may raise an event, so the run loop looks around in between. The right to use
/// the port is checked even if the count is zero.
fn repeat<W: Word>(
    cpu: &mut Cpu,
    op: &Op,
    once: fn(&mut Cpu, &Op) -> Result<(), Fault>,
) -> Result<(), Fault> {
    cpu.check_port(cpu.regs.gpr[EDX] as u16, W::BYTES)?;
    if !op.has(Prefix::REP | Prefix::REPNE) {
        return once(cpu, op);
    }
    let left = cpu.regs.gpr[ECX] & mask(op);
    if left == 0 {
        return Ok(());
    }
    once(cpu, op)?;
    let ecx = &mut cpu.regs.gpr[ECX];
    *ecx = *ecx & !mask(op) | (left - 1);
    if left > 1 {
        cpu.regs.flags.put(flags::RF, true);
        cpu.next_eip = cpu.regs.eip;
    }
    Ok(())
}

fn ins<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    repeat::<W>(cpu, op, ins_once::<W>)
}
fn outs<W: Word>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    repeat::<W>(cpu, op, outs_once::<W>)
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    Some(match insn.code() {
        In_AL_imm8 => in_::<u8, false>,
        In_AX_imm8 => in_::<u16, false>,
        In_EAX_imm8 => in_::<u32, false>,
        In_AL_DX => in_::<u8, true>,
        In_AX_DX => in_::<u16, true>,
        In_EAX_DX => in_::<u32, true>,
        Out_imm8_AL => out::<u8, false>,
        Out_imm8_AX => out::<u16, false>,
        Out_imm8_EAX => out::<u32, false>,
        Out_DX_AL => out::<u8, true>,
        Out_DX_AX => out::<u16, true>,
        Out_DX_EAX => out::<u32, true>,
        Insb_m8_DX => ins::<u8>,
        Insw_m16_DX => ins::<u16>,
        Insd_m32_DX => ins::<u32>,
        Outsb_DX_m8 => outs::<u8>,
        Outsw_DX_m16 => outs::<u16>,
        Outsd_DX_m32 => outs::<u32>,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::seg::Segment;
    use crate::testing::{TSS, TSS_SELECTOR, handler, in_ring};

    /// in al, 0x42 in ring 3 with a bitmap whose only clear bit is that port's.
    #[test]
    fn the_bitmap_decides_where_iopl_does_not() {
        for (port, last, allowed) in [(0x42u8, 0x20, true), (0x41, 0x20, false), (0x42, 0x08, false)] {
            let mut cpu = in_ring(3, &[0xE4, port]);
            cpu.regs.tr = Segment::new(TSS_SELECTOR, TSS, 104 + last, 0x8B00);
            cpu.phys_write((TSS + 102) as u64, 104u16);
            for n in 0..0x22 {
                cpu.phys_write((TSS + 104 + n) as u64, if n == 8 { !4u8 } else { 0xFF });
            }
            assert_eq!(cpu.run(1), Exit::Limit);
            assert_eq!(cpu.regs.cpl == 3, allowed, "port {port:#x}, limit {last:#x}");
        }
    }

    #[test]
    fn a_count_of_zero_still_needs_the_port() {
        let mut cpu = in_ring(3, &[0xF3, 0x6C]);
        assert_eq!(cpu.run(1), Exit::Limit);
        assert_eq!(cpu.regs.eip, handler(13) + 1);
    }
}
