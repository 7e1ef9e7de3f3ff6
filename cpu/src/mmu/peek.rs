//! Looking at memory without leaving a trace: for reports, disassembly and debuggers.

use crate::Cpu;
use crate::mem::PageKind;

impl Cpu {
    /// Up to `len` bytes at linear address `linear`: as many as have a translation in the TLB and are memory. No walk
    /// is made, no device is read.
    pub fn peek_linear(&self, linear: u32, len: usize) -> Vec<u8> {
        (0..len as u32).map_while(|n| self.peek_byte(linear.wrapping_add(n))).collect()
    }

    fn peek_byte(&self, linear: u32) -> Option<u8> {
        let phys = if self.paging() {
            let entry = self.tlb.lookup(linear);
            entry.is_valid().then(|| entry.frame() | u64::from(linear & 0xFFF))?
        } else {
            u64::from(linear)
        };
        match self.mem.page_kind(self.gate_a20(phys)) {
            PageKind::Ram(offset) | PageKind::Rom(offset) => Some(self.mem.read_at(offset | linear & 0xFFF)),
            PageKind::Bus => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::testing::{CODE, flat};

    #[test]
    fn sees_memory_and_nothing_else() {
        let cpu = flat(&[0x40, 0x41]);
        assert_eq!(cpu.peek_linear(CODE, 2), [0x40, 0x41]);
        let end = cpu.mem.ram_size() as u32;
        assert_eq!(cpu.peek_linear(end - 1, 4).len(), 1);
    }
}
