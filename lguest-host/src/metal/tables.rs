//! The Host's own GDT, IDT and TSS. Selectors 0x50, 0x58 and 0x80 mean the same as in every Guest's live GDT, so that
//! the Switcher can change tables between two instructions.

use super::boot;
use super::once::Global;
use core::arch::asm;
use core::mem::size_of;
use lguest_host::descriptor::{Entry, FLAT_CODE, FLAT_DATA, tss};
use switcher_asm::{CODE_SELECTOR, GDT_ENTRIES, IDT_ENTRIES, TSS_SELECTOR, TableRegister, Tss};

/// First vector of physical interrupts.
pub const IRQ_BASE: u32 = 0x20;

static GDT: Global<[Entry; GDT_ENTRIES]> = Global::new([[0; 2]; GDT_ENTRIES]);
static IDT: Global<[Entry; IDT_ENTRIES]> = Global::new([[0; 2]; IDT_ENTRIES]);
/// Never used for a stack switch: the Host has no outer rings of its own. LTR wants one.
static TSS: Global<Tss> = Global::new(Tss::new(0));

fn interrupt_gate(offset: u32) -> Entry {
    [(CODE_SELECTOR as u32) << 16 | offset & 0xFFFF, offset & 0xFFFF_0000 | 0x8E00]
}

/// Operand of LGDT.
pub fn gdtr() -> TableRegister {
    TableRegister::new(GDT.as_ptr() as u32, size_of::<[Entry; GDT_ENTRIES]>())
}

/// Operand of LIDT.
pub fn idtr() -> TableRegister {
    TableRegister::new(IDT.as_ptr() as u32, size_of::<[Entry; IDT_ENTRIES]>())
}

/// Linear address of the TSS descriptor.
pub fn tss_descriptor() -> u32 {
    GDT.as_ptr() as u32 + TSS_SELECTOR as u32
}

/// Fill and load the tables.
pub fn init() {
    GDT.with(|gdt| {
        gdt[10] = FLAT_CODE;
        gdt[11] = FLAT_DATA;
        gdt[(TSS_SELECTOR / 8) as usize] = tss(TSS.as_ptr() as u32, size_of::<Tss>() as u32);
    });
    IDT.with(|idt| {
        for n in 0..32 {
            idt[n as usize] = interrupt_gate(boot::exception_stub(n));
        }
        idt[2] = interrupt_gate(boot::nmi_handler());
        for n in 0..16 {
            idt[(IRQ_BASE + n) as usize] = interrupt_gate(boot::irq_stub(n));
        }
    });
    let (gdtr, idtr) = (gdtr(), idtr());
    // SAFETY: the tables are complete and static; CS, SS and DS keep their meaning.
    unsafe {
        asm!(
            "lgdt [{gdtr} + 2]",
            "lidt [{idtr} + 2]",
            "ltr {tss:x}",
            gdtr = in(reg) &gdtr,
            idtr = in(reg) &idtr,
            tss = in(reg) TSS_SELECTOR as u32,
            options(nostack, preserves_flags)
        );
    }
}
