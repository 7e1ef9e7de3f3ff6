//! What a Guest may put into descriptor tables (1.6, 1.7, 10.2).
//!
//! The live tables are in a page the Guest can read but not write, and every entry has gone through here.

use crate::abi::{GUEST_CS, HYPERCALL_VECTOR, SYSCALL_VECTOR};
use crate::death::{Category, Outcome, require};
use crate::mutant::broken;
use switcher_asm::{CODE_SELECTOR, stub};

/// The two words of a descriptor or gate.
pub type Entry = [u32; 2];

/// Flat ring-0 or ring-1 code: accessed, readable.
pub const FLAT_CODE: Entry = [0x0000_FFFF, 0x00CF_9B00];
/// Flat ring-0 or ring-1 data: accessed, writable.
pub const FLAT_DATA: Entry = [0x0000_FFFF, 0x00CF_9300];

const PRESENT: u32 = 1 << 15;
const SEGMENT: u32 = 1 << 12;
const ACCESSED: u32 = 1 << 8;
const DPL: u32 = 3 << 13;
const RING1: u32 = 1 << 13;

/// The same descriptor for ring 1.
pub const fn for_ring1(entry: Entry) -> Entry {
    [entry[0], entry[1] | RING1]
}

/// There is a segment.
pub const fn is_present(entry: Entry) -> bool {
    entry[1] & PRESENT != 0
}

/// GDT entries that are the Host's: the Guest's are kept but never become live.
pub const fn is_host_entry(n: u32) -> bool {
    matches!(n, 10 | 11 | 16 | 31)
}

/// A Guest's GDT entry as it may become live: never ring 0, accessed already (the table is read-only), and no system
/// descriptor at all, for with the accessed bit set a TSS or gate would become something else that still works.
pub fn fix_gdt_entry(entry: Entry) -> Entry {
    let [lo, mut hi] = entry;
    if hi & DPL == 0 && !broken("gdt-dpl-kept") {
        hi |= RING1;
    }
    if hi & SEGMENT == 0 && hi & PRESENT != 0 {
        return if broken("gdt-system-kept") { [lo, hi] } else { [lo, hi & !PRESENT] };
    }
    [lo, hi | ACCESSED]
}

/// Available 32-bit TSS at `base`.
pub const fn tss(base: u32, bytes: u32) -> Entry {
    [base << 16 | (bytes - 1), base & 0xFF00_0000 | 0x8900 | base >> 16 & 0xFF]
}

/// Vectors whose gates the Host never takes from a Guest.
pub const fn is_reserved_gate(n: u32) -> bool {
    matches!(n, 2 | 8 | 15 | HYPERCALL_VECTOR)
}

/// Check and normalise a gate for vector `n`; `None` leaves the stored one.
///
/// # Errors
/// IDT_RANGE, BAD_IDT_TYPE.
pub fn fix_gate(n: u32, gate: Entry) -> Outcome<Option<Entry>> {
    if is_reserved_gate(n) && !broken("idt-reserved-checked") {
        return Ok(None);
    }
    require(n < 256, Category::IdtRange, n)?;
    let [lo, hi] = gate;
    if hi & PRESENT == 0 {
        return Ok(Some([0, 0]));
    }
    let kind = hi >> 8 & 0xF;
    require(kind == 0xE || kind == 0xF, Category::BadIdtType, kind)?;
    let selector = if broken("idt-selector-kept") { lo >> 16 } else { GUEST_CS };
    Ok(Some([selector << 16 | lo & 0xFFFF, hi & 0xFFFF_EF00]))
}

/// A stored gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gate(pub Entry);

impl Gate {
    /// There is a handler.
    pub const fn present(self) -> bool {
        self.0[1] & PRESENT != 0
    }
    /// Where it is.
    pub const fn offset(self) -> u32 {
        self.0[0] & 0xFFFF | self.0[1] & 0xFFFF_0000
    }
    /// An interrupt gate: delivery turns interrupts off. Otherwise it is a trap gate.
    pub const fn disables_interrupts(self) -> bool {
        self.0[1] >> 8 & 0xF == 0xE
    }
    const fn dpl(self) -> u32 {
        self.0[1] & DPL
    }
}

/// Whether the processor pushes an error code for exception `n`.
pub const fn has_error_code(n: u32) -> bool {
    matches!(n, 8 | 10..=14 | 17)
}

/// Vectors a trap gate of the Guest may serve without the Host: not those the Host must see itself.
const fn may_be_direct(n: u32) -> bool {
    (n < 32 || n == SYSCALL_VECTOR) && !matches!(n, 2 | 7 | 8 | 13 | 14 | 15 | HYPERCALL_VECTOR)
}

/// The live gate of vector `n` for the stored gate: the Guest's own if it may be direct, else the Switcher's stub.
pub fn live_gate(n: u32, stored: Gate) -> Entry {
    let direct =
        may_be_direct(n) && stored.present() && !stored.disables_interrupts() && !broken("direct-traps-off");
    if direct {
        return stored.0;
    }
    let dpl = if n == HYPERCALL_VECTOR {
        if broken("hypercall-gate-open") { DPL } else { RING1 }
    } else if broken("irq-gates-open") && n >= 32 {
        DPL
    } else if may_be_direct(n)
        && stored.present()
        && (!has_error_code(n) || broken("idt-dpl-honoured"))
        && !(n == SYSCALL_VECTOR && broken("syscall-gate-ignored"))
    {
        // `int n` of a vector with an error code would push none and shift the frame by a word (1.7).
        stored.dpl()
    } else {
        0
    };
    let at = stub(n);
    [(CODE_SELECTOR as u32) << 16 | at & 0xFFFF, at & 0xFFFF_0000 | PRESENT | 0xE00 | dpl]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::death::Death;

    #[test]
    fn no_entry_is_for_ring_0_and_no_system_descriptor_is_present() {
        for kind in 0..32 {
            let [_, hi] = fix_gdt_entry([0xFFFF, PRESENT | kind << 8]);
            assert_ne!(hi & DPL, 0);
            assert_eq!(hi & PRESENT != 0, kind & 16 != 0);
        }
        assert_eq!(fix_gdt_entry([0, 0x00CF_F200])[1], 0x00CF_F300);
    }

    #[test]
    fn gates_always_lead_to_ring_1() {
        let gate = [0x0010_1234, 0x5678_EF07];
        assert_eq!(fix_gate(0x80, gate), Ok(Some([0x0061_1234, 0x5678_EF00])));
        assert_eq!(fix_gate(8, [0, PRESENT | 0x500]), Ok(None));
        assert_eq!(fix_gate(256, [0, 0]), Err(Death::Killed(Category::IdtRange, 256)));
        assert_eq!(fix_gate(3, [0, PRESENT | 0x500]), Err(Death::Killed(Category::BadIdtType, 5)));
        assert_eq!(fix_gate(3, [1, 0xE00]), Ok(Some([0, 0])));
    }

    #[test]
    fn only_harmless_trap_gates_are_live() {
        let trap = Gate([0x0061_1234, 0x5678_EF00]);
        let interrupt = Gate([0x0061_1234, 0x5678_EE00]);
        for n in 0..256 {
            let live = live_gate(n, trap);
            assert_eq!(live == trap.0, may_be_direct(n), "{n}");
            if live != trap.0 {
                assert_eq!(live[0] >> 16, CODE_SELECTOR as u32);
            }
            let dpl = live_gate(n, interrupt)[1] & DPL;
            let open = may_be_direct(n) && !has_error_code(n);
            assert_eq!(
                dpl,
                if n == HYPERCALL_VECTOR {
                    RING1
                } else if open {
                    DPL
                } else {
                    0
                },
                "{n}"
            );
        }
    }
}
