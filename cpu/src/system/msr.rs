//! Model-specific registers and the time-stamp counter (SDM vol. 4; vol. 3, 17.17). The TSC ticks in virtual time.

use crate::Cpu;
use crate::decode::{Handler, Op};
use crate::fault::Fault;
use crate::mmu::MAX_PHYS_BITS;
use crate::regs::gpr::{EAX, ECX, EDX};
use crate::regs::{EFER_NXE, cr4};
use iced_x86::{Code, Instruction};

const TSC: u32 = 0x10;
const APIC_BASE: u32 = 0x1B;
/// BSP, enable, and an address of as many bits as CPUID says (10.4.4).
const APIC_BASE_BITS: u64 = 0x900 | ((1 << MAX_PHYS_BITS) - 0x1000);
const APIC_BASE_ENABLE: u64 = 0x800;
const SYSENTER_CS: u32 = 0x174;
const SYSENTER_ESP: u32 = 0x175;
const SYSENTER_EIP: u32 = 0x176;
const PAT: u32 = 0x277;
const EFER: u32 = 0xC000_0080;

impl Cpu {
    /// The time-stamp counter: virtual time plus whatever WRMSR added.
    pub fn tsc(&self) -> u64 {
        self.vtime().wrapping_add(self.regs.msr.tsc_offset)
    }

    fn read_msr(&self, n: u32) -> Result<u64, Fault> {
        let m = &self.regs.msr;
        Ok(match n {
            TSC => self.tsc(),
            APIC_BASE => m.apic_base,
            SYSENTER_CS => m.sysenter_cs as u64,
            SYSENTER_ESP => m.sysenter_esp as u64,
            SYSENTER_EIP => m.sysenter_eip as u64,
            PAT => m.pat,
            EFER => m.efer as u64,
            _ => return Err(Fault::GP0),
        })
    }

    fn write_msr(&mut self, n: u32, value: u64) -> Result<(), Fault> {
        let now = self.vtime();
        let m = &mut self.regs.msr;
        match n {
            TSC => m.tsc_offset = value.wrapping_sub(now),
            APIC_BASE if value & !APIC_BASE_BITS == 0 => {
                m.apic_base = value;
                self.with_bus(|bus, cx| bus.set_apic_base(cx, value));
            }
            SYSENTER_CS => m.sysenter_cs = value as u32,
            SYSENTER_ESP => m.sysenter_esp = value as u32,
            SYSENTER_EIP => m.sysenter_eip = value as u32,
            PAT if value.to_le_bytes().iter().all(|kind| matches!(kind, 0 | 1 | 4..=7)) => m.pat = value,
            EFER if value & !(EFER_NXE as u64) == 0 => {
                m.efer = value as u32;
                self.tlb.flush(true);
            }
            _ => return Err(Fault::GP0),
        }
        Ok(())
    }

    fn set_edx_eax(&mut self, value: u64) {
        self.regs.gpr[EAX] = value as u32;
        self.regs.gpr[EDX] = (value >> 32) as u32;
    }
}

fn rdmsr(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()?;
    let value = cpu.read_msr(cpu.regs.gpr[ECX])?;
    cpu.set_edx_eax(value);
    Ok(())
}

fn wrmsr(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    cpu.require_cpl0()?;
    let value = (cpu.regs.gpr[EDX] as u64) << 32 | cpu.regs.gpr[EAX] as u64;
    cpu.write_msr(cpu.regs.gpr[ECX], value)
}

fn rdtsc(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    if cpu.regs.cr4 & cr4::TSD != 0 && cpu.regs.cpl != 0 {
        return Err(Fault::GP0);
    }
    let value = cpu.tsc();
    cpu.set_edx_eax(value);
    Ok(())
}

/// There are no performance counters.
fn rdpmc(_: &mut Cpu, _: &Op) -> Result<(), Fault> {
    Err(Fault::GP0)
}

fn cpuid(cpu: &mut Cpu, _: &Op) -> Result<(), Fault> {
    let apic = cpu.regs.msr.apic_base & APIC_BASE_ENABLE != 0;
    let [eax, ebx, ecx, edx] = crate::cpuid::leaf(cpu.regs.gpr[EAX], apic);
    cpu.regs.gpr[..4].copy_from_slice(&[eax, ecx, edx, ebx]);
    Ok(())
}

pub(crate) fn bind(insn: &Instruction) -> Option<Handler> {
    Some(match insn.code() {
        Code::Rdmsr => rdmsr,
        Code::Wrmsr => wrmsr,
        Code::Rdtsc => rdtsc,
        Code::Rdpmc => rdpmc,
        Code::Cpuid => cpuid,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{execute, flat, in_ring};

    /// wrmsr of `value` to `n` at CPL 0.
    fn write(n: u32, value: u64) -> Result<(), Fault> {
        let mut cpu = flat(&[]);
        (cpu.regs.gpr[ECX], cpu.regs.gpr[EAX], cpu.regs.gpr[EDX]) = (n, value as u32, (value >> 32) as u32);
        execute(&mut cpu, &[0x0F, 0x30])
    }

    #[test]
    fn reserved_values_and_registers_are_refused() {
        let cases = [
            (EFER, EFER_NXE as u64, Ok(())),
            (EFER, 1, Err(Fault::GP0)),
            (EFER, 1 << 32, Err(Fault::GP0)),
            (PAT, 0x0706_0504_0100_0706, Ok(())),
            (PAT, 0x0206_0504_0100_0706, Err(Fault::GP0)),
            (0x1234, 0, Err(Fault::GP0)),
        ];
        for (n, value, expected) in cases {
            assert_eq!(write(n, value), expected, "{n:#x} {value:#x}");
        }
    }

    #[test]
    fn only_ring_0_has_msrs_and_only_cr4_tsd_takes_the_tsc_away() {
        for code in [[0x0F, 0x30], [0x0F, 0x32], [0x0F, 0x33]] {
            assert_eq!(execute(&mut in_ring(3, &[]), &code), Err(Fault::GP0));
        }
        let mut cpu = in_ring(3, &[]);
        assert_eq!(execute(&mut cpu, &[0x0F, 0x31]), Ok(()));
        cpu.regs.cr4 |= cr4::TSD;
        assert_eq!(execute(&mut cpu, &[0x0F, 0x31]), Err(Fault::GP0));
    }
}
