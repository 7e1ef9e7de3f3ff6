//! CPUID (SDM vol. 2, CPUID): the processor this is.

/// Family 6, model 8, stepping 3, as in EAX of leaf 1 and in EDX after RESET.
pub const SIGNATURE: u32 = 0x0000_0683;
