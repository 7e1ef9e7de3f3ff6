#!/usr/bin/env bash
# Rebuilds every image of this folder from source with the pinned toolchain (see toolchain.sh), into the folder given
# (here by default), and refreshes SHA256SUMS there.
set -euo pipefail
roms=$(cd "$(dirname "$0")" && pwd)
out=$(realpath -m "${1:-$roms}")
. "$roms/toolchain.sh"
GUEST_CARGO=$(rom_cargo "$roms/target/toolchain")
export GUEST_CARGO
mkdir -p "$out"
"$roms/build-host.sh" "$out"
"$roms/build-guests.sh" "$out"
"$roms/build-bench.sh" "$out"
cd "$out"
sha256sum -- *.elf >SHA256SUMS
