//! A Guest without a processor: registers are set by hand, a trap is a number in the frame.

use super::*;
use crate::abi::{HYPERCALL_VECTOR, RING_FREE, data, hcall};
use crate::bus::BUS_PAGES;
use crate::death::Category;
use crate::device::Equipment;
use crate::image::Loaded;
use crate::shadow::Pool;
use std::boxed::Box;
use std::vec;
use std::vec::Vec;

pub(super) const RAM: u32 = 64 * PAGE;
/// `struct lguest_data`.
const DATA: u32 = 0x8000;
const STACK: u32 = 0xA000;
const CODE: u32 = 0xB000;
const HANDLER: u32 = 0x0012_3400;
/// In layout B: start and end of the no-interrupt range. In layout C the first is the IRET.
const WINDOW: (u32, u32) = (0x4000_0010, 0x4000_0020);
const INTERRUPT_GATE: u32 = 0x8E00;

#[derive(Default)]
pub(super) struct Desk {
    now: u64,
    pub printed: Vec<u8>,
    /// Bytes the console has room for, if that is bounded.
    pub room: Option<u32>,
    pub typed: Vec<u8>,
    /// Read and written.
    pub sectors: u32,
    /// Waiting, and sent.
    pub arrived: Vec<Vec<u8>>,
    pub sent: Vec<Vec<u8>>,
    pub listening: bool,
    /// Bytes left, and the next.
    pub entropy: usize,
}

impl Platform for Desk {
    fn now(&self) -> u64 {
        self.now
    }
    fn wall_clock(&self) -> (u32, u32) {
        (1_000_000_000, 7)
    }
    fn tsc_khz(&self) -> u32 {
        1_000_000
    }
    fn console_write(&mut self, bytes: &[u8]) {
        let fits = self.room.map_or(bytes.len(), |room| bytes.len().min(room as usize));
        self.printed.extend_from_slice(&bytes[..fits]);
        self.room = self.room.map(|room| room - fits as u32);
    }
    fn console_room(&mut self) -> u32 {
        self.room.unwrap_or(u32::MAX)
    }
    fn has_input(&self) -> bool {
        self.console_ready() || self.frame_ready()
    }
    fn console_wanted(&mut self) {}
    fn console_ready(&self) -> bool {
        !self.typed.is_empty()
    }
    fn console_read(&mut self) -> Option<u8> {
        (!self.typed.is_empty()).then(|| self.typed.remove(0))
    }
    fn disk_read(&mut self, _: u32, sector: u32, bytes: &mut [u8; SECTOR]) -> bool {
        self.sectors += 1;
        bytes.fill(sector as u8);
        true
    }
    fn disk_write(&mut self, _: u32, _: u32, _: &[u8; SECTOR]) -> bool {
        self.sectors += 1;
        true
    }
    fn disk_flush(&mut self, _: u32) -> bool {
        true
    }
    fn frames_wanted(&mut self) {
        self.listening = true;
    }
    fn frame_ready(&self) -> bool {
        !self.arrived.is_empty()
    }
    fn frame_receive(&mut self, frame: &mut [u8; net::FRAME]) -> usize {
        let bytes = self.arrived.remove(0);
        frame[..bytes.len()].copy_from_slice(&bytes);
        bytes.len()
    }
    fn frame_send(&mut self, frame: &[u8]) {
        self.sent.push(frame.to_vec());
    }
    fn entropy_ready(&mut self) -> bool {
        self.entropy != 0
    }
    fn entropy(&mut self, bytes: &mut [u8]) -> usize {
        let count = bytes.len().min(self.entropy);
        bytes[..count].fill(0xE5);
        self.entropy -= count;
        count
    }
}

pub(super) struct Rig {
    pub guest: Guest,
    pub desk: Desk,
    pub ram: GuestRam,
    _memory: [Vec<u64>; 3],
    _registers: Box<Frame>,
}

impl Rig {
    /// A Guest in linear mode, before INIT.
    pub fn new() -> Rig {
        let words = |pages: u32| vec![0u64; pages as usize * 512];
        let (mut frames, mut bytes, mut state) = (words(32), words(64 + BUS_PAGES), words(2));
        let mut registers = Box::new(Frame::default());
        // SAFETY: the rig owns all of it and uses it through these values only; the state page is aligned.
        let (pool, ram, state_page) = unsafe {
            let aligned = state.as_mut_ptr().cast::<u8>();
            (
                Pool::new(frames.as_mut_ptr().cast(), 0x10_0000, 32),
                GuestRam::new(bytes.as_mut_ptr().cast(), RAM + BUS_PAGES * PAGE),
                aligned.add(aligned.align_offset(PAGE as usize)).cast::<State>(),
            )
        };
        let shadow = Shadow::new(pool, [0x1000, 0x2000, 0x3000, 0x4000]).unwrap();
        let bus = Bus::new(&ram, RAM, Equipment::default()).unwrap();
        let pages = SwitcherPages { frame: &raw mut *registers, state: state_page };
        let loaded = Loaded { entry: CODE, ram_size: RAM, free_end: RAM };
        let guest = Guest::new(ram, pages, shadow, bus, Pci::new(RAM, Equipment::default()), loaded);
        let desk = Desk::default();
        Rig { guest, desk, ram, _memory: [frames, bytes, state], _registers: registers }
    }

    /// The same after INIT, with an interrupt gate for virtual interrupt 0.
    fn initialised(layout_c: bool) -> Rig {
        let mut rig = Rig::new();
        let shift = if layout_c { 4 } else { 0 };
        rig.ram.write(DATA + 1376, [WINDOW.0, WINDOW.1]).unwrap();
        rig.ram.write(DATA + 1384 - shift, [0x4000_0000u32, 0x80]).unwrap();
        rig.ram.write(DATA + data::HCALL_STATUS, [RING_FREE; 64]).unwrap();
        rig.call(hcall::LGUEST_INIT, [DATA, 0, 0]);
        rig.call(hcall::LOAD_IDT_ENTRY, [0x20, HANDLER & 0xFFFF, HANDLER & 0xFFFF_0000 | INTERRUPT_GATE]);
        assert_eq!(rig.guest.death(), None);
        rig
    }

    fn trap(&mut self, number: u32) {
        self.guest.frame().trapnum = number;
        self.guest.handle_trap(0);
        self.guest.prepare(&mut self.desk);
    }

    fn call(&mut self, number: u32, [ebx, ecx, edx]: [u32; 3]) {
        let frame = self.guest.frame();
        (frame.eax, frame.ebx, frame.ecx, frame.edx) = (number, ebx, ecx, edx);
        self.trap(HYPERCALL_VECTOR);
    }

    fn word(&self, offset: u32) -> u32 {
        self.ram.read(DATA + offset).unwrap()
    }

    fn killed(&self) -> Option<Category> {
        match self.guest.death() {
            Some(Death::Killed(category, _)) => Some(category),
            _ => None,
        }
    }

    /// Runs in ring 1 at `eip` with interrupts on or off, while interrupt 0 comes.
    fn interrupted_at(&mut self, eip: u32, enabled: u32) {
        self.ram.write(DATA + data::IRQ_ENABLED, enabled).unwrap();
        self.ram.write(DATA + data::BLOCKED_INTERRUPTS, 0u32).unwrap();
        let frame = self.guest.frame();
        (frame.eip, frame.esp, frame.ss) = (eip, STACK, GUEST_DS);
        self.guest.raise_irq(0);
        self.guest.prepare(&mut self.desk);
    }
}

#[test]
fn init_comes_first_and_once() {
    let mut rig = Rig::new();
    rig.call(hcall::FLUSH_ASYNC, [0; 3]);
    assert_eq!(rig.killed(), Some(Category::HcallBeforeInit));
    let mut rig = Rig::initialised(false);
    assert_eq!(rig.word(data::TSC_KHZ), 1_000_000);
    assert_eq!(rig.word(data::RESERVE_MEM), 4 << 20);
    rig.call(hcall::LGUEST_INIT, [DATA, 0, 0]);
    assert_eq!(rig.killed(), Some(Category::AlreadyInit));
}

#[test]
fn the_first_reason_wins() {
    let mut rig = Rig::initialised(false);
    rig.call(77, [0; 3]);
    rig.call(hcall::SET_STACK, [0x68, STACK, 1]);
    assert_eq!(rig.killed(), Some(Category::BadHypercall));
}

#[test]
fn an_interrupt_builds_a_frame_and_closes_the_gate() {
    let mut rig = Rig::initialised(false);
    rig.interrupted_at(CODE, flags::IF);
    let frame = *rig.guest.frame();
    assert_eq!((frame.eip, frame.cs, frame.esp), (HANDLER, GUEST_CS, STACK - 12));
    let pushed: [u32; 3] = rig.ram.read(STACK - 12).unwrap();
    assert_eq!(pushed, [CODE, GUEST_CS, flags::ALWAYS | flags::IF]);
    assert_eq!(rig.word(data::IRQ_ENABLED), 0);
    assert_eq!(rig.word(data::TIME), 1_000_000_000);
}

#[test]
fn a_closed_gate_holds_it_back_and_says_so() {
    let mut rig = Rig::initialised(false);
    rig.interrupted_at(CODE, 0);
    assert_eq!(rig.guest.frame().eip, CODE);
    assert_eq!(rig.word(data::IRQ_PENDING), flags::IF);
    rig.interrupted_at(CODE, flags::IF);
    assert_eq!(rig.guest.frame().eip, HANDLER);
    assert_eq!(rig.word(data::IRQ_PENDING), 0);
}

#[test]
fn none_comes_between_a_system_call_and_the_handlers_first_instruction() {
    const ENTRY: u32 = 0x0056_7800;
    for (kind, expected) in [(0x8F00, ENTRY), (INTERRUPT_GATE, HANDLER)] {
        let mut rig = Rig::initialised(false);
        rig.call(hcall::LOAD_IDT_ENTRY, [0x80, ENTRY & 0xFFFF, ENTRY & 0xFFFF_0000 | kind | 0x6000]);
        rig.interrupted_at(ENTRY, flags::IF);
        assert_eq!(rig.guest.frame().eip, expected, "{kind:#x}");
        if expected == ENTRY {
            assert_eq!(rig.word(data::IRQ_PENDING), flags::IF);
            rig.interrupted_at(ENTRY + 1, flags::IF);
            assert_eq!(rig.guest.frame().eip, HANDLER);
        }
    }
}

#[test]
fn none_comes_inside_the_range() {
    for (eip, expected) in [(WINDOW.0 - 1, HANDLER), (WINDOW.0, WINDOW.0), (WINDOW.1, HANDLER)] {
        let mut rig = Rig::initialised(false);
        rig.interrupted_at(eip, flags::IF);
        assert_eq!(rig.guest.frame().eip, expected, "{eip:#x}");
    }
}

#[test]
fn at_the_single_iret_it_comes_as_if_after_it_with_harmless_flags() {
    let mut rig = Rig::initialised(true);
    rig.ram.write(STACK, [CODE, GUEST_CS, 0xFFFF_FFFFu32]).unwrap();
    rig.interrupted_at(WINDOW.0, flags::IF);
    let frame = *rig.guest.frame();
    assert_eq!((frame.eip, frame.esp), (HANDLER, STACK));
    assert_eq!(frame.eflags, flags::FREE | flags::ALWAYS | flags::IF);
}

#[test]
fn ring_calls_run_in_order_before_the_synchronous_one() {
    let mut rig = Rig::initialised(false);
    for (n, number) in (0..).zip([hcall::TS, 99, 98]) {
        rig.ram.write(DATA + data::HCALLS + 20 * n, [number, 8, 0, 0, 0]).unwrap();
        rig.ram.write(DATA + data::HCALL_STATUS + n, 0u8).unwrap();
    }
    rig.call(hcall::SHUTDOWN, [0, 1, 0]);
    assert_eq!(rig.guest.death(), Some(Death::Killed(Category::BadHypercall, 99)));
    assert!(rig.guest.wants_ts());
    assert_eq!(rig.ram.read(DATA + data::HCALL_STATUS), Ok([RING_FREE, 0]));
}

#[test]
fn halt_sleeps_until_the_clock_event() {
    let mut rig = Rig::initialised(false);
    rig.ram.write(DATA + data::BLOCKED_INTERRUPTS, 0u32).unwrap();
    rig.guest.frame().esp = STACK;
    rig.call(hcall::SET_CLOCKEVENT, [1000, 0, 0]);
    rig.call(hcall::HALT, [0; 3]);
    assert!(rig.guest.is_halted() && !rig.guest.prepare(&mut rig.desk));
    rig.desk.now = 1000;
    assert!(rig.guest.prepare(&mut rig.desk));
    assert_eq!(rig.guest.frame().eip, HANDLER);
}

#[test]
fn a_guest_is_entered_in_ring_1_or_3_only() {
    for (cs, ss, ok) in [(0x61, 0x69, true), (0x73, 0x7B, true), (0x50, 0x58, false), (0x61, 0x7B, false)] {
        let mut rig = Rig::new();
        let frame = rig.guest.frame();
        (frame.cs, frame.ss, frame.eflags) = (cs, ss, u32::MAX);
        assert_eq!(rig.guest.check_entry().is_ok(), ok);
        // IOPL, VM and the virtual interrupt flags.
        assert_eq!(rig.guest.frame().eflags & 0x001A_3000, 0);
        assert_ne!(rig.guest.frame().eflags & flags::IF, 0);
    }
}

#[test]
fn early_text_and_chains_reach_the_console() {
    let mut rig = Rig::initialised(false);
    rig.ram.write(0x3000, *b"hello\0").unwrap();
    rig.call(hcall::NOTIFY, [0x3000, 0, 0]);
    // One chain that names far more than the console is willing to say at a time.
    let queue = RAM + 3 * PAGE;
    rig.ram.write(queue, [0u32, 0, RAM, 0]).unwrap();
    rig.ram.write(queue + 64 * 16 + 2, 1u16).unwrap();
    rig.call(hcall::NOTIFY, [queue, 0, 0]);
    assert_eq!(&rig.desk.printed[..5], b"hello");
    assert_eq!(rig.desk.printed.len(), 5 + (64 << 10));
}

/// Table pages, and a page they map, for a Guest that programs the processor itself.
const DIRECTORY: u32 = 0x1_0000;
const TABLE: u32 = 0x1_1000;
const TABLES: u32 = 0x1_2000;

impl Rig {
    /// Executes `code` in ring 1: it faults with `error`, as everything here does. True if EIP is behind it.
    fn executes(&mut self, code: &[u8], error: u32) -> bool {
        self.ram.write_bytes(CODE, code).unwrap();
        let frame = self.guest.frame();
        (frame.eip, frame.errcode, frame.trapnum) = (CODE, error, 13);
        self.guest.handle_trap(0);
        self.guest.frame().eip == CODE + code.len() as u32
    }

    /// Paging on, with everything below 4 MiB where it is.
    fn with_own_paging() -> Rig {
        let mut rig = Rig::new();
        rig.ram.write(DIRECTORY, TABLE | 7).unwrap();
        for n in 0..RAM / PAGE {
            rig.ram.write(TABLE + 4 * n, (n * PAGE) | 7).unwrap();
        }
        rig.guest.frame().eax = DIRECTORY;
        assert!(rig.executes(&[0x0F, 0x22, 0xD8], 0), "mov cr3, eax");
        rig.guest.frame().eax = 0x8000_0011;
        assert!(rig.executes(&[0x0F, 0x22, 0xC0], 0), "mov cr0, eax");
        assert!(!rig.guest.shadow.is_linear());
        rig
    }

    fn touch(&mut self, address: u32) {
        let frame = self.guest.frame();
        (frame.trapnum, frame.errcode) = (14, 2);
        self.guest.handle_trap(address);
    }
}

#[test]
fn a_kernel_has_control_registers_of_its_own() {
    let mut rig = Rig::with_own_paging();
    rig.touch(0x5000);
    assert!(rig.guest.shadow.is_writable(0x5000));
    assert!(rig.executes(&[0x0F, 0x01, 0x3D, 0x00, 0x50, 0x00, 0x00], 0), "invlpg [5000h]");
    assert!(!rig.guest.shadow.is_writable(0x5000));
    rig.touch(0x5000);
    assert!(rig.executes(&[0x0F, 0x20, 0xDB], 0) && rig.guest.frame().ebx == DIRECTORY, "mov ebx, cr3");
    assert!(rig.executes(&[0x0F, 0x22, 0xDB], 0) && !rig.guest.shadow.is_writable(0x5000), "mov cr3, ebx");
    rig.guest.frame().eax = 0x8000_0019;
    assert!(rig.executes(&[0x0F, 0x22, 0xC0], 0) && rig.guest.wants_ts(), "CR0.TS");
    assert!(rig.executes(&[0x0F, 0x06], 0) && !rig.guest.wants_ts(), "clts");
    assert!(!rig.executes(&[0x0F, 0x20, 0xFF], 0), "there is no CR7");
}

#[test]
fn global_pages_survive_a_cr3_load() {
    let mut rig = Rig::with_own_paging();
    rig.guest.shadow.set_kernel_address(0);
    rig.touch(0x5000);
    rig.guest.frame().eax = 0x80;
    assert!(rig.executes(&[0x0F, 0x22, 0xE0], 0), "mov cr4, eax: PGE");
    assert!(!rig.guest.shadow.is_writable(0x5000), "a change of PGE forgets everything");
    rig.touch(0x5000);
    rig.guest.frame().eax = DIRECTORY;
    assert!(rig.executes(&[0x0F, 0x22, 0xD8], 0) && rig.guest.shadow.is_writable(0x5000));
}

#[test]
fn tables_are_read_when_they_are_needed() {
    let mut rig = Rig::with_own_paging();
    // GDT: three empty entries, then a flat data segment of DPL 0.
    rig.ram.write(TABLES, [0u64, 0, 0, 0x00CF_9200_0000_FFFF]).unwrap();
    rig.ram.write(TABLES + 0x100, 31u16).unwrap();
    rig.ram.write(TABLES + 0x102, TABLES).unwrap();
    assert!(rig.executes(&[0x0F, 0x01, 0x15, 0x00, 0x21, 0x01, 0x00], 0), "lgdt");
    let gdt = rig.guest.gdt;
    assert_eq!(gdt[3], [0xFFFF, 0x00CF_B300], "ring 1, accessed");
    assert_eq!(
        (gdt[2], gdt[12]),
        (for_ring1(FLAT_CODE), for_ring1(FLAT_CODE)),
        "selectors of before still work"
    );
    rig.guest.frame().eax = 0x18;
    assert!(rig.executes(&[0x8E, 0xD0], 0x18) && rig.guest.frame().ss == 0x19, "mov ss, ax");
    rig.guest.frame().eax = 0x10;
    assert!(!rig.executes(&[0x8E, 0xD0], 0x10), "no stack");

    // IDT at TABLES: the gate comes after LIDT.
    rig.ram.write(TABLES + 0x110, 0x7FFu16).unwrap();
    rig.ram.write(TABLES + 0x112, TABLES + 0x800).unwrap();
    assert!(rig.executes(&[0x0F, 0x01, 0x1D, 0x10, 0x21, 0x01, 0x00], 0), "lidt");
    rig.ram.write(TABLES + 0x800 + 8 * 0x10, [0x0060_3400u32, 0x0012_EE00]).unwrap();
    assert_eq!(rig.guest.gate(0x10).unwrap().offset(), HANDLER);
    // A task gate leads nowhere; beyond the limit there is nothing.
    rig.ram.write(TABLES + 0x800 + 8 * 9, [0x00F8_0000u32, 0x8500]).unwrap();
    assert!(!rig.guest.gate(9).unwrap().present() && !rig.guest.gate(0x100).unwrap().present());
    // `int $0x10` in ring 3 faulted, because the live gate did not know: once, then it is the Guest's to handle.
    assert_eq!(rig.guest.refresh_entry(0x10 << 3 | 2), Ok(true));
    assert_eq!(rig.guest.refresh_entry(0x10 << 3 | 2), Ok(false));
}

#[test]
fn a_single_step_is_told_by_dr6() {
    let mut rig = Rig::with_own_paging();
    assert!(rig.executes(&[0x0F, 0x21, 0xF0], 0) && rig.guest.frame().eax == 0xFFFF_0FF0, "mov eax, dr6");
    rig.guest.frame().eflags |= flags::TF;
    rig.guest.note_debug_trap();
    assert!(rig.executes(&[0x0F, 0x21, 0xF0], 0) && rig.guest.frame().eax == 0xFFFF_4FF0);
    rig.guest.frame().eax = 0;
    assert!(rig.executes(&[0x0F, 0x23, 0xF0], 0), "mov dr6, eax");
    assert!(rig.executes(&[0x0F, 0x21, 0xF0], 0) && rig.guest.frame().eax == 0xFFFF_0FF0);
}

#[test]
fn who_asks_with_hypercalls_has_no_tables_of_its_own() {
    let mut rig = Rig::initialised(false);
    for code in [&[0x0F, 0x22, 0xD8][..], &[0x0F, 0x01, 0x15, 0, 0, 0, 0], &[0x0F, 0x30], &[0xFB]] {
        rig.ram.write_bytes(CODE, code).unwrap();
        rig.guest.frame().eip = CODE;
        assert_eq!(rig.guest.emulate(), Ok(false), "{code:x?}");
    }
    assert!(rig.executes(&[0x0F, 0x20, 0xE0], 7) && rig.guest.frame().eax == 0, "mov eax, cr4");
}

#[test]
fn ports_answer_all_ones_but_the_timer_stands_at_zero() {
    let mut rig = Rig::initialised(false);
    for (port, answer) in [(0x40, 0x1234_56FF), (0x42, 0x1234_5600), (0x61, 0x1234_56FF)] {
        rig.guest.frame().eax = 0x1234_5678;
        assert!(rig.executes(&[0xE4, port], 0), "in al, {port:x}h");
        assert_eq!(rig.guest.frame().eax, answer, "{port:x}");
    }
}

#[test]
fn a_device_is_reached_by_plain_moves() {
    let mut rig = Rig::with_own_paging();
    let bar = RAM + (1 << 20);
    let pte = bar | 3;
    // mov [ecx], eax: select the second word of features; mov edx, [ecx + 4]; mov dh, [ecx + 20].
    for (code, eax) in [(&[0x89, 0x01][..], 1), (&[0x8B, 0x51, 0x04], 0), (&[0x8A, 0x71, 0x14], 0)] {
        rig.ram.write_bytes(CODE, code).unwrap();
        let frame = rig.guest.frame();
        (frame.eip, frame.eax, frame.ecx) = (CODE, eax, 0x7000);
        let offset = if code.len() == 3 { code[2] as u32 } else { 0 };
        assert_eq!(rig.guest.access_device(pte.into(), 0x7000 + offset), Ok(true), "{code:x?}");
    }
    assert_eq!(rig.guest.frame().edx, 1, "VERSION_1 is offered; the status is 0");
    rig.ram.write_bytes(CODE, &[0x01, 0x01]).unwrap();
    rig.guest.frame().eip = CODE;
    assert_eq!(rig.guest.access_device(pte.into(), 0x7000), Ok(false), "add [ecx], eax");
    rig.ram.write_bytes(CODE, &[0x89, 0x01]).unwrap();
    assert_eq!(rig.guest.access_device(pte.into(), 0x7004), Ok(false), "another address faulted");
    rig.guest.frame().ecx = 0x7FFE;
    assert_eq!(rig.guest.access_device(pte.into(), 0x7FFE), Ok(false), "half of it is not the device's");
    let beyond = (bar + 8 * PAGE) | 3;
    assert_eq!(rig.guest.access_device(beyond.into(), 0x7000), Err(Death::Killed(Category::BadPte, beyond)));
}

#[test]
fn a_backtrace_goes_up_and_no_further_than_it_can() {
    const KERNEL: u32 = 0x8000_0000;
    let mut rig = Rig::with_own_paging();
    rig.ram.write(DIRECTORY + (KERNEL >> 20), TABLE | 7).unwrap();
    let returns = |address| Step { address, interrupted: false };
    let interrupted = |address| Step { address, interrupted: true };
    // Two calls; then an exception in a function whose frame lies above; the last frame leads down again.
    let (first, second, registers, last) = (0x9000, 0x9020, 0x9040, 0x9100);
    rig.ram.write(first, [KERNEL + second, 0xC100_1000]).unwrap();
    rig.ram.write(second, [registers, 0xC100_2000]).unwrap();
    rig.ram.write(registers + 20, KERNEL + last).unwrap();
    rig.ram.write(registers + 48, [0xC100_3000u32, GUEST_CS]).unwrap();
    rig.ram.write(last, [KERNEL + first, 0xC100_4000]).unwrap();
    let frame = rig.guest.frame();
    (frame.eip, frame.esp, frame.ebp) = (0xC100_0000, KERNEL + first - 8, KERNEL + first);
    let whole = [
        interrupted(0xC100_0000),
        returns(0xC100_1000),
        returns(0xC100_2000),
        interrupted(0xC100_3000),
        returns(0xC100_4000),
    ];
    assert_eq!(rig.guest.backtrace().collect::<Vec<_>>(), whole);
    // Wherever the frame pointer leads, the walk ends; what saved registers of ring 3 say is not the kernel's.
    rig.ram.write(registers + 52, 0x73u32).unwrap();
    assert_eq!(rig.guest.backtrace().collect::<Vec<_>>(), whole[..3]);
    for nowhere in [0, 1, 0x7000_0000, u32::MAX, KERNEL + first - 0x100, KERNEL + RAM] {
        rig.guest.frame().ebp = nowhere;
        assert_eq!(rig.guest.backtrace().collect::<Vec<_>>(), whole[..1], "{nowhere:#x}");
    }
    // As long as it can be, and no longer.
    for n in 0..100 {
        rig.ram.write(0xA000 + 8 * n, [KERNEL + 0xA008 + 8 * n, 0xC100_5000]).unwrap();
    }
    let frame = rig.guest.frame();
    (frame.esp, frame.ebp) = (KERNEL + 0xA000, KERNEL + 0xA000);
    assert_eq!(rig.guest.backtrace().count(), DEPTH);
    rig.guest.frame().cs = 0x73;
    assert_eq!(rig.guest.backtrace().count(), 1, "a program's own business");
}

/// No Guest can bring this about, because INIT takes only what is RAM: if the words it shares with us were gone, it would die of that.
#[test]
fn shared_words_that_are_gone_are_the_guests_end() {
    type Use = fn(&mut Rig) -> Outcome<()>;
    let uses: [(Category, Use); 4] = [
        (Category::AsyncFetch, |rig| rig.guest.drain_ring(&mut rig.desk)),
        (Category::TimeWrite, |rig| rig.guest.refresh_time(&rig.desk)),
        (Category::IrqWrite, |rig| rig.guest.set_irq_enabled(0)),
        (Category::Cr2Write, |rig| {
            (rig.guest.frame().trapnum, rig.guest.frame().errcode) = (14, 0);
            rig.guest.dispatch(0xFFFF_F000)
        }),
    ];
    for (category, use_them) in uses {
        let mut rig = Rig::initialised(false);
        let there = use_them(&mut rig);
        assert!(!matches!(there, Err(Death::Killed(found, _)) if found == category), "{category:?}");
        if let Some(shared) = &mut rig.guest.shared {
            shared.addr = RAM + BUS_PAGES * PAGE;
        }
        let gone = use_them(&mut rig);
        assert!(matches!(gone, Err(Death::Killed(found, _)) if found == category), "{category:?}: {gone:?}");
    }
}

#[test]
fn the_last_hypercalls_are_remembered_in_order() {
    let mut rig = Rig::initialised(false);
    for n in 0..20 {
        rig.call(hcall::TS, [n, 0, 0]);
    }
    let calls: Vec<(u32, u32)> = rig.guest.history().map(|call| (call.number, call.args[0])).collect();
    assert_eq!(calls, (12..20).map(|n| (hcall::TS, n)).collect::<Vec<_>>());
}

#[test]
fn only_gates_that_changed_are_made_anew() {
    let mut rig = Rig::initialised(false);
    let live = |rig: &mut Rig, n: usize| rig.guest.state().idt[n];
    rig.guest.state().idt[3] = [1, 1];
    rig.guest.state().idt[9] = [1, 1];
    for n in [4, 6] {
        rig.guest
            .set_gate(n, Gate([GUEST_CS << 16 | HANDLER & 0xFFFF, HANDLER & 0xFFFF_0000 | INTERRUPT_GATE]));
    }
    rig.guest.prepare(&mut rig.desk);
    assert_eq!((live(&mut rig, 3), live(&mut rig, 9)), ([1, 1], [1, 1]));
    for n in 0..IDT_ENTRIES {
        let gate = rig.guest.gates[n];
        if n != 3 && n != 9 {
            assert_eq!(live(&mut rig, n), descriptor::live_gate(n as u32, gate), "{n}");
        }
    }
    rig.guest.set_gate(256, Gate::default());
    assert_eq!(rig.guest.gates_changed, (0, 0), "there is no such gate");
}

#[test]
fn what_is_said_waits_for_room_and_nothing_is_lost() {
    let mut rig = Rig::new();
    let (first, second): (Vec<u8>, Vec<u8>) = ((0..1000).map(|n| n as u8).collect(), vec![0xEE; 500]);
    let mut queue = crate::virtqueue::VirtQueue::on_bus(0);
    for (n, bytes, place) in [(0u32, &first, 4 * PAGE), (1, &second, 5 * PAGE)] {
        rig.ram.write_bytes(place, bytes).unwrap();
        rig.ram.write(16 * n, [place, 0, bytes.len() as u32, 0]).unwrap();
        rig.ram.write(64 * 16 + 4 + 2 * n, n as u16).unwrap();
    }
    rig.ram.write(64 * 16 + 2, 2u16).unwrap();
    let mut returned = Vec::new();
    for room in [0, 300, 0, 300, 300, 100, 400, 0, 50, 50, 50] {
        rig.desk.room = Some(room);
        queue.begin_turn();
        let (_, waits) = crate::console::transmit(&mut queue, &rig.ram, &mut rig.desk).unwrap();
        assert_eq!(waits, rig.desk.printed.len() < 1500);
        returned.push(rig.ram.read::<u16>(PAGE + 2).unwrap());
    }
    assert_eq!(returned, [0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2]);
    assert_eq!(rig.desk.printed, [first, second].concat());
}
