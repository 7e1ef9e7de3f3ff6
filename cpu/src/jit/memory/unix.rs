//! Code memory on Unix: an anonymous file mapped twice, or an anonymous mapping with switched protection (`MAP_JIT`
//! on macOS, where the switch is per thread).

use super::Mapping;
use std::io;
use std::ptr::null_mut;

const RW: libc::c_int = libc::PROT_READ | libc::PROT_WRITE;
const RX: libc::c_int = libc::PROT_READ | libc::PROT_EXEC;

/// The writable and the executable address of `len` new bytes.
pub(super) fn map(len: usize, mapping: Mapping) -> io::Result<(*mut u8, *mut u8)> {
    match mapping {
        Mapping::Dual => {
            let file = anonymous_file(len)?;
            let writable = mmap(len, RW, libc::MAP_SHARED, file);
            let executable = mmap(len, RX, libc::MAP_SHARED, file);
            // SAFETY: the descriptor is ours; the mappings keep the file alive.
            unsafe { libc::close(file) };
            match (writable, executable) {
                (Ok(w), Ok(x)) => Ok((w, x)),
                (Err(e), other) | (other, Err(e)) => {
                    if let Ok(address) = other {
                        unmap(address, address, len);
                    }
                    Err(e)
                }
            }
        }
        Mapping::Single => {
            let address = single(len)?;
            Ok((address, address))
        }
    }
}

fn mmap(len: usize, protection: libc::c_int, flags: libc::c_int, file: libc::c_int) -> io::Result<*mut u8> {
    // SAFETY: a new mapping at an address of the system's choice touches nothing that exists.
    let address = unsafe { libc::mmap(null_mut(), len, protection, flags, file, 0) };
    if address == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(address.cast()) }
}

#[cfg(any(target_os = "linux", target_os = "android"))]
fn anonymous_file(len: usize) -> io::Result<libc::c_int> {
    // SAFETY: the name is a C string; no memory is shared.
    let file = unsafe { libc::memfd_create(c"ringside-code".as_ptr(), libc::MFD_CLOEXEC) };
    sized(file, len)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn anonymous_file(len: usize) -> io::Result<libc::c_int> {
    let name = c"/ringside-code";
    // SAFETY: the name is a C string; no memory is shared.
    let file = unsafe {
        libc::shm_unlink(name.as_ptr());
        let file = libc::shm_open(name.as_ptr(), libc::O_RDWR | libc::O_CREAT | libc::O_EXCL, 0o600);
        libc::shm_unlink(name.as_ptr());
        file
    };
    sized(file, len)
}

fn sized(file: libc::c_int, len: usize) -> io::Result<libc::c_int> {
    // SAFETY: plain system calls on a descriptor that is ours.
    if file >= 0 && unsafe { libc::ftruncate(file, len as libc::off_t) } == 0 {
        return Ok(file);
    }
    let error = io::Error::last_os_error();
    if file >= 0 {
        // SAFETY: as above.
        unsafe { libc::close(file) };
    }
    Err(error)
}

#[cfg(not(target_os = "macos"))]
fn single(len: usize) -> io::Result<*mut u8> {
    mmap(len, RX, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1)
}

#[cfg(target_os = "macos")]
fn single(len: usize) -> io::Result<*mut u8> {
    mmap(len, RW | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_JIT, -1)
}

/// Single mapping: make it writable (and not executable), or executable (and not writable).
#[cfg(not(target_os = "macos"))]
pub(super) fn protect(address: *mut u8, len: usize, writable: bool) {
    // SAFETY: the range is ours and nothing executes in it while this thread is here.
    let result = unsafe { libc::mprotect(address.cast(), len, if writable { RW } else { RX }) };
    assert_eq!(result, 0, "code memory cannot change protection: {}", io::Error::last_os_error());
}

#[cfg(target_os = "macos")]
pub(super) fn protect(address: *mut u8, len: usize, writable: bool) {
    // SAFETY: both calls are about this thread's view of MAP_JIT memory, which `address` is.
    unsafe {
        libc::pthread_jit_write_protect_np(!writable as libc::c_int);
        if !writable {
            libc::sys_icache_invalidate(address.cast(), len);
        }
    }
}

pub(super) fn unmap(writable: *mut u8, executable: *mut u8, len: usize) {
    // SAFETY: both ranges came from `map` and nobody uses them any more.
    unsafe {
        libc::munmap(writable.cast(), len);
        if executable != writable {
            libc::munmap(executable.cast(), len);
        }
    }
}
