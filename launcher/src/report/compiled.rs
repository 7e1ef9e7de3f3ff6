//! What a person can see of the compiled engine: counts, listings, a profiler's map.

use cpu::Cpu;
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
use cpu::Mapping;

/// Encodings told as reasons of leaving compiled code.
#[cfg(target_arch = "x86_64")]
const REASONS: usize = 10;

/// Counts, one `key=value` a line; nothing if the engine is not in use.
#[cfg(target_arch = "x86_64")]
pub fn print_stats(cpu: &Cpu) {
    let Some(stats) = cpu.jit_stats() else { return };
    let share = |part: u64, whole: u64| if whole == 0 { 0.0 } else { part as f64 * 100.0 / whole as f64 };
    let [budget, edge, indirect, attention] = stats.exits;
    for (key, value) in [
        ("jit_blocks", stats.blocks),
        ("jit_guest_insns", stats.guest_insns),
        ("jit_bytes", stats.bytes),
        ("jit_retired", stats.retired),
        ("jit_skipped", stats.skipped),
        ("jit_entries", stats.entries),
        ("jit_exits_budget", budget),
        ("jit_exits_edge", edge),
        ("jit_exits_indirect", indirect),
        ("jit_exits_attention", attention),
        ("jit_searches", stats.searches),
        ("jit_links", stats.links),
        ("jit_tlb_fills", stats.tlb_fills),
        ("jit_tlb_flushes", stats.tlb_flushes),
        ("jit_invalidated", stats.invalidated),
        ("jit_revived", stats.revived),
        ("jit_constants_changed", stats.constants_changed),
        ("jit_untranslated", stats.untranslated),
        ("jit_flushes", stats.flushes),
    ] {
        eprintln!("{key}={value}");
    }
    eprintln!("jit_retired_percent={:.3}", share(stats.retired, cpu.insns()));
    eprintln!("jit_search_hit_percent={:.1}", share(stats.searches_found, stats.searches));
    eprintln!("jit_inlined_percent={:.1}", share(stats.inlined_insns, stats.guest_insns));
    for (n, (name, times)) in cpu.jit_leaves(REASONS).into_iter().enumerate() {
        eprintln!("jit_left_by_{}={name} {times}", n + 1);
    }
}

/// Guest code beside host code, for every compiled block with the instruction at `eip`.
#[cfg(target_arch = "x86_64")]
pub fn dump(cpu: &Cpu, eip: u32) {
    match cpu.dump_compiled(eip) {
        text if text.is_empty() => eprintln!("ringside: --dump-jit: no compiled code for {eip:#x}"),
        text => eprint!("{text}"),
    }
}

/// Where each block's code is, as `perf report` reads it.
///
/// # Errors
/// The file cannot be written.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn write_perf_map(cpu: &Cpu) -> Result<(), crate::error::Error> {
    let name = format!("/tmp/perf-{}.map", std::process::id());
    let lines =
        cpu.compiled_blocks().into_iter().map(|b| format!("{:x} {:x} guest_{:08x}\n", b.host, b.len, b.eip));
    std::fs::write(&name, lines.collect::<String>())
        .map_err(|source| crate::error::Error::Write { name, source })
}

/// Let compiled code lie in anonymous memory.
///
/// # Errors
/// The system refuses.
#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
pub fn map_once(cpu: &mut Cpu) -> Result<(), crate::error::Error> {
    let mapped = cpu.compile_with(Mapping::Single);
    mapped.map_err(|source| crate::error::Error::Write { name: "code memory".into(), source })
}

/// There is no compiled engine for this host.
#[cfg(not(target_arch = "x86_64"))]
pub fn print_stats(_: &Cpu) {}

/// There is no compiled engine for this host.
#[cfg(not(target_arch = "x86_64"))]
pub fn dump(_: &Cpu, _: u32) {
    eprintln!("ringside: --dump-jit: no compiled engine for this host");
}

/// There is no compiled engine for this host.
///
/// # Errors
/// None.
#[cfg(all(target_os = "linux", not(target_arch = "x86_64")))]
pub fn write_perf_map(_: &Cpu) -> Result<(), crate::error::Error> {
    Ok(())
}
