//! A Guest, as the Host knows it: registers, descriptor tables, interrupts, clock, devices.
//!
//! One turn is: the world switch brings a trap; [`Guest::handle_trap`] deals with it (1.2, 5.1); before the next
//! entry [`Guest::prepare`] runs a pending hypercall, delivers a virtual interrupt, and brings the live tables up to
//! date. Any of these may find that the Guest broke a rule; it then dies with the first reason found.

mod backtrace;
mod device;
mod emulate;
#[cfg(test)]
mod hostile_drivers;
mod hypercall;
mod instruction;
mod interrupt;
mod ring;
mod system;
#[cfg(test)]
mod tests;
mod trap;

use crate::abi::{self, GUEST_CS, GUEST_DS, Layout, PAGE, flags};
use crate::block::SECTOR;
use crate::bus::Bus;
use crate::console::Size;
use crate::death::{Death, Outcome, TEXT, Text};
use crate::descriptor::{self, Entry, FLAT_CODE, FLAT_DATA, Gate, for_ring1};
use crate::image::Loaded;
use crate::mutant::broken;
use crate::net;
use crate::pci::Pci;
use crate::ram::GuestRam;
use crate::shadow::Shadow;
pub use backtrace::{DEPTH, Step};
pub use hypercall::Call;
use switcher_asm::{
    CODE_SELECTOR, DATA_SELECTOR, FRAME, Frame, GDT_ENTRIES, IDT_ENTRIES, STATE_PAGE, State, TSS_SELECTOR,
    TableRegister, Tss,
};
use system::System;

/// What the Host's machine offers to a Guest's turn.
pub trait Platform {
    /// Nanoseconds since the Host started.
    fn now(&self) -> u64;
    /// Wall clock: seconds since 1970 and nanoseconds.
    fn wall_clock(&self) -> (u32, u32);
    /// Rate of the time-stamp counter in kHz.
    fn tsc_khz(&self) -> u32;
    /// Bytes for the Guest's console; those there is no room for are lost.
    fn console_write(&mut self, bytes: &[u8]);
    /// Bytes the console has room for.
    fn console_room(&mut self) -> u32;
    /// Whether [`Self::console_read`] has a byte or [`Self::frame_receive`] a frame: asked at every exit.
    fn has_input(&self) -> bool;
    /// The Guest has a driver for its console, or will have one in a moment.
    fn console_wanted(&mut self);
    /// Whether [`Self::console_read`] has a byte.
    fn console_ready(&self) -> bool;
    /// The next byte typed at the Guest's console.
    fn console_read(&mut self) -> Option<u8>;
    /// Read a sector of one of the machine's disks. False if that failed.
    fn disk_read(&mut self, disk: u32, sector: u32, bytes: &mut [u8; SECTOR]) -> bool;
    /// Write a sector.
    fn disk_write(&mut self, disk: u32, sector: u32, bytes: &[u8; SECTOR]) -> bool;
    /// Make everything written durable.
    fn disk_flush(&mut self, disk: u32) -> bool;
    /// The Guest has a driver for its network card: from now on frames for it are kept until it takes them.
    fn frames_wanted(&mut self);
    /// Whether [`Self::frame_receive`] has a frame.
    fn frame_ready(&self) -> bool;
    /// The next frame that arrived, and its length.
    fn frame_receive(&mut self, frame: &mut [u8; net::FRAME]) -> usize;
    /// Send a frame of [`net::SHORTEST`] to [`net::FRAME`] bytes.
    fn frame_send(&mut self, frame: &[u8]);
    /// Whether [`Self::entropy`] has at least a byte.
    fn entropy_ready(&mut self) -> bool;
    /// Fill `bytes` as far as there is entropy: the number of bytes.
    fn entropy(&mut self, bytes: &mut [u8]) -> usize;
}

/// The two pages beside the Switcher that belong to this Guest, where the Host sees them.
#[derive(Clone, Copy)]
pub struct SwitcherPages {
    /// The registers page's frame.
    pub frame: *mut Frame,
    /// The state page.
    pub state: *mut State,
}

/// Where the Guest put its `struct lguest_data`, and what INIT read from it.
#[derive(Clone, Copy)]
struct Shared {
    addr: u32,
    layout: Layout,
    /// No-interrupt range; for a single IRET start and end are that address.
    window: (u32, u32),
}

/// Hypercalls remembered.
const HISTORY: usize = 8;

/// A virtual machine.
pub struct Guest {
    ram: GuestRam,
    loaded: Loaded,
    pages: SwitcherPages,
    shadow: Shadow,
    bus: Bus,
    pci: Pci,
    shared: Option<Shared>,
    death: Option<Death>,
    text: Text,
    /// The Guest's GDT entries after [`descriptor::fix_gdt_entry`].
    gdt: [Entry; GDT_ENTRIES],
    gates: [Gate; IDT_ENTRIES],
    gdt_changed: bool,
    /// Gates whose live copies are old: the first, and the one behind the last. A kernel sets them one by one.
    gates_changed: (usize, usize),
    /// A hypercall was trapped and has not run yet. Not the trap number: a turn may end and begin in between.
    hypercall_pending: bool,
    ring_cursor: u32,
    irqs_pending: u32,
    halted: bool,
    /// CR0.TS as the Guest asked for it.
    ts: bool,
    /// It sets its tables up with hypercalls, not by instructions.
    asks: bool,
    /// What it programmed as if the processor were its own.
    system: System,
    /// Ring-1 stack for traps from ring 3.
    stack: (u32, u32),
    stack_pages: u32,
    /// When the clock event fires, in nanoseconds of [`Platform::now`].
    clock: Option<u64>,
    /// The last hypercalls, newest last: for the report of a death.
    history: [Option<Call>; HISTORY],
    /// Where in it the next one goes.
    history_next: usize,
}

impl Guest {
    /// A Guest whose RAM already holds its image (see [`crate::image`]).
    pub fn new(
        ram: GuestRam,
        pages: SwitcherPages,
        shadow: Shadow,
        bus: Bus,
        pci: Pci,
        loaded: Loaded,
    ) -> Guest {
        let mut gdt = [[0; 2]; GDT_ENTRIES];
        gdt[12] = for_ring1(FLAT_CODE);
        gdt[13] = for_ring1(FLAT_DATA);
        let mut guest = Guest {
            ram,
            loaded,
            pages,
            shadow,
            bus,
            pci,
            shared: None,
            death: None,
            text: Text([0; TEXT]),
            gdt,
            gates: [Gate::default(); IDT_ENTRIES],
            gdt_changed: true,
            gates_changed: (0, IDT_ENTRIES),
            hypercall_pending: false,
            ring_cursor: 0,
            irqs_pending: 0,
            halted: false,
            ts: false,
            asks: false,
            system: System::new(),
            stack: (0, 0),
            stack_pages: 0,
            clock: None,
            history: [None; HISTORY],
            history_next: 0,
        };
        let stray = if broken("entry-registers") { 1 } else { 0 };
        *guest.frame() = Frame {
            eax: stray,
            ds: GUEST_DS,
            es: GUEST_DS,
            cs: GUEST_CS,
            ss: GUEST_DS,
            eip: loaded.entry,
            eflags: flags::ALWAYS | flags::IF,
            ..Frame::default()
        };
        let state = guest.state();
        let here = STATE_PAGE;
        state.tss = Tss::new(FRAME + size_of::<Frame>() as u32);
        state.guest_gdtr =
            TableRegister::new(here + core::mem::offset_of!(State, gdt) as u32, size_of_val(&state.gdt));
        state.guest_idtr =
            TableRegister::new(here + core::mem::offset_of!(State, idt) as u32, size_of_val(&state.idt));
        state.nmi_count = 0;
        guest
    }

    /// The registers.
    pub fn frame(&mut self) -> &mut Frame {
        // SAFETY: the page is this Guest's alone; the world switch is not running while the Host does.
        unsafe { &mut *self.pages.frame }
    }

    /// The state page.
    pub fn state(&mut self) -> &mut State {
        // SAFETY: as for `frame`.
        unsafe { &mut *self.pages.state }
    }

    /// The end, once it came.
    pub fn death(&self) -> Option<Death> {
        self.death
    }

    /// Whether it came as far as LGUEST_INIT.
    pub fn has_started(&self) -> bool {
        self.shared.is_some()
    }

    /// What SHUTDOWN said.
    pub fn last_words(&self) -> &Text {
        &self.text
    }

    /// The last hypercalls, newest last.
    pub fn history(&self) -> impl Iterator<Item = Call> + use<> {
        let (newest, oldest) = self.history.split_at(self.history_next % HISTORY);
        let mut calls = [None; HISTORY];
        for (to, from) in calls.iter_mut().zip(oldest.iter().chain(newest)) {
            *to = *from;
        }
        calls.into_iter().flatten()
    }

    /// Whether it has no page tables yet, so that its addresses are physical ones.
    pub fn is_linear(&self) -> bool {
        self.shadow.is_linear()
    }

    /// Whether the Guest wants its first use of the FPU to trap.
    pub fn wants_ts(&self) -> bool {
        self.ts && !broken("ts-ignored")
    }

    /// When the clock event fires.
    pub fn clock(&self) -> Option<u64> {
        self.clock
    }

    /// Keep the first reason.
    fn die(&mut self, death: Death) {
        self.death.get_or_insert(death);
    }

    fn survive(&mut self, outcome: Outcome<()>) {
        if let Err(death) = outcome {
            self.die(death);
        }
    }

    /// Deal with the trap that ended the last turn. `cr2` is the processor's.
    pub fn handle_trap(&mut self, cr2: u32) {
        let outcome = self.dispatch(cr2);
        self.survive(outcome);
    }

    /// Everything between two turns. True if the Guest can be entered; false if it is dead or sleeps.
    pub fn prepare(&mut self, platform: &mut dyn Platform) -> bool {
        if self.death.is_none() {
            let outcome = self.work(platform);
            self.survive(outcome);
        }
        if self.death.is_some() || self.halted {
            return false;
        }
        self.refresh_live_tables();
        true
    }

    fn work(&mut self, platform: &mut dyn Platform) -> Outcome<()> {
        if core::mem::take(&mut self.hypercall_pending) {
            self.hypercalls(platform)?;
        } else if broken("hypercall-again") {
            self.clockevent_again(platform)?;
        }
        self.pass_time(platform);
        let input = platform.has_input();
        if input || self.bus.is_busy() {
            self.irqs_pending |= self.bus.serve(&self.ram, platform)?;
        }
        if input || self.pci.is_busy() {
            self.irqs_pending |= self.pci.serve(&self.ram, platform)?;
        }
        self.deliver_pending(platform)
    }

    /// The clock event is due, or not.
    fn pass_time(&mut self, platform: &dyn Platform) {
        if self.clock.is_some_and(|at| platform.now() >= at) {
            self.clock = None;
            if !broken("clockevent-never") {
                self.raise_irq(0);
            }
        }
    }

    /// Its terminal has this size now. Consoles on the lguest bus cannot be told.
    pub fn resize_console(&mut self, size: Size) {
        self.pci.resize_console(size);
    }

    /// Raise virtual interrupt `n`.
    pub fn raise_irq(&mut self, n: u32) {
        if n < abi::IRQS {
            self.irqs_pending |= 1 << n;
        }
    }

    /// Whether it sleeps in HALT.
    pub fn is_halted(&self) -> bool {
        self.halted
    }

    /// Copy what changed of GDT, IDT and stack into the state page, which the Guest can only read.
    fn refresh_live_tables(&mut self) {
        if core::mem::take(&mut self.gdt_changed) {
            let mut live = self.gdt;
            let keep = broken("gdt-host-entries-open");
            if !keep || live[10][1] == 0 {
                live[10] = FLAT_CODE;
                live[11] = FLAT_DATA;
                live[31] = [0, 0];
            }
            let base = STATE_PAGE + core::mem::offset_of!(State, tss) as u32;
            live[(TSS_SELECTOR / 8) as usize] = descriptor::tss(base, size_of::<Tss>() as u32);
            self.state().gdt = live;
        }
        let (first, end) = core::mem::take(&mut self.gates_changed);
        for n in first..end.min(IDT_ENTRIES) {
            let live = descriptor::live_gate(n as u32, self.gates[n]);
            self.state().idt[n] = live;
        }
        let (ss, esp) = self.stack;
        let cr3 = self.shadow.cr3();
        let state = self.state();
        state.tss.ss1 = ss;
        state.tss.esp1 = esp;
        state.guest_cr3 = cr3;
        debug_assert!(CODE_SELECTOR as u32 | DATA_SELECTOR as u32 == 0x58);
    }

    /// A field of `struct lguest_data`, if INIT happened.
    fn shared_read(&self, offset: u32) -> Outcome<Option<u32>> {
        self.shared.map(|s| self.ram.read(s.addr + offset)).transpose()
    }

    /// Gate `n` is another one from now on.
    fn set_gate(&mut self, n: u32, gate: Gate) {
        let n = n as usize;
        if let Some(slot) = self.gates.get_mut(n) {
            *slot = gate;
            let (first, end) = self.gates_changed;
            self.gates_changed = if first < end { (first.min(n), end.max(n + 1)) } else { (n, n + 1) };
        }
    }

    fn pin_stack(&mut self) -> Outcome<()> {
        let (_, esp) = self.stack;
        for n in 0..self.stack_pages {
            // The page below a page-aligned stack pointer, not the one at it.
            let below = if broken("stack-pinned-above") { 0 } else { 1 };
            self.shadow.pin(&self.ram, esp.wrapping_sub(below).wrapping_sub(n * PAGE))?;
        }
        Ok(())
    }
}
