//! The Host's address space: all memory one to one, and the Switcher's window at the top. The tables are PAE, because those of
//! Guests are (see `shadow`), and the world switch changes CR3 and nothing else.

use super::boot;
use super::cpu;
use super::frames::Frames;
use super::once::Global;
use lguest_host::abi::PAGE;
use lguest_host::mutant::broken;
use switcher_asm::{REGS_PAGE, STATE_PAGE, SWITCHER, TEXT_PAGES};

const PRESENT: u64 = 1;
const WRITABLE: u64 = 2;
const LARGE: u64 = 0x80;

const CR0_WP: u32 = 1 << 16;
const CR0_NE: u32 = 1 << 5;
const CR0_MP: u32 = 1 << 1;
const CR0_EM: u32 = 1 << 2;
const CR0_PG: u32 = 1 << 31;
const CR4_PAE: u32 = 1 << 5;
const CPUID_PAE: u32 = 1 << 6;

/// Bits of an address inside what a directory entry maps.
const LARGE_SHIFT: u32 = 21;
/// Entries of a table.
const ENTRIES: u32 = 512;

/// The Host's own tables, and what the Switcher's window shows.
struct Space {
    /// The page-directory-pointer table.
    pointers: u32,
    /// The leaf table of the Switcher's window.
    window: u32,
    /// Physical addresses of the Guest's two pages in it.
    guest: [u32; 2],
}

static SPACE: Global<Space> = Global::new(Space { pointers: 0, window: 0, guest: [0; 2] });

/// Set entry `index` of one of the Host's tables.
fn put(table: u32, index: u32, entry: u64) {
    // SAFETY: callers pass a page of ours and an index below `ENTRIES`.
    unsafe { (table as *mut u64).add(index as usize).write(entry) };
}

/// Build the tables and turn paging on.
///
/// # Panics
/// Without PAE, which every processor since the Pentium Pro has.
pub fn init(frames: &mut Frames) {
    assert!(cpu::features() & CPUID_PAE != 0, "this processor has no PAE");
    let (pointers, window) = (frames.page(), frames.page());
    SPACE.with(|space| *space = Space { pointers, window, guest: [0; 2] });
    for slot in 0..4 {
        let directory = frames.page();
        put(pointers, slot, directory as u64 | PRESENT);
        for index in 0..ENTRIES {
            let address = (slot * ENTRIES + index) << LARGE_SHIFT;
            let entry = if address >> LARGE_SHIFT == SWITCHER >> LARGE_SHIFT {
                window as u64 | WRITABLE | PRESENT
            } else if address < SWITCHER {
                address as u64 | LARGE | WRITABLE | PRESENT
            } else {
                0
            };
            put(directory, index, entry);
        }
    }
    for n in 0..TEXT_PAGES {
        put(window, n, (boot::switcher_text() + n * PAGE) as u64 | PRESENT);
    }
    let wp = if broken("cr0-wp-off") { 0 } else { CR0_WP };
    // SAFETY: everything the Host uses is mapped where it was.
    unsafe {
        // PAE and nothing a loader left: no PGE, TSD, PVI, SMAP (1.8).
        cpu::set_cr4(CR4_PAE);
        cpu::set_cr3(pointers);
        cpu::set_cr0(cpu::cr0() & !CR0_EM | CR0_PG | wp | CR0_NE | CR0_MP);
    }
}

/// CR3 of the Host.
pub fn cr3() -> u32 {
    SPACE.with(|space| space.pointers)
}

/// Map the two pages of the Guest that is about to run into the window. Mostly they are there already.
pub fn map_guest_pages(registers: u32, state: u32) {
    SPACE.with(|space| {
        let pages = [registers, state];
        if space.guest == pages {
            return;
        }
        space.guest = pages;
        for (address, page) in [REGS_PAGE, STATE_PAGE].into_iter().zip(pages) {
            put(space.window, address >> 12 & (ENTRIES - 1), page as u64 | WRITABLE | PRESENT);
            cpu::invlpg(address);
        }
    });
}

/// Physical pages of the Switcher's text.
pub fn switcher_text_pages() -> [u32; TEXT_PAGES as usize] {
    [boot::switcher_text(), boot::switcher_text() + PAGE]
}
