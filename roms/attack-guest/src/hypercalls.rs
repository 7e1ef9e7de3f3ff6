//! Hypercalls that are not for this Guest, at the wrong time, or with pointers to nowhere.

use crate::Verdict;
use crate::target::OUTSIDE;
use guest_kit::hypercall::{self, Shutdown, call, call_later, flush_async, number};
use guest_kit::lguest_data::DATA;
use guest_kit::paging::virt_to_phys;

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
    ("crash", || hypercall::shutdown(c"the attack Guest gave up", Shutdown::PowerOff)),
    ("restart", || hypercall::shutdown(c"Restarting system", Shutdown::Restart)),
    ("shutdown-outside", || shutdown(OUTSIDE)),
    ("shutdown-wraps", || shutdown(0xffff_fff0)),
    ("tls-outside", || once(number::LOAD_TLS, OUTSIDE)),
    ("tls-wraps", || once(number::LOAD_TLS, 0xffff_fff8)),
    ("tls-async-outside", || queued(number::LOAD_TLS, OUTSIDE)),
    ("pgtable-outside", || once(number::NEW_PGTABLE, OUTSIDE)),
    ("notify-outside", || once(number::NOTIFY, OUTSIDE)),
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
    crate::target::expect(DATA.hcall_status.iter().all(|s| s.get() == 0xff), "the ring was not emptied")
}
