//! Deliberate defects. A test that proves a rule must fail when the rule is broken; a mutant breaks exactly one.
//!
//! Mutants are looked at only in slow paths, so a correct processor does not pay for them.

/// One broken rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mutant {
    /// Walks do not set accessed and dirty bits.
    AccessedDirtyOff,
    /// CR0.WP has no effect: supervisor writes ignore read-only pages.
    WpIgnored,
    /// The U/S bit has no effect.
    UserBitIgnored,
    /// IRET to an outer ring leaves inner-ring data segments loaded.
    IretNullingOff,
}

impl Mutant {
    /// Every mutant with its name.
    pub const ALL: &[(&str, Mutant)] = &[
        ("accessed-dirty-off", Mutant::AccessedDirtyOff),
        ("wp-ignored", Mutant::WpIgnored),
        ("user-bit-ignored", Mutant::UserBitIgnored),
        ("iret-nulling-off", Mutant::IretNullingOff),
    ];

    /// Find a mutant by name.
    pub fn from_name(name: &str) -> Option<Mutant> {
        Mutant::ALL.iter().find(|(n, _)| *n == name).map(|&(_, m)| m)
    }
}
