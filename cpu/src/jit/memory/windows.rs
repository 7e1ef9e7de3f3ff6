//! Code memory on Windows: a section of the paging file viewed twice, or once with switched protection.

use super::Mapping;
use std::io;
use std::ptr::{null, null_mut};
use windows_sys::Win32::Foundation::{CloseHandle, INVALID_HANDLE_VALUE};
use windows_sys::Win32::System::Memory::{
    CreateFileMappingW, FILE_MAP_EXECUTE, FILE_MAP_READ, FILE_MAP_WRITE, MEMORY_MAPPED_VIEW_ADDRESS,
    MapViewOfFile, PAGE_EXECUTE_READ, PAGE_EXECUTE_READWRITE, PAGE_READWRITE, UnmapViewOfFile,
    VirtualProtect,
};

/// The writable and the executable address of `len` new bytes.
pub(super) fn map(len: usize, mapping: Mapping) -> io::Result<(*mut u8, *mut u8)> {
    let (high, low) = ((len as u64 >> 32) as u32, len as u32);
    // SAFETY: no name, no security attributes: a section of our own.
    let section = unsafe {
        CreateFileMappingW(INVALID_HANDLE_VALUE, null(), PAGE_EXECUTE_READWRITE, high, low, null())
    };
    if section.is_null() {
        return Err(io::Error::last_os_error());
    }
    let view = |access| {
        // SAFETY: a new view at an address of the system's choice.
        let address = unsafe { MapViewOfFile(section, access, 0, 0, len) }.Value.cast::<u8>();
        if address.is_null() { Err(io::Error::last_os_error()) } else { Ok(address) }
    };
    let result = match mapping {
        Mapping::Dual => view(FILE_MAP_READ | FILE_MAP_WRITE).and_then(|writable| {
            match view(FILE_MAP_READ | FILE_MAP_EXECUTE) {
                Ok(executable) => Ok((writable, executable)),
                Err(e) => {
                    unmap(writable, writable, len);
                    Err(e)
                }
            }
        }),
        Mapping::Single => {
            view(FILE_MAP_READ | FILE_MAP_WRITE | FILE_MAP_EXECUTE).map(|address| (address, address))
        }
    };
    // SAFETY: the handle is ours; the views keep the section alive.
    unsafe { CloseHandle(section) };
    if let (Ok((address, _)), Mapping::Single) = (&result, mapping) {
        protect(*address, len, false);
    }
    result
}

/// Single mapping: make it writable (and not executable), or executable (and not writable).
pub(super) fn protect(address: *mut u8, len: usize, writable: bool) {
    let mut old = 0;
    let wanted = if writable { PAGE_READWRITE } else { PAGE_EXECUTE_READ };
    // SAFETY: the range is ours and nothing executes in it while this thread is here.
    let result = unsafe { VirtualProtect(address.cast(), len, wanted, &mut old) };
    assert_ne!(result, 0, "code memory cannot change protection: {}", io::Error::last_os_error());
}

pub(super) fn unmap(writable: *mut u8, executable: *mut u8, _len: usize) {
    for address in [writable, if executable == writable { null_mut() } else { executable }] {
        if !address.is_null() {
            // SAFETY: the view came from `map` and nobody uses it any more.
            unsafe { UnmapViewOfFile(MEMORY_MAPPED_VIEW_ADDRESS { Value: address.cast() }) };
        }
    }
}
