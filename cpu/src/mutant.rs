//! Deliberate defects. A test that proves a rule must fail when the rule is broken; a mutant breaks exactly one.
//!
//! Mutants are looked at only in slow paths, so a correct processor does not pay for them.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// CR0.WP has no effect: supervisor writes ignore read-only pages.
    WpIgnored,
    /// The U/S bit has no effect.
    UserBitIgnored,
    /// IRET to an outer ring leaves inner-ring data segments loaded.
    IretNullingOff,
    /// Loading CR3 keeps all translations.
    Cr3FlushIgnored,
    /// Bit 2 of pushed error codes is inverted.
    ErrorCodeWrong,
    /// Every port may be used at any privilege level.
    IoBitmapIgnored,
    /// INT n may use every gate, whatever its DPL.
    GateDplIgnored,
    /// CLI, STI, POPF and IRET may change IF at every privilege level.
    IoplIgnored,
    /// Privileged instructions run at every privilege level.
    PrivilegedAllowed,
    /// Loads of segment registers and far transfers do not compare CPL, RPL and DPL.
    SegmentPrivilegeIgnored,
    /// A gate to ring 1 takes its stack pointer from the slot of ring 0.
    TssRing1StackWrong,
    /// TF raises no debug exception.
    TrapFlagIgnored,
    /// CR0.TS makes no instruction trap.
    TsIgnored,
    /// A divide error saves the address of the next instruction.
    DivideErrorAfter,
}

impl Mutant {
    /// Every mutant with its name.
    pub const ALL: &[(&str, Mutant)] = &[
        ("wp-ignored", Mutant::WpIgnored),
        ("user-bit-ignored", Mutant::UserBitIgnored),
        ("iret-nulling-off", Mutant::IretNullingOff),
        ("cr3-flush-ignored", Mutant::Cr3FlushIgnored),
        ("error-code-wrong", Mutant::ErrorCodeWrong),
        ("io-bitmap-ignored", Mutant::IoBitmapIgnored),
        ("gate-dpl-ignored", Mutant::GateDplIgnored),
        ("iopl-ignored", Mutant::IoplIgnored),
        ("privileged-allowed", Mutant::PrivilegedAllowed),
        ("segment-privilege-ignored", Mutant::SegmentPrivilegeIgnored),
        ("tss-ring1-stack-wrong", Mutant::TssRing1StackWrong),
        ("trap-flag-ignored", Mutant::TrapFlagIgnored),
        ("ts-ignored", Mutant::TsIgnored),
        ("divide-error-after", Mutant::DivideErrorAfter),
    ];

    /// Find a mutant by name.
    pub fn from_name(name: &str) -> Option<Mutant> {
        Mutant::ALL.iter().find(|(n, _)| *n == name).map(|&(_, m)| m)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_mutants_are_one_to_one() {
        for (n, &(name, mutant)) in Mutant::ALL.iter().enumerate() {
            assert_eq!(Mutant::from_name(name), Some(mutant));
            assert!(Mutant::ALL[..n].iter().all(|&(_, other)| other != mutant), "{name}");
        }
        assert_eq!(Mutant::from_name("no-such-mutant"), None);
    }
}
