#!/usr/bin/env bash
# Are the committed images what the committed sources give? Rebuilds them elsewhere and compares byte for byte.
set -euo pipefail
roms=$(cd "$(dirname "$0")" && pwd)
. "$roms/toolchain.sh"
(cd "$roms/linux-6.1" && sha256sum --quiet --check SHA256SUMS) || { echo "Linux does not match its SHA256SUMS"; exit 1; }
(cd "$roms" && sha256sum --quiet --check SHA256SUMS) || { echo "an image does not match SHA256SUMS"; exit 1; }
if ! rom_cargo "$roms/target/toolchain" >/dev/null; then
    echo "not comparable: another toolchain gives other bytes"
    exit 0
fi
fresh=$(mktemp -d)
trap 'rm -rf "$fresh"' EXIT
"$roms/build.sh" "$fresh"
status=0
for image in "$roms"/*.elf; do
    name=$(basename "$image")
    if cmp -s "$image" "$fresh/$name"; then
        echo "identical  $name"
    else
        echo "DIFFERENT  $name: rebuild with roms/build.sh and commit, or find out why"
        status=1
    fi
done
exit $status
