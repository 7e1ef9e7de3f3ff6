//! From the instructions of a block to host code.
//!
//! Every instruction has two forms: its handler, called with all registers in the `Cpu`, and for the common ones
//! code in line. In-line code changes nothing before its last check has passed; a check that fails goes to the
//! handler, which does the whole instruction, faults included. So there is one slow path, and it is the reference.
//!
//! No check touches the host's flags, because they are the guest's.

use super::asm::{Asm, Mem, R8, R9, R10, RAX, RCX, RDX, Reg, Width, at};
use super::groups::{Group, Planned, SLOTS, plan};
use super::host::Quirks;
use super::simd::uses_xmm;
use super::stubs::{EDGE, EIP, Stubs};
use crate::Cpu;
use crate::decode::{Ea, Op};
use crate::flags::{self, Flags};
use crate::jit::{EmitFault, Leave, Mode};
use crate::mmu::flat;
use crate::seg::{SegReg, Segment};
use iced_x86::{Code, FlowControl, Instruction, Mnemonic, OpKind, RflagsBits};
use std::mem::offset_of;

/// Host registers of the guest's.
pub(super) const GUEST: [Reg; 8] = [RAX, 14, RDX, 3, 15, 5, 6, 7];
const ECX: Reg = 14;
const ESP: Reg = 15;
pub(super) const CPU: Reg = 11;
const BUDGET: Reg = 12;
const VIEW: Reg = 13;

/// Told from instruction numbers.
const SAVED: usize = 1 << 16;
/// How far JRCXZ reaches.
const REACH: usize = 127;

const ARITH: u32 =
    RflagsBits::OF | RflagsBits::SF | RflagsBits::ZF | RflagsBits::AF | RflagsBits::CF | RflagsBits::PF;

/// What to translate.
pub(in crate::jit) struct Source<'a> {
    pub insns: &'a [Instruction],
    /// At an address that does not change while the code lives.
    pub ops: &'a [Op],
    /// EIP of the first instruction.
    pub eip: u32,
    /// Linear page number and page in the backing store where the block goes on, if it does.
    pub tail: Option<(u32, u32)>,
    pub mode: &'a Mode,
    /// Number of the block's first edge.
    pub edge: u32,
    /// Where the code will be.
    pub at: usize,
    /// Where the search for indirect targets of this mode is.
    pub dispatch: usize,
    pub stubs: &'a Stubs,
    pub quirks: &'a Quirks,
    /// What to do wrong.
    pub fault: Option<EmitFault>,
}

/// A way to a block known by its EIP.
#[derive(Clone, Copy, Debug)]
pub(in crate::jit) struct EdgeSite {
    pub target: u32,
    /// Place of the expected fetch entry, negated, if the target is in another page.
    pub guard: Option<usize>,
    /// Place of the jump's rel32.
    pub jump: usize,
    /// Where the jump goes while there is nothing better.
    pub stub: usize,
}

/// Host code of a block. Places are offsets in the code memory.
pub(in crate::jit) struct Translated {
    pub code: Vec<u8>,
    pub edges: [Option<EdgeSite>; 2],
    /// Instructions with code in line.
    pub inlined: u32,
    /// Where the code of each instruction ends, from the start of the block's.
    pub ends: Vec<u32>,
}

/// Where the flow goes after an instruction.
#[derive(Clone, Copy)]
enum Flow {
    Next,
    End,
}

/// What is known to be wrong with the host's flags. It is put right where somebody could see it: in slow paths, before
/// handlers and edges, before instructions that read flags; mostly the next instruction writes them all.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    /// AF, which must be 0.
    Af,
    /// AF, which must be 0 if CL was not a multiple of 32.
    AfIfShifted,
    /// AF, which must be 0; OF is 0, and SF, ZF, PF are those of this register: cheap to put right.
    Shifted(Reg),
    /// SF, ZF, PF, which must be those of this register, and AF, which must be 0.
    Product(Reg),
}

/// An access that is to be checked out of line.
#[derive(Clone, Copy)]
struct Alone {
    n: usize,
    seg: SegReg,
    size: u32,
    write: bool,
    wrong: Wrong,
    float: bool,
    /// Where it goes on, with RCX + R8 its host address.
    back: usize,
}

/// A jump to where the slow path of something is.
enum Slow {
    Budget,
    /// What is wrong with the flags, and whether MXCSR is the guest's.
    Insn(usize, Wrong, bool),
    /// The flags are in R10, as a frame has them.
    Saved(usize, bool),
    /// An access whose group knows nothing makes its own check, and goes on there.
    Alone(Alone),
}

pub(super) struct Translator<'a> {
    pub s: &'a Source<'a>,
    pub asm: Asm,
    /// Instruction being translated, its EIP, and the next one's.
    n: usize,
    eip: u32,
    next: u32,
    /// JRCXZ that have no island yet.
    checks: Vec<(usize, Slow)>,
    /// Islands that wait for their slow path: place of the rel32.
    islands: Vec<(usize, Slow)>,
    /// Edges that wait for their stub: number, target, place of the rel32.
    stubs: Vec<(usize, u32, usize)>,
    /// Where each instruction's successor begins.
    after: Vec<(usize, bool)>,
    eips: Vec<u32>,
    edges: [Option<EdgeSite>; 2],
    inlined: u32,
    failed: bool,
    /// Before the instruction being translated, and after it.
    wrong: Wrong,
    then: Wrong,
    /// MXCSR is the guest's.
    pub float: bool,
    groups: Vec<Group>,
    planned: Vec<Planned>,
    /// Groups whose check has been made.
    found: [bool; SLOTS],
}

/// `None` if the code would not fit its own short jumps.
pub(in crate::jit) fn translate(s: &Source<'_>) -> Option<Translated> {
    let (groups, planned) = plan(s.insns, s.ops);
    let mut t = Translator {
        s,
        asm: Asm::default(),
        n: 0,
        eip: s.eip,
        next: s.eip,
        checks: Vec::new(),
        islands: Vec::new(),
        stubs: Vec::new(),
        after: Vec::new(),
        eips: Vec::new(),
        edges: [None; 2],
        inlined: 0,
        failed: false,
        wrong: Wrong::Nothing,
        then: Wrong::Nothing,
        float: false,
        groups,
        planned,
        found: [false; SLOTS],
    };
    t.block();
    (!t.failed).then_some(Translated {
        ends: t.after.iter().map(|a| a.0 as u32).collect(),
        code: t.asm.buf,
        edges: t.edges,
        inlined: t.inlined,
    })
}

impl Translator<'_> {
    /// This is to be done wrong.
    fn has(&self, fault: EmitFault) -> bool {
        self.s.fault == Some(fault)
    }

    fn block(&mut self) {
        let count = self.s.ops.len() as i32 - self.has(EmitFault::BudgetShort) as i32;
        self.asm.lea(Width::Q, BUDGET, at(BUDGET, -count));
        self.asm.shift_x(Width::Q, 3, RCX, BUDGET, VIEW);
        let site = self.asm.jrcxz();
        self.checks.push((site, Slow::Budget));
        if let Some((page, frame)) = self.s.tail {
            self.guard_tail(page, frame);
        }
        let mut flow = Flow::Next;
        for n in 0..self.s.ops.len() {
            self.n = n;
            self.eip = self.next;
            self.eips.push(self.eip);
            self.next = self.eip.wrapping_add(self.s.ops[n].len as u32);
            flow = self.one();
            self.wrong = self.then;
            self.after.push((self.asm.pos(), self.float));
        }
        if matches!(flow, Flow::Next) {
            self.put_right();
            self.float_off();
            let target = self.next;
            self.edge(0, target);
        }
        self.flush_islands();
        self.edge_stubs();
        self.slow_paths();
    }

    /// The page where the block goes on must be where it was; if not, the interpreter sees to it.
    fn guard_tail(&mut self, page: u32, frame: u32) {
        self.asm.load(Width::D, RCX, at(VIEW, flat::FETCH + page as i32 * 8));
        self.asm.lea(Width::D, RCX, at(RCX, -(frame as i32 + 1)));
        let fine = self.asm.jrcxz();
        self.leave_before();
        self.failed |= !self.asm.bind8(fine);
    }

    /// Leave as if the block had not begun.
    fn leave_before(&mut self) {
        self.asm.lea(Width::Q, BUDGET, at(BUDGET, self.s.ops.len() as i32));
        self.asm.store_imm(Width::D, at(CPU, EIP), self.s.eip);
        self.leave(Leave::Budget);
    }

    /// Instruction `n`: in line if it can be, after islands if it would take a check too far from its own.
    fn one(&mut self) -> Flow {
        let (op, insn) = (&self.s.ops[self.n], self.s.insns[self.n]);
        for fresh in [false, true] {
            if fresh {
                self.islands_here();
            }
            let mark = (self.asm.pos(), self.checks.len(), self.islands.len());
            let (wrong, float, found) = (self.wrong, self.float, self.found);
            if insn.flow_control() != FlowControl::Next {
                self.float_off();
            }
            if !self.may_stay_wrong(&insn) {
                self.put_right();
            }
            let writes_af = matches!(insn.mnemonic(), Mnemonic::Inc | Mnemonic::Dec);
            self.then = if kills(&insn) || writes_af { Wrong::Nothing } else { self.wrong };
            let flow = self.insn(&insn, op);
            if let Some(flow) = flow
                && self.islands_reach()
            {
                self.inlined += 1;
                return flow;
            }
            (self.wrong, self.float, self.found) = (wrong, float, found);
            self.asm.buf.truncate(mark.0);
            self.checks.truncate(mark.1);
            self.islands.truncate(mark.2);
            self.edges = [None; 2];
            self.stubs.clear();
            if flow.is_none() {
                break;
            }
        }
        let (mark, wrong, float) = (self.asm.pos(), self.wrong, self.float);
        let flow = self.call_handler(&insn);
        if !self.islands_reach() {
            self.asm.buf.truncate(mark);
            (self.wrong, self.float) = (wrong, float);
            self.islands_here();
            return self.call_handler(&insn);
        }
        flow
    }

    // Flags that are wrong for a while.

    /// Whether what is wrong may stay so over this instruction.
    fn may_stay_wrong(&self, insn: &Instruction) -> bool {
        let (reads, ends) = (insn.rflags_read() & ARITH, insn.flow_control() != FlowControl::Next);
        match self.wrong {
            Wrong::Nothing => true,
            Wrong::Af if matches!(insn.mnemonic(), Mnemonic::Inc | Mnemonic::Dec) => true,
            _ if ends || !(kills(insn) || leaves_flags(insn) || reads_only(insn)) => false,
            Wrong::Af => reads & RflagsBits::AF == 0,
            Wrong::AfIfShifted => {
                reads & RflagsBits::AF == 0 && (kills(insn) && reads == 0 || !writes(insn, ECX))
            }
            Wrong::Shifted(d) => {
                reads & RflagsBits::AF == 0 && (kills(insn) && reads == 0 || !writes(insn, d))
            }
            Wrong::Product(low) => {
                reads & !(RflagsBits::CF | RflagsBits::OF) == 0
                    && (kills(insn) && reads == 0 || !writes(insn, low))
            }
        }
    }

    /// Make the flags right.
    fn put_right(&mut self) {
        let wrong = std::mem::replace(&mut self.wrong, Wrong::Nothing);
        self.emit_right(wrong);
    }

    fn emit_right(&mut self, wrong: Wrong) {
        match wrong {
            Wrong::Product(_) if self.has(EmitFault::ProductFlagsKept) => {}
            Wrong::Af | Wrong::AfIfShifted | Wrong::Shifted(_) if self.has(EmitFault::ShiftAfKept) => {}
            Wrong::Nothing => {}
            Wrong::Shifted(d) => {
                self.asm.rr(Width::B, &[0x0F, 0x92], 0, RCX); // setc cl
                self.asm.rr(Width::D, &[0x85], d, d); // test d, d
                self.asm.bytes(&[0x0F, 0xBA, 0xE1, 0]); // bt ecx, 0
            }
            Wrong::Af | Wrong::AfIfShifted => {
                self.asm.mov_rr(Width::Q, R8, RAX);
                self.asm.bytes(&[0x0F, 0x90, 0xC0]); // seto al
                self.asm.byte(0x9F); // lahf
                if wrong == Wrong::AfIfShifted {
                    self.asm.test_ri(Width::B, ECX, 31);
                    self.asm.bytes(&[0x74, 3]); // jz over the next
                }
                self.asm.bytes(&[0x80, 0xE4, 0xEF]); // and ah, ~AF
                self.asm.bytes(&[0x04, 0x7F]); // add al, 0x7f: OF
                self.asm.byte(0x9E); // sahf
                self.asm.mov_rr(Width::Q, RAX, R8);
            }
            Wrong::Product(low) => {
                self.asm.rr(Width::B, &[0x0F, 0x90], 0, RCX); // seto cl
                self.asm.rr(Width::D, &[0x85], low, low); // test low, low
                self.asm.mov_rr(Width::Q, R8, RAX);
                self.asm.bytes(&[
                    0x9F, // lahf
                    0x80, 0xE4, 0xEF, // and ah, ~AF
                    0x08, 0xCC, // or ah, cl
                    0x88, 0xC8, // mov al, cl
                    0x04, 0x7F, // add al, 0x7f: OF
                    0x9E, // sahf
                ]);
                self.asm.mov_rr(Width::Q, RAX, R8);
            }
        }
    }

    /// R10 := the flags, as a frame has them.
    fn save_flags(&mut self) {
        self.asm.mov_rr(Width::Q, R9, RAX);
        self.asm.bytes(&[0x9F, 0x0F, 0x90, 0xC0]); // lahf; seto al
        self.asm.mov_rr(Width::Q, R10, RAX);
        self.asm.mov_rr(Width::Q, RAX, R9);
    }

    fn restore_flags(&mut self) {
        self.asm.mov_rr(Width::Q, R9, RAX);
        self.asm.mov_rr(Width::Q, RAX, R10);
        self.asm.bytes(&[0x04, 0x7F, 0x9E]); // add al, 0x7f; sahf
        self.asm.mov_rr(Width::Q, RAX, R9);
    }

    // Checks that go elsewhere.

    /// The check just emitted left zero in RCX if it failed.
    fn check(&mut self) {
        let site = self.asm.jrcxz();
        self.checks.push((site, Slow::Insn(self.n, self.wrong, self.float)));
    }

    /// Whether islands emitted here would be in reach of their checks.
    fn islands_reach(&self) -> bool {
        self.checks.iter().enumerate().all(|(k, (site, _))| self.asm.pos() + 2 + 5 * k <= site + 1 + REACH)
    }

    /// Emit islands in the middle of the flow.
    fn islands_here(&mut self) {
        if self.checks.is_empty() {
            return;
        }
        self.asm.bytes(&[0xEB, 0]);
        let over = self.asm.pos() - 1;
        self.flush_islands();
        self.failed |= !self.asm.bind8(over);
    }

    fn flush_islands(&mut self) {
        for (site, slow) in std::mem::take(&mut self.checks) {
            self.failed |= !self.asm.bind8(site);
            let jump = self.asm.jmp();
            self.islands.push((jump, slow));
        }
    }

    fn slow_paths(&mut self) {
        let mut known: Vec<(usize, usize)> = Vec::new();
        while let Some((site, slow)) = self.islands.pop() {
            match slow {
                Slow::Alone(alone) => {
                    self.asm.bind(site);
                    self.check_alone(alone);
                }
                Slow::Budget => {
                    self.asm.bind(site);
                    self.leave_before();
                }
                Slow::Insn(..) | Slow::Saved(..) => {
                    let (n, wrong, float) = match slow {
                        Slow::Insn(n, wrong, float) => (n, Some(wrong), float),
                        Slow::Saved(n, float) => (n + SAVED, None, float),
                        Slow::Budget | Slow::Alone(_) => continue,
                    };
                    if let Some(&(_, place)) = known.iter().find(|k| k.0 == n) {
                        let distance = (place as i64 - site as i64 - 4) as i32;
                        self.asm.buf[site..site + 4].copy_from_slice(&distance.to_le_bytes());
                        continue;
                    }
                    known.push((n, self.asm.pos()));
                    self.asm.bind(site);
                    match wrong {
                        Some(wrong) => self.emit_right(wrong),
                        None => self.restore_flags(),
                    }
                    let n = n % SAVED;
                    if float {
                        self.emit_float_off();
                    }
                    let ends =
                        n + 1 == self.s.ops.len() && self.s.insns[n].flow_control() != FlowControl::Next;
                    self.emit_call(n, ends);
                    if ends {
                        self.asm.load(Width::D, R8, at(CPU, EIP));
                        self.jump_to(self.s.dispatch);
                    } else {
                        let (after, float) = self.after[n];
                        if float {
                            self.emit_float_on();
                        }
                        let site = self.asm.jmp();
                        let distance = (after as i64 - site as i64 - 4) as i32;
                        self.asm.buf[site..site + 4].copy_from_slice(&distance.to_le_bytes());
                    }
                }
            }
        }
    }

    fn leave(&mut self, why: Leave) {
        self.asm.mov_imm(RCX, why as u32);
        self.jump_to(self.s.stubs.leave);
    }

    /// Jump to a place in the code memory.
    fn jump_to(&mut self, place: usize) {
        let site = self.asm.jmp();
        self.reach(site, place);
    }

    fn reach(&mut self, site: usize, place: usize) {
        let distance = (place as i64 - (self.s.at + site) as i64 - 4) as i32;
        self.asm.buf[site..site + 4].copy_from_slice(&distance.to_le_bytes());
    }

    // Handlers.

    /// Call the handler of instruction `n`; with `checked`, leave if the mode is not the same after it.
    fn emit_call(&mut self, n: usize, checked: bool) {
        let left = (self.s.ops.len() - n) as u32;
        self.asm.mov_imm64(R10, std::ptr::from_ref(&self.s.ops[n]) as u64);
        self.asm.mov_imm(R9, left);
        let late = if self.has(EmitFault::FaultAfter) { self.s.ops[n].len as u32 } else { 0 };
        self.asm.mov_imm(R8, self.eips[n].wrapping_add(late));
        self.asm.byte(0xE8);
        self.asm.dword(0);
        let checked = checked && !(self.has(EmitFault::ModeUnchecked) && changes_mode(&self.s.insns[n]));
        let place = if checked { self.s.stubs.call_checked } else { self.s.stubs.call };
        let site = self.asm.pos() - 4;
        self.reach(site, place);
    }

    fn call_handler(&mut self, insn: &Instruction) -> Flow {
        self.put_right();
        self.float_off();
        self.then = Wrong::Nothing;
        let ends = insn.flow_control() != FlowControl::Next;
        self.emit_call(self.n, ends || changes_mode(insn));
        if !ends {
            return Flow::Next;
        }
        self.asm.load(Width::D, R8, at(CPU, EIP));
        self.jump_to(self.s.dispatch);
        Flow::End
    }

    // Edges.

    /// Go to `target`: edge `k`.
    fn edge(&mut self, k: usize, target: u32) {
        if self.is_near(target) {
            let site = self.asm.jmp();
            self.near_edge(k, target, site);
        } else {
            self.far_edge(k, target);
        }
    }

    /// `target` is in the page of this block.
    fn is_near(&self, target: u32) -> bool {
        let base = self.s.mode.cs().base;
        base.wrapping_add(target) >> 12 == base.wrapping_add(self.s.eip) >> 12
    }

    /// The jump whose rel32 is at `site` is edge `k`. Its page is mapped as long as this one is.
    fn near_edge(&mut self, k: usize, target: u32, site: usize) {
        self.edges[k] = Some(EdgeSite { target, guard: None, jump: self.s.at + site, stub: 0 });
        self.stubs.push((k, target, site));
    }

    /// The target's page must still be where it was when the edge was made.
    fn far_edge(&mut self, k: usize, target: u32) {
        let page = self.s.mode.cs().base.wrapping_add(target) >> 12;
        self.asm.load(Width::D, RCX, at(VIEW, flat::FETCH + page as i32 * 8));
        // lea ecx, [rcx + disp32]: the displacement is patched.
        self.asm.bytes(&[0x8D, 0x89]);
        self.asm.dword(1 << 30);
        let guard = Some(self.s.at + self.asm.pos() - 4);
        if self.has(EmitFault::LinkUnguarded) {
            self.asm.mov_imm(RCX, 0);
        }
        self.asm.bytes(&[0xE3, 5]);
        let miss = self.asm.jmp();
        let jump = self.asm.jmp();
        self.edges[k] = Some(EdgeSite { target, guard, jump: self.s.at + jump, stub: 0 });
        self.stubs.push((k, target, miss));
        self.stubs.push((k, target, jump));
    }

    fn edge_stubs(&mut self) {
        for (k, target, site) in std::mem::take(&mut self.stubs) {
            let Some(edge) = &mut self.edges[k] else { continue };
            if edge.stub == 0 {
                edge.stub = self.s.at + self.asm.pos();
                self.asm.bind(site);
                self.asm.store_imm(Width::D, at(CPU, EIP), target);
                self.asm.store_imm(Width::D, at(CPU, EDGE), self.s.edge + k as u32);
                self.leave(Leave::Edge);
            } else {
                let stub = edge.stub;
                self.reach(site, stub);
            }
        }
    }

    // Addresses.

    fn ea_mem(&self, ea: &Ea) -> Option<Mem> {
        let disp = ea.disp as i32;
        match (ea.base < 8, ea.index < 8) {
            (true, true) => Some(Mem {
                base: GUEST[ea.base as usize],
                index: Some((GUEST[ea.index as usize], ea.scale)),
                disp,
            }),
            (true, false) => Some(at(GUEST[ea.base as usize], disp)),
            _ => None,
        }
    }

    /// R8 := offset of the operand.
    fn offset(&mut self, ea: &Ea) {
        match self.ea_mem(ea) {
            Some(Mem { base, index: None, disp: 0 }) => self.asm.mov_rr(Width::D, R8, base),
            Some(mem) => self.asm.lea(Width::D, R8, mem),
            None if ea.index < 8 => {
                // No base: ModRM with SIB and base 5, mode 0.
                let index = GUEST[ea.index as usize];
                self.asm.byte(0x44 | (index >> 3) << 1);
                self.asm.bytes(&[0x8D, 4, ea.scale << 6 | (index & 7) << 3 | 5]);
                self.asm.dword(ea.disp);
            }
            None => self.asm.mov_imm(R8, ea.disp & ea.mask),
        }
        if ea.mask != u32::MAX && (ea.base < 8 || ea.index < 8) {
            // movzx r8d, r8w
            self.asm.rr(Width::D, &[0x0F, 0xB7], R8, R8);
        }
    }

    /// `size` bytes at offset R8 of `seg` are about to be read or written: RCX + R8 is their host address, or the
    /// instruction goes its slow way. `None` if the segment allows no such thing in line.
    fn access(&mut self, seg: SegReg, size: u32, write: bool) -> Option<()> {
        self.access_as(seg, size, write, false)
    }

    /// As [`Self::access`]; with `aligned` the linear address must be a multiple of sixteen.
    fn access_as(&mut self, seg: SegReg, size: u32, write: bool, aligned: bool) -> Option<()> {
        self.find_host(seg, size, write, aligned)?;
        self.check();
        Some(())
    }

    /// RCX := what to add to the linear address of offset R8 of `seg` for `size` bytes, or 0. R8 becomes linear.
    fn find_host(&mut self, seg: SegReg, size: u32, write: bool, aligned: bool) -> Option<()> {
        let s = self.s.mode.segment(seg);
        let (lo, hi) = s.bounds;
        if lo != 0 || !(if write { s.writable && s.readable } else { s.readable }) {
            return None;
        }
        let limited = !s.is_flat() && !self.has(EmitFault::LimitUnseen);
        let size = if self.has(EmitFault::PageEndUnseen) && !aligned { 1 } else { size };
        let last = size as i32 - 1 - self.has(EmitFault::LimitOffByOne) as i32;
        if limited {
            // R10 := 0 if the last byte is inside, else a count that shifts everything out.
            self.asm.lea(Width::Q, R9, at(R8, last));
            self.not(R9);
            match i32::try_from(hi as i64 + 1) {
                Ok(end) if !s.dynamic => self.asm.lea(Width::Q, R9, at(R9, end)),
                _ => {
                    if s.dynamic {
                        self.asm.load(Width::D, R10, at(CPU, segment_field(seg, Segment::LAST)));
                    } else {
                        self.asm.mov_imm(R10, hi);
                    }
                    self.asm.lea(Width::Q, R9, Mem { base: R9, index: Some((R10, 0)), disp: 1 });
                }
            }
            self.asm.shift_x(Width::Q, 3, R10, R9, VIEW);
        }
        if s.dynamic {
            self.asm.load(Width::D, R9, at(CPU, segment_field(seg, offset_of!(Segment, base))));
            self.asm.lea(Width::D, R8, Mem { base: R8, index: Some((R9, 0)), disp: 0 });
        } else if s.base != 0 && !self.has(EmitFault::BaseForgotten) {
            self.asm.lea(Width::D, R8, at(R8, s.base as i32));
        }
        if self.has(EmitFault::CheckWritesFlags) {
            self.asm.rr(Width::D, &[0x85], R8, R8);
        }
        let write = write && !self.has(EmitFault::WriteLikeRead);
        let table = if write { flat::WRITE } else { flat::READ };
        let entry = Mem { base: VIEW, index: Some((R9, 3)), disp: table };
        self.asm.shift_x(Width::D, 3, R9, R8, VIEW);
        if aligned {
            // A count that is 0 if the low four bits are.
            self.asm.mov_imm(RCX, 15);
            self.asm.pext(RCX, R8, RCX);
            self.not(RCX);
            self.asm.lea(Width::Q, RCX, at(RCX, 1));
            if limited {
                self.asm.shift_x(Width::Q, 3, RCX, RCX, VIEW);
                self.asm.lea(Width::Q, R10, Mem { base: R10, index: Some((RCX, 0)), disp: 0 });
            } else {
                self.asm.shift_x(Width::Q, 3, R10, RCX, VIEW);
            }
        } else if size > 1 {
            // A count that is 0 if first and last byte are in one page.
            self.asm.lea(Width::D, RCX, at(R8, size as i32 - 1));
            self.asm.shift_x(Width::D, 3, RCX, RCX, VIEW);
            self.not(RCX);
            if limited {
                self.asm.lea(Width::Q, R10, Mem { base: R10, index: Some((RCX, 0)), disp: 0 });
                self.asm.lea(Width::Q, R10, Mem { base: R10, index: Some((R9, 0)), disp: 1 });
            } else {
                self.asm.lea(Width::Q, R10, Mem { base: RCX, index: Some((R9, 0)), disp: 1 });
            }
        }
        self.asm.load(Width::Q, RCX, entry);
        if size > 1 || limited {
            self.asm.shift_x(Width::Q, 1, RCX, RCX, R10);
        }
        Some(())
    }

    /// An access of a group. `offset` makes R8 its offset, or that of a byte so far away.
    fn grouped(
        &mut self,
        group: usize,
        seg: SegReg,
        size: u32,
        write: bool,
        disp: i32,
        offset: impl Fn(&mut Self, i32),
    ) -> Option<()> {
        let g = self.groups[group];
        let slot =
            at(CPU, (offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, hosts) + 8 * g.slot) as i32);
        let first = !self.found[group];
        if first {
            offset(self, g.low.wrapping_sub(disp));
            self.find_host(seg, g.len, g.write, false)?;
            self.asm.store(Width::Q, slot, RCX);
            self.found[group] = true;
        }
        offset(self, 0);
        let base = self.s.mode.segment(seg).base;
        if base != 0 && !self.has(EmitFault::BaseForgotten) {
            self.asm.lea(Width::D, R8, at(R8, base as i32));
        }
        if !first {
            self.asm.load(Width::Q, RCX, slot);
        }
        let site = self.asm.jrcxz();
        let alone =
            Alone { n: self.n, seg, size, write, wrong: self.wrong, float: self.float, back: self.asm.pos() };
        self.checks.push((site, Slow::Alone(alone)));
        Some(())
    }

    /// The check of an access whose group knows nothing. R8 is linear: the segment's base is taken off and put on again,
    /// for limits are about offsets.
    fn check_alone(&mut self, a: Alone) {
        let base = self.s.mode.segment(a.seg).base;
        if base != 0 && !self.has(EmitFault::BaseForgotten) {
            self.asm.lea(Width::D, R8, at(R8, (base as i32).wrapping_neg()));
        }
        // It was possible when the access was translated.
        self.failed |= self.find_host(a.seg, a.size, a.write, false).is_none();
        self.asm.bytes(&[0xE3, 5]);
        let back = self.asm.jmp();
        let distance = (a.back as i64 - back as i64 - 4) as i32;
        self.asm.buf[back..back + 4].copy_from_slice(&distance.to_le_bytes());
        let slow = self.asm.jmp();
        self.islands.push((slow, Slow::Insn(a.n, a.wrong, a.float)));
    }

    /// Four bytes at ESP + `by` are about to be read or written; as [`Self::access`].
    fn on_stack(&mut self, by: i32, write: bool) -> Option<()> {
        self.stack(by)?;
        match self.planned[self.n].stack {
            Some(group) => self.grouped(group, SegReg::Ss, 4, write, by, |t, far| {
                t.asm.lea(Width::D, R8, at(ESP, by.wrapping_add(far)));
            }),
            None => self.access(SegReg::Ss, 4, write),
        }
    }

    fn not(&mut self, reg: Reg) {
        self.asm.rr(Width::Q, &[0xF7], 2, reg);
    }

    /// The explicit memory operand, checked.
    pub(super) fn memory(&mut self, op: &Op, size: u32, write: bool) -> Option<Mem> {
        match self.planned[self.n].operand {
            Some(group) if size <= 8 => {
                let ea = op.ea;
                self.grouped(group, ea.seg, size, write, ea.disp as i32, move |t, far| {
                    t.offset(&Ea { disp: ea.disp.wrapping_add(far as u32), ..ea });
                })?;
            }
            _ => {
                self.offset(&op.ea);
                self.access(op.ea.seg, size, write)?;
            }
        }
        Some(HOST)
    }

    /// Sixteen bytes that must be aligned.
    pub(super) fn memory16(&mut self, op: &Op, write: bool) -> Option<Mem> {
        self.offset(&op.ea);
        self.access_as(op.ea.seg, 16, write, true)?;
        Some(HOST)
    }

    /// As [`Self::memory`], addressable beside AH, CH, DH and BH (without REX).
    fn memory_legacy(&mut self, op: &Op, write: bool) -> Option<Mem> {
        self.memory(op, 1, write)?;
        self.asm.lea(Width::Q, RCX, HOST);
        Some(at(RCX, 0))
    }

    // Instructions.

    /// Code in line for one instruction; `None` if there is none.
    fn insn(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        use Mnemonic::*;
        match insn.mnemonic() {
            Add => self.binary(insn, op, 0),
            Or => self.binary(insn, op, 1),
            Adc => self.binary(insn, op, if self.has(EmitFault::CarryInLost) { 0 } else { 2 }),
            Sbb => self.binary(insn, op, if self.has(EmitFault::BorrowInLost) { 5 } else { 3 }),
            And => self.binary(insn, op, 4),
            Sub => self.binary(insn, op, 5),
            Xor => self.binary(insn, op, 6),
            Cmp => self.binary(insn, op, 7),
            Test => self.test(insn, op),
            Mov => self.mov(insn, op),
            Movzx => self.extend(insn, op, 0xB6),
            Movsx => self.extend(insn, op, if self.has(EmitFault::SignLost) { 0xB6 } else { 0xBE }),
            Lea => self.lea(insn, op),
            Push => self.push(insn, op),
            Pop => self.pop(insn, op),
            Leave => self.leave_frame(insn),
            Inc => self.unary(insn, op, 0xFE, 0),
            Dec => self.unary(insn, op, 0xFE, 1),
            Not => self.unary(insn, op, 0xF6, 2),
            Neg => self.unary(insn, op, 0xF6, 3),
            Rol | Ror | Rcl | Rcr | Shl | Sal | Shr | Sar => self.shift(insn, op),
            Shld | Shrd => self.double_shift(insn, op),
            Bt | Bts | Btr | Btc => self.bit_test(insn, op),
            Bsf | Bsr => self.bit_scan(insn, op),
            Imul => self.imul(insn, op),
            Mul => self.multiply_accumulator(insn, op),
            Div | Idiv => self.divide(insn, op),
            Xchg => self.xchg(insn, op),
            Bswap if insn.code() == Code::Bswap_r32 => {
                let r = GUEST[op.reg[0] as usize];
                self.asm.rr(Width::D, &[0x0F], 1, r);
                // 0F C8+r has no ModRM: the byte after 0F is right as it is.
                Some(())
            }
            Cdq => self.plain(&[0x99]),
            Cwde => self.plain(&[0x98]),
            Cbw => self.plain(&[0x66, 0x98]),
            Cwd => self.plain(&[0x66, 0x99]),
            Clc => self.plain(&[0xF8]),
            Stc => self.plain(&[0xF9]),
            Cmc => self.plain(&[0xF5]),
            Lahf => self.plain(&[0x9F]),
            Sahf => self.plain(&[0x9E]),
            Nop | Pause => Some(()),
            Jmp => return self.jmp(insn, op),
            Call => return self.call(insn, op),
            Ret => return self.ret(insn, op),
            Movnti => self.store_general(op),
            Pushfd => self.push_flags(),
            Popfd => self.pop_flags(),
            Cli => self.clear_if(),
            _ if uses_xmm(insn) => self.simd(insn, op),
            _ => {
                let cc = insn.condition_code();
                if cc == iced_x86::ConditionCode::None {
                    return None;
                }
                return self.conditional(insn, op);
            }
        }
        .map(|()| Flow::Next)
    }

    fn plain(&mut self, bytes: &[u8]) -> Option<()> {
        self.asm.bytes(bytes);
        Some(())
    }

    fn binary(&mut self, insn: &Instruction, op: &Op, row: u8) -> Option<()> {
        let w = width(insn)?;
        let byte = (w != Width::B) as u8;
        let writes = row != 7;
        match (insn.op0_kind(), insn.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (d, s) = self.pair(w, op.reg[0], op.reg[1]);
                self.asm.rr(w, &[row * 8 + 2 + byte], d, s);
                self.put_back(w, op.reg[0], op.reg[1], writes);
            }
            (OpKind::Register, OpKind::Memory) => {
                let (d, mem) = self.register_beside_memory(w, op.reg[0], op, false)?;
                self.asm.rm(w, &[row * 8 + 2 + byte], d, mem);
            }
            (OpKind::Memory, OpKind::Register) => {
                let (s, mem) = self.register_beside_memory(w, op.reg[1], op, writes)?;
                self.asm.rm(w, &[row * 8 + byte], s, mem);
            }
            (OpKind::Memory, _) => {
                let mem = self.memory(op, w.bytes(), writes)?;
                self.asm.row_mi(w, row, mem, op.imm);
            }
            (OpKind::Register, _) => {
                let (d, _) = self.pair(w, op.reg[0], 0);
                self.asm.row_ri(w, row, d, op.imm);
                self.put_back(w, op.reg[0], 0, writes);
            }
            _ => return None,
        }
        Some(())
    }

    fn test(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        let opcode = [0x84 | (w != Width::B) as u8];
        match (insn.op0_kind(), insn.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (d, s) = self.pair(w, op.reg[0], op.reg[1]);
                self.asm.rr(w, &opcode, s, d);
            }
            (OpKind::Memory, OpKind::Register) => {
                let (s, mem) = self.register_beside_memory(w, op.reg[1], op, false)?;
                self.asm.rm(w, &opcode, s, mem);
            }
            (OpKind::Memory, _) => {
                let mem = self.memory(op, w.bytes(), false)?;
                self.asm.test_mi(w, mem, op.imm);
            }
            (OpKind::Register, _) => {
                let (d, _) = self.pair(w, op.reg[0], 0);
                self.asm.test_ri(w, d, op.imm);
            }
            _ => return None,
        }
        Some(())
    }

    fn mov(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        for n in 0..2 {
            let r = insn.op_register(n);
            if insn.op_kind(n) == OpKind::Register && !(r.is_gpr8() || r.is_gpr16() || r.is_gpr32()) {
                return None;
            }
        }
        let w = width(insn)?;
        match (insn.op0_kind(), insn.op1_kind()) {
            (OpKind::Register, OpKind::Register) => {
                let (d, s) = self.pair(w, op.reg[0], op.reg[1]);
                let wide = w == Width::W && self.has(EmitFault::WordMoveIsDouble);
                self.asm.mov_rr(if wide { Width::D } else { w }, d, s);
                self.put_back(w, op.reg[0], op.reg[1], true);
            }
            (OpKind::Register, OpKind::Memory) => {
                let (d, mem) = self.register_beside_memory(w, op.reg[0], op, false)?;
                self.asm.load(w, d, mem);
            }
            (OpKind::Memory, OpKind::Register) => {
                let (s, mem) = self.register_beside_memory(w, op.reg[1], op, true)?;
                self.asm.store(w, mem, s);
            }
            (OpKind::Memory, _) => {
                let mem = self.memory(op, w.bytes(), true)?;
                self.asm.store_imm(w, mem, op.imm);
            }
            (OpKind::Register, _) => match w {
                Width::D => self.asm.mov_imm(GUEST[op.reg[0] as usize], op.imm),
                _ => {
                    let (d, _) = self.pair(w, op.reg[0], 0);
                    self.asm.rr(w, &[if w == Width::B { 0xC6 } else { 0xC7 }], 0, d);
                    match w {
                        Width::B => self.asm.byte(op.imm as u8),
                        _ => self.asm.bytes(&(op.imm as u16).to_le_bytes()),
                    }
                    self.put_back(w, op.reg[0], 0, true);
                }
            },
            _ => return None,
        }
        Some(())
    }

    /// MOVZX and MOVSX.
    fn extend(&mut self, insn: &Instruction, op: &Op, opcode: u8) -> Option<()> {
        let w = width(insn)?;
        let d = GUEST[op.reg[0] as usize];
        if insn.op1_kind() == OpKind::Memory {
            let size = insn.memory_size().size() as u32;
            let mem = self.memory(op, size, false)?;
            self.asm.rm(w, &[0x0F, opcode | (size == 2) as u8], d, mem);
            return Some(());
        }
        if insn.op1_register().size() == 2 {
            self.asm.rr(w, &[0x0F, opcode | 1], d, GUEST[op.reg[1] as usize]);
            return Some(());
        }
        match byte_register(op.reg[1]) {
            Byte::Low(s) => self.asm.rr(w, &[0x0F, opcode], d, needs_rex(s)?),
            Byte::High(s) => {
                if s == 5 {
                    self.asm.mov_rr(Width::D, RCX, ECX);
                }
                self.asm.rr(Width::D, &[0x0F, opcode], RCX, s);
                self.asm.mov_rr(w, d, RCX);
            }
        }
        Some(())
    }

    fn lea(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        let d = GUEST[op.reg[0] as usize];
        match self.ea_mem(&op.ea) {
            Some(mem) if w == Width::D && op.ea.mask == u32::MAX => self.asm.lea(w, d, mem),
            _ => {
                self.offset(&op.ea);
                self.asm.mov_rr(w, d, R8);
            }
        }
        Some(())
    }

    /// R8 := ESP + `by`, if the stack has 32 bits.
    fn stack(&mut self, by: i32) -> Option<()> {
        if !self.s.mode.ss().big {
            return None;
        }
        if self.planned[self.n].stack.is_none() {
            self.asm.lea(Width::D, R8, at(ESP, by));
        }
        Some(())
    }

    fn push(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        match insn.code() {
            Code::Push_r32 | Code::Push_rm32 if insn.op0_kind() == OpKind::Register => {
                self.on_stack(-4, true)?;
                if self.has(EmitFault::PushEspAfter) && op.reg[0] == 4 {
                    self.asm.lea(Width::D, R9, at(ESP, -4));
                    self.asm.store(Width::D, HOST, R9);
                } else {
                    self.asm.store(Width::D, HOST, GUEST[op.reg[0] as usize]);
                }
            }
            Code::Pushd_imm32 | Code::Pushd_imm8 => {
                self.on_stack(-4, true)?;
                self.asm.store_imm(Width::D, HOST, op.imm);
            }
            Code::Push_rm32 => {
                let mem = self.memory(op, 4, false)?;
                self.asm.load(Width::D, R10, mem);
                let spare = offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, spare);
                self.asm.store(Width::D, at(CPU, spare as i32), R10);
                self.on_stack(-4, true)?;
                self.asm.load(Width::D, R9, at(CPU, spare as i32));
                self.asm.store(Width::D, HOST, R9);
            }
            _ => return None,
        }
        self.asm.lea(Width::D, ESP, at(ESP, -4));
        Some(())
    }

    fn pop(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if !matches!(insn.code(), Code::Pop_r32) {
            return None;
        }
        self.on_stack(0, false)?;
        self.asm.lea(Width::D, ESP, at(ESP, 4));
        self.asm.load(Width::D, GUEST[op.reg[0] as usize], HOST);
        Some(())
    }

    fn leave_frame(&mut self, insn: &Instruction) -> Option<()> {
        if insn.code() != Code::Leaved || !self.s.mode.ss().big {
            return None;
        }
        match self.planned[self.n].stack {
            Some(group) => self.grouped(group, SegReg::Ss, 4, false, 0, |t, far| {
                t.asm.lea(Width::D, R8, at(GUEST[5], far));
            })?,
            None => {
                self.asm.mov_rr(Width::D, R8, GUEST[5]);
                self.access(SegReg::Ss, 4, false)?;
            }
        }
        let popped = if self.has(EmitFault::LeaveKeepsFrame) { 0 } else { 4 };
        self.asm.lea(Width::D, ESP, at(GUEST[5], popped));
        self.asm.load(Width::D, GUEST[5], HOST);
        Some(())
    }

    fn unary(&mut self, insn: &Instruction, op: &Op, opcode: u8, n: u8) -> Option<()> {
        let w = width(insn)?;
        let n = if n == 3 && self.has(EmitFault::NegIsNotPlusOne) { 2 } else { n };
        let opcode = [opcode | (w != Width::B) as u8];
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, w.bytes(), true)?;
            self.asm.rm(w, &opcode, n, mem);
        } else if self.has(EmitFault::IncWritesCarry) && insn.mnemonic() == Mnemonic::Inc && w == Width::D {
            self.asm.row_ri(w, 0, GUEST[op.reg[0] as usize], 1);
        } else {
            let (d, _) = self.pair(w, op.reg[0], 0);
            self.asm.rr(w, &opcode, n, d);
            self.put_back(w, op.reg[0], 0, true);
        }
        Some(())
    }

    fn shift(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        let n = match insn.mnemonic() {
            Mnemonic::Rol => 0,
            Mnemonic::Ror => 1,
            Mnemonic::Rcl => 2,
            Mnemonic::Rcr => 3,
            Mnemonic::Shr => 5,
            Mnemonic::Sar => 7,
            _ => 4,
        };
        let wide = w != Width::B;
        let by_cl = insn.op1_kind() == OpKind::Register;
        let count = op.imm & 31;
        if by_cl {
            if w != Width::D || matches!(n, 2 | 3) || !self.s.quirks.shifts {
                return None;
            }
            if n >= 4 {
                // Its own count: what was shifted cannot be told any more.
                if self.wrong != Wrong::Nothing || insn.op0_kind() == OpKind::Register && op.reg[0] == 1 {
                    return None;
                }
                self.then = Wrong::AfIfShifted;
            }
        } else {
            let known = w == Width::D && self.s.quirks.shifts || n >= 4 && self.flags_are_dead();
            if count == 0 || count > 1 && (matches!(n, 2 | 3) || count >= w.bits() || !known) {
                return None;
            }
            let quirks = self.s.quirks;
            let register = insn.op0_kind() == OpKind::Register && w == Width::D;
            if n >= 5 && (n == 7 || count > 1) && register && quirks.logic && quirks.bit_tests {
                self.then = Wrong::Shifted(GUEST[op.reg[0] as usize]);
            } else if n >= 4 {
                self.then = Wrong::Af;
            }
        }
        let (opcode, imm) = match (by_cl, count) {
            (true, _) => (0xD2, false),
            (false, 1) => (0xD0, false),
            _ => (0xC0, true),
        };
        let opcode = [opcode | wide as u8];
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, w.bytes(), true)?;
            let mem = if by_cl {
                self.asm.lea(Width::Q, R8, mem);
                self.asm.mov_rr(Width::D, RCX, ECX);
                at(R8, 0)
            } else {
                mem
            };
            self.asm.rm(w, &opcode, n, mem);
        } else {
            if by_cl {
                self.asm.mov_rr(Width::D, RCX, ECX);
            }
            let (d, _) = self.pair(w, op.reg[0], 0);
            self.asm.rr(w, &opcode, n, d);
            if imm {
                self.asm.byte(count as u8);
            }
            self.put_back(w, op.reg[0], 0, true);
            return Some(());
        }
        if imm {
            self.asm.byte(count as u8);
        }
        Some(())
    }

    fn double_shift(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let opcode = match insn.code() {
            Code::Shld_rm32_r32_imm8 => 0xA4,
            Code::Shld_rm32_r32_CL => 0xA5,
            Code::Shrd_rm32_r32_imm8 => 0xAC,
            Code::Shrd_rm32_r32_CL => 0xAD,
            _ => return None,
        };
        if insn.op0_kind() == OpKind::Memory || !(self.s.quirks.double_shifts || self.flags_are_dead()) {
            return None;
        }
        let (d, s) = (GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
        if opcode & 1 != 0 {
            self.asm.mov_rr(Width::D, RCX, ECX);
        } else if op.imm & 31 == 0 {
            return None;
        }
        self.asm.rr(Width::D, &[0x0F, opcode], s, d);
        if opcode & 1 == 0 {
            self.asm.byte(op.imm as u8);
        }
        Some(())
    }

    /// BT and its kin on 32-bit registers.
    fn bit_test(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if insn.op0_kind() != OpKind::Register || width(insn)? != Width::D || !self.s.quirks.bit_tests {
            return None;
        }
        let n = match insn.mnemonic() {
            Mnemonic::Bt => 4,
            Mnemonic::Bts => 5,
            Mnemonic::Btr => 6,
            _ => 7,
        };
        let d = GUEST[op.reg[0] as usize];
        if insn.op1_kind() == OpKind::Register {
            self.asm.rr(Width::D, &[0x0F, 0x83 | n << 3], GUEST[op.reg[1] as usize], d);
        } else {
            self.asm.rr(Width::D, &[0x0F, 0xBA], n, d);
            self.asm.byte(op.imm as u8);
        }
        Some(())
    }

    fn bit_scan(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if width(insn)? != Width::D || !self.s.quirks.bit_scans {
            return None;
        }
        let opcode = [0x0F, if insn.mnemonic() == Mnemonic::Bsf { 0xBC } else { 0xBD }];
        let d = GUEST[op.reg[0] as usize];
        if insn.op1_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.rm(Width::D, &opcode, d, mem);
        } else {
            self.asm.rr(Width::D, &opcode, d, GUEST[op.reg[1] as usize]);
        }
        Some(())
    }

    /// IMUL with a destination register.
    fn imul(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if insn.op_count() == 1 {
            return self.multiply_accumulator(insn, op);
        }
        let w = width(insn)?;
        if w != Width::D || !self.s.quirks.logic {
            return None;
        }
        let d = GUEST[op.reg[0] as usize];
        let in_memory = insn.op1_kind() == OpKind::Memory;
        let mem = if in_memory { Some(self.memory(op, 4, false)?) } else { None };
        let opcode: &[u8] = if insn.op_count() == 3 { &[0x69] } else { &[0x0F, 0xAF] };
        match mem {
            Some(mem) => self.asm.rm(w, opcode, d, mem),
            None => self.asm.rr(w, opcode, d, GUEST[op.reg[1] as usize]),
        }
        if insn.op_count() == 3 {
            self.asm.dword(op.imm);
        }
        self.then = Wrong::Product(d);
        Some(())
    }

    /// MUL and IMUL with one operand, 32 bits.
    fn multiply_accumulator(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let n = match insn.code() {
            Code::Mul_rm32 => 4,
            Code::Imul_rm32 => 5,
            _ => return None,
        };
        if !self.s.quirks.logic {
            return None;
        }
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.rm(Width::D, &[0xF7], n, mem);
        } else {
            self.asm.rr(Width::D, &[0xF7], n, GUEST[op.reg[0] as usize]);
        }
        self.then = Wrong::Product(RAX);
        Some(())
    }

    /// PUSHFD. RF and VM are pushed as zero.
    fn push_flags(&mut self) -> Option<()> {
        if self.s.mode.v86() {
            return None;
        }
        self.on_stack(-4, true)?;
        self.asm.lea(Width::Q, R8, HOST);
        self.save_flags();
        // R10 has SF to CF in bits 15 to 8 and OF in bit 0.
        self.asm.rr(Width::D, &[0x0F, 0xB6], RCX, R10); // movzx ecx, r10b
        self.asm.bytes(&[0xC1, 0xE1, 11]); // shl ecx, 11
        self.asm.row_rm(1, RCX, at(CPU, SYSTEM_FLAGS)); // or ecx, [system]
        self.asm.row_ri(Width::D, 4, RCX, !(flags::RF | flags::VM));
        self.asm.rr(Width::D, &[0x0F, 0xB7], R9, R10); // movzx r9d, r10w
        self.asm.rr(Width::D, &[0xC1], 5, R9); // shr r9d, 8
        self.asm.byte(8);
        self.asm.rr(Width::D, &[0x0B], RCX, R9); // or ecx, r9d
        self.asm.store(Width::D, at(R8, 0), RCX);
        self.restore_flags();
        self.asm.lea(Width::D, ESP, at(ESP, -4));
        Some(())
    }

    /// POPFD at CPL 0, while of the system flags only IF changes and nothing waits for it.
    fn pop_flags(&mut self) -> Option<()> {
        if self.s.mode.v86() || self.s.mode.cpl() != 0 {
            return None;
        }
        self.on_stack(0, false)?;
        self.asm.load(Width::D, R8, HOST);
        self.save_flags();
        let mut slow = Vec::new();
        self.asm.load(Width::D, RCX, at(CPU, SYSTEM_FLAGS));
        self.asm.rr(Width::D, &[0x33], RCX, R8); // xor ecx, r8d
        let others = flags::TF | flags::DF | flags::IOPL | flags::NT | flags::AC | flags::ID;
        self.asm.test_ri(Width::D, RCX, others);
        slow.push(self.asm.jcc(5));
        self.asm.load(Width::D, R9, at(CPU, SYSTEM_FLAGS));
        self.asm.row_ri(Width::D, 4, RCX, flags::IF);
        self.asm.rr(Width::D, &[0x33], R9, RCX); // xor r9d, ecx: the new system flags
        // An interrupt that waits for IF.
        self.asm.rm(Width::D, &[0x0F, 0xB6], RCX, at(CPU, offset_of!(Cpu, lines.intr) as i32));
        self.asm.bytes(&[0xC1, 0xE1, 9]); // shl ecx, 9
        self.asm.rr(Width::D, &[0x85], R9, RCX); // test ecx, r9d
        slow.push(self.asm.jcc(5));
        self.asm.store(Width::D, at(CPU, SYSTEM_FLAGS), R9);
        self.asm.mov_rr(Width::Q, R9, RAX);
        self.asm.mov_rr(Width::D, RAX, R8);
        self.asm.mov_rr(Width::D, RCX, R8);
        self.asm.bytes(&[
            0xC1, 0xE8, 11, // shr eax, 11
            0x24, 1, // and al, 1
            0x88, 0xCC, // mov ah, cl
            0x04, 0x7F, // add al, 0x7f
            0x9E, // sahf
        ]);
        self.asm.mov_rr(Width::Q, RAX, R9);
        self.asm.lea(Width::D, ESP, at(ESP, 4));
        let (n, float) = (self.n, self.float);
        self.islands.extend(slow.into_iter().map(|site| (site, Slow::Saved(n, float))));
        Some(())
    }

    /// CLI at CPL 0.
    fn clear_if(&mut self) -> Option<()> {
        if self.s.mode.v86() || self.s.mode.cpl() != 0 {
            return None;
        }
        // Without flags: take the bit out, and put zero in.
        self.asm.load(Width::D, RCX, at(CPU, SYSTEM_FLAGS));
        self.asm.mov_imm(R8, !flags::IF);
        self.asm.pext(RCX, RCX, R8);
        self.asm.pdep(RCX, RCX, R8);
        self.asm.store(Width::D, at(CPU, SYSTEM_FLAGS), RCX);
        Some(())
    }

    /// MOVNTI.
    fn store_general(&mut self, op: &Op) -> Option<()> {
        let mem = self.memory(op, 4, true)?;
        self.asm.store(Width::D, mem, GUEST[op.reg[1] as usize]);
        Some(())
    }

    /// DIV and IDIV, 32 bits. What the host would trap on goes the slow way.
    fn divide(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let signed = match insn.code() {
            Code::Div_rm32 => false,
            Code::Idiv_rm32 => true,
            _ => return None,
        };
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.load(Width::D, R8, mem);
        } else {
            self.asm.mov_rr(Width::D, R8, GUEST[op.reg[0] as usize]);
        }
        self.save_flags();
        let mut slow = Vec::new();
        if signed {
            // Only a dividend of 32 bits, and neither 0 nor -1 to divide by.
            self.asm.mov_rr(Width::D, RCX, RAX);
            self.asm.bytes(&[0xC1, 0xF9, 31]); // sar ecx, 31
            self.asm.rr(Width::D, &[0x3B], RCX, RDX);
            slow.push(self.asm.jcc(5));
            self.asm.lea(Width::D, RCX, at(R8, 1));
            self.asm.row_ri(Width::D, 7, RCX, 1);
            slow.push(self.asm.jcc(6));
        } else {
            self.asm.rr(Width::D, &[0x3B], RDX, R8);
            slow.push(self.asm.jcc(3));
        }
        self.asm.rr(Width::D, &[0xF7], if signed { 7 } else { 6 }, R8);
        if !self.has(EmitFault::DivideFlagsKept) {
            self.restore_flags();
        }
        let (n, float) = (self.n, self.float);
        self.islands.extend(slow.into_iter().map(|site| (site, Slow::Saved(n, float))));
        Some(())
    }

    /// Whether every arithmetic flag is written again before anything can look at it, or leave.
    fn flags_are_dead(&self) -> bool {
        let mut live = ARITH;
        for insn in &self.s.insns[self.n + 1..] {
            let plain = matches!(
                insn.mnemonic(),
                Mnemonic::Add
                    | Mnemonic::Sub
                    | Mnemonic::And
                    | Mnemonic::Or
                    | Mnemonic::Xor
                    | Mnemonic::Cmp
                    | Mnemonic::Test
                    | Mnemonic::Mov
                    | Mnemonic::Lea
                    | Mnemonic::Movzx
                    | Mnemonic::Movsx
                    | Mnemonic::Neg
            );
            let touches_memory = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory)
                && insn.mnemonic() != Mnemonic::Lea;
            let general = (0..insn.op_count()).all(|n| {
                let r = insn.op_register(n);
                insn.op_kind(n) != OpKind::Register || r.is_gpr8() || r.is_gpr16() || r.is_gpr32()
            });
            if !plain || touches_memory || !general || insn.rflags_read() & ARITH != 0 {
                return false;
            }
            live &= !insn.rflags_modified();
            if live == 0 {
                return true;
            }
        }
        false
    }

    fn xchg(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        let w = width(insn)?;
        if insn.op0_kind() == OpKind::Memory {
            if w == Width::B {
                return None;
            }
            let mem = self.memory(op, w.bytes(), true)?;
            let r = GUEST[op.reg[1] as usize];
            self.asm.load(w, R9, mem);
            self.asm.store(w, mem, r);
            self.asm.mov_rr(w, r, R9);
            return Some(());
        }
        if w == Width::B {
            return None;
        }
        let (a, b) = (GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
        self.asm.rr(w, &[0x87], a, b);
        Some(())
    }

    /// Jcc, SETcc, CMOVcc.
    fn conditional(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        let cc = match condition(insn)? {
            6 if self.has(EmitFault::BelowOrEqualIsBelow) => 2,
            cc => cc,
        };
        if insn.flow_control() == FlowControl::ConditionalBranch {
            if !is_wide_branch(insn) {
                return None;
            }
            let target = self.next.wrapping_add(op.imm);
            if target > self.s.mode.cs().bounds.1 {
                return None;
            }
            let taken = self.asm.jcc(cc);
            self.edge(1, self.next);
            if self.is_near(target) {
                self.near_edge(0, target, taken);
            } else {
                self.asm.bind(taken);
                self.far_edge(0, target);
            }
            return Some(Flow::End);
        }
        let is_set = insn.op_count() == 1;
        let w = width(insn)?;
        match (is_set, insn.op_kind(insn.op_count() - 1) == OpKind::Memory) {
            (true, true) => {
                let mem = self.memory(op, 1, true)?;
                self.asm.rm(Width::B, &[0x0F, 0x90 | cc], 0, mem);
            }
            (true, false) => {
                let (d, _) = self.pair(Width::B, op.reg[0], 0);
                self.asm.rr(Width::B, &[0x0F, 0x90 | cc], 0, d);
                self.put_back(Width::B, op.reg[0], 0, true);
            }
            (false, true) => {
                let mem = self.memory(op, w.bytes(), false)?;
                self.asm.rm(w, &[0x0F, 0x40 | cc], GUEST[op.reg[0] as usize], mem);
            }
            (false, false) if self.has(EmitFault::CmovAlways) => {
                self.asm.mov_rr(w, GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
            }
            (false, false) => {
                self.asm.rr(w, &[0x0F, 0x40 | cc], GUEST[op.reg[0] as usize], GUEST[op.reg[1] as usize]);
            }
        }
        Some(Flow::Next)
    }

    fn jmp(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        match insn.code() {
            Code::Jmp_rel8_32 | Code::Jmp_rel32_32 => {
                let target = self.next.wrapping_add(op.imm);
                if target > self.s.mode.cs().bounds.1 {
                    return None;
                }
                self.edge(0, target);
            }
            Code::Jmp_rm32 => {
                self.indirect_target(insn, op)?;
                self.indirect_limit();
                self.jump_to(self.s.dispatch);
            }
            _ => return None,
        }
        Some(Flow::End)
    }

    /// R8 := target of an indirect branch.
    fn indirect_target(&mut self, insn: &Instruction, op: &Op) -> Option<()> {
        if insn.op0_kind() == OpKind::Memory {
            let mem = self.memory(op, 4, false)?;
            self.asm.load(Width::D, R8, mem);
        } else {
            self.asm.mov_rr(Width::D, R8, GUEST[op.reg[0] as usize]);
        }
        Some(())
    }

    /// The target in R8 must be inside CS.
    fn indirect_limit(&mut self) {
        let limit = self.s.mode.cs().bounds.1;
        if limit == u32::MAX {
            return;
        }
        // RCX := all ones if the target is at most the limit, else zero: a negative difference has high bits.
        self.asm.mov_rr(Width::D, RCX, R8);
        self.not(RCX);
        self.asm.mov_imm(R9, limit);
        self.asm.lea(Width::Q, RCX, Mem { base: RCX, index: Some((R9, 0)), disp: 1 });
        self.asm.shift_x(Width::Q, 2, RCX, RCX, VIEW);
        self.not(RCX);
        self.check();
    }

    fn call(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        let indirect = match insn.code() {
            Code::Call_rel32_32 => false,
            Code::Call_rm32 => true,
            _ => return None,
        };
        let target = self.next.wrapping_add(op.imm);
        let spare = (offset_of!(Cpu, frame) + offset_of!(crate::jit::Frame, spare)) as i32;
        if indirect {
            self.indirect_target(insn, op)?;
            self.indirect_limit();
            self.asm.store(Width::D, at(CPU, spare), R8);
        } else if target > self.s.mode.cs().bounds.1 {
            return None;
        }
        self.on_stack(-4, true)?;
        self.asm.store_imm(Width::D, HOST, self.next);
        self.asm.lea(Width::D, ESP, at(ESP, -4));
        if indirect {
            self.asm.load(Width::D, R8, at(CPU, spare));
            self.jump_to(self.s.dispatch);
        } else {
            self.edge(0, target);
        }
        Some(Flow::End)
    }

    fn ret(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        let extra = match insn.code() {
            Code::Retnd => 0,
            Code::Retnd_imm16 if self.has(EmitFault::RetKeepsArguments) => 0,
            Code::Retnd_imm16 => op.imm & 0xFFFF,
            _ => return None,
        };
        self.on_stack(0, false)?;
        self.asm.load(Width::D, R8, HOST);
        self.indirect_limit();
        self.asm.lea(Width::D, ESP, at(ESP, 4 + extra as i32));
        self.jump_to(self.s.dispatch);
        Some(Flow::End)
    }

    // Registers. The guest's ECX is not in the host's, so CL and CH beside AH, CH, DH or BH go through RCX.

    /// Host registers of guest registers `d` and `s`.
    fn pair(&mut self, w: Width, d: u8, s: u8) -> (Reg, Reg) {
        if w != Width::B || d < 4 && s < 4 {
            return (GUEST[d as usize], GUEST[s as usize]);
        }
        if self.has(EmitFault::HighByteIsLow) {
            return (GUEST[d as usize & 3], GUEST[s as usize & 3]);
        }
        if uses_ecx(d) || uses_ecx(s) {
            self.asm.mov_rr(Width::D, RCX, ECX);
        }
        (d, s)
    }

    /// After [`Self::pair`], if the first was changed.
    fn put_back(&mut self, w: Width, d: u8, s: u8, changed: bool) {
        let through_ecx = w == Width::B && !(d < 4 && s < 4) && uses_ecx(d);
        if through_ecx && changed && !self.has(EmitFault::HighByteIsLow) {
            self.asm.mov_rr(Width::D, ECX, RCX);
        }
    }

    fn register_beside_memory(&mut self, w: Width, r: u8, op: &Op, write: bool) -> Option<(Reg, Mem)> {
        if w == Width::B && r >= 4 {
            if r == 5 {
                return None;
            }
            return Some((r, self.memory_legacy(op, write)?));
        }
        Some((GUEST[r as usize], self.memory(op, w.bytes(), write)?))
    }
}

/// Offset in the `Cpu` of a field of a segment register.
const fn segment_field(seg: SegReg, field: usize) -> i32 {
    (offset_of!(Cpu, regs.seg) + seg as usize * size_of::<Segment>() + field) as i32
}

/// Offset in the `Cpu` of the flags that are not arithmetic.
const SYSTEM_FLAGS: i32 = (offset_of!(Cpu, regs.flags) + Flags::SYSTEM) as i32;

/// The checked operand.
const HOST: Mem = Mem { base: RCX, index: Some((R8, 0)), disp: 0 };

fn uses_ecx(byte: u8) -> bool {
    matches!(byte, 1 | 5)
}

enum Byte {
    Low(Reg),
    High(Reg),
}

fn byte_register(n: u8) -> Byte {
    if n < 4 { Byte::Low(GUEST[n as usize]) } else { Byte::High(n) }
}

/// Low bytes of EAX, EDX, EBX need no REX and that of R14 gets one anyway.
fn needs_rex(r: Reg) -> Option<Reg> {
    (!(4..8).contains(&r)).then_some(r)
}

/// Width of operand 0 (of operand 1 if that is memory without a size of its own).
fn width(insn: &Instruction) -> Option<Width> {
    let size = match insn.op0_kind() {
        OpKind::Register => insn.op0_register().size(),
        OpKind::Memory => insn.memory_size().size(),
        _ => return None,
    };
    match size {
        1 => Some(Width::B),
        2 => Some(Width::W),
        4 => Some(Width::D),
        _ => None,
    }
}

/// The branch keeps all 32 bits of EIP.
fn is_wide_branch(insn: &Instruction) -> bool {
    insn.op0_kind() == OpKind::NearBranch32
}

/// The condition's number in the opcode.
fn condition(insn: &Instruction) -> Option<u8> {
    use iced_x86::ConditionCode as C;
    Some(match insn.condition_code() {
        C::o => 0,
        C::no => 1,
        C::b => 2,
        C::ae => 3,
        C::e => 4,
        C::ne => 5,
        C::be => 6,
        C::a => 7,
        C::s => 8,
        C::ns => 9,
        C::p => 10,
        C::np => 11,
        C::l => 12,
        C::ge => 13,
        C::le => 14,
        C::g => 15,
        C::None => return None,
    })
    .filter(|_| !matches!(insn.mnemonic(), Mnemonic::Loope | Mnemonic::Loopne))
}

/// Writes every arithmetic flag.
fn kills(insn: &Instruction) -> bool {
    use Mnemonic::*;
    matches!(insn.mnemonic(), Add | Sub | Adc | Sbb | And | Or | Xor | Cmp | Test | Neg | Imul | Mul)
        || matches!(insn.mnemonic(), Comiss | Comisd | Ucomiss | Ucomisd)
        || matches!(insn.mnemonic(), Shl | Sal | Shr | Sar) && insn.op1_kind() != OpKind::Register
}

/// All its registers are general ones.
pub(super) fn is_general(insn: &Instruction) -> bool {
    (0..insn.op_count()).all(|n| {
        let r = insn.op_register(n);
        insn.op_kind(n) != OpKind::Register || r.is_gpr8() || r.is_gpr16() || r.is_gpr32()
    })
}

/// Whether there is a chance that no handler runs. If one does after all, its only effect on groups is that they are
/// checked one by one.
pub(super) fn may_be_in_line(insn: &Instruction) -> bool {
    use Mnemonic::*;
    kills(insn)
        || leaves_flags(insn)
        || reads_only(insn)
        || matches!(insn.mnemonic(), Inc | Dec | Rol | Ror | Shl | Shr | Sar | Div | Idiv | Call | Ret | Jmp)
        || insn.flow_control() == FlowControl::ConditionalBranch
}

/// Touches no arithmetic flag, and has code in line.
fn leaves_flags(insn: &Instruction) -> bool {
    use Mnemonic::*;
    uses_xmm(insn)
        || is_general(insn)
            && matches!(
                insn.mnemonic(),
                Mov | Lea
                    | Movzx
                    | Movsx
                    | Push
                    | Pop
                    | Xchg
                    | Not
                    | Bswap
                    | Cdq
                    | Cwde
                    | Cbw
                    | Cwd
                    | Nop
                    | Leave
            )
}

/// SETcc and CMOVcc.
fn reads_only(insn: &Instruction) -> bool {
    insn.condition_code() != iced_x86::ConditionCode::None && insn.flow_control() == FlowControl::Next
}

/// Whether `insn`, one of those above, may write host register `r`.
fn writes(insn: &Instruction, r: Reg) -> bool {
    use Mnemonic::*;
    let names = |n: u32| {
        insn.op_kind(n) == OpKind::Register
            && GUEST.get(insn.op_register(n).full_register32().number()) == Some(&r)
    };
    match insn.mnemonic() {
        Cdq | Cwd | Mul => r == RAX || r == RDX,
        Imul if insn.op_count() == 1 => r == RAX || r == RDX,
        Cwde | Cbw => r == RAX,
        Push => r == ESP,
        Comiss | Comisd | Ucomiss | Ucomisd => false,
        Pop | Leave => true,
        Xchg => names(0) || names(1),
        Cmp | Test => false,
        _ => insn.op_count() > 0 && names(0),
    }
}

/// Instructions in the middle of a block that may change what the code takes for granted.
fn changes_mode(insn: &Instruction) -> bool {
    (0..insn.op_count()).any(|n| insn.op_register(n).is_segment_register())
        || (0..insn.op_count()).any(|n| insn.op_register(n).is_cr())
        || matches!(
            insn.mnemonic(),
            Mnemonic::Clts
                | Mnemonic::Lmsw
                | Mnemonic::Ldmxcsr
                | Mnemonic::Fxrstor
                | Mnemonic::Lds
                | Mnemonic::Les
                | Mnemonic::Lfs
                | Mnemonic::Lgs
                | Mnemonic::Lss
        )
}
