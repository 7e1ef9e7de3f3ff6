//! Accesses of a block that differ only in their displacement: the stack above all.
//!
//! One check for the whole range they cover takes the place of one each. It finds what to add to a linear address in
//! that page, or 0 if the range is not in one page, or not permitted; the result is kept in the frame. An access then
//! takes four instructions. If it finds 0 there (the range crossed a page, or a handler ran meanwhile, after which
//! nothing is known) it makes its own check, out of line.

use super::property::{is_general, may_be_in_line};
use super::x87;
use crate::decode::Op;
use crate::regs::gpr::{EBP, ESP};
use crate::seg::SegReg;
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind};

/// Groups kept at a time, and so places in the frame.
pub(in crate::jit) const SLOTS: usize = 4;
/// Accesses that make a group worth its check.
const WORTH_IT: u32 = 3;
/// Bytes that a group covers at most: the longer, the more often it crosses a page.
const LONGEST: i32 = 256;

/// Accesses checked together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// First byte, as a displacement of the operand at the first access.
    pub low: i32,
    /// Bytes.
    pub len: u32,
    /// Some access writes.
    pub write: bool,
    /// Place in the frame.
    pub slot: usize,
    uses: u32,
}

/// The accesses of an instruction that belong to groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Planned {
    /// Of the explicit memory operand.
    pub operand: Option<usize>,
    /// Of the implicit one on the stack.
    pub stack: Option<usize>,
}

/// What two accesses must have in common.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Key {
    seg: SegReg,
    base: (u8, u32),
    index: (u8, u32),
    scale: u8,
}

struct Open {
    key: Key,
    group: Group,
    /// How far ESP had moved at the first access.
    moved: i32,
}

/// Goes through blocks, one at a time, and finds their groups.
pub(super) struct Planner {
    /// How often each register was written.
    versions: [u32; 8],
    /// Constant by which ESP has moved since it was last written otherwise.
    moved: i32,
    open: Vec<Open>,
    /// Number of groups that were closed because a handler may run.
    barrier: usize,
    /// Which accesses of each instruction belong to the groups that were found worth their check.
    pub planned: Vec<Planned>,
    best: Vec<usize>,
    info: InstructionInfoFactory,
}

impl Default for Planner {
    fn default() -> Planner {
        Planner {
            versions: [0; 8],
            moved: 0,
            open: Vec::new(),
            barrier: 0,
            planned: Vec::new(),
            best: Vec::new(),
            info: InstructionInfoFactory::new(),
        }
    }
}

impl Planner {
    fn key(&self, seg: SegReg, base: u8, index: u8, scale: u8) -> Key {
        let version = |r: u8| (r, self.versions.get(r as usize).copied().unwrap_or(0));
        Key { seg, base: version(base), index: version(index), scale }
    }

    /// Put an access of `size` bytes at displacement `disp` into a group.
    fn add(&mut self, key: Key, disp: i32, size: u32, write: bool) -> usize {
        let moved = if key.base.0 as usize == ESP { self.moved } else { 0 };
        let disp = disp.wrapping_add(moved);
        for n in self.barrier..self.open.len() {
            let open = &mut self.open[n];
            if open.key != key {
                continue;
            }
            let low = open.group.low + open.moved;
            let end = low + open.group.len as i32;
            let (new_low, new_end) = (low.min(disp), end.max(disp.wrapping_add(size as i32)));
            if new_end.wrapping_sub(new_low) <= LONGEST && new_end > new_low {
                open.group.low = new_low - open.moved;
                open.group.len = (new_end - new_low) as u32;
                open.group.write |= write;
                open.group.uses += 1;
                return n;
            }
        }
        let group = Group { low: disp.wrapping_sub(moved), len: size, write, slot: 0, uses: 1 };
        self.open.push(Open { key, group, moved });
        self.open.len() - 1
    }

    fn stack(&mut self, disp: i32, write: bool) -> usize {
        let key = self.key(SegReg::Ss, ESP as u8, 8, 0);
        self.add(key, disp, 4, write)
    }

    /// The groups worth their check. Which accesses belong to them is in `planned`.
    pub fn plan(&mut self, insns: &[Instruction], ops: &[Op]) -> [Group; SLOTS] {
        use Mnemonic::*;
        (self.versions, self.moved, self.barrier) = ([0; 8], 0, 0);
        self.open.clear();
        self.planned.clear();
        for (insn, op) in insns.iter().zip(ops) {
            let mut uses = Planned::default();
            if !may_be_in_line(insn) {
                self.barrier = self.open.len();
            }
            let explicit = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
            let size = insn.memory_size().size() as u32;
            let ea = &op.ea;
            let plain = ea.mask == u32::MAX && ea.base < 8 && (ea.seg as u8) < SegReg::Fs as u8;
            if explicit
                && plain
                && matches!(size, 1 | 2 | 4 | 8)
                && insn.mnemonic() != Lea
                && is_general(insn)
            {
                let reads_only =
                    matches!(insn.mnemonic(), Cmp | Test | Push | Mul | Imul | Div | Idiv | Jmp | Call)
                        || x87::only_reads(insn);
                let write = insn.op0_kind() == OpKind::Memory && !reads_only;
                let key = self.key(ea.seg, ea.base, ea.index, ea.scale);
                uses.operand = Some(self.add(key, ea.disp as i32, size, write));
            }
            // The stack, and constant changes of ESP.
            let mut constant = true;
            match insn.mnemonic() {
                Push if size_of_push(insn) == 4 => {
                    uses.stack = Some(self.stack(-4, true));
                    self.moved -= 4;
                }
                Call => uses.stack = Some(self.stack(-4, true)),
                Pop if size_of_push(insn) == 4 && op.reg[0] as usize != ESP => {
                    uses.stack = Some(self.stack(0, false));
                    self.moved += 4;
                }
                Ret => uses.stack = Some(self.stack(0, false)),
                Leave => {
                    let key = self.key(SegReg::Ss, EBP as u8, 8, 0);
                    uses.stack = Some(self.add(key, 0, 4, false));
                    constant = false;
                }
                Add | Sub
                    if is_esp(insn)
                        && insn.op1_kind() != OpKind::Register
                        && insn.op1_kind() != OpKind::Memory =>
                {
                    let by = op.imm as i32;
                    self.moved =
                        self.moved.wrapping_add(if insn.mnemonic() == Add { by } else { by.wrapping_neg() });
                }
                _ => constant = false,
            }
            for used in self.info.info(insn).used_registers() {
                let writes = matches!(
                    used.access(),
                    OpAccess::Write | OpAccess::ReadWrite | OpAccess::CondWrite | OpAccess::ReadCondWrite
                );
                let full = used.register().full_register32();
                if writes && full.is_gpr32() && !(constant && full.number() == ESP) {
                    self.versions[full.number()] += 1;
                    if full.number() == ESP {
                        self.moved = 0;
                    }
                }
            }
            self.planned.push(uses);
        }
        self.choose()
    }

    fn choose(&mut self) -> [Group; SLOTS] {
        let (open, best) = (&self.open, &mut self.best);
        best.clear();
        best.extend((0..open.len()).filter(|&n| open[n].group.uses >= WORTH_IT));
        best.sort_unstable_by_key(|&n| (std::cmp::Reverse(open[n].group.uses), n));
        best.truncate(SLOTS);
        let renumber = |n: Option<usize>| n.and_then(|n| best.iter().position(|&b| b == n));
        for uses in &mut self.planned {
            uses.operand = renumber(uses.operand);
            uses.stack = renumber(uses.stack);
        }
        let mut groups = [Group::default(); SLOTS];
        for (slot, (group, &n)) in groups.iter_mut().zip(best.iter()).enumerate() {
            *group = Group { slot, ..open[n].group };
        }
        groups
    }
}

fn is_esp(insn: &Instruction) -> bool {
    insn.op0_kind() == OpKind::Register && insn.op0_register() == iced_x86::Register::ESP
}

/// Bytes that PUSH or POP moves.
fn size_of_push(insn: &Instruction) -> u32 {
    insn.stack_pointer_increment().unsigned_abs()
}
