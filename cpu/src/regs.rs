//! The architectural registers (SDM vol. 1, 3.4; vol. 3, 2.5) and nothing else: what a snapshot of the core holds.

use crate::flags::Flags;
use crate::seg::{SegReg, Segment};
use serde::{Deserialize, Serialize};

/// Encodings of the general registers.
#[allow(missing_docs)]
pub mod gpr {
    pub const EAX: usize = 0;
    pub const ECX: usize = 1;
    pub const EDX: usize = 2;
    pub const EBX: usize = 3;
    pub const ESP: usize = 4;
    pub const EBP: usize = 5;
    pub const ESI: usize = 6;
    pub const EDI: usize = 7;
}

/// Bits of CR0.
#[allow(missing_docs)]
pub mod cr0 {
    pub const PE: u32 = 1 << 0;
    pub const MP: u32 = 1 << 1;
    pub const EM: u32 = 1 << 2;
    pub const TS: u32 = 1 << 3;
    pub const ET: u32 = 1 << 4;
    pub const NE: u32 = 1 << 5;
    pub const WP: u32 = 1 << 16;
    pub const AM: u32 = 1 << 18;
    pub const NW: u32 = 1 << 29;
    pub const CD: u32 = 1 << 30;
    pub const PG: u32 = 1 << 31;
}

/// Bits of CR4.
#[allow(missing_docs)]
pub mod cr4 {
    pub const VME: u32 = 1 << 0;
    pub const PVI: u32 = 1 << 1;
    pub const TSD: u32 = 1 << 2;
    pub const DE: u32 = 1 << 3;
    pub const PSE: u32 = 1 << 4;
    pub const PAE: u32 = 1 << 5;
    pub const MCE: u32 = 1 << 6;
    pub const PGE: u32 = 1 << 7;
    pub const PCE: u32 = 1 << 8;
    pub const OSFXSR: u32 = 1 << 9;
    pub const OSXMMEXCPT: u32 = 1 << 10;
}

/// EFER.NXE: execute-disable pages.
pub const EFER_NXE: u32 = 1 << 11;

/// A descriptor-table register: GDTR or IDTR.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableRegister {
    /// Linear address of entry 0.
    pub base: u32,
    /// Last valid byte.
    pub limit: u16,
}

/// What the processor is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Activity {
    /// Executing instructions.
    #[default]
    Running,
    /// In HLT, waiting for an interrupt.
    Halted,
    /// After a triple fault, waiting for RESET.
    Shutdown,
}

/// Machine-specific registers that i686 systems touch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Msrs {
    /// Extended features; only NXE exists.
    pub efer: u32,
    /// SYSENTER code selector (0 makes SYSENTER fault).
    pub sysenter_cs: u32,
    /// SYSENTER stack pointer.
    pub sysenter_esp: u32,
    /// SYSENTER entry point.
    pub sysenter_eip: u32,
    /// Added to virtual time to give the time-stamp counter (WRMSR to the TSC changes it).
    pub tsc_offset: u64,
    /// Local APIC base and enable bit.
    pub apic_base: u64,
    /// Page attribute table: stored, without effect.
    pub pat: u64,
}

/// Every register an instruction can see or that delivery of an event depends on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// EAX ECX EDX EBX ESP EBP ESI EDI.
    pub gpr: [u32; 8],
    /// Offset of the current instruction in CS.
    pub eip: u32,
    /// EFLAGS.
    pub flags: Flags,
    /// ES CS SS DS FS GS with their hidden parts.
    pub seg: [Segment; 6],
    /// Local descriptor table register.
    pub ldtr: Segment,
    /// Task register.
    pub tr: Segment,
    /// Global descriptor table register.
    pub gdtr: TableRegister,
    /// Interrupt descriptor table register.
    pub idtr: TableRegister,
    /// Current privilege level.
    pub cpl: u8,
    /// Control register 0.
    pub cr0: u32,
    /// Page-fault linear address.
    pub cr2: u32,
    /// Page-table base.
    pub cr3: u32,
    /// Control register 4.
    pub cr4: u32,
    /// The four page-directory-pointer entries, loaded with CR3 in PAE mode (SDM vol. 3, 4.4.1).
    pub pdpte: [u64; 4],
    /// DR0-DR3.
    pub dr: [u32; 4],
    /// Debug status.
    pub dr6: u32,
    /// Debug control.
    pub dr7: u32,
    /// Model-specific registers.
    pub msr: Msrs,
    /// Running, halted or shut down.
    pub activity: Activity,
    /// Debug-trap conditions met by the instruction in progress, as DR6 bits.
    pub pending_debug: u32,
    /// Instruction count up to which maskable interrupts are held off after STI.
    pub sti_shadow: u64,
    /// Instruction count up to which interrupts, NMI and debug traps are held off after a load of SS.
    pub ss_shadow: u64,
    /// An NMI handler is running: NMIs are held until IRET.
    pub nmi_blocked: bool,
}

impl Registers {
    /// State after RESET (SDM vol. 3, table 9-1).
    pub fn reset() -> Registers {
        let mut seg = [Segment::real(0, 0); 6];
        seg[SegReg::Cs as usize] = Segment::new(0xF000, 0xFFFF_0000, 0xFFFF, 0x9300);
        let mut gpr = [0; 8];
        gpr[gpr::EDX] = crate::cpuid::SIGNATURE;
        Registers {
            gpr,
            eip: 0xFFF0,
            flags: Flags::default(),
            seg,
            ldtr: Segment::new(0, 0, 0xFFFF, 0x8200),
            tr: Segment::new(0, 0, 0xFFFF, 0x8B00),
            gdtr: TableRegister { base: 0, limit: 0xFFFF },
            idtr: TableRegister { base: 0, limit: 0xFFFF },
            cpl: 0,
            cr0: cr0::CD | cr0::NW | cr0::ET,
            cr2: 0,
            cr3: 0,
            cr4: 0,
            pdpte: [0; 4],
            dr: [0; 4],
            dr6: 0xFFFF_0FF0,
            dr7: 0x400,
            msr: Msrs { apic_base: 0xFEE0_0900, pat: 0x0007_0406_0007_0406, ..Msrs::default() },
            activity: Activity::Running,
            pending_debug: 0,
            sti_shadow: 0,
            ss_shadow: 0,
            nmi_blocked: false,
        }
    }

    /// Protected mode is on and virtual-8086 mode is not.
    pub fn protected(&self) -> bool {
        self.cr0 & cr0::PE != 0 && !self.flags.has(crate::flags::VM)
    }

    /// Virtual-8086 mode.
    pub fn v86(&self) -> bool {
        self.flags.has(crate::flags::VM)
    }

    /// The code segment register.
    pub fn cs(&self) -> &Segment {
        &self.seg[SegReg::Cs as usize]
    }

    /// The stack segment register.
    pub fn ss(&self) -> &Segment {
        &self.seg[SegReg::Ss as usize]
    }

    /// Bits of ESP that the stack segment uses.
    #[inline(always)]
    pub fn stack_mask(&self) -> u32 {
        if self.ss().big() { u32::MAX } else { 0xFFFF }
    }
}
