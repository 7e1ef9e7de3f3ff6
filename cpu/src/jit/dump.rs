//! Listings of compiled code for people: guest and host side by side, and the map that profilers read.

use super::cache::Compiled;
use crate::Cpu;
use iced_x86::{Decoder, FastFormatter, Instruction};
use std::fmt::Write;

/// Where one of the two parts of a block's code is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompiledBlock {
    /// EIP of its first instruction.
    pub eip: u32,
    /// Address of its host code.
    pub host: u64,
    /// Bytes of host code.
    pub len: usize,
}

/// `bytes` at `address`, an instruction a line, from offset `from` to `to`.
fn listing(bits: u32, bytes: &[u8], address: u64, from: usize, to: usize) -> Vec<String> {
    let mut decoder =
        Decoder::with_ip(bits, bytes.get(from..to).unwrap_or_default(), address + from as u64, 0);
    let mut formatter = FastFormatter::new();
    let mut lines = Vec::new();
    let mut insn = Instruction::default();
    while decoder.can_decode() {
        decoder.decode_out(&mut insn);
        let mut text = format!("{:x}  ", insn.ip());
        formatter.format(&insn, &mut text);
        lines.push(text);
    }
    lines
}

impl Cpu {
    /// Both parts of every compiled block, in the order they were compiled: what a profiler's map says.
    pub fn compiled_blocks(&self) -> Vec<CompiledBlock> {
        let Some(jit) = &self.jit else { return Vec::new() };
        let live = jit.blocks().iter().filter(|b| b.is_awake());
        let part =
            |b: &Compiled, (code, host): (&[u8], u64)| CompiledBlock { eip: b.eip, host, len: code.len() };
        live.flat_map(|b| [part(b, jit.code(b)), part(b, jit.rare_code(b))]).collect()
    }

    /// Guest code beside host code of every compiled block that covers `eip`.
    pub fn dump_compiled(&self, eip: u32) -> String {
        let mut out = String::new();
        let Some(jit) = &self.jit else { return out };
        for b in jit.blocks().iter().filter(|b| b.is_awake() && eip.wrapping_sub(b.eip) < b.bytes) {
            let (host, address) = jit.code(b);
            let (rare, rare_address) = jit.rare_code(b);
            let _ = writeln!(
                out,
                "block {:08x}: {} instructions, {} bytes of host code",
                b.eip,
                b.ops.len(),
                b.len + rare.len()
            );
            let mut at = b.eip;
            let mut from = 0;
            for (op, &end) in b.ops.iter().zip(&b.ends) {
                let guest = format!("{at:08x}  {:?}", op.code);
                for (n, line) in listing(64, host, address, from, end as usize).iter().enumerate() {
                    let _ = writeln!(out, "{:<36}{line}", if n == 0 { &guest } else { "" });
                }
                at = at.wrapping_add(op.len as u32);
                from = end as usize;
            }
            let islands = listing(64, host, address, from, b.len);
            let rare = listing(64, rare, rare_address, 0, rare.len());
            for (n, line) in islands.iter().chain(&rare).enumerate() {
                let _ = writeln!(out, "{:<36}{line}", if n == 0 { "ways out and slow paths" } else { "" });
            }
        }
        out
    }
}
