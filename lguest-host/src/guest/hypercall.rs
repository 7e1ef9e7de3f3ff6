//! Hypercalls (2): what a Guest may ask for.

use super::{Guest, HISTORY, Platform, Shared};
use crate::abi::{LAYOUTS, Layout, MIN_CLOCK_DELTA, RESERVE_MEM, SYSCALL_VECTOR, Window, data, hcall};
use crate::death::{Category, Death, Outcome, TEXT, Text, require};
use crate::descriptor::{Gate, fix_gate, fix_gdt_entry};
use crate::mutant::broken;
use crate::shadow::{NON_PAE, PAE};
use switcher_asm::{Frame, GDT_ENTRIES, SWITCHER};

/// A call and its arguments.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Which.
    pub number: u32,
    /// EBX, ECX, EDX, ESI.
    pub args: [u32; 4],
}

/// SHUTDOWN's reason for a restart.
const RESTART: u32 = 2;
/// First and number of the thread-local entries of the GDT.
const TLS: usize = 6;

impl Guest {
    /// The synchronous call in the registers, after all asynchronous ones (2.4).
    pub(super) fn hypercalls(&mut self, platform: &mut dyn Platform) -> Outcome<()> {
        let Frame { eax, ebx, ecx, edx, esi, .. } = *self.frame();
        let call = Call { number: eax, args: [ebx, ecx, edx, esi] };
        if self.shared.is_none() {
            if call.number != hcall::LGUEST_INIT {
                self.record(call);
                return require(false, Category::HcallBeforeInit, call.number);
            }
            return self.call(call, platform);
        }
        self.drain_ring(platform)?;
        self.call(call, platform)
    }

    fn record(&mut self, call: Call) {
        self.history[self.history_next % HISTORY] = Some(call);
        self.history_next = (self.history_next + 1) % HISTORY;
    }

    /// What a Host does that forgets that it has made a call: seen most easily in one that tells when it was made.
    pub(super) fn clockevent_again(&mut self, platform: &mut dyn Platform) -> Outcome<()> {
        match self.history().last() {
            Some(call) if call.number == hcall::SET_CLOCKEVENT => self.call(call, platform),
            _ => Ok(()),
        }
    }

    /// Execute one call.
    pub(super) fn call(&mut self, call: Call, platform: &mut dyn Platform) -> Outcome<()> {
        self.record(call);
        self.asks |=
            matches!(call.number, hcall::NEW_PGTABLE | hcall::LOAD_IDT_ENTRY | hcall::LOAD_GDT_ENTRY);
        let [a, b, c, d] = call.args;
        match call.number {
            // Coming here was the point: the ring is drained, interrupts are delivered next.
            hcall::FLUSH_ASYNC | hcall::SEND_INTERRUPTS => Ok(()),
            hcall::LGUEST_INIT => self.init(a, platform),
            hcall::SHUTDOWN => self.shutdown(a, b),
            hcall::NEW_PGTABLE => self.new_page_table(a),
            hcall::FLUSH_TLB if broken("flush-tlb-ignored") => Ok(()),
            hcall::FLUSH_TLB if a == 0 => {
                self.shadow.flush_user(&self.ram);
                Ok(())
            }
            hcall::FLUSH_TLB => {
                self.shadow.release_all();
                if broken("switcher-slot-flushed") {
                    self.shadow.drop_switcher();
                }
                self.pin_stack()
            }
            hcall::LOAD_IDT_ENTRY => self.load_gate(a, [b, c]),
            hcall::SET_STACK => self.set_stack(a, b, c),
            hcall::TS => {
                self.ts = a != 0;
                Ok(())
            }
            hcall::SET_CLOCKEVENT => {
                let delta = a.max(MIN_CLOCK_DELTA) as u64;
                self.clock = (a != 0).then(|| platform.now().saturating_add(delta));
                Ok(())
            }
            hcall::HALT => {
                self.halted = !broken("halt-does-not-sleep");
                Ok(())
            }
            hcall::SET_PTE if broken("set-pte-ignored") => Ok(()),
            hcall::SET_PTE => {
                require(b < SWITCHER, Category::SwitcherTouch, b)?;
                // With PAE the entry has two words; without, ESI is whatever it is.
                let high = if self.shadow.is_pae() { d } else { 0 };
                // A device's page has no shadow: every access to it is for the Host (8.5).
                let device = high == 0 && self.pci.claims(c) && !broken("device-page-refused");
                let leaf = if device { 0 } else { c as u64 | (high as u64) << 32 };
                self.shadow.set_pte(&self.ram, a, b, leaf)
            }
            hcall::SET_PGD if broken("set-pgd-ignored") => Ok(()),
            hcall::SET_PGD => {
                self.shadow.settle(&self.ram, &NON_PAE)?;
                require(b < self.shadow.top_entries(), Category::BadPgdIndex, b)?;
                self.shadow.set_top(a, b);
                Ok(())
            }
            hcall::SET_PMD if self.shadow.may_be_pae() => {
                self.shadow.settle(&self.ram, &PAE)?;
                if !broken("set-pmd-ignored") {
                    self.shadow.set_middle(&self.ram, a, b);
                }
                Ok(())
            }
            hcall::LOAD_TLS => self.load_tls(a),
            hcall::NOTIFY => self.bus.notify(&self.ram, a, platform),
            hcall::LOAD_GDT_ENTRY => self.load_gdt_entry(a, [b, c]),
            number => require(false, Category::BadHypercall, number),
        }
    }

    /// LGUEST_INIT (3.6): the shared structure, its layout by its contents (3.7).
    fn init(&mut self, addr: u32, platform: &mut dyn Platform) -> Outcome<()> {
        require(self.shared.is_none(), Category::AlreadyInit, addr)?;
        require(self.ram.contains(addr, data::MIN_SIZE), Category::BadGuestPage, addr)?;
        let layout = self.find_layout(addr)?;
        let kernel_address: u32 = self.ram.read(addr + layout.kernel_address)?;
        require(kernel_address < SWITCHER, Category::BadKernelAddress, kernel_address)?;
        let window = match layout.window {
            Window::Range(start, end) => (self.ram.read(addr + start)?, self.ram.read(addr + end)?),
            Window::Iret(at) => {
                let at = self.ram.read(addr + at)?;
                (at, at)
            }
        };
        if !broken("init-fills-nothing") {
            self.ram.write(addr + data::RESERVE_MEM, RESERVE_MEM)?;
            self.ram.write(addr + data::TSC_KHZ, platform.tsc_khz())?;
        }
        self.shared = Some(Shared { addr, layout, window });
        self.shadow.set_kernel_address(kernel_address);
        self.refresh_time(platform)?;
        self.shadow.release_all();
        if let Some(pgdir) = layout.pgdir {
            let tables =
                self.shadow.make_boot_tables(&self.ram, self.loaded.ram_size, self.loaded.free_end)?;
            self.ram.write(addr + pgdir, tables)?;
        }
        Ok(())
    }

    /// Which tail `struct lguest_data` at `addr` has: the one whose vector field holds a vector (3.7).
    fn find_layout(&self, addr: u32) -> Outcome<Layout> {
        let mut layout = LAYOUTS[0];
        let mut vector = 0;
        for candidate in LAYOUTS {
            layout = candidate;
            if self.ram.contains(addr, layout.syscall_vec + 4) {
                vector = self.ram.read(addr + layout.syscall_vec)?;
                if vector < 256 {
                    break;
                }
            }
        }
        require(vector == SYSCALL_VECTOR, Category::BadSyscallVector, vector)?;
        Ok(layout)
    }

    fn shutdown(&mut self, text: u32, reason: u32) -> Outcome<()> {
        let mut bytes = [0; TEXT];
        self.ram.read_bytes(text, &mut bytes)?;
        bytes[TEXT - 1] = 0;
        self.text = Text(bytes);
        if broken("last-words-lost") && !self.text.is_power_down() {
            self.text = Text([0; TEXT]);
        }
        Err(if reason == RESTART && !broken("restart-ignored") { Death::Restart } else { Death::Shutdown })
    }

    fn new_page_table(&mut self, cr3: u32) -> Outcome<()> {
        if self.shadow.switch_root(&self.ram, cr3)? {
            self.pin_stack()?;
        }
        Ok(())
    }

    fn load_gate(&mut self, n: u32, gate: [u32; 2]) -> Outcome<()> {
        if let Some(gate) = fix_gate(n, gate)? {
            self.set_gate(n, Gate(gate));
        }
        Ok(())
    }

    fn set_stack(&mut self, ss: u32, esp: u32, pages: u32) -> Outcome<()> {
        require(ss & 3 == 1, Category::BadStackSegment, ss)?;
        require(pages <= 2, Category::BadStackPages, pages)?;
        self.stack = (ss, esp);
        self.stack_pages = pages.min(2);
        self.pin_stack()
    }

    fn load_gdt_entry(&mut self, n: u32, entry: [u32; 2]) -> Outcome<()> {
        require((n as usize) < GDT_ENTRIES, Category::TooManyGdt, n)?;
        if !broken("gdt-entry-ignored") {
            self.gdt[n as usize % GDT_ENTRIES] = fix_gdt_entry(entry);
            self.gdt_changed = true;
        }
        Ok(())
    }

    fn load_tls(&mut self, addr: u32) -> Outcome<()> {
        let entries: [[u32; 2]; 3] = self.ram.read(addr)?;
        if !broken("load-tls-ignored") {
            for (slot, entry) in self.gdt[TLS..].iter_mut().zip(entries) {
                *slot = if broken("tls-kept") { entry } else { fix_gdt_entry(entry) };
            }
            self.gdt_changed = true;
        }
        Ok(())
    }
}
