//! Loads of data segment registers.

use super::descriptor;
use crate::Cpu;
use crate::decode::Op;
use crate::jit::mode::is_known_alike;
use crate::regs::gpr::ESP;
use crate::seg::{SegReg, Segment, is_null};
use iced_x86::Code;

/// A load that was checked: what it depends on, what the register holds after it.
#[derive(Clone, Copy)]
struct Load {
    selector: u16,
    cpl: u8,
    bytes: u64,
    segment: Segment,
}

/// A load that led to another mode.
#[derive(Clone, Copy)]
struct Change {
    from: usize,
    to: usize,
    seg: usize,
    selector: u16,
    bytes: u64,
}

const PLACES: usize = 64;

/// Loads that were checked.
pub(super) struct Loads {
    known: Box<[Load; PLACES]>,
    changes: Box<[Change; PLACES]>,
}

impl Loads {
    pub fn new() -> Loads {
        let load = Load { selector: 0, cpl: 0, bytes: 0, segment: Segment::null(0) };
        let change = Change { from: usize::MAX, to: 0, seg: 0, selector: 0, bytes: 0 };
        Loads { known: Box::new([load; PLACES]), changes: Box::new([change; PLACES]) }
    }
}

/// Called by compiled code: load segment register number `seg` with `selector`. 1 if that was done and the mode is the
/// same, 0 if nothing was done.
pub(in crate::jit) extern "sysv64" fn load_segment(cpu: *mut Cpu, selector: u32, seg: u32) -> u32 {
    // SAFETY: as in `calls::call`.
    let cpu = unsafe { &mut *cpu };
    cpu.load_alike(selector as u16, seg as usize) as u32
}

/// Called by compiled code where [`load_segment`] did nothing: MOV from a register or POP, as `calls::call_checked`.
pub(in crate::jit) extern "sysv64" fn load_segment_checked(cpu: *mut Cpu, op: *const Op) -> u32 {
    // SAFETY: as in `calls::call`.
    let (cpu, op) = unsafe { (&mut *cpu, &*op) };
    cpu.load_into_mode(op).unwrap_or_else(|| cpu.call_handler(op, true))
}

impl Cpu {
    /// The bytes of the descriptor a data segment register is loaded from, 0 for a null selector; [`Loads::known`] then has what the
    /// register holds after that. `None` if the load changes memory, or fails.
    #[inline(always)]
    fn check_load(&mut self, selector: u16) -> Option<u64> {
        if !self.regs.protected() || self.mutant.is_some() {
            return None;
        }
        let null = is_null(selector);
        let bytes = if null { 0 } else { self.quiet_descriptor(selector)? };
        let cpl = self.regs.cpl;
        let known = self.jit.as_mut()?.transfers.loads.known.get_mut(place(selector))?;
        if known.selector == selector && known.bytes == bytes && known.cpl == cpl {
            return Some(bytes);
        }
        let d = descriptor(bytes);
        let fits = d.is_conforming() || d.dpl() >= cpl.max(selector as u8 & 3);
        let segment = match null {
            true => Segment::null(selector),
            false if d.is_readable() && fits && d.present() && d.accessed() => {
                Segment::from_descriptor(selector, d)
            }
            false => return None,
        };
        *known = Load { selector, cpl, bytes, segment };
        Some(bytes)
    }

    /// Load `seg` as a task switch does, whatever mode follows. Whether that was done.
    pub(crate) fn load_quickly(&mut self, seg: SegReg, selector: u16) -> bool {
        let checked = self.check_load(selector).is_some();
        if checked
            && let Some(jit) = &self.jit
            && let Some(known) = jit.transfers.loads.known.get(place(selector))
        {
            self.regs.seg[seg as usize] = known.segment;
        }
        checked
    }

    fn load_alike(&mut self, selector: u16, seg: usize) -> bool {
        self.check_load(selector).is_some() && self.put_if_alike(selector, seg) == Some(true)
    }

    /// Load register `seg`, the load having been checked, if code of the mode can go on. Whether it can.
    #[inline(always)]
    fn put_if_alike(&mut self, selector: u16, seg: usize) -> Option<bool> {
        let known = self.jit.as_ref()?.transfers.loads.known.get(place(selector))?;
        let register = self.regs.seg.get_mut(seg)?;
        let alike = is_known_alike(seg, register, &known.segment);
        if alike {
            *register = known.segment;
        }
        Some(alike)
    }

    fn load_into_mode(&mut self, op: &Op) -> Option<u32> {
        self.count_from_frame();
        let seg = SegReg::from_encoding(op.reg[0])? as usize;
        let (selector, popped) = match op.code {
            Code::Popd_ES | Code::Popd_DS | Code::Popd_FS | Code::Popd_GS => {
                (self.mem.read_at::<u16>(self.plain_frame(4)?), 4)
            }
            Code::Mov_Sreg_rm16 | Code::Mov_Sreg_r32m16 => (self.regs.gpr[op.reg[1] as usize] as u16, 0),
            _ => return None,
        };
        if self.insns + 1 >= self.stop_at {
            return None;
        }
        let bytes = self.check_load(selector)?;
        let alike = self.put_if_alike(selector, seg)?;
        if !alike {
            let known = self.jit.as_ref()?.transfers.loads.known.get(place(selector))?;
            self.regs.seg[seg] = known.segment;
        }
        self.regs.gpr[ESP] = self.regs.gpr[ESP].wrapping_add(popped);
        self.regs.eip = self.regs.eip.wrapping_add(op.len as u32);
        self.insns += 1;
        if alike {
            return Some(0);
        }
        self.frame.held = self.frame.budget - 1;
        let entered = self.follow_load(seg, selector, bytes);
        Some(self.go_on(op, entered))
    }

    /// Another mode follows the load of `seg`.
    fn follow_load(&mut self, seg: usize, selector: u16, bytes: u64) -> Option<()> {
        let jit = self.jit.as_ref()?;
        let from = jit.current();
        let at = (place(selector) + 8 * from + seg) % PLACES;
        let known = jit.transfers.loads.changes.get(at)?;
        if (known.from, known.seg, known.selector, known.bytes) == (from, seg, selector, bytes) {
            return self.enter_mode(known.to);
        }
        self.follow_mode()?;
        let jit = self.jit.as_mut()?;
        let to = jit.current();
        *jit.transfers.loads.changes.get_mut(at)? = Change { from, to, seg, selector, bytes };
        Some(())
    }
}

fn place(selector: u16) -> usize {
    (selector >> 3) as usize % PLACES
}
