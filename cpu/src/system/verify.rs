//! Pointer validation (SDM vol. 3, 5.10): LAR LSL VERR VERW ARPL. They set ZF and never fault on the selector.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::interp::operand::{Mem, Place, Reg, Source, has_memory};
use crate::seg::{Descriptor, SystemType, is_null};
use crate::word::Word;
use iced_x86::{Code, Instruction};

fn require_protected(cpu: &Cpu) -> Result<(), Fault> {
    if cpu.regs.protected() { Ok(()) } else { Err(Fault::UD) }
}

/// The descriptor of `selector` if it can be seen from CPL and RPL; `None` if not. Page faults are real.
fn visible(cpu: &mut Cpu, selector: u16) -> Result<Option<Descriptor>, Fault> {
    if is_null(selector) {
        return Ok(None);
    }
    let d = match cpu.find_descriptor(selector, Fault::gp) {
        Ok(found) => found.d,
        Err(fault) if fault.vector() == crate::fault::vector::GP => return Ok(None),
        Err(fault) => return Err(fault),
    };
    let reaches = d.dpl() >= cpu.regs.cpl && d.dpl() >= selector as u8 & 3;
    Ok((d.is_conforming() || reaches).then_some(d))
}

/// The selector of LAR and LSL: a memory operand is 16 bits whatever the operand size.
fn lar<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = S::get::<u16>(cpu, op)?;
    let d = visible(cpu, selector)?.filter(|d| {
        let known = !matches!(
            d.system_type(),
            SystemType::Reserved
                | SystemType::InterruptGate16
                | SystemType::TrapGate16
                | SystemType::InterruptGate32
                | SystemType::TrapGate32
        );
        d.is_segment() || known
    });
    if let Some(d) = d {
        cpu.set_reg(op.reg[0], W::from_u32(d.hi & 0x00FF_FF00));
    }
    cpu.regs.flags.set_zf(d.is_some());
    Ok(())
}

fn lsl<W: Word, S: Source>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = S::get::<u16>(cpu, op)?;
    let d = visible(cpu, selector)?.filter(|d| {
        d.is_segment()
            || matches!(
                d.system_type(),
                SystemType::Tss16 { .. } | SystemType::Tss32 { .. } | SystemType::Ldt
            )
    });
    if let Some(d) = d {
        cpu.set_reg(op.reg[0], W::from_u32(d.limit()));
    }
    cpu.regs.flags.set_zf(d.is_some());
    Ok(())
}

fn verify<S: Source, const WRITE: bool>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let selector = S::get::<u16>(cpu, op)?;
    let d = visible(cpu, selector)?;
    let ok = d.is_some_and(|d| if WRITE { d.is_writable_data() } else { d.is_segment() && d.is_readable() });
    cpu.regs.flags.set_zf(ok);
    Ok(())
}

/// The operand is written only if its RPL is raised, as on silicon: a read-only one is no fault otherwise.
fn arpl<D: Place>(cpu: &mut Cpu, op: &Op) -> Result<(), Fault> {
    require_protected(cpu)?;
    let rpl = cpu.reg::<u16>(op.reg[1]) & 3;
    let selector = D::get::<u16>(cpu, op)?;
    let raise = selector & 3 < rpl;
    if raise {
        D::set(cpu, op, selector & !3 | rpl)?;
    }
    cpu.regs.flags.set_zf(raise);
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    use Code::*;
    let mem = has_memory(insn);
    Some(match insn.code() {
        Lar_r16_rm16 => {
            if mem {
                lar::<u16, Mem>
            } else {
                lar::<u16, Reg<1>>
            }
        }
        Lar_r32_r32m16 => {
            if mem {
                lar::<u32, Mem>
            } else {
                lar::<u32, Reg<1>>
            }
        }
        Lsl_r16_rm16 => {
            if mem {
                lsl::<u16, Mem>
            } else {
                lsl::<u16, Reg<1>>
            }
        }
        Lsl_r32_r32m16 => {
            if mem {
                lsl::<u32, Mem>
            } else {
                lsl::<u32, Reg<1>>
            }
        }
        Verr_rm16 | Verr_r32m16 => {
            if mem {
                verify::<Mem, false>
            } else {
                verify::<Reg<0>, false>
            }
        }
        Verw_rm16 | Verw_r32m16 => {
            if mem {
                verify::<Mem, true>
            } else {
                verify::<Reg<0>, true>
            }
        }
        Arpl_rm16_r16 | Arpl_r32m16_r32 => {
            if mem {
                arpl::<Mem>
            } else {
                arpl::<Reg<0>>
            }
        }
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seg::{SegReg, Segment};
    use crate::testing::{FREE, execute, flat, in_ring, set_descriptor};

    /// arpl [0x9000], bx with a read-only DS: a fault only where something would be written.
    #[test]
    fn arpl_writes_only_what_it_changes() {
        for (selector, rpl, expected) in
            [(0x13, 2, Ok(false)), (0x12, 2, Ok(false)), (0x11, 2, Err(Fault::GP0))]
        {
            let mut cpu = flat(&[]);
            cpu.regs.seg[SegReg::Ds as usize] = Segment::new(16, 0, u32::MAX, 0x00C0_9100);
            cpu.regs.gpr[crate::regs::gpr::EBX] = rpl;
            cpu.phys_write::<u16>(0x9000, selector);
            let outcome = execute(&mut cpu, &[0x63, 0x1D, 0x00, 0x90, 0x00, 0x00]);
            assert_eq!(outcome.map(|()| cpu.regs.flags.zf()), expected, "{selector:#x}");
        }
    }

    /// ZF of LAR, LSL, VERR and VERW on a present descriptor of DPL 0 at CPL 0, with S and the four type bits in `kind`.
    fn verdicts(kind: u32) -> [bool; 4] {
        let mut cpu = in_ring(0, &[]);
        set_descriptor(&mut cpu, FREE, 0x80 | kind, 0, 0x1234);
        cpu.regs.gpr[crate::regs::gpr::EDX] = FREE as u32;
        // lar ecx, edx; lsl ecx, edx; verr dx; verw dx
        [[0x0F, 0x02, 0xCA], [0x0F, 0x03, 0xCA], [0x0F, 0x00, 0xE2], [0x0F, 0x00, 0xEA]].map(|code| {
            assert_eq!(execute(&mut cpu, &code), Ok(()));
            cpu.regs.flags.zf()
        })
    }

    /// SDM vol. 2, tables of LAR and LSL; vol. 3, 5.10.2.
    #[test]
    fn each_type_has_its_verdicts() {
        for kind in 0..16 {
            let access = matches!(kind, 1..=5 | 9 | 0xB | 0xC);
            let limit = matches!(kind, 1..=3 | 9 | 0xB);
            assert_eq!(verdicts(kind), [access, limit, false, false], "system type {kind:#x}");
            let readable = kind < 8 || kind & 2 != 0;
            let writable = kind < 8 && kind & 2 != 0;
            assert_eq!(verdicts(0x10 | kind), [true, true, readable, writable], "segment type {kind:#x}");
        }
    }

    /// A data segment of DPL 0 is invisible to ring 3 and to RPL 3; a conforming one is visible to all.
    #[test]
    fn privilege_hides_descriptors() {
        for (ring, kind, rpl, visible) in [
            (0, 0x93, 0, true),
            (0, 0x93, 3, false),
            (3, 0x93, 0, false),
            (3, 0x9E, 3, true),
            (3, 0xF3, 3, true),
        ] {
            let mut cpu = in_ring(ring, &[]);
            set_descriptor(&mut cpu, FREE, kind, 0, 0x1234);
            cpu.regs.gpr[crate::regs::gpr::EDX] = (FREE | rpl) as u32;
            assert_eq!(execute(&mut cpu, &[0x0F, 0x02, 0xCA]), Ok(()));
            assert_eq!(cpu.regs.flags.zf(), visible, "ring {ring} kind {kind:#x} rpl {rpl}");
        }
    }
}
