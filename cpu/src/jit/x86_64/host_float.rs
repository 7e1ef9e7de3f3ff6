//! The host's floating point: which of it is the guest's, and x87 registers on their way to it and back.
//!
//! Invariant: while anything but compiled code runs, the host's x87 is as the calling convention wants it (empty,
//! its control word that of whoever called), and the guest's registers are in the `Cpu`. Compiled code fetches them with [`fill`] and FRSTOR;
//! every fixed piece that leads out of compiled code executes FNSAVE if they are there, and [`drain`] follows before
//! anyone looks. So it is with MXCSR, which needs no image. The image is that of 32-bit protected mode (SDM vol. 1, figure 8-9).

use crate::Cpu;
use crate::fpu::{Extended, Fpu};
use crate::jit::{EmitFault, Frame};
use std::mem::offset_of;

/// What FNSAVE writes and FRSTOR reads.
#[repr(C)]
#[derive(Debug, Default)]
pub(super) struct Image {
    /// Control, status and tag word in the low halves; the pointers, which are not used.
    environment: [u32; 7],
    /// ST(0) to ST(7).
    registers: [[u8; 10]; 8],
}

/// Part of the frame.
#[repr(C, align(8))]
#[derive(Debug, Default)]
pub(crate) struct HostFloat {
    /// 1 if the guest's registers are in the host's; in the image, that is, when compiled code has just been left.
    pub(super) resident: u32,
    /// 1 if the host's MXCSR is the guest's, which it is in compiled code only.
    pub(super) mxcsr: u32,
    /// Control word of the calling convention, while compiled code runs.
    pub(super) convention: u32,
    pub(super) image: Image,
}

const HOST_FLOAT: i32 = (offset_of!(Cpu, frame) + offset_of!(Frame, float)) as i32;
/// Whether the guest's registers are in the host's, the caller's control word, and where registers go on the way.
pub(super) const RESIDENT: i32 = HOST_FLOAT + offset_of!(HostFloat, resident) as i32;
/// Whether the host's MXCSR is the guest's.
pub(super) const FLOAT: i32 = HOST_FLOAT + offset_of!(HostFloat, mxcsr) as i32;
const _: () = assert!(FLOAT == RESIDENT + 4 && RESIDENT % 8 == 0);
pub(super) const CONVENTION: i32 = HOST_FLOAT + offset_of!(HostFloat, convention) as i32;
pub(super) const IMAGE: i32 = HOST_FLOAT + offset_of!(HostFloat, image) as i32;

/// The tag of an empty register; all others tell themselves.
const EMPTY: u32 = 3;

impl HostFloat {
    /// Get ready for FRSTOR.
    fn fill(&mut self, fpu: &Fpu) {
        self.resident = 1;
        let tags = (0..8).filter(|n| fpu.in_use >> n & 1 == 0).fold(0, |tags, n| tags | EMPTY << (2 * n));
        self.image.environment = [fpu.control.into(), fpu.status.into(), tags, 0, 0, 0, 0];
        for (i, register) in self.image.registers.iter_mut().enumerate() {
            let from = fpu.regs[fpu.st(i)];
            register[..8].copy_from_slice(&from.significand.to_le_bytes());
            register[8..].copy_from_slice(&from.sign_exponent.to_le_bytes());
        }
    }

    /// After compiled code: if the guest's registers were in the host's, FNSAVE has just left them here.
    #[inline(always)]
    pub(crate) fn drain(&mut self, fpu: &mut Fpu, fault: impl FnOnce() -> Option<EmitFault>) {
        if self.resident != 0 {
            self.take(fpu, fault());
        }
    }

    fn take(&mut self, fpu: &mut Fpu, fault: Option<EmitFault>) {
        self.resident = 0;
        let [_, status, tags, ..] = self.image.environment;
        if fault != Some(EmitFault::X87StatusLost) {
            fpu.status = status as u16;
        }
        fpu.in_use = (0..8).filter(|n| tags >> (2 * n) & EMPTY != EMPTY).fold(0, |used, n| used | 1 << n);
        for (i, register) in self.image.registers.iter().enumerate() {
            let mut low = [0; 8];
            low.copy_from_slice(&register[..8]);
            fpu.regs[(fpu.top() + i) & 7] = Extended {
                significand: u64::from_le_bytes(low),
                sign_exponent: u16::from_le_bytes([register[8], register[9]]),
            };
        }
    }
}

/// Called by compiled code that executes FRSTOR next.
pub(super) extern "sysv64" fn fill(cpu: *mut Cpu) {
    // SAFETY: compiled code was entered with the `Cpu` borrowed mutably, which nothing touches meanwhile.
    let cpu = unsafe { &mut *cpu };
    cpu.frame.float.fill(&cpu.fpu);
}
