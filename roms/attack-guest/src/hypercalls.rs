//! Hypercalls that are not for this Guest, at the wrong time, or with pointers to nowhere.

use crate::Verdict;
use crate::target::{OUTSIDE, end_of_ram, expect};
use guest_kit::hypercall::{self, Shutdown, call, call_later, flush_async, number};
use guest_kit::lguest_data::{DATA, IF};
use guest_kit::paging::virt_to_phys;
use guest_kit::trap;

/// Looks at a word the Host may change, at most.
const PATIENCE: u32 = 20_000_000;

/// The attacks of this file.
pub const TABLE: &[(&str, fn() -> Verdict)] = &[
    ("init-twice", || once(number::LGUEST_INIT, data())),
    ("init-twice-async", || queued(number::LGUEST_INIT, data())),
    ("hcall-3", || once(3, 0)),
    ("hcall-11", || once(11, 0)),
    ("hcall-12", || once(12, 0)),
    ("hcall-13", || once(13, 0)),
    ("hcall-20", || once(20, 0)),
    ("hcall-max", || once(u32::MAX, 0)),
    ("hcall-unknown-async", || queued(20, 0)),
    ("nothing", || Ok(())),
    ("crash", || hypercall::shutdown(c"the attack Guest gave up", Shutdown::PowerOff)),
    ("restart", || hypercall::shutdown(c"Restarting system", Shutdown::Restart)),
    ("shutdown-outside", || shutdown(OUTSIDE)),
    ("shutdown-wraps", || shutdown(0xffff_fff0)),
    ("tls-outside", || once(number::LOAD_TLS, OUTSIDE)),
    ("tls-wraps", || once(number::LOAD_TLS, 0xffff_fff8)),
    ("tls-async-outside", || queued(number::LOAD_TLS, OUTSIDE)),
    ("pgtable-outside", || once(number::NEW_PGTABLE, OUTSIDE)),
    ("notify-outside", || once(number::NOTIFY, OUTSIDE)),
    // What it reads is 24 bytes.
    ("tls-at-end", || once(number::LOAD_TLS, end_of_ram() - 24)),
    ("tls-behind-end", || once(number::LOAD_TLS, end_of_ram() - 23)),
    ("hcall-once", hcall_once),
    ("halt-race", halt_race),
    ("async-all-ready", async_all_ready),
];

fn data() -> u32 {
    virt_to_phys(&raw const DATA as u32)
}

fn once(number: u32, argument: u32) -> Verdict {
    call(number, [argument, 0, 0]);
    Ok(())
}

fn queued(number: u32, argument: u32) -> Verdict {
    call_later(number, [argument, 0, 0]);
    flush_async();
    Ok(())
}

fn shutdown(text: u32) -> Verdict {
    call(number::SHUTDOWN, [text, Shutdown::PowerOff as u32, 0]);
    Ok(())
}

/// Every slot claims to be ready, with a status that means nothing.
fn async_all_ready() -> Verdict {
    for (status, slot) in DATA.hcall_status.iter().zip(&DATA.hcalls) {
        slot.set(hypercall::Call::new(number::FLUSH_ASYNC, [u32::MAX; 3]));
        status.set(0x5a);
    }
    flush_async();
    expect(DATA.hcall_status.iter().all(|s| s.get() == 0xff), "the ring was not emptied")
}

/// A call that was made is not made again when something else brings the Guest into the Host.
fn hcall_once() -> Verdict {
    const TIMER: u32 = 0;
    trap::unmask(TIMER);
    DATA.irq_enabled.set(IF);
    let seen = trap::irq_count(TIMER);
    hypercall::set_clockevent(20_000);
    let arrived = (0..PATIENCE).any(|_| trap::irq_count(TIMER) != seen);
    // Made again, it would have set the clock again.
    let again = (0..PATIENCE / 20).any(|_| trap::irq_count(TIMER) > seen + 1);
    trap::disable_interrupts();
    trap::mask(TIMER);
    expect(arrived, "no interrupt came")?;
    expect(!again, "one call was two")
}

/// An interrupt as close to the moment of falling asleep as can be: before, at, behind. Each must wake the sleeper.
fn halt_race() -> Verdict {
    const TIMER: u32 = 0;
    trap::unmask(TIMER);
    for nanoseconds in (100..8000).step_by(3) {
        let seen = trap::irq_count(TIMER);
        trap::disable_interrupts();
        hypercall::set_clockevent(nanoseconds);
        hypercall::halt();
        expect(trap::irq_count(TIMER) == seen + 1, "something else woke it")?;
    }
    trap::disable_interrupts();
    trap::mask(TIMER);
    Ok(())
}
