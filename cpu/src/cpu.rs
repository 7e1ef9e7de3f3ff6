//! The processor as a value: registers, TLB, memory, bus, decoded code, and the small verbs every instruction uses.

use crate::bus::{Bus, BusContext, Lines, Width};
use crate::decode::BlockCache;
use crate::event::EventSink;
use crate::fault::Fault;
use crate::flags;
use crate::fpu::Fpu;
use crate::mem::PhysMem;
use crate::mmu::{Access, Tlb, View};
use crate::mutant::Mutant;
use crate::regs::{Activity, Registers, cr0, gpr};
use crate::seg::SegReg;
use crate::simd::Simd;
use crate::word::Word;

/// Counts of rare events, for `--stats`. Not part of the machine state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Exceptions delivered, software interrupts not included.
    pub exceptions: u64,
    /// Maskable hardware interrupts and NMIs delivered.
    pub irqs: u64,
    /// Software interrupts (INT n, INT3, INTO, INT1) delivered.
    pub software_interrupts: u64,
    /// Blocks decoded.
    pub blocks_decoded: u64,
}

/// One 32-bit x86 processor with the memory and bus it is wired to.
///
/// Aligned, so that compiled code can use an address near it as a shift count, too. What it uses most comes first, and where it
/// is does not depend on the size of the rest.
#[repr(C, align(64))]
pub struct Cpu {
    #[cfg(jit)]
    pub(crate) frame: crate::jit::Frame,
    /// Architectural registers.
    pub regs: Registers,
    /// XMM registers and MXCSR.
    pub simd: Simd,
    /// x87 and MMX registers.
    pub fpu: Fpu,
    /// Cached translations.
    pub tlb: Tlb,
    /// Physical memory.
    pub mem: PhysMem,
    /// Interrupt lines and the next deadline.
    pub lines: Lines,
    /// See [`Counters`].
    pub counters: Counters,
    /// A deliberate defect, for tests that must fail when the processor is wrong.
    pub mutant: Option<Mutant>,
    /// Linear address of the last #PF raised; becomes CR2 when the fault is delivered.
    pub fault_address: u32,
    pub(crate) bus: Box<dyn Bus>,
    pub(crate) blocks: BlockCache,
    pub(crate) events: Option<Box<dyn EventSink>>,
    /// Where EIP goes when the current instruction completes. Branches change it.
    pub(crate) next_eip: u32,
    /// Instructions retired.
    pub(crate) insns: u64,
    /// Ticks skipped in HLT.
    pub(crate) idle: u64,
    /// Instruction count at which the run loop must stop, kept up to date by it.
    pub(crate) stop_at: u64,
    /// Instruction count, and how often the run loop looked around at it. No part of the machine state.
    pub(crate) fruitless: (u64, u32),
    /// The caller's limit of the run in progress.
    pub(crate) insn_limit: u64,
    /// Set by whatever makes the rest of a decoded block doubtful: the run loop looks around before going on.
    pub(crate) attention: bool,
    /// Fast view for the program's data accesses: follows CPL and EFLAGS.AC.
    pub(crate) view: View,
    /// The compiled engine, if it is in use.
    #[cfg(jit)]
    pub(crate) jit: Option<Box<crate::jit::Jit>>,
}

impl Cpu {
    /// A processor just after RESET.
    pub fn new(mem: PhysMem, bus: Box<dyn Bus>) -> Cpu {
        Cpu {
            regs: Registers::reset(),
            fpu: Fpu::default(),
            simd: Simd::default(),
            tlb: Tlb::default(),
            mem,
            lines: Lines::default(),
            counters: Counters::default(),
            mutant: None,
            fault_address: 0,
            bus,
            blocks: BlockCache::default(),
            events: None,
            next_eip: 0,
            insns: 0,
            idle: 0,
            stop_at: 0,
            fruitless: (0, 0),
            insn_limit: 0,
            attention: true,
            view: View::Supervisor,
            #[cfg(jit)]
            jit: None,
            #[cfg(jit)]
            frame: crate::jit::Frame::default(),
        }
    }

    /// The RESET pin: registers and TLB to their initial state; memory, counters and clocks stay.
    pub fn reset(&mut self) {
        self.regs = Registers::reset();
        self.fpu = Fpu::default();
        self.simd = Simd::default();
        self.lines.float_error = false;
        self.lines.ignore_float_error = false;
        self.tlb.flush(true);
        self.state_changed();
    }

    /// Call after changing `regs` or `tlb` from outside: recomputes everything derived from them.
    pub fn state_changed(&mut self) {
        self.update_view();
        self.tlb.drop_fast();
        self.attention = true;
    }

    /// Instructions retired since the machine was made.
    pub fn insns(&self) -> u64 {
        self.insns
    }

    /// Virtual time in ticks of 1 ns: instructions retired plus idle ticks.
    pub fn vtime(&self) -> u64 {
        self.insns.wrapping_add(self.idle)
    }

    /// Idle ticks skipped in HLT so far.
    pub fn idle_ticks(&self) -> u64 {
        self.idle
    }

    /// Set both clocks (restoring a snapshot).
    pub fn set_clocks(&mut self, insns: u64, idle: u64) {
        self.insns = insns;
        self.idle = idle;
        self.attention = true;
    }

    /// While halted: let virtual time pass up to `vtime`. Time never goes back.
    pub fn skip_idle(&mut self, vtime: u64) {
        self.idle += vtime.saturating_sub(self.vtime());
    }

    /// Let `f` work with the bus and its context, as a device access does.
    pub fn with_bus<R>(&mut self, f: impl FnOnce(&mut dyn Bus, &mut BusContext<'_>) -> R) -> R {
        let a20 = self.lines.a20;
        let vtime = self.vtime();
        let mut cx = BusContext { mem: &mut self.mem, lines: &mut self.lines, insns: self.insns, vtime };
        let result = f(&mut *self.bus, &mut cx);
        if self.lines.a20 != a20 {
            self.tlb.drop_fast();
            self.blocks.clear(&mut self.mem);
        }
        if self.mem.take_remapped() {
            self.tlb.drop_fast();
        }
        if self.mem.has_code_writes() {
            self.invalidate_written_code();
        }
        self.attention = true;
        result
    }

    /// The bus, for its owner.
    pub fn bus(&self) -> &dyn Bus {
        &*self.bus
    }

    /// Listen to ring changes, interrupts and CR3 loads; `None` stops listening.
    pub fn set_event_sink(&mut self, sink: Option<Box<dyn EventSink>>) -> Option<Box<dyn EventSink>> {
        std::mem::replace(&mut self.events, sink)
    }

    /// Pages written since the last call with this `consumer` number (0 to 6), ascending.
    pub fn take_dirty_pages(&mut self, consumer: u8) -> Vec<u32> {
        self.tlb.drop_fast_writes();
        self.mem.take_dirty(consumer)
    }

    pub(crate) fn bus_read<W: Word>(&mut self, addr: u64) -> W {
        self.with_bus(|bus, cx| match W::BYTES {
            1 => W::from_u32(bus.mmio_read(cx, addr, Width::Byte)),
            2 => W::from_u32(bus.mmio_read(cx, addr, Width::Word)),
            4 => W::from_u32(bus.mmio_read(cx, addr, Width::Dword)),
            _ => {
                let low = bus.mmio_read(cx, addr, Width::Dword) as u64;
                W::from_u64(low | (bus.mmio_read(cx, addr + 4, Width::Dword) as u64) << 32)
            }
        })
    }

    pub(crate) fn bus_write<W: Word>(&mut self, addr: u64, value: W) {
        self.with_bus(|bus, cx| match W::BYTES {
            1 => bus.mmio_write(cx, addr, Width::Byte, value.to_u32()),
            2 => bus.mmio_write(cx, addr, Width::Word, value.to_u32()),
            4 => bus.mmio_write(cx, addr, Width::Dword, value.to_u32()),
            _ => {
                bus.mmio_write(cx, addr, Width::Dword, value.to_u32());
                bus.mmio_write(cx, addr + 4, Width::Dword, (value.to_u64() >> 32) as u32);
            }
        });
    }

    /// Paging is on.
    #[inline(always)]
    pub(crate) fn paging(&self) -> bool {
        self.regs.cr0 & cr0::PG != 0
    }

    /// Recompute the fast view after a change of CPL, EFLAGS.AC or CR0.AM.
    pub(crate) fn update_view(&mut self) {
        self.view = if self.regs.cpl != 3 {
            View::Supervisor
        } else if self.regs.flags.has(flags::AC) && self.regs.cr0 & cr0::AM != 0 {
            View::Checked
        } else {
            View::User
        };
    }

    /// General register `n` in width `W`; 8-bit registers 4 to 7 are AH, CH, DH, BH.
    #[inline(always)]
    pub(crate) fn reg<W: Word>(&self, n: u8) -> W {
        if W::BITS == 8 {
            W::from_u32(self.regs.gpr[(n & 3) as usize] >> ((n & 4) * 2))
        } else {
            W::from_u32(self.regs.gpr[(n & 7) as usize])
        }
    }

    /// Set general register `n` in width `W`, leaving its other bits.
    #[inline(always)]
    pub(crate) fn set_reg<W: Word>(&mut self, n: u8, value: W) {
        match W::BITS {
            8 => {
                let shift = (n & 4) * 2;
                let r = &mut self.regs.gpr[(n & 3) as usize];
                *r = *r & !(0xFF << shift) | value.to_u32() << shift;
            }
            16 => {
                let r = &mut self.regs.gpr[(n & 7) as usize];
                *r = *r & 0xFFFF_0000 | value.to_u32();
            }
            _ => self.regs.gpr[(n & 7) as usize] = value.to_u32(),
        }
    }

    /// ESP, or SP with a 16-bit stack segment.
    #[inline(always)]
    pub(crate) fn sp(&self) -> u32 {
        self.regs.gpr[gpr::ESP] & self.regs.stack_mask()
    }

    /// Set ESP, or only SP with a 16-bit stack segment.
    #[inline(always)]
    pub(crate) fn set_sp(&mut self, value: u32) {
        let mask = self.regs.stack_mask();
        let esp = &mut self.regs.gpr[gpr::ESP];
        *esp = *esp & !mask | value & mask;
    }

    /// Push one operand. ESP changes only if the store succeeds.
    #[inline(always)]
    pub(crate) fn push<W: Word>(&mut self, value: W) -> Result<(), Fault> {
        let sp = self.sp().wrapping_sub(W::BYTES) & self.regs.stack_mask();
        self.store(SegReg::Ss, sp, value)?;
        self.set_sp(sp);
        Ok(())
    }

    /// The operand `depth` bytes above the top of the stack.
    #[inline(always)]
    pub(crate) fn peek<W: Word>(&mut self, depth: u32) -> Result<W, Fault> {
        let sp = self.sp().wrapping_add(depth) & self.regs.stack_mask();
        self.load(SegReg::Ss, sp)
    }

    /// Release `bytes` from the stack.
    #[inline(always)]
    pub(crate) fn drop_stack(&mut self, bytes: u32) {
        self.set_sp(self.sp().wrapping_add(bytes));
    }

    /// Near transfer of control; takes effect when the instruction completes.
    ///
    /// # Errors
    /// #GP(0) if the target is beyond the limit of CS.
    #[inline(always)]
    pub(crate) fn branch(&mut self, target: u32) -> Result<(), Fault> {
        if target > self.regs.cs().limit {
            return Err(Fault::GP0);
        }
        self.next_eip = target;
        Ok(())
    }

    /// Record data breakpoints that an access hits (SDM vol. 3, 17.2.4).
    #[inline]
    pub(crate) fn note_watchpoint(&mut self, linear: u32, size: u32, access: Access) {
        if self.regs.dr7 & 0xFF != 0 {
            self.match_data_breakpoints(linear, size, access);
        }
    }

    /// Whether the current mutant is `which`.
    #[inline]
    pub(crate) fn mutated(&self, which: Mutant) -> bool {
        self.mutant == Some(which)
    }

    /// Whether the processor is running, halted or shut down.
    pub fn activity(&self) -> Activity {
        self.regs.activity
    }
}
