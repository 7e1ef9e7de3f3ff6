//! Deliberate miscompilations. A comparison of engines that is worth anything finds each of them.
//!
//! They are looked at while code is made (or in the runtime's slow paths), so correct code does not pay for them.

macro_rules! faults {
    ($($(#[$doc:meta])* $name:ident $text:literal,)*) => {
        /// One thing compiled code does wrong.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum EmitFault {
            $($(#[$doc])* $name,)*
        }

        impl EmitFault {
            /// Every fault with its name.
            pub const ALL: &[(&str, EmitFault)] = &[$(($text, EmitFault::$name),)*];
        }
    };
}

faults! {
    /// A block costs one instruction less than it has.
    BudgetShort "budget-short",
    /// A branch inside a block that is taken pays for what it jumps over.
    SectionOwed "section-owed",
    /// Where a group is outlives the handler of an instruction in the middle of it.
    GroupKept "group-kept",
    /// AF stays as the host's shifts leave it.
    ShiftAfKept "shift-af-kept",
    /// SF, ZF and PF stay as the host's multiplications leave them.
    ProductFlagsKept "product-flags-kept",
    /// Flags after a division are the host's.
    DivideFlagsKept "divide-flags-kept",
    /// MOVSX extends with zeros.
    SignLost "sign-lost",
    /// ADC is ADD.
    CarryInLost "carry-in-lost",
    /// SBB is SUB.
    BorrowInLost "borrow-in-lost",
    /// INC writes CF.
    IncWritesCarry "inc-writes-carry",
    /// Condition BE is B.
    BelowOrEqualIsBelow "below-or-equal-is-below",
    /// AH, CH, DH, BH are AL, CL, DL, BL.
    HighByteIsLow "high-byte-is-low",
    /// MOV between 16-bit registers writes 32 bits.
    WordMoveIsDouble "word-move-is-double",
    /// PUSH ESP stores the new value.
    PushEspAfter "push-esp-after",
    /// RET n releases nothing.
    RetKeepsArguments "ret-keeps-arguments",
    /// LEAVE does not pop.
    LeaveKeepsFrame "leave-keeps-frame",
    /// An access across a page's end uses the first page alone.
    PageEndUnseen "page-end-unseen",
    /// Every page counts as one at the usual distance.
    DistanceUnseen "distance-unseen",
    /// Stores need only the right to read.
    WriteLikeRead "write-like-read",
    /// A page that is looked up for a read is written to.
    RefillLikeWrite "refill-like-write",
    /// Limits are not checked.
    LimitUnseen "limit-unseen",
    /// The byte after the limit is inside.
    LimitOffByOne "limit-off-by-one",
    /// What lies above the end of all segments is in the view nevertheless.
    CeilingUnseen "ceiling-unseen",
    /// Segment bases other than 0 are forgotten.
    BaseForgotten "base-forgotten",
    /// A check of memory leaves the host's flags as it likes.
    CheckWritesFlags "check-writes-flags",
    /// Links to other pages are followed whatever is mapped there.
    LinkUnguarded "link-unguarded",
    /// Stores into code are not noticed.
    CodeWriteUnseen "code-write-unseen",
    /// The constant of an instruction whose constant is written to is what it was when the code was made.
    SoftConstantKept "soft-constant-kept",
    /// Code that was put aside comes back whatever its bytes are.
    RevivedUnlooked "revived-unlooked",
    /// Code that was put aside is entered nevertheless.
    SleepUnseen "sleep-unseen",
    /// Links to forgotten code are kept.
    DeadLinkKept "dead-link-kept",
    /// Code goes on in the old mode after a segment register was loaded.
    ModeUnchecked "mode-unchecked",
    /// Descriptors and gates that a transfer met once are not read again.
    TransferRemembered "transfer-remembered",
    /// IRET leaves the inner level's data segments to the outer one.
    InnerSegmentsKept "inner-segments-kept",
    /// IRET goes on although an interrupt waits for the IF it sets.
    WaitingUnseen "waiting-unseen",
    /// STI holds interrupts off an instruction too late.
    ShadowLate "shadow-late",
    /// Iterations of REP beyond the first cost nothing.
    RepUncounted "rep-uncounted",
    /// Faults save the address of the next instruction.
    FaultAfter "fault-after",
    /// CMOVcc with a false condition writes too.
    CmovAlways "cmov-always",
    /// String instructions go up always.
    DirectionForgotten "direction-forgotten",
    /// A loop that waits for a port does not see the first time that the port is another.
    Overslept "overslept",
    /// MXCSR is the host's own after a handler ran between SSE operations.
    RoundingForgotten "rounding-forgotten",
    /// The x87 forgets where its last instruction was.
    X87PointerKept "x87-pointer-kept",
    /// The x87 forgets its last memory operand.
    X87DataPointerKept "x87-data-pointer-kept",
    /// FLDCW changes what FNSTCW reads, and nothing else.
    X87ControlUnseen "x87-control-unseen",
    /// The status word is left behind in the host's x87.
    X87StatusLost "x87-status-lost",
    /// Registers are not fetched again after a handler ran.
    X87NotFetched "x87-not-fetched",
    /// NEG leaves the flags of NOT: none.
    NegIsNotPlusOne "neg-is-not-plus-one",
}

impl EmitFault {
    /// Find a fault by name.
    pub fn from_name(name: &str) -> Option<EmitFault> {
        EmitFault::ALL.iter().find(|(n, _)| *n == name).map(|&(_, fault)| fault)
    }
}
