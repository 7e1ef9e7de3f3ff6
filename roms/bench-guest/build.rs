//! Hands the linker script of the Guests to the linker.

fn main() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../guest-kit/guest.ld");
    println!("cargo:rustc-link-arg=-T{script}");
    // Programs A and B share a linear address on purpose.
    println!("cargo:rustc-link-arg=--no-check-sections");
    println!("cargo:rerun-if-changed={script}");
}
