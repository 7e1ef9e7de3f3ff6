//! Says whether this host has a compiled engine: `cfg(jit)`.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(jit)");
    let var = |name: &str| std::env::var(name).unwrap_or_default();
    let family = var("CARGO_CFG_TARGET_FAMILY");
    let hosted = family.split(',').any(|f| f == "unix" || f == "windows");
    if hosted && var("CARGO_CFG_TARGET_ARCH") == "x86_64" {
        println!("cargo::rustc-cfg=jit");
    }
    println!("cargo::rerun-if-changed=build.rs");
}
