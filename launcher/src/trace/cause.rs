//! Names of what transfers control (SDM vol. 3, table 6-1) and of lguest's hypercalls.

use super::HYPERCALL;
use cpu::event::Cause;
use std::fmt;

/// Mnemonics of vectors 0 to 21; the empty ones are reserved.
const EXCEPTIONS: [&str; 22] = [
    "#DE", "#DB", "nmi", "#BP", "#OF", "#BR", "#UD", "#NM", "#DF", "cso", "#TS", "#NP", "#SS", "#GP", "#PF",
    "", "#MF", "#AC", "#MC", "#XM", "#VE", "#CP",
];

const PAGE_FAULT: u8 = 14;

/// Hypercalls by number; the empty ones do not exist.
const HYPERCALLS: [&str; 20] = [
    "FLUSH_ASYNC",
    "LGUEST_INIT",
    "SHUTDOWN",
    "LOAD_GDT",
    "NEW_PGTABLE",
    "FLUSH_TLB",
    "LOAD_IDT_ENTRY",
    "SET_STACK",
    "TS",
    "SET_CLOCKEVENT",
    "HALT",
    "",
    "",
    "SET_PMD",
    "SET_PTE",
    "SET_PGD",
    "LOAD_TLS",
    "NOTIFY",
    "LOAD_GDT_ENTRY",
    "SEND_INTERRUPTS",
];

/// A cause as the trace prints it: one word.
#[derive(Clone, Copy, Debug)]
pub struct Name {
    /// What happened.
    pub cause: Cause,
    /// EAX then: the number of a hypercall.
    pub eax: u32,
    /// CR2 afterwards.
    pub cr2: u32,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.cause {
            Cause::Exception { vector, error } => {
                let name = EXCEPTIONS.get(usize::from(vector)).filter(|name| !name.is_empty());
                match name {
                    Some(name) => f.write_str(name)?,
                    None => write!(f, "exception{vector:02x}")?,
                }
                match error {
                    Some(error) if vector == PAGE_FAULT => write!(f, "({error:x},{:08x})", self.cr2),
                    Some(error) => write!(f, "({error:x})"),
                    None => Ok(()),
                }
            }
            Cause::SoftwareInterrupt(HYPERCALL) => {
                let name = usize::try_from(self.eax).ok().and_then(|n| HYPERCALLS.get(n));
                match name.filter(|name| !name.is_empty()) {
                    Some(name) => write!(f, "int1f:{name}"),
                    None => write!(f, "int1f:{:x}", self.eax),
                }
            }
            Cause::SoftwareInterrupt(vector) => write!(f, "int{vector:02x}"),
            Cause::Irq(vector) => write!(f, "irq{vector}"),
            Cause::Nmi => f.write_str("nmi"),
            Cause::Iret => f.write_str("iret"),
            Cause::FarCall => f.write_str("lcall"),
            Cause::FarJump => f.write_str("ljmp"),
            Cause::FarReturn => f.write_str("lret"),
            Cause::TaskSwitch => f.write_str("task"),
            Cause::Sysenter => f.write_str("sysenter"),
            Cause::Sysexit => f.write_str("sysexit"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let exception = |vector, error| Cause::Exception { vector, error };
        for (cause, eax, name) in [
            (exception(14, Some(6)), 0, "#PF(6,000ff000)"),
            (exception(13, Some(0x18)), 0, "#GP(18)"),
            (exception(0, None), 0, "#DE"),
            (exception(31, None), 0, "exception1f"),
            (Cause::SoftwareInterrupt(0x80), 4, "int80"),
            (Cause::SoftwareInterrupt(0x1F), 10, "int1f:HALT"),
            (Cause::SoftwareInterrupt(0x1F), 11, "int1f:b"),
            (Cause::SoftwareInterrupt(0x1F), u32::MAX, "int1f:ffffffff"),
            (Cause::Irq(0x20), 0, "irq32"),
        ] {
            assert_eq!(Name { cause, eax, cr2: 0xF_F000 }.to_string(), name);
        }
    }
}
