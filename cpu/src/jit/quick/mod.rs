//! What system code does most, without the handlers' full length: INT n and exceptions through gates, far calls through them,
//! IRET and far returns, jumps to tasks, and loads of data segment registers.
//!
//! A quick form does what nearly always happens, or nothing: it gives up before it has changed anything, and the handler
//! does the whole. It reads descriptor tables and stacks through fast lines of the TLB alone, which leaves as little trace
//! there as the handler would; it gives up at an accessed bit that is not set yet, a 16-bit gate, a task gate, a conforming
//! segment, an LDT, a flag that asks for care, an interrupt that waits.
//!
//! What the checks of a transfer found is remembered with the bytes of the descriptors it was found in, and with the
//! mode that follows. Next time the bytes are read and compared.

mod gate;
mod outwards;
mod segment;
mod task;

pub(super) use gate::{far_call, interrupt};
pub(super) use outwards::{far_return, iret};
pub(super) use segment::{load_segment, load_segment_checked};
pub(super) use task::far_jump;

use super::calls::unpacked;
use super::{EmitFault, Leave};
use crate::Cpu;
use crate::decode::Op;
use crate::mmu::View;
use crate::regs::cr4;
use crate::seg::{Descriptor, Segment, is_null, selector_index_bits};
use crate::word::Word;
use segment::Loads;
use task::Tasks;

/// A descriptor that was checked: its selector, its bytes, and what the segment register holds after loading it.
#[derive(Clone, Copy)]
struct Checked {
    selector: u16,
    bytes: u64,
    segment: Segment,
}

const UNCHECKED: Checked = Checked { selector: 0, bytes: 0, segment: Segment::null(0) };

/// A transfer that was checked.
#[derive(Clone, Copy)]
struct Known {
    /// The modes it leads from and to.
    from: usize,
    to: Option<usize>,
    /// CR4.TSD, which decides together with CPL whether RDTSC may be used.
    tsd: bool,
    /// Bytes of the gate; 0 for returns.
    gate: u64,
    code: Checked,
    /// The stack it switches to, if it does.
    switches: bool,
    stack: Checked,
}

/// What a known transfer changes.
struct Way {
    gate: u64,
    code: Segment,
    switches: bool,
    stack: Segment,
}

const NOTHING: Known = Known {
    from: usize::MAX,
    to: None,
    tsd: false,
    gate: 0,
    code: UNCHECKED,
    switches: false,
    stack: UNCHECKED,
};

const PLACES: usize = 64;

/// Transfers that were checked: by vector, by selector of a call gate, by what a return finds on the stack. Loads and task switches.
pub(super) struct Transfers {
    known: Box<[Known; 256 + 2 * PLACES]>,
    loads: Loads,
    tasks: Tasks,
}

impl Transfers {
    pub fn new() -> Transfers {
        Transfers { known: Box::new([NOTHING; 256 + 2 * PLACES]), loads: Loads::new(), tasks: Tasks::new() }
    }
}

/// Where a transfer is remembered.
#[derive(Clone, Copy)]
struct Place(usize);

impl Place {
    fn of_vector(vector: u8) -> Place {
        Place(vector as usize)
    }

    fn of_call(selector: u16) -> Place {
        Place(256 + (selector >> 3) as usize % PLACES)
    }

    fn of_return(cs: u16, from: usize) -> Place {
        Place(256 + PLACES + ((cs >> 3) as usize + 8 * from) % PLACES)
    }
}

fn descriptor(bytes: u64) -> Descriptor {
    Descriptor { lo: bytes as u32, hi: (bytes >> 32) as u32 }
}

impl Cpu {
    /// What the processor reads for itself at `linear`, if that leaves no trace.
    #[inline(always)]
    fn quiet_read<W: Word>(&self, linear: u32) -> Option<W> {
        let fast = self.tlb.fast(View::Supervisor, linear);
        let there = fast.read == linear & !0xFFF && linear & 0xFFF <= 0x1000 - W::BYTES;
        there.then(|| self.mem.read_at(linear.wrapping_add(fast.delta)))
    }

    /// The bytes of the descriptor in the GDT that `selector` names, which is not null.
    #[inline(always)]
    fn quiet_descriptor(&self, selector: u16) -> Option<u64> {
        let offset = (selector & !7) as u32;
        if selector & 4 != 0 || is_null(selector) || offset + 7 > self.regs.gdtr.limit as u32 {
            return None;
        }
        self.quiet_read(self.regs.gdtr.base.wrapping_add(offset))
    }

    /// The code segment of a transfer to level `cpl`, through selector `selector`.
    fn quiet_code(&self, selector: u16, cpl: u8) -> Option<Checked> {
        let bytes = self.quiet_descriptor(selector)?;
        let d = descriptor(bytes);
        let fine = d.is_code() && !d.is_conforming() && d.dpl() == cpl && d.present() && d.accessed();
        let segment = Segment::from_descriptor(selector_index_bits(selector) | cpl as u16, d);
        fine.then_some(Checked { selector, bytes, segment })
    }

    /// The same of a stack.
    fn quiet_stack(&self, selector: u16, cpl: u8) -> Option<Checked> {
        let bytes = self.quiet_descriptor(selector)?;
        let d = descriptor(bytes);
        let fine = selector as u8 & 3 == cpl
            && d.dpl() == cpl
            && d.is_writable_data()
            && d.present()
            && d.accessed()
            && d.big();
        fine.then_some(Checked { selector, bytes, segment: Segment::from_descriptor(selector, d) })
    }

    #[inline(always)]
    fn is_still(&self, known: &Checked) -> bool {
        self.quiet_descriptor(known.selector) == Some(known.bytes) || self.does(EmitFault::TransferRemembered)
    }

    /// This is to be done wrong.
    #[inline(always)]
    fn does(&self, fault: EmitFault) -> bool {
        self.jit.as_ref().is_some_and(|jit| jit.emit_fault == Some(fault))
    }

    /// What a quick transfer needs of the processor, whatever it is.
    fn is_plain(&self) -> bool {
        self.regs.protected()
            && self.mutant.is_none()
            && self.regs.ss().big()
            && self.jit.as_ref().is_some_and(|jit| jit.generation == self.blocks.generation())
    }

    /// SS and ESP for level `cpl` in the TSS.
    #[inline(always)]
    fn quiet_tss_stack(&self, cpl: u8) -> Option<(u16, u32)> {
        let tr = &self.regs.tr;
        let at = 4 + 8 * cpl as u32;
        // The type of a 32-bit TSS, busy or not.
        if tr.attr >> 8 & 0x1D != 9 || at + 7 > tr.limit {
            return None;
        }
        let both: u64 = self.quiet_read(tr.base.wrapping_add(at))?;
        Some(((both >> 32) as u16, both as u32))
    }

    #[inline(always)]
    fn known(&self, place: Place) -> Option<&Known> {
        self.jit.as_ref()?.transfers.known.get(place.0)
    }

    #[inline(always)]
    fn way(&self, place: Place) -> Option<Way> {
        let Known { gate, code, switches, stack, .. } = self.known(place)?;
        Some(Way { gate: *gate, code: code.segment, switches: *switches, stack: stack.segment })
    }

    /// Remember a transfer that has just been checked, before it is made.
    fn remember(&mut self, place: Place, gate: u64, code: Checked, stack: Option<Checked>) -> Option<()> {
        let tsd = self.regs.cr4 & cr4::TSD != 0;
        let jit = self.jit.as_mut()?;
        let (from, switches) = (jit.current(), stack.is_some());
        let stack = stack.unwrap_or(UNCHECKED);
        *jit.transfers.known.get_mut(place.0)? = Known { from, to: None, tsd, gate, code, switches, stack };
        Some(())
    }

    /// A transfer was made, and everything but the arithmetic flags is in the `Cpu`: go on in the mode that follows.
    #[inline(always)]
    fn arrive(&mut self, op: &Op, place: Place) -> u32 {
        let tsd = self.regs.cr4 & cr4::TSD != 0;
        let to = self.known(place).and_then(|known| known.to.filter(|_| known.tsd == tsd));
        let entered = match to {
            Some(to) => self.enter_mode(to),
            None => self.follow_mode().map(|_| {
                if let Some(jit) = &mut self.jit {
                    let to = Some(jit.current());
                    if let Some(known) = jit.transfers.known.get_mut(place.0) {
                        (known.to, known.tsd) = (to, tsd);
                    }
                }
            }),
        };
        self.go_on(op, entered)
    }

    /// Go on in the block at EIP, if compiled code can.
    #[inline(always)]
    fn go_on(&mut self, op: &Op, entered: Option<()>) -> u32 {
        if entered.is_some() {
            return Leave::Moved as u32;
        }
        self.frame.left_by = op.code as u16;
        self.attention = true;
        self.regs.flags.set_arith(unpacked(self.frame.flags));
        Leave::Attention as u32
    }

    /// Make mode number `to`, which is the processor's, that of compiled code; `None` if only the run loop can do it.
    #[inline(always)]
    fn enter_mode(&mut self, to: usize) -> Option<()> {
        let jit = self.jit.as_mut()?;
        jit.set_mode(to);
        self.frame.dispatch = jit.dispatch_address();
        self.frame.view = self.flat_view()?;
        Some(())
    }
}
