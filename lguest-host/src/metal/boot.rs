//! The Host's assembly, and the symbols of it and of the linker script that Rust needs.

use core::sync::atomic::AtomicU32;
use switcher_asm::{CODE_SELECTOR, DATA_SELECTOR};

core::arch::global_asm!(include_str!("boot.s"), CODE = const CODE_SELECTOR, DATA = const DATA_SELECTOR);

/// NMIs seen while the Host's IDT was loaded, plus those collected from the Switcher. The debugger and the tests read
/// it by name.
#[unsafe(no_mangle)]
pub static NMI_COUNT: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    fn host_exception_stubs();
    fn host_irq_stubs();
    fn host_nmi();
    static image_start: u8;
    static image_end: u8;
    static switcher_load: u8;
}

/// Address of the exception stub of vector `n`.
pub fn exception_stub(n: u32) -> u32 {
    host_exception_stubs as *const () as u32 + 16 * n
}

/// Address of the stub of physical interrupt `n`.
pub fn irq_stub(n: u32) -> u32 {
    host_irq_stubs as *const () as u32 + 16 * n
}

/// Address of the NMI handler.
pub fn nmi_handler() -> u32 {
    host_nmi as *const () as u32
}

/// Physical start and end of the Host's image in memory.
pub fn image() -> (u32, u32) {
    (&raw const image_start as u32, &raw const image_end as u32)
}

/// Physical address of the Switcher's text.
pub fn switcher_text() -> u32 {
    &raw const switcher_load as u32
}

/// What `boot.s` pushes for an exception.
#[repr(C)]
#[derive(Debug)]
#[allow(missing_docs)]
pub struct HostFault {
    pub vector: u32,
    pub error: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
}

/// The Host itself faulted: that is a bug, or the Guest found one.
#[unsafe(no_mangle)]
extern "C" fn host_fault(fault: &HostFault) -> ! {
    panic!(
        "exception {} in the Host at {:#x}, error {:#x}, cr2 {:#x}",
        fault.vector,
        fault.eip,
        fault.error,
        super::cpu::cr2()
    );
}
