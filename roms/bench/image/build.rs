//! Hands the linker script to the linker.

fn main() {
    println!("cargo:rustc-link-arg=-T{}/image.ld", env!("CARGO_MANIFEST_DIR"));
    println!("cargo:rerun-if-changed=image.ld");
}
