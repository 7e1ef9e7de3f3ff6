//! Debug registers and single stepping (SDM vol. 3, 17.2 and 17.3).

use crate::Cpu;
use crate::fault::Fault;
use crate::mmu::Access;
use crate::regs::cr4;

/// DR6.BS: single step.
pub(crate) const DR6_BS: u32 = 1 << 14;

/// DR6.BT: the T bit of the new task's TSS.
pub(crate) const DR6_BT: u32 = 1 << 15;

/// One of the four breakpoints, decoded from DR7.
#[derive(Clone, Copy)]
struct Breakpoint {
    address: u32,
    enabled: bool,
    /// 0 execute, 1 write, 2 I/O (with CR4.DE), 3 read or write.
    kind: u32,
    len: u32,
}

impl Cpu {
    fn breakpoint(&self, n: usize) -> Breakpoint {
        let dr7 = self.regs.dr7;
        let len = [1, 2, 8, 4][(dr7 >> (18 + 4 * n) & 3) as usize];
        Breakpoint {
            address: self.regs.dr[n] & !(len - 1),
            enabled: dr7 >> (2 * n) & 3 != 0,
            kind: dr7 >> (16 + 4 * n) & 3,
            len,
        }
    }

    /// Note which data breakpoints an access of `size` bytes at `linear` hits.
    pub(crate) fn match_data_breakpoints(&mut self, linear: u32, size: u32, access: Access) {
        for n in 0..4 {
            let b = self.breakpoint(n);
            let overlaps = linear.wrapping_sub(b.address) < b.len || b.address.wrapping_sub(linear) < size;
            if overlaps && (b.kind == 3 || b.kind == 1 && access == Access::Write) {
                self.regs.pending_debug |= 1 << n;
            }
        }
        if (0..4).all(|n| !self.breakpoint(n).enabled || self.regs.pending_debug >> n & 1 == 0) {
            self.regs.pending_debug &= !0xF;
        }
    }

    /// Whether some enabled data breakpoint lies in the page of `linear`, so that its accesses must not be fast.
    pub(crate) fn watches_page(&self, linear: u32) -> bool {
        if self.regs.dr7 & 0xFF == 0 {
            return false;
        }
        (0..4).map(|n| self.breakpoint(n)).any(|b| {
            let same = |a: u32| a >> 12 == linear >> 12;
            b.enabled && b.kind & 1 != 0 && (same(b.address) || same(b.address.wrapping_add(b.len - 1)))
        })
    }

    /// Instruction breakpoints: a fault before the instruction, unless RF is set.
    pub(crate) fn check_code_breakpoints(&mut self) -> Result<(), Fault> {
        if self.regs.dr7 & 0xFF == 0 || self.regs.flags.has(crate::flags::RF) {
            return Ok(());
        }
        let linear = self.regs.cs().base.wrapping_add(self.regs.eip);
        let mut hits = 0;
        let mut enabled = false;
        for n in 0..4 {
            let b = self.breakpoint(n);
            if b.kind == 0 && self.regs.dr[n] == linear {
                hits |= 1 << n;
                enabled |= b.enabled;
            }
        }
        if enabled {
            self.regs.dr6 |= hits;
            return Err(Fault::DB);
        }
        Ok(())
    }

    /// I/O breakpoints exist only with CR4.DE.
    pub(crate) fn match_io_breakpoints(&mut self, port: u16, size: u32) {
        if self.regs.cr4 & cr4::DE == 0 {
            return;
        }
        for n in 0..4 {
            let b = self.breakpoint(n);
            let port = port as u32;
            let overlaps = port.wrapping_sub(b.address) < b.len || b.address.wrapping_sub(port) < size;
            if b.enabled && b.kind == 2 && overlaps {
                self.regs.pending_debug |= 1 << n;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::Exit;
    use crate::flags::RF;
    use crate::regs::cr4;
    use crate::regs::gpr::{ECX, EDI, ESI};
    use crate::testing::{CODE, handler, in_ring, stack};

    /// mov [0x9000], eax with DR0 there: a trap after the instruction. With a code breakpoint: a fault before it.
    #[test]
    fn data_breakpoints_trap_and_code_breakpoints_fault() {
        let code = [0xA3, 0x00, 0x90, 0x00, 0x00];
        for (address, dr7, eip) in [(0x9003, 0x1_0001, CODE + 5), (CODE, 1, CODE)] {
            let mut cpu = in_ring(0, &code);
            cpu.regs.dr[0] = address;
            cpu.regs.dr7 |= dr7;
            cpu.state_changed();
            assert_eq!(cpu.run(10), Exit::Halted);
            assert_eq!((cpu.regs.eip, cpu.regs.dr6 & 0xF), (handler(1) + 1, 1));
            assert_eq!(stack::<1>(&mut cpu), [eip]);
        }
    }

    /// DR6 after one store of a double word at 0x9000, with the breakpoint given by address, R/W and LEN.
    fn after_store(address: u32, kind: u32, len: u32) -> u32 {
        let mut cpu = in_ring(0, &[0xA3, 0x00, 0x90, 0x00, 0x00, 0xF4]);
        cpu.regs.dr[1] = address;
        cpu.regs.dr7 |= 1 << 2 | kind << 20 | len << 22;
        cpu.state_changed();
        assert_eq!(cpu.run(10), Exit::Halted);
        cpu.regs.dr6 & 0xF
    }

    /// The address is rounded down to the length; one common byte is enough; a store is neither a fetch nor a port access.
    #[test]
    fn a_data_breakpoint_is_a_range_and_a_kind() {
        let cases = [
            (0x9003, 1, 0, 2),
            (0x9004, 1, 0, 0),
            (0x8FFF, 1, 0, 0),
            (0x8FFF, 1, 3, 0),
            (0x8FFE, 1, 2, 0),
            (0x9007, 1, 2, 2),
            (0x9001, 3, 1, 2),
            (0x9005, 3, 1, 0),
            (0x9000, 0, 0, 0),
            (0x9000, 2, 0, 0),
        ];
        for (address, kind, len, expected) in cases {
            assert_eq!(after_store(address, kind, len), expected, "{address:#x} kind {kind} len {len}");
        }
    }

    /// rep movsd over a watched double word: a trap after the iteration that touches it, with RF in the saved EFLAGS.
    #[test]
    fn a_repeated_instruction_traps_at_the_iteration() {
        let mut cpu = in_ring(0, &[0xF3, 0xA5, 0xF4]);
        (cpu.regs.gpr[ECX], cpu.regs.gpr[ESI], cpu.regs.gpr[EDI]) = (8, 0x9000, 0xA000);
        cpu.regs.dr[0] = 0xA008;
        cpu.regs.dr7 |= 1 | 0xD_0000;
        cpu.state_changed();
        assert_eq!(cpu.run(100), Exit::Halted);
        assert_eq!((cpu.regs.eip, cpu.regs.gpr[ECX], cpu.regs.dr6 & 0xF), (handler(1) + 1, 5, 1));
        let [eip, _, eflags] = stack(&mut cpu);
        assert_eq!((eip, eflags & RF), (CODE, RF));
    }

    /// in al, 0x42 with an I/O breakpoint there: only with CR4.DE.
    #[test]
    fn io_breakpoints_need_debugging_extensions() {
        for de in [false, true] {
            let mut cpu = in_ring(0, &[0xE4, 0x42, 0xF4]);
            cpu.regs.dr[3] = 0x42;
            cpu.regs.dr7 |= 1 << 6 | 2 << 28;
            cpu.regs.cr4 = if de { cr4::DE } else { 0 };
            cpu.state_changed();
            assert_eq!(cpu.run(10), Exit::Halted);
            assert_eq!(cpu.regs.dr6 & 0xF, if de { 8 } else { 0 });
            assert_eq!(cpu.regs.eip, if de { handler(1) + 1 } else { CODE + 3 });
        }
    }
}
