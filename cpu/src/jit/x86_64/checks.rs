//! Checks that go elsewhere when they fail: JRCXZ to an island, the island to a slow path, and the slow path to the
//! instruction's handler.
//!
//! JRCXZ reaches 127 bytes. Islands stand behind the block, or are skipped by a jump in the middle of a long one.

use super::asm::{R8, R9, R10, RCX, Width, at};
use super::property::*;
use super::slow::{After, Look, Slow};
use super::stubs::EIP;
use super::translate::{BUDGET, Flow, REACH, SAVED, Translator, of_cpu};
use super::wrong_flags::Wrong;
use super::x87::Known;
use crate::Cpu;
use crate::jit::EmitFault;
use iced_x86::{Code, FlowControl, Instruction};
use std::mem::offset_of;

impl Translator<'_> {
    /// The check just emitted left zero in RCX if it failed.
    pub(super) fn check(&mut self) {
        let site = self.asm.jrcxz();
        self.checks.push((site, Slow::Insn(self.n, self.wrong)));
    }

    /// Whether islands emitted here would be in reach of their checks.
    pub(super) fn islands_reach(&self) -> bool {
        self.islands_reach_over(0)
    }

    /// The same behind so many bytes more.
    pub(super) fn islands_reach_over(&self, bytes: usize) -> bool {
        let pos = self.asm.pos() + bytes;
        self.checks.iter().enumerate().all(|(k, (site, _))| pos + 2 + 5 * k <= site + 1 + REACH)
    }

    /// Emit islands in the middle of the flow.
    pub(super) fn islands_here(&mut self) {
        if self.checks.is_empty() {
            return;
        }
        self.asm.bytes(&[0xEB, 0]);
        let over = self.asm.pos() - 1;
        self.flush_islands();
        self.failed |= !self.asm.bind8(over);
    }

    pub(super) fn flush_islands(&mut self) {
        for (site, slow) in self.checks.drain(..) {
            self.failed |= !self.asm.bind8(site);
            let jump = self.asm.jmp();
            self.islands.push((jump, slow));
        }
    }

    pub(super) fn slow_paths(&mut self) {
        let mut known: Vec<(usize, usize)> = Vec::new();
        while let Some((site, slow)) = self.islands.pop() {
            match slow {
                Slow::Alone(alone) => {
                    self.reach_here(site);
                    self.check_alone(alone);
                }
                Slow::Group(g) => {
                    self.reach_here(site);
                    self.group_failed(g);
                }
                Slow::Refill(r) => {
                    self.reach_here(site);
                    self.refill_or_go_on(r.write, r.again);
                    let handler = self.asm.jmp();
                    self.islands.push((handler, Slow::Insn(r.n, r.wrong)));
                }
                Slow::Quad(r, look, back) => {
                    self.reach_here(site);
                    if look.usual {
                        self.load_entry(RCX, Look { usual: false, ..look });
                        self.go_on_if_found(back);
                    }
                    let stubs = self.s.stubs;
                    self.call_place(if r.write && !self.has(EmitFault::WriteLikeRead) {
                        stubs.quad_write
                    } else {
                        stubs.quad_read
                    });
                    self.go_on_if_found(back);
                    self.refill_or_go_on(r.write, r.again);
                    let handler = self.asm.jmp();
                    self.islands.push((handler, Slow::Insn(r.n, r.wrong)));
                }
                Slow::Float(back) => {
                    self.reach_here(site);
                    self.emit_float_on();
                    let site = self.asm.jmp();
                    self.reach(site, self.place(back));
                }
                Slow::X87(back, float) => {
                    self.reach_here(site);
                    self.call_place(self.s.stubs.x87_in);
                    if float {
                        self.emit_float_on();
                    }
                    let site = self.asm.jmp();
                    self.reach(site, self.place(back));
                }
                Slow::Asleep => {
                    self.reach_here(site);
                    self.asm.mov_imm(R8, self.s.eip);
                    self.jump_to(self.s.dispatch);
                }
                Slow::Budget => {
                    self.reach_here(site);
                    self.leave_before();
                }
                Slow::Insn(..) | Slow::Saved(..) => {
                    let (n, wrong) = match slow {
                        Slow::Insn(n, wrong) => (n, Some(wrong)),
                        Slow::Saved(n) => (n + SAVED, None),
                        _ => continue,
                    };
                    if let Some(&(_, place)) = known.iter().find(|k| k.0 == n) {
                        self.reach(site, self.place(place));
                        continue;
                    }
                    known.push((n, self.asm.pos()));
                    self.reach_here(site);
                    match wrong {
                        Some(wrong) => self.emit_right(wrong),
                        None => self.restore_flags(),
                    }
                    let n = n % SAVED;
                    let ends =
                        n + 1 == self.s.ops.len() && self.s.insns[n].flow_control() != FlowControl::Next;
                    self.emit_call(n, ends || changes_mode(&self.s.insns[n]));
                    if ends {
                        self.asm.load(Width::D, R8, of_cpu(EIP));
                        self.jump_to(self.s.dispatch);
                    } else {
                        let After { pos, float, x87, in_group } = self.after[n];
                        if in_group && !self.has(EmitFault::GroupKept) {
                            // What the group found may be gone.
                            self.asm.lea(Width::Q, BUDGET, at(BUDGET, self.left[n] as i32 - 1));
                            self.asm.mov_imm(R8, self.eips[n].wrapping_add(self.s.ops[n].len as u32));
                            self.jump_to(self.s.dispatch);
                            continue;
                        }
                        if in_group {
                            // Wrong, but an address.
                            self.asm.load(Width::Q, R10, of_cpu(offset_of!(Cpu, frame.hosts) as i32));
                        }
                        if x87 && !self.has(EmitFault::X87NotFetched) {
                            self.call_place(self.s.stubs.x87_in);
                        }
                        if float && !self.has(EmitFault::RoundingForgotten) {
                            self.emit_float_on();
                        }
                        let site = self.asm.jmp();
                        self.reach(site, self.place(pos));
                    }
                }
            }
        }
    }

    /// Call a place in the code memory.
    pub(super) fn call_place(&mut self, place: usize) {
        self.asm.byte(0xE8);
        self.asm.dword(0);
        let site = self.asm.pos() - 4;
        self.reach(site, place);
    }

    /// Call the handler of instruction `n`; with `checked`, leave if the mode is not the same after it.
    pub(super) fn emit_call(&mut self, n: usize, checked: bool) {
        let left = self.left[n];
        self.asm.mov_imm64(R10, std::ptr::from_ref(&self.s.ops[n]) as u64);
        self.asm.mov_imm(R9, left);
        let late = if self.has(EmitFault::FaultAfter) { self.s.ops[n].len as u32 } else { 0 };
        self.asm.mov_imm(R8, self.eips[n].wrapping_add(late));
        let checked = checked && !(self.has(EmitFault::ModeUnchecked) && changes_mode(&self.s.insns[n]));
        let place = match self.s.insns[n].code() {
            Code::Int_imm8 => self.s.stubs.interrupt,
            Code::Iretd => self.s.stubs.iret,
            Code::Call_ptr1632 => self.s.stubs.far_call,
            Code::Jmp_ptr1632 => self.s.stubs.far_jump,
            Code::Retfd => self.s.stubs.far_return,
            _ if !checked => self.s.stubs.call,
            _ if loads_segment(&self.s.insns[n]) => self.s.stubs.load_segment_checked,
            _ => self.s.stubs.call_checked,
        };
        self.call_place(place);
    }

    pub(super) fn call_handler(&mut self, insn: &Instruction) -> Flow {
        self.put_right();
        self.float = false;
        self.x87 = Known::default();
        self.found = Default::default();
        self.held = false;
        self.then = Wrong::Nothing;
        let ends = insn.flow_control() != FlowControl::Next;
        self.emit_call(self.n, ends || changes_mode(insn));
        if !ends {
            return Flow::Next;
        }
        self.asm.load(Width::D, R8, of_cpu(EIP));
        self.jump_to(self.s.dispatch);
        Flow::End
    }
}
