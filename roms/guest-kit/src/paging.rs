//! The Guest's page tables in its own memory, which the Host mirrors in shadow tables: two levels of 32-bit entries, or with the
//! word `pae` on the command line three of 64-bit entries, whose high words stay 0.
//!
//! The kernel is mapped at [`KERNEL_BASE`] + guest-physical in every address space; everything below belongs to ring 3.
//! Writing an entry does not tell the Host; a hypercall does, and only a change of what was present needs one.

use crate::hypercall;
use crate::memory::{PAGE, allocate_frame};

/// Where guest-physical 0 is mapped: the Guest's own choice, told to the Host at INIT.
pub const KERNEL_BASE: u32 = 0x8000_0000;
/// Where device pages are mapped.
pub const DEVICE_BASE: u32 = 0x9000_0000;

/// Flags of page-table entries.
#[allow(missing_docs)]
pub mod flags {
    pub const PRESENT: u32 = 1;
    pub const WRITABLE: u32 = 2;
    pub const USER: u32 = 4;
    pub const ACCESSED: u32 = 0x20;
    pub const DIRTY: u32 = 0x40;
    pub const LARGE: u32 = 0x80;
    pub const KERNEL_DATA: u32 = PRESENT | WRITABLE;
    pub const USER_DATA: u32 = PRESENT | WRITABLE | USER;
    pub const USER_CODE: u32 = PRESENT | USER;
    /// What a top-level entry for ring 3 carries.
    pub const TABLE: u32 = 0x67;
}

unsafe extern "C" {
    static boot_page_directory: u32;
    static boot_pae: u32;
}

/// Has every entry two words?
pub fn is_pae() -> bool {
    // SAFETY: boot.s wrote it before any Rust code ran.
    unsafe { boot_pae != 0 }
}

/// Bytes of an entry, and bits of an index into a page of them.
fn entry_size() -> (u32, u32) {
    if is_pae() { (8, 9) } else { (4, 10) }
}

/// Guest-physical to kernel address.
pub const fn phys_to_virt(physical: u32) -> u32 {
    physical.wrapping_add(KERNEL_BASE)
}

/// Kernel address to guest-physical.
pub const fn virt_to_phys(address: u32) -> u32 {
    address.wrapping_sub(KERNEL_BASE)
}

/// A page directory and what hangs on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct AddressSpace {
    directory: u32,
}

impl AddressSpace {
    /// The one the kernel booted with.
    pub fn kernel() -> Self {
        Self { directory: virt_to_phys(&raw const boot_page_directory as u32) }
    }

    /// A new one with nothing but the kernel in it.
    pub fn new() -> Self {
        let new = Self { directory: allocate_frame() };
        // The upper half of the directory, or of its four pointers.
        let (from, end) = if is_pae() { (16, 32) } else { (2048, 4096) };
        for at in (from..end).step_by(4) {
            write_word(new.directory + at, read_word(Self::kernel().directory + at));
        }
        new
    }

    /// Guest-physical address of the page directory: what CR3 would hold.
    pub fn cr3(self) -> u32 {
        self.directory
    }

    /// Makes it the current one.
    pub fn activate(self) {
        hypercall::new_pgtable(self.directory);
    }

    /// Where the directory entry for an address is; with PAE in one of four directories, made if need be.
    fn directory_slot(self, address: u32) -> u32 {
        let (bytes, bits) = entry_size();
        let index = address >> (12 + bits) & ((1 << bits) - 1);
        if !is_pae() {
            return self.directory + bytes * index;
        }
        let pointer = self.directory + bytes * (address >> 30);
        if read_word(pointer) == 0 {
            write_word(pointer, allocate_frame() | flags::PRESENT);
        }
        (read_word(pointer) & !0xfff) + bytes * index
    }

    /// Guest-physical address of the page directory an address is in, and the index there.
    pub fn directory_place(self, address: u32) -> (u32, u32) {
        let slot = self.directory_slot(address);
        (slot & !0xfff, (slot & 0xfff) / entry_size().0)
    }

    /// The directory entry for an address.
    pub fn directory_entry(self, address: u32) -> u32 {
        read_word(self.directory_slot(address))
    }

    /// Writes the directory entry for an address; the Host is not told.
    pub fn set_directory_entry(self, address: u32, entry: u32) {
        write_word(self.directory_slot(address), entry);
    }

    /// Where the page-table entry for an address is, if there is a table.
    fn slot(self, address: u32) -> Option<u32> {
        let (bytes, bits) = entry_size();
        match self.directory_entry(address) {
            0 => None,
            table => Some((table & !0xfff) + bytes * (address >> 12 & ((1 << bits) - 1))),
        }
    }

    /// The page-table entry for an address, 0 where no table is.
    pub fn entry(self, address: u32) -> u32 {
        self.slot(address).map_or(0, read_word)
    }

    /// Writes the page-table entry for an address, with a new table if need be; the Host is not told.
    pub fn set_entry(self, address: u32, entry: u32) {
        if self.directory_entry(address) == 0 {
            self.set_directory_entry(address, allocate_frame() | flags::TABLE);
        }
        if let Some(slot) = self.slot(address) {
            write_word(slot, entry);
        }
    }

    /// Writes the high word of the page-table entry for an address, with PAE; the Host is not told.
    pub fn set_high_word(self, address: u32, word: u32) {
        if let Some(slot) = self.slot(address) {
            write_word(slot + 4, word);
        }
    }

    /// Maps a frame where nothing was: no hypercall, the first touch brings it into the shadow table.
    pub fn map(self, address: u32, physical: u32, page_flags: u32) {
        self.set_entry(address, physical & !0xfff | page_flags);
    }

    /// Changes an entry and tells the Host.
    pub fn change(self, address: u32, entry: u32) {
        self.set_entry(address, entry);
        hypercall::set_pte(self.directory, address, entry);
    }

    /// Maps device pages at [`DEVICE_BASE`] + `offset`, in the tables every address space shares.
    pub fn map_device(self, offset: u32, physical: u32, pages: u32) -> u32 {
        let address = DEVICE_BASE + offset;
        for page in 0..pages {
            self.map(address + page * PAGE, physical + page * PAGE, flags::KERNEL_DATA);
        }
        address
    }
}

impl Default for AddressSpace {
    fn default() -> Self {
        Self::new()
    }
}

/// The low word of an entry, as it is in memory now: the Host writes accessed and dirty bits there.
fn read_word(at: u32) -> u32 {
    // SAFETY: tables come from allocate_frame or boot.s, both in the kernel's mapping.
    unsafe { (phys_to_virt(at) as *const u32).read_volatile() }
}

fn write_word(at: u32, word: u32) {
    // SAFETY: as in read_word.
    unsafe { (phys_to_virt(at) as *mut u32).write_volatile(word) }
}
