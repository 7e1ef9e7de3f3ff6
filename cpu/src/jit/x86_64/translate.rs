//! From the instructions of a block to host code.
//!
//! Every instruction has two forms: its handler, called with all registers in the `Cpu`, and for the common ones
//! code in line. In-line code changes nothing before its last check has passed; a check that fails goes to the
//! handler, which does the whole instruction, faults included. So there is one slow path, and it is the reference.
//!
//! No check touches the host's flags, because they are the guest's.

use super::asm::{Asm, Mem, R8, RAX, RCX, RDX, Reg, Width, at};
use super::groups::{Group, Planned, Planner, SLOTS};
use super::host::Quirks;
use super::property::*;
use super::simd::uses_xmm;
use super::slow::{After, Slow};
use super::string::string;
use super::stubs::{CPU_BIAS, EIP, Stubs};
use super::wrong_flags::Wrong;
use super::x87::{Known, is_listed};
use crate::decode::{Op, Prefix};
use crate::jit::{EDGES, EmitFault, Leave, Mode};
use crate::mmu::flat;
use iced_x86::{Code, FlowControl, Instruction, Mnemonic, RflagsBits};

/// Host registers of the guest's.
pub(super) const GUEST: [Reg; 8] = [RAX, 14, RDX, 3, 15, 5, 6, 7];
pub(super) const ECX: Reg = 14;
pub(super) const ESP: Reg = 15;
pub(super) const CPU: Reg = 11;
/// What is at `offset` in the `Cpu`.
pub(super) const fn of_cpu(offset: i32) -> Mem {
    at(CPU, offset - CPU_BIAS)
}
pub(super) const BUDGET: Reg = 12;
pub(super) const VIEW: Reg = 13;

/// Told from instruction numbers.
pub(super) const SAVED: usize = 1 << 16;
/// Bytes of code that begins a section, at most.
const SECTION_CODE: usize = 8;
/// How far JRCXZ reaches.
pub(super) const REACH: usize = 127;

pub(super) const ARITH: u32 =
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
    /// Address of the byte that is 0 while the block is put aside, if it may be.
    pub awake: Option<u64>,
    pub mode: &'a Mode,
    /// Accesses are checked one by one.
    pub plain: bool,
    /// Accesses look first whether they are at the distance that most pages of the view have.
    pub usual: bool,
    /// Number of the block's first edge.
    pub edge: u32,
    /// Where the code will be, and where that which is rarely executed will be.
    pub at: usize,
    pub rare_at: usize,
    /// Where the search for indirect targets of this mode is, and its code as far as the jump table has them.
    pub dispatch: usize,
    pub look_up: &'a [u8],
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
    /// It leads to a plain block.
    pub plain: bool,
}

/// Host code of a block. Places are offsets in the code memory.
pub(in crate::jit) struct Translated {
    pub code: Vec<u8>,
    /// Where in it that begins which belongs to `rare_at`.
    pub rare: usize,
    pub edges: Vec<EdgeSite>,
    /// Instructions with code in line.
    pub inlined: u32,
    /// Where the code of each instruction ends, from the start of the block's.
    pub ends: Vec<u32>,
}

/// Where the flow goes after an instruction.
#[derive(Clone, Copy)]
pub(super) enum Flow {
    Next,
    End,
}

pub(super) struct Translator<'a> {
    pub s: &'a Source<'a>,
    pub asm: Asm,
    /// Where the code that is rarely executed begins: ways out and slow paths.
    pub rare: usize,
    /// Instruction being translated, its EIP, and the next one's.
    pub n: usize,
    pub eip: u32,
    pub next: u32,
    /// JRCXZ that have no island yet.
    pub checks: Vec<(usize, Slow)>,
    /// Islands that wait for their slow path: place of the rel32.
    pub islands: Vec<(usize, Slow)>,
    /// Edges that wait for their stub: number, place of the rel32.
    pub stubs: Vec<(usize, usize)>,
    /// Guards of edges: number, page, place of the rel32 where they fail, and where they begin.
    pub misses: Vec<(usize, u32, usize, usize)>,
    pub after: Vec<After>,
    pub eips: Vec<u32>,
    /// How many instructions, from each on, have been taken off the budget with it.
    pub left: Vec<u32>,
    pub edges: Vec<EdgeSite>,
    pub inlined: u32,
    pub failed: bool,
    /// Before the instruction being translated, and after it.
    pub wrong: Wrong,
    pub then: Wrong,
    /// MXCSR is the guest's.
    pub float: bool,
    pub x87: Known,
    pub groups: [Group; SLOTS],
    pub planned: &'a [Planned],
    /// Groups whose check has been made.
    pub found: [bool; SLOTS],
    /// R10 has the address of the first group.
    pub held: bool,
    /// So has the frame.
    pub stored: bool,
    /// Where the check of the last access begins, R8 being linear, if it depends on nothing but the flat view.
    pub linear_at: Option<usize>,
}

/// What translations need room for, kept from one to the next: most blocks are short, and asking for memory costs more than filling
/// it.
#[derive(Default)]
pub(in crate::jit) struct Scratch {
    /// The last translation's code goes here when it is not needed any more.
    pub code: Vec<u8>,
    checks: Vec<(usize, Slow)>,
    islands: Vec<(usize, Slow)>,
    stubs: Vec<(usize, usize)>,
    after: Vec<After>,
    eips: Vec<u32>,
    left: Vec<u32>,
    planner: Planner,
}

/// The room in `buffer`, empty.
fn room<T>(buffer: &mut Vec<T>) -> Vec<T> {
    buffer.clear();
    std::mem::take(buffer)
}

/// `None` if the code would not fit its own short jumps.
pub(in crate::jit) fn translate(s: &Source<'_>, scratch: &mut Scratch) -> Option<Translated> {
    let mut planner = std::mem::take(&mut scratch.planner);
    let groups = planner.plan(s.insns, s.ops, s.plain);
    let mut t = Translator {
        s,
        asm: Asm { buf: room(&mut scratch.code) },
        rare: usize::MAX,
        n: 0,
        eip: s.eip,
        next: s.eip,
        checks: room(&mut scratch.checks),
        islands: room(&mut scratch.islands),
        stubs: room(&mut scratch.stubs),
        misses: Vec::new(),
        after: room(&mut scratch.after),
        eips: room(&mut scratch.eips),
        left: room(&mut scratch.left),
        edges: Vec::new(),
        inlined: 0,
        failed: false,
        wrong: Wrong::Nothing,
        then: Wrong::Nothing,
        float: false,
        x87: Known::default(),
        groups,
        planned: &planner.planned,
        found: [false; SLOTS],
        held: false,
        stored: false,
        linear_at: None,
    };
    t.block();
    let Translator { asm, rare, checks, islands, stubs, after, eips, left, edges, inlined, failed, .. } = t;
    let ends = after.iter().map(|a| a.pos as u32).collect();
    let code = asm.buf;
    *scratch = Scratch { code: Vec::new(), checks, islands, stubs, after, eips, left, planner };
    if failed {
        scratch.code = code;
        return None;
    }
    Some(Translated { ends, code, rare, edges, inlined })
}

impl Translator<'_> {
    /// This is to be done wrong.
    pub(super) fn has(&self, fault: EmitFault) -> bool {
        self.s.fault == Some(fault)
    }

    pub(super) fn block(&mut self) {
        self.count_sections();
        self.check_awake();
        let all = self.s.ops.len() as i32 - self.has(EmitFault::BudgetShort) as i32;
        if self.sections() == 1 {
            self.asm.lea(Width::Q, BUDGET, at(BUDGET, -all));
            self.asm.shift_x(Width::Q, 3, RCX, BUDGET, VIEW);
        } else {
            self.asm.lea(Width::Q, RCX, at(BUDGET, -all));
            self.asm.shift_x(Width::Q, 3, RCX, RCX, VIEW);
        }
        let site = self.asm.jrcxz();
        self.checks.push((site, Slow::Budget));
        if let Some((page, frame)) = self.s.tail {
            self.guard_tail(page, frame);
        }
        let mut flow = Flow::Next;
        for n in 0..self.s.ops.len() {
            self.n = n;
            self.begin_section();
            self.eip = self.next;
            self.eips.push(self.eip);
            self.next = self.eip.wrapping_add(self.s.ops[n].len as u32);
            flow = self.one();
            self.wrong = self.then;
            let in_group = self.groups.iter().zip(self.found).any(|(g, found)| found && g.last > n);
            self.after.push(After {
                pos: self.asm.pos(),
                float: self.float,
                x87: self.x87.resident,
                in_group,
            });
            if matches!(flow, Flow::End) {
                break;
            }
        }
        if matches!(flow, Flow::Next) {
            self.fall_out();
        }
        self.flush_islands();
        self.rare = self.asm.pos();
        // Slow paths come from anywhere: what R10 has at the end means nothing there.
        self.held = false;
        self.edge_stubs();
        self.slow_paths();
        self.failed |= self.edges.len() > EDGES as usize;
    }

    /// A block that is put aside leads on to the one that is there instead.
    fn check_awake(&mut self) {
        if let Some(awake) = self.s.awake.filter(|_| !self.has(EmitFault::SleepUnseen)) {
            self.asm.mov_imm64(RCX, awake);
            self.asm.rm(Width::D, &[0x0F, 0xB6], RCX, at(RCX, 0));
            let site = self.asm.jrcxz();
            self.checks.push((site, Slow::Asleep));
        }
    }

    /// Behind the last instruction if the flow goes on there: in reach of the checks before it.
    fn fall_out(&mut self) {
        let (mark, wrong) = (self.asm.pos(), self.wrong);
        let edges = self.edges.len();
        for fresh in [false, true] {
            if fresh {
                self.asm.buf.truncate(mark);
                self.forget_edges(edges);
                self.wrong = wrong;
                self.islands_here();
            }
            self.put_right();
            self.edge(self.next);
            if self.islands_reach() {
                break;
            }
        }
    }

    /// The page where the block goes on must be where it was; if it has to be looked up, that is done here; if it is another, the
    /// interpreter sees to it.
    pub(super) fn guard_tail(&mut self, page: u32, frame: u32) {
        let compare = |t: &mut Self| {
            t.asm.load(Width::D, RCX, at(VIEW, flat::FETCH_FRAME + page as i32 * 8));
            t.asm.lea(Width::D, RCX, at(RCX, -(frame as i32 + 1)));
            t.asm.jrcxz()
        };
        let fine = compare(self);
        self.asm.mov_imm(R8, page << 12);
        self.call_place(self.s.stubs.refill_fetch);
        let known = compare(self);
        self.leave_before();
        self.failed |= !self.asm.bind8(fine) || !self.asm.bind8(known);
    }

    /// Leave as if the block had not begun.
    pub(super) fn leave_before(&mut self) {
        if self.sections() == 1 {
            self.asm.lea(Width::Q, BUDGET, at(BUDGET, self.s.ops.len() as i32));
        }
        self.asm.store_imm(Width::D, of_cpu(EIP), self.s.eip);
        self.leave(Leave::Budget);
    }

    /// Forget all edges but the first `n`.
    fn forget_edges(&mut self, n: usize) {
        self.edges.truncate(n);
        self.stubs.retain(|stub| stub.0 < n);
        self.misses.retain(|miss| miss.0 < n);
    }

    /// A block goes on behind branches inside it if they are not taken. The parts between them are *sections*: the check at the
    /// block's head is for all of it, but instructions are taken off the budget section by section, so that a branch that is taken
    /// owes nothing.
    fn count_sections(&mut self) {
        self.left.resize(self.s.ops.len(), 0);
        let mut left = 0;
        for n in (0..self.s.ops.len()).rev() {
            left =
                if self.s.insns[n].flow_control() == FlowControl::ConditionalBranch { 1 } else { left + 1 };
            self.left[n] = left;
        }
    }

    /// How many sections there are.
    fn sections(&self) -> usize {
        1 + self.left[..self.left.len() - 1].iter().filter(|&&left| left == 1).count()
    }

    /// Take the section that begins with this instruction off the budget.
    fn begin_section(&mut self) {
        let begins = self.n == 0 || self.left[self.n - 1] == 1;
        let owed = self.has(EmitFault::SectionOwed);
        if begins && self.sections() > 1 && (self.n == 0 || !owed) {
            if self.n != 0 && !self.islands_reach_over(SECTION_CODE) {
                self.islands_here();
            }
            let taken_off = if owed { self.s.ops.len() as u32 } else { self.left[self.n] };
            self.asm.lea(Width::Q, BUDGET, at(BUDGET, -(taken_off as i32)));
        }
    }

    /// Instruction `n`: in line if it can be, after islands if it would take a check too far from its own.
    pub(super) fn one(&mut self) -> Flow {
        let (op, insn) = (&self.s.ops[self.n], self.s.insns[self.n]);
        for fresh in [false, true] {
            if fresh {
                self.islands_here();
            }
            let mark = (self.asm.pos(), self.checks.len(), self.islands.len(), self.edges.len());
            let (wrong, float, x87) = (self.wrong, self.float, self.x87);
            let found = (self.found, self.held, self.stored);
            let soft = op.has(Prefix::SOFT);
            if soft || !self.may_stay_wrong(&insn) {
                self.put_right();
            }
            let writes_af = matches!(insn.mnemonic(), Mnemonic::Inc | Mnemonic::Dec);
            self.then = if kills(&insn) || writes_af { Wrong::Nothing } else { self.wrong };
            let flow = if soft { self.soft(&insn, op).map(|()| Flow::Next) } else { self.insn(&insn, op) };
            if let Some(flow) = flow
                && self.islands_reach()
            {
                self.inlined += 1;
                return flow;
            }
            (self.wrong, self.float, self.x87) = (wrong, float, x87);
            (self.found, self.held, self.stored) = found;
            self.asm.buf.truncate(mark.0);
            self.checks.truncate(mark.1);
            self.islands.truncate(mark.2);
            self.forget_edges(mark.3);
            if flow.is_none() {
                break;
            }
        }
        let (mark, wrong, float, x87) = (self.asm.pos(), self.wrong, self.float, self.x87);
        let flow = self.call_handler(&insn);
        if !self.islands_reach() {
            self.asm.buf.truncate(mark);
            (self.wrong, self.float, self.x87) = (wrong, float, x87);
            self.islands_here();
            return self.call_handler(&insn);
        }
        flow
    }

    /// Code in line for one instruction; `None` if there is none.
    pub(super) fn insn(&mut self, insn: &Instruction, op: &Op) -> Option<Flow> {
        use Mnemonic::*;
        match insn.mnemonic() {
            _ if moves_segment(insn) => self.move_segment(insn, op),
            Add => self.binary(insn, op, 0),
            Or => self.binary(insn, op, 1),
            Adc => self.binary(insn, op, if self.has(EmitFault::CarryInLost) { 0 } else { 2 }),
            Sbb => self.binary(insn, op, if self.has(EmitFault::BorrowInLost) { 5 } else { 3 }),
            And => self.binary(insn, op, 4),
            Sub => self.binary(insn, op, 5),
            Xor => self.binary(insn, op, 6),
            Cmp => self.binary(insn, op, 7),
            Test => self.test(insn, op),
            Mov if insn.code() == Code::Mov_r32_cr => self.read_control(op),
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
            Sti => self.set_if(),
            Rdtsc => self.read_time(),
            Cld => self.direction(false),
            Std => self.direction(true),
            _ if string(insn).is_some() => self.string(insn, op),
            _ if uses_xmm(insn) => self.simd(insn, op),
            _ if is_listed(insn) => self.x87(insn, op),
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
}
