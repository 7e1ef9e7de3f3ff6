//! Differences between the ends of a case, under what the manuals leave open.

use crate::case::{Case, End};
use iced_x86::{Code, Instruction};

/// Both operands of CMPS fault: which comes first is each maker's own.
fn order_is_open(case: &Case, host: &End, ours: &End) -> bool {
    let faults = |end: &End| matches!(end.vector, 12 | 13 | 14 | 17);
    let compares = |insn: &Instruction| {
        matches!(insn.code(), Code::Cmpsb_m8_m8 | Code::Cmpsw_m16_m16 | Code::Cmpsd_m32_m32)
    };
    faults(host) && faults(ours) && host.state.eip == ours.state.eip && case.insns.iter().any(compares)
}

/// An access round the end of 4 GiB: the host refuses it, we permit it (SDM vol. 3, 5.3 leaves it open).
fn wraps(host: &End, ours: &End) -> bool {
    let around = ours.vector == 17 || ours.vector == 14 && ours.cr2 >= 0xFFFF_FF00;
    matches!(host.vector, 12 | 13) && around && host.state.eip == ours.state.eip
}

/// Whether the manuals leave open which of two faults comes.
pub fn is_open(case: &Case, host: &End, ours: &End) -> bool {
    order_is_open(case, host, ours) || wraps(host, ours)
}

/// Every difference, as `what: host, ours`.
pub fn differences(case: &Case, host: &End, ours: &End) -> Vec<String> {
    let mut out = Vec::new();
    let mut note = |what: &str, host: u64, ours: u64, open: u64| {
        if (host ^ ours) & !open != 0 {
            out.push(format!("{what}: host {host:x}, ours {ours:x}"));
        }
    };
    note("vector", host.vector as u64, ours.vector as u64, 0);
    note("error", host.error as u64, ours.error as u64, 0);
    if host.vector == 14 {
        note("cr2", host.cr2 as u64, ours.cr2 as u64, 0);
    }
    let (a, b) = (&host.state, &ours.state);
    for (n, name) in ["eax", "ecx", "edx", "ebx", "esp", "ebp", "esi", "edi"].iter().enumerate() {
        note(name, a.gpr[n] as u64, b.gpr[n] as u64, 0);
    }
    note("eip", a.eip as u64, b.eip as u64, 0);
    // RF of a single-step trap between two iterations differs from maker to maker.
    let resume = if host.vector == 1 { 0x1_0000 } else { 0 };
    note("eflags", a.eflags as u64, b.eflags as u64, (case.undefined | resume) as u64);
    for (n, name) in ["es", "cs", "ss", "ds", "fs", "gs"].iter().enumerate() {
        // IRET to the host's ring 3 makes every null selector 0.
        let open = if a.seg[n] == 0 { 3 } else { 0 };
        note(name, a.seg[n] as u64, b.seg[n] as u64, open);
    }
    note("fcw", a.fcw as u64, b.fcw as u64, 0);
    note("fsw", a.fsw as u64, b.fsw as u64, case.undefined_status as u64);
    note("ftw", a.ftw as u64, b.ftw as u64, 0);
    note("mxcsr", a.mxcsr as u64, b.mxcsr as u64, 0);
    for n in 0..8 {
        if a.st[n] != b.st[n] {
            out.push(format!("st{n}: host {:02x?}, ours {:02x?}", a.st[n], b.st[n]));
        }
        if a.xmm[n] != b.xmm[n] {
            out.push(format!("xmm{n}: host {:02x?}, ours {:02x?}", a.xmm[n], b.xmm[n]));
        }
    }
    let bytes = host.memory.iter().zip(&ours.memory).enumerate().filter(|(_, (a, b))| a != b);
    for (n, (a, b)) in bytes.take(8) {
        out.push(format!("memory+{n:04x}: host {a:02x}, ours {b:02x}"));
    }
    out
}
