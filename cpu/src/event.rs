//! What the processor tells a listener: ring changes with their cause, and address-space changes.
//!
//! Costs nothing when nobody listens: events arise only in slow paths (delivery of an interrupt, IRET, far
//! transfers, task switches, MOV CR3), which look at one `Option`.

/// Why control was transferred.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// An exception, with its error code.
    Exception {
        /// Vector, 0 to 31.
        vector: u8,
        /// Error code pushed, if the vector has one.
        error: Option<u16>,
    },
    /// INT n, INT3, INTO or INT1.
    SoftwareInterrupt(u8),
    /// A maskable interrupt from the interrupt controller.
    Irq(u8),
    /// A non-maskable interrupt.
    Nmi,
    /// IRET.
    Iret,
    /// Far CALL, directly or through a call gate.
    FarCall,
    /// Far JMP.
    FarJump,
    /// Far RET.
    FarReturn,
    /// A hardware task switch.
    TaskSwitch,
    /// SYSENTER.
    Sysenter,
    /// SYSEXIT.
    Sysexit,
}

/// Something worth telling. Registers are as after the event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Control went from one place to another through a gate, IRET or the like; `from_cpl` may equal `to_cpl`.
    Transfer {
        /// Why.
        cause: Cause,
        /// Privilege level before.
        from_cpl: u8,
        /// Privilege level after.
        to_cpl: u8,
        /// CS and EIP of the instruction that was interrupted or made the transfer.
        from: (u16, u32),
        /// CS and EIP after.
        to: (u16, u32),
        /// EAX at the transfer: the number of a hypercall or system call.
        eax: u32,
    },
    /// CR3 was loaded by MOV (or a task switch).
    Cr3 {
        /// The value before.
        old: u32,
        /// The value after.
        new: u32,
        /// CS and EIP of the instruction that loaded it.
        place: (u16, u32),
    },
}

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// Instructions retired, the one that caused the event not included.
    pub insns: u64,
    /// Virtual time.
    pub vtime: u64,
    /// CR3 after the event.
    pub cr3: u32,
    /// CR2 after the event: for a page fault, the address that faulted.
    pub cr2: u32,
}

/// A listener. It sees values only: it cannot change the machine.
pub trait EventSink: Send {
    /// Called at each event, in order.
    fn event(&mut self, at: Stamp, event: Event);
}

impl crate::Cpu {
    /// Report `event` if anybody listens.
    #[inline]
    pub(crate) fn emit(&mut self, event: impl FnOnce(&crate::Cpu) -> Event) {
        if let Some(mut sink) = self.events.take() {
            let at = Stamp { insns: self.insns, vtime: self.vtime(), cr3: self.regs.cr3, cr2: self.regs.cr2 };
            sink.event(at, event(self));
            self.events = Some(sink);
        }
    }
}
