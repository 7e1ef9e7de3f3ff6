#!/usr/bin/env bash
# Builds the benchmark from source: bench.elf, the bootable image, and bench-native.elf, the same kernels as a 32-bit
# Linux program, into the folder given (here by default). Called by build.sh; GUEST_CARGO names the cargo of the pinned
# toolchain.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
cd "$here/bench"
${GUEST_CARGO:-cargo +deb} build --quiet --release --locked
for program in bench bench-native; do
    cp "target/i586-unknown-linux-gnu/release/$program" "$out/$program.elf"
done
chmod 644 "$out/bench.elf"
chmod 755 "$out/bench-native.elf"
