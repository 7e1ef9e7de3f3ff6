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

    /// Unless RCX is 0, go on at `pos` of the block's code.
    pub(super) fn go_on_if_found(&mut self, pos: usize) {
        self.asm.bytes(&[0xE3, 5]); // jrcxz over the jump
        let jump = self.asm.jmp();
        self.reach(jump, self.place(pos));
    }

    /// Let the rel32 at `site` lead here.
    pub(super) fn reach_here(&mut self, site: usize) {
        self.reach(site, self.place(self.asm.pos()));
    }

    /// Where in the code memory the byte at `pos` of the block's code will be.
    pub(super) fn place(&self, pos: usize) -> usize {
        if pos < self.rare { self.s.at + pos } else { self.s.rare_at + (pos - self.rare) }
    }

    /// Go to `target`. Beyond the limit there is a fault, and no page is looked up for that: the runtime sees to it.
    pub(super) fn edge(&mut self, target: u32) {
        if self.is_near(target) || target > self.s.mode.code_limit() {
            let site = self.asm.jmp();
            self.near_edge(target, site);
        } else {
            self.far_edge(target);
        }
    }

    /// `target` is in the page of this block.
    pub(super) fn is_near(&self, target: u32) -> bool {
        let base = self.s.mode.cs().base;
        base.wrapping_add(target) >> 12 == base.wrapping_add(self.s.eip) >> 12
    }

    /// The jump whose rel32 is at `site` is an edge. Its page is mapped as long as this one is.
    pub(super) fn near_edge(&mut self, target: u32, site: usize) {
        self.stubs.push((self.edges.len(), site));
        self.edges.push(EdgeSite { target, guard: None, jump: self.s.at + site, stub: 0, plain: false });
    }

    /// The target's page must still be where it was when the edge was made.
    pub(super) fn far_edge(&mut self, target: u32) {
        let page = self.s.mode.cs().base.wrapping_add(target) >> 12;
        let compare = self.asm.pos();
        self.asm.load(Width::D, RCX, at(VIEW, flat::FETCH_FRAME + page as i32 * 8));
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
        let k = self.edges.len();
        self.edges.push(EdgeSite { target, guard, jump: self.s.at + jump, stub: 0, plain: false });
        self.misses.push((k, page, miss, compare));
        self.stubs.push((k, jump));
    }

    /// An edge to the plain block that begins with this instruction; its jump is in a slow path.
    pub(super) fn plain_edge(&mut self) -> usize {
        self.edges.push(EdgeSite { target: self.eip, guard: None, jump: 0, stub: 0, plain: true });
        self.edges.len() - 1
    }

    /// The jump of edge `k` has its rel32 at `site`, and what it needs while it leads nowhere stands here.
    pub(super) fn plain_edge_here(&mut self, k: usize, site: usize) {
        self.edges[k].jump = self.place(site);
        self.edge_stub(k, site);
    }

    /// Where edge `k`, whose rel32 is at `site`, goes while it leads nowhere.
    fn edge_stub(&mut self, k: usize, site: usize) {
        let stub = self.place(self.asm.pos());
        self.edges[k].stub = stub;
        self.reach(site, stub);
        self.asm.store_imm(Width::D, of_cpu(EIP), self.edges[k].target);
        self.asm.store_imm(Width::D, of_cpu(EDGE), self.s.edge + k as u32);
        self.asm.mov_imm(RCX, Leave::Edge as u32);
        self.jump_to(self.s.stubs.seek);
    }

    /// Where guards fail: the page is looked up, and they get another try.
    fn missed(&mut self) {
        for (k, page, site, compare) in std::mem::take(&mut self.misses) {
            self.reach_here(site);
            self.asm.mov_imm(R8, page << 12);
            self.call_place(self.s.stubs.refill_fetch);
            self.go_on_if_found(compare);
            let unknown = self.asm.jmp();
            self.reach(unknown, self.edges[k].stub);
        }
    }

    pub(super) fn edge_stubs(&mut self) {
        for n in 0..self.stubs.len() {
            let (k, site) = self.stubs[n];
            self.edge_stub(k, site);
        }
        self.missed();
    }
}
