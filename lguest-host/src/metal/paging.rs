//! The Host's address space: all memory one to one, and the Switcher's window at the top.

use super::boot;
use super::cpu;
use super::frames::Frames;
use super::once::Global;
use lguest_host::abi::PAGE;
use lguest_host::mutant::broken;
use switcher_asm::{REGS_PAGE, STATE_PAGE, SWITCHER, TEXT_PAGES};

const PRESENT: u32 = 1;
const WRITABLE: u32 = 2;
const LARGE: u32 = 0x80;

const CR0_WP: u32 = 1 << 16;
const CR0_NE: u32 = 1 << 5;
const CR0_MP: u32 = 1 << 1;
const CR0_EM: u32 = 1 << 2;
const CR0_PG: u32 = 1 << 31;
const CR4_PSE: u32 = 1 << 4;

/// The Host's own tables, and what the Switcher's window shows.
struct Space {
    directory: u32,
    /// The leaf table of the Switcher's window.
    window: u32,
    /// Physical addresses of the Guest's two pages in it.
    guest: [u32; 2],
}

static SPACE: Global<Space> = Global::new(Space { directory: 0, window: 0, guest: [0; 2] });

/// Build the tables and turn paging on.
pub fn init(frames: &mut Frames) {
    let directory = frames.page();
    let window = frames.page();
    SPACE.with(|space| *space = Space { directory, window, guest: [0; 2] });
    let put = |table: u32, index: u32, entry: u32| {
        // SAFETY: a page of ours, index below 1024.
        unsafe { (table as *mut u32).add(index as usize).write(entry) };
    };
    for n in 0..1023 {
        put(directory, n, n << 22 | LARGE | WRITABLE | PRESENT);
    }
    put(directory, SWITCHER >> 22, window | WRITABLE | PRESENT);
    for n in 0..TEXT_PAGES {
        put(window, n, (boot::switcher_text() + n * PAGE) | PRESENT);
    }
    let wp = if broken("cr0-wp-off") { 0 } else { CR0_WP };
    // SAFETY: everything the Host uses is mapped where it was.
    unsafe {
        // PSE and nothing a loader left: no PGE, TSD, PVI, SMAP (1.8).
        cpu::set_cr4(CR4_PSE);
        cpu::set_cr3(directory);
        cpu::set_cr0(cpu::cr0() & !CR0_EM | CR0_PG | wp | CR0_NE | CR0_MP);
    }
}

/// CR3 of the Host.
pub fn directory() -> u32 {
    SPACE.with(|space| space.directory)
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
            // SAFETY: the window's own table; the pages belong to the Guest about to run.
            unsafe {
                ((space.window + (address >> 10 & 0xFFC)) as *mut u32).write(page | WRITABLE | PRESENT)
            };
            cpu::invlpg(address);
        }
    });
}

/// Physical pages of the Switcher's text.
pub fn switcher_text_pages() -> [u32; TEXT_PAGES as usize] {
    [boot::switcher_text(), boot::switcher_text() + PAGE]
}
