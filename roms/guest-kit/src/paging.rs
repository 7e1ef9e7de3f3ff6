//! The Guest's page tables: two levels of 32-bit entries in its own memory, which the Host mirrors in shadow tables.
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
        for index in KERNEL_BASE >> 22..1024 {
            write_entry(new.directory, index, read_entry(Self::kernel().directory, index));
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

    /// The top-level entry for an address.
    pub fn directory_entry(self, address: u32) -> u32 {
        read_entry(self.directory, address >> 22)
    }

    /// Writes the top-level entry for an address; the Host is not told.
    pub fn set_directory_entry(self, address: u32, entry: u32) {
        write_entry(self.directory, address >> 22, entry);
    }

    /// The page-table entry for an address, 0 where no table is.
    pub fn entry(self, address: u32) -> u32 {
        match self.directory_entry(address) {
            0 => 0,
            table => read_entry(table & !0xfff, (address >> 12) & 0x3ff),
        }
    }

    /// Writes the page-table entry for an address, with a new table if need be; the Host is not told.
    pub fn set_entry(self, address: u32, entry: u32) {
        if self.directory_entry(address) == 0 {
            self.set_directory_entry(address, allocate_frame() | flags::TABLE);
        }
        write_entry(self.directory_entry(address) & !0xfff, (address >> 12) & 0x3ff, entry);
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

/// One entry of a table, as it is in memory now: the Host writes accessed and dirty bits there.
fn read_entry(table: u32, index: u32) -> u32 {
    // SAFETY: tables come from allocate_frame or boot.s, both in the kernel's mapping; index is below 1024.
    unsafe { (phys_to_virt(table) as *const u32).add(index as usize).read_volatile() }
}

fn write_entry(table: u32, index: u32, entry: u32) {
    // SAFETY: as in read_entry.
    unsafe { (phys_to_virt(table) as *mut u32).add(index as usize).write_volatile(entry) }
}
