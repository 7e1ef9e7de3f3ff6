//! XMM0-XMM7 and MXCSR (SDM vol. 1, 10.2). The MMX registers are the x87 mantissas and live there.

use serde::{Deserialize, Serialize};

/// Bits of MXCSR (SDM vol. 1, 10.2.3).
pub mod mxcsr {
    /// The six sticky exception flags IE DE ZE OE UE PE.
    pub const FLAGS: u32 = 0x3F;
    /// Denormals are zeros.
    pub const DAZ: u32 = 1 << 6;
    /// The masks of the six exceptions start here.
    pub const MASKS_SHIFT: u32 = 7;
    /// Rounding control (two bits).
    pub const RC_SHIFT: u32 = 13;
    /// Flush to zero.
    pub const FZ: u32 = 1 << 15;
    /// Bits that may be set; FXSAVE stores this as MXCSR_MASK.
    pub const VALID: u32 = 0xFFFF;
    /// After RESET: all exceptions masked, round to nearest.
    pub const RESET: u32 = 0x1F80;
}

/// The registers that SSE adds to the processor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Simd {
    /// XMM0 to XMM7.
    pub xmm: [u128; 8],
    /// Control and status of SIMD floating point. Reserved bits are never set.
    pub mxcsr: u32,
}

impl Default for Simd {
    /// State after RESET (SDM vol. 3, table 9-1).
    fn default() -> Simd {
        Simd { xmm: [0; 8], mxcsr: mxcsr::RESET }
    }
}
