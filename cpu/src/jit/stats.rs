//! What the compiled engine did, for people. No part of the machine state.

use crate::Cpu;
use iced_x86::Code;

/// Counts since the engine was chosen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JitStats {
    /// Blocks compiled.
    pub blocks: u64,
    /// Guest instructions in them.
    pub guest_insns: u64,
    /// Those with code in line.
    pub inlined_insns: u64,
    /// Bytes of host code.
    pub bytes: u64,
    /// Instructions retired by compiled code, handlers called by it included.
    pub retired: u64,
    /// Those of them that were counted without being executed: turns of loops that wait for a port.
    pub skipped: u64,
    /// Times compiled code was entered.
    pub entries: u64,
    /// Exits by kind: budget, edge without a target, indirect target unknown, attention.
    pub exits: [u64; 4],
    /// Times the runtime was asked for the code at an address: by an edge, by an indirect jump, or to enter.
    pub searches: u64,
    /// Times it had it.
    pub searches_found: u64,
    /// Entries made in the flat views: misses of the TLB as compiled code sees it.
    pub tlb_fills: u64,
    /// Flushes of the TLB, of all entries or of those that are not global.
    pub tlb_flushes: u64,
    /// Edges linked.
    pub links: u64,
    /// Blocks forgotten because their bytes were written.
    pub invalidated: u64,
    /// Blocks that came back because their bytes did.
    pub revived: u64,
    /// Constants in code that stores changed, without the code being forgotten.
    pub constants_changed: u64,
    /// Blocks that could not be translated: a defect, for each is interpreted for ever.
    pub untranslated: u64,
    /// Times everything was forgotten.
    pub flushes: u64,
}

impl Cpu {
    /// What the compiled engine did, if it is in use.
    pub fn jit_stats(&self) -> Option<JitStats> {
        self.jit.as_ref().map(|jit| {
            let mut stats = jit.stats;
            if let Some(flat) = &self.tlb.flat {
                (stats.tlb_fills, stats.tlb_flushes) = (flat.fills(), flat.flushes());
            }
            stats
        })
    }

    /// The `most` encodings whose handlers made compiled code leave most often: name and times.
    pub fn jit_leaves(&self, most: usize) -> Vec<(String, u64)> {
        let Some(jit) = &self.jit else { return Vec::new() };
        let mut leaves: Vec<_> = jit.left_by.iter().map(|(&code, &times)| (code, times)).collect();
        leaves.sort_unstable_by_key(|&(code, times)| (std::cmp::Reverse(times), code));
        let name = |code| Code::try_from(usize::from(code)).map_or(String::new(), |code| format!("{code:?}"));
        leaves.into_iter().take(most).map(|(code, times)| (name(code), times)).collect()
    }
}
