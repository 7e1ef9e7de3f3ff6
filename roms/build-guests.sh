#!/usr/bin/env bash
# Builds the Guests of this folder from source, first-guest.elf, attack-guest.elf and bench-guest.elf, into the folder
# given (here by default). Called by build.sh; GUEST_CARGO names the cargo of the pinned toolchain.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here}
cd "$here"
# With frame pointers, for the Host walks along them when a Guest dies.
${GUEST_CARGO:-cargo +deb} build --quiet --release --locked --target-dir target/guests \
    --config 'target.i586-unknown-linux-gnu.rustflags = ["-Cforce-frame-pointers=yes"]'
for guest in first-guest attack-guest bench-guest; do
    cp "target/guests/i586-unknown-linux-gnu/release/$guest" "$out/$guest.elf"
    chmod 644 "$out/$guest.elf"
done
