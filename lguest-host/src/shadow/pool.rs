//! The pages shadow tables are made of: a fixed number per Guest, recycled when they run out (10.3).

use crate::abi::PAGE;

/// A pool of page frames, contiguous in physical memory. Free frames are linked through their first word.
pub struct Pool {
    /// Where the Host sees frame 0.
    view: *mut u8,
    /// Physical address of frame 0; never 0.
    base: u32,
    frames: u32,
    free: u32,
}

impl Pool {
    /// A pool of the `frames` page frames at physical address `base`, seen by the Host at `view`.
    ///
    /// # Safety
    /// They are the pool's alone, readable and writable, as long as it lives. `base` is page-aligned and not 0.
    pub unsafe fn new(view: *mut u8, base: u32, frames: u32) -> Pool {
        let mut pool = Pool { view, base, frames, free: 0 };
        for n in (0..frames).rev() {
            pool.give(base + n * PAGE);
        }
        pool
    }

    /// Where the Host sees entry `index` of the table in `frame`.
    fn pointer(&self, frame: u32, index: u32) -> Option<*mut u64> {
        let at = (frame & !0xFFF).wrapping_sub(self.base).checked_add(index * 8)?;
        (at < self.frames * PAGE).then(|| self.view.wrapping_add(at as usize).cast())
    }

    /// A zeroed frame.
    pub fn take(&mut self) -> Option<u32> {
        let frame = self.free;
        if frame == 0 {
            return None;
        }
        self.free = self.read(frame, 0) as u32;
        if let Some(page) = self.pointer(frame, 0) {
            // SAFETY: a whole frame of the pool (`new`).
            unsafe { page.cast::<u8>().write_bytes(0, PAGE as usize) };
        }
        Some(frame)
    }

    /// Give a frame back.
    pub fn give(&mut self, frame: u32) {
        self.write(frame, 0, self.free as u64);
        self.free = frame;
    }

    /// Entry `index` of the table in `frame`; 0 for a frame that is not the pool's.
    pub fn read(&self, frame: u32, index: u32) -> u64 {
        // SAFETY: inside a frame of the pool, aligned by construction.
        self.pointer(frame, index).map_or(0, |at| unsafe { at.read() })
    }

    /// `N` entries of the table in `frame` from `first` on.
    pub fn entries<const N: usize>(&mut self, frame: u32, first: u32) -> Option<&mut [u64; N]> {
        self.pointer(frame, first + N as u32 - 1)?;
        // SAFETY: from the first to the last inside a frame of the pool, which is borrowed as long as they are; any bits are entries.
        self.pointer(frame, first).map(|at| unsafe { &mut *at.cast() })
    }

    /// Set entry `index` of the table in `frame`.
    pub fn write(&mut self, frame: u32, index: u32, entry: u64) {
        if let Some(at) = self.pointer(frame, index) {
            // SAFETY: as in `read`.
            unsafe { at.write(entry) };
        }
    }
}
