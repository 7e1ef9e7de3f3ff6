//! Accesses of a block that differ only in their displacement: the stack above all.
//!
//! One check for the whole range they cover takes the place of one each. It finds the host address of the first byte, which
//! is kept in a register or in the frame: an access is one instruction, or two. If the range is not in one page, or not permitted,
//! the block is left for a *plain* one, which begins with the same instruction and has no groups. A handler may change what
//! is mapped, so behind one that had to run in the middle of a group the code is left, too, for a block that begins there.

use super::property::{is_general, may_be_in_line};
use super::x87;
use crate::decode::{Op, Prefix};
use crate::regs::gpr::{EBP, ESP};
use crate::seg::SegReg;
use iced_x86::{Instruction, InstructionInfoFactory, Mnemonic, OpAccess, OpKind};

/// Groups kept at a time, and so places in the frame.
pub(in crate::jit) const SLOTS: usize = 4;
/// Accesses that make a group worth its check, and those of a byte or a double word, whose check is short.
const WORTH_IT: u32 = 3;
const WORTH_A_SHORT_ONE: u32 = 2;
/// Bytes that a group covers at most: the longer, the more often it crosses a page.
const LONGEST: i64 = 256;

/// Accesses checked together.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Group {
    /// First byte, as a displacement, ESP being what it was at the beginning.
    low: i32,
    /// Bytes.
    pub len: u32,
    /// Some access writes.
    pub write: bool,
    /// Number of the last instruction that belongs to it.
    pub last: usize,
    uses: u32,
}

/// An access of a group.
#[derive(Clone, Copy, Debug)]
pub(super) struct Use {
    pub group: usize,
    /// How far behind the first byte of the group it is.
    pub at: i32,
}

/// The accesses of an instruction that belong to groups.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Planned {
    /// Of the explicit memory operand.
    pub operand: Option<Use>,
    /// Of the implicit one on the stack.
    pub stack: Option<Use>,
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

    /// Put an access of `size` bytes at displacement `disp` into a group. Where it is in the group is said as a displacement.
    fn add(&mut self, key: Key, disp: i32, size: u32, write: bool) -> Use {
        let moved = if key.base.0 as usize == ESP { self.moved } else { 0 };
        let disp = disp.wrapping_add(moved);
        let last = self.planned.len();
        for n in self.barrier..self.open.len() {
            let open = &mut self.open[n];
            if open.key != key {
                continue;
            }
            // Wide, or displacements near both ends of what there is would seem to be neighbours.
            let end = |low: i32, len: u32| i64::from(low) + i64::from(len);
            let low = open.group.low.min(disp);
            let len = end(open.group.low, open.group.len).max(end(disp, size)) - i64::from(low);
            if len <= LONGEST {
                let (len, uses) = (len as u32, open.group.uses + 1);
                open.group = Group { low, len, write: open.group.write | write, last, uses };
                return Use { group: n, at: disp };
            }
        }
        self.open.push(Open { key, group: Group { low: disp, len: size, write, last, uses: 1 } });
        Use { group: self.open.len() - 1, at: disp }
    }

    fn stack(&mut self, disp: i32, write: bool) -> Use {
        let key = self.key(SegReg::Ss, ESP as u8, 8, 0);
        self.add(key, disp, 4, write)
    }

    /// The groups worth their check, none for a plain block. Which accesses belong to them is in `planned`.
    pub fn plan(&mut self, insns: &[Instruction], ops: &[Op], plain: bool) -> [Group; SLOTS] {
        use Mnemonic::*;
        (self.versions, self.moved, self.barrier) = ([0; 8], 0, 0);
        self.open.clear();
        self.planned.clear();
        if plain {
            self.planned.resize(ops.len(), Planned::default());
            return Default::default();
        }
        for (insn, op) in insns.iter().zip(ops) {
            let mut uses = Planned::default();
            // One with a constant that is written to is left to its handler.
            let soft = op.has(Prefix::SOFT);
            if soft || !may_be_in_line(insn) {
                self.barrier = self.open.len();
            }
            let explicit = (0..insn.op_count()).any(|n| insn.op_kind(n) == OpKind::Memory);
            let size = insn.memory_size().size() as u32;
            let ea = &op.ea;
            let plain = ea.mask == u32::MAX && ea.base < 8 && (ea.seg as u8) < SegReg::Fs as u8;
            if explicit
                && !soft
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
                _ if soft => constant = false,
                Push if size_of_push(insn) == 4 => {
                    uses.stack = Some(self.stack(-4, true));
                    self.moved = self.moved.wrapping_sub(4);
                }
                Call => uses.stack = Some(self.stack(-4, true)),
                Pop if size_of_push(insn) == 4 && op.reg[0] as usize != ESP => {
                    uses.stack = Some(self.stack(0, false));
                    self.moved = self.moved.wrapping_add(4);
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
        best.extend((0..open.len()).filter(|&n| {
            let group = open[n].group;
            group.uses >= if matches!(group.len, 1 | 4) { WORTH_A_SHORT_ONE } else { WORTH_IT }
        }));
        // The first one's place is a register.
        best.sort_unstable_by_key(|&n| (std::cmp::Reverse(open[n].group.uses), n));
        best.truncate(SLOTS);
        let renumber = |used: Option<Use>| {
            let Use { group, at } = used?;
            let at = at.wrapping_sub(open[group].group.low);
            best.iter().position(|&b| b == group).map(|group| Use { group, at })
        };
        for uses in &mut self.planned {
            uses.operand = renumber(uses.operand);
            uses.stack = renumber(uses.stack);
        }
        let mut groups = [Group::default(); SLOTS];
        for (group, &n) in groups.iter_mut().zip(best.iter()) {
            *group = open[n].group;
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
