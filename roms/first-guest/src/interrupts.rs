//! Virtual interrupts and the timer.
//!
//! Waits are loops with a bound: a rule that is broken must make a FAIL line, not a Guest that hangs. The bounds are
//! far above what any machine needs and are never printed.

use crate::ledger::prove as line;
use crate::paging;
use core::hint;
use guest_kit::hypercall::{halt, send_interrupts, set_clockevent, set_pte};
use guest_kit::lguest_data::{DATA, IF, noirq_end, noirq_iret, noirq_start};
use guest_kit::paging::AddressSpace;
use guest_kit::trap::{self, irq_count};

const TIMER: u32 = 0;
const PATIENCE: u32 = 20_000_000;
/// Long enough for a short clock event to have expired.
const A_WHILE: u32 = 2_000_000;
const SHORT: u32 = 50_000;

/// Waits for a condition, up to a bound.
fn wait(condition: impl Fn() -> bool) -> bool {
    for _ in 0..PATIENCE {
        if condition() {
            return true;
        }
        hint::spin_loop();
    }
    false
}

/// Enters the Host until the timer has been seen `count` times.
fn ask_until(count: u32) -> bool {
    (0..A_WHILE).any(|_| {
        send_interrupts();
        irq_count(TIMER) == count
    })
}

/// Gives proofs 20 to 27.
pub fn prove() {
    trap::unmask(TIMER);

    let seen = irq_count(TIMER);
    DATA.irq_enabled.set(IF);
    set_clockevent(SHORT);
    line(20, wait(|| irq_count(TIMER) != seen));

    let seen = irq_count(TIMER);
    trap::mask(TIMER);
    set_clockevent(SHORT);
    for _ in 0..A_WHILE {
        hint::spin_loop();
    }
    let held_back = irq_count(TIMER) == seen;
    trap::unmask(TIMER);
    line(21, held_back && ask_until(seen + 1));

    let seen = irq_count(TIMER);
    make_timer_pending();
    line(22, DATA.irq_pending.get() != 0 && irq_count(TIMER) == seen);
    trap::enable_interrupts();
    line(23, ask_until(seen + 1) && DATA.irq_pending.get() == 0);
    trap::disable_interrupts();

    line(24, window_is_quiet());

    let seen = irq_count(TIMER);
    trap::disable_interrupts();
    set_clockevent(SHORT);
    halt();
    line(25, irq_count(TIMER) == seen + 1);

    trap::disable_interrupts();
    trap::mask(TIMER);
    paging::prove_async_ring();
}

/// With `irq_enabled` 0, lets the timer expire.
fn make_timer_pending() -> bool {
    trap::disable_interrupts();
    set_clockevent(SHORT);
    wait(|| DATA.irq_pending.get() != 0)
}

/// Leaves through the window with an interrupt pending, and makes the Host look exactly at its IRET: the page that
/// starts with it has just lost its shadow entry.
fn window_is_quiet() -> bool {
    unsafe extern "C" {
        safe fn leave_through_window();
    }
    let seen = irq_count(TIMER);
    let pending = make_timer_pending();
    set_pte(AddressSpace::kernel().cr3(), &raw const noirq_iret as u32, 0);
    leave_through_window();
    let arrived = ask_until(seen + 1);
    trap::disable_interrupts();
    let window = &raw const noirq_start as u32..&raw const noirq_end as u32;
    pending && arrived && trap::latest_irq().is_some_and(|i| !window.contains(&i.eip) && i.enabled == 0)
}
