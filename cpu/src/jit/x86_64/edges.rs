//! Ways out of a block: back to the run loop, and to blocks known by their EIP.

use super::asm::{R8, RCX, Width, at};
use super::stubs::{EDGE, EIP};
use super::translate::{EdgeSite, Translator, VIEW, of_cpu};
use crate::jit::{EmitFault, Leave};
use crate::mmu::flat;

impl Translator<'_> {
    pub(super) fn leave(&mut self, why: Leave) {
        self.asm.mov_imm(RCX, why as u32);
        self.jump_to(self.s.stubs.leave);
    }

    /// Jump to a place in the code memory.
    pub(super) fn jump_to(&mut self, place: usize) {
        let site = self.asm.jmp();
        self.reach(site, place);
    }

    /// Let the rel32 at `site` lead to a place in the code memory.
    pub(super) fn reach(&mut self, site: usize, place: usize) {
        let distance = (place as i64 - self.place(site) as i64 - 4) as i32;
        self.asm.buf[site..site + 4].copy_from_slice(&distance.to_le_bytes());
    }

    /// Let the rel32 at `site` lead here.
    pub(super) fn reach_here(&mut self, site: usize) {
        self.reach(site, self.place(self.asm.pos()));
    }

    /// Where in the code memory the byte at `pos` of the block's code will be.
    pub(super) fn place(&self, pos: usize) -> usize {
        if pos < self.rare { self.s.at + pos } else { self.s.rare_at + (pos - self.rare) }
    }

    /// Go to `target`: edge `k`.
    pub(super) fn edge(&mut self, k: usize, target: u32) {
        if self.is_near(target) {
            let site = self.asm.jmp();
            self.near_edge(k, target, site);
        } else {
            self.far_edge(k, target);
        }
    }

    /// `target` is in the page of this block.
    pub(super) fn is_near(&self, target: u32) -> bool {
        let base = self.s.mode.cs().base;
        base.wrapping_add(target) >> 12 == base.wrapping_add(self.s.eip) >> 12
    }

    /// The jump whose rel32 is at `site` is edge `k`. Its page is mapped as long as this one is.
    pub(super) fn near_edge(&mut self, k: usize, target: u32, site: usize) {
        self.edges[k] = Some(EdgeSite { target, guard: None, jump: self.s.at + site, stub: 0 });
        self.stubs.push((k, target, site));
    }

    /// The target's page must still be where it was when the edge was made.
    pub(super) fn far_edge(&mut self, k: usize, target: u32) {
        let page = self.s.mode.cs().base.wrapping_add(target) >> 12;
        let compare = self.asm.pos();
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
        self.misses.push((k, page, miss, compare));
        self.stubs.push((k, target, jump));
    }

    /// Where guards fail: the page is looked up, and they get another try.
    fn missed(&mut self) {
        for (k, page, site, compare) in std::mem::take(&mut self.misses) {
            self.reach_here(site);
            self.asm.mov_imm(R8, page << 12);
            self.call_place(self.s.stubs.refill_fetch);
            self.asm.bytes(&[0xE3, 5]);
            let again = self.asm.jmp();
            self.reach(again, self.place(compare));
            let unknown = self.asm.jmp();
            if let Some(edge) = self.edges[k] {
                self.reach(unknown, edge.stub);
            }
        }
    }

    pub(super) fn edge_stubs(&mut self) {
        for n in 0..self.stubs.len() {
            let (k, target, site) = self.stubs[n];
            let Some(edge) = &mut self.edges[k] else { continue };
            if edge.stub == 0 {
                edge.stub = self.s.rare_at + (self.asm.pos() - self.rare);
                self.reach_here(site);
                self.asm.store_imm(Width::D, of_cpu(EIP), target);
                self.asm.store_imm(Width::D, of_cpu(EDGE), self.s.edge + k as u32);
                self.asm.mov_imm(RCX, Leave::Edge as u32);
                self.jump_to(self.s.stubs.seek);
            } else {
                let stub = edge.stub;
                self.reach(site, stub);
            }
        }
        self.missed();
    }
}
