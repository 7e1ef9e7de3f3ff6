//! How a Guest ends (10.1). The first reason is kept; a dead Guest is never entered again.

use crate::mutant;

macro_rules! categories {
    ($($name:ident $text:literal;)*) => {
        /// Why the Host killed a Guest.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[allow(missing_docs)]
        pub enum Category { $($name),* }

        impl Category {
            /// Name in the specification, as it appears in the Host's log.
            pub const fn name(self) -> &'static str {
                match self { $(Category::$name => $text),* }
            }
        }
    };
}

categories! {
    HcallBeforeInit "HCALL_BEFORE_INIT";
    AlreadyInit "ALREADY_INIT";
    BadHypercall "BAD_HYPERCALL";
    BadGuestPage "BAD_GUEST_PAGE";
    BadSyscallVector "BAD_SYSCALL_VECTOR";
    BadKernelAddress "BAD_KERNEL_ADDRESS";
    BadRead "BAD_READ";
    BadWrite "BAD_WRITE";
    BadAddress "BAD_ADDRESS";
    BadPgd "BAD_PGD";
    BadPmd "BAD_PMD";
    BadPte "BAD_PTE";
    BadPgdIndex "BAD_PGD_INDEX";
    SwitcherTouch "SWITCHER_TOUCH";
    BadStackSegment "BAD_STACK_SEGMENT";
    BadStackPages "BAD_STACK_PAGES";
    BadStackPage "BAD_STACK_PAGE";
    TooManyGdt "TOO_MANY_GDT";
    IdtRange "IDT_RANGE";
    BadIdtType "BAD_IDT_TYPE";
    UnhandledTrap "UNHANDLED_TRAP";
    AsyncFetch "ASYNC_FETCH";
    AsyncWrite "ASYNC_WRITE";
    Cr2Write "CR2_WRITE";
    TimeWrite "TIME_WRITE";
    IrqWrite "IRQ_WRITE";
    OutOfMemory "OUT_OF_MEMORY";
    NotifyRange "NOTIFY_RANGE";
}

/// Longest text of SHUTDOWN, its NUL included.
pub const TEXT: usize = 128;

/// What the Guest said with SHUTDOWN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text(pub [u8; TEXT]);

impl Text {
    /// These words, cut to what fits.
    pub fn new(words: &[u8]) -> Text {
        let mut bytes = [0; TEXT];
        for (to, from) in bytes.iter_mut().zip(words) {
            *to = *from;
        }
        Text(bytes)
    }

    /// The bytes before the first NUL.
    pub fn bytes(&self) -> &[u8] {
        self.0.split(|&b| b == 0).next().unwrap_or(&[])
    }

    /// Linux and our own Guests say this when they were told to power off.
    pub fn is_power_down(&self) -> bool {
        self.bytes() == b"Power down"
    }
}

/// The end of a Guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Death {
    /// Misuse: the category and the value that was wrong.
    Killed(Category, u32),
    /// SHUTDOWN with reason 1: a clean power-off or a crash, by its text.
    Shutdown,
    /// SHUTDOWN with reason 2, or the reset line as a PC's kernel pulls it.
    Restart,
    /// It executed HLT with its interrupts off: nothing can wake it.
    Halted,
}

/// The result of doing something for a Guest.
pub type Outcome<T> = Result<T, Death>;

/// Kill with `category` unless `ok`. `value` is what was wrong.
#[inline]
pub fn require(ok: bool, category: Category, value: u32) -> Outcome<()> {
    if ok || mutant::unchecked(category.name()) { Ok(()) } else { Err(Death::Killed(category, value)) }
}

/// Turn the category of an error: what failed to be read is, say, the asynchronous ring.
pub fn named<T>(result: Outcome<T>, category: Category) -> Outcome<T> {
    result.map_err(|death| match death {
        Death::Killed(_, value) => Death::Killed(category, value),
        other => other,
    })
}
