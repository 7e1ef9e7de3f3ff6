//! The Switcher: a few hundred bytes of assembly mapped at the same address in the Host's and every Guest's address
//! space, and the layout of the two data pages beside it (lguest-abi 1.3 to 1.5).
//!
//! | page | content | Guest's tables | Host's tables |
//! |---|---|---|---|
//! | 0, 1 | text: entry, exit, one stub a vector | read-only | read-only |
//! | 2 | registers: the ring-0 stack of traps, ending in [`Frame`] | read-write | read-write |
//! | 3 | [`State`]: what the switch itself needs, and the live GDT, IDT and TSS | **read-only** | read-write |
//!
//! Pages 2 and 3 are the Guest's own; the Host maps those of the Guest it is about to run.
//!
//! Invariants:
//! * Everything runs in ring 0 with interrupts off, on selectors that mean the same in both GDTs
//!   ([`CODE_SELECTOR`], [`DATA_SELECTOR`]), so that an NMI can be taken at every instruction.
//! * ESP is valid at every instruction.

#![no_std]

use core::mem::{offset_of, size_of};

/// Linear address of the Switcher, in both worlds. Everything from here to the top belongs to it.
pub const SWITCHER: u32 = 0xFFC0_0000;
/// Pages of text.
pub const TEXT_PAGES: u32 = 2;
/// The registers page.
pub const REGS_PAGE: u32 = SWITCHER + TEXT_PAGES * 0x1000;
/// The state page.
pub const STATE_PAGE: u32 = REGS_PAGE + 0x1000;
/// Where the register frame is: the end of the registers page, which is also the ring-0 stack pointer of traps.
pub const FRAME: u32 = REGS_PAGE + 0x1000 - size_of::<Frame>() as u32;

/// Ring-0 code segment in both GDTs.
pub const CODE_SELECTOR: u16 = 0x50;
/// Ring-0 data and stack segment in both GDTs.
pub const DATA_SELECTOR: u16 = 0x58;
/// Task register in both GDTs.
pub const TSS_SELECTOR: u16 = 0x80;

/// `trapnum` that no trap has: what the Host finds there when the Switcher itself faulted.
pub const NO_TRAP: u32 = 256;

/// The Guest's registers at its last exit and next entry. The five words at the end are what the processor pushes;
/// the first five are the hypercall's arguments.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
#[allow(missing_docs)]
pub struct Frame {
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
    pub esi: u32,
    pub edi: u32,
    pub ebp: u32,
    pub gs: u32,
    pub fs: u32,
    pub ds: u32,
    pub es: u32,
    pub trapnum: u32,
    pub errcode: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
    pub esp: u32,
    pub ss: u32,
}

/// Operand of LGDT and LIDT, padded to keep the base aligned.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C)]
pub struct TableRegister {
    pad: u16,
    /// Last valid byte.
    pub limit: u16,
    /// Linear address of entry 0.
    pub base: u32,
}

impl TableRegister {
    /// A table of `bytes` bytes at `base`.
    pub const fn new(base: u32, bytes: usize) -> TableRegister {
        TableRegister { pad: 0, limit: (bytes - 1) as u16, base }
    }
}

/// A 32-bit task-state segment; only the inner stacks and the I/O bitmap offset matter.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct Tss {
    link: u32,
    /// Ring-0 stack pointer.
    pub esp0: u32,
    /// Ring-0 stack segment.
    pub ss0: u32,
    /// Ring-1 stack pointer.
    pub esp1: u32,
    /// Ring-1 stack segment.
    pub ss1: u32,
    rest: [u32; 20],
    /// High half: offset of the I/O bitmap; at the end of the TSS there is none, so no port is allowed.
    io_map: u32,
}

impl Tss {
    /// A TSS whose traps to ring 0 use `esp0`.
    pub const fn new(esp0: u32) -> Tss {
        let io_map = (size_of::<Tss>() as u32) << 16;
        Tss { link: 0, esp0, ss0: DATA_SELECTOR as u32, esp1: 0, ss1: 0, rest: [0; 20], io_map }
    }
}

/// Entries of the Guest's GDT.
pub const GDT_ENTRIES: usize = 32;
/// Entries of the IDT.
pub const IDT_ENTRIES: usize = 256;

/// The state page.
#[repr(C, align(4096))]
pub struct State {
    /// CR3 of the Host.
    pub host_cr3: u32,
    /// ESP of the Host while the Guest runs; set by the Switcher.
    pub host_esp: u32,
    /// Linear address of the Host's TSS descriptor, whose busy bit the Switcher clears.
    pub host_tss_descriptor: u32,
    /// Shadow root of the Guest.
    pub guest_cr3: u32,
    /// NMIs taken while the Guest's IDT was loaded, not yet collected by the Host.
    pub nmi_count: u32,
    reserved: u32,
    /// The Host's GDT.
    pub host_gdtr: TableRegister,
    /// The Host's IDT.
    pub host_idtr: TableRegister,
    /// The Guest's GDT, in this page.
    pub guest_gdtr: TableRegister,
    /// The Guest's IDT, in this page.
    pub guest_idtr: TableRegister,
    /// The TSS while the Guest runs.
    pub tss: Tss,
    /// The live GDT.
    pub gdt: [[u32; 2]; GDT_ENTRIES],
    /// The live IDT.
    pub idt: [[u32; 2]; IDT_ENTRIES],
}

const _: () = {
    assert!(size_of::<Frame>() == 72);
    assert!(offset_of!(Frame, trapnum) == 44 && offset_of!(Frame, eip) == 52);
    assert!(size_of::<Tss>() == 104);
    assert!(size_of::<State>() == 4096);
};

/// Linear address of vector `n`'s stub.
pub const fn stub(n: u32) -> u32 {
    SWITCHER + 16 * n
}

#[cfg(feature = "bare-metal")]
mod text {
    use super::*;

    core::arch::global_asm!(
        include_str!("switcher.s"),
        FRAME = const FRAME,
        TRAPNUM = const FRAME + offset_of!(Frame, trapnum) as u32,
        NO_TRAP = const NO_TRAP,
        DATA = const DATA_SELECTOR,
        TSS = const TSS_SELECTOR,
        HOST_CR3 = const STATE_PAGE + offset_of!(State, host_cr3) as u32,
        HOST_ESP = const STATE_PAGE + offset_of!(State, host_esp) as u32,
        HOST_TSS = const STATE_PAGE + offset_of!(State, host_tss_descriptor) as u32,
        HOST_GDTR = const STATE_PAGE + offset_of!(State, host_gdtr) as u32 + 2,
        HOST_IDTR = const STATE_PAGE + offset_of!(State, host_idtr) as u32 + 2,
        GUEST_CR3 = const STATE_PAGE + offset_of!(State, guest_cr3) as u32,
        GUEST_GDTR = const STATE_PAGE + offset_of!(State, guest_gdtr) as u32 + 2,
        GUEST_IDTR = const STATE_PAGE + offset_of!(State, guest_idtr) as u32 + 2,
        GUEST_TSS_BUSY = const STATE_PAGE + offset_of!(State, gdt) as u32 + TSS_SELECTOR as u32 + 5,
        NMI_COUNT = const STATE_PAGE + offset_of!(State, nmi_count) as u32,
        CR0_WP = const 0x10000,
        options(att_syntax),
    );

    unsafe extern "C" {
        /// Enter the Guest whose pages are mapped at [`REGS_PAGE`] and [`STATE_PAGE`]; returns at its next exit.
        ///
        /// # Safety
        /// 1. Interrupts are off and the Switcher is mapped in both address spaces as the module says.
        /// 2. The state page is filled in; its GDT has every selector of the frame in usable form or the exit will
        ///    be a fault of the Switcher.
        /// 3. The frame's CS and SS are of ring 1 or 3 and its EFLAGS have IF = 1, IOPL = 0, VM = 0.
        pub fn switch_to_guest();
    }
}

#[cfg(feature = "bare-metal")]
pub use text::switch_to_guest;
