//! Ring 3 as a function call: [`Context::run`] enters it, and returns with the trap that ended it.

use crate::descriptor::selector;
use crate::lguest_data::{DATA, IF};
use crate::memory::{allocate_frame, poke};
use crate::paging::phys_to_virt;
use crate::trap::{Fault, SYSCALL};

/// The registers of a program, in the order trap.s pushes them; also the frame of a trap in ring 1, which ends before
/// `esp`.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)]
pub struct Context {
    pub gs: u32,
    pub fs: u32,
    pub es: u32,
    pub ds: u32,
    pub edi: u32,
    pub esi: u32,
    pub ebp: u32,
    pub ebx: u32,
    pub edx: u32,
    pub ecx: u32,
    pub eax: u32,
    pub vector: u32,
    pub error: u32,
    pub eip: u32,
    pub cs: u32,
    pub eflags: u32,
    pub esp: u32,
    pub ss: u32,
}

unsafe extern "C" {
    fn enter_ring3(context: *mut Context);
}

impl Context {
    /// A program about to execute its first instruction, interrupts on.
    pub fn new(eip: u32, esp: u32) -> Self {
        let data = u32::from(selector::RING3_DS);
        Self {
            gs: 0,
            fs: 0,
            es: data,
            ds: data,
            edi: 0,
            esi: 0,
            ebp: 0,
            ebx: 0,
            edx: 0,
            ecx: 0,
            eax: 0,
            vector: 0,
            error: 0,
            eip,
            cs: u32::from(selector::RING3_CS),
            eflags: IF | 2,
            esp,
            ss: data,
        }
    }

    /// Runs it in the current address space until something brings the processor back to ring 1.
    pub fn run(&mut self) -> Fault {
        DATA.irq_enabled.set(0);
        // SAFETY: trap.s reads and writes exactly this structure; ring 3 cannot reach the kernel's pages.
        unsafe { enter_ring3(self) };
        self.fault()
    }

    /// The trap recorded in this frame.
    pub fn fault(&self) -> Fault {
        let cr2 = if self.vector == 14 { DATA.cr2.get() } else { 0 };
        let irq_enabled = DATA.irq_enabled.get();
        Fault { vector: self.vector, error: self.error, eip: self.eip, eflags: self.eflags, cr2, irq_enabled }
    }

    /// Did a system call end the run?
    pub fn is_syscall(&self) -> bool {
        self.vector == SYSCALL
    }
}

unsafe extern "C" {
    static ring3_load: [[u32; 1024]; 3];
}

/// The pages of ring-3 code, in the order of the image.
#[derive(Clone, Copy)]
#[allow(missing_docs)]
pub enum Page {
    ProgramA,
    ProgramB,
    Probes,
}

/// A frame of its own with a copy of such a page.
pub fn copy_of(page: Page) -> u32 {
    let frame = allocate_frame();
    // SAFETY: three pages of the image, never written.
    let source = unsafe { &ring3_load[page as usize] };
    for (to, &word) in (phys_to_virt(frame)..).step_by(4).zip(source) {
        poke(to, word);
    }
    frame
}

/// The address of a label of assembly code.
#[macro_export]
macro_rules! at {
    ($label:ident) => {{
        unsafe extern "C" {
            static $label: u8;
        }
        &raw const $label as u32
    }};
}
