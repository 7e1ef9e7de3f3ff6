//! Loops that wait for a port: IN, a test, and a jump back to the IN.
//!
//! Virtual time passes with instructions, so a wait for ten milliseconds is ten million of them, nearly all of which
//! find nothing new. The bus knows until when a port stays as it is ([`crate::bus::Bus::port_steady`]); the turns
//! before that are counted and not executed. What is left is what executing them leaves: every turn loads the same
//! value and tests it with the same result, and the skip ends before anything else could happen.

use super::EmitFault;
use crate::Cpu;
use crate::bus::Width;
use crate::decode::{Op, Prefix};
use crate::regs::gpr::{EAX, EDX};
use iced_x86::{Code, ConditionCode, Instruction, OpKind, Register};

/// Instructions of such a loop.
const TURN: u64 = 3;

/// Whether a block, decoded as if it lay at 0, is such a loop: IN to AL, an instruction that depends on AL alone and
/// changes flags and at most AL, and a jump to the IN that depends on flags alone.
fn is_poll(insns: &[Instruction]) -> bool {
    let [read, test, branch] = insns else { return false };
    let of_al = match test.code() {
        Code::Test_AL_imm8 | Code::And_AL_imm8 | Code::Cmp_AL_imm8 => true,
        Code::Test_rm8_r8 => {
            (test.op0_kind(), test.op0_register(), test.op1_register())
                == (OpKind::Register, Register::AL, Register::AL)
        }
        _ => false,
    };
    let back = matches!(branch.op0_kind(), OpKind::NearBranch32) && branch.near_branch_target() == 0;
    matches!(read.code(), Code::In_AL_imm8 | Code::In_AL_DX)
        && of_al
        && back
        && branch.is_jcc_short_or_near()
        && branch.condition_code() != ConditionCode::None
}

/// Mark `ops`, which become block number `id`, if they are such a loop.
pub(super) fn mark(ops: &mut [Op], insns: &[Instruction], id: u32) {
    if is_poll(insns)
        && let Some(read) = ops.first_mut()
    {
        read.prefix |= Prefix::POLL;
        read.ea.disp = id;
    }
}

impl Cpu {
    /// `read`, the first instruction of a loop of block number `ea.disp`, was just executed, and nothing asks for
    /// attention: count the turns that do nothing.
    pub(super) fn skip_polls(&mut self, read: &Op) {
        let Some(&[_, test, branch]) = self.jit.as_ref().and_then(|jit| jit.ops(read.ea.disp)) else {
            return;
        };
        let (before, flags, eip) = (self.regs.gpr[EAX], self.regs.flags.clone(), self.regs.eip);
        let start = eip.wrapping_sub(read.len.into());
        let mut again = true;
        for op in [test, branch] {
            self.next_eip = self.regs.eip.wrapping_add(op.len.into());
            again &= (op.run)(self, &op).is_ok();
            self.regs.eip = self.next_eip;
        }
        again &= self.regs.eip == start;
        let tested = std::mem::replace(&mut self.regs.flags, flags);
        (self.regs.gpr[EAX], self.regs.eip) = (before, eip);
        if !again {
            return;
        }
        let dx = read.code == Code::In_AL_DX;
        let port = if dx { self.regs.gpr[EDX] as u16 } else { (read.imm & 0xFF) as u16 };
        let read_at = self.vtime() - 1;
        let steady = self.bus().port_steady(port, Width::Byte, read_at);
        let same = steady.saturating_sub(read_at + 1) / TURN;
        // The whole last turn fits in front of the next stop.
        let room = self.stop_at.saturating_sub(self.insns + TURN - 1) / TURN;
        let late = self.jit.as_ref().is_some_and(|jit| jit.emit_fault == Some(EmitFault::Overslept));
        let turns = (same + u64::from(late && same != 0)).min(room);
        if turns != 0 {
            self.insns += turns * TURN;
            self.regs.flags = tested;
            if let Some(jit) = &mut self.jit {
                jit.stats.skipped += turns * TURN;
            }
        }
    }
}
