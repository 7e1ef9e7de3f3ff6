# Sourced by build.sh and check.sh: the pinned compiler for the ROMs.
#
# Packages (Debian): rustc-web cargo-web rust-web-src lld-22. A standard library must match its compiler exactly, so it
# is built once from rust-web-src into a private toolchain below target/. An ordinary machine with rustup can build the
# same sources after `rustup target add i586-unknown-linux-gnu`, but another compiler gives other bytes.

# The compiler whose output the committed images are.
PINNED="rustc 1.96"
TARGET=i586-unknown-linux-gnu

# Make sure the private toolchain exists; prints the cargo command to use.
rom_cargo() {
    local dir=$1
    local have
    have=$(/usr/bin/rustc --version 2>/dev/null || true)
    case "$have" in
        "$PINNED"*) ;;
        *) echo "the ROMs are built with Debian's $PINNED (packages rustc-web cargo-web rust-web-src lld-22);" \
            "found: ${have:-nothing}" >&2; return 1 ;;
    esac
    if [ ! -d "$dir/lib/rustlib/$TARGET/lib" ]; then
        echo "building the standard library for $TARGET, once..." >&2
        make_sysroot "$dir" >&2 || return 1
    fi
    printf 'env PATH=/usr/bin:/bin RUSTC=%s/bin/rustc /usr/bin/cargo' "$dir"
}

make_sysroot() {
    local dir=$1 work
    work=$(mktemp -d)
    mkdir -p "$dir/bin" "$dir/lib/rustlib" "$work/src"
    ln -sfn /usr/lib/rustlib/x86_64-unknown-linux-gnu "$dir/lib/rustlib/x86_64-unknown-linux-gnu"
    printf '#!/bin/sh\nexec /usr/bin/rustc --sysroot %s "$@"\n' "$dir" >"$dir/bin/rustc"
    chmod +x "$dir/bin/rustc"
    printf '[package]\nname = "stdbuild"\nversion = "0.1.0"\nedition = "2021"\n[profile.release]\ncodegen-units = 1\n[workspace]\n' >"$work/Cargo.toml"
    echo '#![no_std]' >"$work/src/lib.rs"
    (
        cd "$work"
        env PATH=/usr/bin:/bin RUSTC=/usr/bin/rustc RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Cembed-bitcode=yes" \
            /usr/bin/cargo build --quiet --release --target "$TARGET" -Zbuild-std=core,alloc,compiler_builtins
    ) || return 1
    mkdir -p "$dir/lib/rustlib/$TARGET/lib"
    cp "$work/target/$TARGET/release/deps/"*.rlib "$dir/lib/rustlib/$TARGET/lib/"
    rm -f "$dir/lib/rustlib/$TARGET/lib/libstdbuild"*
    rm -rf "$work"
}
