//! The world switch, from the Host's side: into a Guest and back.

use super::boot::NMI_COUNT;
use super::{cpu, interrupts, paging, tables};
use core::sync::atomic::Ordering;
use lguest_host::guest::Guest;
use switcher_asm::{NO_TRAP, switch_to_guest};

/// Run `guest`, whose pages are at these physical addresses, until its next exit. Returns CR2 as the exit left it.
pub fn enter(guest: &mut Guest, registers: u32, state_page: u32) -> u32 {
    paging::map_guest_pages(registers, state_page);
    guest.frame().trapnum = NO_TRAP;
    let state = guest.state();
    state.host_cr3 = paging::cr3();
    state.host_gdtr = tables::gdtr();
    state.host_idtr = tables::idtr();
    state.host_tss_descriptor = tables::tss_descriptor();
    // SAFETY: interrupts are off; the Switcher and both pages are mapped in both spaces; `Guest::prepare` filled the
    // live tables and `Guest::check_entry` the selectors and flags.
    unsafe { switch_to_guest() };
    let cr2 = cpu::cr2();
    collect_nmis(guest);
    let trap = guest.frame().trapnum;
    if (tables::IRQ_BASE..tables::IRQ_BASE + 16).contains(&trap) {
        interrupts::serve_irq(trap - tables::IRQ_BASE);
    }
    cr2
}

/// NMIs that came while the Guest's IDT was loaded. One may come between reading and clearing: subtract, not clear.
fn collect_nmis(guest: &mut Guest) {
    let seen = guest.state().nmi_count;
    if seen != 0 {
        NMI_COUNT.fetch_add(seen, Ordering::Relaxed);
        // The Host's IDT is loaded now: nobody else changes the word.
        guest.state().nmi_count -= seen;
    }
}
