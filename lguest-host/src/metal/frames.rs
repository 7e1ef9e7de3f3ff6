//! Physical memory: one range, handed out from its start and never taken back. Guests keep theirs for life, and a
//! restarted Guest gets the same again.

use super::boot;
use super::multiboot::{Info, Range};
use lguest_host::abi::PAGE;

/// The memory nobody uses yet.
pub struct Frames {
    next: u32,
    end: u32,
}

impl Frames {
    /// The largest gap between what is occupied.
    pub fn new(info: &Info) -> Frames {
        let (start, end) = boot::image();
        let image = Range { start, end };
        let mut best = Range::default();
        for usable in info.memory().filter(|r| r.end > 1 << 20) {
            let mut start = usable.start.max(1 << 20);
            while start < usable.end {
                let blocks = || info.occupied().chain([image]);
                if let Some(block) = blocks().find(|b| b.start <= start && start < b.end) {
                    start = block.end;
                    continue;
                }
                let end = blocks().map(|b| b.start).filter(|&s| s > start).fold(usable.end, u32::min);
                if end - start > best.end - best.start {
                    best = Range { start, end };
                }
                start = end;
            }
        }
        Frames { next: best.start.next_multiple_of(PAGE), end: best.end & !(PAGE - 1) }
    }

    /// Pages left.
    pub fn free(&self) -> u32 {
        self.end.saturating_sub(self.next) / PAGE
    }

    /// `pages` contiguous pages, not zeroed.
    pub fn take(&mut self, pages: u32) -> Option<u32> {
        if pages > self.free() {
            return None;
        }
        let start = self.next;
        self.next += pages * PAGE;
        Some(start)
    }

    /// One zeroed page.
    ///
    /// # Panics
    /// If there is none: too little memory for the Host itself.
    pub fn page(&mut self) -> u32 {
        let Some(page) = self.take(1) else { panic!("too little memory for the Host") };
        // SAFETY: the page is nobody else's and mapped one to one.
        unsafe { (page as *mut u8).write_bytes(0, PAGE as usize) };
        page
    }
}
