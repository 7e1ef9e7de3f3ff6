//! `--stats`: counts of a run, one `key=value` a line.

use super::memory::peak_rss_kib;
use crate::trace::Listener;
use machine::Machine;
use machine::check::Pair;
use std::time::Duration;

/// Print them to standard error.
pub fn print(machine: &Machine, wall: Duration, listener: &Listener) {
    let stats = machine.stats();
    let counts = listener.counts();
    let seconds = wall.as_secs_f64();
    let mips = if seconds > 0.0 { stats.insns as f64 / seconds / 1e6 } else { 0.0 };
    let whole = [
        ("insns", stats.insns),
        ("vtime", stats.vtime),
        ("wall_ms", u64::try_from(wall.as_millis()).unwrap_or(u64::MAX)),
    ];
    let rest = [
        ("world_switches", counts.world_switches),
        ("hypercalls", counts.hypercalls),
        ("ring_changes", counts.ring_changes),
        ("cr3_loads", counts.cr3_loads),
        ("exceptions", stats.exceptions),
        ("irqs", stats.irqs),
        ("software_interrupts", stats.software_interrupts),
        ("peak_rss_kib", peak_rss_kib()),
    ];
    for (key, value) in whole {
        eprintln!("{key}={value}");
    }
    eprintln!("mips={mips:.1}");
    for (key, value) in rest {
        eprintln!("{key}={value}");
    }
    super::compiled::print_stats(&machine.cpu);
}

/// Print what `--engine check` did.
pub fn print_pair(pair: &Pair) {
    let stats = pair.stats();
    for (key, value) in [
        ("checked_insns", stats.insns),
        ("checks_of_registers", stats.light),
        ("checks_of_everything", stats.full),
        ("injected_events", stats.injected),
    ] {
        eprintln!("{key}={value}");
    }
}
