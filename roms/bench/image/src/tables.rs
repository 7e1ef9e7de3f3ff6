//! Descriptor tables and page tables (SDM vol. 3, chapters 3, 4, 6, 8).
//!
//! Every page is the user's: what is measured is the processor, not a kernel's defence. Memory is mapped twice, at 0
//! and at [`ALIAS`], so that segments with that base hold the same bytes.

use crate::hardware::TIMER_VECTOR;
use core::arch::asm;
use core::mem::size_of;

/// Bytes of memory mapped.
pub const MEMORY: u32 = 64 << 20;
/// Base of the segments that have one.
pub const ALIAS: u32 = 0x4000_0000;
/// Linear addresses of the page-fault operation, and how many pages there are; see traps.s.
pub const FAULT_WINDOW: u32 = 0x3000_0000;
pub const FAULT_PAGES: u32 = 64;

/// Selectors.
pub mod selector {
    pub const RING0_CS: u16 = 0x08;
    pub const MAIN_TASK: u16 = 0x48;
    pub const OTHER_TASK: u16 = 0x50;
    pub const CALL_GATE: u16 = 0x5B;
}

/// The segments kernels run behind in ring 3.
#[derive(Clone, Copy)]
pub struct Segments {
    /// Its name on the command line.
    pub name: &'static str,
    /// Selector of code.
    pub code: u16,
    /// Selector of data and stack.
    pub data: u16,
}

/// Flat; limited to 1 GiB, so that each access must be checked; based, and limited to the byte.
pub const SEGMENTS: [Segments; 3] = [
    Segments { name: "flat", code: 0x1B, data: 0x23 },
    Segments { name: "limited", code: 0x2B, data: 0x33 },
    Segments { name: "based", code: 0x3B, data: 0x43 },
];

const PRESENT_USER: u32 = 7;
const ENTRIES: usize = 1024;
const TABLES: usize = (MEMORY >> 22) as usize;

#[repr(C, align(4096))]
struct Page([u32; ENTRIES]);

/// A task-state segment; only what is needed has a name.
#[repr(C)]
struct TaskState {
    link: u32,
    esp0: u32,
    ss0: u32,
    rings: [u32; 4],
    cr3: u32,
    eip: u32,
    eflags: u32,
    registers: [u32; 8],
    segments: [u32; 6],
    ldt: u32,
    io_map: u32,
}

impl TaskState {
    const fn empty() -> Self {
        Self {
            link: 0,
            esp0: 0,
            ss0: 0x10,
            rings: [0; 4],
            cr3: 0,
            eip: 0,
            eflags: 0x202,
            registers: [0; 8],
            segments: [0x10, 0x08, 0x10, 0x10, 0x10, 0x10],
            ldt: 0,
            io_map: 104 << 16,
        }
    }
}

#[unsafe(no_mangle)]
static mut page_directory: Page = Page([0; ENTRIES]);
#[unsafe(no_mangle)]
static mut other_directory: Page = Page([0; ENTRIES]);
static mut PAGE_TABLES: [Page; TABLES] = [const { Page([0; ENTRIES]) }; TABLES];
static mut GDT: [u64; 12] = [0; 12];
static mut IDT: [u64; 129] = [0; 129];
#[unsafe(no_mangle)]
static mut task_state: TaskState = TaskState::empty();
static mut OTHER_STATE: TaskState = TaskState::empty();
static mut OTHER_STACK: [u32; 256] = [0; 256];

unsafe extern "C" {
    static exception_stubs: u8;
    static mut fault_table: Page;
    fn timer_stub();
    fn syscall_stub();
    fn exit_stub();
    fn page_fault_stub();
    fn gate_target();
    fn other_task();
}

/// `kind` is bits 8 to 15 and 20 to 23 of the high word: access rights and granularity.
fn segment(base: u32, limit: u32, kind: u32) -> u64 {
    let low = base << 16 | limit & 0xFFFF;
    let high = base & 0xFF00_0000 | base >> 16 & 0xFF | limit & 0xF_0000 | kind;
    u64::from(high) << 32 | u64::from(low)
}

/// A gate to ring 0; `kind` as above.
fn gate(target: u32, kind: u32) -> u64 {
    let low = u32::from(selector::RING0_CS) << 16 | target & 0xFFFF;
    u64::from(target & 0xFFFF_0000 | kind) << 32 | u64::from(low)
}

/// Makes everything and takes it into use.
///
/// # Safety
/// Once, before anything else needs it, with interrupts off.
pub unsafe fn install() {
    // SAFETY: the caller's promise; nobody else refers to the tables while they are filled.
    unsafe {
        fill_descriptors();
        fill_pages();
        load();
    }
}

unsafe fn fill_descriptors() {
    const CODE: u32 = 0x00C0_9A00;
    const DATA: u32 = 0x00C0_9200;
    const USER: u32 = 0x6000;
    const BYTES: u32 = 0x0080_0000;
    const TASK: u32 = 0x8900;
    let task_limit = size_of::<TaskState>() as u32 - 1;
    // SAFETY: the caller's promise.
    unsafe {
        GDT = [
            0,
            segment(0, 0xF_FFFF, CODE),
            segment(0, 0xF_FFFF, DATA),
            segment(0, 0xF_FFFF, CODE | USER),
            segment(0, 0xF_FFFF, DATA | USER),
            segment(0, 0x3_FFFF, CODE | USER),
            segment(0, 0x3_FFFF, DATA | USER),
            segment(ALIAS, (MEMORY >> 12) - 1, CODE | USER),
            segment(ALIAS, 0xF_FFFF, (DATA | USER) & !BYTES),
            segment(&raw const task_state as u32, task_limit, TASK),
            segment(&raw const OTHER_STATE as u32, task_limit, TASK),
            gate(gate_target as *const () as u32, 0xEC00),
        ];
        // A based data segment must reach all memory: pages again, but not to the end.
        GDT[8] = segment(ALIAS, (MEMORY >> 12) - 1, DATA | USER);
        for vector in 0..32 {
            IDT[vector] = gate(&raw const exception_stubs as u32 + 16 * vector as u32, 0x8E00);
        }
        IDT[14] = gate(page_fault_stub as *const () as u32, 0x8E00);
        IDT[TIMER_VECTOR] = gate(timer_stub as *const () as u32, 0x8E00);
        IDT[0x7F] = gate(exit_stub as *const () as u32, 0xEE00);
        IDT[0x80] = gate(syscall_stub as *const () as u32, 0xEE00);
        OTHER_STATE.cr3 = &raw const page_directory as u32;
        OTHER_STATE.eip = other_task as *const () as u32;
        OTHER_STATE.registers[4] = (&raw const OTHER_STACK as u32) + 1024;
        task_state.cr3 = OTHER_STATE.cr3;
    }
}

unsafe fn fill_pages() {
    // SAFETY: the caller's promise.
    unsafe {
        let tables = &mut *(&raw mut PAGE_TABLES);
        let directory = &mut *(&raw mut page_directory);
        for (n, table) in tables.iter_mut().enumerate() {
            for (m, entry) in table.0.iter_mut().enumerate() {
                *entry = ((n * ENTRIES + m) << 12) as u32 | PRESENT_USER;
            }
            let entry = table as *const Page as u32 | PRESENT_USER;
            directory.0[n] = entry;
            directory.0[(ALIAS >> 22) as usize + n] = entry;
        }
        directory.0[(FAULT_WINDOW >> 22) as usize] = &raw const fault_table as u32 | PRESENT_USER;
        (*(&raw mut other_directory)).0 = directory.0;
    }
}

unsafe fn load() {
    const CR0_ET_NE_MP: u32 = 1 << 5 | 1 << 4 | 1 << 1;
    const CR0_PG_WP: u32 = 1 << 31 | 1 << 16;
    const CR4_OSFXSR_OSXMMEXCPT: u32 = 1 << 10 | 1 << 9;
    #[repr(C, packed)]
    struct Pointer(u16, u32);
    let gdt = Pointer(size_of::<[u64; 12]>() as u16 - 1, &raw const GDT as u32);
    let idt = Pointer(size_of::<[u64; 129]>() as u16 - 1, &raw const IDT as u32);
    // SAFETY: the tables are complete, and code, data and stack stay where they are.
    unsafe {
        asm!(
            "lgdt [{gdt}]", "lidt [{idt}]",
            "push 0x08", "lea {t}, [2f]", "push {t}", "retf", "2:",
            "mov {t}, 0x10", "mov ds, {t:x}", "mov es, {t:x}", "mov fs, {t:x}", "mov gs, {t:x}", "mov ss, {t:x}",
            "mov {t}, 0x48", "ltr {t:x}",
            "mov cr3, {directory}",
            "mov {t}, cr4", "or {t}, {cr4}", "mov cr4, {t}",
            "mov {t}, cr0", "and {t}, ~12", "or {t}, {cr0}", "mov cr0, {t}", "fninit",
            gdt = in(reg) &gdt, idt = in(reg) &idt, t = out(reg) _,
            directory = in(reg) &raw const page_directory,
            cr4 = const CR4_OSFXSR_OSXMMEXCPT, cr0 = const CR0_PG_WP | CR0_ET_NE_MP,
        );
    }
}
