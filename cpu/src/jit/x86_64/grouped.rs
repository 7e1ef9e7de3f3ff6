//! Code for accesses of groups (see [`super::groups`]): the check, and what happens if it fails.

use super::asm::{Mem, R8, R9, R10, RCX, Width, at};
use super::groups::Use;
use super::property::HOST;
use super::slow::{Look, Slow, Whole};
use super::translate::{BUDGET, Translator, of_cpu};
use crate::Cpu;
use crate::jit::{EDGES, EmitFault, Frame, MOST_SECTIONS};
use crate::seg::SegReg;
use std::mem::offset_of;

impl Translator<'_> {
    /// Whether the check of an access's group has been made, or may become another edge of the block.
    pub(super) fn has_room_for(&self, used: Use) -> bool {
        // A branch ends each section and needs one, the last of them two.
        self.found[used.group] || self.edges.len() + 1 + MOST_SECTIONS < EDGES as usize
    }

    /// An access of a group. `offset` makes R8 its offset, or that of a byte so far away.
    pub(super) fn grouped(
        &mut self,
        used: Use,
        seg: SegReg,
        write: bool,
        offset: impl Fn(&mut Self, i32),
    ) -> Option<Mem> {
        let Use { group, at: behind } = used;
        let g = self.groups[group];
        let slot = of_cpu((offset_of!(Cpu, frame) + offset_of!(Frame, hosts) + 8 * group) as i32);
        // The first group's address is in R10, and in the frame only if something else needs that.
        let register = if group == 0 { R10 } else { RCX };
        if !self.found[group] {
            let start = self.asm.pos();
            offset(self, behind.wrapping_neg());
            let paged = self.s.mode.paged();
            let usual = self.s.usual;
            let look = Look { seg, size: g.len, write: g.write, aligned: false, onward: !paged, usual };
            // All accesses are of the same four bytes, aligned as a rule.
            let quad = g.len == 4 && paged && self.find_quad(look)?;
            if !quad {
                self.find(look)?;
            }
            let again = self.linear_at.map(|_| start);
            let (n, wrong) = (self.n, self.wrong);
            let knows_entry = again.is_some() && paged && g.len > 1;
            let site = self.asm.jrcxz();
            if usual {
                self.usual_distance();
            }
            let back = self.asm.pos();
            let edge = self.plain_edge();
            self.checks.push((
                site,
                Slow::Group(Whole { n, behind, write, look, quad, wrong, again, back, knows_entry, edge }),
            ));
            self.asm.lea(Width::Q, register, HOST);
            if group == 0 {
                self.stored = self.has(EmitFault::GroupKept);
            }
            if group != 0 || self.stored {
                self.asm.store(Width::Q, slot, register);
            }
            self.found[group] = true;
            self.held |= group == 0;
        } else if group != 0 || !self.held {
            self.asm.load(Width::Q, register, slot);
            self.held |= group == 0;
        }
        Some(at(register, behind))
    }

    /// R10 is needed otherwise: what it holds of the first group goes to the frame, if there are more accesses.
    pub(super) fn give_up_group(&mut self) {
        if self.held && !self.stored && self.groups[0].last >= self.n {
            self.asm.store(Width::Q, of_cpu(offset_of!(Cpu, frame.hosts) as i32), R10);
            self.stored = true;
        }
        self.held = false;
    }

    /// Where the check of a group fails. If nothing was wrong but that its page had not been looked up, that is done for the access
    /// that is due, no other, and the check made again; else a plain block goes on.
    pub(super) fn group_failed(&mut self, g: Whole) {
        if g.look.usual || g.quad {
            self.look_closer(Look { usual: false, ..g.look }, g.back);
        }
        if let Some(again) = g.again {
            // The page is known: the group is in two of them.
            if g.knows_entry {
                self.asm.mov_rr(Width::Q, RCX, R9);
                self.asm.bytes(&[0xE3, 5]);
                let known = self.asm.jmp();
                self.asm.lea(Width::D, R8, at(R8, g.behind));
                self.refill_or_go_on(g.write, again);
                self.reach_here(known);
            } else {
                self.asm.lea(Width::D, R8, at(R8, g.behind));
                self.refill_or_go_on(g.write, again);
            }
        }
        self.emit_right(g.wrong);
        self.asm.lea(Width::Q, BUDGET, at(BUDGET, self.left[g.n] as i32));
        // Looking the page up may have changed what comes next: the runtime sees to it.
        self.asm.rm(Width::D, &[0x0F, 0xB6], RCX, of_cpu(offset_of!(Cpu, attention) as i32));
        self.asm.bytes(&[0xE3, 2, 0xEB, 5]);
        let site = self.asm.jmp();
        self.plain_edge_here(g.edge, site);
    }
}
