//! Hands the linker script of the Host to the linker, for the bare-metal build only.

fn main() {
    if std::env::var_os("CARGO_FEATURE_BARE_METAL").is_some() {
        println!("cargo:rustc-link-arg-bins=-T{}/host.ld", env!("CARGO_MANIFEST_DIR"));
    }
    println!("cargo:rerun-if-changed=host.ld");
}
